"""Verses of the Bible from English into Spanish, by an encoder–decoder Transformer in the style of T5.

The data are 31,150 verses of the King James Bible and of the Reina-Valera of 1909. A thousand, drawn at random, are
held out; what stands in them word for word elsewhere, in one of the languages, is not learned either. Both languages
share a vocabulary of 2000 tokens, which is learned from the training verses. Translations are those that a search
with four beams finds, and chrF compares their character n-grams with the held-out Spanish verses, from 0 to 100.

Thirty thousand pairs are few, and a network that reads only whole verses learns Spanish long before it learns to look
at the English. But both Bibles follow their originals closely, down to the marks: where a verse has as many marks in
one language as in the other, its pieces between them are pairs as well. They are short, so it is plain what stands for
what, and they are learned beside the whole verses. Sinusoids tell both sides where a token stands, which T5 itself does
without, and Muon learns the matrices of the blocks: after 500 steps on pieces alone the loss of verses that were set
aside for the choice was 4.45, and 4.90 without the two.

PyTorch 2.13 with this network, these pairs and this recipe reached a chrF of 43.95; the target is one point less.
"""

from __future__ import annotations

import argparse
import re
from typing import NamedTuple

import corten
import corten.nn.functional as F
from corten.metrics import chrf
from corten.models import T5, ByteLevelBPE
from corten.training import Batches

from common import arguments, draw_history, draw_texts, parse, positive, print_result, sized, total_steps, train
from datasets import verses
from datasets.text import padded, trimmed

TARGET = 42.95
SPECIAL = ("<pad>", "</s>")
PAD, END = range(len(SPECIAL))
LONGEST = 80  # tokens of a verse to learn from; one in thirty has more
STRONG, ALL = (re.compile(rf"(?<=[{marks}])\s+") for marks in (";:.?!", ",;:.?!"))  # behind marks


class Verses(NamedTuple):
    """Pairs as tokens `(N, S)` and `(N, L)`, and how long both together are `(N,)`."""

    source: corten.Tensor
    target: corten.Tensor
    lengths: corten.Tensor


def split(pairs: list[tuple[str, str]], held_out: int, seed: int):
    """Verses to learn from and the pieces of them, and those of the test, which have no text in common."""
    order = corten.randperm(len(pairs), generator=corten.Generator().manual_seed(seed)).tolist()
    test = [pairs[row] for row in order[:held_out]]
    english, spanish = map(set, zip(*test))

    def unknown(some):
        return [pair for pair in some if pair[0] not in english and pair[1] not in spanish]

    learned = unknown(pairs[row] for row in order[held_out:])
    return learned, unknown(dict.fromkeys(piece for pair in learned for piece in pieces(pair))), test


def pieces(pair: tuple[str, str]) -> list[tuple[str, str]]:
    """What stands between the marks of a verse in both languages; nothing where they have not as many marks."""
    sides = [STRONG.split(text) for text in pair]
    if len(sides[0]) != len(sides[1]):
        return []
    found = []
    for part in zip(*sides):
        finer = [ALL.split(text) for text in part]
        found += zip(*finer) if len(finer[0]) == len(finer[1]) else [part]
    return found if len(found) > 1 else []


def tokens(words: ByteLevelBPE, pairs: list[tuple[str, str]], longest: int) -> Verses:
    """The pairs whose sides have at most so many tokens, each side with its end."""
    numbers = [tuple([*words.encode(text), END] for text in pair) for pair in pairs]
    numbers = [pair for pair in numbers if max(map(len, pair)) <= longest]
    (source, one), (target, other) = (padded(side, PAD) for side in zip(*numbers))
    return Verses(source, target, one + other)


def translated(generate, words: ByteLevelBPE, source: corten.Tensor, longest: int) -> list[str]:
    """The Spanish of English verses `(N, S)`; `generate` is that of a `T5`."""
    texts = []
    for part in source.split(100):
        told = generate(trimmed(part, PAD), longest, beams=4)
        texts += [words.decode([number for number in row if number > END]) for row in told.tolist()]
    return texts


def loss_of(model, source, target, F=F):
    """How surprised the network is by the tokens of the targets `(N, L)`."""
    scores = model(source, model.shift(target))
    return F.cross_entropy(scores.flatten(0, 1), target.flatten(), ignore_index=PAD)


