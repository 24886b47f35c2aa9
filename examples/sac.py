"""SAC: as much reward as possible, as randomly as possible, swings a pendulum up.

Pendulum of Gymnasium, whose torque is too weak to lift the pole at once. The actor draws torques; of remembered steps
two critics learn what they are worth, the actor learns to please the sterner one and to stay random, and a temperature
weighs the two (Haarnoja et al. 2018). Three seeds; each keeps the weights that did best in validation episodes. The
result is the mean return of 100 other episodes each, with the actor's mean as the torque; a pole that hangs costs
about 1500.
"""

from __future__ import annotations

import corten
import numpy as np
from corten import models

from common import arguments, parse, print_result, sized, train
from environments import EPISODES, Environments, Replay, draw_learning, draw_planes, evaluate, seeds

NAME, TARGET = "Pendulum-v1", -200
ENVIRONMENTS, BATCH = 4, 256
TORQUE = 2.0
STEPS_PER_EPOCH = 500  # in the environments, with an update for each


class Player:
    """Plays with a `models.SAC` and improves it.

    Args:
        model: the actor, the critics and the temperature.
        rate: of learning, of all three.
        warmup: steps whose torques are drawn evenly.
    """

    def __init__(self, model: models.SAC, rate: float, warmup: int) -> None:
        self.model, self.warmup = model, warmup
        self.device = next(model.parameters()).device
        learned = (model.critic.parameters(), model.actor.parameters(), [model.log_alpha])
        self.optimizers = [corten.optim.Adam(parameters, lr=rate) for parameters in learned]

    def explore(self, observation: np.ndarray, steps: int) -> np.ndarray:
        if steps < self.warmup:
            return (TORQUE * (2 * corten.rand(len(observation), 1) - 1)).numpy()
        with corten.no_grad():
            return self.model.actor(corten.from_numpy(observation).to(self.device))[0].cpu().numpy()

    def best(self, observation: np.ndarray) -> np.ndarray:
        return self.model.actor.best(corten.from_numpy(observation).to(self.device)).cpu().numpy()

    def step(self, batch: dict[str, corten.Tensor]) -> dict[str, corten.Tensor]:
        """One update of each part."""
        critics, actors, temperatures = self.optimizers
        critic_loss = self.model.critic_loss(batch)
        self.improve(critics, critic_loss)
        actor_loss, log_prob = self.model.actor_loss(batch["observation"])
        self.improve(actors, actor_loss)
        self.improve(temperatures, self.model.temperature_loss(log_prob))
        self.model.update_target()
        alpha = self.model.log_alpha.detach().exp()
        return {"critic_loss": critic_loss.detach(), "actor_loss": actor_loss.detach(), "temperature": alpha}

    @staticmethod
    def improve(optimizer: corten.optim.Optimizer, loss: corten.Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def train_one(args):
    """Trains with one seed; returns what plays and the history."""
    hidden = sized(args, 256, 256, 16)
    model = models.SAC(3, 1, -TORQUE, TORQUE, hidden=(hidden, hidden)).to(args.device)
    warmup = sized(args, 1000, 1000, 8)
    player = Player(model, 1e-3, warmup)
    data = Replay(
        Environments(NAME, ENVIRONMENTS, args.seed),
        models.ReplayBuffer(50_000, (3,), (1,), action_dtype="float32", seed=args.seed),
        player.explore,
        warmup=warmup,
        updates=ENVIRONMENTS,
        batch_size=sized(args, BATCH, BATCH, 8),
        device=args.device,
    )
    episodes = sized(args, 20, 10, 1)
    history = train(
        args,
        model,
        data,
        step=player.step,
        manual=True,
        optimizer=player.optimizers,
        steps_per_epoch=STEPS_PER_EPOCH,
        validation=lambda model: {"return": evaluate(NAME, player.best, episodes, seed=2).mean()},
        monitor="val_return",
        mode="max",
        restore_best=True,
    )
    return player, history


def draw_torque(path, player: Player) -> None:
    """The torque and what the state is worth, over the angle (0 is up) and its speed, and the way of an episode."""
    angle, speed = np.meshgrid(np.linspace(-np.pi, np.pi, 81), np.linspace(-8, 8, 81))
    states = np.stack([np.cos(angle), np.sin(angle), speed], axis=-1).reshape(-1, 3).astype(np.float32)
    torque = player.best(states)
    with corten.no_grad():
        inputs = (corten.from_numpy(part).to(player.device) for part in (states, torque))
        worth = player.model.critic(*inputs).amin(0).cpu().numpy()
    seen: list[np.ndarray] = []

    def watched(observation: np.ndarray) -> np.ndarray:
        cosine, sine, speed = observation[0]
        seen.append(np.array([np.arctan2(sine, cosine), speed]))
        return player.best(observation)

    evaluate(NAME, watched, 1)
    planes = {"torque": torque.reshape(81, 81), "value of the state": worth.reshape(81, 81)}
    draw_planes(path, planes, ("angle of the pole", np.pi), ("its speed", 8.0), np.array(seen))


def main() -> None:
    args = parse(arguments(__doc__, epochs=30, quick_epochs=8, out="sac"))
    histories, returns = [], []
    for own in seeds(args, sized(args, 3, 1, 1)):
        player, history = train_one(own)
        histories.append(history)
        returns.append(evaluate(NAME, player.best, sized(args, EPISODES, EPISODES, 2)))
        print(f"seed {own.seed}: mean return {returns[-1].mean():.1f}, the worst {returns[-1].min():.0f}")
    draw_learning(args.out / "curves.png", histories, TARGET, STEPS_PER_EPOCH)
    draw_torque(args.out / "torque.png", player)
    print_result("sac", "return", float(np.mean(returns)), TARGET)


if __name__ == "__main__":
    main()
