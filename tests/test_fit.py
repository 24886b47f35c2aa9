"""`corten.fit` is the plain loop, and does what it is asked; its parts."""

from __future__ import annotations

import random
import sys

import corten
import numpy as np
import pytest
from corten import nn
from corten.training import Averages, Batches, Callback

from training_runs import COUNT, LOSS, accuracy, adam, assert_same_bits, fit, network, points, weights


def test_fit_is_the_plain_loop_bit_for_bit():
    ours, plain = network(), network()
    fit(ours, points(), LOSS, adam(ours), batch_size=8, epochs=3, seed=7)
    optimizer = adam(plain)
    corten.manual_seed(7)
    plain.train()
    batches = Batches(*points(), batch_size=8)
    for _ in range(3):
        for inputs, target in batches:
            loss = LOSS(plain(inputs), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert_same_bits(ours, plain)


def test_history_holds_means_over_samples_of_both_data():
    model = network(dropout=0)
    optimizer = corten.optim.SGD(model.parameters(), lr=0.0)
    model.eval()
    for module in model.modules():
        module.train = lambda mode=True: None  # so that both data are seen in one mode
    history = fit(
        model, points(), LOSS, optimizer, batch_size=8, epochs=2, validation=points(), metrics={"accuracy": accuracy}
    )
    inputs, target = points()
    with corten.no_grad():
        output = model(inputs)
        expected = {"loss": LOSS(output, target).item(), "accuracy": accuracy(output, target).item()}
    for prefix in ("", "val_"):
        for name, value in expected.items():
            assert history[prefix + name] == pytest.approx([value] * 2, rel=1e-5)
    assert history["step"] == [6, 12] and history.names()[:3] == ["epoch", "step", "lr"]
    assert history.best == history.rows[0]


def test_the_loss_is_not_read_in_every_step():
    """A step reads values only where a look is due: items are counted."""
    reads = []
    read = corten.Tensor.item

    class Counted(Callback):
        def on_step_end(self, run):
            reads.append(0)

    def item(self):
        if reads:
            reads[-1] += 1
        return read(self)

    model = network()
    optimizer = corten.optim.SGD(model.parameters(), lr=0.1)
    corten.Tensor.item = item
    try:
        fit(model, points(), LOSS, optimizer, batch_size=2, callbacks=[Counted()])
    finally:
        corten.Tensor.item = read
    assert len(reads) == 22 and sum(reads) == 0


def test_later_steps_make_no_plans():
    model, misses = network(), []
    counts = lambda run, row: misses.append(corten._core.counters()["plan_misses"])  # noqa: E731
    fit(model, points(40), LOSS, adam(model), batch_size=8, epochs=6, check_every=2, callbacks=[counts])
    assert misses[-1] == misses[2]


def test_a_step_takes_batches_of_any_form():
    model = nn.Linear(2, 1)
    optimizer = corten.optim.SGD(model.parameters(), lr=0.1)
    batches = [{"x": corten.ones(3, 2), "names": ["a", "b", "c"]}] * 4

    def step(batch):
        assert batch["names"] == ["a", "b", "c"]
        output = model(batch["x"])
        return {"loss": (output**2).mean(), "size": output.abs().mean().detach(), "constant": 2.5}

    history = fit(model, batches, step=step, optimizer=optimizer, epochs=2)
    assert history["constant"] == [2.5, 2.5] and history["size"][1] < history["size"][0]


def test_a_manual_step_updates_several_networks_itself():
    first, second = nn.Linear(1, 1), nn.Linear(1, 1)
    one, two = (corten.optim.SGD(model.parameters(), lr=0.1) for model in (first, second))
    before = weights(nn.ModuleList([first, second]))

    def step(batch):
        for model, optimizer in ((first, one), (second, two)):
            optimizer.zero_grad()
            model(batch).sum().backward()
            optimizer.step()
        return {"gap": (first.weight - second.weight).abs()}

    both = nn.ModuleList([first, second])
    history = fit(both, [corten.ones(1, 1)] * 3, step=step, manual=True, optimizer=[one, two])
    for old, new in zip(before, weights(both), strict=True):
        np.testing.assert_allclose(new, old - 0.3, rtol=1e-5, atol=1e-6)
    assert "gap" in history and history.rows[0]["step"] == 3


@pytest.mark.parametrize("last", [8, 4])
def test_accumulation_equals_the_larger_batch(last):
    """Also for what is left at the end of a pass, which counts in full."""
    inputs, target = points(24 + last)
    small = [(inputs[i : i + 4], target[i : i + 4]) for i in range(0, 24 + last, 4)]
    large = [(inputs[i : i + 8], target[i : i + 8]) for i in range(0, 24 + last, 8)]
    models = [nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    for model, batches, accumulate in zip(models, (small, large), (2, 1), strict=True):
        optimizer = corten.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
        history = fit(model, batches, LOSS, optimizer, accumulate=accumulate, epochs=2)
        assert history["step"] == [4, 8]
    for one, other in zip(*map(weights, models), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_gradients_are_clipped():
    for options, expected in (({"clip_norm": 0.5}, [0.3, 0.4]), ({"clip_value": 2.0}, [2.0, 2.0])):
        weight = nn.ParameterList([corten.zeros(2)])
        optimizer = corten.optim.SGD(weight.parameters(), lr=1.0)
        pull = corten.tensor([-30.0, -40.0])
        fit(weight, [pull], step=lambda batch: (weight[0] * batch).sum(), optimizer=optimizer, **options)
        np.testing.assert_allclose(weight[0].detach().cpu().numpy(), expected, rtol=1e-5)


def test_ema_is_the_running_average_and_is_what_validation_sees():
    model = nn.Linear(1, 1, bias=False)
    optimizer = corten.optim.SGD(model.parameters(), lr=1.0)
    model.weight.data.fill_(0.0)
    seen = []

    def validation(model):
        seen.append(model.weight.item())
        return {"weight": model.weight.item()}

    ones = [corten.ones(1, 1)] * 3  # the weight goes to -1, -2, -3
    history = fit(
        model, ones, step=lambda batch: model(batch).sum(), optimizer=optimizer, ema=0.5, validation=validation
    )
    average = ((-1 + -2) / 2 + -3) / 2
    assert seen == [average] and history["val_weight"] == [average]
    assert history.averaged.module.weight.item() == average and model.weight.item() == -3


def test_amp_computes_in_the_narrow_dtype_and_keeps_float32_weights():
    for amp in (corten.bfloat16, corten.float16):
        model, seen = network(), []
        model[0].register_forward_hook(lambda module, args, output: seen.append(output.dtype))
        history = fit(model, points(), LOSS, adam(model), batch_size=8, epochs=20, amp=amp)
        assert set(seen) == {amp} and model[0].weight.dtype == corten.float32
        assert history["loss"][-1] < history["loss"][0] / 1.5


def test_schedules_advance_with_steps_and_epochs():
    model = network()
    optimizer = corten.optim.SGD(model.parameters(), lr=1.0)
    by_step = corten.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    by_epoch = corten.optim.lr_scheduler.StepLR(optimizer, 1, 0.1)
    rates = []

    class Rates(Callback):
        def on_step_end(self, run):
            rates.append(optimizer.param_groups[0]["lr"])

    options = {"step_scheduler": by_step, "epoch_scheduler": by_epoch, "callbacks": [Rates()]}
    fit(model, points(16), LOSS, optimizer, batch_size=8, epochs=2, **options)
    np.testing.assert_allclose(rates, [0.5, 0.25, 0.0125, 0.00625])


def test_a_plateau_lowers_the_rate():
    model = nn.Linear(4, 2)
    optimizer = corten.optim.SGD(model.parameters(), lr=1e-3)
    plateau = corten.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=0.5)
    history = fit(model, points(), LOSS, optimizer, epochs=4, validation=points(), epoch_scheduler=plateau)
    np.testing.assert_allclose(history["lr"], [1e-3, 1e-3, 1e-4, 1e-5])


def test_early_stopping_ends_with_the_best_weights(tmp_path):
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(0.0)
    optimizer = corten.optim.SGD(model.parameters(), lr=1.0)
    scores = iter([3.0, 1.0, 2.0, 1.5, 9.0])  # the second epoch is best
    history = fit(
        model,
        [corten.ones(1, 1)],
        step=lambda batch: model(batch).sum(),
        optimizer=optimizer,
        epochs=10,
        validation=lambda model: {"error": next(scores)},
        monitor="val_error",
        mode="min",
        patience=2,
        best=tmp_path / "best.pt",
    )
    assert len(history) == 4 and history.best["epoch"] == 2 and "not become better for 2 epochs" in history.stopped
    assert model.weight.item() == -2.0
    assert corten.load(tmp_path / "best.pt")["weight"].item() == -2.0


def test_torchmetrics_like_objects_are_of_the_whole_validation():
    class Largest:
        def reset(self):
            self.value = -1.0

        def update(self, output, target):
            self.value = max(self.value, float(target.max()))

        def compute(self):
            return self.value

    model = nn.Linear(1, 1)
    optimizer = corten.optim.SGD(model.parameters(), lr=0.0)
    data = corten.ones(6, 1), corten.arange(6.0).reshape(6, 1)
    history = fit(
        model, data, nn.MSELoss(), optimizer, batch_size=2, validation=data, metrics={"largest": Largest()}, epochs=2
    )
    assert history["val_largest"] == [5.0, 5.0] and "largest" not in history


def test_a_closure_reaches_optimizers_that_need_one():
    model = nn.Linear(4, 2)
    optimizer = corten.optim.LBFGS(model.parameters(), lr=0.5, max_iter=5)
    history = fit(model, points(), LOSS, optimizer, batch_size=COUNT, epochs=5)
    assert history["loss"][-1] < 0.1 < history["loss"][0]


def test_logs_reach_functions_and_writers():
    logged, scalars = [], []

    class Writer:
        def add_scalar(self, name, value, step):
            scalars.append((name, step))

    for log in (lambda values, step: logged.append((step, set(values))), Writer()):
        model = network()
        fit(model, points(32), LOSS, adam(model), batch_size=8, validation=points(), log=log, log_every=3)
    assert logged == [(3, {"loss", "lr"}), (4, {"lr", "loss", "val_loss"})]
    assert scalars == [("loss", 3), ("lr", 3), ("lr", 4), ("loss", 4), ("val_loss", 4)]


def test_epochs_may_be_counted_in_steps():
    model = network()
    history = fit(model, points(16), LOSS, adam(model), batch_size=8, steps_per_epoch=3, epochs=3)
    assert history["step"] == [3, 6, 9]
    assert fit(model, points(16), LOSS, adam(model), batch_size=8, epochs=9, max_steps=5)["step"] == [2, 4, 5]


def test_a_seed_sets_all_generators():
    drawn = []
    for _ in range(2):
        model = nn.Linear(1, 1)
        optimizer = corten.optim.SGD(model.parameters(), lr=0.1)

        def step(batch, model=model):
            drawn.append((random.random(), np.random.rand(), corten.rand(()).item()))
            return model(batch).sum()

        fit(model, [corten.ones(1, 1)], step=step, optimizer=optimizer, seed=3)
    assert drawn[0] == drawn[1]


def test_a_model_keeps_the_mode_that_it_had():
    model = network().eval()
    fit(model, points(), LOSS, adam(model), validation=points())
    assert not model.training


# -- progress ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bar", [True, False])
def test_progress_is_a_bar_or_plain_lines(bar, capsys, monkeypatch):
    if bar:
        pytest.importorskip("tqdm", reason="tqdm is not installed")
    else:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    model = network()
    fit(model, points(), LOSS, adam(model), batch_size=8, epochs=2, progress=True)
    shown = capsys.readouterr()
    assert "epoch 1: loss " in shown.out and "epoch 2: loss " in shown.out
    assert ("12/12" in shown.err) == bar


# -- parts ------------------------------------------------------------------------------------------------------------


def test_batches_cover_every_row_once_and_go_on_where_they_were():
    rows = corten.arange(10)
    batches = Batches(rows, rows * 2, batch_size=4)
    first = list(batches)
    assert sorted(corten.cat([a for a, _ in first]).tolist()) == list(range(10)) and [len(a) for a, _ in first] == [
        4,
        4,
        2,
    ]
    assert all(corten.equal(b, a * 2) for a, b in first)
    passing = iter(batches)
    next(passing)
    state = batches.state_dict()
    rest = [a.tolist() for a, _ in passing]
    other = Batches(rows, rows * 2, batch_size=4)
    other.load_state_dict(state)
    assert [a.tolist() for a, _ in other] == rest and len(list(other)) == 3
    assert len(Batches(rows, batch_size=4, drop_last=True)) == 2 and len(other) == 3
    assert [b.tolist() for b in Batches(rows, batch_size=6, shuffle=False, transform=lambda a: a[:2])] == [
        [0, 1],
        [6, 7],
    ]


@pytest.mark.cpu
def test_rows_of_about_the_same_length_share_a_batch():
    lengths = corten.randint(1, 100, (1003,))
    batches = Batches(corten.arange(1003), batch_size=10, lengths=lengths)
    first, second = ([rows for (rows,) in batches] for _ in range(2))
    assert sorted(corten.cat(first).tolist()) == list(range(1003)) and len(first[-1]) == 3
    spread = corten.stack([lengths[rows].max() - lengths[rows].min() for rows in first[:-1]])
    assert spread.float().mean() < 5  # of 99 where rows come as they like
    means = corten.stack([lengths[rows].float().mean() for rows in first[:50]])
    assert not corten.equal(means, means.sort().values)  # short batches do not all come first
    assert not all(corten.equal(one, other) for one, other in zip(first, second))
    passing = iter(batches)
    next(passing)
    other = Batches(corten.arange(1003), batch_size=10, lengths=lengths)
    other.load_state_dict(batches.state_dict())
    assert [rows.tolist() for (rows,) in other] == [rows.tolist() for (rows,) in passing]


def test_batches_refuse_what_they_cannot_be():
    rows = corten.arange(4)
    for arguments, options, words in (
        ((), {}, "at least one tensor"),
        ((rows, rows[:2]), {}, "equal first dims, but got"),
        ((rows,), {"lengths": rows[:3]}, "equal first dims, but got"),
        ((rows,), {"lengths": rows, "shuffle": False}, "need shuffle=True"),
        ((rows,), {"batch_size": 0}, "positive integer, but got 0"),
        ((rows,), {"batch_size": 5, "drop_last": True}, "batch_size 5 is more than the 4 rows"),
    ):
        with pytest.raises(ValueError, match=words):
            Batches(*arguments, **options)
    with pytest.raises(ValueError, match="state is of 4 rows, but there are 3"):
        Batches(rows[:3]).load_state_dict({"order": rows, "position": 1})


@pytest.mark.cpu
def test_averages_weigh_and_never_write_into_what_they_get():
    averages, value = Averages(), corten.tensor(1.0, dtype=corten.float64)
    averages.add({"a": value, "b": 2}, 1)
    averages.add({"a": corten.tensor([4.0])}, 2)
    assert averages.values() == {"a": 3.0, "b": 2.0} and value.item() == 1.0
    with pytest.raises(ValueError, match=r"'a' has to be a number or a tensor of one element, but got shape \(2,\)"):
        averages.add({"a": corten.ones(2)})


@pytest.mark.parametrize(
    "options, error, words",
    [
        ({"loss": None}, TypeError, "either loss or step"),
        ({"step": lambda batch: 0}, TypeError, "either loss or step"),
        ({"optimizer": None}, TypeError, "needs an optimizer"),
        ({"manual": True}, ValueError, "manual needs a step"),
        ({"epochs": 0}, ValueError, "epochs has to be a positive integer, but got 0"),
        ({"max_steps": 0}, ValueError, "max_steps has to be"),
        ({"resume": True}, ValueError, "resume needs a checkpoint"),
        ({"checkpoint_every": 5}, ValueError, "checkpoint_every needs a checkpoint"),
        ({"amp": corten.float64}, ValueError, "amp has to be True, float16 or bfloat16"),
        ({"monitor": "val_accuracy"}, ValueError, "mode='min' or mode='max'"),
        ({"mode": "up"}, ValueError, "'min' or 'max', but got 'up'"),
        ({"monitor": "val_loss"}, KeyError, "'val_loss' is not measured"),
        ({"callbacks": [3]}, TypeError, "callbacks has to hold"),
        ({"log": 3}, TypeError, "log has to be"),
        ({"data": 3}, TypeError, "data has to be tensors, a Dataset"),
        ({"data": [], "batch_size": 3}, ValueError, "batch_size is for tensors and Datasets"),
        ({"data": iter([])}, ValueError, "gave no batch in a pass"),
        ({"data": [corten.ones(2)]}, TypeError, "a tuple of inputs and, last, the target"),
        ({"loss": lambda output, target: output.detach().sum()}, ValueError, "the loss needs a gradient"),
    ],
)
def test_wrong_arguments_are_told(options, error, words):
    model = network()
    arguments = {"data": points(), "loss": LOSS, "optimizer": adam(model)} | options
    with pytest.raises(error, match=words):
        fit(model, **arguments)


def test_an_iterator_is_gone_through_once():
    model = network()
    batches = iter([tuple(part[:8] for part in points())] * 3)
    with pytest.raises(ValueError, match="an iterator can be gone through once"):
        fit(model, batches, LOSS, adam(model), epochs=2)
