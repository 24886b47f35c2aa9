"""Hooks that average gradients, as they are or in 16 bits."""

import corten

from ..._collectives import all_reduce


def allreduce_hook(process_group, bucket):
    """The mean over the processes of a group, of all where it is None: what happens without a hook."""
    return _mean(process_group, bucket.buffer(), bucket.buffer().dtype)


def fp16_compress_hook(process_group, bucket):
    """The mean of gradients that travel as float16 and are converted back."""
    return _mean(process_group, bucket.buffer(), corten.float16)


def bf16_compress_hook(process_group, bucket):
    """The mean of gradients that travel as bfloat16 and are converted back."""
    return _mean(process_group, bucket.buffer(), corten.bfloat16)


def _mean(group, buffer, dtype):
    from ... import get_world_size

    # Divided first: a sum of large gradients may exceed 16 bits.
    sent = buffer.to(dtype).div_(get_world_size(group))
    work = all_reduce(sent, group=group, async_op=True)
    return work.get_future().then(lambda future: future.value()[0].to(buffer.dtype))


def fp16_compress_wrapper(hook):
    """``hook`` on gradients that are float16 while it has them."""
    return _wrapped(hook, corten.float16)


def bf16_compress_wrapper(hook):
    """``hook`` on gradients that are bfloat16 while it has them."""
    return _wrapped(hook, corten.bfloat16)


def _wrapped(hook, dtype):
    def compressed(state, bucket):
        whole = bucket.buffer().dtype
        bucket.set_buffer(bucket.buffer().to(dtype))

        def back(future):
            value = future.value()
            return (value[0] if isinstance(value, (list, tuple)) else value).to(whole)

        return hook(state, bucket).then(back)

    return compressed
