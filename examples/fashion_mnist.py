"""Fashion-MNIST with two convolutions and batch norm; a killed run resumes from its checkpoint to the bit.

The data are the four IDX files of Debian's package dataset-fashion-mnist, or of the folder that --data names. The
accuracy is that of the network after the last epoch on the 10,000 test images, which training never sees.
"""

from __future__ import annotations

import corten
import corten.nn.functional as F
from corten import nn
from corten.training import Batches
from corten.vision.datasets import FashionMNIST

from common import (
    accuracy,
    arguments,
    draw_history,
    draw_samples,
    parse,
    positive,
    predict,
    print_result,
    sized,
    total_steps,
    train,
)

TARGET = 0.925
MEAN, STD = 0.286, 0.353  # of the training pixels, which are 0 to 1
TEST_BATCH = 1000


def network() -> nn.Sequential:
    """Two convolutions with batch norm, two linear layers: images `(N, 1, 28, 28)` to scores `(N, 10)`."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(64 * 7 * 7, 256),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(256, 10),
    )


def normalised(pixels: corten.Tensor) -> corten.Tensor:
    return (pixels.float() / 255 - MEAN) / STD


def flipped(images: corten.Tensor) -> corten.Tensor:
    """Half of the images, chosen at random, mirrored left to right."""
    mirrored = corten.rand(len(images), 1, 1, 1).to(images.device) < 0.5
    return corten.where(mirrored, images.flip(-1), images)


def tensors(data: FashionMNIST, args) -> tuple[corten.Tensor, corten.Tensor]:
    """Images `(N, 1, 28, 28)` as bytes and labels `(N,)`, on the device; a few of them with `--smoke`."""
    count = sized(args, len(data), len(data), 128)
    return data.data[:count].unsqueeze(1).to(args.device), data.targets[:count].to(args.device)


def parse_arguments():
    parser = arguments(__doc__, epochs=8, quick_epochs=1, out="fashion_mnist")
    parser.add_argument("--data", default="data", help="folder of the IDX files, before the one of Debian's package")
    parser.add_argument("--batch-size", type=positive, default=64)
    parser.add_argument("--lr", type=float, default=2e-3, help="peak learning rate")
    return parse(parser)


def main() -> None:
    args = parse_arguments()
    try:
        data, test = FashionMNIST(args.data, train=True), FashionMNIST(args.data, train=False)
    except RuntimeError as error:
        raise SystemExit(str(error)) from None
    images, labels = tensors(data, args)
    if args.batch_size > len(data):
        raise SystemExit(f"--batch-size {args.batch_size} is more than the {len(data)} training images")
    batches = Batches(
        images,
        labels,
        batch_size=min(args.batch_size, len(images)),
        drop_last=True,
        transform=lambda images, labels: (flipped(normalised(images)), labels),
    )
    held_out = Batches(
        *tensors(test, args),
        batch_size=TEST_BATCH,
        shuffle=False,
        transform=lambda images, labels: (normalised(images), labels),
    )

    model = network().to(args.device)
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
        metrics={"accuracy": accuracy},
    )

    shown = test.data[:32].unsqueeze(1)
    guesses = predict(model, shown, prepare=normalised).argmax(1).tolist()
    draw_samples(
        args.out / "predictions.png",
        shown,
        [test.classes[guess] for guess in guesses],
        [test.classes[label] for label in test.targets[:32].tolist()],
    )
    draw_history(args.out / "curves.png", history)
    print_result("fashion_mnist", "accuracy", history["val_accuracy"][-1], TARGET)


if __name__ == "__main__":
    main()
