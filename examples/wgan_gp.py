"""WGAN-GP draws clothes from noise; its critic estimates a distance, and a penalty keeps its slopes near 1.

Data, measure and target are those of dcgan.py: the Fréchet distance between drawn images and Fashion-MNIST's test
images, in the features of a classifier that stays as it is, smaller at the end than at half of the training. The critic
has five steps for each of the generator; the estimate that it gives falls as the images become alike.
"""

from __future__ import annotations

import corten
from corten.models import wgan_gp
from corten.models.gan import critic_loss, gradient_penalty

import dcgan

CRITIC_STEPS = 5
PENALTY = 10.0


class Adversaries(dcgan.Adversaries):
    """The critic's steps on a fifth of the batch each, then one of the generator."""

    def __init__(self, generator: corten.nn.Module, discriminator: corten.nn.Module, lr: float):
        super().__init__(generator, discriminator, lr)
        for optimizer in self.optimizers:
            optimizer.param_groups[0]["betas"] = (0.0, 0.9)  # The paper's, without momentum.

    def step(self, batch: tuple[corten.Tensor]) -> dict[str, corten.Tensor]:
        distance = penalty = corten.zeros(())
        for images in batch[0].chunk(CRITIC_STEPS):
            with corten.no_grad():
                made = self.generator(self.noise(images))
            distance = critic_loss(self.discriminator(images), self.discriminator(made))
            penalty = gradient_penalty(self.discriminator, images, made)
            self.update(1, distance + PENALTY * penalty)
        fooled = -self.discriminator(self.generator(self.noise(images))).mean()
        self.update(0, fooled)
        return {"distance": -distance.detach(), "penalty": penalty.detach()}

    def noise(self, images: corten.Tensor) -> corten.Tensor:
        return corten.randn(len(images), dcgan.LATENT, device=images.device)


if __name__ == "__main__":
    dcgan.main("wgan_gp", __doc__, wgan_gp, Adversaries, epochs=12, batch_size=320)
