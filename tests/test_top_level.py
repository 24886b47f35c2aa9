"""Functions of the package itself that are made of others: predicates, in-place forms, settings, types, lookups."""

from __future__ import annotations

import math
import warnings

import corten
import numpy as np
import pytest
from corten import nn


def values(tensor):
    return tensor.detach().cpu().numpy()


def test_predicates_tell_dtypes_apart_and_refuse_what_is_no_tensor():
    x = corten.ones(2, 3)
    assert corten.is_tensor(x) and not corten.is_tensor([1])
    assert corten.is_tensor(nn.Parameter(x)) and corten.is_storage(x.untyped_storage()) and not corten.is_storage(x)
    assert corten.is_floating_point(x) and not corten.is_floating_point(x.long())
    assert corten.is_signed(x.char()) and not corten.is_signed(x.byte()) and not corten.is_complex(x)
    assert corten.numel(x) == 6 and not x.is_conj() and not x.is_neg() and not corten.is_distributed(x)
    with pytest.raises(TypeError, match=r"numel\(\): argument 'input' \(position 1\) must be Tensor, not int"):
        corten.numel(3)


@pytest.mark.parametrize(
    "source, target, allowed",
    [("float32", "int64", False), ("int64", "float16", True), ("int8", "bool", False), ("bool", "uint8", True)],
)
def test_conversions_go_up_the_kinds_of_dtypes(source, target, allowed):
    assert corten.can_cast(getattr(corten, source), getattr(corten, target)) is allowed


def test_real_tensors_are_their_own_real_parts_and_conjugates():
    x = corten.tensor([-2.0, 0.0, math.nan, 3.0])
    assert corten.real(x) is x and x.conj() is x and x.resolve_conj() is x and corten.conj_physical(x) is not None
    np.testing.assert_allclose(values(x.angle()), [math.pi, 0, math.nan, 0], rtol=1e-6)
    assert corten.tensor([1, -1]).angle().dtype == corten.float32
    with pytest.raises(RuntimeError, match="imag is not implemented for tensors with non-complex dtypes"):
        corten.imag(x)


@pytest.mark.parametrize("name", ["abs_", "relu_", "sigmoid_", "neg_", "sqrt_", "exp_", "square_", "log1p_"])
def test_in_place_functions_write_into_their_argument(name):
    x = corten.tensor([0.25, 2.0])
    expected = getattr(corten, name[:-1])(x)
    assert getattr(corten, name)(x) is x
    assert corten.equal(x, expected)
    with pytest.raises(TypeError, match=rf"{name}\(\): argument 'input'"):
        getattr(corten, name)(2.0)


def test_in_place_functions_take_what_their_methods_take():
    x = corten.tensor([-2.0, 0.5, 9.0])
    corten.clamp_(x, min=-1, max=1)
    assert x.tolist() == [-1.0, 0.5, 1.0]
    corten.threshold_(x, 0.6, 7.0)
    assert x.tolist() == [7.0, 7.0, 1.0]
    corten.index_put_(x, (corten.tensor([0]),), corten.tensor(5.0), accumulate=True)
    assert x.tolist() == [12.0, 7.0, 1.0]


# -- indices and histograms -------------------------------------------------------------------------------------------


def test_flat_indices_become_coordinates():
    flat = corten.tensor([[0, 5], [11, 23]])
    expected = np.unravel_index(values(flat), (2, 3, 4))
    for got, wanted in zip(corten.unravel_index(flat, (2, 3, 4)), expected, strict=True):
        assert got.tolist() == wanted.tolist()
    with pytest.raises(TypeError, match="expected 'indices' to be integer"):
        corten.unravel_index(corten.ones(1), (2,))
    with pytest.raises(ValueError, match="cannot have negative values"):
        corten.unravel_index(flat, (-2, 3))


def test_places_of_non_zeros_come_in_a_fixed_number():
    x = corten.tensor([[0, 2], [3, 0]])
    assert corten.nonzero_static(x, size=1).tolist() == [[0, 1]]
    assert x.nonzero_static(size=3, fill_value=-7).tolist() == [[0, 1], [1, 0], [-7, -7]]
    with pytest.raises(RuntimeError, match="non-negative"):
        corten.nonzero_static(x, size=-1)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_mantissa_and_exponent_make_the_number_again(dtype):
    numbers = [0.0, -0.0, 1.0, -3.0, 0.1, 1e-3, 255.0, math.inf, -math.inf]
    x = corten.tensor(numbers, dtype=getattr(corten, dtype))
    mantissa, exponent = corten.frexp(x)
    assert mantissa.dtype == x.dtype and exponent.dtype == corten.int32
    wanted = np.frexp(values(x if dtype == "float64" else x.float()))
    assert mantissa.tolist() == wanted[0].tolist()
    assert exponent.tolist() == wanted[1].tolist()


