"""`corten.fit` on losses that are no numbers, and on curves that turn."""

from __future__ import annotations

import warnings

import corten
import numpy as np
import pytest
from corten import nn
from corten.training import Callback, NonFiniteError

from training_runs import LOSS, accuracy, adam, fit, network, points, weights


class Root(nn.Module):
    """The root of the magnitude, whose gradient at zero is NaN."""

    def forward(self, input):
        return input.abs().sqrt()


class Explodes(nn.Module):
    """Grows until float32 ends."""

    def forward(self, input):
        return (input * 1e30) * 1e30


@pytest.mark.parametrize("bad_step", [1, 7, 16, 17, 30])
def test_a_nan_names_the_layer_that_made_it(bad_step):
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Sequential(nn.Identity(), Root()), nn.Linear(1, 1))
    with corten.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
    optimizer = corten.optim.Adam(model.parameters(), lr=1e-4)
    batches = [corten.ones(2, 1)] * 40
    batches[bad_step - 1] = corten.zeros(2, 1)
    before = []

    class Before(Callback):
        def on_step_end(self, run):
            before.append(weights(model))

    with pytest.raises(NonFiniteError, match=r"layer '1\.1' \(Root\) is the first whose gradients are not") as caught:
        fit(model, batches, step=lambda x: model(x).mean(), optimizer=optimizer, callbacks=[Before()])
    assert caught.value.layer == "1.1" and caught.value.step == bad_step and caught.value.epoch == 1
    assert isinstance(caught.value, FloatingPointError)
    if bad_step > 1:  # the model has the weights from before that step
        for one, other in zip(before[bad_step - 2], weights(model), strict=True):
            np.testing.assert_array_equal(one, other)


def broken(model, batches=None, **options):
    optimizer = corten.optim.SGD(model.parameters(), lr=0.1)
    batches = batches or [corten.ones(2, 1)] * 3
    with pytest.raises(NonFiniteError) as caught:
        fit(model, batches, step=lambda x: model(x).mean(), optimizer=optimizer, **options)
    return caught.value


def test_outputs_that_are_not_finite_name_the_layer_and_its_inputs():
    model = nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.Tanh(), Explodes()), nn.Sigmoid(), nn.Linear(1, 1))
    error = broken(nn.Sequential(*model[:2], nn.Linear(1, 1)), [corten.full((2, 1), 9.0)])
    assert error.layer == "1.1" and "first whose output is not finite" in str(error)
    assert "inputs and weights were finite, the inputs up to" in str(error)


def test_bad_weights_and_bad_inputs_are_told():
    model = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    with corten.no_grad():
        model[1].weight.fill_(float("nan"))
    error = broken(model)
    assert error.layer == "1" and "its weights ['weight'] were already not finite" in str(error)
    error = broken(nn.Sequential(nn.Linear(1, 1)), [corten.full((2, 1), float("inf"))])
    assert error.layer == "0" and "its inputs were already not finite" in str(error)


def test_a_loss_function_that_makes_it_is_told():
    model = nn.Linear(1, 1)
    optimizer = corten.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(NonFiniteError, match="the loss function made it") as caught:
        fit(model, [corten.ones(2, 1)], step=lambda x: (model(x) * 0).log().sum(), optimizer=optimizer)
    assert caught.value.layer is None


def test_a_manual_step_that_breaks_is_told():
    model = nn.Sequential(nn.Linear(1, 1), Explodes())

    def step(batch):
        return {"loss": model(batch + 9).mean()}

    with pytest.raises(NonFiniteError, match="layer '1'"):
        fit(model, [corten.full((1, 1), 1e9)] * 3, step=step, manual=True)


def test_frozen_layers_are_not_copied_and_the_bad_step_is_found_all_the_same():
    model = nn.Sequential(nn.Linear(1, 1, bias=False), Root(), nn.Linear(1, 1))
    model[2].requires_grad_(False)
    kept = []

    class Kept(Callback):
        def on_step_end(self, run):
            kept.append(set(run.updates.changing_state()["model"]))

    error = broken(model, [corten.ones(1, 1)] * 5 + [corten.zeros(1, 1)], callbacks=[Kept()])
    assert kept[0] == {"0.weight"} and (error.layer, error.step) == ("1", 6)


def test_a_broken_step_is_never_in_a_checkpoint(tmp_path):
    model = nn.Sequential(nn.Linear(1, 1, bias=False), Root())
    batches = [corten.ones(1, 1)] * 4 + [corten.zeros(1, 1)] * 3
    broken(model, batches, checkpoint=tmp_path / "c.pt", checkpoint_every=1)
    saved = corten.load(tmp_path / "c.pt")
    assert saved["step"] == 4 and all(bool(value.isfinite().all()) for value in saved["model"].values())


def test_losses_are_not_looked_at_where_nobody_wants_it():
    model = nn.Sequential(nn.Linear(1, 1), Explodes())
    optimizer = corten.optim.SGD(model.parameters(), lr=0.1)
    fit(model, [corten.full((2, 1), 9e9)], step=lambda x: model(x).mean(), optimizer=optimizer, check_every=0)


# -- curves -----------------------------------------------------------------------------------------------------------


def curves(training, validation):
    training, validation = iter(training), iter(validation)
    model = nn.Linear(1, 1)
    optimizer = corten.optim.SGD(model.parameters(), lr=0.0)

    def step(batch):
        return model(batch).sum() * 0 + next(training)

    return lambda epochs: fit(
        model,
        [corten.ones(1, 1)],
        step=step,
        optimizer=optimizer,
        epochs=epochs,
        validation=lambda model: {"loss": next(validation)},
    )


def test_a_validation_curve_that_turns_is_told_once():
    run = curves([5, 4, 3, 2, 1, 0.5, 0.2], [3, 2, 2.1, 2.2, 2.3, 2.4, 2.5])
    with pytest.warns(UserWarning, match="val_loss has risen for 3 epochs since its minimum of 2 in epoch 2") as told:
        run(7)
    assert len(told) == 1


@pytest.mark.parametrize(
    "training, validation",
    [([5, 4, 3, 2, 1], [3, 2, 2.1, 2.05, 2.3]), ([5, 4, 4, 5, 6], [3, 2, 2.1, 2.2, 2.3]), ([5, 4, 3], [3, 2.5, 2.6])],
    ids=["wobbles", "both rise", "short"],
)
def test_curves_that_do_not_turn_are_not_told(training, validation):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        curves(training, validation)(len(training))


def test_plot_draws_a_panel_for_each_quantity(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    model = network()
    history = fit(model, points(), LOSS, adam(model), epochs=3, validation=points(), metrics={"accuracy": accuracy})
    history.plot(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG") and "epochs" in repr(history)
    with pytest.raises(KeyError, match="no epoch has 'f1'"):
        history["f1"]
