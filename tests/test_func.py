"""corten.func: gradients and Jacobians as functions, inside each other too, stateless calls, axes by name."""

from __future__ import annotations

import corten
import numpy as np
import pytest
from corten import func, nn


def values(tensor):
    return tensor.detach().cpu().numpy()


def close(result, expected):
    np.testing.assert_allclose(values(result), expected, rtol=2e-5, atol=1e-6)


def vector():
    return corten.tensor([0.5, -1.0, 2.0])


def test_a_gradient_is_a_function_and_leaves_no_history():
    x = vector()
    slope = func.grad(lambda x: (x**3).sum())
    assert slope.__name__ == "<lambda>"
    close(slope(x), 3 * values(x) ** 2)
    assert not slope(x).requires_grad and x.grad is None and not x.requires_grad


@pytest.mark.parametrize("argnums", [1, -1, (0, 1), (1,)])
def test_arguments_are_chosen_by_number(argnums):
    x, y = vector(), vector() + 1
    found = func.grad(lambda a, b: (a * b.square()).sum(), argnums)(x, y)
    expected = {0: values(y) ** 2, 1: 2 * values(x) * values(y)}
    if isinstance(argnums, int):
        close(found, expected[1])
    else:
        assert isinstance(found, tuple)
        for position, one in zip(argnums, found, strict=True):
            close(one, expected[position])


def test_trees_of_arguments_have_trees_of_gradients():
    tree = {"a": vector(), "b": [vector(), (vector() * 2,)]}
    found = func.grad(lambda t: (t["a"] * t["b"][0] * t["b"][1][0]).sum())(tree)
    close(found["a"], 2 * values(vector()) ** 2)
    close(found["b"][1][0], values(vector()) ** 2)


def test_what_else_a_function_returns_is_handed_on():
    x = vector()
    slope, extra = func.grad(lambda x: (x.sum(), x * 2), has_aux=True)(x)
    close(slope, [1, 1, 1])
    close(extra, 2 * values(x))
    assert not extra.requires_grad
    slope, (value, extra) = func.grad_and_value(lambda x: (x.sum(), "text"), has_aux=True)(x)
    assert value.item() == 1.5 and extra == "text"


def test_gradients_of_gradients_are_transformations_inside_each_other():
    third = func.grad(func.grad(func.grad(lambda x: x**4)))
    assert third(corten.tensor(2.0)).item() == 48.0
    # The inner variable is another one than the outer, though both are called x.
    mixed = func.grad(lambda x: x * func.grad(lambda y: x * y * y)(corten.tensor(3.0)))
    assert mixed(corten.tensor(2.0)).item() == pytest.approx(24.0)


def test_a_function_of_what_is_trained_outside_keeps_that_history():
    weight = nn.Parameter(corten.tensor(3.0))
    found = func.grad(lambda x: weight * x * x)(corten.tensor(2.0))
    found.backward()
    assert found.item() == 12.0 and weight.grad.item() == 4.0
    x = corten.tensor(2.0, requires_grad=True)
    func.grad(lambda x: x**3)(x).backward()
    assert x.grad.item() == 12.0
    with corten.no_grad():
        assert not func.grad(lambda x: weight * x)(corten.tensor(2.0)).requires_grad


def test_arguments_that_have_no_part_get_zeros():
    close(func.grad(lambda a, b: b.sum())(vector(), vector()), [0, 0, 0])
    close(func.jacrev(lambda a: corten.ones(2))(vector()), np.zeros((2, 3)))
    _, move = func.jvp(lambda a: corten.ones(2), (vector(),), (vector(),))
    close(move, [0, 0])
    with pytest.raises(RuntimeError, match="independent of the input"):
        func.jvp(lambda a: corten.ones(2), (vector(),), (vector(),), strict=True)


def test_products_with_jacobians_go_both_ways():
    x, y = vector(), corten.tensor([2.0, 1.0, 0.5])
    output, vjp_fn = func.vjp(lambda a, b: {"p": a * b, "s": a.sin().sum()}, x, y)
    cotangent = {"p": corten.ones(3), "s": corten.tensor(2.0)}
    for _ in range(2):
        gx, gy = vjp_fn(cotangent)
        close(gx, values(y) + 2 * np.cos(values(x)))
        close(gy, values(x))
    assert not output["p"].requires_grad
    tangents = (corten.tensor([1.0, 0.0, -1.0]), corten.tensor([0.0, 2.0, 1.0]))
    output, move = func.jvp(lambda a, b: a * b, (x, y), tangents)
    close(move, values(tangents[0]) * values(y) + values(x) * values(tangents[1]))


