"""AlphaZero: rules of the games against plain boards, players, tree search, self-play and what it teaches."""

from __future__ import annotations

from functools import cache

import corten as torch
import numpy as np
import pytest
from corten import models
from corten.models.alphazero import MCTS, PolicyValueNet, alphazero_loss, evaluator, mcts_player, self_play
from corten.models.board_games import (
    LineGame,
    MinimaxPlayer,
    PerfectPlayer,
    connect_four,
    play_match,
    random_player,
    tic_tac_toe,
)


def after(game: LineGame, actions: list[int]) -> np.ndarray:
    """The position that a list of actions leads to, `(1, 2)`."""
    position = game.initial(1)
    for action in actions:
        position = game.play(position, [action])
    return position


def board_of(game: LineGame, position: np.ndarray) -> np.ndarray:
    """A board with 1 for who is to move and 2 for the opponent."""
    own, other = game.planes(position)[0].astype(int)
    return own + 2 * other


def has_row(board: np.ndarray, stone: int, length: int) -> bool:
    """Looks at every cell in every direction, one after the other."""
    rows, columns = board.shape
    for row in range(rows):
        for column in range(columns):
            for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
                cells = [(row + i * down, column + i * right) for i in range(length)]
                if all(0 <= r < rows and 0 <= c < columns and board[r, c] == stone for r, c in cells):
                    return True
    return False


def knows_nothing(game: LineGame):
    """All actions are as good, all positions are worth nothing."""

    def evaluate(positions):
        return np.full((len(positions), game.actions), 1 / game.actions), np.zeros(len(positions), np.float32)

    return evaluate


# -- rules -----------------------------------------------------------------------------------------------------------


@cache
def solved() -> PerfectPlayer:
    return PerfectPlayer(tic_tac_toe())


def test_tic_tac_toe_has_as_many_positions_as_it_is_known_to_have():
    game, player = tic_tac_toe(), solved()
    over, _ = game.outcome(player.positions)
    assert len(player.positions) == 5478
    assert over.sum() == 958
    stones = game.planes(player.positions).sum((1, 2, 3))
    assert np.bincount(stones.astype(int)).tolist() == [1, 9, 72, 252, 756, 1260, 1520, 1140, 390, 78]


def test_every_position_of_tic_tac_toe_is_judged_as_a_plain_board_is():
    game = tic_tac_toe()
    over, value = game.outcome(solved().positions)
    legal = game.legal(solved().positions)
    for position, ended, worth, allowed in zip(solved().positions, over, value, legal, strict=True):
        board = board_of(game, position[None])
        assert not has_row(board, 1, 3)
        assert worth == (-1 if has_row(board, 2, 3) else 0)
        assert ended == (worth == -1 or (board != 0).all())
        assert (allowed == (board.ravel() == 0)).all()


def test_tic_tac_toe_is_a_draw_and_all_its_games_are_counted():
    game = tic_tac_toe()
    assert solved().values[solved()._places(game.initial(1))] == 0
    assert solved().action_values(game.initial(1)).tolist() == [[0.0] * 9]
    # The opposite corners trap: only an edge holds the draw.
    values = solved().action_values(after(game, [0, 4, 8]))[0]
    assert [action for action in range(9) if values[action] == 0] == [1, 3, 5, 7]
    # All 255,168 games, level by level, with how many ways lead to each position.
    positions, ways, ended = game.initial(1), np.ones(1, np.int64), []
    while len(positions):
        over, _ = game.outcome(positions)
        ended.append(int(ways[over].sum()))
        rows, actions = np.nonzero(game.legal(positions) & ~over[:, None])
        children = game.play(positions[rows], actions)
        positions, place = np.unique(children, axis=0, return_inverse=True)
        ways = np.bincount(place.ravel(), weights=ways[rows], minlength=len(positions)).astype(np.int64)
    assert ended == [0, 0, 0, 0, 0, 1440, 5328, 47952, 72576, 127872]
    assert sum(ended) == 255_168


def test_connect_four_agrees_with_a_plain_board_in_random_games():
    game = connect_four()
    rng = np.random.default_rng(0)
    ends = set()
    for _ in range(40):
        position, board, mover = game.initial(1), np.zeros((6, 7), int), 1
        while True:
            legal = game.legal(position)[0]
            assert (legal == (board[5] == 0)).all()
            action = int(rng.choice(np.flatnonzero(legal)))
            board[(board[:, action] == 0).argmax(), action] = mover
            position, mover = game.play(position, [action]), 3 - mover
            seen = np.where(board == 0, 0, np.where(board == mover, 1, 2))
            assert (board_of(game, position) == seen).all()
            (over,), (value,) = game.outcome(position)
            won = has_row(board, 3 - mover, 4)
            assert value == -won and over == (won or (board != 0).all())
            if over:
                ends.add(bool(won))
                break
    assert True in ends