@pytest.mark.cpu
def test_mantissas_of_the_smallest_and_greatest_numbers_are_exact():
    tiny = corten.tensor([1e-45, 1.1754942e-38, 3.4e38], dtype=corten.float32)
    mantissa, exponent = corten.frexp(tiny)
    wanted = np.frexp(values(tiny))
    assert mantissa.tolist() == wanted[0].tolist() and exponent.tolist() == wanted[1].tolist()


def test_the_gradient_of_a_mantissa_is_divided_by_its_power_of_two():
    x = corten.tensor([1.0, 5.0, math.inf], requires_grad=True)
    corten.frexp(x).mantissa.sum().backward()
    assert x.grad.tolist() == [0.5, 0.125, 1.0]
    with pytest.raises(RuntimeError, match="only supports floating-point dtypes"):
        corten.frexp(corten.tensor([1]))


def test_histograms_are_numpys():
    rng = np.random.default_rng(3)
    x, w = rng.standard_normal(200).astype("float32"), rng.random(200).astype("float32")
    for options in ({}, {"range": (-1.0, 1.5)}, {"density": True}):
        wanted, edges = np.histogram(x, 7, weights=w, **options)
        got = corten.histogram(corten.tensor(x), 7, weight=corten.tensor(w), **options)
        np.testing.assert_allclose(values(got.hist), wanted, rtol=2e-5)
        np.testing.assert_allclose(values(got.bin_edges), edges, rtol=1e-5, atol=1e-6)
    edges = corten.tensor([-1.0, 0.0, 0.25, 2.0])
    assert corten.histogram(corten.tensor(x), edges)[0].tolist() == np.histogram(x, edges.tolist())[0].tolist()


def test_the_last_bin_holds_its_right_edge_and_nothing_beyond():
    x = corten.tensor([-0.1, 0.0, 1.0, 2.0, 2.1, math.nan])
    assert corten.histogram(x, 2, range=(0.0, 2.0)).hist.tolist() == [1.0, 2.0]


def test_histograms_of_points_are_numpys():
    points = np.random.default_rng(4).random((50, 2)).astype("float32")
    wanted, edges = np.histogramdd(points, [3, 4], [(0, 1), (0, 1)], density=True)
    got = corten.histogramdd(corten.tensor(points), [3, 4], range=[0.0, 1.0, 0.0, 1.0], density=True)
    np.testing.assert_allclose(values(got.hist), wanted, rtol=1e-5)
    for mine, theirs in zip(got.bin_edges, edges, strict=True):
        np.testing.assert_allclose(values(mine), theirs, rtol=1e-6)


@pytest.mark.parametrize(
    "call, error, text",
    [
        (lambda: corten.histogram(corten.tensor([1, 2]), 3), NotImplementedError, "not implemented for 'Long'"),
        (lambda: corten.histogram(corten.ones(2), 0), RuntimeError, "bins must be > 0"),
        (lambda: corten.histogram(corten.tensor([math.nan]), 2), RuntimeError, "is not finite"),
        (lambda: corten.histogram(corten.ones(2), 2, range=(3.0, 1.0)), RuntimeError, "min should not exceed max"),
        (lambda: corten.histogram(corten.ones(2), 2, weight=corten.ones(3)), RuntimeError, "weight tensor"),
        (lambda: corten.histogramdd(corten.ones(2, 2), [3]), RuntimeError, "size of bins must be equal"),
        (lambda: corten.histogramdd(corten.ones(2), [3]), RuntimeError, "at least 2 dimensions"),
    ],
)
def test_histograms_say_what_does_not_fit(call, error, text):
    with pytest.raises(error, match=text):
        call()


# -- matrices ---------------------------------------------------------------------------------------------------------


@pytest.mark.cpu
@pytest.mark.parametrize("scale", [1e-3, 1.0, 20.0])
def test_the_exponential_of_a_matrix_turns_its_eigenvalues(scale):
    a = np.random.default_rng(0).standard_normal((3, 4, 4)) * scale
    a = a + a.transpose(0, 2, 1)
    roots, vectors = np.linalg.eigh(a)
    wanted = np.einsum("bij,bj,bkj->bik", vectors, np.exp(roots), vectors)
    got = values(corten.matrix_exp(corten.tensor(a)))
    np.testing.assert_allclose(got, wanted, atol=1e-12 * abs(wanted).max())
    with pytest.raises(RuntimeError, match="square matrices"):
        corten.matrix_exp(corten.ones(2, 3))


