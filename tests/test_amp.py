"""Mixed precision: what autocast converts and what it leaves alone, and how `GradScaler` moves its scale."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading

import corten
import corten.nn.functional as F
import pytest
from corten.autograd import Function

LOW, FULL = corten.bfloat16, corten.float32


def scaler_and_optimizer(**options):
    weight = corten.nn.Parameter(corten.ones(3))
    return weight, corten.optim.SGD([weight], lr=0.1), corten.amp.GradScaler("cpu", **options)


def test_products_are_lower_losses_full_and_the_rest_as_given():
    x, layer = corten.randn(4, 3), corten.nn.Linear(3, 5)
    with corten.autocast("cpu"):
        y = layer(x)
        assert y.dtype is LOW and (x @ x.T).dtype is LOW and x.mm(x.t()).dtype is LOW
        assert y.relu().dtype is LOW and x.relu().dtype is FULL and (y + x[:, :1]).dtype is FULL
        assert F.cross_entropy(y, corten.arange(4)).dtype is FULL
        assert corten.cat([y, x], 1).dtype is FULL and corten.stack([y, y]).dtype is LOW
        assert (x.double() @ x.double().T).dtype is corten.float64
        assert layer.weight.dtype is FULL
    assert layer(x).dtype is FULL


def test_blocks_nest_and_end():
    x = corten.randn(4, 4)
    with corten.autocast("cpu", dtype=corten.float16):
        assert (x @ x).dtype is corten.float16
        with corten.autocast("cpu", enabled=False):
            assert (x @ x).dtype is FULL and not corten.is_autocast_enabled("cpu")
        with corten.autocast("cpu", dtype=LOW):
            assert (x @ x).dtype is LOW and corten.get_autocast_dtype("cpu") is LOW
        assert (x @ x).dtype is corten.float16 and corten.is_autocast_enabled("cpu")
    assert (x @ x).dtype is FULL and corten.get_autocast_dtype("cpu") is LOW


def test_it_decorates_and_leaves_after_an_error():
    @corten.autocast("cpu")
    def product(x):
        return x @ x

    assert product(corten.ones(2, 2)).dtype is LOW
    with pytest.raises(RuntimeError, match=r"shape|size"):
        product(corten.ones(2, 3))
    assert not corten.is_autocast_enabled("cpu")


def test_other_threads_are_not_affected():
    found = []
    x = corten.ones(2, 2)
    with corten.autocast("cpu"):
        thread = threading.Thread(target=lambda: found.append((x @ x).dtype))
        thread.start()
        thread.join()
        assert (x @ x).dtype is LOW
    assert found == [FULL]


def test_what_is_written_in_place_or_out_keeps_its_dtype():
    x, out = corten.randn(3, 3), corten.empty(3, 3)
    with corten.autocast("cpu"):
        corten.mm(x, x, out=out)
        assert x.addmm_(x.clone(), x.clone()).dtype is FULL
    assert out.dtype is FULL


def test_a_weight_is_converted_once_and_its_gradient_is_full():
    weight = corten.nn.Parameter(corten.randn(4, 4))
    x = corten.randn(2, 4)
    with corten.autocast("cpu"):
        y = F.linear(x, weight) + F.linear(x, weight)
        with corten.autocast("cpu"):
            y = y + F.linear(x, weight)
    conversions = set()
    todo = [y.grad_fn]
    while todo:
        node = todo.pop()
        if node is not None:
            if node.name().startswith("ToCopy") and any(
                n is not None and n.name().endswith("AccumulateGrad") for n, _ in node.next_functions
            ):
                conversions.add(node)
            todo += [n for n, _ in node.next_functions]
    assert len(conversions) == 1
    y.float().sum().backward()
    assert weight.grad.dtype is FULL
    assert corten.allclose(weight.grad, 3 * x.sum(0).expand(4, 4), rtol=0.02, atol=0.02)


def test_a_weight_that_is_written_inside_a_block_is_converted_again():
    weight, x = corten.nn.Parameter(corten.ones(2, 2)), corten.ones(2, 2)
    with corten.autocast("cpu"):
        first = F.linear(x, weight)
        with corten.no_grad():
            weight.mul_(3)
        second = F.linear(x, weight)
    assert (second == 3 * first).all()


def test_a_weight_converted_without_gradients_gets_them_later():
    weight, x = corten.nn.Parameter(corten.ones(2, 2)), corten.ones(2, 2)
    with corten.autocast("cpu"):
        with corten.no_grad():
            F.linear(x, weight)
        F.linear(x, weight).sum().backward()
    assert weight.grad is not None


@pytest.mark.parametrize("kind", ["LSTM", "RNN", "GRU"])
def test_recurrent_layers_round_their_weights(kind):
    layer = getattr(corten.nn, kind)(3, 4, num_layers=2, batch_first=True)
    x = corten.randn(2, 5, 3)
    full, _ = layer(x)
    with corten.autocast("cpu"):
        low, _ = layer(x)
    assert low.dtype is (FULL if kind == "GRU" else LOW)
    assert corten.allclose(low.float(), full, atol=0.03) and not corten.equal(low.float(), full)
    low.float().sum().backward()
    assert all(p.grad is not None and p.grad.dtype is FULL for p in layer.parameters())


def test_compiled_functions_know_whether_autocast_is_on():
    @corten.compile
    def product(x):
        return x @ x

    x = corten.ones(2, 2)
    for _ in range(4):
        assert product(x).dtype is FULL
        with corten.autocast("cpu"):
            assert product(x).dtype is LOW


def test_operators_imported_by_name_before_are_converted_too_and_nothing_changes_without_it():
    program = """