def test_connect_four_has_the_known_number_of_positions_after_a_few_moves():
    game, positions, counts = connect_four(), connect_four().initial(1), []
    for _ in range(7):
        counts.append(len(positions))
        going = positions[~game.outcome(positions)[0]]
        rows, actions = np.nonzero(game.legal(going))
        positions = np.unique(game.play(going[rows], actions), axis=0)
    # https://oeis.org/A212693
    assert counts == [1, 7, 49, 238, 1120, 4263, 16422]


def test_lines_do_not_run_over_the_edge():
    game = connect_four()
    # Three at the top of a column and one at the bottom of the next are neighbours as bits, but for the empty one.
    stones = np.array([sum(1 << bit for bit in (3, 4, 5, 7))], np.uint64)
    assert not game.won(stones)[0]
    assert game.won(np.array([0b1111 << 2], np.uint64))[0]
    assert len(game.lines()) == 69 and (game.lines().sum(1) == 4).all()
    assert len(tic_tac_toe().lines()) == 8


def test_what_cannot_be_played_raises():
    game = connect_four()
    with pytest.raises(ValueError, match="not legal"):
        game.play(after(game, [3] * 6), [3])
    with pytest.raises(ValueError, match="not legal"):
        tic_tac_toe().play(after(tic_tac_toe(), [4]), [4])
    with pytest.raises(ValueError, match="does not fit into 64 bits"):
        LineGame(8, 8, 5)
    with pytest.raises(ValueError, match="too large to solve"):
        PerfectPlayer(game)
    with pytest.raises(ValueError, match="depth must be at least 1"):
        MinimaxPlayer(game, 0)
    with pytest.raises(ValueError, match="simulations and leaves"):
        MCTS(game, knows_nothing(game), 0)
    with pytest.raises(ValueError, match="a game is over"):
        MCTS(game, knows_nothing(game)).search(after(game, [0, 1, 0, 1, 0, 1, 0]))


@pytest.mark.parametrize("make, ways", [(tic_tac_toe, 8), (connect_four, 2)])
def test_symmetries_turn_boards_and_policies_alike(make, ways):
    game = make()
    position = after(game, [0, 1, 5, 4])
    # A policy that is certain of action 2, and the board after it.
    policy = np.eye(game.actions, dtype=np.float32)[[2]]
    planes, policies = game.symmetries(game.planes(position), policy)
    assert len(planes) == len(policies) == ways
    outcome = game.symmetries(game.planes(game.play(position, [2])), policy)[0]
    for before, certain, later in zip(planes, policies, outcome, strict=True):
        columns = (before[0] + before[1]).astype(int)
        action = int(certain.argmax())
        place = (columns[:, action].argmin(), action) if game.gravity else divmod(action, game.columns)
        # Roles are exchanged after a move.
        stone = np.zeros_like(before[0])
        stone[place] = 1
        assert (later[1] == before[0] + stone).all() and (later[0] == before[1]).all()


# -- players ---------------------------------------------------------------------------------------------------------


def test_perfect_players_never_lose():
    wins, _, losses = play_match(tic_tac_toe(), solved(), random_player(tic_tac_toe()), 200)
    assert losses == 0 and wins > 150
    assert play_match(tic_tac_toe(), solved(), PerfectPlayer(tic_tac_toe(), 1), 20) == (0, 20, 0)
    assert play_match(tic_tac_toe(), random_player(tic_tac_toe()), solved(), 200)[0] == 0


def test_a_whole_search_is_perfect_play():
    game = tic_tac_toe()
    player = MinimaxPlayer(game, 9)
    over, _ = game.outcome(solved().positions)
    stones = game.planes(solved().positions).sum((1, 2, 3))
    positions = solved().positions[~over & (stones >= 4)]
    perfect = solved().action_values(positions)
    chosen = perfect[np.arange(len(positions)), player(positions)]
    assert (chosen == perfect.max(1)).all()


