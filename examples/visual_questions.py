"""A ViT looks at a scene, one GPT tells what is there and another answers questions about it.

A scene is 64 × 64 pixels: one to four coloured items of Fashion-MNIST on a piece of a photo. Questions are how many of
a kind there are, what colour they are, where one is, what is at a place and whether there is one of a kind. Captioner
and answerer share the ViT and learn together, so that captions teach it what answers alone would teach slowly. Its
patches are read by a stem of convolutions; cut out and read by one matrix, it took twice as long to learn half as much.

Every step has scenes that no step had before, made of items of the training images on photos whose colours and light
are changed. The curve of validation is about items and a photo that training leaves out, and test scenes are made of
test images on photos that neither shows. What is measured is the share of questions about them that are answered with
the right word or words.
"""

from __future__ import annotations

import textwrap

import corten
import corten.nn.functional as F
from corten import nn
from corten.models import Captioner, VisualQuestionAnswering, ViT
from corten.training import Batches

from common import arguments, draw_history, draw_images, parse, positive, print_result, sized, total_steps, train
from datasets import (
    DISTINCT,
    ITEMS,
    SKIMAGE_PHOTOS,
    SKLEARN_PHOTOS,
    Missing,
    Scenes,
    compose,
    encode,
    fashion_mnist,
    photo,
    scenes,
    varied,
    vocabulary,
)
from datasets.scenes import COLOURS, HELD_OUT, NUMBERS, QUARTERS

TARGET = 0.90
SIZE, PATCH = 64, 8
QUESTIONS = 4  # about each scene
WATCHED_ITEMS, WATCHED_PHOTO = 5000, "coffee"  # of the training images and photos, for validation alone
VARIANTS = 8  # of each photo
WORDS = 16  # of the longest caption, with its start or end
ASKED = 8  # words of the longest question
START, END = len(vocabulary()), len(vocabulary()) + 1
ANSWERS = (*NUMBERS, "yes", *COLOURS, *(ITEMS[label] for label in DISTINCT), "nothing", *QUARTERS)
KINDS = {"how": "number", "what colour": "colour", "where": "place", "what is": "item", "is": "presence"}


def normalised(images: corten.Tensor) -> corten.Tensor:
    """Bytes `(N, 3, H, W)` as numbers around 0."""
    return images.float() / 127.5 - 1


class Studio:
    """Makes scenes of the training images, for training and, of items and a photo of their own, for validation.

    What training gets follows from the state of corten's generator, so that a run that is resumed gets the same.
    """

    def __init__(self, args) -> None:
        data = fashion_mnist(not args.smoke)
        watched = sized(args, WATCHED_ITEMS, WATCHED_ITEMS, 500)
        self.items, self.targets = data.data.numpy()[:-watched], data.targets.numpy()[:-watched]
        self.watched = data.data.numpy()[-watched:], data.targets.numpy()[-watched:], [photo(WATCHED_PHOTO)]
        names = [name for name in SKLEARN_PHOTOS + SKIMAGE_PHOTOS if name not in (*HELD_OUT, WATCHED_PHOTO)]
        photos = [photo(name) for name in names[: sized(args, None, None, 2)]]
        self.photos = photos + varied(photos, sized(args, VARIANTS, VARIANTS, 1) * len(photos), args.seed)

    def fresh(self, count: int) -> Scenes:
        seed = int(corten.randint(2**31, ()))
        return compose(count, self.items, self.targets, self.photos, seed, SIZE, questions=QUESTIONS)

    def validation(self, count: int) -> Scenes:
        return compose(count, *self.watched, size=SIZE, questions=QUESTIONS)


def tensors(args, data: Scenes) -> tuple[corten.Tensor, ...]:
    """Images, captions `(N, 16)`, questions `(N, 4, 8)` and the numbers of their answers `(N, 4)`, on the device."""
    number = {answer: place for place, answer in enumerate(ANSWERS)}
    questions = encode([question for asked in data.questions for question in asked], ASKED)
    answers = corten.tensor([[number[answer] for answer in given] for given in data.answers])
    found = (data.images, encode(data.captions, WORDS), questions.reshape(-1, QUESTIONS, ASKED), answers)
    return tuple(part.to(args.device) for part in found)