def test_a_linear_map_is_made_once_and_used_often():
    calls = []

    def f(x):
        calls.append(1)
        return x.sin() * x.sum()

    x = vector()
    output, push = func.linearize(f, x)
    for direction in corten.eye(3).unbind():
        close(push(direction), values(func.jvp(f, (x,), (direction,))[1]))
    assert len(calls) == 4
    close(output, np.sin(values(x)) * values(x).sum())


@pytest.mark.parametrize("transform", [func.jacrev, func.jacfwd])
def test_jacobians_have_the_dims_of_the_result_and_of_the_argument(transform):
    x, w = corten.randn(3), corten.randn(2, 3)
    close(transform(lambda x: w @ x)(x), values(w))
    by_matrix = transform(lambda w: w @ x)(w)
    expected = np.einsum("ik,j->ikj", np.eye(2), values(x))
    close(by_matrix, expected)
    tree, aux = transform(lambda x, y: ((x * y, {"s": (x + y).sum()}), x), argnums=(0, 1), has_aux=True)(x, x + 1)
    close(tree[0][0], np.diag(values(x + 1)))
    close(tree[0][1], np.diag(values(x)))
    close(tree[1]["s"][1], np.ones(3))
    close(aux, values(x))


def test_hessians_are_the_second_derivatives():
    a = corten.randn(3, 3)
    close(func.hessian(lambda x: x @ a @ x)(corten.randn(3)), values(a + a.mT))
    (first, mixed), (_, second) = func.hessian(lambda x, y: (x * y**2).sum(), (0, 1))(vector(), vector() + 2)
    close(first, np.zeros((3, 3)))
    close(mixed, np.diag(2 * values(vector() + 2)))
    close(second, np.diag(2 * values(vector())))
    jacobian = func.jacrev(func.jacrev(lambda x: (x**3).sum()))(vector())
    close(jacobian, np.diag(6 * values(vector())))


@pytest.mark.parametrize(
    "call, error, text",
    [
        (lambda x: func.grad(lambda a: a)(x), RuntimeError, "return a scalar tensor"),
        (lambda x: func.grad(lambda a: 1.0)(x), RuntimeError, "return a single tensor"),
        (lambda x: func.grad(lambda a: a.sum(), 2)(x), RuntimeError, "Got argnum=2, but only 1 positional inputs"),
        (lambda x: func.grad(lambda a, b: a.sum(), (0, -2))(x, x), RuntimeError, "must be unique"),
        (lambda x: func.grad(lambda a: a.sum(), has_aux=True)(x), RuntimeError, r"a tuple: \(output, aux\)"),
        (lambda x: func.grad(lambda a: a)(3), ValueError, "to be Tensors, got int"),
        (lambda x: func.grad(lambda a: a.sum())(x.long()), RuntimeError, "floating point"),
        (lambda x: func.vjp(lambda a: a, x)[1]((x, x)), RuntimeError, "pytree structure of cotangents"),
        (lambda x: func.vjp(lambda a: a, x)[1](x[:1]), RuntimeError, "shapes of the outputs"),
        (lambda x: func.jvp(lambda a: a, x, (x,)), RuntimeError, "primals to be a tuple"),
        (lambda x: func.jvp(lambda a: a, (x,), (x, x)), RuntimeError, "same python structure"),
        (lambda x: func.jacrev(lambda a: 3)(x), RuntimeError, "all of its outputs to be Tensors"),
        (lambda x: func.jacrev(lambda a: a, chunk_size=0), ValueError, "greater than 0"),
        (lambda x: func.functionalize(lambda a: a, remove="all"), RuntimeError, "invalid argument for remove"),
    ],
)
def test_errors_say_what_was_expected(call, error, text):
    with pytest.raises(error, match=text):
        call(vector())


# -- Jacobians in one pass --------------------------------------------------------------------------------------------


class _Counted(corten.autograd.Function):
    """Twice its argument; counts backward passes."""

    generate_vmap_rule = True
    passes = 0

    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        _Counted.passes += 1
        return grad * 2


class _CountedAlone(_Counted):
    generate_vmap_rule = False


@pytest.mark.parametrize("chunk_size, passes", [(None, 1), (7, 1), (100, 1), (3, 3), (2, 4), (1, 7)])
def test_rows_of_a_jacobian_come_together_in_chunks(chunk_size, passes):
    _Counted.passes, x = 0, corten.randn(7)
    found = func.jacrev(lambda v: _Counted.apply(v).sin(), chunk_size=chunk_size)(x)
    assert _Counted.passes == passes
    close(found, values((2 * x).cos().mul(2).diag()))


def test_rows_come_one_by_one_where_a_function_cannot_be_batched():
    _Counted.passes, x = 0, corten.randn(7)
    close(func.jacrev(lambda v: _CountedAlone.apply(v).sin())(x), values((2 * x).cos().mul(2).diag()))
    assert _Counted.passes == 7