def test_deeper_players_are_better():
    game = connect_four()
    one, three, none = MinimaxPlayer(game, 1), MinimaxPlayer(game, 3, 1), random_player(game)
    wins, _, losses = play_match(game, one, none, 40)
    assert wins >= 36
    wins, _, losses = play_match(game, three, one, 20, opening=2)
    assert wins > losses
    # Completes a row, and stops one that comes next.
    assert one(after(game, [0, 6, 0, 6, 0, 5])).tolist() == [0]
    assert MinimaxPlayer(game, 2)(after(game, [0, 6, 0, 6, 0])).tolist() == [0]


def test_a_player_that_looks_ahead_plays_the_last_stone_too():
    game = tic_tac_toe()
    # Whatever is played ends the game, so there is nothing left to estimate.
    assert MinimaxPlayer(game, 1)(after(game, [0, 1, 2, 4, 3, 5, 7, 6])).tolist() == [8]
    assert game.planes(game.initial(0)).shape == (0, 2, 3, 3)


def test_a_match_counts_for_the_first_player_and_both_begin():
    game = tic_tac_toe()
    begun = []

    def first_free(positions):
        begun.append((game.planes(positions).sum((1, 2, 3)) == 0).sum())
        return game.legal(positions).argmax(1)

    # Against the perfect player this one loses from either side or draws, and what one wins the other loses.
    wins, draws, losses = play_match(game, first_free, solved(), 10)
    assert sum(begun) == 5 and wins == 0 and wins + draws + losses == 10
    assert play_match(game, solved(), first_free, 10)[2] == 0


# -- search ----------------------------------------------------------------------------------------------------------

# Positions with one good action, and that action: to win at once, to stop a row, to win in three.
FORCED = [
    (connect_four, [0, 1, 0, 1, 0, 1], 0),
    (connect_four, [0, 6, 0, 6, 0], 0),
    (connect_four, [2, 2, 3, 3, 4], None),
    (tic_tac_toe, [0, 3, 1, 4], 2),
    (tic_tac_toe, [0, 3, 1], 2),
    (tic_tac_toe, [0, 4, 1], 2),
]


@pytest.mark.parametrize("leaves", [1, 8])
@pytest.mark.parametrize("make, moves, best", FORCED)
def test_search_finds_what_is_forced_without_any_knowledge(make, moves, best, leaves):
    game = make()
    visits, value = MCTS(game, knows_nothing(game), 600, leaves).search(after(game, moves))
    assert visits.sum() == 600
    if best is None:
        # Three in a row with both ends open is lost, whatever is tried.
        assert value[0] < -0.3
    else:
        assert visits[0].argmax() == best and visits[0, best] > 300


def test_search_finds_a_win_in_three_moves():
    game = connect_four()
    # Two on the floor with room on both sides: a third one makes two ends.
    position = after(game, [2, 2, 3, 3])
    visits, value = MCTS(game, knows_nothing(game), 1500, 4).search(position)
    assert visits[0].argmax() in (1, 4) and value[0] > 0.3


def test_games_searched_together_are_searched_as_if_alone():
    game = connect_four()
    positions = np.concatenate([after(game, moves) for moves in ([], [3], [3, 3, 2], [0, 1, 0, 1, 0, 1])])
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(84, 8))

    def evaluate(positions):
        x = game.planes(positions).reshape(len(positions), -1) @ weights
        return np.exp(x[:, :7]) / np.exp(x[:, :7]).sum(1, keepdims=True), np.tanh(x[:, 7] / 5)

    search = MCTS(game, evaluate, 60)
    visits, values = search.search(positions)
    for row, position in enumerate(positions):
        alone, value = search.search(position[None])
        assert (alone[0] == visits[row]).all() and value[0] == pytest.approx(values[row])


def test_search_with_one_leaf_is_the_recursive_one():
    """The same rule written for one tree with dictionaries, one simulation at a time."""
    game, rng = tic_tac_toe(), np.random.default_rng(3)
    weights = rng.normal(size=(18, 10))

    def evaluate(positions):
        x = game.planes(positions).reshape(len(positions), -1) @ weights
        return np.exp(x[:, :9]) / np.exp(x[:, :9]).sum(1, keepdims=True), np.tanh(x[:, 9])

    def visit(node):
        over, value = game.outcome(node["position"])
        if over[0]:
            return float(value[0])
        if "prior" not in node:
            prior, guess = evaluate(node["position"])
            prior = np.where(game.legal(node["position"]), prior, 0)[0]
            node.update(prior=prior / prior.sum(), visits=np.zeros(9), total=np.zeros(9), children={})
            return float(guess[0])
        visits = node["visits"]
        score = node["total"] / np.maximum(visits, 1)
        score = score + 1.5 * node["prior"] * np.sqrt(visits.sum() + 1) / (1 + visits)
        action = int(np.where(game.legal(node["position"])[0], score, -np.inf).argmax())
        child = node["children"].setdefault(action, {"position": game.play(node["position"], [action])})
        found = -visit(child)
        node["visits"][action] += 1
        node["total"][action] += found
        return found

    root = {"position": after(game, [4])}
    for _ in range(151):  # the first one only looks at the root
        visit(root)
    visits, value = MCTS(game, evaluate, 150).search(root["position"])
    assert visits[0].tolist() == root["visits"].tolist()
    assert value[0] == pytest.approx(root["total"].sum() / 150, abs=1e-5)


