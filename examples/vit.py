"""ViT on Fashion-MNIST: an image is a sequence of 16 patches, and attention shows which of them a class comes from.

The data are the 60,000 training images of Debian's package dataset-fashion-mnist, mirrored and shifted at random. The
accuracy is that of the network after the last epoch on the 10,000 test images, which training never sees.
"""

from __future__ import annotations

import corten
import corten.nn.functional as F
from corten.explain import attention_rollout, overlay
from corten.models import ViT
from corten.training import Batches, parameter_groups
from corten.vision.datasets import FashionMNIST

from common import (
    accuracy,
    arguments,
    draw_history,
    draw_images,
    draw_samples,
    parse,
    positive,
    predict,
    print_result,
    sized,
    total_steps,
    train,
)
from datasets import fashion_mnist

TARGET = 0.88
MEAN, STD = 0.286, 0.353  # of the training pixels, which are 0 to 1
SHIFT = 2  # pixels, at most
PATCH = 7


def network(args) -> ViT:
    """A ViT of 4 blocks with 0.4 million parameters: images `(N, 1, 28, 28)` to scores `(N, 10)`."""
    dim, depth = sized(args, (96, 4), (96, 4), (16, 1))
    # Positions that begin smaller than patches are hard to learn from so few images.
    sizes = dict(dim=dim, depth=depth, num_heads=4, mlp_dim=3 * dim)
    return ViT(28, PATCH, 1, 10, **sizes, dropout=0.05, init_std=0.1, pos_std=1.0)


def normalised(pixels: corten.Tensor) -> corten.Tensor:
    return (pixels.float() / 255 - MEAN) / STD


def augmented(pixels: corten.Tensor) -> corten.Tensor:
    """Each image shifted by up to two pixels, half of them mirrored."""
    count, side = len(pixels), pixels.shape[-1]
    shifts = corten.randint(0, 2 * SHIFT + 1, (2, count, 1)).to(pixels.device)
    place = corten.arange(side, device=pixels.device)
    rows, columns = shifts[0] + place, shifts[1] + place
    mirrored = corten.rand(count, 1).to(pixels.device) < 0.5
    columns = corten.where(mirrored, columns.flip(1), columns)
    padded = F.pad(pixels, [SHIFT] * 4)[:, 0]
    image = corten.arange(count, device=pixels.device)[:, None, None]
    return normalised(padded[image, rows[:, :, None], columns[:, None, :]][:, None])


def tensors(data: FashionMNIST, args) -> tuple[corten.Tensor, corten.Tensor]:
    """Images `(N, 1, 28, 28)` as bytes and labels `(N,)`, on the device; a few of them with `--smoke`."""
    count = sized(args, len(data), len(data), 128)
    return data.data[:count].unsqueeze(1).to(args.device), data.targets[:count].to(args.device)


def draw_attention(path, model: ViT, images: corten.Tensor) -> None:
    """Draws over images `(N, 1, 28, 28)` how much of each patch reaches the class token through all blocks."""
    device = next(model.parameters()).device
    model.eval()
    with corten.no_grad():
        attentions = model.attentions(normalised(images).to(device)).cpu()
    side = images.shape[-1] // PATCH
    maps = attention_rollout(attentions)[:, 0, 1:].reshape(-1, 1, side, side)
    maps = maps - maps.amin((1, 2, 3), keepdim=True)
    pairs = []
    for image, attention in zip(images, maps, strict=True):
        pairs += [image.expand(3, -1, -1) / 255, overlay(image, attention, sign="positive") / 255]
    draw_images(path, corten.stack(pairs), ["image", "attention"] * len(images))


def main() -> None:
    parser = arguments(__doc__, epochs=30, quick_epochs=1, out="vit")
    parser.add_argument("--batch-size", type=positive, default=128)
    parser.add_argument("--lr", type=float, default=2e-3, help="peak learning rate")
    args = parse(parser)
    data, test = fashion_mnist(train=True), fashion_mnist(train=False)
    images, labels = tensors(data, args)
    batches = Batches(
        images,
        labels,
        batch_size=min(args.batch_size, len(images)),
        drop_last=True,
        transform=lambda images, labels: (augmented(images), labels),
    )
    held_out = Batches(
        *tensors(test, args),
        batch_size=500,
        shuffle=False,
        transform=lambda images, labels: (normalised(images), labels),
    )

    model = network(args).to(args.device)
    print(f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters")
    optimizer = corten.optim.AdamW(parameter_groups(model, args.lr, weight_decay=0.05), betas=(0.9, 0.99))
    schedule = corten.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=args.lr, total_steps=total_steps(args, len(batches)), pct_start=0.15
    )
    history = train(
        args,
        model,
        batches,
        lambda scores, labels: F.cross_entropy(scores, labels, label_smoothing=0.05),
        optimizer,
        step_scheduler=schedule,
        validation=held_out,
        metrics={"accuracy": accuracy},
        clip_norm=1.0,
    )

    shown = test.data[:32].unsqueeze(1)
    guesses = predict(model, shown, prepare=normalised).argmax(1).tolist()
    draw_samples(
        args.out / "predictions.png",
        shown,
        [test.classes[guess] for guess in guesses],
        [test.classes[label] for label in test.targets[:32].tolist()],
    )
    draw_attention(args.out / "attention.png", model, shown[: sized(args, 16, 16, 4)])
    draw_history(args.out / "curves.png", history)
    print_result("vit", "accuracy", history["val_accuracy"][-1], TARGET)


if __name__ == "__main__":
    main()
