"""PPO (Schulman et al., arXiv:1707.06347): an actor and a critic, improved step by small step."""

import itertools
import math

import corten

from .. import nn
from ..distributions import Categorical, Independent, Normal
from ..nn import functional as F

__all__ = ["ActorCritic", "gae", "ppo_loss"]


def _mlp(sizes, last_gain):
    """Linear maps with tanh between them, orthogonal at first."""
    layers = []
    for place, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        linear = nn.Linear(inputs, outputs)
        last = place == len(sizes) - 2
        nn.init.orthogonal_(linear.weight, gain=last_gain if last else math.sqrt(2))
        nn.init.zeros_(linear.bias)
        layers += [linear] if last else [linear, nn.Tanh()]
    return nn.Sequential(*layers)


class ActorCritic(nn.Module):
    """Observations ``(N, observation)`` to a distribution of actions and a value.

    Args:
        observation: features of an observation.
        actions: how many actions there are, or how many numbers an action has.
        continuous: whether actions are numbers ``(N, actions)``, normal around a mean, or one of a few ``(N,)``.
        hidden: widths of the layers of both networks.
    """

    def __init__(self, observation, actions, continuous=False, hidden=(64, 64)):
        super().__init__()
        self.actor = _mlp([observation, *hidden, actions], last_gain=0.01)
        self.critic = _mlp([observation, *hidden, 1], last_gain=1.0)
        self.log_std = nn.Parameter(corten.zeros(actions)) if continuous else None

    def distribution(self, observation):
        """How likely each action is."""
        x = self.actor(observation)
        if self.log_std is None:
            return Categorical(logits=x)
        return Independent(Normal(x, self.log_std.exp().expand_as(x)), 1)

    def value(self, observation):
        """The expected return of each state, ``(N,)``."""
        return self.critic(observation).squeeze(-1)

    @corten.no_grad()
    def act(self, observation):
        """Draws actions; returns them, their log probabilities ``(N,)`` and the values ``(N,)``."""
        distribution = self.distribution(observation)
        action = distribution.sample()
        return action, distribution.log_prob(action), self.value(observation)

    def forward(self, observation, action):
        """The log probabilities of actions, the distribution's entropy and the values, each ``(N,)``."""
        distribution = self.distribution(observation)
        return distribution.log_prob(action), distribution.entropy(), self.value(observation)


def gae(rewards, values, next_values, terminated, done, gamma=0.99, lam=0.95):
    """Advantages by generalised estimation (Schulman et al., arXiv:1506.02438) and the returns to learn.

    The advantage is the sum of ``(gamma lam)^k`` times the error ``r + gamma V(s') - V(s)`` k steps on, up to the end
    of the episode.

    Args:
        rewards, values: of T steps of N environments, ``(T, N)``.
        next_values: of the states that the steps led to, before a reset.
        terminated: 1 where nothing follows a step, ``(T, N)``.
        done: 1 where an episode ended for any reason, a time limit included.
        gamma, lam: discounts of rewards and of errors.

    Returns:
        Advantages and returns, ``(T, N)``.
    """
    errors = rewards + gamma * next_values * (1 - terminated) - values
    keep = gamma * lam * (1 - done)
    advantage, advantages = corten.zeros_like(rewards[0]), []
    for error, factor in zip(reversed(errors.unbind(0)), reversed(keep.unbind(0))):
        advantage = error + factor * advantage
        advantages.append(advantage)
    advantages = corten.stack(advantages[::-1])
    return advantages, advantages + values


def ppo_loss(model, observation, action, log_prob, advantage, returns, clip=0.2, value_weight=0.5, entropy_weight=0.01):
    """The clipped objective, the error of the values and the entropy's bonus, as one loss to make small.

    Args:
        model: an `ActorCritic`, or what gives log probabilities, entropy and values as it does.
        log_prob: of the actions when they were drawn.
        advantage: normalised here over the batch.
        returns: what the values should have been.
        clip: how far the ratio of probabilities may move for gain.

    Returns:
        The loss, and as numbers to watch ``approx_kl`` and ``clip_fraction``, scalar tensors.
    """
    new_log_prob, entropy, value = model(observation, action)
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    log_ratio = new_log_prob - log_prob
    ratio = log_ratio.exp()
    gain = corten.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage).mean()
    loss = -gain + value_weight * F.mse_loss(value, returns) - entropy_weight * entropy.mean()
    with corten.no_grad():
        watched = {
            "approx_kl": (ratio - 1 - log_ratio).mean(),
            "clip_fraction": ((ratio - 1).abs() > clip).float().mean(),
        }
    return loss, watched
