"""AlphaZero learns tic-tac-toe and Connect Four from games against itself alone.

There are no data but the rules. A round is a number of games in which a tree search with the network's help chooses the
moves, then steps that teach the network what the searches preferred and how the games ended. After every fourth round
the new network meets the best one so far in the arena and takes its place unless it scores less than half of the
points.

What is measured is the best network with its search: in tic-tac-toe the share of 200 games against the perfect player
that are not lost; in Connect Four the share of points (a draw is half of one) against players that look one move and
four moves ahead, alpha–beta with the rows still open for its judgement. Neither of them takes part in the training.
"""

from __future__ import annotations

import argparse
import copy
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import corten
import numpy as np
from corten.models import (
    MCTS,
    MinimaxPlayer,
    PerfectPlayer,
    PolicyValueNet,
    alphazero_loss,
    connect_four,
    evaluator,
    mcts_player,
    play_match,
    self_play,
    tic_tac_toe,
)
from corten.models.board_games import LineGame

from common import arguments, draw_history, draw_images, parse, part, print_result, sized, total_steps, train

WINDOW = 12  # rounds whose moves are learned from
ARENA_EVERY = 4  # rounds
ARENA_GAMES = 40
MATCH_GAMES = 200
TARGETS = {"tic_tac_toe_not_lost": 1.0, "connect_four_against_1_ply": 0.95, "connect_four_against_depth_4": 0.7}


class Plan(NamedTuple):
    """How a game is learned.

    Attributes:
        name, game: its name in files and results, and its rules.
        channels, blocks: of the network.
        games, simulations: of a round, and of each search in it.
        steps, batch_size: of a round.
        match_simulations: of each search in the arena and the matches at the end.
        opening: random moves in front of a game in the arena and the matches.
    """

    name: str
    game: LineGame
    channels: int
    blocks: int
    games: int
    simulations: int
    steps: int
    batch_size: int
    match_simulations: int
    opening: int


def plans(args: argparse.Namespace) -> list[Plan]:
    """The games that were asked for, in the size that was asked for."""
    small, large = ("tic_tac_toe", tic_tac_toe()), ("connect_four", connect_four())
    full = [
        Plan(*small, 16, 2, games=100, simulations=50, steps=60, batch_size=128, match_simulations=100, opening=0),
        Plan(*large, 48, 3, games=256, simulations=80, steps=160, batch_size=256, match_simulations=800, opening=2),
    ]
    quick = [
        full[0]._replace(games=50, simulations=25, match_simulations=50),
        full[1]._replace(channels=16, blocks=2, games=64, simulations=24, steps=60, match_simulations=64),
    ]
    smoke = [
        plan._replace(channels=8, blocks=1, games=2, simulations=4, steps=2, match_simulations=4) for plan in quick
    ]
    chosen = sized(args, full, quick, smoke)
    return [plan for plan in chosen if args.game in (plan.name, "both")]


# -- self-play -------------------------------------------------------------------------------------------------------


