"""Discrete Fourier transforms over any dims, with the names of `torch.fft`.

The forward transform is ``X[k] = Σ x[j]·exp(-2πi·jk/n)``; the inverse one has the other sign. ``norm`` says which of
the two is divided by ``n``, the product of the sizes of the transformed dims: ``"backward"`` (the default) the inverse
one, ``"forward"`` the forward one, ``"ortho"`` both by its square root. Integers and booleans are taken as the default
dtype, and float16 and bfloat16 are refused. Every transform has gradients of any order.
"""

import math
import operator

from . import _core
from ._composites._arguments import typed
from ._composites._common import Tensor, ops, result, scalar_name

__all__ = [
    "fft",
    "fft2",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "hfft2",
    "hfftn",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "ihfft",
    "ihfft2",
    "ihfftn",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftfreq",
    "rfftn",
]

_NORMS = (None, "backward", "forward", "ortho")


def _scale(norm, sizes, forward):
    """What sums over ``sizes`` elements are multiplied by."""
    if norm not in _NORMS:
        raise RuntimeError(f'Invalid normalization mode: "{norm}"')
    n = math.prod(sizes)
    if norm == "ortho":
        return 1 / math.sqrt(n)
    return 1 / n if forward == (norm == "forward") else 1.0


def _check_tensor(name, input):
    if not isinstance(input, Tensor):
        raise TypeError(f"fft_{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")


def _int(name, label, value):
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"fft_{name}(): argument '{label}' must be int, not {type(value).__name__}") from None


def _ints(name, label, values):
    if values is None:
        return None
    if not isinstance(values, (tuple, list)):
        return [_int(name, label, values)]
    return [_int(name, label, value) for value in values]


def _promoted(x, complex=False):
    """The tensor in a dtype that has transforms."""
    if not x.is_floating_point() and not x.is_complex():
        x = x.to(_core.get_default_dtype())
    if x.dtype in (_core.float16, _core.bfloat16, _core.complex32):
        raise RuntimeError(f"Unsupported dtype {scalar_name(x)}")
    if complex and not x.is_complex():
        x = x.to(_core.complex128 if x.dtype == _core.float64 else _core.complex64)
    return x


def _check_real(name, x, kind="real input"):
    if x.is_complex():
        raise RuntimeError(f"{name} expects a {kind} tensor, but got {scalar_name(x)}")


def _check_out(name, out, complex):
    if out is None:
        return
    if complex and not out.is_complex():
        raise RuntimeError(f"{name} expects a complex output tensor, but got {scalar_name(out)}")
    if not complex and not out.is_floating_point():
        raise RuntimeError(f"{name} expects a floating point output tensor, but got {scalar_name(out)}")


def _wrapped(dim, rank):
    if rank == 0:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    if not -rank <= dim < rank:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-rank}, {rank - 1}], but got {dim})")
    return dim % rank


def _check_size(n):
    if n < 1:
        raise RuntimeError(f"Invalid number of data points ({n}) specified")
    return n


def _resized(x, dims, sizes):
    """The tensor cut, or filled up with zeros at the end, to sizes along dims."""
    for dim, size in zip(dims, sizes, strict=True):
        known = x.shape[dim]
        if known > size:
            x = x.narrow(dim, 0, size)
        elif known < size:
            room = [*x.shape]
            room[dim] = size - known
            x = ops.cat([x, x.new_zeros(room)], dim)
    return x


def _one_dim(name, input, n, dim):
    """The dim counted from the front, and the size wanted, which may be None."""
    dim = _wrapped(_int(name, "dim", dim), input.dim())
    return dim, None if n is None else _check_size(_int(name, "n", n))


def _several_dims(name, input, s, dim):
    """Dims counted from the front, and the sizes wanted."""
    s, dim = _ints(name, "s", s), _ints(name, "dim", dim)
    rank = input.dim()
    if dim is not None:
        dim = [_wrapped(d, rank) for d in dim]
        if len({*dim}) < len(dim):
            raise RuntimeError("FFT dims must be unique")
    if s is not None:
        if dim is not None and len(dim) != len(s):
            raise RuntimeError("When given, dim and shape arguments must have the same length")
        if len(s) > rank:
            raise RuntimeError(f"Got shape with {len(s)} values but input tensor only has {rank} dimensions.")
        dim = list(range(rank - len(s), rank)) if dim is None else dim
    elif dim is None:
        dim = list(range(rank))
    return dim, [-1] * len(dim) if s is None else s


