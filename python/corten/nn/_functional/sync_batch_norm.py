"""Batch normalisation over the batches of several processes."""

import corten

from ...autograd.function import Function, once_differentiable


def _moments(input, dims):
    """Mean and biased variance ``(C,)`` of each channel on this process, zeros where it has no samples."""
    if input.numel() == 0:
        return input.new_zeros(2, input.shape[1], dtype=corten.float32)
    wide = input if input.dtype == corten.float64 else input.float()
    variance, mean = corten.var_mean(wide, dims, correction=0)
    return corten.stack([mean, variance])


class _SyncBatchNorm(Function):
    @staticmethod
    def forward(ctx, input, weight, bias, running, eps, momentum, group):
        """``running`` is the pair of running statistics, or None."""
        from ...distributed import all_gather_into_tensor

        dims = [0, *range(2, input.dim())]
        channels = input.shape[1]
        own = _moments(input, dims)
        own = corten.cat([own, own.new_full((1, channels), input.numel() // max(1, channels))])
        everyone = own.new_empty(group.size(), 3, channels)
        all_gather_into_tensor(everyone, own, group=group)
        mean, variance, count = _combined(everyone)
        if running is not None:
            _update(running, mean, variance, count, momentum)
        invstd = (variance + eps).rsqrt()
        shape = [1, channels] + [1] * (input.dim() - 2)
        normalized = (input.to(mean.dtype) - mean.view(shape)) * invstd.view(shape)
        ctx.save_for_backward(input, weight, mean, invstd)
        ctx.group, ctx.count = group, count
        if weight is not None:
            normalized = normalized * weight.view(shape)
        if bias is not None:
            normalized = normalized + bias.view(shape)
        return normalized.to(input.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        from ...distributed import all_reduce

        input, weight, mean, invstd = ctx.saved_tensors
        dims = [0, *range(2, input.dim())]
        shape = [1, input.shape[1]] + [1] * (input.dim() - 2)
        wide = grad.to(mean.dtype)
        normalized = (input.to(mean.dtype) - mean.view(shape)) * invstd.view(shape)
        sums = corten.stack([wide.sum(dims), (wide * normalized).sum(dims)])
        grad_bias, grad_weight = sums.clone()
        grad_input = None
        if ctx.needs_input_grad[0]:
            all_reduce(sums, group=ctx.group)
            means = sums / ctx.count
            grad_input = wide - means[0].view(shape) - normalized * means[1].view(shape)
            scale = invstd if weight is None else invstd * weight
            grad_input = (grad_input * scale.view(shape)).to(input.dtype)
        grad_weight = grad_weight.to(weight.dtype) if ctx.needs_input_grad[1] else None
        grad_bias = (
            grad_bias.to(weight.dtype if weight is not None else grad.dtype) if ctx.needs_input_grad[2] else None
        )
        return grad_input, grad_weight, grad_bias, None, None, None, None


def _combined(everyone):
    """Mean, biased variance and number of samples of all processes from those of each, ``(processes, 3, C)``."""
    means, variances, counts = everyone.unbind(1)
    total = counts.sum(0)
    mean = (means * counts).sum(0) / total
    variance = ((variances + (means - mean).square()) * counts).sum(0) / total
    return mean, variance, total


def _update(running, mean, variance, count, momentum):
    with corten.no_grad():
        for kept, new in zip(running, (mean, variance * count / (count - 1))):
            kept.mul_(1 - momentum).add_(new.to(kept.dtype), alpha=momentum)


def sync_batch_norm(input, running_mean, running_var, weight, bias, eps, momentum, group):
    """Normalises each channel of ``(N, C, *)`` over the batches of all processes in a group.

    The running statistics, unless they are None, take over a share ``momentum`` of the new ones, in place. Its
    gradients cannot be differentiated again.
    """
    running = None if running_mean is None else (running_mean, running_var)
    return _SyncBatchNorm.apply(input, weight, bias, running, eps, momentum, group)
