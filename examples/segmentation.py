"""A U-Net gives every pixel of a scene its class: the background, or one of ten kinds of clothes.

A scene is 64 × 64 pixels: one to four coloured items of Fashion-MNIST on a piece of a photo. Test scenes are made of
test images on photos that no training scene shows. What is measured is the mean over the eleven classes of
intersection over union, of the pixels of all test scenes together; how it goes during training is measured on scenes
that are made of training images and are neither trained on nor tested on.
"""

from __future__ import annotations

import corten
import corten.nn.functional as F
from corten.metrics import mean_iou
from corten.models import unet_padded
from corten.training import Batches

from common import (
    arguments,
    draw_history,
    draw_images,
    parse,
    positive,
    predict,
    print_result,
    sized,
    total_steps,
    train,
)
from datasets import ITEMS, Missing, Scenes, scenes

TARGET = 0.80
CLASSES = 1 + len(ITEMS)
# Colours of classes in pictures: black for the background, then ten that differ.
PALETTE = corten.tensor(
    [(0, 0, 0), (31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189), (140, 86, 75),
     (227, 119, 194), (127, 127, 127), (188, 189, 34), (23, 190, 207)]
)  # fmt: skip


def normalised(images: corten.Tensor) -> corten.Tensor:
    """Bytes `(N, 3, H, W)` as numbers around 0."""
    return images.float() / 127.5 - 1


def augmented(images: corten.Tensor, classes: corten.Tensor) -> tuple[corten.Tensor, corten.Tensor]:
    """Half of the scenes mirrored left to right, and the order of red, green and blue drawn for the batch."""
    mirrored = (corten.rand(len(images), 1, 1) < 0.5).to(images.device)
    images = corten.where(mirrored[:, None], images.flip(-1), images)[:, corten.randperm(3).to(images.device)]
    return normalised(images), corten.where(mirrored, classes.flip(-1), classes)


def made(args, count: int, seed: int, training: bool = True) -> tuple[corten.Tensor, corten.Tensor]:
    """Scenes as bytes `(N, 3, 64, 64)` and the classes of their pixels `(N, 64, 64)`, on the device."""
    try:
        found: Scenes = scenes(count, seed, train=training, classes=range(len(ITEMS)), questions=0)
    except Missing as missing:
        raise SystemExit(str(missing)) from None
    return found.images.to(args.device), found.semantic().to(args.device)


def overlap(output: corten.Tensor, classes: corten.Tensor) -> corten.Tensor:
    """Mean intersection over union of scores `(N, 11, H, W)` and classes `(N, H, W)`."""
    return mean_iou(output.argmax(1), classes, num_classes=CLASSES)


def draw_predictions(path, images: corten.Tensor, predicted: corten.Tensor, actual: corten.Tensor) -> None:
    """Draws scenes, the classes that were found in them, and those that are there, a column for each scene."""
    painted = [PALETTE[classes].permute(0, 3, 1, 2) / 255 for classes in (predicted, actual)]
    present = [sorted({ITEMS[number - 1] for number in classes.unique().tolist() if number}) for classes in actual]
    titles = [", ".join(names[:2]) for names in present] + ["found"] * len(images) + ["there"] * len(images)
    draw_images(path, corten.cat([images.float() / 255, *painted]), titles, columns=len(images))


def main() -> None:
    parser = arguments(__doc__, epochs=10, quick_epochs=1, out="segmentation")
    parser.add_argument("--batch-size", type=positive, default=32)
    parser.add_argument("--lr", type=float, default=3e-3, help="peak learning rate")
    args = parse(parser)
    count, watched = sized(args, (20_000, 500), (2400, 200), (16, 8))
    images, classes = made(args, count + watched, seed=args.seed)
    batches = Batches(
        images[:count],
        classes[:count],
        batch_size=sized(args, args.batch_size, args.batch_size, 8),
        drop_last=True,
        transform=augmented,
    )
    held_out = Batches(
        images[count:],
        classes[count:],
        batch_size=250,
        shuffle=False,
        transform=lambda images, classes: (normalised(images), classes),
    )

    model = unet_padded(3, CLASSES, width=sized(args, 16, 16, 4), depth=3).to(args.device)
    optimizer = corten.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.05)
    schedule = corten.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=args.lr, total_steps=total_steps(args, len(batches)), pct_start=0.25
    )
    history = train(
        args,
        model,
        batches,
        F.cross_entropy,
        optimizer,
        step_scheduler=schedule,
        validation=held_out,
        metrics={"iou": overlap},
    )

    images, classes = (part.cpu() for part in made(args, sized(args, 2000, 500, 8), seed=args.seed, training=False))
    found = predict(model, images, 250, lambda part: normalised(part)).argmax(1)
    each = mean_iou(found, classes, num_classes=CLASSES, average=None).tolist()
    for name, value in zip(("background", *ITEMS), each, strict=True):
        print(f"{name:<10} {value:.3f}")
    draw_predictions(args.out / "predictions.png", images[:8], found[:8], classes[:8])
    draw_history(args.out / "curves.png", history)
    print_result("segmentation", "miou", sum(each) / len(each), TARGET)


if __name__ == "__main__":
    main()
