"""The next character of Jane Austen's novels, by an LSTM and by a temporal convolutional network.

The data are six novels of 3.95 million characters. The last 5 % of every novel is held out; of what comes before, both
networks learn windows from random places. Bits per character are the mean of −log₂ p over all held-out characters, each
read behind those before it: the LSTM carries its state through, the TCN sees as many as its convolutions reach.

At the end both write on where the held-out part of a novel begins, and the program draws how many bits each character
of a held-out passage costs.
"""

from __future__ import annotations

import math

import corten
import corten.nn.functional as F
import numpy as np
from corten.metrics import BitsPerCharacter
from corten.models import CharLSTM, CharTCN
from corten.models.generation import sample

from common import arguments, draw_curves, draw_texts, parse, part, positive, print_result, sized, total_steps, train
from datasets import austen
from datasets.text import Windows

TARGET = 2.0
HELD_OUT = 0.05
STREAM = 2048  # characters that are read at once when bits are counted


def split(texts: list[str]) -> tuple[list[str], list[str]]:
    """The beginnings of the texts, and their last 5 %."""
    ends = [round(len(text) * (1 - HELD_OUT)) for text in texts]
    return [text[:end] for text, end in zip(texts, ends)], [text[end:] for text, end in zip(texts, ends)]


def numbers(text: str, alphabet: str) -> corten.Tensor:
    """Characters as places in the alphabet `(T,)`; those that it lacks count as its first, a line end."""
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    table = np.zeros(max(map(ord, alphabet + text)) + 1, dtype=np.int64)
    table[[ord(character) for character in alphabet]] = np.arange(len(alphabet))
    return corten.from_numpy(table[codes])


def scores_lstm(model: CharLSTM, ids: corten.Tensor):
    """Scores of what follows each character of a text `(T,)`, part by part: `(1, L, V)`."""
    state = None
    for piece in ids.split(STREAM):
        logits, state = model(piece[None], state)
        yield logits


def scores_tcn(model: CharTCN, ids: corten.Tensor):
    """As `scores_lstm`: each part is read behind the characters that its first output reaches back to."""
    before = model.tcn.receptive_field - 1
    for start in range(0, len(ids), STREAM):
        first = max(0, start - before)
        yield model(ids[first : start + STREAM][None])[:, start - first :]


@corten.no_grad()
def bits_per_character(model, scores, texts: list[corten.Tensor]) -> float:
    """Of all characters of the texts but the first of each."""
    device = next(model.parameters()).device
    model.eval()
    metric = BitsPerCharacter()
    for ids in texts:
        ids = ids.to(device)
        for logits, target in zip(scores(model, ids[:-1]), ids[1:].split(STREAM)):
            metric.update(logits[0], target)
    return float(metric.compute())


@corten.no_grad()
def written(model: CharTCN, ids: corten.Tensor, count: int, temperature: float) -> corten.Tensor:
    """Continues a text `(1, L)` character by character; a TCN reads its whole reach anew for each."""
    for _ in range(count):
        logits = model(ids[:, -model.tcn.receptive_field :])[:, -1]
        ids = corten.cat([ids, sample(logits, temperature)], dim=1)
    return ids


def trained(args, model, windows: Windows, lr: float, validation):
    """The history of a training whose rate rises and falls once."""
    model.to(args.device)
    optimizer = corten.optim.Adam(model.parameters(), lr=lr)
    schedule = corten.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=lr, total_steps=total_steps(args, len(windows)), pct_start=0.1, cycle_momentum=False
    )

    def loss(batch):
        given, following = batch
        output = model(given)
        logits = output[0] if isinstance(output, tuple) else output
        return F.cross_entropy(logits.flatten(0, 1), following.flatten())

    return train(
        args,
        model,
        windows,
        None,
        optimizer,
        step=loss,
        step_scheduler=schedule,
        clip_norm=1.0,
        validation=lambda model: {"bits": validation(model)},
    )


@corten.no_grad()
def costs(model, scores, ids: corten.Tensor, alphabet: str) -> list[tuple[str, float]]:
    """The characters behind the first, each with its bits: 1 where it costs eight or more."""
    ids = ids.to(next(model.parameters()).device)
    logits = corten.cat(list(scores(model, ids[:-1])), dim=1)[0]
    bits = F.cross_entropy(logits, ids[1:], reduction="none") / math.log(2) / 8
    return list(zip([alphabet[number] for number in ids[1:].tolist()], bits.clamp(max=1).tolist()))


def main() -> None:
    parser = arguments(__doc__, epochs=2, quick_epochs=1, out="austen_characters")
    parser.add_argument("--batch-size", type=positive, default=16)
    args = parse(parser)
    novels = austen()
    kept = sized(args, None, 200_000, 4000)
    learned, held_out = split([text[:kept] for text in novels.values()])
    alphabet = "".join(sorted(set("".join(learned))))
    counts = [sum(map(len, texts)) for texts in (learned, held_out)]
    print(f"{counts[0]} characters to learn from, {counts[1]} held out, {len(alphabet)} different")
    training = numbers("\n".join(learned), alphabet).to(args.device)
    tests = [numbers(text, alphabet) for text in held_out]
    if args.quick or args.smoke:
        tests = [text[: sized(args, 0, 3000, 100)] for text in tests]

    size = len(alphabet)
    networks = {
        "lstm": (CharLSTM(size, 64, sized(args, 512, 256, 16), 1, dropout=0.0), scores_lstm, 128, 4e-3),
        "tcn": (
            CharTCN(size, 64, (sized(args, 256, 128, 16),) * sized(args, 6, 5, 2), 3, dropout=0.0),
            scores_tcn,
            256,
            4e-3,
        ),
    }
    curves, results, samples = {}, {}, {}
    for name, (model, scores, length, lr) in networks.items():
        windows = Windows(training, sized(args, length, length, 32), sized(args, args.batch_size, args.batch_size, 4))
        history = trained(
            part(args, name), model, windows, lr, lambda model, scores=scores: bits_per_character(model, scores, tests)
        )
        curves[name], results[name] = history["val_bits"], history["val_bits"][-1]
        start = tests[-1][: sized(args, 200, 200, 20)]
        count = sized(args, 600, 200, 5)
        prompt = start[None].to(args.device)
        longer = model.generate(prompt, count, 0.7) if name == "lstm" else written(model, prompt, count, 0.7)
        samples[f"{name} goes on behind {len(start)} characters"] = [
            (alphabet[number], -0.3 * (place < len(start))) for place, number in enumerate(longer[0].tolist())
        ]
        samples[f"{name}: bits of held-out characters"] = costs(
            model, scores, tests[0][: sized(args, 600, 300, 40)], alphabet
        )

    draw_curves(args.out / "curves.png", {"bits per character, held out": curves})
    draw_texts(args.out / "texts.png", samples, columns=90)
    for name, bits in results.items():
        print_result(f"austen_{name}", "bits_per_character", bits, TARGET)


if __name__ == "__main__":
    main()
