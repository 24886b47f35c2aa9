"""Checkpointing: the same values and gradients with less kept, and errors where the second run differs."""

from __future__ import annotations

import contextlib
import gc

import corten
import corten.nn.functional as F
import pytest
from corten.utils.checkpoint import (
    CheckpointError,
    checkpoint,
    checkpoint_sequential,
    detach_variable,
    set_checkpoint_debug_enabled,
    set_checkpoint_early_stop,
)

BOTH = pytest.mark.parametrize("use_reentrant", [True, False])


def network() -> corten.nn.Sequential:
    corten.manual_seed(3)
    return corten.nn.Sequential(*[corten.nn.Sequential(corten.nn.Linear(8, 8), corten.nn.Tanh()) for _ in range(4)])


def gradients(loss, *tensors):
    for tensor in tensors:
        tensor.grad = None
    loss.backward()
    return [tensor.grad.clone() for tensor in tensors]


@BOTH
def test_values_and_gradients_are_those_without(use_reentrant):
    model, x = network(), corten.randn(5, 8, requires_grad=True)
    tensors = [x, *model.parameters()]
    expected = gradients(model(x).sum(), *tensors)
    y = x
    for part in model:
        y = checkpoint(part, y, use_reentrant=use_reentrant)
    assert corten.equal(y, model(x))
    for got, wanted in zip(gradients(y.sum(), *tensors), expected):
        assert corten.allclose(got, wanted)


@BOTH
@pytest.mark.cpu
def test_random_numbers_are_drawn_again_and_the_generator_goes_on(use_reentrant):
    x = corten.randn(50, 50, requires_grad=True)
    corten.manual_seed(7)
    y = checkpoint(lambda a: F.dropout(a * 1.0, 0.5), x, use_reentrant=use_reentrant)
    after = corten.get_rng_state()
    (grad,) = gradients(y.sum(), x)
    assert corten.equal(grad != 0, y != 0)
    assert corten.equal(corten.get_rng_state(), after)


@pytest.mark.cpu
@BOTH
def test_autocast_is_what_it_was(use_reentrant):
    seen = []

    def part(a):
        seen.append((a @ a).dtype)
        return a @ a

    x = corten.randn(3, 3, requires_grad=True)
    with corten.autocast("cpu"):
        y = checkpoint(part, x, use_reentrant=use_reentrant)
    y.float().sum().backward()
    assert seen == [corten.bfloat16, corten.bfloat16] and x.grad.dtype is corten.float32


@pytest.mark.cpu
def test_inner_values_are_not_kept():
    def part(a):
        for _ in range(20):
            a = a.sin()
        return a

    def kept(run):
        x = corten.randn(1000, 1000, requires_grad=True)
        before = corten.cpu.memory_allocated()
        y = run(x).sum()
        corten.cpu.synchronize()
        return (corten.cpu.memory_allocated() - before, y)[0]

    megabyte = 2**20
    with_graph = kept(part)
    without = kept(lambda x: checkpoint(part, x, use_reentrant=False))
    assert with_graph > 60 * megabyte and without < 10 * megabyte
    assert kept(lambda x: checkpoint(part, x, use_reentrant=True)) < 10 * megabyte


def test_nested_checkpoints_agree_with_none():
    def inner(a, w):
        return (a @ w).tanh()

    def outer(a, v, w):
        return checkpoint(inner, checkpoint(inner, a, v, use_reentrant=False), w, use_reentrant=False).sin()

    tensors = [corten.randn(4, 4, requires_grad=True) for _ in range(3)]
    a, v, w = tensors
    expected = gradients(inner(inner(a, v), w).sin().sum(), *tensors)
    for got, wanted in zip(gradients(checkpoint(outer, *tensors, use_reentrant=False).sum(), *tensors), expected):
        assert corten.allclose(got, wanted)


def test_second_derivatives_and_several_passes():
    def part(a):
        return (a * 2).sin().exp()

    x = corten.randn(5, requires_grad=True)

    def second(y):
        (grad,) = corten.autograd.grad(y.sum(), x, create_graph=True)
        return corten.autograd.grad((grad * grad).sum(), x)[0]

    assert corten.allclose(second(checkpoint(part, x, use_reentrant=False)), second(part(x)))
    loss = checkpoint(part, x, use_reentrant=False).sum()
    loss.backward(retain_graph=True)
    once = x.grad.clone()
    loss.backward()
    assert corten.allclose(x.grad, 2 * once)


def test_arguments_of_all_kinds_and_results_in_tuples():
    x = corten.randn(3, requires_grad=True)
    first, number, nothing, second = checkpoint(
        lambda a, *, scale: (a["x"] * scale, 3, None, a["x"].exp()), {"x": x}, scale=2.0, use_reentrant=False
    )
    (grad,) = gradients((first + second).sum(), x)
    assert number == 3 and nothing is None and corten.allclose(grad, 2 + x.detach().exp())
    results = checkpoint(lambda a, n: (a * n, n), x, 4, use_reentrant=True)
    assert results[1] == 4 and gradients(results[0].sum(), x)[0].tolist() == [4.0] * 3