def _known_sizes(x, dims, sizes):
    return [_check_size(x.shape[d] if n == -1 else n) for d, n in zip(dims, sizes, strict=True)]


def _to_complex(name, input, n, dim, norm, forward, out):
    _check_tensor(name, input)
    _check_out(name, out, complex=True)
    dim, n = _one_dim(name, input, n, dim)
    x = _promoted(input, complex=True)
    n = _check_size(x.shape[dim]) if n is None else n
    return result(ops._fourier(_resized(x, [dim], [n]), [dim], _scale(norm, [n], forward), forward), out)


def _to_complex_n(name, input, s, dim, norm, forward, out):
    _check_tensor(name, input)
    _check_out(name, out, complex=True)
    dims, sizes = _several_dims(name, input, s, dim)
    x = _promoted(input, complex=True)
    sizes = _known_sizes(x, dims, sizes)
    return result(ops._fourier(_resized(x, dims, sizes), dims, _scale(norm, sizes, forward), forward), out)


def _from_real(name, input, n, dim, norm, forward, out):
    _check_tensor(name, input)
    _check_real(name, input)
    _check_out(name, out, complex=True)
    dim, n = _one_dim(name, input, n, dim)
    x = _promoted(input)
    n = _check_size(x.shape[dim]) if n is None else n
    half = ops._fourier_of_real(_resized(x, [dim], [n]), [dim], _scale(norm, [n], forward))
    return result(half if forward else half.conj(), out)


