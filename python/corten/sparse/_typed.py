"""`sparse.FloatTensor` and its kind: older constructors of sparse tensors of one dtype, and what `isinstance` takes."""

import warnings

import corten

from .. import _core, _typed_tensors
from ._coo import sparse_coo, sparse_coo_tensor


class sparsetype(_typed_tensors.tensortype):
    """The class of the constructors: a sparse tensor on the CPU is an instance of the one with its dtype."""

    is_sparse = True
    layout = sparse_coo  # type: ignore[assignment]

    def __call__(cls, *args, device=None):
        """A tensor of places and values, whose dtype is the values', and sizes; or of sizes, without elements.

        Raises:
            TypeError: neither is given.
        """
        warnings.warn(f"torch.sparse.{cls.__name__} is deprecated, use torch.sparse_coo_tensor", stacklevel=2)
        if args and all(isinstance(given, _core.Tensor) for given in args[:2]) and 2 <= len(args) <= 3:
            return sparse_coo_tensor(*args, device=device)
        size = args[0] if len(args) == 1 and isinstance(args[0], corten.Size) else args or (0,)
        if not all(isinstance(n, int) for n in size):
            raise TypeError(
                f"torch.sparse.{cls.__name__}: indices, values and a size are taken, or sizes alone; "
                "torch.sparse_coo_tensor makes a sparse tensor from sequences"
            )
        return sparse_coo_tensor(size=size, dtype=cls.dtype, device=device)


def _make(name, dtype):
    doc = f"Makes sparse tensors of dtype {dtype._name} on the CPU: of places, values and a size, or of sizes."
    return sparsetype(name, (), {"__module__": "corten.sparse", "__doc__": doc, "dtype": dtype, "is_cuda": False})


TYPES = {name: _make(name, kind.dtype) for name, kind in _typed_tensors.CPU.items() if name != "BoolTensor"}
