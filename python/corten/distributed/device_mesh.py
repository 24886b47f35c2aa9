"""Meshes of devices over which tensors are spread, which corten does not have; annotations speak of them."""

from .tensor import _refused

__all__ = ["DeviceMesh", "init_device_mesh"]


class DeviceMesh:
    """Devices in rows and columns; there is none."""

    def __init__(self, *args, **kwargs):
        raise _refused("DeviceMesh")


def init_device_mesh(device_type, mesh_shape, *, mesh_dim_names=None, backend_override=None):
    """Raises NotImplementedError: a tensor lies on one device."""
    raise _refused("init_device_mesh")