from corten.nn.functional import linear
import corten
before = linear
x = corten.ones(2, 2)
with corten.autocast("cpu", enabled=False):
    pass
assert linear is before
with corten.autocast("cpu"):
    print(linear(x, x).dtype, corten.nn.Linear(2, 2)(x).dtype)
print(linear(x, x).dtype)
"""
    command = [sys.executable, "-c", "import sys; sys.path[:0] = eval(sys.argv[1])\n" + program, repr(sys.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["corten.bfloat16", "corten.bfloat16", "corten.float32"]


def test_wrong_arguments_are_told():
    with pytest.raises(ValueError, match="`device_type` of type `str`"):
        corten.autocast(3)
    with pytest.raises(RuntimeError, match="device type at start of device string: abacus"):
        corten.autocast("abacus")
    with pytest.warns(UserWarning, match="target dtype is not supported"):
        assert not corten.autocast("cpu", dtype=corten.float64)._enabled
    with pytest.warns(FutureWarning, match=r"Please use `torch.amp.autocast\('cpu', args...\)`"):
        corten.cpu.amp.autocast()
    assert corten.amp.is_autocast_available("cpu") and not corten.amp.is_autocast_available("meta")


def test_custom_functions_see_the_autocast_of_their_forward():
    seen = []

    class Product(Function):
        @staticmethod
        @corten.amp.custom_fwd(device_type="cpu", cast_inputs=FULL)
        def forward(ctx, a, b):
            seen.append((a.dtype, corten.is_autocast_enabled("cpu")))
            ctx.save_for_backward(a, b)
            return a @ b

        @staticmethod
        @corten.amp.custom_bwd(device_type="cpu")
        def backward(ctx, grad):
            a, b = ctx.saved_tensors
            seen.append((grad.dtype, corten.is_autocast_enabled("cpu")))
            return grad @ b.T, a.T @ grad

    a = corten.randn(2, 2, requires_grad=True)
    with corten.autocast("cpu"):
        y = Product.apply(a.bfloat16(), a)
        assert y.dtype is FULL
        y.sum().backward()
    assert seen == [(FULL, False), (FULL, False)] and a.grad.dtype is FULL


def test_scale_grows_and_shrinks_and_leaves_steps_out():
    weight, optimizer, scaler = scaler_and_optimizer(init_scale=8.0, growth_interval=2)
    scales = []
    for factor in (1.0, 1.0, float("inf"), float("nan"), 1.0, 1.0):
        before = weight.detach().clone()
        optimizer.zero_grad()
        scaler.scale((weight * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        moved = not corten.equal(weight, before)
        assert moved == (factor == 1.0)
        if moved:
            assert corten.allclose(before - weight, corten.full((3,), 0.1))
        scales.append(scaler.get_scale())
    assert scales == [8.0, 16.0, 8.0, 4.0, 4.0, 8.0]


def test_unscaled_gradients_can_be_clipped():
    weight, optimizer, scaler = scaler_and_optimizer(init_scale=1024.0)
    scaler.scale((weight * 5).sum()).backward()
    scaler.unscale_(optimizer)
    assert weight.grad.tolist() == [5.0, 5.0, 5.0]
    corten.nn.utils.clip_grad_norm_([weight], 1.0)
    scaler.step(optimizer)
    assert corten.allclose(weight.detach(), corten.full((3,), 1 - 0.1 / 3**0.5))


def test_scaler_refuses_calls_out_of_order():
    weight, optimizer, scaler = scaler_and_optimizer()
    with pytest.raises(AssertionError, match="Attempted step but _scale is None"):
        scaler.step(optimizer)
    loss = scaler.scale(weight.sum())
    with pytest.raises(AssertionError, match="No inf checks were recorded for this optimizer"):
        scaler.step(optimizer)
    loss.backward()
    with pytest.raises(RuntimeError, match=r"unscale_\(\) has already been called"):
        scaler.unscale_(optimizer)
    scaler.update(2.0**16)
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match=r"step\(\) has already been called"):
        scaler.step(optimizer)
    with pytest.raises(RuntimeError, match=r"unscale_\(\) is being called after step"):
        scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="Closure use"):
        scaler.step(optimizer, closure=lambda: 1)
    with pytest.raises(AssertionError, match="may only be pickled"):
        pickle.dumps(scaler)
    with pytest.raises(ValueError, match="iterable of Tensors"):
        scaler.scale(3)
    with pytest.raises(AssertionError, match="growth factor must be > 1"):
        corten.amp.GradScaler("cpu", growth_factor=1.0)


def test_float16_gradients_are_refused():
    weight = corten.nn.Parameter(corten.ones(2, dtype=corten.float16))
    optimizer, scaler = corten.optim.SGD([weight], lr=0.1), corten.amp.GradScaler("cpu", init_scale=2.0)
    scaler.scale(weight.sum()).backward()
    with pytest.raises(ValueError, match="Attempting to unscale FP16 gradients"):
        scaler.unscale_(optimizer)


def test_scaler_goes_on_from_its_state():
    weight, optimizer, scaler = scaler_and_optimizer(init_scale=4.0, growth_interval=3)
    scaler.scale(weight.sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    other = corten.amp.GradScaler("cpu")
    other.load_state_dict(scaler.state_dict())
    assert other.state_dict() == scaler.state_dict() == pickle.loads(pickle.dumps(scaler)).state_dict()
    assert scaler.state_dict()["_growth_tracker"] == 1
    assert corten.amp.GradScaler("cpu", enabled=False).state_dict() == {}


def test_a_disabled_scaler_lets_everything_through():
    weight, optimizer, _ = scaler_and_optimizer()
    scaler = corten.amp.GradScaler("cpu", enabled=False)
    loss = weight.sum()
    assert scaler.scale(loss) is loss and scaler.get_scale() == 1.0
    loss.backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert corten.allclose(weight.detach(), corten.full((3,), 0.9))


def test_optimizers_that_divide_themselves_get_the_scale():
    class Dividing(corten.optim.SGD):
        _step_supports_amp_scaling = True

        def step(self, closure=None):
            seen.append((self.grad_scale.item(), self.found_inf.item()))

    seen = []
    weight = corten.nn.Parameter(corten.ones(3))
    optimizer, scaler = Dividing([weight], lr=0.1), corten.amp.GradScaler("cpu", init_scale=4.0)
    scaler.scale(weight.sum()).backward()
    scaler.step(optimizer)
    assert seen == [(4.0, 0.0)] and weight.grad.tolist() == [4.0] * 3 and not hasattr(optimizer, "grad_scale")
