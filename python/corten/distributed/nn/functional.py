"""Collectives with gradients: each returns new tensors, and backward sends gradients the way back.

All processes of a group call backward through them in the same order.
"""

import corten
from corten.autograd import Function

from .. import ReduceOp, get_rank, get_world_size
from .. import all_gather as _all_gather
from .. import all_reduce as _all_reduce
from .. import all_to_all_single as _all_to_all_single
from .. import broadcast as _broadcast
from .. import reduce as _reduce
from .. import reduce_scatter as _reduce_scatter

__all__ = ["all_gather", "all_reduce", "all_to_all_single", "broadcast", "reduce", "reduce_scatter"]


def _check_sum(name, op):
    if op not in (ReduceOp.SUM, ReduceOp.AVG):
        raise NotImplementedError(f"{name}: only SUM and AVG have gradients, got {op}; use corten.distributed.{name}")


class _AllReduce(Function):
    @staticmethod
    def forward(ctx, tensor, op, group):
        ctx.op, ctx.group = op, group
        result = tensor.clone()
        _all_reduce(result, op, group)
        return result

    @staticmethod
    def backward(ctx, grad):
        return _AllReduce.apply(grad, ctx.op, ctx.group), None, None


class _Broadcast(Function):
    @staticmethod
    def forward(ctx, tensor, src, group):
        ctx.src, ctx.group = src, group
        result = tensor.clone()
        _broadcast(result, src, group)
        return result

    @staticmethod
    def backward(ctx, grad):
        return _Reduce.apply(grad, ctx.src, ReduceOp.SUM, ctx.group), None, None


class _Reduce(Function):
    @staticmethod
    def forward(ctx, tensor, dst, op, group):
        ctx.dst, ctx.op, ctx.group = dst, op, group
        result = tensor.clone()
        _reduce(result, dst, op, group)
        # Elsewhere than on `dst` nothing was received, and no gradient comes from there.
        return result if get_rank() == dst else result.zero_()

    @staticmethod
    def backward(ctx, grad):
        scale = get_world_size(ctx.group) if ctx.op == ReduceOp.AVG else 1
        return _Broadcast.apply(grad / scale, ctx.dst, ctx.group), None, None, None


class _AllGather(Function):
    @staticmethod
    def forward(ctx, tensor, group):
        ctx.group = group
        results = [corten.empty_like(tensor) for _ in range(get_world_size(group))]
        _all_gather(results, tensor, group)
        return tuple(results)

    @staticmethod
    def backward(ctx, *grads):
        return _ReduceScatter.apply(ReduceOp.SUM, ctx.group, *grads), None


class _ReduceScatter(Function):
    @staticmethod
    def forward(ctx, op, group, *tensors):
        ctx.op, ctx.group = op, group
        result = corten.empty_like(tensors[get_rank(group)])
        _reduce_scatter(result, list(tensors), op, group)
        return result

    @staticmethod
    def backward(ctx, grad):
        scale = get_world_size(ctx.group) if ctx.op == ReduceOp.AVG else 1
        return (None, None, *_AllGather.apply((grad / scale).contiguous(), ctx.group))


class _AllToAllSingle(Function):
    @staticmethod
    def forward(ctx, shape, taken, given, group, tensor):
        ctx.shape, ctx.taken, ctx.given, ctx.group = tensor.shape, taken, given, group
        result = tensor.new_empty(shape)
        _all_to_all_single(result, tensor, taken, given, group)
        return result

    @staticmethod
    def backward(ctx, grad):
        back = _AllToAllSingle.apply(ctx.shape, ctx.given, ctx.taken, ctx.group, grad)
        return None, None, None, None, back


def all_reduce(tensor, op=ReduceOp.SUM, group=None):
    """The sum or mean of the tensors of all processes; the gradient is that of the sum of all processes' losses.

    Raises:
        NotImplementedError: for other operations.
    """
    _check_sum("all_reduce", op)
    return _AllReduce.apply(tensor, op, group)


def broadcast(tensor, src, group=None):
    """The tensor of rank ``src``, to which the gradients of all processes are added up."""
    return _Broadcast.apply(tensor, src, group)


def reduce(tensor, dst, op=ReduceOp.SUM, group=None):
    """On rank ``dst`` the sum or mean of the tensors of all processes, zeros elsewhere.

    Raises:
        NotImplementedError: for other operations.
    """
    _check_sum("reduce", op)
    return _Reduce.apply(tensor, dst, op, group)


def all_gather(tensor, group=None):
    """A tuple of the tensors of all processes; each gets the gradients that all processes have for its own."""
    return _AllGather.apply(tensor, group)


def reduce_scatter(output, input_list, op=ReduceOp.SUM, group=None):
    """This process's tensor of the sums or means of the lists of all processes; ``output`` gives its shape.

    Raises:
        NotImplementedError: for other operations.
    """
    _check_sum("reduce_scatter", op)
    return _ReduceScatter.apply(op, group, *input_list)


def all_to_all_single(output, input, output_split_sizes=None, input_split_sizes=None, group=None):
    """What `corten.distributed.all_to_all_single` writes; ``output`` gives its shape."""
    return _AllToAllSingle.apply(output.shape, output_split_sizes, input_split_sizes, group, input)
