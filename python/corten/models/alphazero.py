"""AlphaZero (Silver et al., arXiv:1712.01815): a network that learns a game from its own searches, without examples.

`PolicyValueNet` guesses good moves and the result, `MCTS` searches many games at once with its help, `self_play` makes
examples of these searches, and `alphazero_loss` teaches them to the network. The rules are in `board_games`.
"""

import corten
import numpy

from .. import nn
from ..nn import functional as F

__all__ = ["MCTS", "PolicyValueNet", "alphazero_loss", "evaluator", "mcts_player", "self_play"]


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions with batch norm beside an identity."""

    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        return (x + self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))).relu()


class PolicyValueNet(nn.Module):
    """Planes ``(N, 2, rows, columns)`` to logits of actions ``(N, actions)`` and the result expected ``(N,)``, -1 to 1.

    Args:
        game: a `board_games.LineGame`.
        channels, blocks: of the residual tower; 256 and 19 in the paper.
    """

    def __init__(self, game, channels=64, blocks=4):
        super().__init__()
        cells = game.rows * game.columns
        self.stem = nn.Sequential(nn.Conv2d(2, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU())
        self.tower = nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks)))
        self.policy = nn.Sequential(
            nn.Conv2d(channels, 8, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(8 * cells, game.actions),
        )
        self.value = nn.Sequential(
            nn.Conv2d(channels, 4, 1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(4 * cells, 64),
            nn.ReLU(),
            nn.Linear(64, 1),
            nn.Tanh(),
        )

    def forward(self, planes):
        x = self.tower(self.stem(planes))
        return self.policy(x), self.value(x).squeeze(1)


def alphazero_loss(logits, value, policy, result):
    """The squared error of the result and the cross entropy of the search's policy.

    Args:
        logits, value: of `PolicyValueNet`.
        policy: shares of the search's visits ``(N, actions)``.
        result: of the game for who was to move, ``(N,)``.
    """
    return F.mse_loss(value, result) + F.cross_entropy(logits, policy)


def evaluator(net, game, device=None):
    """A network as `MCTS` asks for it: positions ``(N, 2)`` to probabilities ``(N, actions)`` and values ``(N,)``."""

    @corten.no_grad()
    def evaluate(positions):
        training = net.training
        net.eval()
        logits, value = net(corten.from_numpy(game.planes(positions)).to(device or "cpu"))
        net.train(training)
        return logits.softmax(1).cpu().numpy(), value.cpu().numpy()

    return evaluate


class _Forest:
    """A search tree for each of many games, as arrays ``(games, nodes, …)``; node 0 is the root."""

    def __init__(self, game, positions, nodes):
        count, actions = len(positions), game.actions
        self.game = game
        self.position = numpy.zeros((count, nodes, 2), numpy.uint64)
        self.over = numpy.zeros((count, nodes), bool)
        self.value = numpy.zeros((count, nodes), numpy.float32)
        self.expanded = numpy.zeros((count, nodes), bool)
        self.child = numpy.full((count, nodes, actions), -1, numpy.int32)
        self.prior = numpy.zeros((count, nodes, actions), numpy.float32)
        self.legal = numpy.zeros((count, nodes, actions), bool)
        self.visits = numpy.zeros((count, nodes, actions), numpy.float32)
        self.total = numpy.zeros((count, nodes, actions), numpy.float32)
        self.used = numpy.zeros(count, numpy.int64)
        self.add(numpy.arange(count), positions)

    def add(self, games, positions):
        """A new node for each of ``games``; returns their numbers."""
        nodes = self.used[games]
        self.used[games] += 1
        self.position[games, nodes] = positions
        self.over[games, nodes], self.value[games, nodes] = self.game.outcome(positions)
        self.legal[games, nodes] = self.game.legal(positions)
        return nodes

    def expand(self, games, nodes, prior):
        """Gives nodes the probabilities of their actions, of which only legal ones count."""
        prior = numpy.where(self.legal[games, nodes], prior, 0) + 1e-8 * self.legal[games, nodes]
        self.prior[games, nodes] = prior / prior.sum(1, keepdims=True)
        self.expanded[games, nodes] = True


class MCTS:
    """Tree search in many games at once: each step takes a leaf of every game, and all are evaluated in one batch.

    Going down, the action with the largest ``Q + c P sqrt(1 + sum N) / (1 + N)`` is taken.

    Args:
        game: a `board_games.LineGame`.
        evaluate: positions ``(N, 2)`` to probabilities ``(N, actions)`` and values ``(N,)``, see `evaluator`.
        simulations: leaves in each game.
        leaves: how many leaves of a game are evaluated together. A virtual loss on the way to each keeps the others
            from the same way.
        c_puct: how much probabilities count beside results.
        noise: Dirichlet's parameter of what is mixed into the root's probabilities in self-play; None for play.
        noise_share: its share.
        seed: of the noise.
    """

    def __init__(
        self,
        game,
        evaluate,
        simulations=100,
        leaves=1,
        c_puct=1.5,
        noise=None,
        noise_share=0.25,
        seed=0,
    ):
        if simulations < 1 or leaves < 1:
            raise ValueError(f"MCTS: simulations and leaves must be at least 1, got {simulations} and {leaves}")
        self.game, self.evaluate, self.simulations, self.leaves = game, evaluate, simulations, leaves
        self.c_puct, self.noise, self.noise_share = c_puct, noise, noise_share
        self._rng = numpy.random.default_rng(seed)

    def search(self, positions):
        """Searches from positions ``(N, 2)`` whose games are not over.

        Returns:
            Visits of each action ``(N, actions)``, and the mean result found for who is to move ``(N,)``.
        """
        forest = _Forest(self.game, positions, self.simulations + 1)
        every = numpy.arange(len(positions))
        root = numpy.zeros(len(positions), numpy.int64)
        if forest.over[:, 0].any():
            raise ValueError("MCTS.search: a game is over")
        prior, _ = self.evaluate(positions)
        forest.expand(every, root, prior)
        if self.noise is not None:
            legal = forest.legal[:, 0]
            noise = self._rng.gamma(self.noise, size=legal.shape) * legal + 1e-8 * legal
            noise /= noise.sum(1, keepdims=True)
            forest.prior[:, 0] += self.noise_share * (noise - forest.prior[:, 0])
        for first in range(0, self.simulations, self.leaves):
            count = min(self.leaves, self.simulations - first)
            descents = [self._descend(forest) for _ in range(count)]
            self._learn(forest, descents)
        visits = forest.visits[:, 0]
        return visits, forest.total[:, 0].sum(1) / visits.sum(1)

    def _descend(self, forest):
        """From every root to a leaf, with a virtual loss on the way: the leaves, their depths and the ways."""
        node = numpy.zeros(len(forest.used), numpy.int64)
        depth, way = numpy.zeros(len(node), numpy.int64), []
        going = numpy.arange(len(node))
        while len(going):
            at = node[going]
            action = self._select(forest, going, at)
            forest.visits[going, at, action] += 1
            forest.total[going, at, action] -= 1
            way.append((going, at, action))
            following = forest.child[going, at, action].astype(numpy.int64)
            new = following < 0
            if new.any():
                games, parents, chosen = going[new], at[new], action[new]
                following[new] = forest.add(games, self.game.play(forest.position[games, parents], chosen))
                forest.child[games, parents, chosen] = following[new]
            node[going] = following
            depth[going] += 1
            # A node that is over has nothing below; one not expanded yet waits for its evaluation.
            going = going[forest.expanded[going, following]]
        return node, depth, way

    def _select(self, forest, games, nodes):
        visits = forest.visits[games, nodes]
        mean = forest.total[games, nodes] / numpy.maximum(visits, 1)
        curiosity = self.c_puct * forest.prior[games, nodes] * numpy.sqrt(visits.sum(1, keepdims=True) + 1)
        score = mean + curiosity / (1 + visits)
        return numpy.where(forest.legal[games, nodes], score, -numpy.inf).argmax(1)

    def _learn(self, forest, descents):
        """Evaluates the leaves of all descents at once and tells their ways what was found."""
        games = numpy.tile(numpy.arange(len(forest.used)), len(descents))
        leaf = numpy.concatenate([node for node, _, _ in descents])
        value = forest.value[games, leaf]
        asked = numpy.flatnonzero(~forest.over[games, leaf])
        if len(asked):
            prior, guess = self.evaluate(forest.position[games[asked], leaf[asked]])
            value[asked] = guess
            forest.expand(games[asked], leaf[asked], prior)
        for (_, depth, way), found in zip(descents, value.reshape(len(descents), -1)):
            for step, (going, nodes, actions) in enumerate(way):
                # A step leads to the other player's view; the virtual loss is taken back.
                sign = 1 - 2 * ((depth[going] - step) % 2)
                forest.total[going, nodes, actions] += sign * found[going] + 1


def mcts_player(search, seed=0):
    """A player for `board_games.play_match` that takes the action visited most."""
    rng = numpy.random.default_rng(seed)

    def choose(positions):
        visits, _ = search.search(positions)
        return (visits + 1e-3 * rng.random(visits.shape)).argmax(1)

    return choose


def self_play(search, games, sampled_moves=10, seed=0):
    """Plays games against oneself, side by side.

    Args:
        search: an `MCTS`, with noise.
        games: how many.
        sampled_moves: moves at the start that are drawn by the shares of visits; later the most visited one is played.
        seed: of the draws.

    Returns:
        Of every move made: planes ``(M, 2, rows, columns)``, the shares of visits ``(M, actions)``, and the result for
        who moved ``(M,)``, all float32.
    """
    game, rng = search.game, numpy.random.default_rng(seed)
    position, going = game.initial(games), numpy.arange(games)
    result = numpy.zeros(games, numpy.float32)  # for who moved first
    planes, policies, players, owners = [], [], [], []
    move = 0
    while len(going):
        visits, _ = search.search(position[going])
        share = visits / visits.sum(1, keepdims=True)
        planes.append(game.planes(position[going]))
        policies.append(share)
        players.append(numpy.full(len(going), 1 - 2 * (move % 2), numpy.float32))
        owners.append(going)
        if move < sampled_moves:
            # The largest of log p plus Gumbel's noise is a draw from p.
            with numpy.errstate(divide="ignore"):
                action = (numpy.log(share) + rng.gumbel(size=share.shape)).argmax(1)
        else:
            action = share.argmax(1)
        position[going] = game.play(position[going], action)
        over, value = game.outcome(position[going])
        move += 1
        result[going[over]] = value[over] * (1 - 2 * (move % 2))
        going = going[~over]
    result_of_move = numpy.concatenate(players) * result[numpy.concatenate(owners)]
    return numpy.concatenate(planes), numpy.concatenate(policies).astype(numpy.float32), result_of_move
