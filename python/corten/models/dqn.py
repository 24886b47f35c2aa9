"""DQN (Mnih et al. 2015, "Human-level control"): values of actions, learned from replayed steps."""

import corten
import numpy

from .. import nn
from ..nn import functional as F
from ._mlp import mlp

__all__ = ["AtariQNetwork", "QNetwork", "ReplayBuffer", "dqn_loss", "epsilon_greedy"]


class DuelingHead(nn.Module):
    """Features ``(N, features)`` to values of actions ``(N, actions)``, split as in Wang et al., arXiv:1511.06581.

    The value of the state is one map and the advantage of each action another, of which the mean is taken away.
    """

    def __init__(self, features, actions):
        super().__init__()
        self.value = nn.Linear(features, 1)
        self.advantage = nn.Linear(features, actions)

    def forward(self, x):
        advantage = self.advantage(x)
        return self.value(x) + advantage - advantage.mean(1, keepdim=True)


def _head(features, actions, dueling):
    return DuelingHead(features, actions) if dueling else nn.Linear(features, actions)


class QNetwork(nn.Module):
    """Observations ``(N, observation)`` to the values of actions ``(N, actions)``.

    Args:
        observation, actions: sizes.
        hidden: widths of the layers between.
        dueling: whether the value of the state is learned apart, see `DuelingHead`.
    """

    def __init__(self, observation, actions, hidden=(128, 128), dueling=False):
        super().__init__()
        widths = [observation, *hidden]
        self.net = nn.Sequential(mlp(widths, last_activation=True), _head(widths[-1], actions, dueling))

    def forward(self, x):
        return self.net(x)


class AtariQNetwork(nn.Module):
    """The last four frames ``(N, 4, 84, 84)``, 0 to 255, to the values of actions ``(N, actions)``.

    Three convolutions and two linear maps; with six actions 1,687,206 parameters.
    """

    def __init__(self, actions, dueling=False):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(4, 32, 8, stride=4),
            nn.ReLU(),
            nn.Conv2d(32, 64, 4, stride=2),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * 7 * 7, 512),
            nn.ReLU(),
            _head(512, actions, dueling),
        )

    def forward(self, frames):
        return self.net(frames / 255.0)


class ReplayBuffer:
    """The latest ``capacity`` steps of environments, from which batches are drawn.

    Args:
        capacity: how many steps are kept.
        observation: shape of an observation.
        action: shape of an action; ``()`` for one of a few.
        action_dtype: numpy's dtype of actions.
        observation_dtype: numpy's dtype of observations, ``"uint8"`` for frames.
        seed: of the draws.
    """

    def __init__(self, capacity, observation, action=(), action_dtype="int64", observation_dtype="float32", seed=0):
        self.capacity, self.size, self._next = capacity, 0, 0
        self._rng = numpy.random.default_rng(seed)
        self._steps = {
            "observation": numpy.zeros((capacity, *observation), observation_dtype),
            "action": numpy.zeros((capacity, *action), action_dtype),
            "reward": numpy.zeros(capacity, "float32"),
            "next_observation": numpy.zeros((capacity, *observation), observation_dtype),
            "terminated": numpy.zeros(capacity, "float32"),
        }

    def add(self, observation, action, reward, next_observation, terminated):
        """Adds a step of each of n environments, arrays whose first dim is n; the oldest steps make room.

        ``terminated`` is true where nothing follows; a step that a time limit cut off has not terminated.

        Raises:
            ValueError: more steps than the buffer holds.
        """
        count = len(reward)
        if count > self.capacity:
            raise ValueError(f"ReplayBuffer: {count} steps at once, but there is room for {self.capacity}")
        places = (self._next + numpy.arange(count)) % self.capacity
        parts = (observation, action, reward, next_observation, terminated)
        for kept, part in zip(self._steps.values(), parts):
            kept[places] = part
        self._next = (self._next + count) % self.capacity
        self.size = min(self.size + count, self.capacity)

    def sample(self, batch_size, device=None):
        """A batch of steps by name, tensors ``(batch_size, …)``.

        Raises:
            ValueError: the buffer is empty.
        """
        if self.size == 0:
            raise ValueError("ReplayBuffer: there is no step to sample")
        places = self._rng.integers(self.size, size=batch_size)
        return {name: corten.from_numpy(kept[places]).to(device or "cpu") for name, kept in self._steps.items()}

    def state_dict(self):
        """The steps that are there, and the state of the draws: a buffer that loads it draws the same batches."""
        return {
            "steps": {name: corten.from_numpy(kept[: self.size].copy()) for name, kept in self._steps.items()},
            "next": self._next,
            "random": self._rng.bit_generator.state,
        }

    def load_state_dict(self, state):
        """Goes on from what `state_dict` told.

        Raises:
            ValueError: the steps have other shapes, or are more than there is room for.
        """
        for name, kept in self._steps.items():
            steps = state["steps"][name].numpy()
            if len(steps) > self.capacity or steps.shape[1:] != kept.shape[1:]:
                raise ValueError(f"ReplayBuffer: {name} {steps.shape} does not fit into {kept.shape}")
            kept[: len(steps)] = steps
            self.size = len(steps)
        self._next = state["next"]
        self._rng.bit_generator.state = state["random"]


def epsilon_greedy(values, epsilon, generator=None):
    """The best action of each row of ``values`` ``(N, actions)``, or with probability ``epsilon`` any: ``(N,)``."""
    count, actions = values.shape
    other = corten.randint(actions, (count,), device=values.device, generator=generator)
    explores = corten.rand(count, device=values.device, generator=generator) < epsilon
    return corten.where(explores, other, values.argmax(1))


def dqn_loss(online, target, batch, gamma=0.99, double=True):
    """Huber's loss of ``Q(s, a)`` against ``r + gamma max Q'(s', ·)``.

    Args:
        online, target: the network that learns, and its older copy.
        batch: as `ReplayBuffer.sample` gives it.
        gamma: discount.
        double: let the learning network choose the next action and the copy value it (van Hasselt et al., 1509.06461).
    """
    value = online(batch["observation"]).gather(1, batch["action"][:, None]).squeeze(1)
    with corten.no_grad():
        following = target(batch["next_observation"])
        chooser = online(batch["next_observation"]) if double else following
        best = following.gather(1, chooser.argmax(1, keepdim=True)).squeeze(1)
        goal = batch["reward"] + gamma * (1 - batch["terminated"]) * best
    return F.smooth_l1_loss(value, goal)
