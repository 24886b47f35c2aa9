"""`corten.autograd.graph` and the graph's nodes: names, identity, hooks on saved tensors and on several gradients."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import corten
import corten.nn.functional as F
import pytest
from corten.autograd import graph


def leaf(*values: float) -> corten.Tensor:
    return corten.tensor(values, requires_grad=True)


# -- nodes -----------------------------------------------------------------------------------------------------------

X = corten.tensor([[0.5, 0.25], [0.75, 0.5]], requires_grad=True)
V = corten.tensor([0.5, 0.25], requires_grad=True)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("TBackward0", lambda: X.t()),
        ("TransposeBackward0", lambda: X.transpose(0, 1)),
        ("PowBackward0", lambda: X**2),
        ("PowBackward0", lambda: X.square()),
        ("PowBackward0", lambda: X**0.5),
        ("PowBackward1", lambda: X**X),
        ("PowBackward2", lambda: 2**X),
        ("RsubBackward1", lambda: 1 - X),
        ("SubBackward0", lambda: X - 1),
        ("AddmmBackward0", lambda: F.linear(X, X, V)),
        ("MmBackward0", lambda: F.linear(X, X)),
        ("MvBackward0", lambda: X @ V),
        ("DotBackward0", lambda: V @ V),
        ("BmmBackward0", lambda: corten.bmm(X[None], X[None])),
        ("SumBackward0", lambda: X.sum()),
        ("SumBackward1", lambda: X.sum(0)),
        ("MeanBackward0", lambda: X.mean()),
        ("ProdBackward0", lambda: X.prod()),
        ("MaxBackward1", lambda: X.max()),
        ("MaxBackward0", lambda: X.max(0)[0]),
        ("StdBackward0", lambda: X.std()),
        ("ClampBackward1", lambda: X.clamp(0, 1)),
        ("ClampBackward0", lambda: X.clamp(min=X)),
        ("ClampMinBackward0", lambda: X.clamp_min(0)),
        ("LerpBackward0", lambda: X.lerp(X, 0.5)),
        ("LerpBackward1", lambda: X.lerp(X, X)),
        ("MaskedFillBackward0", lambda: X.masked_fill(X > 0, 1.0)),
        ("StackBackward0", lambda: corten.stack([X, X])),
        ("RepeatBackward0", lambda: X.repeat(2, 1)),
        ("IndexSelectBackward0", lambda: X.index_select(0, corten.tensor([0]))),
        ("SqueezeBackward0", lambda: X[None].squeeze()),
        ("SqueezeBackward1", lambda: X[None].squeeze(0)),
        ("UnsafeViewBackward0", lambda: X.t().reshape(4)),
        ("ZeroBackward0", lambda: (X * 1).zero_()),
        ("UnbindBackward0", lambda: X.unbind()[0]),
        ("UpsampleNearest1DBackward0", lambda: F.interpolate(X[None], scale_factor=2)),
        ("AccumulateGrad", lambda: X.sum()),
    ],
)
def test_class_of_a_node_has_the_name_of_the_step(name: str, make: Callable) -> None:
    node = make().grad_fn
    if name == "AccumulateGrad":
        node = node.next_functions[0][0]
    assert type(node).__name__ == name
    assert repr(node).startswith(f"<{name} object at 0x")
    assert node.name().removeprefix("corten::autograd::") == name
    assert isinstance(node, graph.Node)


def test_steps_of_one_kind_share_a_class_that_cannot_be_called() -> None:
    first, second = (X * 2).grad_fn, (X * 3).grad_fn
    assert type(first) is type(second) and first != second
    with pytest.raises(TypeError, match="cannot create 'MulBackward0' instances"):
        type(first)()
    with pytest.raises(AttributeError):
        first.note = 1


def test_a_node_is_one_object_while_somebody_holds_it() -> None:
    y = X * 2
    node = y.grad_fn
    assert y.grad_fn is node
    assert (y + 1).grad_fn.next_functions[0][0] is node
    reference = weakref.ref(node)
    node.metadata["note"] = 1
    del node
    assert reference() is None
    assert y.grad_fn.metadata == {"note": 1}


def test_names_do_not_reach_the_node_of_an_argument() -> None:
    y = X * 2
    assert y.squeeze_(0) is y
    assert corten.stack([y]).grad_fn.name() == "StackBackward0"
    written = X * 2
    written[0].zero_()
    assert type(written.grad_fn).__name__ == "CopySlices"


def test_pieces_are_numbered_outputs_of_one_node() -> None:
    y = X * 1
    for pieces in (y.unbind(), y.split(1), y.chunk(2)):
        assert [p.output_nr for p in pieces] == [0, 1]
        assert pieces[0].grad_fn is pieces[1].grad_fn
    first, second = X.unbind(1)
    (g,) = corten.autograd.grad((first * 2).sum(), X)
    assert g.tolist() == [[2, 0], [2, 0]]
    (g,) = corten.autograd.grad((second * second).sum(), X)
    assert g.tolist() == [[0, 0.5], [0, 1]]


# -- what operators save ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shapes", "make"),
    [
        ([(2, 2)], lambda: X.exp()),
        ([(2, 2), (2, 2)], lambda: X * X),
        ([], lambda: X * 2),
        ([], lambda: X.sum()),
        ([(2, 2), (2, 1), (2, 1)], lambda: F.layer_norm(X, (2,))),
        ([(2, 2), (2,), (2,)], lambda: F.batch_norm(X, None, None, training=True)),
        ([(2,)], lambda: X.max(0)),
        ([(2, 2)], lambda: X.cummax(0)),
        ([(2, 2), ()], lambda: X.std()),
    ],
    ids=["output", "inputs", "number", "nothing", "layer_norm", "batch_norm", "positions", "scan", "both"],
)
def test_hooks_see_what_is_saved(shapes: list, make: Callable) -> None:
    seen = []
    with graph.saved_tensors_hooks(lambda t: seen.append(tuple(t.shape)) or t, lambda t: t):
        make()
    assert seen == shapes


def test_the_backward_pass_reads_what_hooks_unpack() -> None:
    x = leaf(1.0, 2.0)
    with graph.saved_tensors_hooks(lambda t: t.tolist(), lambda values: corten.tensor(values) * 10):
        y = x * x
    y.sum().backward()
    assert x.grad.tolist() == [20, 40]


def test_packed_values_can_be_differentiated_again() -> None:
    x = leaf(1.0, 2.0)
    with graph.saved_tensors_hooks(lambda t: t.tolist(), corten.tensor):
        y = (x * 1) ** 3 + x.exp()
        (first,) = corten.autograd.grad(y.sum(), x, create_graph=True)
    (second,) = corten.autograd.grad(first.sum(), x)
    assert second.sub(6 * x + x.exp()).abs().max().item() < 1e-5


def test_packed_values_leave_memory() -> None:
    x = corten.ones(250_000, requires_grad=True)
    corten._core.flush()
    before = corten._core.counters()["live_bytes"]
    with graph.saved_tensors_hooks(lambda t: t.shape, corten.zeros):
        y = (x * 2).exp()
        total = y.sum()
        del y
        corten._core.flush()
        assert corten._core.counters()["live_bytes"] - before < 500_000
    total.backward()
    assert x.grad.abs().max().item() == 0


def test_a_packed_value_may_be_written_in_place() -> None:
    x = leaf(1.0, 2.0)
    y = x * 1
    with graph.saved_tensors_hooks(lambda t: t.clone(), lambda t: t):
        z = y * y
    y.mul_(100)
    z.sum().backward()
    assert x.grad.tolist() == [2, 4]


@pytest.mark.parametrize(
    ("pack", "unpack", "error", "text"),
    [
        (lambda t: t, lambda t: 3, TypeError, "unpack_hook expected to be a Tensor but got result of type int"),
        (lambda t: t.add_(1), lambda t: t, RuntimeError, "pack hook is modifying its input in place"),
        (lambda t: 1 / 0, lambda t: t, ZeroDivisionError, "division by zero"),
        (3, lambda t: t, TypeError, "callable"),
    ],
    ids=["unpacked", "written", "raised", "number"],
)
def test_hooks_that_misbehave_are_refused(pack, unpack, error, text) -> None:
    x = leaf(1.0)
    with pytest.raises(error, match=text), graph.saved_tensors_hooks(pack, unpack):
        x.exp().sum().backward()


class Scaled(corten.autograd.Function):
    """Saves its input."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * 2 * x


