"""Diffusion: how images become noise and noise becomes images. DDPM (Ho et al., arXiv:2006.11239), the cosine
schedule (Nichol and Dhariwal, 2102.09672), DDIM (Song et al., 2010.02502), classifier-free guidance (Ho and Salimans,
2207.12598) and the prediction of velocities (Salimans and Ho, 2202.00512).

The network that tells the noise is a function of images, steps and a condition: `corten.models.DiffusionUNet`.
"""

import math
from itertools import pairwise

from .. import bernoulli, cat, full, linspace, nn, no_grad, randint, randn, randn_like, zeros_like
from ..nn import functional as F

__all__ = ["Diffusion"]


def linear_betas(steps):
    """DDPM's variances of the noise of each step, for 1000 steps from 1e-4 to 0.02; in proportion for others."""
    scale = 1000 / steps
    return linspace(1e-4 * scale, min(0.02 * scale, 0.999), steps)


def cosine_betas(steps, offset=0.008):
    """Variances with which the share of the image falls as a squared cosine, at most 0.999."""
    kept = [math.cos((step / steps + offset) / (1 + offset) * math.pi / 2) ** 2 for step in range(steps + 1)]
    ratios = [min(1 - after / before, 0.999) for before, after in pairwise(kept)]
    return full((steps,), 0.0).new_tensor(ratios)


class Diffusion(nn.Module):
    """The noising process and its inverse for images ``(N, C, H, W)`` from −1 to 1.

    Conditions are token ids ``(N, T)`` of texts; the empty text, all 0, stands for no condition.

    Args:
        steps: T; step 0 is nearly the image, step T − 1 nearly noise.
        schedule: ``"linear"`` or ``"cosine"``.
        prediction: what networks tell: ``"noise"`` ε, or ``"velocity"`` ``√ᾱ ε − √(1 − ᾱ) x``, which is as large at
            every step and says of the image as much where there is little noise as where there is little image.

    Raises:
        ValueError: another schedule or prediction, or less than 1 step.
    """

    def __init__(self, steps=1000, schedule="cosine", prediction="noise"):
        super().__init__()
        schedules = {"linear": linear_betas, "cosine": cosine_betas}
        if schedule not in schedules:
            raise ValueError(f"schedule must be 'linear' or 'cosine', got {schedule!r}")
        if prediction not in ("noise", "velocity"):
            raise ValueError(f"prediction must be 'noise' or 'velocity', got {prediction!r}")
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        self.steps, self.prediction = steps, prediction
        self.register_buffer("betas", schedules[schedule](steps))
        # The share of the image's variance that is left behind each step: the papers' ᾱ.
        self.register_buffer("kept", (1 - self.betas).cumprod(0))

    def noised(self, images, step, noise):
        """The images ``(N, C, H, W)`` at the steps ``(N,)``: ``√ᾱ x + √(1 − ᾱ) ε``."""
        kept = self.kept[step][:, None, None, None]
        return kept.sqrt() * images + (1 - kept).sqrt() * noise

    def loss(self, network, images, tokens=None, dropped=0.1):
        """The mean squared error of the noise, or velocity, that the network tells, at steps drawn at random.

        Args:
            network: ``network(noised, step, tokens)`` gives the noise or the velocity.
            tokens: ``(N, T)``, or None without conditions.
            dropped: the probability with which a text is replaced by the empty one, for guidance.
        """
        step = randint(0, self.steps, (len(images),), device=images.device)
        noise = randn_like(images)
        if tokens is not None:
            kept = bernoulli(full((len(images), 1), 1 - dropped, device=images.device))
            tokens = tokens * kept.to(tokens.dtype)
        # A velocity is the noised image of a quarter turn later: noise in place of the image, less the image.
        target = noise if self.prediction == "noise" else self.noised(noise, step, -images)
        return F.mse_loss(network(self.noised(images, step, noise), step, tokens), target)

    def _noise(self, network, x, step, tokens, guidance):
        """The noise in ``x``, with what the text changes taken ``guidance`` times."""
        steps = full((len(x),), step, device=x.device)
        if tokens is None or guidance == 1.0:
            told = network(x, steps, tokens)
        else:
            twice = network(cat([x, x]), cat([steps, steps]), cat([zeros_like(tokens), tokens]))
            without, told = twice.chunk(2)
            told = without + guidance * (told - without)
        return told if self.prediction == "noise" else self.noised(told, steps, x)

    @no_grad()
    def ddpm(self, network, shape, tokens=None, guidance=1.0, clip=True):
        """Images of a shape ``(N, C, H, W)`` from noise, by all steps, each with fresh noise (algorithm 2 of DDPM).

        Args:
            network: see `loss`.
            tokens: the texts, or None.
            guidance: 1 for the texts as they are, more for images that show them more clearly.
            clip: keep each estimate of the image within −1 and 1.
        """
        device = self.betas.device
        x = randn(shape, device=device)
        kept = self.kept.tolist()
        for step in reversed(range(self.steps)):
            now, before = kept[step], kept[step - 1] if step else 1.0
            noise = self._noise(network, x, step, tokens, guidance)
            image = _image(x, noise, now, clip)
            beta = 1 - now / before
            x = (math.sqrt(before) * beta * image + math.sqrt(now / before) * (1 - before) * x) / (1 - now)
            if step:
                x = x + math.sqrt(beta * (1 - before) / (1 - now)) * randn_like(x)
        return x

    @no_grad()
    def ddim(self, network, shape, tokens=None, guidance=1.0, steps=50, eta=0.0, clip=True, start=None):
        """Images of a shape from noise by few steps (DDIM, equation 12); other arguments are those of `ddpm`.

        Args:
            steps: evenly spaced among all.
            eta: how much fresh noise there is: 0 for none, 1 for as much as in `ddpm`.
            start: the noise to start from; drawn by default.

        Raises:
            ValueError: more steps than there are.
        """
        if not 1 <= steps <= self.steps:
            raise ValueError(f"steps must be from 1 to {self.steps}, got {steps}")
        x = randn(shape, device=self.betas.device) if start is None else start
        kept = self.kept.tolist()
        times = [round(number * (self.steps - 1) / max(1, steps - 1)) for number in range(steps)]
        for step, previous in zip(reversed(times), [*reversed(times[:-1]), None]):
            now, before = kept[step], 1.0 if previous is None else kept[previous]
            noise = self._noise(network, x, step, tokens, guidance)
            image = _image(x, noise, now, clip)
            if clip:  # The noise that belongs to the image as it was clipped.
                noise = (x - math.sqrt(now) * image) / math.sqrt(1 - now)
            fresh = eta * math.sqrt((1 - before) / (1 - now) * (1 - now / before))
            x = math.sqrt(before) * image + math.sqrt(max(0.0, 1 - before - fresh**2)) * noise
            if fresh:
                x = x + fresh * randn_like(x)
        return x


def _image(x, noise, kept, clip):
    image = (x - math.sqrt(1 - kept) * noise) / math.sqrt(kept)
    return image.clamp(-1, 1) if clip else image
