"""Words to phonemes by a GRU encoder–decoder with attention, on the CMU pronouncing dictionary.

The data are 135,166 pronunciations of 126,052 words. Words, not pronunciations, are divided: 5 % are held out with all
that is said of them, 2 % more choose the best epoch. The phoneme error rate counts insertions, deletions and
substitutions for each phoneme of a held-out word's first pronunciation, with the stress of vowels: AH0 for AH1 is an
error. Words are read with beams of width 4; the last picture shows at which letter the decoder looks for each phoneme.
"""

from __future__ import annotations

from argparse import Namespace
from typing import NamedTuple

import corten
import corten.nn.functional as F
from corten.metrics import edit_distance, phoneme_error_rate
from corten.models import AttentionSeq2Seq
from corten.training import Batches
from matplotlib import pyplot

from common import arguments, draw_history, parse, positive, print_result, sized, total_steps, train
from datasets import pronunciations
from datasets.text import padded, trimmed

TARGET = 0.12
PAD, START, END = 0, 1, 2  # of phonemes; letters have PAD alone
LONGEST = 24  # phonemes that are written at most


class Dictionary(NamedTuple):
    """Words and their phonemes, as numbers and as they are spelled."""

    words: list[str]
    phonemes: list[list[str]]
    source: corten.Tensor
    target: corten.Tensor
    lengths: corten.Tensor

    def rows(self, indices: corten.Tensor) -> Dictionary:
        chosen = indices.tolist()
        spelled = [self.words[row] for row in chosen], [self.phonemes[row] for row in chosen]
        return Dictionary(*spelled, self.source[indices], self.target[indices], self.lengths[indices])


def read(args: Namespace) -> tuple[Dictionary, list[str], list[str]]:
    """The dictionary, its letters and its phonemes."""
    entries = pronunciations()
    entries = entries[:: sized(args, 1, 3, 400)]
    letters = ["", *sorted({letter for word, _ in entries for letter in word})]
    phonemes = ["", "<s>", "</s>", *sorted({phoneme for _, spoken in entries for phoneme in spoken})]
    letter_of, phoneme_of = ({name: number for number, name in enumerate(names)} for names in (letters, phonemes))
    source, lengths = padded([[letter_of[letter] for letter in word] for word, _ in entries])
    target, _ = padded([[START, *(phoneme_of[phoneme] for phoneme in spoken), END] for _, spoken in entries])
    words, spoken = zip(*entries)
    return Dictionary(list(words), list(spoken), source, target, lengths), letters, phonemes


def split(words: list[str], generator: corten.Generator) -> tuple[corten.Tensor, corten.Tensor, corten.Tensor]:
    """Indices for training, for choosing and for the test; the last two have the first pronunciation of each word."""
    first = {}
    for row, word in enumerate(words):
        first.setdefault(word, row)
    order = corten.randperm(len(first), generator=generator)
    place_of = dict(zip(first, order.tolist()))
    test, choosing = round(0.05 * len(first)), round(0.02 * len(first))
    places = corten.tensor([place_of[word] for word in words])
    firsts = corten.tensor(list(first.values()))
    held_out = firsts[order.sort().indices]
    return (places >= test + choosing).nonzero()[:, 0], held_out[test : test + choosing], held_out[:test]


def spoken(model: AttentionSeq2Seq, source: corten.Tensor, phonemes: list[str], beams: int) -> list[list[str]]:
    """What the model says of words `(N, S)`."""
    device = next(model.parameters()).device
    model.eval()
    found = []
    for part in source.split(256):
        told = model.decode(trimmed(part).to(device), START, END, LONGEST, beams, length_penalty=1.0)
        found += [[phonemes[number] for number in row if number > END] for row in told.tolist()]
    return found


@corten.no_grad()
def looks(model: AttentionSeq2Seq, source: corten.Tensor, target: corten.Tensor) -> corten.Tensor:
    """The weights `(L, S)` of a word's letters before each phoneme, the target being given."""
    state, keys, memory, mask = model.encode(source[None])
    rows = []
    for embedded in model.target(target[None, :-1]).unbind(1):
        rows.append(model.attention(state, keys, memory, mask)[1])
        _, state = model.step(embedded, state, keys, memory, mask)
    return corten.cat(rows)


def draw_attention(path, model: AttentionSeq2Seq, words: Dictionary, told: list[list[str]]) -> None:
    """Draws for eight words which letters the decoder looks at before each phoneme of their pronunciation."""
    figure, panels = pyplot.subplots(2, 4, figsize=(14, 7))
    device = next(model.parameters()).device
    for index, panel in enumerate(panels.flat[: len(words.words)]):
        word, truth = words.words[index], words.phonemes[index]
        target = words.target[index, : len(truth) + 2].to(device)
        weights = looks(model, words.source[index, : len(word)].to(device), target).cpu()
        panel.imshow(weights.numpy(), cmap="Blues", vmin=0, vmax=1)
        panel.set_xticks(range(len(word)), list(word))
        panel.set_yticks(range(len(truth) + 1), [*truth, "end"])
        right = told[index] == truth
        panel.set_title(" ".join(told[index]), fontsize=8, color="black" if right else "red")
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    print("wrote", path)


def main() -> None:
    parser = arguments(__doc__, epochs=5, quick_epochs=1, out="pronunciation")
    parser.add_argument("--batch-size", type=positive, default=128)
    args = parse(parser)
    words, letters, phonemes = read(args)
    training, choosing, test = map(words.rows, split(words.words, corten.Generator().manual_seed(args.seed)))
    print(f"{len(training.words)} pronunciations to learn, {len(test.words)} words held out, {len(phonemes)} phonemes")

    width = sized(args, 256, 128, 16)
    model = AttentionSeq2Seq(len(letters), len(phonemes), width // 2, width, dropout=0.2).to(args.device)
    batches = Batches(
        training.source,
        training.target,
        batch_size=args.batch_size,
        lengths=training.lengths,
        transform=lambda source, target: (trimmed(source), trimmed(target)),
    )

    def loss(batch):
        source, target = batch
        scores = model(source, target[:, :-1])
        return F.cross_entropy(scores.flatten(0, 1), target[:, 1:].flatten(), ignore_index=PAD, label_smoothing=0.05)

    def errors(model):
        return {
            "phoneme_error_rate": phoneme_error_rate(spoken(model, choosing.source, phonemes, 1), choosing.phonemes)
        }

    optimizer = corten.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = corten.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=2e-3, total_steps=total_steps(args, len(batches)), pct_start=0.1, cycle_momentum=False
    )
    history = train(
        args,
        model,
        batches,
        None,
        optimizer,
        step=loss,
        step_scheduler=schedule,
        clip_norm=1.0,
        validation=errors,
        monitor="val_phoneme_error_rate",
        mode="min",
        restore_best=True,
    )
    draw_history(args.out / "curves.png", history)
    told = spoken(model, test.source, phonemes, sized(args, 4, 1, 2))
    distances = edit_distance(told, test.phonemes)
    without_stress = ([[name.rstrip("012") for name in row] for row in rows] for rows in (told, test.phonemes))
    print(
        f"whole words right: {float((distances == 0).float().mean()):.4f}, "
        f"phoneme error rate without stress: {phoneme_error_rate(*without_stress):.4f}"
    )
    draw_attention(args.out / "attention.png", model, test, told)
    print_result("pronunciation", "phoneme_error_rate", phoneme_error_rate(told, test.phonemes), TARGET)


if __name__ == "__main__":
    main()
