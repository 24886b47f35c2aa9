"""Copies of a module on several devices: here the module itself, on the one device that there is."""

__all__ = ["replicate"]


def replicate(network, devices, detach=False):
    """A list with the module itself, moved to the one device.

    Args:
        network: the module.
        devices: one device or number of one.
        detach: accepted.

    Raises:
        NotImplementedError: for several devices.
        RuntimeError: for none.
    """
    from .data_parallel import _device

    devices = list(devices)
    if not devices:
        raise RuntimeError("replicate: devices must name a device, got none")
    return [network.to(_device(devices))]
