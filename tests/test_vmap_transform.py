"""corten.vmap as a function of functions: dims, trees, randomness, chunks, other transformations, and its errors."""

from __future__ import annotations

import pickle
import threading

import corten
import numpy as np
import pytest
from corten import func, nn


def values(tensor):
    return tensor.detach().cpu().numpy()


def close(result, expected):
    np.testing.assert_allclose(values(result), values(expected), rtol=2e-5, atol=2e-6)


def numbers(*shape):
    return corten.tensor(np.random.default_rng(sum(shape)).standard_normal(shape).astype("float32"))


def test_dims_are_chosen_for_each_argument_and_result():
    x, y = numbers(4, 3), numbers(3, 5)
    close(corten.vmap(lambda a, b: a @ b, in_dims=(0, None))(x, y), x @ y)
    close(corten.vmap(lambda a, b: a @ b, in_dims=(None, 1), out_dims=-1)(x, y), x @ y)
    close(corten.vmap(lambda a: a * 2, in_dims=-1)(x), (x * 2).T)
    first, second = corten.vmap(lambda a: (a.sum(), a * 2), out_dims=(0, 1))(x)
    close(first, x.sum(1))
    close(second, (x * 2).T)


def test_trees_go_in_and_come_out():
    x, y = numbers(4, 3), numbers(3)
    call = corten.vmap(
        lambda d, scale: {"sum": d["a"] + d["b"][0], "both": [d["a"] * scale]}, in_dims=({"a": 0, "b": None}, None)
    )
    result = call({"a": x, "b": [y]}, 2.0)
    close(result["sum"], x + y)
    close(result["both"][0], x * 2)


def test_an_example_shows_its_own_facts():
    seen = {}

    def look(a):
        seen.update(shape=tuple(a.shape), dim=a.dim(), numel=a.numel(), size=len(a), dtype=a.dtype, stride=a.stride())
        seen.update(contiguous=a.is_contiguous(), float=a.is_floating_point())
        return a

    corten.vmap(look)(numbers(2, 3, 4))
    assert seen == {
        "shape": (3, 4),
        "dim": 2,
        "numel": 12,
        "size": 3,
        "dtype": corten.float32,
        "stride": (4, 1),
        "contiguous": True,
        "float": True,
    }


def test_a_result_that_is_the_same_for_all_is_repeated_or_kept():
    constant = numbers(3)
    close(corten.vmap(lambda a: constant)(numbers(2, 4)), constant.expand(2, 3))
    close(corten.vmap(lambda a: constant, out_dims=None)(numbers(2, 4)), constant)


def test_the_function_runs_once_whatever_the_batch():
    calls = []

    def noted(a):
        calls.append(1)
        return a.sin()

    corten.vmap(noted)(numbers(100, 2))
    assert len(calls) == 1


def test_a_compiled_function_may_hold_it():
    call = corten.compile(corten.vmap(lambda a: (a * a.sum()).sin()))
    for seed in range(3):
        x = numbers(4, 3 + seed % 2)
        close(call(x), (x * x.sum(1, keepdim=True)).sin())