def test_functions_save_through_hooks() -> None:
    x = leaf(1.0, 2.0)
    with graph.saved_tensors_hooks(lambda t: t * 10, lambda t: t):
        y = Scaled.apply(x)
    y.sum().backward()
    assert x.grad.tolist() == [20, 40]
    assert isinstance(y.grad_fn, graph.Node)


def test_hooks_can_be_refused() -> None:
    pair = (lambda t: t, lambda t: t)
    refused = pytest.raises(RuntimeError, match="not here")
    with graph.disable_saved_tensors_hooks("not here"), refused, graph.saved_tensors_hooks(*pair):
        pass
    with graph.saved_tensors_hooks(*pair), refused, graph.disable_saved_tensors_hooks("not here"):
        pass
    with graph.save_on_cpu():
        y = (X * X).sum()
    assert corten.autograd.grad(y, X)[0].equal(2 * X)


def test_saved_values_may_be_written_where_that_is_allowed() -> None:
    x = leaf(1.0, 2.0)
    with graph.allow_mutation_on_saved_tensors():
        y = x.clone()
        z = (y**2).sum()
        y.sin_()
        z.backward()
        assert x.grad.tolist() == [2, 4]
        nested = graph.allow_mutation_on_saved_tensors()
        with pytest.raises(RuntimeError, match="cannot be nested"):
            nested.__enter__()
        late = (x * x).sum()
    with pytest.raises(AssertionError, match="outside of the 'allow_mutation_on_saved_tensors' context"):
        late.backward()


