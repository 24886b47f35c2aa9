"""Games of stones in a row as arrays of bits, thousands at once, and players to measure others by.

A position is two words of 64 bits, ``(2,)``: the stones of who is to move, and those of the opponent. A column takes
``rows + 1`` bits, lowest cell first; the bit above it is always empty, so that lines cannot run over the edge.
"""

import numpy

__all__ = [
    "LineGame",
    "MinimaxPlayer",
    "PerfectPlayer",
    "connect_four",
    "play_match",
    "random_player",
    "tic_tac_toe",
]


class LineGame:
    """Who first has ``length`` stones in a row, upright, across or aslant, wins; a full board is a draw.

    Actions are numbered by column where stones fall down, otherwise ``row * columns + column``.

    Args:
        rows, columns: size of the board.
        length: stones that win.
        gravity: whether stones fall to the lowest empty cell of a column.

    Raises:
        ValueError: the board does not fit into 64 bits.
    """

    def __init__(self, rows, columns, length, gravity=False):
        if (rows + 1) * columns > 64:
            raise ValueError(f"LineGame: a board of {rows} × {columns} cells does not fit into 64 bits")
        self.rows, self.columns, self.length, self.gravity = rows, columns, length, gravity
        self.actions = columns if gravity else rows * columns
        row, column = numpy.divmod(numpy.arange(rows * columns, dtype=numpy.uint64), numpy.uint64(columns))
        self._cell_shifts = column * numpy.uint64(rows + 1) + row
        self._cells = numpy.uint64(1) << self._cell_shifts
        by_column = self._cells.reshape(rows, columns)
        self._bottom, self._top = by_column[0], by_column[-1]
        self._column = numpy.bitwise_or.reduce(by_column, axis=0)
        # Neighbours upright, across, and aslant both ways.
        self._steps = [1, rows + 1, rows + 2, rows]

    def initial(self, count):
        """The empty board ``count`` times, ``(count, 2)``."""
        return numpy.zeros((count, 2), numpy.uint64)

    def legal(self, positions):
        """Which actions there is room for, ``(N, actions)``."""
        occupied = (positions[:, 0] | positions[:, 1])[:, None]
        return (occupied & (self._top if self.gravity else self._cells)) == 0

    def play(self, positions, actions):
        """The positions after one action each, seen by the other player.

        Raises:
            ValueError: there is no room for an action.
        """
        actions = numpy.asarray(actions)
        if not self.legal(positions)[numpy.arange(len(actions)), actions].all():
            raise ValueError("LineGame.play: an action is not legal")
        occupied = positions[:, 0] | positions[:, 1]
        if self.gravity:
            # Adding the lowest bit of a column carries over its stones to the first empty cell.
            stone = (occupied + self._bottom[actions]) & self._column[actions]
        else:
            stone = self._cells[actions]
        return numpy.stack([positions[:, 1], positions[:, 0] | (stone & ~occupied)], axis=1)

    def won(self, stones):
        """Whether stones ``(N,)`` have a row, ``(N,)``."""
        found = numpy.zeros(len(stones), bool)
        for step in self._steps:
            line = stones
            for place in range(1, self.length):
                line = line & (stones >> numpy.uint64(step * place))
            found |= line != 0
        return found

    def outcome(self, positions):
        """Whether each game is over ``(N,)``, and what that is worth to who is to move: -1 after a row, else 0."""
        lost = self.won(positions[:, 1])
        return lost | ~self.legal(positions).any(1), -lost.astype(numpy.float32)

    def planes(self, positions):
        """Own and the opponent's stones as zeros and ones, float32 ``(N, 2, rows, columns)``; row 0 is the lowest."""
        bits = (positions[:, :, None] >> self._cell_shifts) & numpy.uint64(1)
        return bits.astype(numpy.float32).reshape(len(positions), 2, self.rows, self.columns)

    def symmetries(self, planes, policies):
        """Positions and policies ``(N, actions)`` as turned and mirrored boards show them, all the ways there are."""
        if self.gravity:
            return (
                numpy.concatenate([planes, planes[..., ::-1]]),
                numpy.concatenate([policies, policies[:, ::-1]]),
            )
        boards = policies.reshape(-1, self.rows, self.columns)
        turns = range(4) if self.rows == self.columns else (0, 2)
        seen = [(numpy.rot90(planes, k, (2, 3)), numpy.rot90(boards, k, (1, 2))) for k in turns]
        seen += [(plane[..., ::-1], board[..., ::-1]) for plane, board in seen]
        return (
            numpy.concatenate([plane for plane, _ in seen]),
            numpy.concatenate([board.reshape(len(policies), -1) for _, board in seen]),
        )

    def lines(self):
        """Every row of ``length`` cells, zeros and ones ``(lines, rows * columns)``."""
        board = numpy.arange(self.rows * self.columns).reshape(self.rows, self.columns)
        found = []
        for down, right in ((1, 0), (0, 1), (1, 1), (1, -1)):
            place = numpy.arange(self.length)
            row, column = numpy.divmod(board.reshape(-1, 1), self.columns)
            row, column = row + down * place, column + right * place
            inside = ((row < self.rows) & (0 <= column) & (column < self.columns)).all(1)
            found.append(board[row[inside], column[inside]])
        cells = numpy.concatenate(found)
        lines = numpy.zeros((len(cells), board.size), numpy.float32)
        lines[numpy.arange(len(cells))[:, None], cells] = 1
        return lines


def tic_tac_toe():
    """Three in a row on 3 × 3 cells."""
    return LineGame(3, 3, 3)


def connect_four():
    """Four in a row on 6 × 7 cells into which stones fall."""
    return LineGame(6, 7, 4, gravity=True)


# -- players: positions (N, 2) to actions (N,) -----------------------------------------------------------------------


