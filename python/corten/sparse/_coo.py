"""Tensors given by the places and the values of some elements; all others are 0, equal places add up.

Products with dense tensors, sums, multiples and `to_dense` are there, with gradients for the values. Every other
operator raises NotImplementedError.
"""

import math

import corten

from .. import _core

Tensor, ops = _core.Tensor, _core.ops


class _Layout:
    """The layout of a sparse tensor."""

    def __init__(self, name):
        self._name = name

    def __repr__(self):
        from .. import _spoken

        return f"{_spoken.name}.{self._name}"

    def __reduce__(self):
        return self._name


sparse_coo = _Layout("sparse_coo")
# Layouts that no tensor has, for programs that compare.
sparse_csr, sparse_csc = _Layout("sparse_csr"), _Layout("sparse_csc")
sparse_bsr, sparse_bsc = _Layout("sparse_bsr"), _Layout("sparse_bsc")


def _refusal(name, error, text):
    def refused(self, *args, **kwargs):
        raise error(text)

    refused.__name__, refused.__doc__ = name, f"Raises {error.__name__}: {text}"
    return refused


_NO_ARRAY = "can't convert Sparse layout tensor to numpy. Use Tensor.to_dense() first."
_NO_STORAGE = "a sparse tensor has no storage; x.to_dense() and x.values() have one"


