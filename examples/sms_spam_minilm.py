"""Spam among text messages, found by MiniLM: a trained encoder gets a new head and learns further.

The data are 4522 messages, 12.5 % of them spam. Some came several times; of those one is kept, since a message in both
the training and the test part would be known by heart. Five folds hold out a fifth each. The weights are
all-MiniLM-L6-v2's, a BERT of six layers: its words stay as they are, and layers learn the slower the nearer they are to
the input. MiniLM reads small letters; that a word was written in capitals, as spam likes it, is told in its place for
segments, which single messages do not need. F1 is that of spam, the mean over the folds' test parts.

Last the program asks which words speak for spam: how much the score falls when a word is masked.
"""

from __future__ import annotations

import corten
import corten.nn.functional as F
from corten.data import stratified_kfold
from corten.metrics import f1, precision, recall
from corten.models import Bert, BertForSequenceClassification, WordPiece
from corten.training import Batches, freeze, parameter_groups

from common import arguments, draw_curves, draw_texts, parse, part, predict, print_result, sized, total_steps, train
from datasets import minilm, sms_spam
from datasets.text import padded, trimmed

TARGET = 0.96
FOLDS = 5
BATCH = 32
LONGEST = 96  # tokens that are read of a message; three in a hundred have more
MASKED = 0.1
SPAM = 1


def tokens(words: WordPiece, text: str) -> tuple[list[int], list[int]]:
    """The tokens of a message, and for each whether its word is written in capitals."""
    ids, capitals = [words.cls], [0]
    for word in text.split():
        pieces = words.encode(word)[1:-1]
        ids += pieces
        capitals += [int(word.isupper() and sum(map(str.isupper, word)) > 1)] * len(pieces)
    return [*ids[: LONGEST - 1], words.sep], [*capitals[: LONGEST - 1], 0]


class Classifier(BertForSequenceClassification):
    """Tokens and whether they are capitals `(N, L, 2)` to scores of no spam and spam `(N, 2)`.

    In training a tenth of the tokens is masked, so that no single word decides.
    """

    def __init__(self, bert: Bert, mask: int) -> None:
        super().__init__(bert, 2, pooling="mean")
        self.mask = mask  # the last of the special tokens
        segments = bert.embeddings.token_type_embeddings.weight
        with corten.no_grad():
            segments[1] = segments[0]  # at first capitals make no difference

    def forward(self, x):
        ids = trimmed(x[..., 0])
        capitals, real = x[:, : ids.shape[1], 1], ids != 0
        if self.training:
            ids = corten.where((ids > self.mask) & (corten.rand(ids.shape, device=ids.device) < MASKED), self.mask, ids)
        return super().forward(ids, real, capitals)


def encoder(args) -> Bert:
    """MiniLM; with `--smoke` a small network that knows nothing."""
    if args.smoke:
        return Bert(30522, 16, 1, 2, 32, LONGEST)
    return Bert.from_pretrained(minilm())


def fine_tuned(args, words, ids, lengths, labels, rows) -> tuple[Classifier, corten.training.History]:
    """A classifier that learned from the given rows."""
    model = Classifier(encoder(args), words.mask).to(args.device)
    freeze(model, "bert.embeddings.word_embeddings")
    batches = Batches(ids[rows], labels[rows], batch_size=BATCH, lengths=lengths[rows])
    layers = [f"bert.encoder.layer.{number}" for number in range(len(model.bert.encoder["layer"]))]
    groups = parameter_groups(
        model,
        lr=args.lr,
        weight_decay=0.01,
        layer_decay=0.9,
        layers=["bert.embeddings", *layers, ["bert.pooler", "classifier"]],
    )
    optimizer = corten.optim.AdamW(groups)
    schedule = corten.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in groups],
        total_steps=total_steps(args, len(batches)),
        pct_start=0.1,
        cycle_momentum=False,
    )

    def loss(scores, spam):
        return F.cross_entropy(scores, spam, label_smoothing=0.1)  # some labels are doubtful

    return model, train(args, model, batches, loss, optimizer, step_scheduler=schedule, clip_norm=1.0)


def speaking_words(model: Classifier, words: WordPiece, text: str) -> list[tuple[str, float]]:
    """The tokens of a message, and how much masking each changes the score of spam, the largest being 1."""
    names = {number: name for name, number in words.ids.items()}
    row, capitals = tokens(words, text)
    ids = corten.tensor([row, capitals]).T[None]
    masked = ids.repeat(len(row), 1, 1)
    masked[..., 0].fill_diagonal_(words.mask)
    scores = predict(model, corten.cat([ids, masked])).log_softmax(1)
    margin = scores[:, SPAM] - scores[:, 1 - SPAM]
    change = margin[0] - margin[1:]
    pieces = [names[number] for number in row]
    # A piece that goes on with a word joins it, others have a space between.
    spelled = [piece[2:] if piece.startswith("##") else " " + piece for piece in pieces]
    return list(zip(spelled, (change / change.abs().max().clamp(min=1e-6)).tolist()))[1:-1]


def main() -> None:
    parser = arguments(__doc__, epochs=4, quick_epochs=1, out="sms_spam_minilm")
    parser.add_argument("--lr", type=float, default=1e-4, help="peak learning rate of the head")
    args = parse(parser)
    texts, spam = sms_spam()
    count = sized(args, len(texts), 1200, 40)
    texts, labels = texts[:count], corten.from_numpy(spam[:count]).long()
    words = WordPiece.from_json(minilm() / "tokenizer.json", LONGEST)
    rows, capitals = zip(*(tokens(words, text) for text in texts))
    numbers, lengths = padded(rows, words.pad)
    ids = corten.stack([numbers, padded(capitals)[0]], dim=2)
    folds = stratified_kfold(labels, FOLDS, corten.Generator().manual_seed(args.seed))

    losses, scores, guesses = {}, [], corten.zeros(count, dtype=corten.int64)
    for number, (rows, held_out) in enumerate(folds[: sized(args, FOLDS, 1, 2)], 1):
        model, history = fine_tuned(part(args, f"fold{number}"), words, ids, lengths, labels, rows)
        guess = predict(model, ids[held_out], 100).argmax(1)
        guesses[held_out] = guess
        losses[f"fold {number}"] = history["loss"]
        scores.append(f1(guess, labels[held_out]).item())
        rates = precision(guess, labels[held_out]).item(), recall(guess, labels[held_out]).item()
        print(f"fold {number}: F1 {scores[-1]:.4f}, precision {rates[0]:.4f}, recall {rates[1]:.4f}", flush=True)

    draw_curves(
        args.out / "curves.png", {"training loss": losses, "F1 of spam": {"held-out fold": scores}}, "epoch, fold"
    )
    shown = held_out[labels[held_out] == SPAM][:5].tolist() + held_out[guess != labels[held_out]][:5].tolist()
    kinds = ("no spam", "spam")
    draw_texts(
        args.out / "words.png",
        {
            f"{kinds[labels[row]]}, told to be {kinds[guesses[row]]} (message {row})": speaking_words(
                model, words, texts[row]
            )
            for row in dict.fromkeys(shown)
        },
    )
    print_result("sms_spam_minilm", "f1", sum(scores) / len(scores), TARGET)


if __name__ == "__main__":
    main()
