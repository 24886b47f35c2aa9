"""Scenes: coloured Fashion-MNIST items on photos, with boxes, masks, captions, questions and answers.

A scene has one to four items, each in a quarter of its own. Either all are of one class and colour ("three red bags"),
or they are two different ones ("a red bag at the top left and a blue shirt at the bottom right"). Everything that is
asked and told of a scene follows from its seed, and each question has one answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import corten
import corten.nn.functional as F
import numpy as np

from .images import SKIMAGE_PHOTOS, SKLEARN_PHOTOS, fashion_mnist, photo

ITEMS = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
PLURALS = tuple(f"{item}s" if item != "dress" else "dresses" for item in ITEMS)
# Classes that a small picture tells apart: without the look-alikes of shirts and of sneakers.
DISTINCT = (0, 1, 3, 7, 8, 9)
COLOURS = ("red", "green", "blue", "yellow", "purple", "cyan", "white", "orange")
TINTS = np.array(
    [(230, 40, 40), (50, 190, 60), (50, 90, 240), (240, 225, 60), (160, 60, 210), (60, 215, 225), (250, 250, 250),
     (245, 140, 30)],
    dtype=np.float32,
)  # fmt: skip
QUARTERS = ("top left", "top right", "bottom left", "bottom right")
NUMBERS = ("no", "one", "two", "three", "four")
SLOTS = 4
CHUNK = 1000
DIM = 0.6  # of the background, so that items stand out
VISIBLE = 0.1  # of an item's brightness, from which a pixel belongs to it
# Photos behind scenes for testing; the others are behind those for training.
HELD_OUT = ("astronaut", "coins", "rocket")


class Scenes(NamedTuple):
    """Scenes and what is known of them; arrays have four places for items, -1 or 0 where there are fewer.

    Attributes:
        images: bytes `(N, 3, S, S)`.
        instances: bytes `(N, S, S)`: 0 for the background, 1 to 4 for the items.
        labels: int64 `(N, 4)`: the class of each item as in Fashion-MNIST, or -1.
        colours: int64 `(N, 4)`: an index into `COLOURS`, or -1.
        quarters: int64 `(N, 4)`: an index into `QUARTERS`, or -1.
        boxes: float32 `(N, 4, 4)`: corners `(x1, y1, x2, y2)` in pixels, the second ones behind the last pixel.
        captions: N sentences.
        questions, answers: N lists of as many sentences, and words.
    """

    images: corten.Tensor
    instances: corten.Tensor
    labels: corten.Tensor
    colours: corten.Tensor
    quarters: corten.Tensor
    boxes: corten.Tensor
    captions: list[str]
    questions: list[list[str]]
    answers: list[list[str]]

    def semantic(self) -> corten.Tensor:
        """Classes of pixels `(N, S, S)`, int64: 0 for the background, otherwise the class of Fashion-MNIST plus 1."""
        classes = corten.cat([corten.zeros(len(self.labels), 1, dtype=corten.int64), self.labels + 1], 1)
        return classes.gather(1, self.instances.long().flatten(1)).reshape(self.instances.shape)


def scenes(
    count: int,
    seed: int = 0,
    size: int = 64,
    train: bool = True,
    classes: Sequence[int] = DISTINCT,
    same: float = 0.5,
    questions: int = 2,
    blur: int = 1,
) -> Scenes:
    """Scenes of the items of Fashion-MNIST on scikit-learn's and scikit-image's photos.

    Args:
        count: how many.
        seed: of everything that is drawn; other seeds give other scenes.
        size: of the square images, at least 32 pixels.
        train: items of the training images on eight photos; otherwise of the test images, on the three of `HELD_OUT`.
        classes: of the items; `DISTINCT` are those that captions can be asked to tell apart, `range(10)` are all.
        same: the share of scenes whose items are all alike.
        questions: asked about each scene.
        blur: the photos are out of focus: averaged over about so many pixels.

    Raises:
        find.Missing: a package is not installed.
    """
    data = fashion_mnist(train)
    behind = [_blurred(photo(name), blur) for name in SKLEARN_PHOTOS + SKIMAGE_PHOTOS if (name in HELD_OUT) != train]
    return compose(
        count, data.data.numpy(), data.targets.numpy(), behind, seed, size, classes, same=same, questions=questions
    )


def _blurred(photo: corten.Tensor, side: int) -> corten.Tensor:
    """Bytes `(3, H, W)` averaged over squares of `side` pixels, and drawn at the old size without steps."""
    if side == 1:
        return photo
    small = F.avg_pool2d(photo[None].float(), side, ceil_mode=True, count_include_pad=False)
    return F.interpolate(small, photo.shape[1:], mode="bilinear")[0].round().to(corten.uint8)


def varied(photos: Sequence[corten.Tensor], count: int, seed: int = 0) -> list[corten.Tensor]:
    """Photos `(3, H, W)` of bytes in colours and light that none was taken in, half of them two photos in one.

    What learns from scenes on few photos learns the photos; on these it learns what stands before them.
    """
    generator, found = np.random.default_rng(seed), []
    for _ in range(count):
        first, second = (photos[place].numpy() for place in generator.integers(0, len(photos), 2))
        height, width = np.minimum(first.shape[1:], second.shape[1:])
        share = generator.uniform(0, 0.6) * generator.integers(0, 2)
        both = (1 - share) * first[:, :height, :width] + share * second[:, :height, :width]
        # Each channel becomes a mixture of the three, and one picture in three its negative.
        mixed = np.tensordot(generator.dirichlet([1, 1, 1], 3), both, 1)
        mixed = 255 - mixed if generator.integers(0, 3) == 0 else mixed
        light = mixed * generator.uniform(0.5, 1.4) + generator.uniform(-40, 40)
        found.append(corten.from_numpy(light.clip(0, 255).astype(np.uint8)))
    return found


def compose(
    count: int,
    items: np.ndarray,
    targets: np.ndarray,
    backgrounds: list[corten.Tensor],
    seed: int = 0,
    size: int = 64,
    classes: Sequence[int] = DISTINCT,
    same: float = 0.5,
    questions: int = 2,
) -> Scenes:
    """Scenes of the given items, bytes `(M, 28, 28)` with targets `(M,)`, on backgrounds, bytes `(3, H, W)`.

    Other arguments are those of `scenes`.

    Raises:
        ValueError: images that are too small, or backgrounds smaller than the scenes, or a class without items.
    """
    if size < 32 or size % 2:
        raise ValueError(f"scenes: size should be an even number of at least 32, but got {size}")
    small = [tuple(photo.shape) for photo in backgrounds if min(photo.shape[1:]) < size]
    if small or not backgrounds:
        raise ValueError(f"scenes: backgrounds should be at least {size} pixels high and wide, but got {small}")
    members = [np.flatnonzero(targets == number) for number in classes]
    if not all(map(len, members)):
        raise ValueError(f"scenes: there are no items of some of the classes {tuple(classes)}")
    generator = np.random.default_rng(seed)
    labels, colours, quarters = _plan(generator, count, np.asarray(classes), same)
    images, instances = np.empty((count, 3, size, size), np.uint8), np.zeros((count, size, size), np.uint8)
    boxes = np.zeros((count, SLOTS, 4), np.float32)
    chosen = _choose(generator, labels, dict(zip(classes, members)))
    for start in range(0, count, CHUNK):
        part = slice(start, min(start + CHUNK, count))
        canvas = _backgrounds(generator, part.stop - part.start, backgrounds, size)
        for slot in range(SLOTS):
            rows = np.flatnonzero(labels[part, slot] >= 0)
            if len(rows):
                pictures = items[chosen[part, slot][rows]]
                tints, places = TINTS[colours[part, slot][rows]], quarters[part, slot][rows]
                found = _paint(generator, canvas, instances[part], rows, slot, pictures, tints, places)
                boxes[start + rows, slot] = found
        images[part] = np.rint(canvas).astype(np.uint8).transpose(0, 3, 1, 2)
    words = [_describe(*row) for row in zip(labels.tolist(), colours.tolist(), quarters.tolist())]
    asked = _ask(generator, labels, colours, quarters, np.asarray(classes), questions)
    arrays = (images, instances, labels, colours, quarters, boxes)
    return Scenes(*(corten.from_numpy(array) for array in arrays), words, *asked)


def _plan(
    generator: np.random.Generator, count: int, classes: np.ndarray, same: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classes, colours and quarters of the items `(N, 4)`, -1 where there are fewer."""
    alike = generator.random(count) < same
    number = np.where(alike, generator.integers(1, SLOTS + 1, count), 2)
    absent = np.arange(SLOTS) >= number[:, None]
    # Of two classes and colours each, all different, a scene uses one or both.
    kinds = generator.permuted(np.tile(classes, (count, 1)), axis=1)
    tints = generator.permuted(np.tile(np.arange(len(COLOURS)), (count, 1)), axis=1)
    other = np.where(alike[:, None], 0, np.arange(SLOTS) % 2) % min(len(classes), 2)
    labels = np.take_along_axis(kinds, other, 1)
    colours = np.take_along_axis(tints, np.where(alike[:, None], 0, np.arange(SLOTS) % 2), 1)
    quarters = generator.permuted(np.tile(np.arange(SLOTS), (count, 1)), axis=1)
    return tuple(np.where(absent, -1, values).astype(np.int64) for values in (labels, colours, quarters))


