"""DistributedDataParallel: a module that trains in several processes."""

import contextlib

import corten

from ..modules.module import Module

_NOTHING = "DistributedDataParallel is not needed when a module doesn't have any parameter that requires a gradient."


class DistributedDataParallel(Module):
    """Trains one module in all processes of a group, each on batches of its own.

    The module's state is that of rank 0 when training begins. During backward the gradients are replaced by their mean
    over the processes, in buckets that leave as soon as their gradients are there, so that equal optimizers make equal
    steps: as in training one process on all batches together, with a loss that is the mean over samples.

    Args:
        module: what is trained; its parameters are fixed from here on.
        device_ids: the GPU on which the module is, to which inputs are moved; None for the CPU.
        output_device, dim, check_reduction, gradient_as_bucket_view, batched_grad_copy, skip_all_reduce_unused_params:
            accepted.
        broadcast_buffers: whether buffers, such as running statistics, are those of rank 0 at each forward.
        init_sync: whether the state of rank 0 is sent, and the shapes of parameters compared, now.
        process_group: the group of all processes where it is not given.
        bucket_cap_mb: MiB of gradients that travel together; 25 where it is not given.
        find_unused_parameters: looks for parameters that the outputs do not depend on, and does not wait for them.
        static_graph: the parameters that are used do not change from pass to pass.
        forward_sync_buffers: ``broadcast_buffers`` that leaves the sending at the beginning alone.

    Shape: inputs and outputs are those of the module, so is ``state_dict``, under names that begin with ``module.``.

    Raises:
        ValueError: there is no process group, or the devices are wrong.
        RuntimeError: nothing requires a gradient, or processes have different parameters.
        NotImplementedError: for the options of PyTorch that are not here.

    Paper: Li et al. 2020, PyTorch Distributed: Experiences on Accelerating Data Parallel Training.
    """

    def __init__(
        self,
        module,
        device_ids=None,
        output_device=None,
        dim=0,
        broadcast_buffers=None,
        init_sync=True,
        process_group=None,
        bucket_cap_mb=None,
        find_unused_parameters=False,
        check_reduction=False,
        gradient_as_bucket_view=False,
        static_graph=False,
        delay_all_reduce_named_params=None,
        param_to_hook_all_reduce=None,
        mixed_precision=None,
        device_mesh=None,
        skip_all_reduce_unused_params=False,
        bucket_cap_mb_list=None,
        batched_grad_copy=False,
        forward_sync_buffers=None,
    ):
        from ...distributed import _group

        super().__init__()
        _refuse_options(
            delay_all_reduce_named_params=delay_all_reduce_named_params,
            param_to_hook_all_reduce=param_to_hook_all_reduce,
            mixed_precision=mixed_precision,
            device_mesh=device_mesh,
            bucket_cap_mb_list=bucket_cap_mb_list,
        )
        self.process_group = _group.resolve(process_group)
        if self.process_group is None:
            raise ValueError("DistributedDataParallel: this process is not in the group")
        _check_parameters(module)
        self.device_ids, self.output_device = _check_devices(module, device_ids, output_device)
        self.dim = dim
        self.module = module
        self.device = next(module.parameters()).device
        self.find_unused_parameters = find_unused_parameters
        self.static_graph = static_graph
        self.gradient_as_bucket_view = gradient_as_bucket_view
        self.require_backward_grad_sync = self.require_forward_param_sync = True
        sync_first = True if broadcast_buffers is None or forward_sync_buffers is not None else broadcast_buffers
        wanted = broadcast_buffers if forward_sync_buffers is None else forward_sync_buffers
        self.forward_sync_buffers = True if wanted is None else wanted
        self.bucket_bytes_cap = int((25 if bucket_cap_mb is None else bucket_cap_mb) * (1 << 20))
        self._first_bucket = bucket_cap_mb is None
        self.parameters_to_ignore = set(getattr(module, "_ddp_params_and_buffers_to_ignore", ()))
        self._start(init_sync, sync_first)

    def _start(self, init_sync, sync_buffers):
        """Makes the reducer, and the state equal on all processes."""
        from ...distributed import _reducer

        names, parameters = self._trained()
        if not parameters:
            raise RuntimeError(_NOTHING)
        if init_sync:
            _reducer.check_same_parameters(parameters, self.process_group)
            state = [tensor for name, tensor in self.module.named_parameters() if name not in self.parameters_to_ignore]
            _reducer.broadcast_together(state + (self._buffers_to_sync() if sync_buffers else []), self.process_group)
        limit = self.bucket_bytes_cap
        first = min(limit, _reducer._DEFAULT_FIRST_BUCKET_BYTES) if self._first_bucket else limit
        self.reducer = _reducer.Reducer(
            parameters, names, self.process_group, first, limit, self.find_unused_parameters, self.static_graph
        )

    def _trained(self):
        found = [
            (name, parameter)
            for name, parameter in self.module.named_parameters()
            if parameter.requires_grad and name not in self.parameters_to_ignore
        ]
        return [name for name, _ in found], [parameter for _, parameter in found]

    def _buffers_to_sync(self):
        return [buffer for name, buffer in self.module.named_buffers() if name not in self.parameters_to_ignore]

    @property
    def broadcast_buffers(self):
        """Whether buffers are those of rank 0 at each forward."""
        return self.forward_sync_buffers

    @broadcast_buffers.setter
    def broadcast_buffers(self, value):
        self.forward_sync_buffers = value

    def will_sync_module_buffers(self):
        """Whether the next forward takes over the buffers of rank 0."""
        return self.require_forward_param_sync and self.forward_sync_buffers and bool(self._buffers_to_sync())

    def forward(self, *inputs, **kwargs):
        """Calls the module; where gradients are recorded, the next backward averages them over the processes."""
        from ...distributed._reducer import broadcast_together
        from ...utils._pytree import tree_leaves
        from .data_parallel import _moved

        if self.will_sync_module_buffers():
            broadcast_together(self._buffers_to_sync(), self.process_group)
        if self.device_ids:
            inputs, kwargs = _moved(inputs, self.device), _moved(kwargs, self.device)
        output = self.module(*inputs, **kwargs)
        self.require_forward_param_sync = corten.is_grad_enabled() and self.require_backward_grad_sync
        if self.require_forward_param_sync:
            tensors = [leaf for leaf in tree_leaves(output) if isinstance(leaf, corten.Tensor)]
            self.reducer.prepare(tensors)
        return output

    @contextlib.contextmanager
    def no_sync(self):
        """Inside the block gradients add up on each process; the first backward after a forward outside averages them.

        >>> with ddp.no_sync():
        ...     loss_fn(ddp(first), target).backward()
        >>> loss_fn(ddp(second), target).backward()
        """
        before = self.require_backward_grad_sync
        self.require_backward_grad_sync = False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before

    def register_comm_hook(self, state, hook):
        """Lets ``hook(state, bucket)`` combine the gradients of the processes instead.

        Args:
            state: given to each call.
            hook: takes a ``distributed.GradBucket`` and returns a future of a tensor ``(N,)`` like its buffer, such as
                those of ``distributed.algorithms.ddp_comm_hooks.default_hooks``.

        Raises:
            TypeError: ``hook`` cannot be called.
            RuntimeError: there is a hook already.
        """
        if not callable(hook):
            raise TypeError("Communication hook must be callable.")
        if self.reducer.hook is not None:
            raise RuntimeError("register_comm_hook or register_builtin_comm_hook can only be called once.")
        self.reducer.hook = state, hook

    def join(self, divide_by_initial_world_size=True, enable=True, throw_on_early_termination=False):
        """Not there: processes with fewer batches than others cannot leave early.

        Raises:
            NotImplementedError: unless ``enable`` is False.
        """
        if enable:
            raise NotImplementedError(
                "DistributedDataParallel.join: give every process as many batches, as "
                "utils.data.DistributedSampler does"
            )
        return contextlib.nullcontext()

    def train(self, mode=True):
        """Sets the module to training or evaluation."""
        super().train(mode)
        return self

    def __getstate__(self):
        state = self.__dict__.copy()
        # Groups belong to running processes; the copy joins that of all.
        for name in ("process_group", "reducer"):
            del state[name]
        return state

    def __setstate__(self, state):
        from ...distributed import _group

        super().__setstate__(state)
        self.process_group = _group.resolve(None)
        self.require_backward_grad_sync = self.require_forward_param_sync = True
        self._start(init_sync=False, sync_buffers=False)

    @staticmethod
    def _set_params_and_buffers_to_ignore_for_model(module, params_and_buffers_to_ignore):
        """Leaves parameters and buffers, by their names in the module, to each process itself."""
        module._ddp_params_and_buffers_to_ignore = params_and_buffers_to_ignore


