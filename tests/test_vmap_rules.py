"""Forms of operators inside vmap that the table of operators has no samples of, beside loops over the examples."""

from __future__ import annotations

import corten
import numpy as np
import pytest
from corten import func, nn

F = nn.functional


def values(tensor):
    return tensor.detach().cpu().numpy()


def close(result, expected):
    np.testing.assert_allclose(values(result), values(expected), rtol=2e-5, atol=2e-6)


def numbers(*shape):
    array = np.random.default_rng(sum(shape)).standard_normal(shape).astype("float32")
    return corten.tensor(array)


def whole(*rows):
    return corten.tensor(rows)


def lengths():
    return whole([3, 2], [2, 3], [1, 0])


CASES = {
    "bincount": (lambda x: corten.bincount(x, minlength=6), whole([0, 2, 2], [5, 1, 1])),
    "bincount with weights": (lambda x, w: corten.bincount(x, w), whole([0, 2, 2], [2, 1, 1]), numbers(2, 3)),
    "class weights and smooth labels": (
        lambda x, t, w: F.cross_entropy(x, t, w, label_smoothing=0.2, ignore_index=1),
        numbers(2, 4, 3),
        whole([0, 1, 2, 2], [1, 1, 0, 2]),
        numbers(2, 3).abs(),
    ),
    "class weights and probabilities": (
        lambda x, t, w: F.cross_entropy(x, t, w, label_smoothing=0.1, reduction="none"),
        numbers(2, 4, 3),
        numbers(2, 4, 3).softmax(-1),
        numbers(2, 3).abs(),
    ),
    "covariance with weights": (
        lambda x, f, a: corten.cov(x, fweights=f, aweights=a),
        numbers(2, 3, 4),
        whole([1, 2, 1, 3], [2, 1, 4, 1]),
        numbers(2, 4).abs(),
    ),
    "ctc_loss with lengths": (
        lambda p, t, i, n: F.ctc_loss(p, t, i, n),
        numbers(3, 7, 2, 4).log_softmax(-1),
        whole([[1, 2, 3], [3, 1, 2]], [[2, 2, 1], [1, 2, 3]], [[3, 3, 3], [1, 1, 1]]),
        whole([7, 6], [5, 7], [7, 7]),
        lengths(),
    ),
    "ctc_loss of one sequence": (
        lambda p, t, n: F.ctc_loss(p, t, [7], n, reduction="none"),
        numbers(2, 7, 4).log_softmax(-1),
        whole([1, 2, 3], [2, 2, 1]),
        whole(3, 2),
    ),
    "fill with a number": (lambda x: corten.fill(x, 3.0), whole([1.0, np.inf], [np.nan, 2.0])),
    "gaussian_nll_loss": (F.gaussian_nll_loss, numbers(2, 3), numbers(2, 3), numbers(2, 3).abs()),
    "histc in a range": (lambda x: corten.histc(x, 4, -1, 1), numbers(3, 20)),
    "histc of one number": (lambda x: corten.histc(x, 4), numbers(3)),
    "histogram": (lambda x: corten.histogram(x, 4)[0], numbers(3, 20)),
    "histogram with edges": (
        lambda x, e, w: corten.histogram(x, e, weight=w, density=True)[0],
        numbers(2, 20),
        whole([-1.0, 0.0, 1.0], [-2.0, 1.0, 2.0]),
        numbers(2, 20).abs(),
    ),
    "linspace": (lambda a, b: corten.linspace(a, b, 5), numbers(3), numbers(3) + 2),
    "linspace of integers": (lambda a: corten.linspace(a, 7, 5, dtype=corten.int64), whole(-4, 1, 0)),
    "logspace": (lambda a, b: corten.logspace(a, b, 4, base=2.0), numbers(3), numbers(3) + 2),
    "lstsq": (
        lambda a, b: tuple(corten.linalg.lstsq(a, b, driver="gelsd"))[:2],
        numbers(2, 5, 3),
        numbers(2, 5, 2),
    ),
    "lu_unpack": (lambda a: tuple(corten.lu_unpack(*corten.linalg.lu_factor(a))), numbers(2, 4, 4)),
    "masked_select": (lambda x: x.masked_select(corten.tensor([True, False, True])), numbers(2, 3)),
    "narrow from each start": (lambda x, s: x.narrow(0, s, 2), numbers(3, 4, 2), whole(0, 2, -3)),
    "nonzero_static": (
        lambda x: corten.nonzero_static(x, size=4, fill_value=-7),
        whole([[0, 3], [1, 1]], [[0, 0], [2, 0]], [[0, 0], [0, 0]]),
    ),
    "one value where a mask holds": (
        lambda x, m, v: x.index_put((m,), v),
        numbers(2, 3, 2),
        whole([True, False, True], [False, False, True]),
        numbers(2),
    ),
    "offsets of bags": (
        lambda w, i, o: F.embedding_bag(i, w, o),
        numbers(2, 5, 3),
        whole([0, 1, 4, 2], [3, 3, 0, 1]),
        whole([0, 2], [0, 3]),
    ),
    "repeats": (
        lambda x, r: x.repeat_interleave(r, dim=0),
        numbers(2, 3, 2),
        whole([1, 0, 3], [2, 2, 0]),
    ),
    "sums of bytes": (lambda a, b, c: a.addbmm(b, c, beta=0.6, alpha=2), *[numbers(2, 2, 2, 2).long()] * 3),
    "windows of a number": (lambda x: x.unfold(0, 1, 1), numbers(3)),
}  # fmt: skip
ON_THE_CPU = {"lstsq", "histogram with edges"}


