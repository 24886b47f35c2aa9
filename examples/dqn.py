"""DQN, double and dueling: values of actions learned from remembered steps balance a pole.

CartPole of Gymnasium. Eight environments are played by the best action, or with a probability that falls from 1 to
0.04 by any; from the last 50,000 steps come batches, of which the network learns what an action is worth (Mnih et al.
2015), with the next action chosen by the one copy and valued by the other (van Hasselt et al. 2015) and the state's
value apart from the actions' advantages (Wang et al. 2015). Three seeds; each keeps the weights that did best in
validation episodes. The result is the mean return of 100 other episodes each.
"""

from __future__ import annotations

import corten
import numpy as np
from corten import models
from corten.training import Callback

from common import arguments, parse, print_result, sized, train
from environments import EPISODES, Environments, Replay, draw_learning, draw_planes, evaluate, seeds

NAME, TARGET = "CartPole-v1", 475
ENVIRONMENTS, UPDATES, BATCH = 8, 4, 64
STEPS_PER_EPOCH = 1000  # in the environments
RATE = 2.3e-3
GAMMA, LEAST_EPSILON = 0.99, 0.04
FOLLOW_EVERY = 128  # updates


class Follow(Callback):
    """Lets the older copy become the present network every so many updates."""

    def on_step_end(self, run) -> None:
        if run.step % FOLLOW_EVERY == 0:
            run.model["target"].load_state_dict(run.model["online"].state_dict())


def networks(args) -> corten.nn.ModuleDict:
    """The network that learns, and its older copy."""
    online, target = (models.QNetwork(4, 2, hidden=(256, 256), dueling=True) for _ in range(2))
    target.load_state_dict(online.state_dict())
    return corten.nn.ModuleDict({"online": online, "target": target.requires_grad_(False)}).to(args.device)


def values(model, observation: np.ndarray) -> corten.Tensor:
    device = next(model.parameters()).device
    with corten.no_grad():
        return model["online"](corten.from_numpy(observation).to(device)).cpu()


def best(model):
    """The policy of the best action."""
    return lambda observation: values(model, observation).argmax(1).numpy()


def train_one(args):
    """Trains with one seed; returns the networks and the history."""
    model = networks(args)
    updates = STEPS_PER_EPOCH * UPDATES // ENVIRONMENTS
    explored = 0.16 * args.epochs * STEPS_PER_EPOCH

    def explore(observation: np.ndarray, steps: int) -> np.ndarray:
        epsilon = max(LEAST_EPSILON, 1 - (1 - LEAST_EPSILON) * steps / explored)
        return models.epsilon_greedy(values(model, observation), epsilon).numpy()

    data = Replay(
        Environments(NAME, ENVIRONMENTS, args.seed),
        models.ReplayBuffer(50_000, (4,), seed=args.seed),
        explore,
        warmup=sized(args, 1000, 1000, 2 * BATCH),
        updates=UPDATES,
        batch_size=BATCH,
        device=args.device,
    )
    optimizer = corten.optim.Adam(model["online"].parameters(), lr=RATE)
    schedule = corten.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, total_iters=args.epochs * updates)
    episodes = sized(args, 30, 10, 2)
    history = train(
        args,
        model,
        data,
        step=lambda batch: models.dqn_loss(model["online"], model["target"], batch, GAMMA),
        optimizer=optimizer,
        step_scheduler=schedule,
        steps_per_epoch=updates,
        clip_norm=10.0,
        callbacks=[Follow()],
        validation=lambda model: {"return": evaluate(NAME, best(model), episodes, seed=2).mean()},
        monitor="val_return",
        mode="max",
        restore_best=True,
    )
    return model, history


def draw_values(path, model) -> None:
    """What states are worth and which push is better, over the pole's angle and its speed, with a cart at rest."""
    angle, speed = np.meshgrid(np.linspace(-0.2, 0.2, 81), np.linspace(-2, 2, 81))
    states = np.stack([0 * angle, 0 * angle, angle, speed], axis=-1).reshape(-1, 4).astype(np.float32)
    said = values(model, states).numpy().reshape(81, 81, 2)
    seen: list[np.ndarray] = []

    def watched(observation: np.ndarray) -> np.ndarray:
        seen.append(observation[0, 2:])
        return best(model)(observation)

    evaluate(NAME, watched, 1)
    planes = {"value of the state": said.max(2), "advantage of a push to the right": said[..., 1] - said[..., 0]}
    draw_planes(path, planes, ("angle of the pole", 0.2), ("its speed", 2.0), np.array(seen))


def main() -> None:
    args = parse(arguments(__doc__, epochs=50, quick_epochs=16, out="dqn"))
    histories, returns = [], []
    for own in seeds(args, sized(args, 3, 1, 1)):
        model, history = train_one(own)
        histories.append(history)
        returns.append(evaluate(NAME, best(model), sized(args, EPISODES, EPISODES, 4)))
        print(f"seed {own.seed}: mean return {returns[-1].mean():.1f}, the worst {returns[-1].min():.0f}")
    draw_learning(args.out / "curves.png", histories, TARGET, STEPS_PER_EPOCH)
    draw_values(args.out / "values.png", model)
    print_result("dqn", "return", float(np.mean(returns)), TARGET)


if __name__ == "__main__":
    main()
