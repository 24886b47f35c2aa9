"""Meshes of devices over which tensors are spread, which corten does not have; annotations speak of them."""

__all__ = ["DeviceMesh", "init_device_mesh"]


def _refused(name):
    return NotImplementedError(
        f"{name}: a tensor lies on one device; processes of one machine average gradients with "
        "corten.nn.parallel.DistributedDataParallel"
    )


class DeviceMesh:
    """Devices in rows and columns; there is none."""

    def __init__(self, *args, **kwargs):
        raise _refused("DeviceMesh")


def init_device_mesh(device_type, mesh_shape, *, mesh_dim_names=None, backend_override=None):
    """Raises NotImplementedError: a tensor lies on one device."""
    raise _refused("init_device_mesh")