def test_threads_have_levels_of_their_own():
    x, found = numbers(4, 3), []

    def table():
        found.append(corten.vmap(lambda a: corten.vmap(lambda b: a * b)(x[0]))(x[1]))

    threads = [threading.Thread(target=table) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for result in found:
        close(result, x[1][:, None] * x[0])


def test_modes_of_gradients_hold_inside():
    x, weight = numbers(4, 3), nn.Parameter(corten.ones(3))
    with corten.no_grad():
        assert not corten.vmap(lambda a: a * weight)(x).requires_grad
    assert corten.vmap(lambda a: a * weight)(x).requires_grad


@pytest.mark.parametrize("size", [1, 2, 3, 7, 9])
def test_chunks_give_what_the_whole_gives(size):
    x, calls = numbers(7, 3), []

    def noted(a):
        calls.append(1)
        return a.sin(), a.sum()

    result = corten.vmap(noted, out_dims=(1, 0), chunk_size=size)(x)
    close(result[0], x.sin().T)
    close(result[1], x.sum(1))
    assert len(calls) == -(-7 // size)


@pytest.mark.cpu
def test_promotion_is_that_of_examples():
    def dtype(a, b):
        return corten.vmap(lambda x, y: x * y)(a, b).dtype

    # An example without dims has no say beside one with dims, although the batch has a dim.
    assert dtype(corten.ones(2, 3), corten.ones(2, dtype=corten.float64)) == corten.float32
    assert dtype(corten.ones(2, 3, dtype=corten.int32), corten.ones(2, dtype=corten.int64)) == corten.int32
    assert dtype(corten.ones(2, 3, dtype=corten.int32), corten.ones(2)) == corten.float32
    double = corten.tensor(2.0, dtype=corten.float64)
    assert corten.vmap(lambda x: x * double)(corten.ones(2)).dtype == corten.float64


def test_writes_go_into_each_example():
    x, y = numbers(4, 3), numbers(4)

    def write(a, b):
        a = a.clone()
        a[0] = b
        a[1:].mul_(2)
        a += 1
        return a

    expected = x.clone()
    expected[:, 0] = y
    expected[:, 1:] *= 2
    close(corten.vmap(write)(x, y), expected + 1)
    made = corten.vmap(lambda a: a.new_zeros(2).add_(a.sum()))(x)
    close(made, x.sum(1, keepdim=True).expand(4, 2))
    with pytest.raises(RuntimeError, match="inplace arithmetic"):
        corten.vmap(lambda a: corten.zeros(3).add_(a))(x)


def test_an_example_picks_elements_by_indices_of_its_own():
    x, index = numbers(4, 5, 6, 2), corten.tensor([[0, 3], [1, 1], [4, -1], [2, 0]])
    picked = corten.vmap(lambda a, i: (a[i], a[:, i], a[i, :, 0], a[:, None, i]))(x, index)
    for b in range(4):
        a, i = x[b], index[b]
        for found, expected in zip(picked, (a[i], a[:, i], a[i, :, 0], a[:, None, i]), strict=True):
            close(found[b], expected)
    close(corten.vmap(lambda i: x[0][i], in_dims=0)(index), corten.stack([x[0][i] for i in index]))


# -- gradients --------------------------------------------------------------------------------------------------------


def loss(weight, x):
    return (weight @ x).tanh().square().sum()


def test_gradients_of_each_example_do_not_sum_over_the_batch():
    weight, x = numbers(2, 3), numbers(4, 3)
    found = corten.vmap(func.grad(loss), in_dims=(None, 0))(weight, x)
    assert found.shape == (4, 2, 3) and not found.requires_grad
    close(found, corten.stack([func.grad(loss)(weight, one) for one in x]))


@pytest.mark.parametrize("transform", [func.jacrev, func.jacfwd, func.hessian], ids=["jacrev", "jacfwd", "hessian"])
def test_jacobians_of_each_example(transform):
    weight, x = numbers(2, 3), numbers(4, 3)
    derived = transform(lambda v: (weight @ v).sin() * v[0])
    close(corten.vmap(derived)(x), corten.stack([derived(one) for one in x]))
    outer = transform(lambda v: corten.vmap(lambda row: (row * v).sin().sum())(weight))
    close(outer(x[0]), transform(lambda v: (weight * v).sin().sum(1))(x[0]))


def test_products_with_jacobians_take_a_batch_of_vectors():
    x = numbers(3)

    def f(v):
        return v.sin() * v[0]

    _, pull = func.vjp(f, x)
    close(corten.vmap(pull)(corten.eye(3))[0], func.jacrev(f)(x))
    _, push = func.linearize(f, x)
    close(corten.vmap(push, out_dims=1)(corten.eye(3)), func.jacrev(f)(x))
    close(corten.vmap(lambda t: func.jvp(f, (x,), (t,))[1], out_dims=1)(corten.eye(3)), func.jacrev(f)(x))


def test_autograd_inside_and_around():
    x = numbers(4, 3)

    def slope(v):
        v = v.detach().requires_grad_()
        return corten.autograd.grad(v.sin().sum(), v)[0]

    close(corten.vmap(slope)(x), x.cos())
    weight = numbers(3).requires_grad_()
    corten.vmap(lambda v: (v * weight).sin().sum())(x).sum().backward()
    close(weight.grad, (x * (x * weight).cos()).sum(0))
    with pytest.raises(NotImplementedError, match="with respect to a tensor from outside"):
        corten.vmap(lambda v: corten.autograd.grad((v * weight).sum(), weight)[0])(x)


def test_three_levels_of_gradients_and_batches():
    x, y = numbers(2, 3), numbers(4, 3)

    def inner(a, b):
        return (a * b).sin().sum()

    table = corten.vmap(lambda a: corten.vmap(lambda b: func.grad(inner)(a, b))(y))(x)
    close(table, y * (x[:, None] * y).cos())
    mixed = func.grad(lambda a: corten.vmap(lambda b: func.grad(inner)(a, b).sum())(y).sum())
    close(mixed(x[0]), (-y * y * (x[0] * y).sin()).sum(0))


def test_an_ensemble_is_a_loop_over_its_models():
    corten.manual_seed(0)
    models = [nn.Sequential(nn.Conv2d(2, 3, 3), nn.GroupNorm(1, 3), nn.Flatten(), nn.Linear(12, 2)) for _ in range(3)]
    params, buffers = func.stack_module_state(models)
    base, x = models[0], numbers(5, 2, 4, 4)
    call = corten.vmap(lambda p, b, x: func.functional_call(base, (p, b), (x,)), in_dims=(0, 0, None))
    close(call(params, buffers, x), corten.stack([model(x) for model in models]))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN], ids=["lstm", "gru", "rnn"])