def in_batches(training: Verses, size: int) -> Batches:
    """Pairs of like length together, filled no further than the longest of them."""
    return Batches(
        training.source,
        training.target,
        batch_size=size,
        lengths=training.lengths,
        transform=lambda source, target: (trimmed(source, PAD), trimmed(target, PAD)),
    )


def optimizers(model, steps: int, matrix_lr: float, lr: float, optim=corten.optim):
    """Muon for the matrices of the blocks and AdamW for the rest, each with its schedule of so many steps."""
    matrices = {name: one for name, one in model.named_parameters() if ".block." in name and one.ndim == 2}
    others = [one for name, one in model.named_parameters() if name not in matrices]
    chosen = [
        optim.Muon(matrices.values(), lr=matrix_lr, weight_decay=0.01),
        optim.AdamW(others, lr=lr, betas=(0.9, 0.98), weight_decay=0.0),
    ]
    shape = dict(total_steps=steps, pct_start=0.15, cycle_momentum=False)
    return chosen, [optim.lr_scheduler.OneCycleLR(one, one.defaults["lr"], **shape) for one in chosen]


def options() -> argparse.ArgumentParser:
    parser = arguments(__doc__, epochs=5, quick_epochs=1, out="verses_translation")
    parser.add_argument("--batch-size", type=positive, default=64)
    parser.add_argument("--lr", type=float, default=8e-3, help="peak learning rate of embeddings and norms")
    parser.add_argument("--matrix-lr", type=float, default=0.02, help="peak learning rate of the other matrices")
    return parser


def prepared(args: argparse.Namespace):
    """The tokens, the pairs to learn, those held out with their texts, and what `T5` is made with."""
    pairs = verses()
    learned, parts, test = split(pairs[: sized(args, len(pairs), 1500, 200)], sized(args, 1000, 100, 4), args.seed)
    sides = [text for pair in learned for text in pair]
    words = ByteLevelBPE.train(sides, sized(args, 2000, 1000, 300), SPECIAL)
    training = tokens(words, learned + parts, sized(args, LONGEST, LONGEST, 200))
    print(f"{len(learned)} verses and {len(parts)} pieces to learn, {len(test)} held out, {len(words.tokens)} tokens")
    width, layers = sized(args, (128, 2), (128, 2), (32, 1))
    shape = dict(vocab_size=len(words.tokens), d_model=width, d_kv=32, d_ff=4 * width, num_layers=layers)
    shape |= dict(num_heads=width // 32, sinusoids=True, pad=PAD, end=END)
    return words, training, test, tokens(words, test, 10**6), shape


def main() -> None:
    args = parse(options())
    words, training, test, held_out, shape = prepared(args)
    model = T5(**shape).to(args.device)
    batches = in_batches(training, sized(args, args.batch_size, args.batch_size, 4))

    def validation(model):
        """The loss of the test verses that are not too long for training; nothing is chosen by it."""
        short = (held_out.lengths <= training.lengths.max()).nonzero()[:100, 0]
        return {"loss": loss_of(model, held_out.source[short].to(args.device), held_out.target[short].to(args.device))}

    learners, schedules = optimizers(model, total_steps(args, len(batches)), args.matrix_lr, args.lr)
    history = train(
        args,
        model,
        batches,
        None,
        learners,
        step=lambda batch: loss_of(model, *batch),
        step_scheduler=schedules,
        clip_norm=1.0,
        validation=validation,
    )

    draw_history(args.out / "curves.png", history)
    model.eval()

    def generate(part, *options, **named):
        return model.generate(part.to(args.device), *options, **named)

    spanish = translated(generate, words, held_out.source, sized(args, 120, 60, 5))
    shown = {}
    for (english, truth), told in list(zip(test, spanish))[:8]:
        known = set(truth.lower().split())
        marked = [(f"{word} ", -0.4 if word.lower() in known else 0.0) for word in told.split()]
        shown[english[:95]] = [*marked, ("\n", 0.0), *((f"{word} ", 0.0) for word in truth.split())]
    draw_texts(args.out / "translations.png", shown)
    print_result("verses_translation", "chrf", chrf(spanish, [truth for _, truth in test]), TARGET)


if __name__ == "__main__":
    main()
