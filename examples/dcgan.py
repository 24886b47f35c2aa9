"""DCGAN draws clothes from noise, and the distance between drawn and real ones falls as it trains.

The data are Fashion-MNIST's training images. What is measured is the Fréchet distance between drawn images and the
real test images, in the features of a classifier that is trained on the training images first and then stays as it is.
It has to be smaller at the end than at half of the training.
"""

from __future__ import annotations

from collections.abc import Callable

import corten
import corten.nn.functional as F
from corten import nn
from corten.metrics import frechet_distance
from corten.models import dcgan
from corten.models.gan import discriminator_loss, generator_loss
from corten.training import Batches, History

from common import arguments, draw_history, draw_images, parse, positive, predict, print_result, sized, train
from datasets import Missing, fashion_mnist

LATENT = 64
FEATURES = 64


def read(args) -> tuple[corten.Tensor, corten.Tensor, corten.Tensor]:
    """Training images from -1 to 1 `(N, 1, 28, 28)`, their labels, and test images, on the device."""
    try:
        data, test = fashion_mnist(True), fashion_mnist(False)
    except Missing as missing:
        raise SystemExit(str(missing)) from None
    count, tested = sized(args, (60_000, 10_000), (20_000, 5000), (40, 100))
    images, others = (
        pixels.unsqueeze(1).to(args.device).float() / 127.5 - 1 for pixels in (data.data[:count], test.data[:tested])
    )
    return images, data.targets[:count].to(args.device), others


def feature_network(args, images: corten.Tensor, labels: corten.Tensor) -> nn.Sequential:
    """A classifier of the training images without its last layer: images `(N, 1, 28, 28)` to features `(N, 64)`."""
    features = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, FEATURES),
    )
    model = nn.Sequential(features, nn.ReLU(), nn.Linear(FEATURES, 10)).to(args.device)
    optimizer = corten.optim.AdamW(model.parameters(), lr=2e-3)
    steps = sized(args, None, None, 2)
    corten.fit(
        model, Batches(images, labels, batch_size=100), F.cross_entropy, optimizer, max_steps=steps, progress=False
    )
    return features.eval().requires_grad_(False)


class Distance:
    """The Fréchet distance between real images and those that a generator makes of always the same noise.

    Args:
        features: what `feature_network` gives.
        real: images `(N, 1, 28, 28)` that no network was trained on; as many are drawn.
        seed: of the noise.
    """

    def __init__(self, features: nn.Module, real: corten.Tensor, seed: int):
        self.features, self.real = features, predict(features, real)
        self.noise = corten.randn(len(real), LATENT, generator=corten.Generator().manual_seed(seed))

    def __call__(self, generator: nn.Module) -> float:
        made = predict(generator, self.noise, 500)
        return float(
            frechet_distance(predict(self.features, made.to(next(self.features.parameters()).device)), self.real)
        )


class Adversaries:
    """One step of both networks: the discriminator learns first, then the generator from what it says."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module, lr: float):
        self.generator, self.discriminator = generator, discriminator
        self.optimizers = [
            corten.optim.Adam(network.parameters(), lr=lr, betas=(0.5, 0.999)) for network in (generator, discriminator)
        ]

    def step(self, batch: tuple[corten.Tensor]) -> dict[str, corten.Tensor]:
        (images,) = batch
        made = self.generator(corten.randn(len(images), LATENT, device=images.device))
        told = discriminator_loss(self.discriminator(images), self.discriminator(made.detach()))
        self.update(1, told)
        fooled = generator_loss(self.discriminator(made))
        self.update(0, fooled)
        return {"generator": fooled.detach(), "discriminator": told.detach()}

    def update(self, which: int, loss: corten.Tensor) -> None:
        """A step of the generator, 0, or of the other one, 1."""
        self.optimizers[which].zero_grad()
        loss.backward()
        self.optimizers[which].step()


def compete(args, adversaries: Adversaries, images: corten.Tensor, batch_size: int, distance: Distance) -> History:
    """Trains both networks, the second half at a learning rate that falls; the distance is that of averaged weights."""
    batches = Batches(images, batch_size=batch_size, drop_last=True)
    steps = args.epochs * len(batches)
    schedules = [
        corten.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, 2 * (1 - step / steps)))
        for optimizer in adversaries.optimizers
    ]
    pair = nn.ModuleDict({"generator": adversaries.generator, "discriminator": adversaries.discriminator})
    return train(
        args,
        pair,
        batches,
        step=adversaries.step,
        manual=True,
        optimizer=adversaries.optimizers,
        step_scheduler=schedules,
        ema=max(0.9, 1 - 10 / steps),  # over the last tenth of the training, more or less
        validation=lambda pair: {"frechet": distance(pair["generator"])},
    )


def conclude(args, name: str, history: History, distance: Distance) -> None:
    """Draws samples and curves and prints the last line, with the distance at half of the training as the target."""
    distances = history["val_frechet"]
    half = distances[max(0, len(distances) // 2 - 1)]
    generator = history.averaged.module["generator"]
    draw_images(args.out / "samples.png", predict(generator, distance.noise[:64]), columns=16)
    draw_history(args.out / "curves.png", history)
    print_result(name, "frechet", distances[-1], round(half, 4))


def main(
    name: str = "dcgan",
    description: str | None = __doc__,
    networks: Callable = dcgan,
    adversaries: type[Adversaries] = Adversaries,
    epochs: int = 10,
    batch_size: int = 100,
) -> None:
    parser = arguments(description or "", epochs=epochs, quick_epochs=2, out=name)
    parser.add_argument("--batch-size", type=positive, default=batch_size)
    parser.add_argument("--lr", type=float, default=4e-4, help="learning rate of the first half")
    args = parse(parser)
    images, labels, real = read(args)
    distance = Distance(feature_network(args, images, labels), real, args.seed)
    pair = networks(LATENT, channels=1, size=28, width=sized(args, 32, 32, 8))
    both = adversaries(*(network.to(args.device) for network in pair), args.lr)
    history = compete(args, both, images, sized(args, args.batch_size, args.batch_size, 20), distance)
    conclude(args, name, history, distance)


if __name__ == "__main__":
    main()