def test_recurrent_layers_run_on_examples(kind):
    corten.manual_seed(0)
    layer, x = kind(3, 4), numbers(2, 5, 6, 3)
    close(corten.vmap(lambda v: layer(v)[0])(x), corten.stack([layer(one)[0] for one in x]))


def test_tensors_are_made_of_an_example():
    x = numbers(3)
    made = corten.vmap(lambda v: (corten.full((2,), v), v.new_empty_strided((2, 3), (3, 1)).fill_(v)))(x)
    close(made[0], x[:, None].expand(3, 2))
    close(made[1], x[:, None, None].expand(3, 2, 3))


class Cube(corten.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(ctx, x, scale):
        ctx.save_for_backward(x, scale)
        return x**3 * scale

    @staticmethod
    def backward(ctx, grad):
        x, scale = ctx.saved_tensors
        return 3 * x**2 * scale * grad, (x**3 * grad).sum()


class Doubled(corten.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return grad * 2

    @staticmethod
    def vmap(info, in_dims, x):
        assert info.batch_size == 4 and in_dims == (0,)
        return x.T * 2, 1


class Without(Cube):
    generate_vmap_rule = False


def test_functions_bring_a_rule_or_have_one_made():
    x, scale = numbers(4, 3).requires_grad_(), corten.tensor(2.0, requires_grad=True)
    result = corten.vmap(lambda v: Cube.apply(v, scale))(x)
    close(result, x**3 * 2)
    found = corten.autograd.grad(result.sum(), (x, scale))
    close(found[0], 6 * x**2)
    close(found[1], (x**3).sum())
    close(corten.vmap(func.grad(lambda v: Cube.apply(v, scale).sum()))(x.detach()), 6 * x.detach() ** 2)
    close(corten.vmap(Doubled.apply)(x.detach()), x.detach() * 2)
    with pytest.raises(RuntimeError, match="does not have vmap support"):
        corten.vmap(lambda v: Without.apply(v, scale))(x)


# -- randomness -------------------------------------------------------------------------------------------------------

DRAWS = {
    "randn": lambda x: corten.randn(5),
    "randint": lambda x: corten.randint(0, 1000, (5,)).float(),
    "randperm": lambda x: corten.randperm(20).float(),
    "normal": lambda x: corten.normal(0.0, 1.0, (5,)),
    "rand_like": lambda x: corten.rand_like(x),
    "dropout": lambda x: nn.functional.dropout(corten.ones(50), 0.5),
    "uniform_": lambda x: x.clone().uniform_(),
}


@pytest.mark.parametrize("name", DRAWS)
def test_random_numbers_are_refused_or_the_same_or_different(name):
    draw, x = DRAWS[name], corten.ones(3, 5)
    corten.manual_seed(1)
    with pytest.raises(RuntimeError, match="randomness error mode"):
        corten.vmap(draw)(x)
    same = values(corten.vmap(draw, randomness="same")(x))
    assert (same[0] == same[1]).all() and (same[0] == same[2]).all()
    different = values(corten.vmap(draw, randomness="different")(x))
    assert different.shape == same.shape
    assert (different[0] != different[1]).any() and (different[1] != different[2]).any()


def test_dropout_of_an_example_has_the_example_in_its_place():
    x = corten.arange(1.0, 301.0).reshape(3, 100)
    for randomness in ("same", "different"):
        result = values(corten.vmap(lambda v: nn.functional.dropout(v, 0.5), randomness=randomness)(x))
        kept = result != 0
        np.testing.assert_allclose(result[kept], 2 * values(x)[kept])
        assert 0.3 < kept.mean() < 0.7
        assert (kept[0] == kept[1]).all() == (randomness == "same")
    close(corten.vmap(lambda v: nn.functional.dropout(v, 0.5, training=False))(x), x)


def test_permutations_are_permutations():
    found = corten.vmap(lambda x: corten.randperm(30), randomness="different")(corten.ones(4))
    assert found.dtype == corten.int64
    np.testing.assert_array_equal(np.sort(values(found)), np.arange(30)[None].repeat(4, 0))


def test_levels_choose_for_themselves():
    x = corten.ones(2, 3)
    draw = corten.vmap(lambda v: corten.randn(()), randomness="different")
    found = values(corten.vmap(draw, randomness="same")(x))
    assert (found[0] == found[1]).all() and len(set(found[0])) == 3


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: corten.vmap(lambda: 1)(), ValueError, "got no inputs"),
        (lambda x: corten.vmap(lambda a: a, in_dims="0")(x), ValueError, "expected `in_dims` to be int or"),
        (lambda x: corten.vmap(lambda a, b: a, in_dims=(0,))(x, x), ValueError, "not compatible with the structure"),
        (lambda x: corten.vmap(lambda a: a, in_dims=2)(x), ValueError, "expected in_dim to satisfy -2 <= in_dim < 2"),
        (lambda x: corten.vmap(lambda a, b: a)(x, 3), ValueError, "cannot vmap over non-Tensor arguments"),
        (lambda x: corten.vmap(lambda a, b: a + b)(x, x[:1]), ValueError, "same size in the mapped dimension"),
        (lambda x: corten.vmap(lambda a: a, in_dims=(None,))(x), ValueError, "at least one argument needs a dim"),
        (lambda x: corten.vmap(lambda a: 3)(x), ValueError, "must only return Tensors, got type <class 'int'>"),
        (lambda x: corten.vmap(lambda a: a, out_dims=None)(x), ValueError, "when out_dim is None"),
        (lambda x: corten.vmap(lambda a: (a, a), out_dims=(0, 0, 0))(x), ValueError, "out_dims is not compatible"),
        (lambda x: corten.vmap(lambda a: a, out_dims=5)(x), IndexError, r"range of \[-2, 1\], but got 5"),
        (lambda x: corten.vmap(lambda a: a, randomness="x")(x), RuntimeError, "'error', 'different', or 'same'"),
        (lambda x: corten.vmap(lambda a: a, chunk_size=0)(x), ValueError, "None or greater than 0"),
        (lambda x: corten.vmap(lambda a: a if a.sum() > 0 else -a)(x), RuntimeError, "data-dependent control flow"),
        (lambda x: corten.vmap(lambda a: a * a.sum().item())(x), RuntimeError, r"calling \.item\(\)"),
        (lambda x: corten.vmap(lambda a: corten.tensor(a))(x), RuntimeError, "reading the values"),
        (lambda x: corten.vmap(lambda a: corten.tensor([a[0], a[1]]))(x), RuntimeError, "reading the values"),
        (lambda x: corten.vmap(lambda a: corten.Tensor.item(a[0]))(x), RuntimeError, "reading the values"),
        (lambda x: corten.vmap(lambda a: corten.Tensor.detach(a))(x), RuntimeError, "reading the values"),
        (lambda x: corten.vmap(lambda a: a.untyped_storage())(x), RuntimeError, "reads its memory"),
        (lambda x: corten.vmap(lambda a: a[a > 0])(x), RuntimeError, "batched mask"),
        (lambda x: corten.vmap(lambda a: a.nonzero())(x), RuntimeError, "depends on the data"),
        (
            lambda x: corten.vmap(lambda a: corten.embedding_renorm_(x, a, 1.0, 2.0))(x),
            NotImplementedError,
            r"no rule for embedding_renorm_\(\)",
        ),
        (lambda x: corten.vmap(lambda a: corten.sin(a, out=corten.empty(3)))(x), NotImplementedError, "out="),
        (lambda x: corten.vmap(lambda a: a.view(7))(x), RuntimeError, "shape"),
        (lambda x: corten.vmap(lambda a: a @ corten.ones(5))(x), RuntimeError, "cannot be multiplied"),
        (lambda x: corten.vmap(lambda a: a.sum(3))(x), IndexError, r"range of \[-1, 0\], but got 3"),
    ],
)
def test_errors_say_what_was_expected(call, error, text):
    with pytest.raises(error, match=text):
        call(numbers(2, 3))


