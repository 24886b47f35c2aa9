"""Spam among text messages, found by a small BERT from nothing: it fills in masked tokens, then learns what spam is.

The data are 4522 different messages, 12.5 % of them spam, in five folds that hold out a fifth each. For every fold all
is learned anew from its training part: the vocabulary (byte-level BPE, so capitals and digits count), the network by
masked language modelling, without labels, then the classifier. F1 is that of spam, the mean over the
folds' test parts. For comparison each fold also trains a classifier without the first stage.
"""

from __future__ import annotations

from argparse import Namespace
from typing import NamedTuple

import corten
import corten.nn.functional as F
from corten.data import mask_tokens, stratified_kfold
from corten.metrics import f1
from corten.models import Bert, BertForMaskedLM, BertForSequenceClassification, ByteLevelBPE
from corten.training import Batches, History, parameter_groups

from common import arguments, draw_curves, draw_texts, parse, part, predict, print_result, sized, total_steps, train
from datasets import sms_spam
from datasets.text import padded, trimmed

TARGET = 0.93
FOLDS = 5
BATCH = 32
LONGEST = 96  # tokens that are read of a message
SPECIAL = ("[PAD]", "[CLS]", "[MASK]")
PAD, CLS, MASK = range(len(SPECIAL))


class Messages(NamedTuple):
    """Messages as tokens `(N, L)`, their lengths and labels `(N,)`."""

    ids: corten.Tensor
    lengths: corten.Tensor
    labels: corten.Tensor


class Pretraining(BertForMaskedLM):
    """Tokens to scores of the masked ones; padding is not looked at."""

    def forward(self, ids):
        return super().forward(ids, ids != PAD)


class Classifier(BertForSequenceClassification):
    """Tokens to scores of no spam and spam; padding is not looked at."""

    def forward(self, ids):
        ids = trimmed(ids, PAD)
        return super().forward(ids, ids != PAD)


def tokens(words: ByteLevelBPE, texts: list[str], labels: corten.Tensor) -> Messages:
    return Messages(*padded([[CLS, *words.encode(text)[: LONGEST - 1]] for text in texts], PAD), labels)


def network(args: Namespace, words: ByteLevelBPE) -> Bert:
    width, layers = sized(args, 128, 128, 16), sized(args, 2, 2, 1)
    return Bert(len(words.tokens), width, layers, 4, 4 * width, LONGEST)


def optimised(args: Namespace, model: corten.nn.Module, steps: int, lr: float):
    """AdamW with a rate that rises and falls over the steps."""
    optimizer = corten.optim.AdamW(parameter_groups(model, lr=lr, weight_decay=0.01))
    schedule = corten.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=lr, total_steps=total_steps(args, steps), pct_start=0.1, cycle_momentum=False
    )
    return optimizer, {"step_scheduler": schedule, "clip_norm": 1.0}


def pretrained(args: Namespace, bert: Bert, messages: Messages) -> tuple[Pretraining, History]:
    """Teaches the network to fill in tokens: of the messages that it reads, 15 % of the tokens are to be found."""
    model = Pretraining(bert).to(args.device)

    def masked(ids):
        size = bert.embeddings.word_embeddings.num_embeddings
        return mask_tokens(trimmed(ids, PAD), MASK, size, PAD, special=(CLS, MASK))

    def loss(scores, hidden):
        return F.cross_entropy(scores.flatten(0, 1), hidden.flatten(), ignore_index=-100)

    batches = Batches(messages.ids, batch_size=2 * BATCH, lengths=messages.lengths, transform=masked)
    optimizer, options = optimised(args, model, len(batches), 2e-3)
    return model, train(args, model, batches, loss, optimizer, **options)


def fine_tuned(args: Namespace, bert: Bert, messages: Messages) -> Classifier:
    """Teaches the network to tell spam."""
    model = Classifier(bert, 2, pooling="mean").to(args.device)
    batches = Batches(messages.ids, messages.labels, batch_size=BATCH, lengths=messages.lengths)
    optimizer, options = optimised(args, model, len(batches), 5e-4)
    train(args, model, batches, F.cross_entropy, optimizer, **options)
    return model


def filled_in(model: Pretraining, words: ByteLevelBPE, texts: list[str]) -> dict[str, list[tuple[str, float]]]:
    """Messages in which every sixth token was masked, each with the likeliest token in its place: red where wrong."""
    drawn = {}
    for text in texts:
        truth = corten.tensor([[CLS, *words.encode(text)[: LONGEST - 1]]])
        hidden = (corten.arange(truth.shape[1]) % 6 == 5)[None]
        guess = predict(model, corten.where(hidden, MASK, truth)).argmax(-1)
        pieces = [
            (f"[{words.decode([told])}]" if gone else words.decode([told]), (0.6 if told != real else -0.4) * gone)
            for told, real, gone in zip(
                corten.where(hidden, guess, truth)[0].tolist(), truth[0].tolist(), hidden[0].tolist()
            )
        ]
        drawn[f"{len(drawn) + 1}: {text[:60]}…"] = pieces[1:]
    return drawn


def main() -> None:
    parser = arguments(__doc__, epochs=6, quick_epochs=3, out="sms_spam_pretraining")
    args = parse(parser)
    texts, spam = sms_spam()
    count = sized(args, len(texts), 1500, 60)
    texts, labels = texts[:count], corten.from_numpy(spam[:count]).long()
    folds = stratified_kfold(labels, FOLDS, corten.Generator().manual_seed(args.seed))

    losses, scores = {}, {"from masked tokens": [], "from nothing": []}
    for number, (rows, held_out) in enumerate(folds[: sized(args, FOLDS, 1, 1)], 1):
        own, others = ([texts[row] for row in indices.tolist()] for indices in (rows, held_out))
        words = ByteLevelBPE.train(own, sized(args, 2000, 1000, 300), SPECIAL)
        messages, test = tokens(words, own, labels[rows]), tokens(words, others, labels[held_out])

        bert = network(args, words)
        longer = Namespace(**vars(part(args, f"fold{number}-masked")) | {"epochs": 4 * args.epochs})
        model, history = pretrained(longer, bert, messages)
        losses[f"fold {number}"] = history["loss"]
        if number == 1:
            draw_texts(args.out / "filled_in.png", filled_in(model, words, others[:8]))
        for start, found in scores.items():
            if start == "from nothing":
                bert = network(args, words)
            classifier = fine_tuned(part(args, f"fold{number}-{start.replace(' ', '-')}"), bert, messages)
            found.append(f1(predict(classifier, test.ids, 100).argmax(1), test.labels).item())
            print(f"fold {number}, {start}: F1 {found[-1]:.4f}", flush=True)

    draw_curves(args.out / "curves.png", {"loss of masked tokens": losses, "F1 of spam": scores}, "epoch, fold")
    means = {start: sum(found) / len(found) for start, found in scores.items()}
    print(f"mean F1 from nothing {means['from nothing']:.4f}, from masked tokens {means['from masked tokens']:.4f}")
    print_result("sms_spam_pretraining", "f1", means["from masked tokens"], TARGET)


if __name__ == "__main__":
    main()
