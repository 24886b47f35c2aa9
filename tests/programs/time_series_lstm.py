"""Cells of an LSTM learn sine waves and go on with them, trained by L-BFGS in double precision."""

import numpy as np
import torch
import torch.nn as nn
import torch.optim as optim

from harness import main

WAVES, STEPS, PERIOD, FUTURE, ROUNDS = 24, 80, 10, 40, 5


class Sequence(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm1 = nn.LSTMCell(1, 24)
        self.lstm2 = nn.LSTMCell(24, 24)
        self.linear = nn.Linear(24, 1)

    def forward(self, input, future=0):
        outputs = []
        h_t, c_t, h_t2, c_t2 = (torch.zeros(input.size(0), 24, dtype=torch.double) for _ in range(4))
        for input_t in input.split(1, dim=1):
            h_t, c_t = self.lstm1(input_t, (h_t, c_t))
            h_t2, c_t2 = self.lstm2(h_t, (h_t2, c_t2))
            output = self.linear(h_t2)
            outputs += [output]
        for _ in range(future):
            h_t, c_t = self.lstm1(output, (h_t, c_t))
            h_t2, c_t2 = self.lstm2(h_t, (h_t2, c_t2))
            output = self.linear(h_t2)
            outputs += [output]
        return torch.cat(outputs, dim=1)


def make_data(rng):
    shifts = rng.integers(-4 * PERIOD, 4 * PERIOD, (WAVES, 1))
    x = np.arange(STEPS + 1 + FUTURE)[None] + shifts
    return {"waves": torch.from_numpy(np.sin(x / 1.0 / PERIOD).astype("float64"))}


def train(models, data, noise, report):
    seq, criterion = models["seq"], nn.MSELoss()
    waves = data["waves"]
    input, target = waves[3:, :STEPS], waves[3:, 1 : STEPS + 1]
    optimizer = optim.LBFGS(seq.parameters(), lr=0.8, max_iter=12, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = criterion(seq(input), target)
        report(loss)
        loss.backward()
        return loss

    for _ in range(ROUNDS):
        optimizer.step(closure)
    with torch.no_grad():
        pred = seq(waves[:3, :STEPS], future=FUTURE)
        return criterion(pred, waves[:3, 1 : STEPS + FUTURE + 1]).sqrt()


if __name__ == "__main__":
    main(make_data, lambda: {"seq": Sequence().double()}, train)