def test_an_example_is_not_pickled():
    with pytest.raises(RuntimeError, match="reads its memory"):
        corten.vmap(lambda a: pickle.dumps(a))(numbers(2, 3))


def test_a_tensor_that_escapes_says_so():
    kept = []
    corten.vmap(lambda a: kept.append(a) or a)(numbers(2, 3))
    with pytest.raises(RuntimeError, match="outside of the vmap that made it"):
        kept[0] + 1


def test_an_error_inside_ends_the_levels():
    with pytest.raises(ZeroDivisionError):
        corten.vmap(lambda a: 1 // 0)(numbers(2, 3))
    corten.randn(2)  # no mode is left that would refuse it
    close(corten.vmap(lambda a: a + 1)(numbers(2, 3)), numbers(2, 3) + 1)


def test_a_batch_of_seeds_goes_back_through_a_graph_from_outside():
    x = corten.randn(4, requires_grad=True)
    y = x**2 + x.sum()
    jacobian = corten.vmap(lambda seed: corten.autograd.grad(y, x, seed)[0])(corten.eye(4))
    assert corten.allclose(jacobian, corten.diag(2 * x) + 1)
    with pytest.raises(RuntimeError, match="second time"):
        corten.autograd.grad(y.sum(), x)
    y = x.sin()
    w = corten.randn(2, 4)

    def for_one(v):
        return corten.vmap(lambda w: corten.autograd.grad(y, x, v * w, retain_graph=True)[0])(w)

    assert corten.allclose(corten.vmap(for_one)(corten.eye(4)), corten.eye(4)[:, None] * w * x.cos())
