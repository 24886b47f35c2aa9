"""Dual numbers: every operator's tangent is the slope of its reference, and levels, views and writes are PyTorch's."""

from __future__ import annotations

import copy
import gc
import weakref

import corten
import corten.autograd.forward_ad as fwAD
import numpy as np
import pytest
from corten.autograd.gradcheck import GradcheckError
from corten.utils.checkpoint import checkpoint

from op_table.row import Row, build, tensors_in, to_numpy
from test_grad import FIRST_ORDER, Graph, differentiable_samples, inner, random_like, slope

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.filterwarnings("ignore:Using padding='same'", "ignore:reduction. 'mean' divides"),
]


def noise(*shape, seed=0):
    return corten.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def tangent_of(x):
    return fwAD.unpack_dual(x).tangent


@pytest.mark.parametrize("row", FIRST_ORDER, ids=str)
def test_the_tangent_is_the_slope_of_the_reference(row: Row) -> None:
    for sample in differentiable_samples(row):
        graph, rng = Graph(row, sample), np.random.default_rng(row.seed())
        arrays = [o.array for o in graph.operands]
        expected, direction = graph.reference(arrays), random_like(rng, arrays)
        cotangents = random_like(rng, expected)
        with fwAD.dual_level():
            duals = {
                id(o): fwAD.make_dual(graph.tensor(o), build(corten, o.replaced(np.asarray(d)), "cpu", "contiguous"))
                for o, d in zip(graph.operands, direction, strict=True)
            }
            args, kwargs = sample.map(lambda o: duals[id(o)] if id(o) in duals else graph.tensor(o), corten)
            results = [r for r in tensors_in(row.function(corten)(*args, **kwargs)) if r.is_floating_point()]
            pairs = [fwAD.unpack_dual(r) for r in results]
            if len(pairs) != len(expected):
                pairs = [pair for pair in pairs if pair.tangent is not None]
            assert len(pairs) == len(expected), f"{row}{sample}"
        moves = []
        for (value, move), wanted in zip(pairs, expected, strict=True):
            assert not value.requires_grad and np.shape(wanted) == value.shape
            if move is None:
                moves.append(np.zeros(value.shape))
                continue
            assert (move.shape, move.dtype, move.requires_grad) == (value.shape, value.dtype, False), f"{row}{sample}"
            moves.append(to_numpy(move.clone()))
        wanted = slope(lambda moved: inner(graph.reference(moved), cotangents), arrays, direction)
        found = inner(moves, cotangents)
        scale = 1 + sum(np.abs(m * c).sum() for m, c in zip(moves, cotangents, strict=True))
        assert abs(found - wanted) <= 1e-6 * scale, f"{row}{sample}: moves by {found}, the reference by {wanted}"


def test_a_dual_number_is_a_tensor_on_the_same_memory():
    x, v = noise(3), noise(3, seed=1)
    with fwAD.dual_level():
        dual = fwAD.make_dual(x, v)
        assert isinstance(dual, corten.Tensor) and dual.data_ptr() == x.data_ptr()
        assert not dual.requires_grad and dual.is_leaf
        assert tangent_of(dual) is v
        assert fwAD.unpack_dual(dual)._fields == ("primal", "tangent")
        assert dual.tolist() == x.tolist() and np.array_equal(dual.numpy(), x.numpy()) and dual[0].item() == x[0].item()
        assert repr(dual) == f"{repr(x)[:-1]}, tangent={v!r})"
        assert tangent_of(x) is None


def test_levels_open_one_at_a_time_and_close_for_good():
    x, v = noise(3), noise(3, seed=1)
    with pytest.raises(RuntimeError, match="no level exists"):
        fwAD.make_dual(x, v)
    with pytest.raises(RuntimeError, match="no level is open"):
        fwAD.exit_dual_level()
    with fwAD.dual_level() as number:
        assert number == 0
        with pytest.raises(RuntimeError, match="Nested forward mode AD"):
            fwAD.enter_dual_level()
        dual = fwAD.make_dual(x, v)
        result = dual * 2
        with pytest.raises(RuntimeError, match="not the last one"):
            fwAD.exit_dual_level(level=3)
        with pytest.raises(RuntimeError, match="level 3 is not open"):
            fwAD.make_dual(x, v, level=3)
    assert tangent_of(result) is None
    assert type(result + 1) is corten.Tensor and corten.equal(result + 1, x * 2 + 1)
    with fwAD.dual_level():
        assert tangent_of(dual) is None and tangent_of(dual * 2) is None
        assert corten.equal(tangent_of(fwAD.make_dual(dual, v) * dual), v * x)


