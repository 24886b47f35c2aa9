"""Selective checkpointing: kept results are not computed again, and gradients are those of the plain function."""

import functools

import corten
import corten.nn.functional as F
import pytest
from corten.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

pytestmark = pytest.mark.cpu
aten = corten.ops.aten


@pytest.fixture
def operands():
    corten.manual_seed(3)
    return [corten.randn(4, 4, requires_grad=True) for _ in range(2)]


def body(x, w):
    h = (x @ w).exp() + 1
    return F.softmax(F.linear(h, w).sin(), -1).pow(2)


def kept(chosen, **options):
    return functools.partial(create_selective_checkpoint_contexts, chosen, **options)


def gradients(function, operands, context_fn=None):
    """Gradients, and the kernels of the backward pass."""
    options = {} if context_fn is None else {"context_fn": context_fn}
    y = checkpoint(function, *operands, use_reentrant=False, **options).sum()
    corten.flush()
    with corten.profiler.profile() as taken:
        found = corten.autograd.grad(y, operands)
        corten.flush()
    return found, [event.name for event in taken.events()]


def count(names, part):
    return sum(part in name for name in names)


def test_kept_results_are_not_computed_again(operands):
    plain = corten.autograd.grad(body(*operands).sum(), operands)
    again, all_kernels = gradients(body, operands)
    found, kernels = gradients(body, operands, kept([aten.mm.default]))
    # Both products of the function are run again by the one, and only those of the gradients by the other.
    assert count(all_kernels, "aten::mm") == count(kernels, "aten::mm") + 2
    assert count(all_kernels, "exp") == count(kernels, "exp")
    for expected, other, value in zip(plain, again, found, strict=True):
        assert corten.equal(value, expected) and corten.equal(other, expected)


def test_what_a_gradient_keeps_of_a_result_is_the_kept_one(operands):
    for chosen, part in ((aten.exp.default, "exp"), (aten._softmax.default, "softmax,")):
        _, all_kernels = gradients(body, operands)
        found, kernels = gradients(body, operands, kept([chosen]))
        assert count(kernels, part) <= count(all_kernels, part)
        for value, expected in zip(found, corten.autograd.grad(body(*operands).sum(), operands), strict=True):
            assert corten.equal(value, expected)
    last = [operands[0]]
    _, kernels = gradients(lambda x: x.exp(), last, kept([aten.exp.default]))
    assert count(kernels, "exp") == 0


def test_the_policy_is_asked_of_every_operator_by_pytorchs_name(operands):
    asked = []

    def policy(ctx, op, *args, **kwargs):
        asked.append((str(op), ctx.is_recompute, len(args)))
        return CheckpointPolicy.MUST_SAVE if op is aten.mm.default else CheckpointPolicy.PREFER_RECOMPUTE

    found, _ = gradients(body, operands, kept(policy))
    names = ["mm.default", "exp.default", "add.Tensor", "mm.default", "sin.default", "_softmax.default"]
    assert asked[0] == ("aten.mm.default", False, 2)
    assert [name for name, _, _ in asked] == [f"aten.{name}" for name in [*names, "pow.Tensor_Scalar"]]
    assert corten.equal(found[0], corten.autograd.grad(body(*operands).sum(), operands)[0])


@pytest.mark.parametrize("policy", list(CheckpointPolicy), ids=lambda p: p.name)
def test_every_policy_gives_the_same_gradients(operands, policy):
    def function(x, w):
        first, second = (x @ w).split(2)
        third = (first + second).relu()
        values, _ = third.sort(-1)
        return F.dropout(values, 0.5) @ w

    corten.manual_seed(7)
    plain = corten.autograd.grad(function(*operands).sum(), operands)
    corten.manual_seed(7)
    found, _ = gradients(function, operands, kept(lambda ctx, op, *args, **kwargs: policy))
    for value, expected in zip(found, plain, strict=True):
        assert corten.equal(value, expected)


def test_a_result_that_was_written_to_is_refused(operands):
    def function(x, w):
        h = x @ w
        y = h.sin()
        h.mul_(2)
        return y * h

    with pytest.raises(RuntimeError, match="Tensor cached during selective activation checkpoint has been mutated"):
        gradients(function, operands, kept([aten.mm.default]))


def test_a_second_pass_is_refused(operands):
    y = checkpoint(body, *operands, use_reentrant=False, context_fn=kept([aten.mm.default])).sum()
    y.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="only allowed to backward once"):
        y.backward()


def test_mistakes_are_told(operands):
    for wrong in (corten.mm, aten.mm):
        with pytest.raises(ValueError, match="to be an OpOverload"):
            create_selective_checkpoint_contexts([wrong])
    with pytest.raises(TypeError, match="a function or a list of ops"):
        create_selective_checkpoint_contexts(3)
    with pytest.raises(AttributeError, match="has no overload name 'wrong'"):
        aten.mm.wrong  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'no_such_operator'"):
        aten.no_such_operator  # noqa: B018


def test_names_of_operators_can_be_called():
    x = corten.ones(2, 2)
    assert aten.mm.default is aten.mm.default and aten.mm.default.name() == "aten::mm"
    assert corten.equal(aten.mm.default(x, x), x @ x) and corten.equal(aten.add.Tensor(x, 1), x + 1)
    assert corten.equal(aten.mm(x, x), x @ x)
    assert repr(aten.sum.dim_IntList) == "<OpOverload(op='aten.sum', overload='dim_IntList')>"
    with pytest.raises(NotImplementedError, match="a name for policies"):
        aten._softmax.default(x)


@pytest.mark.parametrize("autocast", [False, True])
def test_a_layer_of_a_transformer_keeps_its_products(autocast):
    corten.manual_seed(0)
    layer = corten.nn.TransformerEncoderLayer(16, 4, 32, dropout=0.1, batch_first=True)
    x = corten.randn(2, 5, 16, requires_grad=True)

    def run(context_fn):
        corten.manual_seed(5)
        with corten.autocast("cpu", enabled=autocast):
            return gradients(lambda x, *_: layer(x).float().pow(2), [x, *layer.parameters()], context_fn)

    plain, all_kernels = run(None)
    products = [aten.mm.default, aten.addmm.default, aten._scaled_dot_product_flash_attention_for_cpu.default]
    for chosen in (products, lambda *args, **kwargs: CheckpointPolicy.PREFER_SAVE):
        found, kernels = run(kept(chosen))
        # The four products of the layer beside those in attention are not computed again.
        assert count(all_kernels, "aten::mm") == count(kernels, "aten::mm") + 4
        for value, expected in zip(found, plain, strict=True):
            assert corten.equal(value, expected)


def test_runs_that_differ_are_refused(operands):
    calls = []

    def function(x, w):
        calls.append(1)
        return (x @ (w if len(calls) == 1 else w[:, :2])).exp()

    with pytest.raises(RuntimeError, match=r"mm.default made \[\(4, 2\)\] in the second run and \[\(4, 4\)\]"):
        gradients(function, operands, kept([aten.mm.default]))
