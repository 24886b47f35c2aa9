"""Complex tensors against numpy: arithmetic, functions and their branch cuts, views of parts, gradients, files."""

from __future__ import annotations

import io
import math

import corten
import numpy as np
import pytest

DTYPES = ["complex64", "complex128"]
TOLERANCE = {"complex64": {"rtol": 3e-5, "atol": 1e-5}, "complex128": {"rtol": 1e-12, "atol": 1e-12}}


def numbers(shape: tuple[int, ...], dtype: str, scale: float = 1.0) -> np.ndarray:
    parts = np.random.default_rng(len(shape)).standard_normal((2, *shape)) * scale
    return (parts[0] + 1j * parts[1]).astype(dtype)


def array(t: corten.Tensor) -> np.ndarray:
    return t.detach().cpu().numpy()


def same(t: corten.Tensor, expected: np.ndarray, dtype: str = "complex64") -> None:
    got = array(t)
    assert got.dtype == expected.dtype and got.shape == expected.shape, (got.dtype, expected.dtype, got.shape)
    np.testing.assert_allclose(got, expected, **TOLERANCE[dtype])


FUNCTIONS = {
    "neg": np.negative, "exp": np.exp, "expm1": np.expm1, "exp2": np.exp2, "log": np.log, "log2": np.log2,
    "log10": np.log10, "log1p": np.log1p, "sqrt": np.sqrt, "rsqrt": lambda z: 1 / np.sqrt(z), "sin": np.sin,
    "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "sinh": np.sinh,
    "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
    "reciprocal": lambda z: 1 / z, "square": np.square, "sigmoid": lambda z: 1 / (1 + np.exp(-z)), "abs": np.abs,
    "angle": np.angle, "conj": np.conj, "sgn": lambda z: z / np.abs(z), "isnan": np.isnan, "isinf": np.isinf,
    "isfinite": np.isfinite, "isreal": np.isreal, "logical_not": np.logical_not,
}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str, dtype: str) -> None:
    z = np.concatenate([numbers((40,), dtype), numbers((40,), dtype, 5.0)])
    same(getattr(corten, name)(corten.tensor(z)), FUNCTIONS[name](z), dtype)


@pytest.mark.parametrize("name", ["sqrt", "log", "asin", "acos", "atan", "asinh", "acosh", "atanh"])
def test_branch_cuts_lie_where_numpy_has_them(name: str) -> None:
    # The third coordinate is 0 or −0, of which one side of a cut each.
    points = [complex(x, y) for x in (-3.0, -0.5, 0.5, 3.0) for y in (0.0, -0.0)]
    points += [complex(x, y) for y in (-3.0, -0.5, 0.5, 3.0) for x in (0.0, -0.0)]
    z = np.array(points, dtype="complex64")
    same(getattr(corten, name)(corten.tensor(z)), FUNCTIONS[name](z))


