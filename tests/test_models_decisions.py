"""`corten.models`: networks of control, forecasts, ratings and tables. Sizes, losses against their formulas."""

from __future__ import annotations

import math

import corten as torch
import corten.nn.functional as F
import numpy as np
import pytest
from corten import models, nn


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def close(a, b, tolerance=1e-5):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


LEARNERS = {
    "lstm forecaster": (lambda: models.LSTMForecaster(3, channels=2), lambda: (torch.rand(2, 10, 2),), (2, 3)),
    "tcn forecaster": (lambda: models.TCNForecaster(3, num_channels=(8,) * 2), lambda: (torch.rand(2, 10),), (2, 3)),
    "n-beats": (lambda: models.NBeats(3, 10, width=8), lambda: (torch.rand(2, 10),), (2, 3)),
    "patchtst": (lambda: models.PatchTST(3, 24, d_model=16, heads=2), lambda: (torch.rand(2, 24, 5),), (2, 3, 5)),
    "matrix factorisation": (
        lambda: models.MatrixFactorization(4, 5, 3, mean=3.5),
        lambda: (torch.tensor([0, 3]), torch.tensor([4, 1])),
        (2,),
    ),
    "neumf": (lambda: models.NeuMF(4, 5), lambda: (torch.tensor([0, 3]), torch.tensor([4, 1])), (2,)),
    "two towers": (
        lambda: models.TwoTower(4, 5, item_features=2),
        lambda: (torch.tensor([0, 3]), torch.tensor([4, 1, 2]), None, torch.rand(3, 2)),
        (2, 3),
    ),
    "dlrm": (lambda: models.DLRM(3, [4, 5]), lambda: (torch.rand(2, 3), torch.tensor([[0, 4], [3, 1]])), (2,)),
    "tabular mlp": (
        lambda: models.TabularMLP(3, [4, 5], outputs=2),
        lambda: (torch.rand(2, 3), torch.tensor([[0, 4], [3, 1]])),
        (2, 2),
    ),
    "ft-transformer": (
        lambda: models.FTTransformer(3, [4, 5], dim=16, heads=2),
        lambda: (torch.rand(2, 3), torch.tensor([[0, 4], [3, 1]])),
        (2, 1),
    ),
    "autoencoder": (lambda: models.AnomalyAutoencoder(9), lambda: (torch.rand(2, 9),), (2, 9)),
    "dueling q": (lambda: models.QNetwork(4, 2, dueling=True), lambda: (torch.rand(2, 4),), (2, 2)),
    "atari q": (lambda: models.AtariQNetwork(6), lambda: (torch.rand(2, 4, 84, 84) * 255,), (2, 6)),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_a_network_gives_the_shape_it_promises_and_all_of_it_learns(name):
    make, inputs, shape = LEARNERS[name]
    model = make()
    result = model(*inputs())
    result = result[0] if isinstance(result, tuple) else result
    assert result.shape == shape
    (result**2).sum().backward()
    dead = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    if name == "n-beats":  # what the last block leaves over is nobody's past
        dead -= {f"stacks.1.2.{rest}" for rest in ("backcast_basis.weight", "backcast_basis.bias", "backcast.weight")}
    assert not dead


def test_documented_counts():
    assert count(models.AtariQNetwork(6)) == 1_687_206
    assert count(models.MatrixFactorization(10, 20, 8)) == 30 * 9


# -- control ---------------------------------------------------------------------------------------------------------


def test_a_dueling_head_takes_the_mean_advantage_away():
    head = models.dqn.DuelingHead(4, 3)
    x = torch.randn(5, 4)
    close(head(x).mean(1, keepdim=True), head.value(x))


def test_the_replay_buffer_keeps_the_latest_steps(device):
    buffer = models.ReplayBuffer(4, (2,), seed=1)
    with pytest.raises(ValueError, match="no step to sample"):
        buffer.sample(1)
    for start in (0, 3):
        number = np.arange(start, start + 3)
        observation = np.stack([number, number], axis=1)
        buffer.add(observation, number, number / 2, observation + 1, number == 5)
    assert buffer.size == 4
    batch = buffer.sample(200, device)
    assert sorted(set(batch["action"].tolist())) == [2, 3, 4, 5]
    close(batch["reward"], batch["action"] / 2)
    close(batch["next_observation"], batch["observation"] + 1)
    assert torch.equal(batch["terminated"] == 1, batch["action"] == 5)
    with pytest.raises(ValueError, match="5 steps at once"):
        buffer.add(*[np.zeros((5, 2))] * 5)


@pytest.mark.cpu
def test_a_replay_buffer_goes_on_from_its_state(tmp_path):
    first, again = (models.ReplayBuffer(4, (2,), seed=seed) for seed in (1, 2))
    for buffer, starts in ((first, (0, 3)), (again, (7,))):
        for start in starts:
            buffer.add(np.full((3, 2), start), *[np.arange(start, start + 3)] * 2, np.zeros((3, 2)), np.zeros(3))
    first.sample(5)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    again.load_state_dict(torch.load(tmp_path / "state.pt"))
    for buffer in (first, again):
        buffer.add(np.full((1, 2), 9), [9], [9], np.zeros((1, 2)), [1])
    one, other = first.sample(50), again.sample(50)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert set(one["action"].tolist()) == {3, 4, 5, 9}
    with pytest.raises(ValueError, match=r"observation \(4, 2\) does not fit into \(3, 2\)"):
        models.ReplayBuffer(3, (2,)).load_state_dict(first.state_dict())


@pytest.mark.parametrize("double", [False, True])
def test_the_loss_of_dqn_is_that_of_its_equation(double):
    online, target = models.QNetwork(2, 3), models.QNetwork(2, 3)
    batch = {
        "observation": torch.randn(6, 2),
        "action": torch.randint(3, (6,)),
        "reward": torch.randn(6),
        "next_observation": torch.randn(6, 2),
        "terminated": (torch.arange(6) % 2).float(),
    }
    following = target(batch["next_observation"])
    if double:
        best = following[torch.arange(6), online(batch["next_observation"]).argmax(1)]
    else:
        best = following.amax(1)
    error = online(batch["observation"])[torch.arange(6), batch["action"]] - batch["reward"]
    error = (error - 0.9 * (1 - batch["terminated"]) * best).abs()
    expected = torch.where(error < 1, error**2 / 2, error - 0.5).mean()
    loss = models.dqn_loss(online, target, batch, gamma=0.9, double=double)
    close(loss, expected)
    loss.backward()
    assert all(parameter.grad is None for parameter in target.parameters())


def test_epsilon_is_how_often_the_best_is_not_taken():
    values = torch.tensor([[0.0, 1.0, 0.0, 0.0]]).expand(4000, 4)
    assert torch.equal(models.epsilon_greedy(values, 0.0), torch.ones(4000).long())
    assert (models.epsilon_greedy(values, 0.4) == 1).float().mean().item() == pytest.approx(0.7, abs=0.03)


def test_advantages_follow_their_formula():
    steps, envs, gamma, lam = 6, 3, 0.9, 0.8
    rewards, values, following = torch.randn(3, steps, envs)
    terminated = torch.zeros(steps, envs)
    terminated[2, 0] = 1
    done = terminated.clone()
    done[3, 1] = 1  # a time limit: the value of what would have come still counts
    advantages, returns = models.gae(rewards, values, following, terminated, done, gamma, lam)
    errors = (rewards + gamma * following * (1 - terminated) - values).tolist()
    for env in range(envs):
        for t in range(steps):
            expected, factor = 0.0, 1.0
            for k in range(t, steps):
                expected += factor * errors[k][env]
                factor *= gamma * lam
                if done[k, env]:
                    break
            assert advantages[t, env].item() == pytest.approx(expected, abs=1e-4)
    close(returns, advantages + values)


@pytest.mark.parametrize("continuous", [False, True])
def test_the_clipped_objective_gains_nothing_from_going_too_far(continuous):
    model = models.ActorCritic(3, 2, continuous)
    observation = torch.randn(64, 3)
    action, log_prob, value = model.act(observation)
    assert action.shape == ((64, 2) if continuous else (64,)) and log_prob.shape == value.shape == (64,)
    advantage, returns = torch.randn(64), torch.randn(64)
    close(model(observation, action)[0], log_prob)
    loss, watched = models.ppo_loss(model, observation, action, log_prob, advantage, returns, 0.2, 0.5, 0.0)
    # At the old policy the ratio is 1, so the gain is the mean of normalised advantages, zero.
    close(loss, 0.5 * F.mse_loss(value, returns), 1e-4)
    assert watched["clip_fraction"] == 0


def test_probabilities_that_moved_too_far_in_the_good_direction_pull_no_more():
    advantage, moved = torch.randn(64), torch.zeros(64, requires_grad=True)

    def model(observation, action):
        return moved, torch.zeros(64), torch.zeros(64)

    for shift, beyond in ((-math.log(2), advantage > advantage.mean()), (math.log(2), advantage < advantage.mean())):
        # All ratios are 2, or 1/2.
        loss, watched = models.ppo_loss(model, None, None, torch.full((64,), shift), advantage, torch.zeros(64))
        (gradient,) = torch.autograd.grad(loss, moved)
        assert watched["clip_fraction"] == 1
        assert torch.equal(gradient == 0, beyond)


def test_squashed_actions_are_as_likely_as_the_change_of_variables_says():
    actor = models.SquashedGaussianActor(3, 2, low=-2.0, high=2.0)
    observation = torch.randn(50, 3)
    action, log_prob = actor(observation)
    assert action.abs().max() <= 2
    mean, log_std = actor.net(observation).chunk(2, dim=-1)
    before = (action / 2).clamp(-1 + 1e-6, 1 - 1e-6).atanh()
    normal = -0.5 * ((before - mean) / log_std.exp()) ** 2 - log_std - 0.5 * math.log(2 * math.pi)
    expected = (normal - (2 * (1 - (action / 2) ** 2)).log()).sum(1)
    close(log_prob, expected, 1e-2)
    close(actor.best(observation), 2 * mean.tanh())


def test_the_parts_of_sac_learn_apart():
    model = models.SAC(3, 1, hidden=(16,))
    batch = {
        "observation": torch.randn(8, 3),
        "action": torch.rand(8, 1),
        "reward": torch.randn(8),
        "next_observation": torch.randn(8, 3),
        "terminated": torch.ones(8),
    }
    # Where nothing follows, the goal is the reward.
    values = model.critic(batch["observation"], batch["action"])
    close(model.critic_loss(batch), ((values - batch["reward"]) ** 2).mean(1).sum())
    model.critic_loss(batch).backward()
    assert all(parameter.grad is None for parameter in [*model.actor.parameters(), *model.target.parameters()])
    loss, _ = model.actor_loss(batch["observation"])
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.actor.parameters()) and model.log_alpha.grad is None
    # Actions less random than asked for, likelier than exp(1), raise the temperature.
    model.temperature_loss(torch.full((8,), 5.0)).backward()
    assert model.log_alpha.grad < 0
    before = model.target.q1[0].weight.clone()
    with torch.no_grad():
        model.critic.q1[0].weight += 1
    model.update_target(0.25)
    close(model.target.q1[0].weight, before + 0.25)