@pytest.mark.cpu
def test_the_exponential_of_a_matrix_has_its_gradient():
    x = corten.randn(2, 3, 3, dtype=corten.float64, requires_grad=True)
    assert corten.autograd.gradcheck(corten.matrix_exp, (x,))


@pytest.mark.cpu
def test_reflections_multiply_into_orthonormal_columns():
    v, tau = np.random.default_rng(1).standard_normal((5, 3)), np.array([0.7, 0.0, 1.3])
    wanted = np.eye(5)
    for i, factor in enumerate(tau):
        column = np.r_[np.zeros(i), 1, v[i + 1 :, i]]
        wanted = wanted @ (np.eye(5) - factor * np.outer(column, column))
    np.testing.assert_allclose(
        values(corten.linalg.householder_product(corten.tensor(v), corten.tensor(tau))), wanted[:, :3]
    )


@pytest.mark.cpu
def test_the_greatest_singular_values_are_found_without_the_others():
    rng = np.random.default_rng(2)
    a = rng.standard_normal((2, 9, 3)) @ rng.standard_normal((2, 3, 20))
    for matrix in (a, a.transpose(0, 2, 1)):
        u, s, v = corten.svd_lowrank(corten.tensor(matrix.copy()), q=4)
        np.testing.assert_allclose(values(u * s.unsqueeze(-2) @ v.mT), matrix, atol=1e-12)
    s = corten.pca_lowrank(corten.tensor(a))[1]
    np.testing.assert_allclose(values(s)[:, :2], np.linalg.svd(a - a.mean(1, keepdims=True))[1][:, :2])
    with pytest.raises(ValueError, match=r"q\(=30\)"):
        corten.svd_lowrank(corten.tensor(a), q=30)


def test_svd_gives_v_itself_and_zeros_where_no_vectors_are_wanted():
    x = corten.randn(4, 3)
    u, s, v = corten.svd(x)
    np.testing.assert_allclose(values(u * s @ v.mT), values(x), atol=1e-5)
    assert corten.svd(x, some=False).U.shape == (4, 4)
    empty = x.svd(compute_uv=False)
    assert not empty.U.any() and empty.U.shape == (4, 4) and empty.V.shape == (3, 3)
    np.testing.assert_allclose(values(corten.nuclear_norm(x)), values(s.sum()), rtol=1e-5)
    np.testing.assert_allclose(values(corten.frobenius_norm(x, (0, 1))), np.linalg.norm(values(x)), rtol=1e-5)


# -- settings and types ----------------------------------------------------------------------------------------------


@pytest.fixture
def settings():
    yield
    corten.use_deterministic_algorithms(False)
    corten.set_float32_matmul_precision("highest")
    corten.set_warn_always(False)
    corten.set_num_interop_threads(1)


def test_settings_are_kept(settings):
    corten.use_deterministic_algorithms(True, warn_only=True)
    assert corten.are_deterministic_algorithms_enabled() and corten.get_deterministic_debug_mode() == 1
    assert corten.is_deterministic_algorithms_warn_only_enabled()
    corten.set_deterministic_debug_mode("error")
    assert corten.get_deterministic_debug_mode() == 2 and not corten.is_deterministic_algorithms_warn_only_enabled()
    corten.set_float32_matmul_precision("medium")
    with pytest.warns(UserWarning, match="no effect"):
        corten.set_float32_matmul_precision("low")
    assert corten.get_float32_matmul_precision() == "medium"
    corten.set_warn_always(True)
    assert corten.is_warn_always_enabled() and corten.set_flush_denormal(True) is False
    assert corten.set_flush_denormal(False) is True
    assert corten.get_num_interop_threads() == 1
    corten.set_num_interop_threads(3)
    assert corten.get_num_interop_threads() == 3
    with pytest.raises(RuntimeError, match="positive"):
        corten.set_num_interop_threads(0)
    with pytest.raises(TypeError, match="must be bool"):
        corten.use_deterministic_algorithms(1)
    with pytest.raises(RuntimeError, match="expected 0, 1, or 2"):
        corten.set_deterministic_debug_mode(7)