def test_early_stop_ends_the_second_run_at_the_last_value_needed():
    reached = []

    def part(a):
        y = a.exp()
        y = y * 2
        reached.append("end")
        return y

    x = corten.randn(3, requires_grad=True)
    checkpoint(part, x, use_reentrant=False).sum().backward()
    assert reached == ["end"]
    with set_checkpoint_early_stop(False):
        y = checkpoint(part, x, use_reentrant=False)
    y.sum().backward()
    assert reached == ["end"] * 3


def test_contexts_are_around_both_runs():
    events = []

    @contextlib.contextmanager
    def note(name):
        events.append(name)
        yield

    x = corten.randn(3, requires_grad=True)
    y = checkpoint(lambda a: a.exp(), x, use_reentrant=False, context_fn=lambda: (note("first"), note("second")))
    assert events == ["first"]
    y.sum().backward()
    assert events == ["first", "second"]


class Changing:
    """A function that is another one in every run."""

    def __init__(self, *functions):
        self.functions = iter(functions)

    def __call__(self, x):
        return next(self.functions)(x)


def run(*functions, **options):
    x = corten.ones(3, requires_grad=True)
    checkpoint(Changing(*functions), x, use_reentrant=False, **options).sum().backward()


@pytest.mark.cpu
def test_a_second_run_that_differs_is_an_error():
    once, twice = (lambda a: a.exp()), (lambda a: a.exp().exp())
    with pytest.raises(CheckpointError, match=r"(?s)different metadata.*position 0.*float32.*float64"):
        run(once, lambda a: a.double().exp())
    run(once, lambda a: a.double().exp(), determinism_check="none")
    with pytest.raises(CheckpointError, match=r"(?s)forward: 2.*recomputation: 1"):
        run(twice, once)
    run(once, twice)
    with pytest.raises(CheckpointError, match="more tensors during recomputation"):
        run(once, twice, early_stop=False)
    with pytest.raises(CheckpointError, match=r"(?s)Saved by the forward pass:\n  0: \(3,\).*Saved again"):
        run(twice, once, debug=True)
    with set_checkpoint_debug_enabled(True), pytest.raises(CheckpointError, match="Saved again"):
        run(twice, once)


def test_the_reentrant_variant_says_what_it_cannot():
    x = corten.ones(3, requires_grad=True)
    y = checkpoint(corten.exp, x, use_reentrant=True).sum()
    with pytest.raises(RuntimeError, match=r"incompatible with \.grad\(\)"):
        corten.autograd.grad(y, x)
    with pytest.raises(ValueError, match="Unexpected keyword arguments: scale"):
        checkpoint(corten.exp, x, use_reentrant=True, scale=2)
    with pytest.raises(ValueError, match="only supported when use_reentrant=False"):
        checkpoint(corten.exp, x, use_reentrant=True, debug=True)
    with pytest.warns(UserWarning, match="None of the inputs have requires_grad=True"):
        checkpoint(corten.exp, corten.ones(3), use_reentrant=True)
    with pytest.warns(UserWarning, match="use_reentrant parameter should be passed explicitly"):
        checkpoint(corten.exp, x)
    with pytest.raises(ValueError, match="determinism_check should be one of"):
        checkpoint(corten.exp, x, use_reentrant=False, determinism_check="often")
    with pytest.raises(RuntimeError, match="Only tuple of tensors"):
        detach_variable(x)


@BOTH
def test_a_sequence_in_segments(use_reentrant):
    model, x = network(), corten.randn(5, 8, requires_grad=True)
    (expected,) = gradients(model(x).sum(), x)
    for segments in (1, 2, 3, 4):
        y = checkpoint_sequential(model, segments, x, use_reentrant=use_reentrant)
        assert corten.allclose(gradients(y.sum(), x)[0], expected)
    with pytest.raises(ValueError, match="5 segments need at least as many functions"):
        checkpoint_sequential(model, 5, x, use_reentrant=use_reentrant)


def test_nothing_is_recorded_without_gradients():
    runs = []
    with corten.no_grad():
        y = checkpoint(lambda a: (runs.append(1), a.exp())[1], corten.ones(2, requires_grad=True), use_reentrant=False)
    assert runs == [1] and not y.requires_grad


@pytest.mark.cpu
def test_a_graph_that_is_dropped_lets_its_inputs_go():
    before = corten.cpu.memory_allocated()
    x = corten.randn(500, 500, requires_grad=True)
    y = checkpoint(lambda a: a.exp().sin(), x * 1.0, use_reentrant=False).sum()
    y.item()
    del x, y
    gc.collect()
    assert corten.cpu.memory_allocated() - before < 10_000
