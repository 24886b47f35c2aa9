"""PPO: an actor and a critic, improved step by small step, balance a pole.

CartPole of Gymnasium. Eight environments are played for 32 steps each, by actions drawn from the actor; then both
networks are improved on these 256 steps 20 times, as far as the clipped objective lets them (Schulman et al. 2017).
Three seeds; each keeps the weights that did best in validation episodes. The result is the mean return of 100 other
episodes each, with the likeliest actions.
"""

from __future__ import annotations

import corten
import numpy as np
from corten import models

from common import arguments, parse, print_result, sized, train
from environments import EPISODES, Environments, draw_learning, draw_planes, evaluate, seeds

NAME, TARGET = "CartPole-v1", 475
ENVIRONMENTS, LENGTH, PASSES = 8, 32, 20
ROLLOUTS_PER_EPOCH = 10
GAMMA, LAMBDA = 0.98, 0.8


class Rollouts:
    """The batches for `fit`: stretches of play with the present weights, each of them several times.

    Args:
        model: the `models.ActorCritic` that plays.
        environments: where.
    """

    def __init__(self, model, environments: Environments) -> None:
        self.model, self.environments = model, environments
        self.device = next(model.parameters()).device
        self.batch: dict[str, corten.Tensor] = {}
        self.passes = 0

    def __iter__(self):
        while True:
            if self.passes % PASSES == 0:
                self.batch = self.played()
            self.passes += 1
            yield self.batch

    def tensor(self, array: np.ndarray) -> corten.Tensor:
        return corten.from_numpy(np.ascontiguousarray(array, np.float32)).to(self.device)

    def played(self) -> dict[str, corten.Tensor]:
        """`LENGTH` steps of all environments as one batch, with advantages and returns."""
        rows = []
        for _ in range(LENGTH):
            observation = self.tensor(self.environments.observation)
            action, log_prob, value = self.model.act(observation)
            following, *rest = self.environments.step(action.cpu().numpy())
            rows.append((observation, action, log_prob, value, *map(self.tensor, (following, *rest))))
        observation, action, log_prob, value, following, *rest = map(corten.stack, zip(*rows))
        with corten.no_grad():
            advantage, returns = models.gae(rest[0], value, self.model.value(following), *rest[1:], GAMMA, LAMBDA)
        names = ("observation", "action", "log_prob", "advantage", "returns")
        parts = (observation, action, log_prob, advantage, returns)
        return {name: part.flatten(0, 1) for name, part in zip(names, parts)}

    def state_dict(self) -> dict:
        return {"environments": self.environments.state_dict(), "batch": self.batch, "passes": self.passes}

    def load_state_dict(self, state: dict) -> None:
        self.environments.load_state_dict(state["environments"])
        self.batch = {name: part.to(self.device) for name, part in state["batch"].items()}
        self.passes = state["passes"]


def chances(model, observation: np.ndarray) -> corten.Tensor:
    """How likely each action is, `(N, 2)`."""
    device = next(model.parameters()).device
    with corten.no_grad():
        return model.distribution(corten.from_numpy(observation).to(device)).probs.cpu()


def likeliest(model):
    """The policy of the likeliest action."""
    return lambda observation: chances(model, observation).argmax(1).numpy()


def train_one(args):
    """Trains with one seed; returns the network and the history."""
    model = models.ActorCritic(4, 2).to(args.device)
    optimizer = corten.optim.Adam(model.parameters(), lr=1e-3)
    updates = ROLLOUTS_PER_EPOCH * PASSES
    schedule = corten.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=args.epochs * updates)

    def step(batch):
        loss, watched = models.ppo_loss(model, **batch, entropy_weight=0.0)
        return {"loss": loss, **watched}

    episodes = sized(args, 30, 10, 2)
    history = train(
        args,
        model,
        Rollouts(model, Environments(NAME, ENVIRONMENTS, args.seed)),
        step=step,
        optimizer=optimizer,
        step_scheduler=schedule,
        steps_per_epoch=updates,
        clip_norm=0.5,
        validation=lambda model: {"return": evaluate(NAME, likeliest(model), episodes, seed=2).mean()},
        monitor="val_return",
        mode="max",
        restore_best=True,
    )
    return model, history


def draw_policy(path, model) -> None:
    """How likely a push to the right is, and what the state is worth, over the pole's angle and its speed."""
    angle, speed = np.meshgrid(np.linspace(-0.2, 0.2, 81), np.linspace(-2, 2, 81))
    states = np.stack([0 * angle, 0 * angle, angle, speed], axis=-1).reshape(-1, 4).astype(np.float32)
    right = chances(model, states)[:, 1].numpy().reshape(81, 81)
    with corten.no_grad():
        worth = model.value(corten.from_numpy(states).to(next(model.parameters()).device)).cpu().numpy()
    seen: list[np.ndarray] = []

    def watched(observation: np.ndarray) -> np.ndarray:
        seen.append(observation[0, 2:])
        return likeliest(model)(observation)

    evaluate(NAME, watched, 1)
    planes = {"probability of a push to the right": right, "value of the state": worth.reshape(81, 81)}
    draw_planes(path, planes, ("angle of the pole", 0.2), ("its speed", 2.0), np.array(seen))


def main() -> None:
    args = parse(arguments(__doc__, epochs=40, quick_epochs=20, out="ppo"))
    histories, returns = [], []
    for own in seeds(args, sized(args, 3, 1, 1)):
        model, history = train_one(own)
        histories.append(history)
        returns.append(evaluate(NAME, likeliest(model), sized(args, EPISODES, EPISODES, 4)))
        print(f"seed {own.seed}: mean return {returns[-1].mean():.1f}, the worst {returns[-1].min():.0f}")
    draw_learning(args.out / "curves.png", histories, TARGET, ROLLOUTS_PER_EPOCH * LENGTH * ENVIRONMENTS)
    draw_policy(args.out / "policy.png", model)
    print_result("ppo", "return", float(np.mean(returns)), TARGET)


if __name__ == "__main__":
    main()