class SparseTensor(corten.Tensor, decomposes=True):  # type: ignore[call-arg]
    """A tensor of ``size`` by ``indices (sparse dims, n)`` and ``values (n, *dense dims)``."""

    @classmethod
    def _of(cls, indices, values, size, coalesced=False):
        stand_in = ops.empty((), dtype=values.dtype, device=values.device).expand(tuple(size))
        made = Tensor._make_subclass(cls, stand_in)
        made._places, made._elements = indices, values
        made._coalesced = coalesced
        return made

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        called = getattr(func, "__name__", str(func))
        name = called.strip("_")
        rule = _RULES.get(name)
        if rule is None:
            raise NotImplementedError(f"{name}: not for sparse tensors; x.to_dense() is the tensor with its zeros")
        result = rule(*args, **(kwargs or {}))
        if called.endswith("_") and not called.endswith("__"):
            return _overwritten(called, args[0], result)
        return result

    is_sparse = True
    layout = sparse_coo
    # Attributes that make up the tensor, and marks of modules.
    _KEPT = frozenset(("_places", "_elements", "_coalesced", "_is_param"))

    is_leaf = property(lambda self: self._elements.is_leaf)
    grad_fn = property(lambda self: self._elements.grad_fn)
    T = property(lambda self: self.t())
    data = property(lambda self: self.detach())
    _sparse_parts = property(lambda self: (self._places, self._elements.detach(), self.shape, self._coalesced))

    @property
    def requires_grad(self):
        return self._elements.requires_grad

    @requires_grad.setter
    def requires_grad(self, on):
        self._elements.requires_grad_(on)

    def requires_grad_(self, requires_grad=True):
        """Has gradients taken for the values, or not; they are in ``grad``."""
        self._elements.requires_grad_(requires_grad)
        return self

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            with corten.no_grad():
                values = self._elements.detach().clone().requires_grad_(self.requires_grad)
            memo[id(self)] = copied = SparseTensor._of(self._places.clone(), values, self.shape, self._coalesced)
            copied.__dict__.update((k, v) for k, v in self.__dict__.items() if k not in copied.__dict__)
        return memo[id(self)]

    def __reduce_ex__(self, protocol):
        return SparseTensor._of, self._sparse_parts

    mT = property(lambda self: self.transpose(-2, -1))
    H = mH = property(lambda self: self.transpose(-2, -1)._conj())
    numpy = _refusal("numpy", TypeError, _NO_ARRAY)
    __array__ = _refusal("__array__", TypeError, _NO_ARRAY)
    tolist, data_ptr = (_refusal(name, RuntimeError, _NO_STORAGE) for name in ("tolist", "data_ptr"))
    storage, untyped_storage, resize_, set_ = (
        _refusal(name, NotImplementedError, _NO_STORAGE) for name in ("storage", "untyped_storage", "resize_", "set_")
    )

    @property
    def grad(self):
        """The gradient of the values, at the same places; None before there is one."""
        found = self._elements.grad
        return None if found is None else self._with(found)

    @grad.setter
    def grad(self, value):
        if value is not None:
            raise NotImplementedError("grad: the gradient of a sparse tensor is that of its values, or None")
        self._elements.grad = None

    def _nnz(self):
        return self._elements.shape[0]

    def _indices(self):
        return self._places

    def _values(self):
        return self._elements

    def is_coalesced(self):
        """Whether no place is there twice, and places are in order."""
        return self._coalesced

    def _coalesced_(self, coalesced):
        """Promises, or takes back, that places are there once and in order."""
        self._coalesced = bool(coalesced)
        return self

    def sparse_dim(self):
        """The number of dims that ``indices`` address."""
        return self._places.shape[0]

    def dense_dim(self):
        """The number of dims of each value."""
        return self._elements.dim() - 1

    def indices(self):
        """The places, in order.

        Raises:
            RuntimeError: the tensor is not coalesced.
        """
        self._check_coalesced("indices")
        return self._places

    def values(self):
        """The values at `indices`.

        Raises:
            RuntimeError: the tensor is not coalesced.
        """
        self._check_coalesced("values")
        return self._elements

    def _check_coalesced(self, name):
        if not self._coalesced:
            raise RuntimeError(f"Cannot get {name} on an uncoalesced tensor, please call .coalesce() first")

    def _flat(self):
        """Each place as a number, in the order of the elements."""
        sizes = self.shape[: self.sparse_dim()]
        strides = [math.prod(sizes[i + 1 :]) for i in range(len(sizes))]
        return (self._places * self._places.new_tensor(strides).unsqueeze(1)).sum(0)

    def coalesce(self):
        """The same tensor with each place once, in order; values of equal places are added."""
        if self._coalesced:
            return self
        flat, inverse = self._flat().unique(return_inverse=True)
        values = self._elements.new_zeros((flat.shape[0], *self._elements.shape[1:])).index_add(
            0, inverse, self._elements
        )
        places = corten.stack(corten.unravel_index(flat, self.shape[: self.sparse_dim()]))
        return SparseTensor._of(places, values, self.shape, coalesced=True)

    def to_dense(self, dtype=None, *, masked_grad=None):
        """The tensor with its zeros."""
        sizes = self.shape[: self.sparse_dim()]
        zeros = self._elements.new_zeros((math.prod(sizes), *self._elements.shape[1:]))
        dense = zeros.index_add(0, self._flat(), self._elements).reshape(self.shape)
        return dense if dtype is None else dense.to(dtype)

    def to(self, *args, **kwargs):
        """The tensor with another dtype or on another device; arguments as in `Tensor.to`."""
        values = self._elements.to(*args, **kwargs)
        return SparseTensor._of(self._places.to(values.device), values, self.shape, self._coalesced)

    def cpu(self):
        """The tensor on the CPU."""
        return self.to("cpu")

    def detach(self):
        """The tensor without history."""
        return self._with(self._elements.detach())

    def t(self):
        """The transpose of a matrix.

        Raises:
            RuntimeError: the tensor is no matrix.
        """
        if self.sparse_dim() != 2 or self.dim() != 2:
            raise RuntimeError(f"t: a sparse matrix expected, got a tensor with {self.dim()} dims")
        return self.transpose(0, 1)

    def transpose(self, dim0, dim1):
        """The tensor with two dims exchanged, both of places or both of values.

        Raises:
            IndexError: there is no such dim.
            RuntimeError: one dim is of places and one of values.
        """
        dims, sparse = self.dim(), self.sparse_dim()
        for dim in (dim0, dim1):
            if not -dims <= dim < dims:
                raise IndexError(
                    f"Dimension out of range (expected to be in range of [{-dims}, {dims - 1}], but got {dim})"
                )
        first, second = sorted((dim0 % dims, dim1 % dims))
        if first == second:
            return self
        if first < sparse <= second:
            raise RuntimeError(f"transpose: dims {first} and {second} are of places and of values")
        order = list(range(dims))
        order[first], order[second] = second, first
        size = [self.shape[dim] for dim in order]
        if first >= sparse:
            values = self._elements.transpose(first - sparse + 1, second - sparse + 1)
            return SparseTensor._of(self._places, values, size, self._coalesced)
        return SparseTensor._of(self._places[order[:sparse]], self._elements, size)

    def type(self, dtype=None, non_blocking=False):
        """The name of the tensor's type, or the tensor in another dtype."""
        if dtype is not None:
            return self.to(dtype, non_blocking=non_blocking)
        from .. import _spoken

        place = "cuda." if self.is_cuda else ""
        return f"{_spoken.name}.{place}sparse.{self._elements.type().rpartition('.')[2]}"

    def _conj(self):
        return self._with(self._elements.conj())

    def _with(self, values):
        return SparseTensor._of(self._places, values, self.shape, self._coalesced)

    def __repr__(self, *, tensor_contents=None):
        return (
            f"tensor(indices={self._places!r},\n       values={self._elements!r},\n"
            f"       size={tuple(self.shape)}, nnz={self._nnz()}, layout={sparse_coo!r})"
        )

    def __str__(self, **options):
        return repr(self)

    __hash__ = Tensor.__hash__


