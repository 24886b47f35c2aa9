"""How lists of tensors are put into groups whose operators run as one; the names under which packages look for it."""

from .. import _core

__all__: list[str] = []


def _get_foreach_kernels_supported_devices():
    """The kinds of devices, besides the CPU, that run operators on lists of tensors: a GPU goes by both names."""
    return ["cuda", "gpu"]


def _get_fused_kernels_supported_devices():
    """The kinds of devices on which an optimizer's step is fused."""
    return ["cpu", *_get_foreach_kernels_supported_devices()]


def _device_has_foreach_support(device):
    """Whether operators on lists of tensors run on a device."""
    return device.type in ("cpu", *_get_foreach_kernels_supported_devices())


def _has_foreach_support(tensors, device):
    """Whether operators on lists run on these tensors, of which None may be some, on a device."""
    return _device_has_foreach_support(device) and all(t is None or isinstance(t, _core.Tensor) for t in tensors)


def _group_tensors_by_device_and_dtype(tensorlistlist, with_indices=False):
    """Puts columns of lists together whose tensors in the first list share device and dtype.

    Args:
        tensorlistlist: lists of as many tensors; all but the first may hold None, or be empty.
        with_indices: also tells the columns' places.

    Returns:
        A dictionary from ``(device, dtype)`` to the lists of the group and its places, none without `with_indices`.

    Raises:
        RuntimeError: the first list is empty or holds None, or another one has another length.
    """
    first, *others = tensorlistlist
    if not first:
        raise RuntimeError("_group_tensors_by_device_and_dtype: the first list must have at least one tensor")
    if uneven := [len(tensors) for tensors in others if tensors and len(tensors) != len(first)]:
        raise RuntimeError(
            f"_group_tensors_by_device_and_dtype: lists must have the first one's {len(first)} tensors or none, "
            f"got {uneven[0]}"
        )
    groups = {}
    for place, tensor in enumerate(first):
        if tensor is None:
            raise RuntimeError(f"_group_tensors_by_device_and_dtype: tensor {place} of the first list is None")
        groups.setdefault((tensor.device, tensor.dtype), []).append(place)
    return {
        key: (
            [[tensors[place] for place in places] if tensors else [] for tensors in tensorlistlist],
            places if with_indices else [],
        )
        for key, places in groups.items()
    }