def test_columns_of_a_jacobian_need_one_run():
    runs, x = [], corten.randn(5)

    def noted(v):
        runs.append(1)
        return (v.sin() * v[0], v.sum()), {"twice": v * 2}

    (found, ones), aux = func.jacfwd(noted, has_aux=True)(x)
    assert len(runs) == 1
    close(found, values(func.jacrev(lambda v: v.sin() * v[0], chunk_size=1)(x)))
    close(ones, np.ones(5))
    close(aux["twice"], values(x * 2))


@pytest.mark.parametrize("transform", [func.jacrev, func.jacfwd], ids=["jacrev", "jacfwd"])
def test_a_function_may_look_at_the_values_of_its_copies(transform):
    x = corten.tensor([3.0, -1.0, 2.0])

    def f(v):
        scale = v.sum().item()
        picked = v[v > 0] if scale > 0 else v
        return picked * float(v[0]) * len(v.detach().nonzero()) + v.masked_select(v < 0) * int(scale)

    expected = [[9.0, 4.0, 0.0], [0.0, 4.0, 9.0]]
    close(transform(f)(x), np.array(expected))


def test_the_second_run_draws_what_the_first_drew():
    x = corten.ones(200)

    def f(v):
        return corten.nn.functional.dropout(v * 3, 0.5)

    corten.manual_seed(3)
    once = f(x)
    following = corten.rand(())
    corten.manual_seed(3)
    found = func.jacrev(f)(x)
    assert corten.rand(()).item() == following.item()
    close(found.diagonal(), values(once))
    with pytest.raises(RuntimeError, match="randomness error mode"):
        func.jacfwd(f)(x)
    assert 0 < (func.jacfwd(f, randomness="same")(x).diagonal() != 0).sum().item() < 200


# -- modules ---------------------------------------------------------------------------------------------------------


def test_a_module_is_called_with_other_parameters_and_keeps_its_own():
    layer = nn.Linear(3, 2)
    before = layer.weight
    weight = corten.zeros(2, 3, requires_grad=True)
    out = func.functional_call(layer, {"weight": weight, "bias": corten.ones(2)}, corten.ones(1, 3))
    assert out.tolist() == [[1.0, 1.0]] and layer.weight is before
    out.sum().backward()
    assert weight.grad is not None and before.grad is None
    with pytest.raises(ZeroDivisionError):
        func.functional_call(_Failing(layer), {"inner.weight": weight}, (corten.ones(1, 3),))
    assert layer.weight is before


