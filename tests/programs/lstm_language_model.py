"""A recurrent network of two layers predicts the next character, by truncated backpropagation through time."""

import math

import torch
import torch.nn as nn

from harness import main, text

LENGTH, BATCH, BPTT, STEPS, WIDTH = 100_000, 16, 32, 180, 96


class RNNModel(nn.Module):
    def __init__(self, ntoken, ninp, nhid, nlayers):
        super().__init__()
        self.nhid, self.nlayers = nhid, nlayers
        self.encoder = nn.Embedding(ntoken, ninp)
        self.rnn = nn.LSTM(ninp, nhid, nlayers)
        self.decoder = nn.Linear(nhid, ntoken)
        self.init_weights()

    def init_weights(self):
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)
        nn.init.uniform_(self.decoder.weight, -0.1, 0.1)

    def forward(self, input, hidden):
        output, hidden = self.rnn(self.encoder(input), hidden)
        return self.decoder(output).view(-1, self.decoder.out_features), hidden

    def init_hidden(self, bsz):
        weight = next(self.parameters())
        return (weight.new_zeros(self.nlayers, bsz, self.nhid), weight.new_zeros(self.nlayers, bsz, self.nhid))


def repackage_hidden(h):
    """The hidden states without their history."""
    if isinstance(h, torch.Tensor):
        return h.detach()
    return tuple(repackage_hidden(v) for v in h)


def batchify(data, bsz):
    nbatch = data.size(0) // bsz
    return data.narrow(0, 0, nbatch * bsz).view(bsz, -1).t().contiguous()


def get_batch(source, i):
    seq_len = min(BPTT, len(source) - 1 - i)
    return source[i : i + seq_len], source[i + 1 : i + 1 + seq_len].view(-1)


def make_data(rng):
    return {"corpus": text(LENGTH)[0]}


def train(models, data, noise, report):
    model, criterion = models["lm"], nn.CrossEntropyLoss()
    corpus = data["corpus"]
    train_data, val_data = batchify(corpus[:94_000], BATCH), batchify(corpus[94_000:], BATCH)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=4e-3)
    model.train()
    hidden = model.init_hidden(BATCH)
    for step in range(STEPS):
        batch, targets = get_batch(train_data, step * BPTT)
        model.zero_grad()
        hidden = repackage_hidden(hidden)
        output, hidden = model(batch, hidden)
        loss = criterion(output, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        report(loss)
    model.eval()
    total, hidden = 0.0, model.init_hidden(BATCH)
    with torch.no_grad():
        for i in range(0, val_data.size(0) - 1, BPTT):
            batch, targets = get_batch(val_data, i)
            output, hidden = model(batch, hidden)
            total += len(batch) * criterion(output, targets).item()
    return math.exp(total / (len(val_data) - 1))


if __name__ == "__main__":
    main(make_data, lambda: {"lm": RNNModel(text(LENGTH)[1], 48, WIDTH, 2)}, train)