@pytest.mark.parametrize("name", ["exp", "sqrt", "tanh", "sigmoid", "log", "reciprocal", "abs"])
def test_large_numbers_do_not_overflow_on_the_way(name: str) -> None:
    z = np.array([60 + 1j, -60 + 1j, 2e20 + 1e20j, -1e-20 + 3e-20j], dtype="complex64")
    z = z[:2] if name in ("exp", "tanh", "sigmoid") else z
    expected = FUNCTIONS[name](z.astype("complex128")).astype("float32" if name == "abs" else "complex64")
    np.testing.assert_allclose(array(getattr(corten, name)(corten.tensor(z))), expected, rtol=3e-5, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_arithmetic_and_promotion(dtype: str) -> None:
    z, w = numbers((3, 4), dtype), numbers((4,), dtype) + 2
    x, y = corten.tensor(z), corten.tensor(w)
    same(x + y, z + w, dtype)
    same(x - y, z - w, dtype)
    same(x * y, z * w, dtype)
    same(x / y, z / w, dtype)
    same(x**y, z**w, dtype)
    same(x**3, z**3, dtype)
    same(2j - x, (2j - z).astype(dtype), dtype)
    same(x * 2, z * 2, dtype)
    same(x.mul(y.real), z * w.real, dtype)
    same(corten.add(x, y, alpha=1 + 2j), z + (1 + 2j) * w, dtype)
    same(corten.addcmul(x, x, y, value=0.5), z + 0.5 * z * w, dtype)
    same(corten.where(x.real > 0, x, y), np.where(z.real > 0, z, w), dtype)
    assert np.array_equal(array(x == x.clone()), z == z)


def test_numbers_take_the_precision_of_the_tensors_they_meet() -> None:
    assert (corten.ones(2) * 1j).dtype == corten.complex64
    assert (corten.arange(2) + 1j).dtype == corten.complex64
    assert corten.promote_types(corten.complex64, corten.float64) == corten.complex128
    assert corten.promote_types(corten.int64, corten.complex64) == corten.complex64
    assert corten.tensor([1, 2j]).dtype == corten.complex64
    assert corten.tensor(1 + 2j).item() == 1 + 2j
    assert corten.complex64.is_complex and not corten.complex64.is_floating_point
    assert corten.complex64.to_real() == corten.float32 and corten.float32.to_complex() == corten.complex64
    assert corten.finfo(corten.complex64).max == corten.finfo(corten.float32).max


def test_half_precision() -> None:
    z = corten.tensor([1 + 2j, 3 - 4j], dtype=corten.complex32)
    assert z.dtype == corten.chalf and z.real.dtype == corten.float16 and z.element_size() == 4
    assert (z * z).tolist() == [-3 + 4j, -7 - 24j] and z.abs().tolist()[1] == 5 and (z + 1).dtype == corten.complex32
    assert (z * corten.ones(2)).dtype == corten.complex64 and (z + corten.ones(2).bfloat16()).dtype == corten.complex64
    assert (corten.ones(2).half() * 1j).dtype == corten.complex32
    assert corten.complex(z.real, z.imag).dtype == corten.complex32 and corten.ones(1).chalf().tolist() == [1]
    buffer = io.BytesIO()
    corten.save([z.cpu()], buffer)
    buffer.seek(0)
    assert corten.load(buffer)[0].dtype == corten.complex32


def test_parts_are_views() -> None:
    z = corten.zeros(2, 3, dtype=corten.complex64)
    z.real = 1.0
    z.imag.copy_(corten.arange(6.0).reshape(2, 3))
    z.real[1] += 2
    pairs = corten.view_as_real(z)
    pairs[0, 0, 1] = 9
    assert z.tolist() == [[1 + 9j, 1 + 1j, 1 + 2j], [3 + 3j, 3 + 4j, 3 + 5j]]
    assert corten.view_as_complex(pairs).data_ptr() == z.data_ptr()
    assert corten.real(z.real) is not None and z.T.imag.tolist() == [[9, 3], [1, 4], [2, 5]]
    with pytest.raises(RuntimeError, match="imag is not implemented for tensors with non-complex dtypes"):
        corten.imag(z.real)
    with pytest.raises(RuntimeError, match="last dimension of size 2"):
        corten.view_as_complex(corten.zeros(3))


def test_writes_in_place() -> None:
    z = numbers((4, 5), "complex64")
    x = corten.tensor(z)
    x[1:3] = 2j
    z[1:3] = 2j
    x.T.mul_(1 + 1j)
    z *= 1 + 1j
    x[corten.tensor([0, 3]), corten.tensor([1, 2])] = corten.tensor([1j, 2.0])
    z[[0, 3], [1, 2]] = [1j, 2.0]
    x[x.real > 1] = 0
    z[z.real > 1] = 0
    same(x, z)
    with pytest.raises(RuntimeError, match="can't be cast"):
        corten.ones(2).mul_(1j)


@pytest.mark.parametrize("dtype", DTYPES)
def test_moves(dtype: str) -> None:
    z = numbers((4, 5), dtype)
    x = corten.tensor(z)
    index = np.array([[0, 2], [1, 1], [3, 0], [2, 2]])
    at = corten.tensor(index)
    same(x.T.contiguous(), np.ascontiguousarray(z.T), dtype)
    same(corten.cat([x, x[:1]]), np.concatenate([z, z[:1]]), dtype)
    same(x.flip(0, 1), z[::-1, ::-1], dtype)
    same(x.roll((1, 2), (0, 1)), np.roll(z, (1, 2), (0, 1)), dtype)
    same(x.gather(1, at), np.take_along_axis(z, index, 1), dtype)
    same(x.index_select(0, corten.tensor([2, 0])), z[[2, 0]], dtype)
    same(x[[0, 3], [1, 2]], z[[0, 3], [1, 2]], dtype)
    same(x[x.real > 0], z[z.real > 0], dtype)
    same(x.take(corten.tensor([3, -1])), z.take([3, -1]), dtype)
    same(x.triu(1), np.triu(z, 1), dtype)
    same(x.tril(), np.tril(z), dtype)
    same(corten.nn.functional.pad(x, (1, 2), value=1j), np.pad(z, ((0, 0), (1, 2)), constant_values=1j), dtype)
    same(x.masked_fill(x.imag > 0, 3j), np.where(z.imag > 0, np.asarray(3j, dtype), z), dtype)
    expected = np.zeros_like(z)
    np.add.at(expected, (np.array([0, 0, 2, 1]),), z)
    same(corten.zeros_like(x).index_add_(0, corten.tensor([0, 0, 2, 1]), x), expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_reductions_and_scans(dtype: str) -> None:
    z = numbers((4, 5), dtype)
    x = corten.tensor(z)
    same(x.sum(), z.sum(), dtype)
    same(x.sum(0, keepdim=True), z.sum(0, keepdims=True), dtype)
    same(x.mean(1), z.mean(1), dtype)
    same(x.prod(1), z.prod(1), dtype)
    same(x.prod(), z.prod(), dtype)
    same(x.cumsum(1), z.cumsum(1), dtype)
    same(x.cumprod(0), z.cumprod(0), dtype)
    same(x.var(0), z.var(0, ddof=1), dtype)
    same(x.std(), np.asarray(z.std(ddof=1)), dtype)
    same(x.logsumexp(1), np.log(np.exp(z).sum(1)), dtype)
    same(x.logcumsumexp(1).exp(), np.exp(z).cumsum(1), dtype)
    assert bool((x != 0).all()) and x.any().item() and x.count_nonzero().item() == 20
    assert corten.zeros(3, dtype=x.dtype).any().item() is False


@pytest.mark.parametrize("dtype", DTYPES)
def test_products(dtype: str) -> None:
    a, b = numbers((2, 3, 4), dtype), numbers((4, 5), dtype)
    x, y = corten.tensor(a), corten.tensor(b)
    same(x @ y, a @ b, dtype)
    same(corten.einsum("bij,jk->bik", x, y), a @ b, dtype)
    same(corten.vdot(x[0, 0], x[0, 1]), np.vdot(a[0, 0], a[0, 1]), dtype)
    same(y.mH @ y, b.conj().T @ b, dtype)
    same(y.H, b.conj().T, dtype)
    same(corten.addmm(y[:3], x[0], y, beta=1j, alpha=2 - 1j), 1j * b[:3] + (2 - 1j) * (a[0] @ b), dtype)
    signal, kernel = numbers((1, 1, 9), dtype), numbers((1, 1, 3), dtype)
    out = corten.nn.functional.conv1d(corten.tensor(signal), corten.tensor(kernel), corten.tensor([1j], dtype=x.dtype))
    same(out[0, 0], np.convolve(signal[0, 0], kernel[0, 0][::-1], "valid") + 1j, dtype)


def test_made_from_parts() -> None:
    re, im = corten.tensor([1.0, 2.0]), corten.tensor([[3.0], [4.0]])
    assert corten.complex(re, im).tolist() == [[1 + 3j, 2 + 3j], [1 + 4j, 2 + 4j]]
    np.testing.assert_allclose(array(corten.polar(re, re)), [np.exp(1j), 2 * np.exp(2j)], rtol=1e-6)
    assert corten.full((2,), 1 + 2j).tolist() == [1 + 2j, 1 + 2j]
    assert corten.eye(2, dtype=corten.complex64).tolist() == [[1, 0], [0, 1]]
    assert corten.linspace(0, 2j, 3).tolist() == [0, 1j, 2j]
    assert corten.ones(2, dtype=corten.complex64).imag.tolist() == [0, 0]
    with pytest.raises(RuntimeError, match="Expected object of scalar type Float but got scalar type Double"):
        corten.complex(corten.ones(1, device="cpu"), corten.ones(1, dtype=corten.float64, device="cpu"))


def test_random_parts_share_the_variance() -> None:
    z = corten.randn(20000, dtype=corten.complex64)
    assert abs(z.real.var().item() - 0.5) < 0.02 and abs(z.imag.var().item() - 0.5) < 0.02
    u = corten.rand(1000, dtype=corten.complex64)
    assert 0 <= u.real.min().item() and u.imag.max().item() < 1


# Gradients: ∂/∂x + i·∂/∂y of a real number, against differences.

GRADIENTS = [
    "exp", "expm1", "exp2", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "sin", "cos", "tan", "asin", "acos",
    "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "reciprocal", "square", "sigmoid", "abs", "angle",
    "conj", "sgn", "neg",
]  # fmt: skip


@pytest.mark.cpu
@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_of_functions(name: str) -> None:
    z = corten.tensor(numbers((5,), "complex128") + 0.3 + 0.4j, requires_grad=True)
    function = getattr(corten, name)
    assert corten.autograd.gradcheck(function, (z,))
    assert corten.autograd.gradgradcheck(function, (z,))


@pytest.mark.cpu
@pytest.mark.parametrize(
    "function",
    [
        lambda z, w: z * w, lambda z, w: z / w, lambda z, w: z**w, lambda z, w: z @ w, lambda z, w: z.prod() + w,
        lambda z, w: z.cumprod(0) * w, lambda z, w: corten.logaddexp(z, w), lambda z, w: corten.lerp(z, w, 0.3 + 0.1j),
        lambda z, w: corten.addcdiv(z, z, w), lambda z, w: z.var() + w.std(), lambda z, w: z.logsumexp(0) * w,
        lambda z, w: corten.outer(z, w).diagonal(), lambda z, w: z.real * w, lambda z, w: z.imag + w.abs(),
        lambda z, w: corten.complex(z.real, w.imag) * z, lambda z, w: corten.view_as_real(z * w),
        lambda z, w: corten.stack([z, w]).index_select(0, corten.tensor([1, 0, 1])).prod(0),
        lambda z, w: z.gather(0, corten.tensor([2, 0])) * w[:2], lambda z, w: z[z.real > 0] * 2j,
    ],
)  # fmt: skip
def test_gradients_of_operators(function) -> None:
    z = corten.tensor(numbers((4,), "complex128") + 0.5, requires_grad=True)
    w = corten.tensor(numbers((4,), "complex128")[::-1].copy() + 2, requires_grad=True)
    assert corten.autograd.gradcheck(function, (z, w))
    assert corten.autograd.gradgradcheck(function, (z, w))


def test_gradients_through_writes_to_parts() -> None:
    z = corten.tensor([1 + 2j, 3 + 4j], requires_grad=True)
    x = corten.tensor([5.0, 6.0], requires_grad=True)
    w = z * 1
    w.real = x
    w.imag.mul_(2)
    w[0] = w[0] * 1j
    (corten.view_as_real(w) * corten.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    # w = [(x₀ + 2i·y₀)·i, x₁ + 2i·y₁].
    assert z.grad.tolist() == [-2j, 8j] and x.grad.tolist() == [2.0, 3.0]


def test_gradients_between_real_and_complex() -> None:
    x = corten.tensor([1.0, 2.0], requires_grad=True)
    z = corten.tensor([1j, 2.0], requires_grad=True)
    (x * z).abs().sum().backward()
    assert x.grad.dtype == corten.float32 and x.grad.tolist() == [1.0, 2.0]
    assert z.grad.tolist() == [1j, 2.0]
    with pytest.raises(RuntimeError, match="implicitly created only for real scalar outputs"):
        z.sum().backward()


# Training.

OPTIMIZERS = {
    "SGD": {"lr": 0.1, "momentum": 0.9}, "Adam": {"lr": 0.1, "amsgrad": True}, "AdamW": {"lr": 0.1},
    "Adagrad": {"lr": 0.1, "initial_accumulator_value": 0.1}, "Adadelta": {}, "RMSprop": {"centered": True, "lr": 0.1},
    "Rprop": {}, "NAdam": {"lr": 0.1}, "RAdam": {"lr": 0.1}, "Adamax": {"lr": 0.1}, "ASGD": {"lr": 0.1},
    "LBFGS": {"lr": 0.5},
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_move_the_parts_as_real_parameters(name: str) -> None:
    def trained(parameter: corten.Tensor, whole) -> corten.Tensor:
        optimizer = getattr(corten.optim, name)([parameter], **OPTIMIZERS[name])

        def closure():
            optimizer.zero_grad()
            loss = (whole(parameter) - (1 + 2j)).abs().square().sum()
            loss.backward()
            return loss

        for _ in range(4):
            optimizer.step(closure)
        state = optimizer.state_dict()["state"][0]
        tensors = [v for v in state.values() if isinstance(v, corten.Tensor) and v.shape == parameter.shape]
        assert all(v.dtype == parameter.dtype for v in tensors)
        return whole(parameter).detach()

    start = numbers((3, 2), "complex64")
    complex_one = trained(corten.tensor(start, requires_grad=True), lambda p: p)
    parts = corten.view_as_real(corten.tensor(start)).clone().requires_grad_()
    same(complex_one, array(trained(parts, corten.view_as_complex)))


def test_layers_with_complex_weights_learn() -> None:
    layer = corten.nn.Linear(3, 2, dtype=corten.complex64)
    x, y = corten.randn(64, 3, dtype=corten.complex64), corten.randn(3, 2, dtype=corten.complex64)
    optimizer = corten.optim.Adam(layer.parameters(), lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        loss = (layer(x) - x @ y).abs().square().mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 1e-3


# Errors, text, files.


def test_what_complex_numbers_lack_raises() -> None:
    z = corten.ones(2, dtype=corten.complex64)
    for name in ("sign", "floor", "erf", "relu", "sort", "max", "argmax", "cummax", "median"):
        with pytest.raises((NotImplementedError, RuntimeError)):
            (getattr(z, name)(0) if name in ("cummax",) else getattr(z, name)())
    with pytest.raises(NotImplementedError, match="not implemented for 'ComplexFloat'"):
        z < z  # noqa: B015
    with pytest.raises(RuntimeError, match="without overflow"):
        float(corten.tensor(1j))
    assert float(corten.tensor(2 + 0j)) == 2.0 and complex(corten.tensor(1j)) == 1j
    with pytest.raises(TypeError, match="must be float, not complex"):
        z.real.uniform_(0, 1j)


def test_conversions_to_real_warn() -> None:
    z = corten.tensor([1 + 2j, 3.0])
    for convert in (lambda: z.float(), lambda: z.to(corten.float32), lambda: corten.zeros(2).copy_(z)):
        with pytest.warns(UserWarning, match="discards the imaginary part"):
            assert convert().tolist() == [1.0, 3.0]
    assert z.bool().tolist() == [True, True]


@pytest.mark.cpu
def test_text() -> None:
    assert repr(corten.tensor([1 + 2j, -0.5j], device="cpu")) == "tensor([1.+2.0000j, -0.-0.5000j])"
    assert repr(corten.tensor([1 + 2j, 3 - 4j], device="cpu")) == "tensor([1.+2.j, 3.-4.j])"
    assert "dtype=corten.complex128" in repr(corten.tensor([1j], dtype=corten.complex128, device="cpu"))


@pytest.mark.cpu
@pytest.mark.parametrize("dtype", DTYPES)
def test_to_and_from_numpy_and_files(dtype: str, tmp_path) -> None:
    z = numbers((3, 4), dtype)
    shared = corten.from_numpy(z)
    shared[0, 0] = 7j
    assert z[0, 0] == 7j and shared.numpy().base is not None
    assert np.array_equal(np.from_dlpack(shared), z)
    assert corten.equal(corten.from_dlpack(z), shared)
    buffer = io.BytesIO()
    corten.save({"z": shared.T}, buffer)
    buffer.seek(0)
    loaded = corten.load(buffer)["z"]
    assert loaded.dtype == shared.dtype and corten.equal(loaded, shared.T) and loaded.stride() == (1, 4)
    assert corten.tensor(z.tolist(), dtype=shared.dtype, device="cpu").tolist() == z.tolist()


def test_fused_chains_round_once_per_step_and_compile_to_the_same() -> None:
    z = corten.tensor(numbers((64,), "complex64"))

    def chain(z):
        return ((z * z + 1j).exp() / (z.conj() + 2)).abs().log()

    compiled = corten.compile(chain)
    for _ in range(3):
        np.testing.assert_allclose(array(compiled(z)), array(chain(z)), rtol=1e-5, atol=1e-6)
    assert math.isfinite(chain(z).sum().item())


@pytest.mark.parametrize("dtype", DTYPES)
def test_many_elements(dtype: str) -> None:
    """Kernels take pairs whole, and long columns of two in blocks."""
    z = numbers((301, 257), dtype)
    x = corten.tensor(z)
    same(x.T.contiguous(), np.ascontiguousarray(z.T), dtype)
    same(x[1::2, ::3].clone(), z[1::2, ::3], dtype)
    target = corten.zeros(257, 301, dtype=x.dtype)
    target.T.copy_(x)
    same(target, np.ascontiguousarray(z.T), dtype)
    same(x * x.conj(), z * z.conj(), dtype)
    total = x.sum().item()
    assert abs(total - z.astype("complex128").sum()) < (1e-2 if dtype == "complex64" else 1e-9)
    columns = z.real.reshape(-1)[:77350].reshape(-1, 7).copy()
    sums = array(corten.tensor(columns).sum(0))
    np.testing.assert_allclose(sums, columns.sum(0, dtype="float64"), rtol=1e-4, atol=1e-3)