def _refuse_options(**options):
    for name, value in options.items():
        if value is not None:
            raise NotImplementedError(f"DistributedDataParallel: {name} is not there; leave it out")


def _check_parameters(module):
    from ..parameter import UninitializedParameter

    parameters = list(module.parameters())
    if any(isinstance(parameter, UninitializedParameter) for parameter in parameters):
        raise RuntimeError(
            "Modules with uninitialized parameters can't be used with `DistributedDataParallel`. Run a dummy "
            "forward pass to "
            "correctly initialize the modules"
        )
    if not any(parameter.requires_grad for parameter in parameters):
        raise RuntimeError(_NOTHING)


def _check_devices(module, device_ids, output_device):
    """The ids of devices, as a list or None, and the device of outputs."""
    devices = {parameter.device for parameter in module.parameters()}
    kinds = {device.type for device in devices}
    if len(kinds) > 1:
        raise ValueError(
            "DistributedDataParallel's input module must be on the same type of devices, but input module parameters "
            f"locate in {kinds}."
        )
    ids = list(device_ids or ())
    if len(ids) > 1:
        raise ValueError("device_ids can only be None or contain a single element.")
    if (ids or output_device is not None) and (kinds == {"cpu"} or len(devices) > 1):
        raise ValueError(
            "DistributedDataParallel device_ids and output_device arguments only work with "
            "single-device/multiple-device "
            f"GPU modules or CPU modules, but got device_ids {device_ids}, output_device {output_device}, and module "
            f"parameters {devices}."
        )
    if not ids:
        return None, None
    return ids, ids[0] if output_device is None else output_device
