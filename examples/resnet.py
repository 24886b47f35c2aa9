"""A residual network of 20 layers on Fashion-MNIST, with augmentation.

The network is the ResNet-20 that He et al. trained on images of 32 × 32, for one channel. Each training image is
mirrored at random, moved by up to two pixels each way, and may lose a square of it, anew in every pass. The rate of
learning rises, then falls to zero. A picture shows where the network looks for the class that it names.

The accuracy is that of the network after the last epoch on the 10,000 test images, which training never sees.
"""

from __future__ import annotations

import corten
import corten.nn.functional as F
from corten import explain, models
from corten.training import Batches

from common import (
    accuracy,
    arguments,
    draw_history,
    draw_images,
    draw_samples,
    parse,
    predict,
    print_result,
    sized,
    total_steps,
    train,
)
from datasets import fashion_mnist
from fashion_mnist import flipped, normalised, tensors

TARGET = 0.935
SHIFT = 2  # pixels by which an image moves at most
HOLE = 8  # pixels of the edge of what is cut out


def shifted(images: corten.Tensor) -> corten.Tensor:
    """Each image `(N, C, H, W)` moved by up to `SHIFT` pixels down and right, or up and left, black coming in."""
    count, _, height, width = images.shape
    device = images.device
    down, right = corten.randint(0, 2 * SHIFT + 1, (2, count, 1), device="cpu").to(device)
    rows = (down + corten.arange(height, device=device))[:, :, None]
    columns = (right + corten.arange(width, device=device))[:, None, :]
    padded = F.pad(images, [SHIFT] * 4)
    number = corten.arange(count, device=device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[number, rows, columns].permute(0, 3, 1, 2)


def with_holes(images: corten.Tensor) -> corten.Tensor:
    """Each image with a square of zeros somewhere, half of the squares left out (Cutout, arXiv:1708.04552)."""
    count, _, height, width = images.shape
    top, left, kept = corten.rand(3, count, 1, device="cpu").to(images.device)
    rows = corten.arange(height, device=images.device) - (top * height - HOLE / 2)
    columns = corten.arange(width, device=images.device) - (left * width - HOLE / 2)
    inside = ((rows >= 0) & (rows < HOLE))[:, :, None] & ((columns >= 0) & (columns < HOLE))[:, None, :]
    return images * (~inside | (kept < 0.5)[:, :, None])[:, None]


def augmented(images: corten.Tensor) -> corten.Tensor:
    """Bytes as the network sees them in training; a hole is 0, the mean of all pixels."""
    return with_holes(normalised(shifted(flipped(images))))


def draw_attention(path, model, images: corten.Tensor, classes: list[str]) -> None:
    """Draws where the network looks for the class that it names, by Grad-CAM at the end of its second stage."""
    model.eval()
    inputs = normalised(images)
    named = model(inputs).argmax(1)
    maps = explain.LayerGradCam(model, model.layer2).attribute(inputs, target=named)
    drawn = [explain.overlay(image, heat, sign="positive") for image, heat in zip(images, maps, strict=True)]
    draw_images(path, corten.stack(drawn).float() / 255, [classes[name] for name in named.tolist()])


def main() -> None:
    args = parse(arguments(__doc__, epochs=14, quick_epochs=1, out="resnet"))
    test = fashion_mnist(train=False)
    images, labels = tensors(test if args.smoke else fashion_mnist(), args)
    if args.quick:
        images, labels = images[:20_000], labels[:20_000]
    batches = Batches(
        images,
        labels,
        batch_size=sized(args, 128, 128, 16),
        drop_last=True,
        transform=lambda images, labels: (augmented(images), labels),
    )
    held_out = Batches(
        *tensors(test, args),
        batch_size=500,
        shuffle=False,
        transform=lambda images, labels: (normalised(images), labels),
    )

    model = models.resnet20(in_channels=1, width=sized(args, 16, 16, 4)).to(args.device)
    optimizer = corten.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = corten.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.1, total_steps=total_steps(args, len(batches)), pct_start=0.2, cycle_momentum=False
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

    draw_history(args.out / "curves.png", history)
    shown = sized(args, 32, 32, 4)
    examples = test.data[:shown].unsqueeze(1)
    guesses = predict(model, examples, prepare=normalised).argmax(1).tolist()
    names = [test.classes[label] for label in test.targets[:shown].tolist()]
    draw_samples(args.out / "predictions.png", examples, [test.classes[guess] for guess in guesses], names)
    draw_images(args.out / "augmented.png", augmented(images[:1].repeat(sized(args, 16, 16, 2), 1, 1, 1)))
    draw_attention(args.out / "grad_cam.png", model, examples[:16].to(args.device), test.classes)
    print_result("resnet", "accuracy", history["val_accuracy"][-1], TARGET)


if __name__ == "__main__":
    main()