def _to_real(name, input, n, dim, norm, forward, out):
    _check_tensor(name, input)
    _check_out(name, out, complex=False)
    dim, n = _one_dim(name, input, n, dim)
    x = _promoted(input, complex=True)
    n = _check_size(2 * (x.shape[dim] - 1)) if n is None else n
    x = _resized(x, [dim], [n // 2 + 1])
    return result(ops._fourier_to_real(x.conj() if forward else x, [dim], _scale(norm, [n], forward), n), out)


def _dims_to_real(name, input, s, dim, out):
    """The complex input of a transform to real numbers, resized, its dims and the sizes of the result."""
    _check_tensor(name, input)
    _check_out(name, out, complex=False)
    dims, sizes = _several_dims(name, input, s, dim)
    if not dims:
        raise RuntimeError(f"{name} must transform at least one axis")
    x = _promoted(input, complex=True)
    n = _check_size(2 * (x.shape[dims[-1]] - 1) if sizes[-1] == -1 else sizes[-1])
    sizes = [*_known_sizes(x, dims[:-1], sizes[:-1]), n]
    return _resized(x, dims, [*sizes[:-1], n // 2 + 1]), dims, sizes


def _dims_of_real(name, input, s, dim, out):
    _check_tensor(name, input)
    _check_out(name, out, complex=True)
    dims, sizes = _several_dims(name, input, s, dim)
    if not dims:
        raise RuntimeError(f"{name} must transform at least one axis")
    x = _promoted(input)
    sizes = _known_sizes(x, dims, sizes)
    return _resized(x, dims, sizes), dims, sizes


@typed("fft_fft")
def fft(input, n=None, dim=-1, norm=None, *, out=None):
    """The forward transform along a dim, complex.

    Args:
        n: the size there: the input is cut, or filled up with zeros, to it.
        norm: see the module.

    Raises:
        RuntimeError: for a size below 1, an unknown ``norm``, and float16 and bfloat16.

    Example:
        >>> corten.fft.fft(corten.tensor([1.0, 0.0, -1.0, 0.0]))
        tensor([0.+0.j, 2.+0.j, 0.+0.j, 2.+0.j])
    """
    return _to_complex("fft", input, n, dim, norm, True, out)


@typed("fft_ifft")
def ifft(input, n=None, dim=-1, norm=None, *, out=None):
    """The inverse of :func:`fft`."""
    return _to_complex("ifft", input, n, dim, norm, False, out)


@typed("fft_fftn")
def fftn(input, s=None, dim=None, norm=None, *, out=None):
    """The forward transform over dims, complex.

    Args:
        s: the sizes there, to which the input is cut or filled up with zeros; -1 leaves a size as it is.
        dim: all dims by default, or as many last ones as ``s`` has sizes.
        norm: see the module.

    Raises:
        RuntimeError: for sizes below 1, repeated dims, unequal numbers of dims and sizes, an unknown ``norm``, and
            float16 and bfloat16.
    """
    return _to_complex_n("fftn", input, s, dim, norm, True, out)


@typed("fft_ifftn")
def ifftn(input, s=None, dim=None, norm=None, *, out=None):
    """The inverse of :func:`fftn`."""
    return _to_complex_n("ifftn", input, s, dim, norm, False, out)


@typed("fft_fft2")
def fft2(input, s=None, dim=(-2, -1), norm=None, *, out=None):
    """:func:`fftn` over the last two dims."""
    return fftn(input, s, dim, norm, out=out)


@typed("fft_ifft2")
def ifft2(input, s=None, dim=(-2, -1), norm=None, *, out=None):
    """:func:`ifftn` over the last two dims."""
    return ifftn(input, s, dim, norm, out=out)


@typed("fft_rfft")
def rfft(input, n=None, dim=-1, norm=None, *, out=None):
    """The first ``n // 2 + 1`` elements of the forward transform of real numbers along a dim.

    The other elements are the conjugates of these in reverse order.

    Raises:
        RuntimeError: for complex input, and where :func:`fft` raises.
    """
    return _from_real("rfft", input, n, dim, norm, True, out)


@typed("fft_irfft")
def irfft(input, n=None, dim=-1, norm=None, *, out=None):
    """The inverse of :func:`rfft`: real numbers, ``n`` of them along the dim, by default ``2 * (size - 1)``.

    The imaginary part of the first element, and for even ``n`` of the last one, is not read.
    """
    return _to_real("irfft", input, n, dim, norm, False, out)


@typed("fft_rfftn")
def rfftn(input, s=None, dim=None, norm=None, *, out=None):
    """:func:`fftn` of real numbers, with the first ``n // 2 + 1`` elements of the last of the dims.

    Raises:
        RuntimeError: for complex input, without a dim, and where :func:`fftn` raises.
    """
    _check_tensor("rfftn", input)
    _check_real("rfftn", input, "real-valued input")
    x, dims, sizes = _dims_of_real("rfftn", input, s, dim, out)
    return result(ops._fourier_of_real(x, dims, _scale(norm, sizes, True)), out)


@typed("fft_irfftn")
def irfftn(input, s=None, dim=None, norm=None, *, out=None):
    """The inverse of :func:`rfftn`; the last of the dims gets ``2 * (size - 1)`` elements by default."""
    x, dims, sizes = _dims_to_real("irfftn", input, s, dim, out)
    return result(ops._fourier_to_real(x, dims, _scale(norm, sizes, False), sizes[-1]), out)


@typed("fft_rfft2")
def rfft2(input, s=None, dim=(-2, -1), norm=None, *, out=None):
    """:func:`rfftn` over the last two dims."""
    return rfftn(input, s, dim, norm, out=out)


@typed("fft_irfft2")
def irfft2(input, s=None, dim=(-2, -1), norm=None, *, out=None):
    """:func:`irfftn` over the last two dims."""
    return irfftn(input, s, dim, norm, out=out)


@typed("fft_hfft")
def hfft(input, n=None, dim=-1, norm=None, *, out=None):
    """The forward transform of a signal of which half is given, and the other half are its conjugates: real numbers.

    Args:
        n: how many, by default ``2 * (size - 1)``.
    """
    return _to_real("hfft", input, n, dim, norm, True, out)


@typed("fft_ihfft")
def ihfft(input, n=None, dim=-1, norm=None, *, out=None):
    """The inverse of :func:`hfft`: the first ``n // 2 + 1`` elements of the inverse transform of real numbers."""
    return _from_real("ihfft", input, n, dim, norm, False, out)


@typed("fft_hfftn")
def hfftn(input, s=None, dim=None, norm=None, *, out=None):
    """:func:`hfft` along the last of the dims after :func:`fftn` over the others."""
    x, dims, sizes = _dims_to_real("hfftn", input, s, dim, out)
    if len(dims) > 1:
        x = ops._fourier(x, dims[:-1], 1.0, True)
    return result(ops._fourier_to_real(x.conj(), dims[-1:], _scale(norm, sizes, True), sizes[-1]), out)


@typed("fft_ihfftn")
def ihfftn(input, s=None, dim=None, norm=None, *, out=None):
    """The inverse of :func:`hfftn`."""
    _check_tensor("ihfftn", input)
    if input.is_complex():
        raise RuntimeError(f"Only supports floating-point dtypes, but found: {scalar_name(input)}")
    x, dims, sizes = _dims_of_real("ihfftn", input, s, dim, out)
    half = ops._fourier_of_real(x, dims[-1:], _scale(norm, sizes, False)).conj()
    return result(ops._fourier(half, dims[:-1], 1.0, False) if len(dims) > 1 else half, out)


@typed("fft_hfft2")
def hfft2(input, s=None, dim=(-2, -1), norm=None, *, out=None):
    """:func:`hfftn` over the last two dims."""
    return hfftn(input, s, dim, norm, out=out)


@typed("fft_ihfft2")
def ihfft2(input, s=None, dim=(-2, -1), norm=None, *, out=None):
    """:func:`ihfftn` over the last two dims."""
    return ihfftn(input, s, dim, norm, out=out)


def _frequencies(name, length, start, n, d, dtype, device, requires_grad, out):
    if dtype is None:
        dtype = _core.get_default_dtype() if out is None else out.dtype
    if dtype.is_complex:
        kind = "Double" if dtype == _core.complex128 else "Float"
        raise NotImplementedError(f"\"arange_cpu\" not implemented for 'Complex{kind}'")
    if not dtype.is_floating_point:
        raise RuntimeError(f"{name} requires a floating point or complex dtype")
    if length < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {length}: [{length}]")
    # Steps of 1 from 0, and from `start` on the steps below 0 where there are any.
    places = ops.arange(length, dtype=dtype, device=device)
    if start < length:
        places = ops.cat([places[:start], ops.arange(start - length, 0, dtype=dtype, device=device)])
    value = places * (1 / (n * d) if n * d else math.inf)
    return result(value.requires_grad_() if requires_grad else value, out)


def fftfreq(n, d=1.0, *, dtype=None, layout=None, device=None, requires_grad=False, out=None):
    """The frequencies of the elements of :func:`fft` of ``n`` samples ``d`` apart.

    They are 0, 1, … and then those from ``-(n // 2)`` to -1, all divided by ``n * d``.

    Raises:
        RuntimeError: for a negative ``n`` and dtypes that are not floating point.
    """
    n = _int("fftfreq", "n", n)
    if d is None:
        d = 1.0
    return _frequencies("fftfreq", n, (n + 1) // 2, n, d, dtype, device, requires_grad, out)


def rfftfreq(n, d=1.0, *, dtype=None, layout=None, device=None, requires_grad=False, out=None):
    """The frequencies of the elements of :func:`rfft` of ``n`` samples ``d`` apart: 0, 1, …, ``n // 2`` over ``n * d``.

    Raises:
        RuntimeError: for a negative ``n`` and dtypes that are not floating point.
    """
    n = _int("rfftfreq", "n", n)
    length = int(n / 2) + 1
    return _frequencies("rfftfreq", length, length, n, d, dtype, device, requires_grad, out)


def _shift_dims(name, input, dim):
    _check_tensor(name, input)
    dims = list(range(input.dim())) if dim is None else _ints(name, "dim", dim)
    if not dims:
        raise RuntimeError("`shifts` required")
    return dims


@typed("fft_fftshift")
def fftshift(input, dim=None):
    """The elements turned along dims, by default all, so that the frequency 0 stands in the middle.

    Raises:
        RuntimeError: without a dim.
    """
    dims = _shift_dims("fftshift", input, dim)
    return ops.roll(input, [input.shape[_wrapped(d, input.dim())] // 2 for d in dims], dims)


@typed("fft_ifftshift")
def ifftshift(input, dim=None):
    """The inverse of :func:`fftshift`."""
    dims = _shift_dims("ifftshift", input, dim)
    return ops.roll(input, [(input.shape[_wrapped(d, input.dim())] + 1) // 2 for d in dims], dims)


def __getattr__(name):
    from ._missing import missing

    raise missing(__name__, name)
