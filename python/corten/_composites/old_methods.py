"""Methods of ``Tensor`` that old programs and other packages call: copies instead of views, resizing, removed names."""

import math
import warnings

from .. import _core
from ._common import Tensor, in_place, ops
from .methods import _from_values


def polygamma(self, n):
    """The n-th derivative of the digamma function."""
    return ops.polygamma(n, self)


def map2_(self, x, y, callable):
    """Replaces every element by ``callable(own, x, y)`` of three tensors of one shape; slow, for the CPU only."""
    columns = [t.expand(self.shape).detach().flatten().tolist() for t in (self, x, y)]
    return _from_values(self, [callable(*values) for values in zip(*columns, strict=True)])


def as_subclass(self, cls):
    """The tensor as one of class ``cls``, on the same memory and with the same history.

    Raises:
        RuntimeError: ``cls`` is not a class of tensors.
    """
    if not (isinstance(cls, type) and issubclass(cls, Tensor)):
        raise RuntimeError("cls must be a type that inherits from Tensor")
    other = self.view(self.shape) if self.requires_grad else self.detach()
    other.__class__ = cls
    return other


def module_load(self, other, assign=False):
    """What ``load_state_dict`` puts in this tensor's place: ``other``, or this tensor with its values."""
    if assign:
        from ..nn.parameter import Parameter

        return Parameter(other, self.requires_grad) if isinstance(self, Parameter) else other.detach()
    with _no_grad():
        self.copy_(other)
    return self.detach()


def _no_grad():
    from ..autograd.modes import no_grad

    return no_grad()


def to_dense(self, dtype=None, *, masked_grad=None):
    """The tensor itself, which is dense, in another dtype where one is given."""
    return self if dtype is None else self.to(dtype)


def is_set_to(self, tensor):
    """Whether both tensors are the same window on the same memory."""
    same = _core.storage_id(self) == _core.storage_id(tensor) and self.storage_offset() == tensor.storage_offset()
    return same and self.shape == tensor.shape and self.stride() == tensor.stride()


def resize(self, *sizes):
    """The tensor in another shape of as many elements; deprecated, use ``reshape``."""
    warnings.warn("non-inplace resize is deprecated", stacklevel=2)
    return _resized(self, sizes[0] if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes)


def resize_as(self, tensor):
    """The tensor in another one's shape of as many elements; deprecated, use ``view_as``."""
    warnings.warn("non-inplace resize_as is deprecated", stacklevel=2)
    return _resized(self, tensor.shape)


def _resized(self, sizes):
    count = math.prod(sizes)
    if count != self.numel():
        raise RuntimeError(
            f"requested resize to {'x'.join(map(str, sizes))} ({count} elements in total), but the given tensor has a "
            f"size of {'x'.join(map(str, self.shape))} ({self.numel()} elements). autograd's resize can only change "
            "the shape of a given tensor, while preserving the number of elements. "
        )
    return self.reshape(tuple(sizes))


def const_data_ptr(self):
    """The address of the first element, for reading; the memory stays there from now on."""
    return self.data_ptr()


def narrow_copy(self, dim, start, length):
    """A copy of ``narrow(dim, start, length)``."""
    return self.narrow(dim, start, length).clone()


def unsafe_chunk(self, chunks, dim=0):
    """Copies of the pieces that ``chunk`` gives."""
    return tuple(piece.clone() for piece in self.chunk(chunks, dim))


def unsafe_split(self, split_size, dim=0):
    """Copies of the pieces that ``split`` gives."""
    return tuple(piece.clone() for piece in self.split(split_size, dim))


def unsafe_split_with_sizes(self, split_sizes, dim=0):
    """Copies of the pieces that ``split_with_sizes`` gives."""
    return tuple(piece.clone() for piece in self.split_with_sizes(split_sizes, dim))


def dequantize(self):
    """The tensor itself, which has no quantized dtype, in float32."""
    return self.float()


def _removed(name, instead, owner="Tensor"):
    def method(*args, **kwargs):
        raise RuntimeError(f"{owner}.{name} was deprecated since version 1.9 and is now removed. {instead}")

    method.__name__ = name
    method.__doc__ = f"Raises RuntimeError: removed from PyTorch. {instead}"
    return method