def test_a_tangent_lives_as_long_as_its_dual_number_or_the_level():
    with fwAD.dual_level():
        v = noise(3)
        alive = weakref.ref(v)
        dual = fwAD.make_dual(noise(3), v)
        del v
        gc.collect()
        assert alive() is not None
        kept = dual * 2
        del dual
        gc.collect()
        assert alive() is None
        alive = weakref.ref(tangent_of(kept))
    gc.collect()
    assert alive() is None and kept is not None


@pytest.mark.parametrize(
    ("primal", "tangent", "error", "text"),
    [
        (corten.ones(2), corten.ones(3), RuntimeError, r"size \[2\] while the given forward gradient is of size \[3\]"),
        (corten.tensor([1, 2]), corten.ones(2), ValueError, "primal to be floating point"),
        (corten.ones(2), corten.tensor([1, 2]), ValueError, "tangent to be floating point"),
        (corten.ones(2), 3, TypeError, "tangent to be a Tensor"),
    ],
)
def test_what_makes_no_dual_number_is_refused(primal, tangent, error, text):
    with fwAD.dual_level(), pytest.raises(error, match=text):
        fwAD.make_dual(primal, tangent)


def test_a_dual_number_is_not_made_twice():
    with fwAD.dual_level():
        dual = fwAD.make_dual(noise(2), noise(2))
        with pytest.raises(RuntimeError, match="already has a forward gradient"):
            fwAD.make_dual(dual, noise(2))
    with pytest.raises(TypeError, match="must be Tensor, not int"):
        fwAD.unpack_dual(3)


def test_tangents_do_not_mind_gradient_modes_and_are_dropped_by_detach():
    x, v = noise(3), noise(3, seed=1)
    with fwAD.dual_level(), corten.no_grad():
        dual = fwAD.make_dual(x, v)
        assert corten.equal(tangent_of(dual * 3), v * 3)
        assert corten.allclose(tangent_of(dual.sin()), v * x.cos())
        for plain in (dual.detach(), dual.data, dual > 0, (dual > 0).double(), dual.long(), corten.zeros_like(dual)):
            assert tangent_of(plain) is None
        with fwAD._set_fwd_grad_enabled(False):
            assert tangent_of(dual * 3) is None
        assert fwAD._is_fwd_grad_enabled()


def test_tangents_of_views_are_views_of_tangents():
    x, v = noise(2, 3), noise(2, 3, seed=1)
    with fwAD.dual_level():
        dual = fwAD.make_dual(x.clone(), v.clone())
        for view in (dual.T, dual.mT, dual.H, dual.permute(1, 0), dual.t(), dual.transpose(0, 1)):
            assert corten.equal(tangent_of(view), v.T)
        row = dual[1]
        row.mul_(3)
        assert corten.equal(tangent_of(dual)[1], v[1] * 3) and corten.equal(tangent_of(dual)[0], v[0])
        dual[:, 0] = 5.0
        assert tangent_of(dual)[:, 0].tolist() == [0.0, 0.0] and corten.equal(tangent_of(row)[1:], v[1, 1:] * 3)


def test_writes_move_the_tangent_of_what_is_written():
    x, v, w = noise(3), noise(3, seed=1), noise(3, seed=2)
    with fwAD.dual_level():
        dual = fwAD.make_dual(x, v)
        target = fwAD.make_dual(x.clone(), w.clone())
        assert target.mul_(dual) is target
        assert corten.allclose(tangent_of(target), w * x + x * v)
        assert corten.equal(target.copy_(dual), x) and corten.equal(tangent_of(target), v)
        corten.relu_(target)
        assert corten.equal(tangent_of(target), v * (x > 0))
        target.logit_(eps=0.1)
        assert tangent_of(target).shape == (3,)
        target.fill_(2.0)
        assert not tangent_of(target).any()
        target[1:] = dual[1:]
        assert corten.equal(tangent_of(target), v * corten.tensor([0.0, 1, 1]))
        target.normal_()
        assert not tangent_of(target).any()
        with pytest.raises(RuntimeError, match="use the operator without underscore"):
            target.unsqueeze_(0)
        with pytest.raises(NotImplementedError, match="sin_out"):
            corten.sin(dual, out=corten.empty(3, dtype=corten.float64))


