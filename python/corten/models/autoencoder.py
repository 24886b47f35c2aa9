"""Autoencoders for small images: denoising (Vincent et al., ICML 2008), variational (Kingma and Welling,
arXiv:1312.6114), β-VAE (Higgins et al., ICLR 2017) and VQ-VAE (van den Oord et al., arXiv:1711.00937).

Images hold numbers from 0 to 1, and decoders give logits of pixels: the likelihood is Bernoulli's, in nats.
"""

from .. import bernoulli, empty, full_like, nn, no_grad, randn, randn_like, zeros
from ..nn import functional as F

__all__ = [
    "DenoisingAutoencoder",
    "VAE",
    "VQVAE",
    "VectorQuantizer",
    "beta_vae",
    "denoising_autoencoder",
    "vae",
    "vqvae",
]


class Encoder(nn.Sequential):
    """Images ``(N, in_channels, size, size)`` to ``(N, outputs)``; ``size`` is a multiple of 4."""

    def __init__(self, in_channels, outputs, width, size):
        super().__init__(
            nn.Conv2d(in_channels, width, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(2 * width * (size // 4) ** 2, 8 * width),
            nn.ReLU(),
            nn.Linear(8 * width, outputs),
        )


class Decoder(nn.Sequential):
    """Vectors ``(N, inputs)`` to logits of pixels ``(N, out_channels, size, size)``."""

    def __init__(self, inputs, out_channels, width, size):
        super().__init__(
            nn.Linear(inputs, 8 * width),
            nn.ReLU(),
            nn.Linear(8 * width, 2 * width * (size // 4) ** 2),
            nn.ReLU(),
            nn.Unflatten(1, (2 * width, size // 4, size // 4)),
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(width, out_channels, 4, stride=2, padding=1),
        )


def cross_entropy(logits, images):
    """The negative logarithm of the Bernoulli likelihood of images ``(N, ...)``, in nats; ``(N,)``."""
    return F.binary_cross_entropy_with_logits(logits, images, reduction="none").flatten(1).sum(1)


def _check_size(size):
    if size < 4 or size % 4:
        raise ValueError(f"size must be a multiple of 4, got {size}")


class DenoisingAutoencoder(nn.Module):
    """Images ``(N, in_channels, size, size)`` to logits of what they were before pixels were lost.

    Args:
        in_channels: of the images.
        features: numbers of the code.
        width: channels of the first convolution.
        size: the images' edge in pixels, a multiple of 4.
        destroyed: the share of pixels that are set to 0 in training.
    """

    def __init__(self, in_channels=1, features=64, width=32, size=28, destroyed=0.3):
        super().__init__()
        _check_size(size)
        self.destroyed = destroyed
        self.encoder = Encoder(in_channels, features, width, size)
        self.decoder = Decoder(features, in_channels, width, size)

    def corrupt(self, images):
        """Images of which a share of pixels is 0, all of a pixel's channels together."""
        kept = bernoulli(full_like(images[:, :1], 1 - self.destroyed))
        return images * kept

    def encode(self, images):
        """The codes ``(N, features)``."""
        return self.encoder(images)

    def forward(self, images):
        return self.decoder(self.encoder(self.corrupt(images) if self.training else images))

    def loss(self, images):
        """The mean of `cross_entropy` against the images as they were."""
        return cross_entropy(self(images), images).mean()


class VAE(nn.Module):
    """Images ``(N, in_channels, size, size)`` as draws from a decoder of normal codes.

    Args:
        in_channels: of the images.
        latent: numbers of a code.
        width: channels of the first convolution.
        size: the images' edge in pixels, a multiple of 4.
        beta: the weight of the divergence; 1 for the evidence lower bound, more for codes that are independent.
    """

    def __init__(self, in_channels=1, latent=20, width=32, size=28, beta=1.0):
        super().__init__()
        _check_size(size)
        self.latent, self.beta = latent, beta
        self.encoder = Encoder(in_channels, 2 * latent, width, size)
        self.decoder = Decoder(latent, in_channels, width, size)

    def encode(self, images):
        """The mean and the logarithm of the variance of the codes, ``(N, latent)`` each."""
        return self.encoder(images).chunk(2, 1)

    def forward(self, images):
        """Logits of pixels, and the mean and the logarithm of the variance of the codes."""
        mean, log_variance = self.encode(images)
        code = mean + (log_variance / 2).exp() * randn_like(mean)
        return self.decoder(code), mean, log_variance

    def terms(self, images):
        """The two parts of the negative evidence lower bound ``(N,)``: cross-entropy and divergence, in nats."""
        logits, mean, log_variance = self(images)
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2
        return cross_entropy(logits, images), divergence

    def loss(self, images):
        """The mean of cross-entropy plus ``beta`` times divergence; with ``beta`` 1 the negative lower bound."""
        reconstruction, divergence = self.terms(images)
        return (reconstruction + self.beta * divergence).mean()

    def sample(self, count):
        """Images ``(count, in_channels, size, size)`` from 0 to 1 of codes that are drawn."""
        device = next(self.parameters()).device
        return self.decoder(randn(count, self.latent, device=device)).sigmoid()


class VectorQuantizer(nn.Module):
    """Replaces vectors by the nearest of a codebook, which follows the vectors by moving averages (appendix A.1).

    The gradient passes as if nothing was replaced (straight-through). In training the first batch is what the codes
    are drawn from, and codes that nobody chose for long are drawn anew from the batch.

    Args:
        codes: their number K.
        dim: numbers of a code D.
        decay: of the moving averages.
        restart: a code is drawn anew when its moving count falls below this; 0 never.
    """

    def __init__(self, codes=128, dim=32, decay=0.99, restart=0.3):
        super().__init__()
        self.decay, self.restart = decay, restart
        self.register_buffer("codebook", randn(codes, dim))
        self.register_buffer("counts", zeros(codes))
        self.register_buffer("sums", zeros(codes, dim))

    def forward(self, x):
        """Of maps ``(N, D, H, W)``: those of codes, the commitment loss, and the codes' numbers ``(N, H, W)``."""
        vectors = x.permute(0, 2, 3, 1)
        flat = vectors.reshape(-1, vectors.shape[-1])
        with no_grad():
            if self.training:
                self._begin(flat)
            # |v - c|² without |v|², which is the same for all codes.
            numbers = (self.codebook.square().sum(1) - 2 * flat @ self.codebook.T).argmin(1)
            if self.training:
                self._follow(flat, numbers)
        numbers = numbers.view(vectors.shape[:-1])
        chosen = self.lookup(numbers)
        return x + (chosen - x).detach(), F.mse_loss(x, chosen.detach()), numbers

    def lookup(self, numbers):
        """The maps ``(N, D, H, W)`` of codes' numbers ``(N, H, W)``."""
        return F.embedding(numbers, self.codebook).permute(0, 3, 1, 2)

    def _drawn(self, flat):
        return flat[
            empty(len(self.codebook), device=flat.device).uniform_(0, len(flat)).long().clamp(max=len(flat) - 1)
        ]

    def _begin(self, flat):
        first = (self.counts.sum() == 0).to(flat.dtype)
        self.codebook.lerp_(self._drawn(flat), first)

    def _follow(self, flat, numbers):
        hot = F.one_hot(numbers, len(self.codebook)).to(flat.dtype)
        # The averages begin as if they had met one vector of each code for ever.
        fresh = (self.counts.sum() == 0).to(flat.dtype)
        self.counts.lerp_(full_like(self.counts, 1.0), fresh)
        self.sums.lerp_(self.codebook, fresh)
        self.counts.lerp_(hot.sum(0), 1 - self.decay)
        self.sums.lerp_(hot.T @ flat, 1 - self.decay)
        idle = (self.counts < self.restart).to(flat.dtype)
        self.counts.lerp_(full_like(self.counts, 1.0), idle)
        self.sums.lerp_(self._drawn(flat), idle[:, None])
        self.codebook.copy_(self.sums / self.counts[:, None])


class VQVAE(nn.Module):
    """Images ``(N, in_channels, H, W)`` as maps of codes ``(N, H / 4, W / 4)``, and back as logits of pixels.

    Args:
        in_channels: of the images.
        codes, dim: the number of codes and of their numbers.
        width: channels of the convolutions.
        commitment: the weight of how far the encoder's vectors are from their codes.
    """

    def __init__(self, in_channels=1, codes=128, dim=32, width=64, commitment=0.25):
        super().__init__()
        self.commitment = commitment
        self.encoder = nn.Sequential(
            nn.Conv2d(in_channels, width // 2, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width // 2, width, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            ResidualBlock(width),
            ResidualBlock(width),
            nn.Conv2d(width, dim, 1),
        )
        self.quantizer = VectorQuantizer(codes, dim)
        self.decoder = nn.Sequential(
            nn.Conv2d(dim, width, 3, padding=1),
            ResidualBlock(width),
            ResidualBlock(width),
            nn.ReLU(),
            nn.ConvTranspose2d(width, width // 2, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(width // 2, in_channels, 4, stride=2, padding=1),
        )

    def encode(self, images):
        """The codes' numbers ``(N, H / 4, W / 4)``."""
        return self.quantizer(self.encoder(images))[2]

    def decode(self, numbers):
        """Logits of the pixels of codes' numbers."""
        return self.decoder(self.quantizer.lookup(numbers))

    def forward(self, images):
        """Logits of pixels, the commitment loss, and the codes' numbers."""
        quantized, commitment, numbers = self.quantizer(self.encoder(images))
        return self.decoder(quantized), commitment, numbers

    def loss(self, images):
        """The mean of `cross_entropy` over the pixels plus the weighted commitment."""
        logits, commitment, _ = self(images)
        return F.binary_cross_entropy_with_logits(logits, images) + self.commitment * commitment


class ResidualBlock(nn.Module):
    """A 3 × 3 and a 1 × 1 convolution, each behind a ReLU, beside an identity."""

    def __init__(self, width):
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(), nn.Conv2d(width, width // 2, 3, padding=1), nn.ReLU(), nn.Conv2d(width // 2, width, 1)
        )

    def forward(self, x):
        return x + self.layers(x)


def denoising_autoencoder(in_channels=1, features=64, width=32, size=28):
    """`DenoisingAutoencoder`; 1.7 million parameters."""
    return DenoisingAutoencoder(in_channels, features, width, size)


def vae(in_channels=1, latent=20, width=32, size=28):
    """`VAE`; 1.7 million parameters."""
    return VAE(in_channels, latent, width, size)


def beta_vae(beta=4.0, in_channels=1, latent=10, width=32, size=28):
    """`VAE` whose divergence weighs ``beta`` times as much; 1.7 million parameters."""
    return VAE(in_channels, latent, width, size, beta)


def vqvae(in_channels=1, codes=128, dim=32, width=64):
    """`VQVAE`; 0.2 million parameters."""
    return VQVAE(in_channels, codes, dim, width)