@pytest.mark.cpu
def test_typed_tensors_are_constructors_and_classes_of_instances():
    assert corten.LongTensor([1, 2]).dtype == corten.int64 and corten.FloatTensor(2, 3).shape == (2, 3)
    assert corten.ByteTensor(corten.Size([4])).shape == (4,) and corten.IntTensor([1.7]).tolist() == [1]
    assert corten.BoolTensor().shape == (0,) and corten.ByteTensor(range(3)).tolist() == [0, 1, 2]
    assert isinstance(corten.ones(1), corten.FloatTensor) and not isinstance(corten.ones(1), corten.LongTensor)
    assert not isinstance([1.0], corten.FloatTensor) and not isinstance(corten.ones(1), corten.cuda.FloatTensor)
    assert corten.ones(1).type(corten.HalfTensor).dtype == corten.float16
    assert corten.ones(1).type("torch.LongTensor").type() == "corten.LongTensor"
    assert corten.typename(corten.ones(1)) == "corten.FloatTensor"
    with pytest.raises(TypeError, match="expected a tensor of dtype"):
        corten.LongTensor(corten.ones(2))
    with pytest.raises(TypeError, match="must be a sequence"):
        corten.FloatTensor(2.5)
    with pytest.raises(ValueError, match=r"invalid type: 'torch\.Foo'"):
        corten.ones(1).type("torch.Foo")


@pytest.mark.cpu
@pytest.mark.filterwarnings("ignore:.*set_default_tensor_type.*is deprecated:UserWarning")
def test_the_default_type_sets_the_default_dtype():
    corten.set_default_tensor_type(corten.DoubleTensor)
    assert corten.ones(1).dtype == corten.float64
    corten.set_default_tensor_type("torch.FloatTensor")
    assert corten.ones(1).dtype == corten.float32
    with pytest.raises(TypeError, match="only floating-point types"):
        corten.set_default_tensor_type(corten.LongTensor)


# -- control flow and files ------------------------------------------------------------------------------------------


def test_a_condition_runs_one_branch():
    x = corten.tensor(3.0, requires_grad=True)
    y = corten.cond(x > 2, lambda a: a * 2, lambda a: a / 0, (x,))
    y.backward()
    assert y.item() == 6.0 and x.grad.item() == 2.0
    assert corten.cond(False, lambda: 1, lambda: 2) == 2
    with pytest.raises(RuntimeError, match="single-element bool tensor"):
        corten.cond(corten.ones(2), lambda: 1, lambda: 2)


def test_a_fork_is_waited_for_and_raises_there():
    assert corten.wait(corten.fork(lambda a, b: a + b, 1, b=2)) == 3

    def fails():
        raise KeyError("inside")

    future = corten.fork(fails)
    with pytest.raises(KeyError, match="inside"):
        future.wait()
    later = corten.Future()
    doubled = later.then(lambda done: done.value() * 2)
    later.set_result(4)
    assert doubled.wait() == 8
    with pytest.raises(RuntimeError, match="only be marked completed once"):
        later.set_result(5)


@pytest.mark.cpu
def test_a_tensor_lives_in_a_file(tmp_path):
    path = tmp_path / "numbers"
    corten.from_file(path, shared=True, size=3, dtype=corten.bfloat16).fill_(2)
    private = corten.from_file(path, size=2, dtype=corten.bfloat16)
    private[0] = 5
    assert private.tolist() == [5, 2]
    assert corten.from_file(path, size=3, dtype=corten.bfloat16).tolist() == [2, 2, 2]
    assert corten.from_file(path, size=3, dtype=corten.float16, requires_grad=True).requires_grad
    with pytest.raises(RuntimeError, match="has 6 bytes"):
        corten.from_file(path, size=4, dtype=corten.bfloat16)
    with pytest.raises(RuntimeError, match="unable to open file"):
        corten.from_file(tmp_path / "none", size=4)


# -- methods ----------------------------------------------------------------------------------------------------------


def test_a_tensor_becomes_one_of_a_subclass_with_its_history():
    class Marked(corten.Tensor):
        pass

    x = corten.ones(2, requires_grad=True)
    y = (x * 3).as_subclass(Marked)
    assert type(y) is Marked
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    with pytest.raises(RuntimeError, match="inherits from Tensor"):
        x.as_subclass(int)


def test_windows_on_memory_are_compared():
    x = corten.ones(4)
    assert x.is_set_to(x.view(4)) and not x.is_set_to(x[1:]) and not x.is_set_to(x.clone())