def test_a_plain_tensor_becomes_a_dual_number_where_one_is_written_into_it():
    x, v = noise(3), noise(3, seed=1)
    target = corten.zeros(6, dtype=corten.float64)
    view, detached, other = target.view(2, 3)[1], target.detach(), corten.zeros(3, dtype=corten.float64)
    with fwAD.dual_level():
        dual = fwAD.make_dual(x, v)
        target[3:] = dual
        assert tangent_of(target).tolist() == [0, 0, 0, *v.tolist()]
        # Views made before the write move with what they view; what was cut off does not.
        assert corten.equal(tangent_of(view), v) and corten.allclose(tangent_of(view.sin()), v * x.cos())
        assert tangent_of(detached) is None and tangent_of(detached * 2) is None and tangent_of(other + 1) is None
        view.mul_(2)
        assert tangent_of(target).tolist() == [0, 0, 0, *(2 * v).tolist()]
        view.zero_()
        assert not tangent_of(target).any()
        other += dual
        assert corten.equal(tangent_of(other), v)
    assert type(target) is type(view) is type(other) is corten.Tensor and corten.equal(other, x)
    assert tangent_of(target) is None and corten.equal(other * 2, 2 * x)


def test_gradients_go_through_what_dual_numbers_were_written_into():
    x, v = noise(3).requires_grad_(), noise(3, seed=1).requires_grad_()
    target = corten.zeros(4, dtype=corten.float64)
    view = target[1:]
    with fwAD.dual_level():
        target[1:] = fwAD.make_dual(x, v) ** 2
        value, move = fwAD.unpack_dual(view.sum())
    by_x, by_v = corten.autograd.grad(move, (x, v))
    assert corten.allclose(by_x, 2 * v) and corten.allclose(by_v, 2 * x)
    assert corten.allclose(corten.autograd.grad(value, x)[0], 2 * x)
    with fwAD.dual_level(), pytest.raises(RuntimeError, match="leaf Variable"):
        noise(3).requires_grad_().mul_(fwAD.make_dual(x, v))


def test_a_level_hides_no_functions_from_classes_and_modes():
    def doubled(x):
        if corten.overrides.has_torch_function((x,)):
            return corten.overrides.handle_torch_function(doubled, (x,), x)
        return x * 2

    with fwAD.dual_level():
        assert corten.overrides._get_current_function_mode() is None
        assert doubled(corten.ones(2)).tolist() == [2, 2]
        target = corten.zeros(2)
        target.copy_(fwAD.make_dual(corten.ones(2), corten.ones(2)))
        assert tangent_of(doubled(target)).tolist() == [2, 2] and doubled(corten.ones(1)).tolist() == [2]


def test_gradients_go_through_primals_and_tangents():
    x, v = noise(3).requires_grad_(), noise(3, seed=1).requires_grad_()
    with fwAD.dual_level():
        value, move = fwAD.unpack_dual(fwAD.make_dual(x, v).sin())
    assert value.requires_grad and move.requires_grad
    by_x, by_v = corten.autograd.grad(move.sum(), (x, v))
    assert corten.allclose(by_x, -x.sin() * v) and corten.allclose(by_v, x.cos())
    assert corten.allclose(corten.autograd.grad(value.sum(), x)[0], x.cos())


def test_a_tangent_alone_may_have_a_history():
    x, v = noise(3), noise(3, seed=1).requires_grad_()
    with fwAD.dual_level():
        value, move = fwAD.unpack_dual(fwAD.make_dual(x, v) ** 2)
    assert not value.requires_grad
    assert corten.allclose(corten.autograd.grad(move.sum(), v)[0], 2 * x)


@pytest.mark.parametrize("create_graph", [False, True])
def test_forward_over_reverse_is_the_product_with_the_hessian(create_graph):
    def energy(x):
        return (x**3).sum() * x[0] + x.exp().prod()

    x, v = noise(4).requires_grad_(), noise(4, seed=1)
    expected = corten.autograd.functional.hvp(energy, x, v)[1]
    with fwAD.dual_level():
        dual = fwAD.make_dual(x, v)
        (gradient,) = corten.autograd.grad(energy(dual), x, create_graph=create_graph)
        assert corten.allclose(tangent_of(gradient), expected)
        (gradient,) = corten.autograd.grad(energy(dual), dual, create_graph=create_graph)
        assert corten.allclose(tangent_of(gradient), expected)
        inside = corten.func.grad(energy)(fwAD.make_dual(x.detach(), v))
        assert corten.allclose(tangent_of(inside), expected) and not inside.requires_grad
        with pytest.raises(NotImplementedError, match="keeps no tangents"):
            energy(dual).backward()
        fwAD.unpack_dual(energy(dual)).primal.backward()
    assert corten.allclose(x.grad, corten.autograd.grad(energy(x), x)[0])


