"""Generative adversarial networks: DCGAN (Radford et al., arXiv:1511.06434), WGAN-GP (Gulrajani et al., 1704.00028)
and the conditional one (Mirza and Osindero, 1411.1784), whose discriminator has spectral normalisation (Miyato et al.,
1802.05957) and tells the classes by projection (Miyato and Koyama, 1802.05637).
"""

from .. import autograd, cat, nn, rand
from ..nn import functional as F
from ..nn.utils.parametrizations import spectral_norm

__all__ = [
    "Discriminator",
    "Generator",
    "conditional_gan",
    "critic_loss",
    "dcgan",
    "discriminator_hinge_loss",
    "discriminator_loss",
    "generator_loss",
    "gradient_penalty",
    "wgan_gp",
]


def _start(size):
    """The edge of the smallest maps and how often it doubles: 64 is 4 doubled four times, 28 is 7 doubled twice."""
    doublings = 0
    while size % 2 == 0 and size > 4:
        size, doublings = size // 2, doublings + 1
    if doublings == 0:
        raise ValueError(f"size must be a multiple of 2 above 4, got {size}")
    return size, doublings


def _initialize(module):
    """The paper's weights: normal with a deviation of 0.02, around 1 where a normalisation scales."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif isinstance(layer, (nn.BatchNorm2d, nn.GroupNorm)):
            nn.init.normal_(layer.weight, 1.0, 0.02)


class Generator(nn.Module):
    """Noise ``(N, latent)`` to images ``(N, channels, size, size)`` from −1 to 1, by convolutions that double the size.

    Args:
        latent: numbers of noise for an image.
        channels: of the images.
        size: their edge in pixels: an even number, such as 64, 32 or 28.
        width: channels of the last hidden maps; each stage before has twice as many.
        num_classes: 0, or the number of classes, of which each image is told one.
    """

    def __init__(self, latent=100, channels=3, size=64, width=128, num_classes=0):
        super().__init__()
        start, doublings = _start(size)
        self.latent = latent
        self.embedding = nn.Embedding(num_classes, latent) if num_classes else None
        inputs, outputs = latent * (2 if num_classes else 1), width * 2 ** (doublings - 1)
        layers = [nn.Linear(inputs, outputs * start**2, bias=False), nn.Unflatten(1, (outputs, start, start))]
        layers += [nn.BatchNorm2d(outputs), nn.ReLU(True)]
        for _ in range(doublings - 1):
            inputs, outputs = outputs, outputs // 2
            layers.append(nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False))
            layers += [nn.BatchNorm2d(outputs), nn.ReLU(True)]
        layers += [nn.ConvTranspose2d(outputs, channels, 4, stride=2, padding=1, bias=False), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        _initialize(self)

    def forward(self, noise, labels=None):
        if self.embedding is not None:
            noise = cat([noise, self.embedding(labels)], 1)
        return self.layers(noise)


class Discriminator(nn.Module):
    """Images ``(N, channels, size, size)`` to logits ``(N,)`` of being real, by convolutions that halve the size.

    They halve it until the maps are 4 pixels wide or less, so that the last ones see most of an image at once; where
    all features are of small patches, any image of good patches will do, and the generator makes always the same one.

    Args:
        channels, size, width: as those of `Generator`, but that each stage has twice as many channels as that before.
        num_classes: 0, or the number of classes; the logit of an image then counts how well its features fit its class.
        norm: ``"batch"`` for DCGAN; ``"layer"`` for a critic of WGAN-GP, whose penalty is about each image alone;
            ``"spectral"`` for SN-GAN, where it is the weights that are normalised, those of the classes too.
    """

    def __init__(self, channels=3, size=64, width=128, num_classes=0, norm="batch"):
        super().__init__()
        norms = {"batch": nn.BatchNorm2d, "layer": lambda width: nn.GroupNorm(1, width), "spectral": nn.Identity}
        if norm not in norms:
            raise ValueError(f"norm must be 'batch', 'layer' or 'spectral', got {norm!r}")
        _start(size)  # Images of another size are none that a generator makes.
        biased = norm == "spectral"
        layers = [nn.Conv2d(channels, width, 4, stride=2, padding=1, bias=biased), nn.LeakyReLU(0.2, True)]
        size //= 2
        while size > 4:
            layers.append(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=biased))
            size, width = size // 2, 2 * width
            layers += [norms[norm](width), nn.LeakyReLU(0.2, True)]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(width * size**2, 1, bias=biased)
        self.embedding = nn.Embedding(num_classes, width) if num_classes else None
        _initialize(self)
        if num_classes:
            nn.init.normal_(self.embedding.weight, 0.0, 0.02)  # As the head's, which its rows are added to.
        if norm == "spectral":
            for layer in [*self.modules()]:
                if isinstance(layer, (nn.Conv2d, nn.Linear, nn.Embedding)):
                    spectral_norm(layer)

    def forward(self, images, labels=None):
        features = self.features(images)
        logits = self.head(features.flatten(1)).flatten()
        if self.embedding is not None:
            logits = logits + (self.embedding(labels) * features.sum((2, 3))).sum(1)
        return logits


def discriminator_loss(real, fake):
    """The cross-entropy of logits ``(N,)`` of real and of made images (Goodfellow et al., arXiv:1406.2661)."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(fake):
    """That of the generator, in the form whose gradient does not fade while the discriminator is right."""
    return F.softplus(-fake).mean()


def discriminator_hinge_loss(real, fake):
    """The hinge loss of logits ``(N,)`` of real and of made images, which leaves alone those beyond a margin of 1.

    The generator's is then ``-fake.mean()`` (Lim and Ye, arXiv:1705.02894).
    """
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def critic_loss(real, fake):
    """The negative estimate of the Wasserstein distance, of a critic's values ``(N,)``."""
    return fake.mean() - real.mean()


def gradient_penalty(critic, real, fake, *labels):
    """The mean of ``(|gradient| - 1)²`` at points drawn between real and made images (WGAN-GP, equation 3).

    Args:
        critic: a function of images and labels that gives ``(N,)``; no normalisation may mix the images of a batch.
        real, fake: images ``(N, C, H, W)``.
        labels: what else the critic takes.
    """
    between = rand(len(real), 1, 1, 1, device=real.device)
    points = (between * real.detach() + (1 - between) * fake.detach()).requires_grad_()
    (gradient,) = autograd.grad(critic(points, *labels).sum(), points, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def dcgan(latent=100, channels=3, size=64, width=128):
    """DCGAN: a `Generator` and a `Discriminator`; 12.7 and 11.0 million parameters at the paper's size."""
    return Generator(latent, channels, size, width), Discriminator(channels, size, width)


def wgan_gp(latent=100, channels=3, size=64, width=128):
    """WGAN-GP: a `Generator` and a critic that normalises each image by itself, to train with `gradient_penalty`."""
    return Generator(latent, channels, size, width), Discriminator(channels, size, width, norm="layer")


def conditional_gan(num_classes=10, latent=100, channels=1, size=28, width=64):
    """SN-GAN with classes: a `Generator` and a `Discriminator` that are told that of each image, by default 28 × 28.

    They have 1.4 and 0.7 million parameters.
    """
    generator = Generator(latent, channels, size, width, num_classes)
    return generator, Discriminator(channels, size, width, num_classes, norm="spectral")
