"""Batch and instance normalisation, with running statistics and lazy variants."""

import sys
import warnings

import corten

from .. import functional as F
from .. import init
from ..parameter import Parameter, UninitializedBuffer, UninitializedParameter
from .lazy import LazyModuleMixin
from .module import Module


class _NormBase(Module):
    """Affine parameters and running statistics of batch and instance normalisation."""

    # Version 2 added num_batches_tracked.
    _version = 2

    def __init__(
        self,
        num_features,
        eps=1e-5,
        momentum=0.1,
        affine=True,
        track_running_stats=True,
        device=None,
        dtype=None,
        *,
        bias=True,
    ):
        super().__init__()
        options = {"device": device, "dtype": dtype}
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.register_parameter("weight", Parameter(corten.empty(num_features, **options)) if affine else None)
        has_bias = affine and bias
        self.register_parameter("bias", Parameter(corten.empty(num_features, **options)) if has_bias else None)
        tracked = track_running_stats
        self.register_buffer("running_mean", corten.zeros(num_features, **options) if tracked else None)
        self.register_buffer("running_var", corten.ones(num_features, **options) if tracked else None)
        count = corten.tensor(0, dtype=corten.int64, device=device) if tracked else None
        self.register_buffer("num_batches_tracked", count)
        self.reset_parameters()

    def reset_running_stats(self):
        """Sets the running mean to 0, the variance to 1 and the count of batches to 0."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self):
        """Resets the statistics and sets the weight to 1 and the bias to 0."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _check_input_dim(self, input):
        raise NotImplementedError

    def extra_repr(self):
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ):
        version = local_metadata.get("version", None)
        if (version is None or version < 2) and self.track_running_stats:
            key = prefix + "num_batches_tracked"
            if key not in state_dict:
                current = self.num_batches_tracked
                usable = current is not None and current.device.type != "meta"
                state_dict[key] = current if usable else corten.tensor(0, dtype=corten.int64)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )


class _BatchNorm(_NormBase):
    def _count_batch(self):
        """Counts a batch in training; returns its share in the running statistics."""
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                # A cumulative average weighs every batch alike.
                momentum = 1.0 / float(self.num_batches_tracked)
        return momentum

    def forward(self, input):
        """Normalises ``input``; in training the running statistics are updated."""
        self._check_input_dim(input)
        momentum = self._count_batch()
        use_batch_stats = self.training or (self.running_mean is None and self.running_var is None)
        # In training without tracking the buffers, if any, are not touched.
        keep = not self.training or self.track_running_stats
        return F.batch_norm(
            input,
            self.running_mean if keep else None,
            self.running_var if keep else None,
            self.weight,
            self.bias,
            use_batch_stats,
            momentum,
            self.eps,
        )


def _check_rank(input, allowed):
    if input.dim() not in allowed:
        expected = " or ".join(f"{rank}D" for rank in allowed)
        raise ValueError(f"expected {expected} input (got {input.dim()}D input)")


class BatchNorm1d(_BatchNorm):
    """Normalises each channel of ``(N, C)`` or ``(N, C, L)`` over the batch (Ioffe & Szegedy 2015).

    Args:
        num_features: the number of channels C.
        eps: added to the variance.
        momentum: share of a new batch in the running statistics; None for the average of all batches.
        affine: whether to scale and shift by learned ``weight`` and ``bias`` of shape ``(C,)``.
        track_running_stats: whether evaluation uses running statistics rather than the batch's.
        bias: whether the affine map has a shift.
    """

    def _check_input_dim(self, input):
        _check_rank(input, (2, 3))


class BatchNorm2d(_BatchNorm):
    """Normalises each channel of ``(N, C, H, W)`` over the batch; arguments as in :class:`BatchNorm1d`."""

    def _check_input_dim(self, input):
        _check_rank(input, (4,))


class BatchNorm3d(_BatchNorm):
    """Normalises each channel of ``(N, C, D, H, W)`` over the batch; arguments as in :class:`BatchNorm1d`."""

    def _check_input_dim(self, input):
        _check_rank(input, (5,))


