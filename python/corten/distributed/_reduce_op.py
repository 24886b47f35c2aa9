"""The operations of reductions, and which dtypes have them."""

import enum

import corten

from . import _host


class RedOpType(enum.IntEnum):
    """How the tensors of several processes become one; AVG is the sum divided by the number of processes."""

    SUM = 0
    AVG = 1
    PRODUCT = 2
    MIN = 3
    MAX = 4
    BAND = 5
    BOR = 6
    BXOR = 7
    PREMUL_SUM = 8

    def __str__(self):
        return f"RedOpType.{self.name}"


ReduceOp = RedOpType
# PyTorch has the kinds under both names.
ReduceOp.RedOpType = RedOpType  # type: ignore[attr-defined]

_BITWISE = (ReduceOp.BAND, ReduceOp.BOR, ReduceOp.BXOR)
_NAMES = {ReduceOp.AVG: "SUM", ReduceOp.PRODUCT: "PROD"}
# On 0 and 1 these are the logical operations.
_OF_BOOLS = {"SUM": "BOR", "MAX": "BOR", "PROD": "BAND", "MIN": "BAND"}


def check(op, tensor, name):
    """Raises where tensors of this dtype have no such reduction.

    Raises:
        ValueError: complex numbers have no order and no bits.
        RuntimeError: bits of floating-point numbers, or the mean of bools.
        NotImplementedError: PREMUL_SUM.
    """
    op = ReduceOp(op)
    if op is ReduceOp.PREMUL_SUM:
        raise NotImplementedError(f"{name}: PREMUL_SUM is not there; multiply the tensor and use ReduceOp.SUM")
    if tensor.is_complex() and op not in (ReduceOp.SUM, ReduceOp.AVG, ReduceOp.PRODUCT):
        raise ValueError(f"{name} does not support {op} on complex tensors")
    if op in _BITWISE and tensor.dtype.is_floating_point:
        raise RuntimeError(f"Cannot use ReduceOp.{op.name} with non-integral dtype")
    if op is ReduceOp.AVG and tensor.dtype == corten.bool:
        raise RuntimeError(f"{name}: Cannot use ReduceOp.AVG with bool tensors")
    return op


def operation(MPI, op, dtype):
    """MPI's operation for a kind of reduction."""
    name = _NAMES.get(op, op.name)
    return getattr(MPI, _OF_BOOLS.get(name, name) if dtype == corten.bool else name)


def memory(tensor):
    """A copy of a tensor's elements in a dtype that MPI reduces."""
    array = _host.taken_to_reduce(tensor)
    return array.view("uint8") if array.dtype == bool else array


def put_result(tensor, array, op, size):
    """Writes what a reduction gave; for AVG divided, of integers toward zero, as NCCL does."""
    if op is ReduceOp.AVG and size > 1:
        if array.dtype.kind in "iu":
            quotient = abs(array) // size
            array = quotient * (1 - 2 * (array < 0).astype(array.dtype)) if array.dtype.kind == "i" else quotient
        else:
            array /= size
    _host.put(tensor, array.view(bool) if tensor.dtype == corten.bool else array)