def _elsewhere(name, instead):
    def method(self, *args, **kwargs):
        raise NotImplementedError(f"Tensor.{name}: {instead}")

    method.__name__ = name
    method.__doc__ = f"Raises NotImplementedError: {instead}."
    return method


def to_sparse(self, sparse_dim=None, *, layout=None, blocksize=None, dense_dim=None):
    """The sparse tensor of the elements that are not 0.

    Args:
        sparse_dim: the number of dims that places address, all by default; the values have the others, and are there
            where one of their elements is not 0.

    Raises:
        RuntimeError: ``sparse_dim`` is not from 1 to the number of dims.
        NotImplementedError: another layout than ``sparse_coo`` is asked for.

    Example:
        >>> import corten
        >>> corten.tensor([[0.0, 3.0], [0.0, 0.0]]).to_sparse().indices().tolist()
        [[0], [1]]
    """
    from ..sparse import _coo

    if layout not in (None, _coo.sparse_coo) or blocksize is not None or dense_dim is not None:
        raise NotImplementedError("Tensor.to_sparse: sparse tensors are lists of places and values, layout sparse_coo")
    return _coo.from_dense(self, self.dim() if sparse_dim is None else sparse_dim)


def to_sparse_coo(self):
    """The sparse tensor of the elements that are not 0; see `to_sparse`."""
    return self.to_sparse()


def _volatile(self):
    warnings.warn("volatile was removed (Variable.volatile is always False)", stacklevel=2)
    return False


_HERE = (
    polygamma,
    map2_,
    as_subclass,
    module_load,
    to_dense,
    is_set_to,
    resize,
    resize_as,
    const_data_ptr,
    narrow_copy,
    to_sparse,
    to_sparse_coo,
    unsafe_chunk,
    unsafe_split,
    unsafe_split_with_sizes,
    dequantize,
)
_REMOVED = {
    "eig": "Eigenvalues may be complex; for symmetric matrices use linalg.eigh.",
    "symeig": "Use linalg.eigh.",
    "lstsq": "Use linalg.lstsq, whose arguments are reversed.",
    "solve": "Use linalg.solve, whose arguments are reversed.",
    "matrix_rank": "Use linalg.matrix_rank.",
}
# Of the package itself.
FUNCTIONS = {name: _removed(name, instead, "corten") for name, instead in _REMOVED.items()}
METHODS: dict[str, object] = {method.__name__: method for method in _HERE}
METHODS["polygamma_"] = in_place(polygamma)
METHODS["__nonzero__"] = Tensor.__bool__
METHODS["__long__"] = Tensor.__int__
METHODS["__div__"], METHODS["__rdiv__"] = Tensor.__truediv__, Tensor.__rtruediv__
METHODS["__idiv__"] = Tensor.__itruediv__
METHODS.update(
    {
        **{name: _removed(name, _REMOVED[name]) for name in ("eig", "symeig", "lstsq", "solve")},
        "reinforce": _removed("reinforce", "Multiply the log probability by the reward."),
        "to_padded_tensor": _elsewhere("to_padded_tensor", "tensors are dense; see nn.utils.rnn.pad_sequence"),
        "to_mkldnn": _elsewhere("to_mkldnn", "tensors have the layout of their strides"),
        **{name: _elsewhere(name, "the devices are 'cpu', 'gpu' and 'cuda'") for name in ("ipu", "xpu", "mtia")},
        **{
            name: _elsewhere(name, "tensors are dense")
            for name in (
                "to_sparse_csr",
                "to_sparse_csc",
                "to_sparse_bsr",
                "to_sparse_bsc",
                "coalesce",
                "indices",
                "values",
                "sparse_mask",
                "sspaddmm",
                "smm",
            )
        },
        "volatile": property(_volatile, doc="False, with a warning: no tensor is volatile."),
        "name": property(lambda self: None, doc="None: tensors have no names."),
        "grad_dtype": property(lambda self: self.dtype, doc="The dtype of the gradient, which is the tensor's own."),
    }
)
METHODS.update(
    {
        f"is_{kind}": property(lambda self: False, doc="False: there are no such tensors.")
        for kind in ("mps", "xla", "xpu", "ipu", "mtia", "maia", "vulkan", "mkldnn", "nested", "sparse_csr")
    }
)
