"""SAC (Haarnoja et al., arXiv:1801.01290 and 1812.05905): as much reward as possible, as randomly as possible."""

import copy
import math

import corten

from .. import nn
from ..nn import functional as F
from ._mlp import mlp

__all__ = ["SAC", "SquashedGaussianActor", "TwinCritic", "soft_update"]


class SquashedGaussianActor(nn.Module):
    """Observations ``(N, observation)`` to actions ``(N, action)`` between bounds: tanh of a normal distribution.

    Args:
        observation, action: sizes.
        low, high: bounds of the actions, numbers or one for each.
        hidden: widths of the layers.
    """

    def __init__(self, observation, action, low=-1.0, high=1.0, hidden=(256, 256)):
        super().__init__()
        self.net = mlp([observation, *hidden, 2 * action])
        low, high = (corten.as_tensor(bound, dtype=corten.float32).expand(action) for bound in (low, high))
        self.register_buffer("scale", (high - low) / 2)
        self.register_buffer("centre", (high + low) / 2)

    def forward(self, observation, generator=None):
        """Draws actions through which gradients pass; returns them and their log probabilities ``(N,)``."""
        mean, log_std = self.net(observation).chunk(2, dim=-1)
        log_std = log_std.clamp(-20, 2)
        noise = corten.randn(mean.shape, device=mean.device, generator=generator)
        before = mean + log_std.exp() * noise
        log_prob = -0.5 * noise**2 - log_std - 0.5 * math.log(2 * math.pi)
        # log(1 - tanh(u)²) = 2 (log 2 - u - softplus(-2u)), which loses no digits where tanh is nearly 1.
        log_slope = 2 * (math.log(2) - before - F.softplus(-2 * before)) + self.scale.log()
        return self.centre + self.scale * before.tanh(), (log_prob - log_slope).sum(-1)

    @corten.no_grad()
    def best(self, observation):
        """The action at the mean, ``(N, action)``."""
        mean, _ = self.net(observation).chunk(2, dim=-1)
        return self.centre + self.scale * mean.tanh()


class TwinCritic(nn.Module):
    """Observations and actions to two values of them, ``(2, N)``; the smaller one is trusted (Fujimoto, 1802.09477)."""

    def __init__(self, observation, action, hidden=(256, 256)):
        super().__init__()
        self.q1 = mlp([observation + action, *hidden, 1])
        self.q2 = mlp([observation + action, *hidden, 1])

    def forward(self, observation, action):
        x = corten.cat([observation, action], dim=-1)
        return corten.stack([self.q1(x), self.q2(x)]).squeeze(-1)


@corten.no_grad()
def soft_update(target, online, tau=0.005):
    """Moves the parameters of ``target`` by the share ``tau`` towards those of ``online``."""
    for old, new in zip(target.parameters(), online.parameters()):
        old.lerp_(new, tau)


class SAC(nn.Module):
    """The actor, the critics with their slow copies, and the temperature that holds the entropy at its goal.

    Each loss belongs to the parameters of one part: `critic_loss` to ``critic``, `actor_loss` to ``actor``, and
    `temperature_loss` to ``log_alpha``. After a step of the critics comes `update_target`.

    Args:
        observation, action, low, high, hidden: see `SquashedGaussianActor`.
        gamma: discount.
        target_entropy: minus the number of an action's numbers by default.
        alpha: the temperature at first.
    """

    def __init__(
        self,
        observation,
        action,
        low=-1.0,
        high=1.0,
        hidden=(256, 256),
        gamma=0.99,
        target_entropy=None,
        alpha=1.0,
    ):
        super().__init__()
        self.gamma = gamma
        self.target_entropy = -float(action) if target_entropy is None else target_entropy
        self.actor = SquashedGaussianActor(observation, action, low, high, hidden)
        self.critic = TwinCritic(observation, action, hidden)
        self.target = copy.deepcopy(self.critic).requires_grad_(False)
        self.log_alpha = nn.Parameter(corten.tensor(math.log(alpha)))

    def critic_loss(self, batch):
        """Squared errors of both values against ``r + gamma (min Q'(s', a') - alpha log p(a'))``.

        ``batch`` is that of `dqn.ReplayBuffer.sample`.
        """
        with corten.no_grad():
            action, log_prob = self.actor(batch["next_observation"])
            following = self.target(batch["next_observation"], action).amin(0) - self.log_alpha.exp() * log_prob
            goal = batch["reward"] + self.gamma * (1 - batch["terminated"]) * following
        values = self.critic(batch["observation"], batch["action"])
        return ((values - goal) ** 2).mean(1).sum()

    def actor_loss(self, observation):
        """``alpha log p(a) - min Q(s, a)`` of fresh actions, and their log probabilities ``(N,)``."""
        action, log_prob = self.actor(observation)
        loss = (self.log_alpha.exp().detach() * log_prob - self.critic(observation, action).amin(0)).mean()
        return loss, log_prob.detach()

    def temperature_loss(self, log_prob):
        """Raises the temperature where actions are less random than ``target_entropy`` asks, and lowers it else."""
        return -(self.log_alpha.exp() * (log_prob + self.target_entropy)).mean()

    def update_target(self, tau=0.005):
        """Lets the copies follow the critics."""
        soft_update(self.target, self.critic, tau)