class SelfPlay:
    """Batches for `corten.fit`: each pass over it is a round, which plays games first.

    All that is random in a round is drawn from the seed and the round's number, so that a run that was cut off goes on
    to the bit.
    """

    def __init__(self, plan: Plan, net: PolicyValueNet, args: argparse.Namespace) -> None:
        self.plan, self.net, self.device, self.seed = plan, net, args.device, args.seed
        self.window: deque[tuple[corten.Tensor, corten.Tensor, corten.Tensor]] = deque(maxlen=WINDOW)
        self.round, self.position = 0, plan.steps

    def __len__(self) -> int:
        return self.plan.steps

    def __iter__(self) -> Iterator[tuple[corten.Tensor, ...]]:
        if self.position == self.plan.steps:
            self._play()
        planes, policies, results = (np.concatenate(parts) for parts in zip(*self.window, strict=True))
        rng = np.random.default_rng((self.seed, self.round))
        shape = (self.plan.steps, self.plan.batch_size)
        drawn, views = rng.integers(len(results), size=shape), rng.random(shape)
        while self.position < self.plan.steps:
            rows, view = drawn[self.position], views[self.position]
            self.position += 1
            yield self._seen(planes[rows], policies[rows], results[rows], view)

    def _play(self) -> None:
        """Plays a round's games with the network as it is now."""
        seed = 1000 * self.seed + self.round
        evaluate = evaluator(self.net, self.plan.game, self.device)
        search = MCTS(self.plan.game, evaluate, self.plan.simulations, noise=1.0, seed=seed)
        planes, policies, results = self_play(search, self.plan.games, sampled_moves=12, seed=seed)
        self.window.append((planes.astype(np.uint8), policies, results))
        self.round, self.position = self.round + 1, 0

    def _seen(self, planes, policies, results, view) -> tuple[corten.Tensor, ...]:
        """Each position turned or mirrored in one of the ways that the game does not care about."""
        planes, policies = self.plan.game.symmetries(planes.astype(np.float32), policies)
        ways = len(planes) // len(results)
        rows = (view * ways).astype(np.int64) * len(results) + np.arange(len(results))
        parts = (planes[rows], policies[rows], results)
        return tuple(corten.from_numpy(part).to(self.device) for part in parts)

    def state_dict(self) -> dict:
        window = [[corten.from_numpy(part) for part in parts] for parts in self.window]
        return {"window": window, "round": self.round, "position": self.position}

    def load_state_dict(self, state: dict) -> None:
        self.window = deque((tuple(part.numpy() for part in parts) for parts in state["window"]), maxlen=WINDOW)
        self.round, self.position = state["round"], state["position"]


# -- matches ---------------------------------------------------------------------------------------------------------


class Arena:
    """The best network so far, and the matches that decide which one it is."""

    def __init__(self, plan: Plan, net: PolicyValueNet, args: argparse.Namespace) -> None:
        self.plan, self.args, self.best, self.matches = plan, args, copy.deepcopy(net).eval(), 0

    def player(self, net: PolicyValueNet, simulations: int) -> Callable:
        """The network with its search, without noise."""
        search = MCTS(self.plan.game, evaluator(net, self.plan.game, self.args.device), simulations, leaves=4)
        return mcts_player(search, self.args.seed)

    def points(self, player: Callable, opponent: Callable, games: int) -> tuple[float, float]:
        """The shares of points and of games not lost."""
        self.matches += 1
        opening = max(self.plan.opening, 1) if games == ARENA_GAMES else self.plan.opening
        games = sized(self.args, games, games, 2)
        seed = 1000 * self.args.seed + self.matches
        won, drawn, _ = play_match(self.plan.game, player, opponent, games, opening, seed)
        return (won + drawn / 2) / games, (won + drawn) / games

    def __call__(self, net: PolicyValueNet) -> dict[str, float]:
        """Lets a network play against the best one, which it becomes unless it is worse."""
        simulations = self.plan.simulations
        arena, _ = self.points(self.player(net, simulations), self.player(self.best, simulations), ARENA_GAMES)
        if arena >= 0.5:
            self.best.load_state_dict(net.state_dict())
        looks_ahead = MinimaxPlayer(self.plan.game, 1, seed=self.matches)
        simple, _ = self.points(self.player(net, simulations), looks_ahead, ARENA_GAMES)
        return {"against_the_best": arena, "against_1_ply": simple}

    def state_dict(self) -> dict:
        return {"best": self.best.state_dict(), "matches": self.matches}

    def load_state_dict(self, state: dict) -> None:
        self.best.load_state_dict(state["best"])
        self.matches = state["matches"]

    def results(self) -> dict[str, float]:
        """What is measured of the best network, by the names of `TARGETS`."""
        player, game = self.player(self.best, self.plan.match_simulations), self.plan.game
        if self.plan.name == "tic_tac_toe":
            _, not_lost = self.points(player, PerfectPlayer(game), MATCH_GAMES)
            return {"tic_tac_toe_not_lost": not_lost}
        found = {}
        for depth, name in ((1, "1_ply"), (4, "depth_4")):
            opponent = MinimaxPlayer(game, sized(self.args, depth, depth, 1), self.args.seed)
            found[f"connect_four_against_{name}"], _ = self.points(player, opponent, MATCH_GAMES)
        return found