def _choose(generator: np.random.Generator, labels: np.ndarray, members: dict[int, np.ndarray]) -> np.ndarray:
    """A random item of each class that is asked for `(N, 4)`."""
    chosen = np.zeros_like(labels)
    for label, own in members.items():
        wanted = labels == label
        chosen[wanted] = own[generator.integers(0, len(own), int(wanted.sum()))]
    return chosen


def _backgrounds(generator: np.random.Generator, count: int, photos: list[corten.Tensor], size: int) -> np.ndarray:
    """Random squares of random photos, at random scales and mirrored: float32 `(N, S, S, 3)`."""
    canvas = np.empty((count, size, size, 3), np.float32)
    which = generator.integers(0, len(photos), count)
    for number, behind in enumerate(photos):
        rows = np.flatnonzero(which == number)
        pixels = behind.numpy().transpose(1, 2, 0)
        height, width = pixels.shape[:2]
        step = 1 + generator.random((len(rows), 1)) * min(min(height, width) / size - 1, 3)
        across = np.arange(size) * step
        top = generator.random((len(rows), 1)) * (height - 1 - across[:, -1:])
        left = generator.random((len(rows), 1)) * (width - 1 - across[:, -1:])
        mirrored = generator.random((len(rows), 1)) < 0.5
        x = np.where(mirrored, across[:, ::-1], across) + left
        y = across + top
        canvas[rows] = pixels[y.astype(np.int64)[:, :, None], x.astype(np.int64)[:, None, :]] * np.float32(DIM)
    return canvas


