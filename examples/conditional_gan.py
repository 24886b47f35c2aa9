"""A GAN that is told a class draws clothes of it; a classifier that saw only drawn ones is tested on real ones.

Both networks are told the class of each image of Fashion-MNIST. The discriminator's weights have a spectral norm of 1:
its slopes stay bounded, so the generator learns from it at all times and does not settle on one image of each class. A
classifier then learns from nothing but images that the generator makes, equally many of each class, and what is
measured is its accuracy on the 10,000 real test images. Beside it stands the accuracy of the same classifier when it
learns from as many real training images.
"""

from __future__ import annotations

import corten
import corten.nn.functional as F
from corten import nn
from corten.models import conditional_gan
from corten.models.gan import discriminator_hinge_loss
from corten.training import Batches
from corten.vision.datasets import FashionMNIST

from common import arguments, draw_history, draw_images, parse, positive, predict, print_result, sized, train
from datasets import Missing, fashion_mnist

TARGET = 0.70
CLASSES = 10
LATENT = 64


def read(args) -> tuple[FashionMNIST, FashionMNIST]:
    """The training and the test images."""
    try:
        return fashion_mnist(True), fashion_mnist(False)
    except Missing as missing:
        raise SystemExit(str(missing)) from None


def scaled(pixels: corten.Tensor) -> corten.Tensor:
    """Bytes `(N, 28, 28)` as images `(N, 1, 28, 28)` from -1 to 1."""
    return pixels.unsqueeze(1).float() / 127.5 - 1


def classifier() -> nn.Sequential:
    """Two convolutions and two linear layers: images `(N, 1, 28, 28)` to scores `(N, 10)`."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(32 * 7 * 7, 64),
        nn.ReLU(),
        nn.Linear(64, CLASSES),
    )


def learned(args, images: corten.Tensor, labels: corten.Tensor, epochs: int) -> nn.Sequential:
    """A classifier that was trained on images `(N, 1, 28, 28)` and labels `(N,)`."""
    model = classifier().to(args.device)
    optimizer = corten.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    corten.fit(
        model,
        Batches(images, labels, batch_size=100),
        F.cross_entropy,
        optimizer,
        epochs=epochs,
        max_steps=sized(args, None, None, 2),
        progress=False,
    )
    return model


def accuracy_on(model: nn.Module, images: corten.Tensor, labels: corten.Tensor) -> float:
    return float((predict(model, images).argmax(1) == labels.cpu()).float().mean())


class Adversaries:
    """One step of both networks: the discriminator learns first, then the generator from what it says.

    Neither has momentum: what one learned from an earlier state of the other should not carry it past the present one.
    """

    def __init__(self, generator: nn.Module, discriminator: nn.Module, lr: float):
        self.generator, self.discriminator = generator, discriminator
        self.optimizers = [
            corten.optim.Adam(network.parameters(), lr=lr, betas=(0.0, 0.9)) for network in (generator, discriminator)
        ]

    def step(self, batch: tuple[corten.Tensor, corten.Tensor]) -> dict[str, corten.Tensor]:
        images, labels = batch
        made = self.generator(corten.randn(len(images), LATENT, device=images.device), labels)
        told = discriminator_hinge_loss(self.discriminator(images, labels), self.discriminator(made.detach(), labels))
        self._update(1, told)
        fooled = -self.discriminator(made, labels).mean()
        self._update(0, fooled)
        return {"generator": fooled.detach(), "discriminator": told.detach()}

    def _update(self, which: int, loss: corten.Tensor) -> None:
        self.optimizers[which].zero_grad()
        loss.backward()
        self.optimizers[which].step()


def drawn(generator: nn.Module, labels: corten.Tensor, batch_size: int = 500) -> corten.Tensor:
    """Images of the classes `(N,)`, from noise of the CPU's random generator."""
    generator.eval()
    device = next(generator.parameters()).device
    with corten.no_grad():
        parts = [
            generator(corten.randn(len(part), LATENT).to(device), part.to(device)) for part in labels.split(batch_size)
        ]
    return corten.cat(parts)


def main() -> None:
    parser = arguments(__doc__, epochs=8, quick_epochs=3, out="conditional_gan")
    parser.add_argument("--batch-size", type=positive, default=64)
    parser.add_argument("--lr", type=float, default=1e-3, help="learning rate of the first half")
    args = parse(parser)
    data, test = read(args)
    count = sized(args, 60_000, 20_000, 40)
    images, labels = scaled(data.data[:count]).to(args.device), data.targets[:count].to(args.device)
    batches = Batches(images, labels, batch_size=sized(args, args.batch_size, args.batch_size, 20), drop_last=True)

    width = sized(args, 32, 32, 8)
    generator, discriminator = (part.to(args.device) for part in conditional_gan(CLASSES, LATENT, width=width))
    adversaries = Adversaries(generator, discriminator, args.lr)
    steps = args.epochs * len(batches)
    schedules = [
        corten.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, 2 * (1 - step / steps)))
        for optimizer in adversaries.optimizers
    ]
    history = train(
        args,
        nn.ModuleDict({"generator": generator, "discriminator": discriminator}),
        batches,
        step=adversaries.step,
        manual=True,
        optimizer=adversaries.optimizers,
        step_scheduler=schedules,
        ema=max(0.9, 1 - 10 / steps),  # over the last tenth of the training, more or less
    )
    averaged = history.averaged.module["generator"]

    shown = corten.arange(CLASSES).repeat(8)
    draw_images(args.out / "samples.png", drawn(averaged, shown), data.classes, columns=CLASSES)
    draw_history(args.out / "curves.png", history)

    size = sized(args, 20_000, 4000, 40)
    wanted = corten.arange(size) % CLASSES
    shown_images = scaled(test.data[: sized(args, 10_000, 10_000, 100)]).to(args.device)
    shown_labels = test.targets[: len(shown_images)]
    of_real = accuracy_on(learned(args, images[:size], labels[:size], 4), shown_images, shown_labels)
    print(f"a classifier that learned from {size} real images: accuracy {of_real:.4f}")
    of_drawn = accuracy_on(
        learned(args, drawn(averaged, wanted), wanted.to(args.device), 4), shown_images, shown_labels
    )
    print_result("conditional_gan", "accuracy", of_drawn, TARGET)


if __name__ == "__main__":
    main()
