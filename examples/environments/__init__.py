"""Gymnasium's environments for the programs that learn control: stepped together, resumed to the bit, judged, drawn.

CartPole balances a pole for up to 500 steps, a reward of 1 each; Pendulum swings one up within 200 steps, at a cost.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import gymnasium
import numpy as np
from corten.training import seed_everything
from matplotlib import pyplot

__all__ = ["EPISODES", "Environments", "Replay", "draw_learning", "draw_planes", "evaluate", "save", "seeds"]

EPISODES = 100  # that a trained policy is judged by
_JUDGED = 1_000_003  # the first seed of these: no training has it


class Environments:
    """A number of environments of one kind, each of which begins anew where its episode ends.

    Args:
        name: as Gymnasium knows it.
        count: how many.
        seed: of their beginnings.

    Attributes:
        observation: what is seen now, `(count, …)` of float32.
        returns: sums of the rewards of the episodes that ended.
    """

    def __init__(self, name: str, count: int, seed: int) -> None:
        self._environments = [gymnasium.make(name, disable_env_checker=True).unwrapped for _ in range(count)]
        self._limit = gymnasium.spec(name).max_episode_steps
        self.actions = self._environments[0].action_space
        begun = [own.reset(seed=seed * 1000 + k)[0] for k, own in enumerate(self._environments)]
        self.observation = np.stack(begun).astype(np.float32)
        self.age, self.returns = np.zeros(count, int), []
        self._gained = np.zeros(count)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Does an action in each; returns what follows, before anything begins anew, rewards, and two masks.

        The first mask tells which episodes ended by themselves, the second also those that the time limit cut off.
        """
        stepped = [own.step(action) for own, action in zip(self._environments, actions, strict=True)]
        following = np.stack([seen for seen, *_ in stepped]).astype(np.float32)
        reward = np.array([reward for _, reward, *_ in stepped], np.float32)
        terminated = np.array([ended for _, _, ended, *_ in stepped])
        self.age += 1
        self._gained += reward
        done = terminated | (self.age >= self._limit)
        self.observation = following.copy()
        for place in done.nonzero()[0]:
            self.observation[place] = self._environments[place].reset()[0]
            self.returns.append(float(self._gained[place]))
        self.age[done], self._gained[done] = 0, 0
        return following, reward, terminated, done

    def state_dict(self) -> dict:
        """Everything that a step reads or changes, as plain values."""
        return {
            "environments": [
                {
                    "state": [float(value) for value in own.state],
                    "random": own.np_random.bit_generator.state,
                    "beyond": getattr(own, "steps_beyond_terminated", None),
                }
                for own in self._environments
            ],
            "observation": self.observation.tolist(),
            "age": self.age.tolist(),
            "gained": self._gained.tolist(),
            "returns": list(self.returns),
        }

    def load_state_dict(self, state: dict) -> None:
        for own, kept in zip(self._environments, state["environments"], strict=True):
            own.state = np.array(kept["state"])
            own.np_random.bit_generator.state = kept["random"]
            own.steps_beyond_terminated = kept["beyond"]
        self.observation = np.array(state["observation"], np.float32)
        self.age, self._gained = np.array(state["age"]), np.array(state["gained"])
        self.returns = list(state["returns"])


class Replay:
    """Batches of remembered steps for `fit`, while a policy goes on and makes new ones.

    Args:
        environments: where steps are made.
        buffer: a `models.ReplayBuffer`.
        policy: observations `(N, …)` and the number of steps so far to actions, numpy's arrays.
        warmup: steps before the first batch.
        updates: batches between two steps of the environments.
        batch_size: remembered steps in a batch.
        device: where batches are put.
    """

    def __init__(self, environments, buffer, policy, warmup: int, updates: int, batch_size: int, device: str) -> None:
        self.environments, self.buffer, self.policy = environments, buffer, policy
        self.warmup, self.updates, self.batch_size, self.device = warmup, updates, batch_size, device
        self.steps = self.batches = 0

    def play(self) -> None:
        seen = self.environments.observation
        actions = self.policy(seen, self.steps)
        following, reward, terminated, _ = self.environments.step(actions)
        self.buffer.add(seen, actions, reward, following, terminated)
        self.steps += len(reward)

    def __iter__(self):
        while True:
            while self.steps < self.warmup:
                self.play()
            if self.batches % self.updates == 0:
                self.play()
            self.batches += 1
            yield self.buffer.sample(self.batch_size, self.device)

    def state_dict(self) -> dict:
        parts = {"environments": self.environments.state_dict(), "buffer": self.buffer.state_dict()}
        return {**parts, "steps": self.steps, "batches": self.batches}

    def load_state_dict(self, state: dict) -> None:
        self.environments.load_state_dict(state["environments"])
        self.buffer.load_state_dict(state["buffer"])
        self.steps, self.batches = state["steps"], state["batches"]


def evaluate(name: str, act: Callable[[np.ndarray], np.ndarray], episodes: int, seed: int = _JUDGED) -> np.ndarray:
    """Returns `(episodes,)` of a policy that maps observations `(N, …)` to actions; all episodes go on together.

    Args:
        seed: other ones begin otherwise.
    """
    environments = Environments(name, episodes, seed)
    gained, going = np.zeros(episodes), np.ones(episodes, bool)
    while going.any():
        _, reward, _, done = environments.step(act(environments.observation))
        gained += reward * going
        going &= ~done
    return gained


def seeds(args, count: int) -> Iterator[argparse.Namespace]:
    """The arguments for each of several trainings, with a seed and a folder of its own and everything seeded.

    Where a run is resumed, those trainings go on that have begun.
    """
    for number in range(count):
        own = argparse.Namespace(**vars(args) | {"seed": args.seed + number, "out": args.out / f"seed{number}"})
        own.out.mkdir(exist_ok=True)
        own.resume = args.resume and (own.out / "checkpoint.pt").exists()
        seed_everything(own.seed)
        print(f"seed {own.seed}")
        yield own


def draw_learning(path, histories, target: float, steps_per_epoch: int) -> None:
    """The validation's returns over the steps in the environment, a line for each training."""
    figure, panel = pyplot.subplots(figsize=(7, 4))
    for number, history in enumerate(histories):
        steps = np.array(history["epoch"]) * steps_per_epoch
        panel.plot(steps, history["val_return"], marker=".", label=f"seed {number}")
    panel.axhline(target, color="grey", linestyle=":", label="target")
    panel.set(xlabel="steps in the environment", ylabel="mean return of validation episodes")
    panel.legend()
    save(figure, path)


def draw_planes(
    path, planes: dict[str, np.ndarray], x: tuple[str, float], y: tuple[str, float], walk: np.ndarray
) -> None:
    """Draws what a network says over two of the state's numbers, `(rows, columns)` by title, and an episode's way.

    Args:
        x, y: label and limit; planes go from minus the limit to it.
        walk: `(T, 2)`.
    """
    figure, panels = pyplot.subplots(1, len(planes), figsize=(5.5 * len(planes), 4.2), squeeze=False)
    for panel, (title, plane) in zip(panels[0], planes.items(), strict=True):
        image = panel.imshow(plane, origin="lower", aspect="auto", extent=(-x[1], x[1], -y[1], y[1]), cmap="coolwarm")
        panel.plot(*walk.T, "k.", markersize=2)
        panel.set(title=title, xlabel=x[0], ylabel=y[0], xlim=(-x[1], x[1]), ylim=(-y[1], y[1]))
        figure.colorbar(image, ax=panel)
    save(figure, path)


def save(figure: pyplot.Figure, path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    print("wrote", path)