# -- several gradients -----------------------------------------------------------------------------------------------


def test_hook_on_several_gradients_waits_for_those_that_come() -> None:
    a, b, c = leaf(1.0), leaf(2.0), leaf(3.0)
    got = []
    handle = graph.register_multi_grad_hook((a, b, c), lambda grads: got.append([g is not None for g in grads]))
    (a * b).sum().backward()
    (a * b * c).sum().backward()
    corten.autograd.grad((a * b).sum(), [a])
    handle.remove()
    (a * b).sum().backward()
    assert got == [[True, True, False], [True, True, True], [True, False, False]]


def test_hook_on_any_of_several_gradients_runs_once_in_a_pass() -> None:
    a, b = leaf(1.0), leaf(2.0)
    got = []
    with graph.register_multi_grad_hook((a, b), lambda g: got.append(g.item()), mode="any"):
        (a * b).sum().backward()
        (b * 5).sum().backward()
    (a * b).sum().backward()
    assert len(got) == 2 and got[1] == 5
    with pytest.raises(ValueError, match="one of"):
        graph.register_multi_grad_hook((a,), print, mode="some")


def test_edges_and_versions() -> None:
    x = leaf(1.0)
    edge = graph.get_gradient_edge(x.unbind()[0])
    assert (edge.node.name(), edge.output_nr, edge.ownership_token) == ("UnbindBackward0", 0, None)
    with pytest.raises(RuntimeError, match="does not require gradients"):
        graph.get_gradient_edge(corten.ones(1))
    y = x * 1
    z = (y * y).sum()
    graph.increment_version([y, y])
    assert y._version == 2
    with pytest.raises(RuntimeError, match="is at version 2"):
        z.backward()


# -- attributes ------------------------------------------------------------------------------------------------------


def test_gradient_can_be_deleted_and_requires_grad_is_a_bool() -> None:
    x = leaf(1.0)
    x.sum().backward()
    del x.grad
    assert x.grad is None
    with pytest.raises(RuntimeError, match="requires_grad must be a bool"):
        x.requires_grad = 1
    with pytest.raises(RuntimeError, match="requires_grad must be a bool"):
        del x.requires_grad
    with pytest.raises(RuntimeError, match="Deleting tensor data is not allowed"):
        del x.data
    with pytest.raises(TypeError, match="Variable data has to be a tensor, but got int"):
        x.data = 1


def test_hooks_may_write_into_the_gradient_of_a_mean() -> None:
    x = corten.ones(2, 3, requires_grad=True)
    y = x * 2
    y.register_hook(lambda g: g.clamp_(-0.1, 0.1))
    y.mean().backward()
    assert x.grad.stride() == (3, 1) and x.grad.tolist() == [[pytest.approx(0.2)] * 3] * 2