def leaves(result):
    return list(result) if isinstance(result, (tuple, list)) else [result]


@pytest.mark.parametrize("name", CASES)
def test_a_form_gives_what_a_loop_gives(name):
    function, *batches = CASES[name]
    for dim in (0, -1):
        placed = [b.movedim(0, dim).contiguous() for b in batches]
        found = leaves(corten.vmap(function, in_dims=dim)(*placed))
        columns = zip(*[leaves(function(*[b[i] for b in batches])) for i in range(len(batches[0]))], strict=True)
        for actual, parts in zip(found, columns, strict=True):
            expected = corten.stack(list(parts))
            assert actual.dtype == expected.dtype and actual.shape == expected.shape
            close(actual, expected)


@pytest.mark.parametrize("name", ["bincount", "histc of one number", "narrow from each start", "repeats", "linspace"])
def test_a_form_inside_two_levels(name):
    function, *batches = CASES[name]
    twice = [corten.stack([b, b.flip(0)]) for b in batches]
    once = corten.vmap(function)(*batches)
    both = corten.vmap(corten.vmap(function))(*twice)
    close(both, corten.stack([once, once.flip(0)]))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: corten.vmap(corten.bincount)(whole([0, 1], [1, 2])), RuntimeError, "bincount"),
        (lambda: corten.vmap(corten.bincount)(whole([0, 1], [-1, 1])), RuntimeError, "non-negative"),
        (lambda: corten.vmap(lambda x: corten.histc(x, 3))(whole([0.0, np.inf], [0.0, 1.0])), RuntimeError, "finite"),
        (lambda: corten.vmap(lambda r: numbers(2, 2).repeat_interleave(r, 0))(whole([1, 1], [2, 1])), RuntimeError,
         "add up to different numbers"),
        (lambda: corten.vmap(lambda s: numbers(4).narrow(0, s, 2))(whole(0, 3)), RuntimeError, "exceed dimension size"),
        (lambda: corten.vmap(lambda s: numbers(4).narrow(0, s, 2))(whole(0, 5)), IndexError, "start out of range"),
        (lambda: corten.vmap(lambda s: numbers(4).tensor_split(s))(whole([1], [2])), RuntimeError, "tensor_split"),
        (lambda: corten.vmap(F.gaussian_nll_loss)(numbers(2, 3), numbers(2, 3), -numbers(2, 3).abs()), ValueError,
         "negative"),
        (lambda: corten.vmap(lambda x: x.nonzero())(numbers(2, 3)), RuntimeError, "depends on the data"),
        (lambda: corten.vmap(lambda p, n: F.ctc_loss(p, corten.tensor([1, 2]), [7, 7], n))(
            numbers(2, 7, 2, 4), whole([1, 1], [1, 1])), RuntimeError, "have to be padded"),
    ],
)  # fmt: skip
def test_what_examples_cannot_share_is_refused(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_running_statistics_of_instances_are_those_of_a_loop():
    x, means, variances = numbers(2, 3, 4, 5), numbers(2, 4), numbers(2, 4).abs()
    expected = []
    for i in range(2):
        mean, variance = means[i].clone(), variances[i].clone()
        expected.append((F.instance_norm(x[i], mean, variance, momentum=0.3), mean, variance))

    def normalised(x, mean, variance):
        mean, variance = mean.clone(), variance.clone()
        return F.instance_norm(x, mean, variance, momentum=0.3), mean, variance

    for found, parts in zip(corten.vmap(normalised)(x, means, variances), zip(*expected, strict=True), strict=True):
        close(found, corten.stack(list(parts)))


def test_attention_drops_the_same_weights_or_different_ones():
    query = numbers(3, 2, 4, 8)

    def attend(q, p=0.5):
        return F.scaled_dot_product_attention(q, query[0], query[0], dropout_p=p, is_causal=True)

    alike = corten.vmap(attend, randomness="same")(query[:1].expand(3, -1, -1, -1).clone())
    close(alike[1], alike[0])
    apart = corten.vmap(attend, randomness="different")(query[:1].expand(3, -1, -1, -1).clone())
    assert (values(apart[0]) != values(apart[1])).any()
    # Next to nothing is dropped.
    found = corten.vmap(lambda q: attend(q, 1e-9), randomness="same")(query)
    close(found, corten.stack([attend(q, 0.0) for q in query]))


def test_alpha_dropout_may_choose_once_for_all_examples():
    x = numbers(3, 2000)
    result = corten.vmap(lambda v: F.alpha_dropout(v, 0.4, training=True), randomness="same")(x)
    found, counts = np.unique(values(result), return_counts=True)
    dropped = values(result) == found[counts.argmax()]
    assert (dropped == dropped[0]).all() and 0.3 < dropped.mean() < 0.5
    assert abs(values(result).mean() - values(x).mean()) < 0.1 and abs(values(result).std() - 1) < 0.1


def test_integers_have_remainders_on_either_side():
    x, y = whole([5, 3], [7, 2]), whole([11, -4], [9, 8])
    np.testing.assert_array_equal(values(corten.vmap(lambda a, b: a % b)(x, y)), values(x) % values(y))
    np.testing.assert_array_equal(values(corten.vmap(lambda b: x[0] % b)(y)), values(x[0]) % values(y))
    np.testing.assert_array_equal(values(corten.vmap(lambda a: a % 2 + 9 % a)(x)), values(x) % 2 + 9 % values(x))
    quotients = corten.vmap(lambda a, b: (a // b, 9 // a, b / a, a % b.float()))(x, y)
    np.testing.assert_array_equal(values(quotients[0]), values(x) // values(y))
    np.testing.assert_array_equal(values(quotients[1]), 9 // values(x))
    close(quotients[2], y / x)
    close(quotients[3], x % y.float())


def test_numbers_become_complex_ones():
    x = numbers(2, 3)
    assert corten.vmap(lambda v: v.cfloat())(x).dtype == corten.complex64
    assert corten.vmap(lambda v: v.cdouble())(x.cpu()).dtype == corten.complex128
    pairs = numbers(3, 2, 2)
    close(corten.vmap(corten.view_as_complex, in_dims=-1)(pairs).real, pairs[:, 0].T)


# -- functions with a rule that is made for them ----------------------------------------------------------------------


class Exp(corten.autograd.Function):
    """Keeps its result, through which gradients of gradients go."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x, scale):
        return (x * scale).exp(), x > 0

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.scale = inputs[1]
        ctx.save_for_backward(output[0])
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)

    @staticmethod
    def vjp(ctx, grad, nothing):
        assert nothing is None
        return grad * ctx.saved_tensors[0] * ctx.scale, None


def test_a_kept_result_leads_to_gradients_of_gradients():
    x = numbers(4, 3)

    def f(v):
        return Exp.apply(v, 2.0)[0]

    close(corten.vmap(f)(x), (2 * x).exp())
    first = corten.vmap(func.grad(lambda v: f(v).sum()))
    close(first(x), 2 * (2 * x).exp())
    second = corten.vmap(func.hessian(lambda v: f(v).sum()))(x)
    close(second.diagonal(dim1=1, dim2=2), 4 * (2 * x).exp())
    third = corten.vmap(corten.vmap(func.grad(func.grad(func.grad(f)))))(x)
    close(third, 8 * (2 * x).exp())
    assert corten.vmap(lambda v: Exp.apply(v, 2.0)[1])(x).dtype == corten.bool