def draw_game(arena: Arena, path) -> None:
    """Draws a game of the best network (dark) against a player that looks ahead, with what it thinks of each move."""
    plan = arena.plan
    search = MCTS(plan.game, evaluator(arena.best, plan.game, arena.args.device), plan.match_simulations, leaves=4)
    opponent = MinimaxPlayer(plan.game, sized(arena.args, 4, 2, 1), arena.args.seed)
    position, boards, titles = plan.game.initial(1), [], []
    while not plan.game.outcome(position)[0][0]:
        mine = len(boards) % 2 == 0
        if mine:
            visits, value = search.search(position)
            action, title = visits.argmax(1), f"{visits.max() / visits.sum():.0%}, expects {value[0]:+.2f}"
        else:
            action, title = opponent(position), "answer"
        position = plan.game.play(position, action)
        other, own = plan.game.planes(position)[0] if mine else plan.game.planes(position)[0][::-1]
        boards.append(np.stack([own, other])[:, ::-1])  # the lowest row is drawn last
        titles.append(title)
    last = sized(arena.args, 42, 42, 7)
    draw_images(path, stones(np.stack(boards[-last:])), titles[-last:], columns=7)


def stones(boards: np.ndarray, cell: int = 16) -> corten.Tensor:
    """Boards `(N, 2, rows, columns)` as pictures `(N, 3, rows · cell, columns · cell)` with round stones."""
    place = (np.arange(cell) - cell / 2 + 0.5) / (cell / 2)
    disc = (place[:, None] ** 2 + place**2 < 0.7).astype(np.float32)
    colours = np.array([[0.15, 0.25, 0.6], [0.95, 0.6, 0.1]], np.float32)  # of the network's stones, of the other's
    strength = np.kron(boards, np.ones((cell, cell), np.float32)) * np.tile(disc, boards.shape[2:])
    painted = np.einsum("nphw,pc->nchw", strength, colours - 0.93)
    return corten.from_numpy(np.ascontiguousarray(0.93 + painted, np.float32))


# -- the program -----------------------------------------------------------------------------------------------------


def learn(plan: Plan, args: argparse.Namespace) -> dict[str, float]:
    """Trains a network for a game, draws, and measures it."""
    net = PolicyValueNet(plan.game, plan.channels, plan.blocks).to(args.device)
    print(f"{plan.name}: a network of {sum(p.numel() for p in net.parameters()):,} parameters")
    optimizer = corten.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-3)
    data, arena = SelfPlay(plan, net, args), Arena(plan, net, args)

    def step(batch):
        planes, policy, result = batch
        logits, value = net(planes)
        of_value = corten.nn.functional.mse_loss(value, result).detach()
        return {"loss": alphazero_loss(logits, value, policy, result), "value_loss": of_value}

    # Each game has a folder for its checkpoint and weights.
    own = part(args, plan.name)
    history = train(
        own,
        net,
        data,
        optimizer=optimizer,
        step=step,
        step_scheduler=corten.optim.lr_scheduler.CosineAnnealingLR(optimizer, total_steps(args, plan.steps), 1e-4),
        validation=arena,
        validate_every=sized(args, ARENA_EVERY, 1, 1),
        state={"arena": arena},
        clip_norm=5.0,
    )
    corten.training.save_whole(arena.best.state_dict(), own.out / "model.pt")
    draw_history(args.out / f"{plan.name}_curves.png", history)
    draw_game(arena, args.out / f"{plan.name}_game.png")
    return arena.results()


def main() -> None:
    parser = arguments(__doc__, epochs=60, quick_epochs=3, out="alphazero")
    parser.add_argument("--game", choices=("both", "tic_tac_toe", "connect_four"), default="both")
    args = parse(parser)
    if args.resume and not any(args.out.glob("*/checkpoint.pt")):
        raise SystemExit(f"there is no checkpoint in {args.out} to resume from")
    results = {name: value for plan in plans(args) for name, value in learn(plan, args).items()}
    for name, value in results.items():
        print_result("alphazero", name, value, TARGETS[name])


if __name__ == "__main__":
    main()