# -- forecasts, ratings, tables --------------------------------------------------------------------------------------


def test_the_pinball_loss_is_smallest_at_the_quantile():
    actual = torch.arange(1, 101).float()
    guesses = torch.arange(1, 101).float()
    losses = [models.pinball_loss(guess.expand(100, 1), actual, [0.9]).item() for guess in guesses]
    assert losses.index(min(losses)) + 1 in (90, 91)
    close(models.pinball_loss(actual[:, None] - 2, actual, [0.9]), torch.tensor(1.8))
    close(models.pinball_loss(actual[:, None] + 2, actual, [0.9]), torch.tensor(0.2))
    with pytest.raises(ValueError, match="2 quantiles"):
        models.pinball_loss(actual[:, None], actual, [0.1, 0.9])


def test_every_forecaster_gives_quantiles():
    past, quantiles = torch.rand(2, 24), [0.05, 0.5, 0.95]
    for model in (
        models.LSTMForecaster(6, quantiles=quantiles),
        models.TCNForecaster(6, num_channels=(8, 8), quantiles=quantiles),
        models.NBeats(6, 24, width=8, quantiles=quantiles),
        models.NBeats(6, 24, interpretable=True, width=8, quantiles=quantiles),
        models.PatchTST(6, 24, d_model=16, heads=2, quantiles=quantiles),
    ):
        assert model(past).shape == (2, 6, 3)
    with pytest.raises(ValueError, match=r"must be \(N, 24\)"):
        models.NBeats(6, 24)(past[:, 1:])
    with pytest.raises(ValueError, match=r"\(N, length, 2\)"):
        models.LSTMForecaster(6, channels=2)(past)