class SyncBatchNorm(_BatchNorm):
    """In training, batch normalisation of ``(N, C, *)`` over the batches of all processes (`corten.distributed`).

    In evaluation, and where there is no group of several processes, it is :class:`BatchNorm1d` of any rank.
    Its gradients cannot be differentiated again.

    Args:
        process_group: the processes whose batches are one; all of them where it is not given.
        num_features, eps, momentum, affine, track_running_stats, bias: as in :class:`BatchNorm1d`.
    """

    def __init__(
        self,
        num_features,
        eps=1e-5,
        momentum=0.1,
        affine=True,
        track_running_stats=True,
        process_group=None,
        device=None,
        dtype=None,
        *,
        bias=True,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self.process_group = process_group

    def _check_input_dim(self, input):
        if input.dim() < 2:
            raise ValueError(f"expected at least 2D input (got {input.dim()}D input)")

    def _group(self):
        """The group of several processes that normalises together, or None."""
        distributed = sys.modules.get("corten.distributed")
        if not self.training or distributed is None or not distributed.is_initialized():
            return None
        group = distributed.group.WORLD if self.process_group is None else self.process_group
        return group if distributed.get_world_size(group) > 1 else None

    def forward(self, input):
        """Normalises ``input``; in training the running statistics are updated."""
        group = self._group()
        if group is None:
            return super().forward(input)
        from .._functional.sync_batch_norm import sync_batch_norm

        self._check_input_dim(input)
        if input.shape[1] != self.num_features:
            raise ValueError(
                f"SyncBatchNorm: expected {self.num_features} channels at dim 1, got input of shape "
                f"{tuple(input.shape)}"
            )
        momentum = self._count_batch()
        running = (self.running_mean, self.running_var) if self.track_running_stats else (None, None)
        return sync_batch_norm(input, *running, self.weight, self.bias, self.eps, momentum, group)

    @classmethod
    def convert_sync_batchnorm(cls, module, process_group=None):
        """The module with a SyncBatchNorm, of the same parameters and state, for each batch normalisation in it."""
        converted = module
        if isinstance(module, _BatchNorm):
            options = module.eps, module.momentum, module.affine, module.track_running_stats, process_group
            converted = cls(module.num_features, *options)
            converted.weight, converted.bias = module.weight, module.bias
            converted.running_mean, converted.running_var = module.running_mean, module.running_var
            converted.num_batches_tracked = module.num_batches_tracked
            converted.training = module.training
        for name, child in module.named_children():
            converted.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return converted


class _InstanceNorm(_NormBase):
    def __init__(
        self,
        num_features,
        eps=1e-5,
        momentum=0.1,
        affine=False,
        track_running_stats=False,
        device=None,
        dtype=None,
        *,
        bias=True,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ):
        version = local_metadata.get("version", None)
        if version is None and not self.track_running_stats:
            # Old checkpoints hold statistics that this module would ignore.
            found = [name for name in ("running_mean", "running_var") if prefix + name in state_dict]
            if found:
                names = " and ".join(f'"{prefix + name}"' for name in found)
                kind = type(self).__name__
                error_msgs.append(
                    f"Unexpected running stats buffer(s) {names} for {kind} with track_running_stats=False. If "
                    "state_dict is a checkpoint saved before 0.4.0, this may be expected because "
                    f"{kind} does not track running stats by default since 0.4.0. Please remove these keys from "
                    "state_dict. If the running stats are actually needed, instead set track_running_stats=True in "
                    f"{kind} to enable them. See the documentation of {kind} for details."
                )
                for name in found:
                    state_dict.pop(prefix + name)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def forward(self, input):
        """Normalises ``input``, batched or not."""
        self._check_input_dim(input)
        channel_dim = input.dim() - self._unbatched_rank
        if input.shape[channel_dim] != self.num_features:
            if self.affine:
                raise ValueError(
                    f"expected input's size at dim={channel_dim} to match num_features ({self.num_features}), but "
                    f"got: {input.shape[channel_dim]}."
                )
            warnings.warn(
                f"input's size at dim={channel_dim} does not match num_features. You can silence this warning by not "
                "passing in num_features, which is not used because affine=False",
                stacklevel=2,
            )
        if channel_dim == 0:
            return self._normalize(input.unsqueeze(0)).squeeze(0)
        return self._normalize(input)

    def _normalize(self, input):
        return F.instance_norm(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            self.momentum if self.momentum is not None else 0.0,
            self.eps,
        )

    # Rank of one sample: channels and the spatial dimensions.
    _unbatched_rank: int

    def _check_input_dim(self, input):
        _check_rank(input, (self._unbatched_rank, self._unbatched_rank + 1))


class InstanceNorm1d(_InstanceNorm):
    """Normalises each channel of each sample of ``(N, C, L)`` or ``(C, L)`` (Ulyanov et al. 2016).

    Arguments as in :class:`BatchNorm1d`, but without affine map and running statistics by default.
    """

    _unbatched_rank = 2


class InstanceNorm2d(_InstanceNorm):
    """Normalises each channel of each sample of ``(N, C, H, W)`` or ``(C, H, W)``; as :class:`InstanceNorm1d`."""

    _unbatched_rank = 3


class InstanceNorm3d(_InstanceNorm):
    """Normalises each channel of each sample of ``(N, C, D, H, W)``; as :class:`InstanceNorm1d`."""

    _unbatched_rank = 4


class _LazyNormBase(LazyModuleMixin, _NormBase):
    """A normalisation that takes ``num_features`` from its first input."""

    def __init__(
        self,
        eps=1e-5,
        momentum=0.1,
        affine=True,
        track_running_stats=True,
        device=None,
        dtype=None,
        *,
        bias=True,
    ):
        # The base allocates nothing; what is asked for follows as uninitialized tensors.
        super().__init__(0, eps, momentum, False, False)
        options = {"device": device, "dtype": dtype}
        self.affine = affine
        self.track_running_stats = track_running_stats
        if affine:
            self.weight = UninitializedParameter(**options)
            if bias:
                self.bias = UninitializedParameter(**options)
        if track_running_stats:
            self.running_mean = UninitializedBuffer(**options)
            self.running_var = UninitializedBuffer(**options)
            self.num_batches_tracked = corten.tensor(0, dtype=corten.int64, device=device)

    def reset_parameters(self):
        """Resets statistics and parameters once the size is known."""
        if not self.has_uninitialized_params() and self.num_features != 0:
            super().reset_parameters()

    def initialize_parameters(self, input):
        """Allocates parameters and statistics for ``input``'s channels."""
        if not self.has_uninitialized_params():
            return
        self._check_input_dim(input)
        self.num_features = input.shape[1]
        for tensor in (self.weight, self.bias, self.running_mean, self.running_var):
            if tensor is not None:
                tensor.materialize((self.num_features,))
        self.reset_parameters()


class _LazyInstanceNormBase(_LazyNormBase):
    def __init__(
        self, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True, device=None, dtype=None, *, bias=True
    ):
        super().__init__(eps, momentum, affine, track_running_stats, device, dtype, bias=bias)


class LazyBatchNorm1d(_LazyNormBase, _BatchNorm):
    """A :class:`BatchNorm1d` without ``num_features``, which it takes from its first input."""

    cls_to_become = BatchNorm1d
    _check_input_dim = BatchNorm1d._check_input_dim


class LazyBatchNorm2d(_LazyNormBase, _BatchNorm):
    """A :class:`BatchNorm2d` without ``num_features``, which it takes from its first input."""

    cls_to_become = BatchNorm2d
    _check_input_dim = BatchNorm2d._check_input_dim


class LazyBatchNorm3d(_LazyNormBase, _BatchNorm):
    """A :class:`BatchNorm3d` without ``num_features``, which it takes from its first input."""

    cls_to_become = BatchNorm3d
    _check_input_dim = BatchNorm3d._check_input_dim


class LazyInstanceNorm1d(_LazyNormBase, _InstanceNorm):
    """An :class:`InstanceNorm1d` without ``num_features``, which it takes from its first input."""

    cls_to_become = InstanceNorm1d
    _unbatched_rank = 2
    _check_input_dim = _InstanceNorm._check_input_dim


class LazyInstanceNorm2d(_LazyNormBase, _InstanceNorm):
    """An :class:`InstanceNorm2d` without ``num_features``, which it takes from its first input."""

    cls_to_become = InstanceNorm2d
    _unbatched_rank = 3
    _check_input_dim = _InstanceNorm._check_input_dim


class LazyInstanceNorm3d(_LazyNormBase, _InstanceNorm):
    """An :class:`InstanceNorm3d` without ``num_features``, which it takes from its first input."""

    cls_to_become = InstanceNorm3d
    _unbatched_rank = 4
    _check_input_dim = _InstanceNorm._check_input_dim
