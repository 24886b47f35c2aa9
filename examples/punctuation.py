"""Punctuation for words that have none, as speech recognition writes them, by an LSTM that reads both ways.

The data are the words of Jane Austen's six novels, 723,000 of them, without capitals and marks. The tag of a word is
the mark behind it, if any. The last 5 % of every novel are held out; of the rest, 5 % choose the best epoch. F1 is
the micro average over the marks: a comma where a full stop stands is wrong for both, and words that rightly have no
mark do not count. To be beaten is what counting tells: the mark that most often stood between a word and the one behind
it or, where the two never met, in front of the latter. The pictures show which marks are taken for which, and held-out
sentences with the marks that were told.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from itertools import pairwise

import corten
import corten.nn.functional as F
from corten.metrics import confusion_matrix
from corten.models import BiLSTMTagger
from corten.training import Batches
from matplotlib import pyplot

from common import (
    arguments,
    draw_history,
    draw_texts,
    parse,
    positive,
    predict,
    print_result,
    sized,
    total_steps,
    train,
)
from datasets import austen

MARKS = ("", ",", ";", ":", ".", "!", "?", "--")
UNKNOWN = 1  # of words; 0 is what the tagger takes for padding
ROW = 64  # words that are read together


def tagged(text: str) -> list[tuple[str, int]]:
    """The words of a text in small letters, each with the number of the mark behind it."""
    found = re.findall(r"([A-Za-z']+(?:-[A-Za-z']+)*)[^A-Za-z,;:.!?-]*(--|[,;:.!?])?", text)
    return [(word.lower(), MARKS.index(mark)) for word, mark in found]


def rows(words: list[tuple[str, int]], number_of: dict[str, int]) -> tuple[corten.Tensor, corten.Tensor]:
    """Words and tags as numbers `(N, 64)`; what is left of a text at its end is not read."""
    count = len(words) // ROW * ROW
    ids = corten.tensor([number_of.get(word, UNKNOWN) for word, _ in words[:count]])
    return ids.view(-1, ROW), corten.tensor([tag for _, tag in words[:count]]).view(-1, ROW)


def micro_f1(confusion: corten.Tensor) -> float:
    """Of all tags but the first, from the counts of tags (rows) that were told to be others (columns)."""
    right = confusion.diagonal()[1:].sum()
    return float(2 * right / (confusion[1:].sum() + confusion[:, 1:].sum()).clamp(min=1))


def counted(model: BiLSTMTagger, ids: corten.Tensor, tags: corten.Tensor) -> corten.Tensor:
    """Which tags were told to be which: `(tags, tags)`."""
    told = predict(model, ids, 64).argmax(-1)
    return confusion_matrix(told.flatten(), tags.flatten().cpu(), num_classes=len(MARKS))


def by_counts(learned: list[tuple[str, int]], words: list[tuple[str, int]]) -> corten.Tensor:
    """The tags of words but the last, told by what was most often found between two words, or in front of a word."""
    between, before = defaultdict(Counter), defaultdict(Counter)
    for (word, tag), (following, _) in pairwise(learned):
        between[word, following][tag] += 1
        before[following][tag] += 1
    found = (between.get((word, other)) or before.get(other) for (word, _), (other, _) in pairwise(words))
    return corten.tensor([counts.most_common(1)[0][0] if counts else 0 for counts in found])


def draw_confusion(path, confusion: corten.Tensor) -> None:
    """Draws the shares of each mark that were told to be each."""
    shares = (confusion / confusion.sum(1, keepdim=True).clamp(min=1)).numpy()
    figure, panel = pyplot.subplots(figsize=(6, 5))
    panel.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = ["none", *MARKS[1:]]
    panel.set_xticks(range(len(names)), names)
    panel.set_yticks(range(len(names)), names)
    panel.set(xlabel="told", ylabel="mark in the novel")
    for row, line in enumerate(shares):
        for column, share in enumerate(line):
            panel.text(column, row, f"{share:.2f}", ha="center", va="center", color="white" if share > 0.5 else "black")
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
    print("wrote", path)


def sentences(model: BiLSTMTagger, words: list[tuple[str, int]], ids: corten.Tensor) -> list[tuple[str, float]]:
    """Words with the marks that were told: blue where right; red where wrong, with the right one in brackets."""
    told = predict(model, ids).argmax(-1).flatten().tolist()
    pieces = []
    for (word, truth), guess in zip(words, told):
        pieces.append((f" {word}", 0.0))
        if guess != truth:
            pieces.append((f"{MARKS[guess]}[{MARKS[truth] or 'none'}]", 0.6))
        elif truth:
            pieces.append((MARKS[truth], -0.4))
    return pieces


def main() -> None:
    parser = arguments(__doc__, epochs=6, quick_epochs=2, out="punctuation")
    parser.add_argument("--batch-size", type=positive, default=32)
    args = parse(parser)
    novels = [tagged(text[: sized(args, None, 100_000, 5000)]) for text in austen().values()]
    parts = {"learned": (0, 0.9), "choosing": (0.9, 0.95), "held out": (0.95, 1)}
    texts = {
        name: [pair for words in novels for pair in words[round(first * len(words)) : round(last * len(words))]]
        for name, (first, last) in parts.items()
    }
    counts = Counter(word for word, _ in texts["learned"])
    known = [word for word, count in counts.most_common() if count > 2]
    number_of = {word: number for number, word in enumerate(known, UNKNOWN + 1)}
    ids, tags = rows(texts["learned"], number_of)
    choosing, test = rows(texts["choosing"], number_of), rows(texts["held out"], number_of)
    print(f"{ids.numel()} words to learn from, {test[0].numel()} held out, {len(known)} different ones known")

    width = sized(args, 192, 64, 16)
    model = BiLSTMTagger(len(known) + 2, len(MARKS), 128, width, layers=1, dropout=0.4).to(args.device)
    batches = Batches(ids, tags, batch_size=sized(args, args.batch_size, args.batch_size, 4))
    optimizer = corten.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    schedule = corten.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=3e-3, total_steps=total_steps(args, len(batches)), pct_start=0.1, cycle_momentum=False
    )
    history = train(
        args,
        model,
        batches,
        lambda scores, tags: F.cross_entropy(scores.flatten(0, 1), tags.flatten()),
        optimizer,
        step_scheduler=schedule,
        clip_norm=1.0,
        validation=lambda model: {"f1": micro_f1(counted(model, *choosing))},
        monitor="val_f1",
        mode="max",
        restore_best=True,
    )

    draw_history(args.out / "curves.png", history)
    confusion = counted(model, *test)
    draw_confusion(args.out / "confusion.png", confusion)
    shown = sized(args, 4, 4, 1)
    first = texts["held out"][: shown * ROW]
    draw_texts(args.out / "sentences.png", {"held-out words": sentences(model, first, test[0][:shown])})
    told = by_counts(texts["learned"], texts["held out"])
    truth = corten.tensor([tag for _, tag in texts["held out"]])
    baseline = micro_f1(confusion_matrix(told, truth[:-1], num_classes=len(MARKS)))
    print_result("punctuation", "f1", micro_f1(confusion), round(baseline, 4))


if __name__ == "__main__":
    main()