def test_interpretable_blocks_speak_of_trends_and_seasons():
    model = models.NBeats(12, 24, interpretable=True, width=16, degree=2, share=True)
    past = torch.rand(3, 24)
    trend, season = model.parts(past)
    close(trend + season, model(past))
    # A parabola's third differences vanish, and so do the sums of sines over their periods.
    close(trend.diff(n=3), torch.zeros(3, 9), 1e-4)
    basis = model.stacks[1][0].basis
    assert basis.shape == (1 + 2 * 6, 36)
    close(basis[1:, 24:].sum(1), torch.zeros(12), 1e-4)
    assert model.stacks[0][0] is model.stacks[0][2]


def test_patchtst_speaks_in_the_units_of_each_series():
    model = models.PatchTST(4, 24, d_model=16, heads=2).eval()
    past = torch.rand(2, 24)
    close(model(past * 100 + 7), model(past) * 100 + 7, 1e-2)
    both = model(torch.stack([past, past * 3], dim=2))
    close(both[:, :, 0], model(past))
    with pytest.raises(ValueError, match="at least patch"):
        models.PatchTST(4, 8)


def test_ratings_are_biases_and_a_product():
    model = models.MatrixFactorization(4, 5, 3, mean=3.5)
    nn.init.normal_(model.user_bias.weight)
    rating = model(torch.tensor([2]), torch.tensor([4]))
    expected = 3.5 + model.user_bias.weight[2] + model.item_bias.weight[4] + model.user.weight[2] @ model.item.weight[4]
    close(rating, expected)


