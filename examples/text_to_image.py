"""Text to image: a diffusion U-Net draws what a caption tells, guided by a text encoder that learns with it.

A scene is 32 × 32 pixels: one to four coloured items of Fashion-MNIST, of six kinds, on a photo out of focus; its
caption tells class, number, colour and, where items differ or there is one, the places. The network learns to find the
noise in noised scenes, one time in ten without the caption, so that sampling can exaggerate what a caption changes:
classifier-free guidance. Samples are drawn by DDIM in few steps, some of them for comparison by DDPM's thousand.

A judge, a small convolutional network, reads kind and colour in each quarter of a scene. It learns from training
scenes, not from samples, and its own errors are told on test scenes. Captions of test scenes are drawn, and what is
measured is the share of samples in which the judge finds everything that the caption tells, and nothing else.
"""

from __future__ import annotations

import textwrap

import corten
import corten.nn.functional as F
from corten import nn
from corten.models import Diffusion, DiffusionUNet
from corten.models.diffusion_unet import TextEncoder
from corten.training import Batches

from common import arguments, draw_history, draw_images, parse, positive, print_result, sized, total_steps, train
from datasets import DISTINCT, Missing, Scenes, encode, scenes, vocabulary
from datasets.scenes import COLOURS

TARGET = 0.80
SIZE = 32
WORDS = 15  # of the longest caption
KINDS = 1 + len(DISTINCT)  # 0 for nothing
TINTS = 1 + len(COLOURS)


# -- what captions tell ---------------------------------------------------------------------------------------------


def made(count: int, seed: int, training: bool = True) -> Scenes:
    try:
        return scenes(count, seed, SIZE, training, questions=0, blur=8)
    except Missing as missing:
        raise SystemExit(str(missing)) from None


def scaled(images: corten.Tensor) -> corten.Tensor:
    """Bytes as numbers from -1 to 1."""
    return images.float() / 127.5 - 1


def quarters(data: Scenes) -> tuple[corten.Tensor, corten.Tensor]:
    """The kind and the colour in each quarter `(N, 4)`, 0 where there is nothing."""
    number = corten.zeros(max(DISTINCT) + 2, dtype=corten.int64)
    number[corten.tensor(DISTINCT) + 1] = corten.arange(1, KINDS)
    place = data.quarters.where(data.quarters >= 0, 4)  # a fifth quarter takes what is not there
    empty = corten.zeros(len(place), 5, dtype=corten.int64)
    return empty.scatter(1, place, number[data.labels + 1])[:, :4], empty.scatter(1, place, data.colours + 1)[:, :4]


def agreement(data: Scenes, kinds: corten.Tensor, tints: corten.Tensor) -> dict[str, corten.Tensor]:
    """Which of the scenes found, kinds and colours `(N, 4)` of quarters, are as the captions of `data` tell.

    Returns:
        Booleans `(N,)` for the number of items, their classes, their colours and their places, the last one true where
        the caption does not tell them; `"all"` is true where, besides, each item has its own class, colour and place.
    """
    true_kinds, true_tints = quarters(data)
    placed = corten.tensor([" at the " in caption for caption in data.captions])

    def present(numbers: corten.Tensor, count: int) -> corten.Tensor:
        return F.one_hot(numbers, count)[..., 1:].amax(1)

    found = {
        "number": (kinds > 0).sum(1) == (true_kinds > 0).sum(1),
        "class": (present(kinds, KINDS) == present(true_kinds, KINDS)).all(1),
        "colour": (present(tints, TINTS) == present(true_tints, TINTS)).all(1),
        "place": ~placed | ((kinds > 0) == (true_kinds > 0)).all(1),
    }
    exact = ((kinds == true_kinds) & (tints == true_tints)).all(1)
    alike = found["number"] & found["class"] & found["colour"]
    return found | {"all": corten.where(placed, exact, alike)}


# -- the judge ------------------------------------------------------------------------------------------------------


class Judge(nn.Module):
    """Scenes `(N, 3, 32, 32)` to scores of the kind `(N, 4, 7)` and the colour `(N, 4, 9)` in each quarter."""

    def __init__(self, width: int = 24):
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for outputs in (width, 2 * width, 4 * width):
            for stride in (1, 2):
                layers += [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
                inputs = outputs
        self.layers = nn.Sequential(*layers)
        self.hidden = nn.Linear(4 * inputs, 128)
        self.kind, self.tint = nn.Linear(128, KINDS), nn.Linear(128, TINTS)

    def forward(self, images: corten.Tensor) -> tuple[corten.Tensor, corten.Tensor]:
        maps = self.layers(images)  # (N, C, 4, 4): two by two for each quarter
        parts = maps.unfold(2, 2, 2).unfold(3, 2, 2).permute(0, 2, 3, 1, 4, 5).flatten(1, 2).flatten(2)
        hidden = F.relu(self.hidden(parts))
        return self.kind(hidden), self.tint(hidden)

    def quarters(self, images: corten.Tensor) -> tuple[corten.Tensor, corten.Tensor]:
        """The likeliest kinds and colours `(N, 4)`, on the CPU."""
        self.eval()
        with corten.no_grad():
            found = [[scores.argmax(-1).cpu() for scores in self(part)] for part in images.split(500)]
        kinds, tints = (corten.cat(parts) for parts in zip(*found, strict=True))
        return kinds, tints


def trained_judge(args, data: Scenes) -> Judge:
    """A judge that learned from scenes."""
    judge = Judge(sized(args, 32, 24, 4)).to(args.device)
    batches = Batches(
        *(part.to(args.device) for part in (data.images, *quarters(data))),
        batch_size=sized(args, 64, 64, 8),
        drop_last=True,
        transform=lambda images, kinds, tints: (scaled(images), kinds, tints),
    )
    optimizer = corten.optim.AdamW(judge.parameters(), lr=3e-3, weight_decay=0.05)
    epochs = sized(args, 10, 4, 1)
    steps = sized(args, epochs * len(batches), epochs * len(batches), 2)
    schedule = corten.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)

    def step(batch) -> corten.Tensor:
        images, kinds, tints = batch
        kind, tint = judge(images)
        return F.cross_entropy(kind.mT, kinds) + F.cross_entropy(tint.mT, tints)

    options = dict(step=step, optimizer=optimizer, step_scheduler=schedule, epochs=epochs, max_steps=steps)
    corten.fit(judge, batches, progress=False, **options)
    return judge