def test_noise_widens_the_search_at_the_root():
    game = tic_tac_toe()

    def sure(positions):
        prior = np.full((len(positions), 9), 1e-4)
        prior[:, 0] = 1
        return prior, np.zeros(len(positions), np.float32)

    quiet, _ = MCTS(game, sure, 40).search(game.initial(8))
    noisy, _ = MCTS(game, sure, 40, noise=1.0, noise_share=0.5).search(game.initial(8))
    assert (noisy[:, 0] < quiet[:, 0]).all()
    assert noisy.std(0).max() > 0  # each game has its own


# -- learning --------------------------------------------------------------------------------------------------------


def test_the_network_takes_planes_and_gives_policy_and_value(device):
    game = connect_four()
    net = PolicyValueNet(game, channels=8, blocks=1).to(device)
    logits, value = net(torch.rand(3, 2, 6, 7, device=device))
    assert logits.shape == (3, 7) and value.shape == (3,) and value.abs().max() <= 1
    policy, result = torch.rand(3, 7, device=device).softmax(1), torch.tensor([1.0, 0.0, -1.0], device=device)
    loss = alphazero_loss(logits, value, policy, result)
    expected = ((value - result) ** 2).mean() - (policy * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(loss, expected)
    probabilities, values = evaluator(net, game, device)(game.initial(4))
    assert probabilities.shape == (4, 7) and values.shape == (4,) and net.training
    assert probabilities.sum(1).tolist() == pytest.approx([1.0] * 4, abs=1e-5)


def test_self_play_tells_who_won():
    game = tic_tac_toe()
    planes, policies, results = self_play(MCTS(game, knows_nothing(game), 20, noise=1.0), 30, sampled_moves=4)
    assert len(planes) == len(policies) == len(results)
    assert policies.sum(1) == pytest.approx(np.ones(len(policies)), abs=1e-5)
    assert ((policies > 0) <= (planes.sum(1).reshape(-1, 9) == 0)).all()
    stones = planes.sum((1, 2, 3)).astype(int)
    assert (stones == 0).sum() == 30
    # Games are cut into moves side by side: those with n stones come together, so whoever can complete a row wins.
    lines = game.lines()
    own, other = planes.reshape(-1, 2, 9).transpose(1, 0, 2) @ lines.T
    wins_now = ((own == 2) & (other == 0)).any(1)
    assert results[wins_now].mean() > 0.8
    assert results.dtype == policies.dtype == planes.dtype == np.float32
    assert set(np.unique(results)) <= {-1.0, 0.0, 1.0}


@pytest.mark.cpu  # thousands of small batches: minutes on a GPU in software
def test_a_few_rounds_of_self_play_teach_tic_tac_toe(device):
    game = tic_tac_toe()
    net = PolicyValueNet(game, channels=16, blocks=1).to(device)
    optimizer = torch.optim.Adam(net.parameters(), 5e-3)
    evaluate = evaluator(net, game, device)
    for round_ in range(4):
        search = MCTS(game, evaluate, 25, noise=1.0, seed=round_)
        planes, policies, results = self_play(search, 60, sampled_moves=4, seed=round_)
        results = np.tile(results, 8)
        planes, policies = game.symmetries(planes, policies)
        data = [torch.from_numpy(np.ascontiguousarray(part)).to(device) for part in (planes, policies, results)]
        for _ in range(25):
            optimizer.zero_grad()
            alphazero_loss(*net(data[0]), *data[1:]).backward()
            optimizer.step()
    player = mcts_player(MCTS(game, evaluate, 50))
    wins, _, losses = play_match(game, player, random_player(game), 40)
    assert losses <= 2 and wins >= 28
    assert models.MCTS is MCTS