class Speaker(nn.Module):
    """A captioner and an answerer that share the ViT which looks at the image."""

    def __init__(self, width: int, layers: int, text_layers: int, dropout: float = 0.0):
        super().__init__()
        eyes = ViT(SIZE, PATCH, 3, 0, width, layers, 4, 3 * width, dropout, stem="convolutions")
        sizes = dict(n_ctx=WORDS, n_embd=width, n_layer=text_layers, n_head=4, dropout=dropout)
        self.captioner = Captioner(eyes, END + 1, **sizes)
        self.answerer = VisualQuestionAnswering(eyes, END + 1, len(ANSWERS), **sizes)
        # Deviations of 0.02 at the beginning suit larger networks; from these they see sooner what is where.
        nn.init.normal_(eyes.pos_embed)
        for part in (eyes, self.captioner.decoder, self.answerer.reader):
            for weight in part.parameters():
                if weight.ndim == 2:
                    nn.init.normal_(weight, std=width**-0.5)

    def losses(self, images: corten.Tensor, captions: corten.Tensor, questions: corten.Tensor, answers: corten.Tensor):
        """The cross-entropies of the captions' words and of the answers, and the share of right answers."""
        memory = self.captioner.encoder.features(normalised(images))
        told = corten.cat([corten.full_like(captions[:, :1], START), captions], 1)
        length = (captions != 0).sum(1, keepdim=True)
        wanted = corten.cat([captions, corten.zeros_like(length)], 1).scatter(1, length, END)
        scores = self.captioner.decoder(told[:, :WORDS], memory=memory)
        caption = F.cross_entropy(scores.flatten(0, 1), wanted[:, :WORDS].flatten(), ignore_index=0)
        given = self.answers(memory, questions)
        answer = F.cross_entropy(given.flatten(0, 1), answers.flatten())
        right = (given.argmax(-1) == answers).float().mean()
        return {"loss": caption + answer, "caption": caption, "answer": answer, "accuracy": right}

    def answers(self, memory: corten.Tensor, questions: corten.Tensor) -> corten.Tensor:
        """Scores `(N, 4, answers)` of the answers to the questions `(N, 4, 8)` about each image."""
        each = memory.repeat_interleave(QUESTIONS, 0)
        return self.answerer.answers(each, questions.flatten(0, 1)).unflatten(0, (-1, QUESTIONS))


def answered(model: Speaker, images: corten.Tensor, questions: corten.Tensor) -> corten.Tensor:
    """The numbers of the likeliest answers `(N, 4)`, on the CPU."""
    model.eval()
    with corten.no_grad():
        found = [
            model.answers(model.captioner.encoder.features(normalised(part)), asked).argmax(-1).cpu()
            for part, asked in zip(images.split(250), questions.split(250), strict=True)
        ]
    return corten.cat(found)


def captions_of(model: Speaker, images: corten.Tensor) -> list[str]:
    """What the captioner says of images, by a beam of three."""
    words = vocabulary()
    model.eval()
    with corten.no_grad():
        parts = [model.captioner.caption(normalised(part), START, END, beams=3).tolist() for part in images.split(100)]
    return [" ".join(words[word] for word in row if word < START) for part in parts for row in part]


def kind(question: str) -> str:
    return next(name for start, name in KINDS.items() if question.startswith(start))


def report(data: Scenes, right: corten.Tensor) -> None:
    """Prints the share of right answers to each kind of question."""
    kinds = [kind(question) for asked in data.questions for question in asked]
    for name in KINDS.values():
        rows = corten.tensor([own == name for own in kinds])
        if rows.any():
            print(f"{name:<10} {float(right.flatten()[rows].float().mean()):.3f} of {int(rows.sum())} questions")


def draw_answers(path, data: Scenes, told: list[str], found: corten.Tensor, right: corten.Tensor) -> None:
    """Draws scenes with what was told of them and the answer to a question, red where that is wrong."""
    titles, colours = [], []
    for row, caption in enumerate(told):
        lines = (caption, data.questions[row][0], ANSWERS[found[row, 0]])
        titles.append("\n".join(textwrap.fill(line, 22) for line in lines))
        colours.append("black" if right[row, 0] else "red")
    draw_images(path, data.images[: len(told)].float() / 255, titles, colours, columns=4)


def main() -> None:
    parser = arguments(__doc__, epochs=5, quick_epochs=2, out="visual_questions")
    parser.add_argument("--batch-size", type=positive, default=48)
    parser.add_argument("--lr", type=float, default=1e-3, help="peak learning rate")
    args = parse(parser)
    try:
        studio = Studio(args)
        test = scenes(sized(args, 2000, 500, 16), args.seed, SIZE, train=False, questions=QUESTIONS)
    except Missing as missing:
        raise SystemExit(str(missing)) from None
    count, watched = sized(args, (30_000, 1000), (4000, 200), (32, 8))
    batches = Batches(
        corten.arange(count),
        batch_size=sized(args, args.batch_size, args.batch_size, 8),
        drop_last=True,
        transform=lambda rows: tensors(args, studio.fresh(len(rows))),
    )
    held_out = Batches(*tensors(args, studio.validation(watched)), batch_size=100, shuffle=False)

    model = Speaker(*sized(args, (128, 4, 2), (128, 4, 2), (32, 1, 1))).to(args.device)
    optimizer = corten.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.05)
    schedule = corten.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=args.lr, total_steps=total_steps(args, len(batches)), pct_start=0.2
    )
    history = train(
        args,
        model,
        batches,
        step=lambda batch: model.losses(*batch),
        optimizer=optimizer,
        step_scheduler=schedule,
        clip_norm=1.0,
        validation=held_out,
    )

    images, _, questions, answers = tensors(args, test)
    found = answered(model, images, questions)
    right = found == answers.cpu()
    report(test, right)
    told = captions_of(model, images[: sized(args, 500, 100, 8)])
    same = [one == other for one, other in zip(told, test.captions)]
    print(f"captions that say all and nothing wrong: {sum(same) / len(same):.3f} of {len(same)}")
    draw_answers(args.out / "answers.png", test, told[:8], found, right)
    draw_history(args.out / "curves.png", history)
    print_result("visual_questions", "accuracy", float(right.float().mean()), TARGET)


if __name__ == "__main__":
    main()