def _paint(
    generator: np.random.Generator,
    canvas: np.ndarray,
    instances: np.ndarray,
    rows: np.ndarray,
    slot: int,
    pictures: np.ndarray,
    tints: np.ndarray,
    quarters: np.ndarray,
) -> np.ndarray:
    """Paints an item into each of the scenes `rows`, and returns its box `(R, 4)`.

    Each is of a random size, from three fifths of its quarter to all of it, at a random place of the quarter.
    """
    half = canvas.shape[1] // 2
    edge = generator.uniform(0.62, 1.0, (len(rows), 1)) * half
    corner = generator.random((len(rows), 2)) * (half - edge)  # y, x in the quarter
    pixel = np.arange(half) + 0.5
    value = _resampled(pictures, (pixel - corner[:, :1]) / edge, (pixel - corner[:, 1:]) / edge)
    seen = value > VISIBLE
    alpha = np.clip(value / VISIBLE, 0, 1)[..., None] * seen[..., None]
    shade = (0.35 + 0.65 * value)[..., None] * tints[:, None, None, :]
    y = (quarters // 2 * half)[:, None, None] + np.arange(half)[:, None]
    x = (quarters % 2 * half)[:, None, None] + np.arange(half)
    place = (rows[:, None, None], y, x)
    canvas[place] = canvas[place] * (1 - alpha) + shade * alpha
    instances[place] = np.where(seen, slot + 1, instances[place])
    return _boxes(seen) + np.stack([quarters % 2, quarters // 2] * 2, 1) * half


def _resampled(pictures: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Bytes `(R, 28, 28)` at shares of their height `(R, P)` and width, bilinear: `(R, P, P)`, 0 to 1, 0 outside."""

    def weights(share: np.ndarray, size: int) -> np.ndarray:
        distance = np.abs(share[:, :, None] * size - 0.5 - np.arange(size))
        return np.maximum(1 - distance, 0).astype(np.float32)

    height, width = pictures.shape[1:]
    return weights(y, height) @ (pictures.astype(np.float32) / 255) @ weights(x, width).transpose(0, 2, 1)


def _boxes(seen: np.ndarray) -> np.ndarray:
    """Boxes `(R, 4)` around what is true in `(R, P, P)`; zeros where nothing is."""
    size = seen.shape[1]
    found = []
    for axis in (1, 2):  # columns, then rows
        line = seen.any(axis)
        found.append((line.argmax(1), np.where(line.any(1), size - line[:, ::-1].argmax(1), 0)))
    (left, right), (top, bottom) = found
    return np.stack([left, top, right, bottom], 1).astype(np.float32)


def _article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def _describe(labels: list[int], colours: list[int], quarters: list[int]) -> str:
    """A scene in a sentence."""
    number = sum(label >= 0 for label in labels)
    if number == 1 or labels[0] != labels[1] or colours[0] != colours[1]:
        # The upper one first, the left one first of two at one height.
        present = sorted(range(number), key=lambda slot: quarters[slot])
        return " and ".join(
            f"{_article(COLOURS[colours[slot]])} {ITEMS[labels[slot]]} at the {QUARTERS[quarters[slot]]}"
            for slot in present
        )
    return f"{NUMBERS[number]} {COLOURS[colours[0]]} {PLURALS[labels[0]]}"


def _ask(
    generator: np.random.Generator,
    labels: np.ndarray,
    colours: np.ndarray,
    quarters: np.ndarray,
    classes: np.ndarray,
    questions: int,
) -> tuple[list[list[str]], list[list[str]]]:
    """Questions and answers: how many, what colour, where, what is there, is there one; each with one answer."""
    kinds = generator.integers(0, 5, (len(labels), questions))
    slots = generator.integers(0, 2, (len(labels), questions))
    others = classes[generator.integers(0, len(classes), (len(labels), questions))]
    places = generator.integers(0, SLOTS, (len(labels), questions))
    asked: list[list[str]] = []
    answers: list[list[str]] = []
    for row in zip(labels.tolist(), colours.tolist(), quarters.tolist(), *map(np.ndarray.tolist,
                   (kinds, slots, others, places))):  # fmt: skip
        pairs = [_question(*row[:3], *draw) for draw in zip(*row[3:])]
        asked.append([question for question, _ in pairs])
        answers.append([answer for _, answer in pairs])
    return asked, answers


def _question(
    labels: list[int], colours: list[int], quarters: list[int], kind: int, slot: int, other: int, place: int
) -> tuple[str, str]:
    """One question of a kind about a scene. Those about an item's place need it to be the only one of its class."""
    slot = slot if labels[slot] >= 0 else 0
    label = labels[slot]
    if kind == 2 and labels.count(label) > 1:
        kind = 0
    if kind == 0:
        named = label if place else other  # one time in four perhaps another class, which may be absent
        return f"how many {PLURALS[named]} are there?", NUMBERS[labels.count(named)]
    if kind == 1:
        verb, word = ("are", PLURALS[label]) if labels.count(label) > 1 else ("is", ITEMS[label])
        return f"what colour {verb} the {word}?", COLOURS[colours[slot]]
    if kind == 2:
        return f"where is the {ITEMS[label]}?", QUARTERS[quarters[slot]]
    if kind == 3:
        found = ITEMS[labels[quarters.index(place)]] if place in quarters else "nothing"
        return f"what is at the {QUARTERS[place]}?", found
    named = label if place % 2 else other
    return f"is there a {ITEMS[named]}?", "yes" if named in labels else "no"


def vocabulary() -> list[str]:
    """All words of captions, questions and answers, behind the padding, which is number 0."""
    words = {
        "a",
        "an",
        "and",
        "are",
        "at",
        "colour",
        "how",
        "is",
        "many",
        "nothing",
        "the",
        "there",
        "what",
        "where",
        "yes",
    }
    words |= {word for place in QUARTERS for word in place.split()}
    return ["", *sorted(words | set(ITEMS) | set(PLURALS) | set(COLOURS) | set(NUMBERS)), "?"]


def encode(sentences: Sequence[str], width: int | None = None) -> corten.Tensor:
    """Words of sentences as their places in `vocabulary` `(N, width)`, int64, padded with 0 behind.

    Args:
        width: that of the longest sentence where not given.

    Raises:
        ValueError: a sentence is longer, or has a word that is not known.
    """
    number = {word: place for place, word in enumerate(vocabulary())}
    split = [sentence.replace("?", " ?").split() for sentence in sentences]
    unknown = {word for words in split for word in words} - set(number)
    longest = max(map(len, split), default=0)
    width = longest if width is None else width
    if unknown or longest > width:
        raise ValueError(f"encode: unknown words {sorted(unknown)}, longest sentence of {longest} words, width {width}")
    numbers = np.zeros((len(split), width), np.int64)
    for row, words in zip(numbers, split):
        row[: len(words)] = [number[word] for word in words]
    return corten.from_numpy(numbers)