def _choose(scores, rng):
    """For each row one of its largest entries, drawn evenly."""
    best = scores == scores.max(1, keepdims=True)
    return (best * (1 + rng.random(scores.shape))).argmax(1)


def random_player(game, seed=0):
    """A player that draws a legal action."""
    rng = numpy.random.default_rng(seed)
    return lambda positions: _choose(game.legal(positions), rng)


def _children(game, positions):
    """Every legal action's position, and which row and action it came from."""
    rows, actions = numpy.nonzero(game.legal(positions))
    return game.play(positions[rows], actions), rows, actions


class MinimaxPlayer:
    """Looks ``depth`` moves ahead; what it plays is what alpha–beta of that depth plays, ties drawn evenly.

    Beyond its depth it counts the rows that only one player can still fill, those with more stones for more. Earlier
    wins are better than later ones.

    Args:
        game: a `LineGame`.
        depth: moves, at least 1.
        seed: of draws among equals.
    """

    def __init__(self, game, depth, seed=0):
        if depth < 1:
            raise ValueError(f"MinimaxPlayer: depth must be at least 1, got {depth}")
        self.game, self.depth = game, depth
        self._rng = numpy.random.default_rng(seed)
        self._lines = game.lines().T
        # A row with one stone more is worth four times as much.
        self._worth = numpy.concatenate([[0.0], 4.0 ** numpy.arange(game.length)]).astype(numpy.float32)

    def __call__(self, positions):
        return _choose(self._action_values(positions, self.depth), self._rng)

    def _estimate(self, positions):
        """Between -1/2 and 1/2 for who is to move."""
        cells = self.game.planes(positions).reshape(len(positions), 2, len(self._lines))
        own, other = (cells @ self._lines).astype(numpy.int64).transpose(1, 0, 2)
        score = numpy.where(other == 0, self._worth[own], 0) - numpy.where(own == 0, self._worth[other], 0)
        return 0.5 * numpy.tanh(score.sum(1) / self._worth[-1] / 4)

    def _action_values(self, positions, depth):
        values = numpy.full((len(positions), self.game.actions), -numpy.inf)
        children, rows, actions = _children(self.game, positions)
        values[rows, actions] = -0.99 * self._values(children, depth - 1)
        return values

    def _values(self, positions, depth):
        over, values = self.game.outcome(positions)
        values = values.astype(numpy.float64)
        going = numpy.flatnonzero(~over)
        if depth == 0:
            values[going] = self._estimate(positions[going])
        elif len(going):
            values[going] = self._action_values(positions[going], depth).max(1)
        return values


class PerfectPlayer:
    """Knows every position of a small game; ties are drawn evenly.

    Args:
        game: a `LineGame` whose board fits into 32 bits.
        seed: of draws among equals.

    Attributes:
        positions: all that can be reached, ``(N, 2)``.
        values: what each is worth to who is to move, -1, 0 or 1, ``(N,)``.

    Raises:
        ValueError: the board is larger.
    """

    def __init__(self, game, seed=0):
        if (game.rows + 1) * game.columns > 32:
            raise ValueError(f"PerfectPlayer: a board of {game.rows} × {game.columns} cells is too large to solve")
        self.game = game
        self._rng = numpy.random.default_rng(seed)
        levels = [game.initial(1)]
        while len(levels[-1]):
            going = levels[-1][~game.outcome(levels[-1])[0]]
            levels.append(numpy.unique(_children(game, going)[0], axis=0))
        self.positions = numpy.concatenate(levels)
        keys = self._keys(self.positions)
        order = numpy.argsort(keys)
        self.positions, self._sorted = self.positions[order], keys[order]
        over, self.values = game.outcome(self.positions)
        # From the last stone back to the first: children have one stone more.
        for level in reversed(levels):
            going = self._places(level)[~over[self._places(level)]]
            if len(going):
                self.values[going] = self.action_values(self.positions[going]).max(1)

    @staticmethod
    def _keys(positions):
        return positions[:, 0] << numpy.uint64(32) | positions[:, 1]

    def _places(self, positions):
        return numpy.searchsorted(self._sorted, self._keys(positions))

    def action_values(self, positions):
        """What each action is worth, ``(N, actions)``; ``-inf`` where it is not legal."""
        values = numpy.full((len(positions), self.game.actions), -numpy.inf)
        children, rows, actions = _children(self.game, positions)
        values[rows, actions] = -self.values[self._places(children)]
        return values

    def __call__(self, positions):
        return _choose(self.action_values(positions), self._rng)


def play_match(game, player, opponent, games, opening=0, seed=0):
    """Lets two players play many games side by side; each begins half of them.

    Args:
        player, opponent: functions of positions ``(N, 2)`` that return actions ``(N,)``.
        games: how many.
        opening: random moves at the start, so that players who always do the same play different games.
        seed: of the random moves.

    Returns:
        How many games ``player`` won, drew and lost.
    """
    position, result = game.initial(games), numpy.zeros(games)
    first = numpy.arange(games) < (games + 1) // 2  # where `player` began
    going = numpy.arange(games)
    chance = random_player(game, seed)
    move = 0
    while len(going):
        mine = first[going] == (move % 2 == 0)
        actions = numpy.empty(len(going), numpy.int64)
        for chooser, turn in ((player, mine), (opponent, ~mine)):
            if turn.any():
                actions[turn] = (chance if move < opening else chooser)(position[going[turn]])
        position[going] = game.play(position[going], actions)
        over, value = game.outcome(position[going])
        # The value is that of who would move next, who is the other one.
        result[going[over]] = numpy.where(mine[over], -value[over], value[over])
        going, move = going[~over], move + 1
    return int((result > 0).sum()), int((result == 0).sum()), int((result < 0).sum())