# -- the painter ----------------------------------------------------------------------------------------------------


class Painter(nn.Module):
    """The noise in scenes `(N, 3, 32, 32)` at steps `(N,)`, told of captions `(N, 15)`.

    Two by two pixels are one for the U-Net, which makes it four times as fast (Hoogeboom et al., arXiv:2301.11093).
    It is told where they are: without, it draws the right items at wrong places.
    """

    def __init__(self, width: int, text_width: int):
        super().__init__()
        words = TextEncoder(len(vocabulary()), text_width, length=WORDS, init_std=1.0)
        told = dict(text_encoder=words, text_width=text_width, coordinates=True)
        self.unet = DiffusionUNet(12, width, (1, 2), 1, (1,), 4, **told)

    def forward(self, images: corten.Tensor, step: corten.Tensor, tokens: corten.Tensor | None) -> corten.Tensor:
        return F.pixel_shuffle(self.unet(F.pixel_unshuffle(images, 2), step, tokens), 2)


def draw(args, painter: nn.Module, diffusion: Diffusion, captions: list[str], seed: int) -> corten.Tensor:
    """Samples for captions `(N, 3, 32, 32)`, from -1 to 1, from noise of the seed."""
    painter.eval()
    noise = corten.Generator().manual_seed(seed)
    parts = []
    for tokens in encode(captions, WORDS).to(args.device).split(100):
        start = corten.randn(len(tokens), 3, SIZE, SIZE, generator=noise).to(args.device)
        steps = sized(args, args.steps, args.steps, 2)
        parts.append(diffusion.ddim(painter, start.shape, tokens, args.guidance, steps, start=start))
    return corten.cat(parts)


def parse_arguments():
    parser = arguments(__doc__, epochs=10, quick_epochs=1, out="text_to_image")
    parser.add_argument("--batch-size", type=positive, default=32)
    parser.add_argument("--lr", type=float, default=1e-3, help="peak learning rate")
    parser.add_argument("--guidance", type=float, default=3.0, help="how often what the caption changes is taken")
    parser.add_argument("--steps", type=positive, default=30, help="of DDIM for a sample")
    return parse(parser)


def main() -> None:
    args = parse_arguments()
    data = made(sized(args, 20_000, 4000, 32), seed=args.seed)
    test = made(sized(args, 2000, 500, 16), seed=args.seed, training=False)
    judge = trained_judge(args, data)
    seen = agreement(test, *judge.quarters(scaled(test.images).to(args.device)))
    print("the judge on test scenes:", ", ".join(f"{name} {float(v.float().mean()):.3f}" for name, v in seen.items()))

    batches = Batches(
        data.images.to(args.device),
        encode(data.captions, WORDS).to(args.device),
        batch_size=sized(args, args.batch_size, args.batch_size, 8),
        drop_last=True,
        transform=lambda images, tokens: (scaled(images), tokens),
    )
    painter = Painter(*sized(args, (64, 128), (64, 128), (16, 32))).to(args.device)
    diffusion = Diffusion(sized(args, 1000, 1000, 4), "cosine", "velocity").to(args.device)
    optimizer = corten.optim.AdamW(painter.parameters(), lr=args.lr, weight_decay=0.01)
    schedule = corten.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=args.lr, total_steps=total_steps(args, len(batches)), pct_start=0.1
    )
    history = train(
        args,
        painter,
        batches,
        step=lambda batch: diffusion.loss(painter, *batch),
        optimizer=optimizer,
        step_scheduler=schedule,
        clip_norm=1.0,
        ema=max(0.9, 1 - 20 / total_steps(args, len(batches))),  # over the last twentieth, more or less
    )

    count = sized(args, 500, 100, 8)
    asked = Scenes(*(part[:count] for part in test))
    samples = draw(args, history.averaged.module, diffusion, asked.captions, args.seed)
    found = agreement(asked, *judge.quarters(samples))
    for name, right in found.items():
        print(f"{name:<7} {float(right.float().mean()):.3f} of {count} samples")
    titles = [textwrap.fill(caption, 22) for caption in asked.captions[:16]]
    colours = ["black" if right else "red" for right in found["all"][:16].tolist()]
    draw_images(args.out / "samples.png", samples[:16] / 2 + 0.5, titles, colours, columns=4)
    if not args.quick:
        tokens = encode(asked.captions[:8], WORDS).to(args.device)
        slow = diffusion.ddpm(history.averaged.module, (len(tokens), 3, SIZE, SIZE), tokens, args.guidance)
        draw_images(args.out / "samples_ddpm.png", slow / 2 + 0.5, titles[:8], columns=4)
    draw_history(args.out / "curves.png", history)
    print_result("text_to_image", "judged_right", float(found["all"].float().mean()), TARGET)


if __name__ == "__main__":
    main()