def test_an_item_that_occurs_twice_is_no_wrong_answer():
    logits = torch.tensor([[2.0, 9.0, 0.0], [9.0, 2.0, 0.0], [1.0, 1.0, 1.0]])
    loss = models.in_batch_softmax(logits, torch.tensor([7, 7, 8]))
    expected = (2 * math.log(1 + math.exp(-2)) + math.log(3)) / 3
    assert loss.item() == pytest.approx(expected, abs=1e-5)
    corrected = models.in_batch_softmax(logits, torch.tensor([7, 7, 8]), torch.tensor([0.5, 0.5, 0.1]))
    by_hand = (2 * math.log(1 + math.exp(-2) * 5) + math.log(0.1 / 0.5 * 2 + 1)) / 3
    assert corrected.item() == pytest.approx(by_hand, abs=1e-5)


def test_dlrm_multiplies_every_pair_once():
    model = models.DLRM(3, [4, 5, 6], embedding=2)
    assert model.pairs.shape == (2, 6) and (model.pairs[0] > model.pairs[1]).all()
    assert model.top[0].in_features == 2 + 6
    with pytest.raises(ValueError, match=r"categories must be \(N, 3\)"):
        model(torch.rand(2, 3), torch.zeros(2, 2).long())


def test_the_tokens_of_a_table_are_its_columns():
    tokens = models.FTTransformer(2, [3, 4], dim=8, heads=2).tokens
    numbers, categories = torch.rand(5, 2), torch.tensor([[2, 3]]).expand(5, 2)
    x = tokens(numbers, categories)
    assert x.shape == (5, 4, 8)
    close(x[:, 1], numbers[:, 1:] * tokens.weight[1] + tokens.bias[1])
    close(x[0, 3], tokens.table.weight[3 + 3] + tokens.bias[3])


def test_rare_ones_weigh_more():
    labels = torch.tensor([0, 0, 0, 1])
    assert models.positive_weight(labels) == 3
    logits = torch.tensor([-2.0, 0.0, 2.0, 1.0])
    close(models.focal_loss(logits, labels, gamma=0), F.binary_cross_entropy_with_logits(logits, labels.float()))
    right = torch.where(labels == 1, logits.sigmoid(), 1 - logits.sigmoid())
    weight = torch.tensor([0.1, 0.1, 0.1, 0.9])
    expected = (-weight * (1 - right) ** 2 * right.log()).mean()
    close(models.focal_loss(logits, labels, alpha=0.9), expected)


def test_what_an_autoencoder_has_not_seen_comes_back_badly():
    direction = torch.randn(6)
    usual = torch.randn(256, 1) * direction
    model = models.AnomalyAutoencoder(6, hidden=(8,), bottleneck=1, noise=0.0)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        F.mse_loss(model(usual), usual).backward()
        optimizer.step()
    unusual = torch.randn(256, 6) * direction.norm()
    assert model.score(unusual).median() > 5 * model.score(usual).median()