def sparse_coo_tensor(
    indices=None,
    values=None,
    size=None,
    *,
    dtype=None,
    device=None,
    requires_grad=False,
    check_invariants=None,
    is_coalesced=None,
):
    """A tensor by the places and the values of some elements; values of equal places add up.

    Args:
        indices: int64 ``(sparse dims, n)``.
        values: ``(n, *dense dims)``.
        size: of the whole tensor; the smallest that fits by default. Given alone, the tensor has no elements.
        is_coalesced: True promises that no place is there twice and that they are in order.

    Raises:
        RuntimeError: sizes do not fit, or a place lies outside.

    Example:
        >>> import corten
        >>> corten.sparse_coo_tensor([[0, 1], [2, 0]], [3.0, 4.0], (2, 3)).to_dense().tolist()
        [[0.0, 0.0, 3.0], [4.0, 0.0, 0.0]]
    """
    if indices is None and values is None and size is not None:
        indices, values = corten.zeros(len(size), 0, dtype=corten.int64), []
    values = corten.as_tensor(values, dtype=dtype, device=device)
    indices = corten.as_tensor(indices, device=values.device)
    if indices.dim() != 2 or values.dim() == 0:
        raise RuntimeError(
            f"sparse_coo_tensor: indices must be sparse_dim x nnz and values nnz x ..., got {tuple(indices.shape)} and "
            f"{tuple(values.shape)}"
        )
    if indices.shape[1] != values.shape[0]:
        raise RuntimeError(
            f"indices and values must have same nnz, but got nnz from indices: {indices.shape[1]}, nnz from values: "
            f"{values.shape[0]}"
        )
    indices = indices.long()
    greatest = [] if indices.shape[1] == 0 or indices.is_meta else indices.amax(1).tolist()
    if size is None:
        size = (*(n + 1 for n in greatest or [-1] * indices.shape[0]), *values.shape[1:])
    if len(size) != indices.shape[0] + values.dim() - 1:
        raise RuntimeError(
            f"'len(size) == sparse_dim + dense_dim' is not satisfied: len(size) = {len(size)}, sparse_dim = "
            f"{indices.shape[0]}, dense_dim = {values.dim() - 1}"
        )
    if greatest and (indices.amin().item() < 0 or any(n >= s for n, s in zip(greatest, size, strict=False))):
        raise RuntimeError(f"sparse_coo_tensor: a place lies outside of a tensor of size {tuple(size)}")
    if requires_grad:
        values = values.detach().requires_grad_()
    coalesced = values.shape[0] < 2 if is_coalesced is None else bool(is_coalesced)
    return SparseTensor._of(indices, values, size, coalesced)


def _overwritten(name, target, result):
    """The tensor that an operator in place writes to, with the places and the values of its result."""
    if not isinstance(target, SparseTensor) or not isinstance(result, SparseTensor) or result.shape != target.shape:
        raise RuntimeError(
            f"{name}: a sparse tensor is overwritten by sparse tensors of its own size alone; x.to_dense() by others"
        )
    if corten.is_grad_enabled() and target.is_leaf and target.requires_grad:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
    values = result._elements.to(dtype=target.dtype, device=target.device)
    if not corten.is_grad_enabled():
        values = values.detach().requires_grad_(target.requires_grad)
    target._places, target._elements = result._places.to(target.device), values
    target._coalesced = result._coalesced
    return target


def from_dense(dense, count):
    """`Tensor.to_sparse`: the elements that are not 0, at places in the first ``count`` dims."""
    if not min(1, dense.dim()) <= count <= dense.dim():
        raise RuntimeError(
            f"dense_to_sparse: sparse_dim argument must be in [{min(1, dense.dim())},{dense.dim()}] range, but {count} "
            "is given"
        )
    there = dense.detach() != 0
    if count < dense.dim():
        there = there.flatten(count).any(count)
    places = there.nonzero().T
    values = dense[tuple(places)] if count else dense[there]
    return SparseTensor._of(places, values, dense.shape, coalesced=True)