def test_a_dual_seed_moves_the_gradient():
    x, seed, v = noise(3).requires_grad_(), noise(3, seed=1), noise(3, seed=2)
    with fwAD.dual_level():
        (gradient,) = corten.autograd.grad(x.sin(), x, fwAD.make_dual(seed, v))
        assert corten.allclose(tangent_of(gradient), v * x.cos())


def test_modules_take_dual_numbers_as_parameters():
    model = corten.nn.Sequential(corten.nn.Linear(3, 4), corten.nn.Tanh(), corten.nn.Linear(4, 2)).double()
    x = noise(5, 3)
    params = {name: p.detach() for name, p in model.named_parameters()}
    moves = {name: noise(*p.shape, seed=i) for i, (name, p) in enumerate(params.items())}
    _, expected = corten.func.jvp(lambda p: corten.func.functional_call(model, p, x), (params,), (moves,))
    with fwAD.dual_level():
        duals = {name: fwAD.make_dual(p, moves[name]) for name, p in params.items()}
        assert corten.allclose(tangent_of(corten.func.functional_call(model, duals, x)), expected)
        for module, prefix in ((model[0], "0."), (model[2], "2.")):
            for name in ("weight", "bias"):
                delattr(module, name)
                setattr(module, name, duals[prefix + name])
        assert corten.allclose(tangent_of(model(x)), expected)


@pytest.mark.parametrize(
    "module",
    [
        corten.nn.LSTM(3, 2, num_layers=2, batch_first=True),
        corten.nn.GRU(3, 2, bidirectional=True),
        corten.nn.BatchNorm1d(4),
        corten.nn.Conv1d(4, 2, 2),
        corten.nn.MultiheadAttention(4, 2, batch_first=True, kdim=3, vdim=3),
        corten.nn.TransformerEncoderLayer(3, 1, 5, dropout=0.0, batch_first=True),
        corten.nn.Dropout(0.5),
    ],
    ids=lambda m: type(m).__name__,
)
def test_layers_move_as_jvp_says(module):
    module = module.double()
    x, v = noise(2, 4, 3), noise(2, 4, 3, seed=1)

    def run(x):
        corten.manual_seed(3)
        if isinstance(module, corten.nn.MultiheadAttention):
            return module(noise(2, 4, 4), x, x)[0]
        result = module(x)
        return result[0] if isinstance(result, tuple) else result

    expected = corten.func.jvp(run, (x,), (v,))
    with fwAD.dual_level():
        value, move = fwAD.unpack_dual(run(fwAD.make_dual(x, v)))
    assert corten.allclose(value, expected[0]) and corten.allclose(move, expected[1])


class Cube(corten.autograd.Function):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(x)
        ctx.save_for_forward(x, x * 2)
        ctx.factor = factor
        return x**3 * factor

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * 3 * x**2 * ctx.factor, None

    @staticmethod
    def jvp(ctx, move, factor_move):
        x, _ = ctx.saved_tensors
        assert factor_move is None
        return move * 3 * x**2 * ctx.factor


class CubeWithoutJvp(Cube):
    jvp = corten.autograd.Function.jvp


class WrongCube(Cube):
    @staticmethod
    def jvp(ctx, move, factor_move):
        return move * 7


@pytest.mark.parametrize("function", [Cube, CubeWithoutJvp])
def test_functions_move_by_their_jvp_or_their_backward(function):
    x = noise(3).requires_grad_()
    assert corten.autograd.gradcheck(lambda t: function.apply(t, 2.0), (x,), check_forward_ad=True)
    assert corten.autograd.gradgradcheck(lambda t: function.apply(t, 2.0), (x,), check_fwd_over_rev=True)
    (gradient,) = corten.autograd.grad(function.apply(x, 2.0).sum(), x)
    assert corten.allclose(gradient, 6 * x**2)