def test_old_methods_do_what_they_did_or_name_what_does():
    x = corten.ones(2, 3)
    with pytest.warns(UserWarning, match="non-inplace resize is deprecated"):
        assert x.resize(3, 2).shape == (3, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(RuntimeError, match="requested resize to 5"):
            x.resize(5)
        assert x.volatile is False
    assert x.name is None and x.to_dense() is x and x.grad_dtype == x.dtype and not x.is_mps
    assert corten.ones(2).map2_(corten.ones(2), corten.zeros(2), lambda a, b, c: a + b + c).tolist() == [2, 2]
    np.testing.assert_allclose(values(x.polygamma(1)), math.pi**2 / 6, rtol=1e-5)
    copy = x.narrow_copy(0, 0, 1)
    copy.zero_()
    assert x.all() and copy.shape == (1, 3)
    with pytest.raises(RuntimeError, match=r"linalg\.eigh"):
        x.symeig()
    with pytest.raises(NotImplementedError, match="tensors are dense"):
        x.to_sparse_csr()


# -- layers under torch's own names ------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_recurrent_functions_are_their_modules(kind, packed):
    module = getattr(nn, kind)(3, 4, 2, bidirectional=True)
    x, h = corten.randn(5, 2, 3), corten.randn(4, 2, 4)
    state = (h, h * 2) if kind == "LSTM" else h
    name = {"LSTM": "lstm", "GRU": "gru", "RNN": "rnn_tanh"}[kind]
    options = (module._flat_weights, True, 2, 0.0, False, True)
    if packed:
        rows = nn.utils.rnn.pack_padded_sequence(x, [5, 3])
        wanted, last = module(rows, state)
        wanted = wanted.data
        got = getattr(corten, name)(rows.data, rows.batch_sizes, state, *options)
    else:
        wanted, last = module(x, state)
        got = getattr(corten, name)(x, state, *options, False)
    last = last if kind == "LSTM" else (last,)
    for mine, theirs in zip(got, (wanted, *last), strict=True):
        np.testing.assert_allclose(values(mine), values(theirs), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "kind, name", [("LSTMCell", "lstm_cell"), ("GRUCell", "gru_cell"), ("RNNCell", "rnn_tanh_cell")]
)
def test_steps_of_recurrent_layers_are_their_modules(kind, name):
    cell = getattr(nn, kind)(3, 4)
    x, h = corten.randn(2, 3), corten.randn(2, 4)
    state = (h, h + 1) if kind == "LSTMCell" else h
    wanted, got = cell(x, state), getattr(corten, name)(x, state, *cell.parameters())
    for mine, theirs in zip(*((t if isinstance(t, tuple) else (t,)) for t in (got, wanted)), strict=True):
        np.testing.assert_allclose(values(mine), values(theirs), rtol=1e-5)
    with pytest.raises(RuntimeError, match="inconsistent input_size"):
        getattr(corten, name)(corten.ones(2, 5), state, *cell.parameters())


def test_reductions_are_numbers_there():
    a, b, y = corten.randn(4), corten.randn(4), corten.tensor([1.0, -1.0, 1.0, -1.0])
    wanted = nn.functional.margin_ranking_loss(a, b, y, 0.1, reduction="sum")
    assert corten.margin_ranking_loss(a, b, y, 0.1, 2).item() == wanted.item()
    with pytest.raises(ValueError, match="reduction must be a number from 0 to 2"):
        corten.margin_ranking_loss(a, b, y, 0.1, 3)


def test_bags_tell_where_their_rows_and_maxima_come_from():
    weight = corten.tensor([[1.0, 5.0], [3.0, 2.0], [4.0, 4.0]])
    indices, offsets = corten.tensor([0, 1, 2, 1]), corten.tensor([0, 2, 2])
    bags, place, sizes, chosen = corten.embedding_bag(weight, indices, offsets, mode=2)
    assert bags.tolist() == [[3, 5], [0, 0], [4, 4]] and place.tolist() == [0, 0, 2, 2]
    assert sizes.tolist() == [2, 0, 2] and chosen.tolist() == [[1, 0], [0, 0], [2, 2]]


def test_a_name_that_cannot_be_had_says_what_is_nearest():
    for name, text in [("bits16", "uint8 to uint64"), ("Graph", "fused while it runs"), ("qint8", "use int8")]:
        assert not hasattr(corten, name)
        with pytest.raises(NotImplementedError, match=text):
            getattr(corten, name)
    with pytest.raises(AttributeError):
        _ = corten.no_such_name