def mm(mat1, mat2):
    """The product of a sparse matrix ``(m, k)`` with a dense matrix ``(k, n)`` or vector ``(k)``, dense.

    Raises:
        NotImplementedError: ``mat1`` is dense, or ``mat2`` sparse.
        RuntimeError: the shapes do not fit.
    """
    if not isinstance(mat1, SparseTensor) or isinstance(mat2, SparseTensor):
        raise NotImplementedError("mm: a sparse matrix is multiplied by a dense one; x.to_dense() makes one dense")
    if mat1.sparse_dim() != 2 or mat1.dim() != 2 or mat2.dim() not in (1, 2) or mat1.shape[1] != mat2.shape[0]:
        raise RuntimeError(
            f"mm: mat1 and mat2 shapes cannot be multiplied ({tuple(mat1.shape)} and {tuple(mat2.shape)})"
        )
    rows, columns = mat1._places
    values = mat1._elements if mat2.dim() == 1 else mat1._elements.unsqueeze(1)
    return mat2.new_zeros((mat1.shape[0], *mat2.shape[1:])).index_add(0, rows, values * mat2[columns])


def sum(input, dim=None, dtype=None):
    """The sum of a sparse tensor over all dims, or over ``dim``, with gradients for the values.

    Args:
        input: a sparse tensor.
        dim: a dim or several; dims that remain of those that indices address stay sparse.
        dtype: in which it is computed.

    Raises:
        NotImplementedError: ``input`` is dense.
    """
    if not isinstance(input, SparseTensor):
        raise NotImplementedError("sum: of a sparse tensor; x.sum() is that of a dense one")
    values = input._elements if dtype is None else input._elements.to(dtype)
    if dim is None:
        return values.sum()
    dims = {d % input.dim() for d in (dim if isinstance(dim, (tuple, list)) else [dim])}
    sparse = input.sparse_dim()
    inner = [d - sparse + 1 for d in dims if d >= sparse]
    values = values.sum(inner) if inner else values
    kept = [d for d in range(sparse) if d not in dims]
    if not kept:
        return values.sum(0)
    size = [n for d, n in enumerate(input.shape) if d not in dims]
    return SparseTensor._of(input._places[kept], values, size)


def _add(input, other, *, alpha=1):
    if not isinstance(input, SparseTensor):
        input, other, alpha = other, input, 1
        return other + input.to_dense()
    if not isinstance(other, SparseTensor):
        return input.to_dense() + alpha * other
    if input.shape != other.shape:
        raise RuntimeError(f"add: sizes differ: {tuple(input.shape)} and {tuple(other.shape)}")
    values = corten.cat([input._elements, alpha * other._elements])
    return SparseTensor._of(corten.cat([input._places, other._places], 1), values, input.shape)


def _scaled(operate):
    def rule(input, other):
        if not isinstance(input, SparseTensor):
            input, other = other, input
        if isinstance(other, Tensor) and (isinstance(other, SparseTensor) or other.dim() > 0):
            raise NotImplementedError(
                "a sparse tensor is multiplied by numbers; x.to_dense() is the one with its zeros"
            )
        return input._with(operate(input._elements, other))

    return rule


def _sum(input, dim=None, *, dtype=None):
    total = input._elements if dim is None else input.to_dense()
    return total.sum(dtype=dtype) if dim is None else total.sum(dim, dtype=dtype)


_RULES = {
    "mm": mm,
    "mv": mm,
    "matmul": mm,
    "add": _add,
    "mul": _scaled(lambda values, other: values * other),
    "rmul": _scaled(lambda values, other: values * other),
    "div": _scaled(lambda values, other: values / other),
    "truediv": _scaled(lambda values, other: values / other),
    "neg": lambda input: input._with(-input._elements),
    "copy": lambda input, src, non_blocking=False: src._with(src._elements.clone()) if src.is_sparse else src,
    "clone": lambda input: input._with(input._elements.clone()),
    "sum": _sum,
    "to_sparse": lambda input, *args, **kwargs: input,
    "to_sparse_coo": lambda input: input,
    "dim": lambda input: len(input.shape),
    "size": lambda input, dim=None: input.shape if dim is None else input.shape[dim],
}


def _converted(name):
    return lambda input, *args, **kwargs: input._with(getattr(input._elements, name)(*args, **kwargs))


_CONVERSIONS = ("double", "float", "half", "bfloat16", "long", "int", "short", "bool")
_RULES.update({name: _converted(name) for name in _CONVERSIONS})
