"""DataParallel on the one device that there is."""

import corten

from ..modules.module import Module


def _device(device_ids):
    """The device that the ids name, or None where tensors stay where they are.

    Raises:
        NotImplementedError: they name several.
    """
    ids = [] if device_ids is None else list(device_ids)
    if len(ids) > 1:
        raise NotImplementedError(
            f"DataParallel: a module runs on one device, got device_ids={ids}; use device_ids=[{ids[0]}]"
        )
    if not ids:
        return None
    return corten.device("cuda", ids[0]) if isinstance(ids[0], int) else corten.device(ids[0])


def _moved(value, device):
    if device is None:
        return value
    from ...utils._pytree import tree_map

    return tree_map(lambda x: x.to(device) if isinstance(x, corten.Tensor) else x, value)


class DataParallel(Module):
    """The module itself, whose state has names that begin with ``module.``, as programs for several GPUs expect.

    Args:
        module: what is called.
        device_ids: the device that inputs are moved to; where it is not given, they stay where they are.
        output_device: where results are moved to.
        dim: the dim of the batch, accepted.

    Raises:
        NotImplementedError: for several devices.
    """

    def __init__(self, module, device_ids=None, output_device=None, dim=0):
        super().__init__()
        self.dim = dim
        self.module = module
        self._target = _device(device_ids)
        self.device_ids = [] if device_ids is None else list(device_ids)
        self.output_device = output_device
        if self._target is not None:
            self.module.to(self._target)

    def forward(self, *inputs, **kwargs):
        """The module's result."""
        inputs, kwargs = _moved((inputs, kwargs), self._target)
        output = self.module(*inputs, **kwargs)
        return output if self.output_device is None else _moved(output, _device([self.output_device]))


def data_parallel(module, inputs, device_ids=None, output_device=None, dim=0, module_kwargs=None):
    """The result of ``module(*inputs, **module_kwargs)``, as :class:`DataParallel` computes it."""
    inputs = inputs if isinstance(inputs, tuple) else (() if inputs is None else (inputs,))
    return DataParallel(module, device_ids, output_device, dim)(*inputs, **(module_kwargs or {}))