class _Failing(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x) / (1 // 0)


def test_recurrent_layers_use_the_parameters_they_are_called_with():
    layer, other = nn.LSTM(2, 3), nn.LSTM(2, 3)
    x = corten.randn(4, 1, 2)
    got = func.functional_call(layer, dict(other.named_parameters()), (x,))[0]
    close(got, values(other(x)[0]))


def test_buffers_that_a_call_writes_are_in_the_dictionary():
    norm = nn.BatchNorm1d(2)
    buffers = {"running_mean": corten.zeros(2), "num_batches_tracked": corten.tensor(0)}
    func.functional_call(norm, buffers, corten.tensor([[2.0, 4.0], [4.0, 8.0]]))
    close(buffers["running_mean"], [0.3, 0.6])
    assert buffers["num_batches_tracked"].item() == 1 and norm.num_batches_tracked.item() == 0


class _Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(2, 2, bias=False)
        self.b = nn.Linear(2, 2, bias=False)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.a(x) + self.b(x)


def test_tied_parameters_are_replaced_together():
    module, eye, x = _Tied(), corten.eye(2), corten.ones(1, 2)
    assert func.functional_call(module, {"a.weight": eye}, x).tolist() == [[2.0, 2.0]]
    with corten.no_grad():
        module.a.weight.zero_()
    assert func.functional_call(module, {"a.weight": eye}, x, tie_weights=False).tolist() == [[1.0, 1.0]]
    with pytest.raises(ValueError, match="which are tied"):
        func.functional_call(module, {"a.weight": eye, "b.weight": eye * 2}, x)


def test_strict_calls_name_what_is_missing_or_unknown():
    layer, x = nn.Linear(2, 2), corten.ones(1, 2)
    with pytest.raises(RuntimeError, match="Missing key") as error:
        func.functional_call(layer, {"weight": corten.eye(2), "gain": corten.eye(2)}, x, strict=True)
    assert "gain" in str(error.value) and "bias" in str(error.value)
    with pytest.raises(ValueError, match="appeared in multiple dictionaries"):
        func.functional_call(layer, [{"bias": x[0]}, {"bias": x[0]}], x)
    with pytest.raises(TypeError, match="weight has to be a tensor"):
        func.functional_call(layer, {"weight": 3}, x)
    with pytest.raises(AttributeError):
        func.functional_call(layer, {"inner.weight": x}, x)
    with pytest.warns(FutureWarning, match=r"torch\.func\.functional_call"):
        nn.utils.stateless.functional_call(layer, {"weight": corten.eye(2)}, x)


def test_gradients_of_a_module_for_a_dictionary_of_parameters():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    params = {name: p.detach() for name, p in model.named_parameters()}
    x = corten.randn(5, 3)

    def loss(params):
        return func.functional_call(model, params, x).square().mean()

    found = func.grad(loss)(params)
    model(x).square().mean().backward()
    for name, parameter in model.named_parameters():
        close(found[name], values(parameter.grad))


def test_states_of_several_models_are_stacked():
    models = [nn.BatchNorm1d(2) for _ in range(3)]
    params, buffers = func.stack_module_state(models)
    assert params["weight"].shape == (3, 2) and params["weight"].requires_grad and params["weight"].is_leaf
    assert buffers["running_var"].shape == (3, 2) and not buffers["running_var"].requires_grad
    for wrong, text in [
        ([], "at least one model"),
        ([nn.ReLU(), nn.Tanh()], "same class"),
        ([nn.ReLU(), nn.ReLU().eval()], "same training/eval mode"),
        ([nn.Linear(1, 1), nn.Linear(1, 1).requires_grad_(False)], r"same \.requires_grad"),
    ]:
        with pytest.raises(RuntimeError, match=text):
            func.stack_module_state(wrong)


def test_batch_norms_forget_their_statistics():
    model = nn.Sequential(nn.BatchNorm2d(2), nn.ReLU())
    assert func.replace_all_batch_norm_modules_(model) is model
    assert model[0].running_mean is None and not model[0].track_running_stats
    model.eval()
    x = corten.randn(4, 2, 3, 3)
    close(model[0](x).mean((0, 2, 3)), [0, 0])


def test_a_functionalized_function_does_the_same():
    def f(x):
        y = x.clone()
        y.mul_(2)[0] = 7
        return y

    assert func.functionalize(f)(vector()).tolist() == f(vector()).tolist()


# -- axes by name ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pattern, sizes, expected",
    [
        ("b h w c -> b c h w", {}, lambda x: x.transpose(0, 3, 1, 2)),
        ("b h w c -> (b h) w c", {}, lambda x: x.reshape(6, 4, 5)),
        (
            "b h (w1 w2) c -> w2 b (h w1) c",
            {"w2": 2},
            lambda x: x.reshape(2, 3, 2, 2, 5).transpose(3, 0, 1, 2, 4).reshape(2, 2, 6, 5),
        ),
        ("b ... -> ... b", {}, lambda x: x.transpose(1, 2, 3, 0)),
        ("b ... c -> b (...) c", {}, lambda x: x.reshape(2, 12, 5)),
        ("b h w c -> b 1 (c w) h", {}, lambda x: x.transpose(0, 3, 2, 1).reshape(2, 1, 20, 3)),
    ],
)
def test_axes_are_moved_split_and_joined(pattern, sizes, expected):
    x = corten.arange(120).reshape(2, 3, 4, 5)
    np.testing.assert_array_equal(values(func.rearrange(x, pattern, **sizes)), expected(values(x)))


def test_several_tensors_are_stacked_before_axes_move():
    tensors = [corten.ones(2, 3) * i for i in range(4)]
    assert func.rearrange(tensors, "n a b -> a (n b)").shape == (2, 12)


@pytest.mark.parametrize(
    "pattern, sizes, text",
    [
        ("a b", {}, "two sides"),
        ("a b -> b", {}, "differ in"),
        ("a b c -> c b a", {}, "does not have the 2 dims"),
        ("(a c) b -> a b c", {}, "cannot be told apart"),
        ("(a c) b -> a b c", {"a": 4}, "is not"),
        ("a a -> a", {}, "stands twice"),
        ("a (b -> a b", {}, "nothing closes"),
        ("a b -> b a", {"z": 2}, "no axis"),
    ],
)
def test_patterns_that_do_not_fit_are_refused(pattern, sizes, text):
    with pytest.raises(ValueError, match=text):
        func.rearrange(corten.ones(2, 3), pattern, **sizes)


@pytest.mark.parametrize("shape", [(6, 3), (6, 4, 3)])
def test_gradients_of_examples_lie_row_by_row(shape):
    """As programs of differential privacy want them, which flatten and clip each example's."""
    model = corten.nn.Linear(3, 5)
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def loss(parameters, x):
        return corten.func.functional_call(model, parameters, (x,)).square().sum()

    found = corten.func.vmap(corten.func.grad(loss), (None, 0))(parameters, corten.randn(*shape))
    assert found["weight"].stride() == (15, 3, 1) and found["weight"].view(6, -1).shape == (6, 15)