def test_a_wrong_jvp_is_found():
    x = noise(3).requires_grad_()
    with pytest.raises(GradcheckError, match="forward mode"):
        corten.autograd.gradcheck(lambda t: WrongCube.apply(t, 2.0), (x,), check_forward_ad=True)
    assert corten.autograd.gradcheck(lambda t: WrongCube.apply(t, 2.0), (x,))

    class Short(Cube):
        @staticmethod
        def jvp(ctx, move, factor_move):
            return move[:1]

    with fwAD.dual_level(), pytest.raises(RuntimeError, match="tangent of shape"):
        Short.apply(fwAD.make_dual(x, noise(3)), 2.0)


def test_operators_of_a_program_move_by_their_backward():
    @corten.library.custom_op("corten_tests::dual_sine", mutates_args=())
    def sine(x: corten.Tensor) -> corten.Tensor:
        return corten.from_numpy(np.sin(x.numpy(force=True)))

    sine.register_autograd(
        lambda ctx, grad: grad * ctx.saved_tensors[0].cos(),
        setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
    )
    x, v = noise(3), noise(3, seed=1)
    with fwAD.dual_level():
        assert corten.allclose(tangent_of(sine(fwAD.make_dual(x, v))), v * x.cos())


def test_dual_numbers_go_through_vmap_jvp_and_checkpoints():
    x, v = noise(4, 3), noise(4, 3, seed=1)
    with fwAD.dual_level():
        dual = fwAD.make_dual(x, v)
        assert corten.allclose(tangent_of(corten.vmap(lambda row: row.sin().sum())(dual)), (v * x.cos()).sum(1))
        assert corten.allclose(corten.func.jvp(corten.sin, (x,), (v,))[1], v * x.cos())
        for reentrant in (False, True):
            assert corten.allclose(tangent_of(checkpoint(corten.sin, dual, use_reentrant=reentrant)), v * x.cos())
        with corten.autograd.graph.saved_tensors_hooks(lambda t: None, lambda packed: None):
            assert corten.allclose(tangent_of(dual.sin()), v * x.cos())
        with pytest.raises(NotImplementedError, match=r"corten\.func\.jvp"):
            corten.vmap(lambda row: fwAD.make_dual(row, row))(x)


def test_the_level_is_a_decorator_too():
    @fwAD.dual_level()
    def slope_of_square(x):
        return tangent_of(fwAD.make_dual(x, corten.ones_like(x)) ** 2)

    assert slope_of_square(corten.tensor([3.0])).tolist() == [6.0]
    assert slope_of_square(corten.tensor([4.0])).tolist() == [8.0]


def test_dual_numbers_are_saved_printed_and_captured_as_their_primals(tmp_path):
    x, v = noise(3), noise(3, seed=1)
    twice = corten.compile(lambda x: x.sin() * 2)
    assert corten.allclose(twice(x), x.sin() * 2)
    with fwAD.dual_level():
        dual = fwAD.make_dual(x, v)
        corten.save({"x": dual}, tmp_path / "x.pt")
        assert f"{dual[0]:.3f}" == f"{x[0]:.3f}"
        # A compiled function is not replayed for another kind of tensor.
        assert corten.allclose(tangent_of(twice(dual)), 2 * v * x.cos())
        assert corten.allclose(tangent_of(copy.deepcopy(dual)), v)
        with corten.autocast("cpu"):
            product = corten.eye(3) @ fwAD.make_dual(x.float(), v.float())
            assert product.dtype == tangent_of(product).dtype == corten.bfloat16
    loaded = corten.load(tmp_path / "x.pt")["x"]
    assert type(loaded) is corten.Tensor and corten.equal(loaded, x)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda x, out: corten.add(x, 1, out=out), "add_out"),
        (lambda x, out: corten.cat([x, x], out=out), "cat_out"),
        (lambda x, out: corten.max(x, 0, out=(out, corten.empty(0, dtype=corten.int64))), "max_out"),
        (lambda x, out: corten.linalg.norm(x, out=out), "a function"),
        (lambda x, out: corten.fft.fft(x, out=out.to(corten.complex128)), "a function"),
    ],
)
def test_dual_numbers_are_not_written_to_results_that_are_given(call, named):
    x, v = noise(3), noise(3, seed=1)
    message = f"forward AD with {named} that does not support it because it is an out= function"
    with fwAD.dual_level():
        with pytest.raises(NotImplementedError, match=message):
            call(fwAD.make_dual(x, v), corten.empty(0, dtype=x.dtype))
        if named == "add_out":
            with pytest.raises(NotImplementedError, match=message):
                call(x, fwAD.make_dual(corten.zeros(3, dtype=x.dtype), v))
