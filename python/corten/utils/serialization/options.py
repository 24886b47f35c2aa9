"""What ``torch.serialization`` lets a program choose beside the arguments of `save` and `load`."""

import enum
import mmap as _mmap
import sys

__all__ = [
    "LoadEndianness",
    "SourceChangeWarning",
    "default_restore_location",
    "get_default_load_endianness",
    "get_default_mmap_options",
    "location_tag",
    "register_package",
    "set_default_load_endianness",
    "set_default_mmap_options",
    "skip_data",
]


class SourceChangeWarning(Warning):
    """For programs that filter it: files hold no source code here, so none can have changed."""


class LoadEndianness(enum.Enum):
    """The order of the bytes in a file that does not say it."""

    NATIVE = 1
    LITTLE = 2
    BIG = 3


class _Chosen:
    """The choices of the process."""

    endianness: LoadEndianness | None = None
    mmap_flags: int | None = getattr(_mmap, "MAP_PRIVATE", None)
    skips_data = False


def get_default_load_endianness():
    """The order of bytes that `load` takes for that of zip files which do not say theirs; None for little."""
    return _Chosen.endianness


def set_default_load_endianness(endianness):
    """Chooses how `load` reads zip files without a record ``byteorder``, as PyTorch before 2.0.1 wrote them.

    Args:
        endianness: a `LoadEndianness`, or None for little.

    Raises:
        TypeError: it is neither.
    """
    if endianness is not None and not isinstance(endianness, LoadEndianness):
        raise TypeError("Invalid argument type in function set_default_load_endianness")
    _Chosen.endianness = endianness


def get_default_mmap_options():
    """The flags of ``load(..., mmap=True)``: ``mmap.MAP_PRIVATE``."""
    return _Chosen.mmap_flags


def file_order():
    """``"little"`` or ``"big"``: how a zip file is read that does not say its order."""
    chosen = _Chosen.endianness
    if chosen is LoadEndianness.NATIVE:
        return sys.byteorder
    return "big" if chosen is LoadEndianness.BIG else "little"


class set_default_mmap_options:
    """Chooses the flags of ``load(..., mmap=True)``, until the end of a ``with`` block where it is used as one.

    Args:
        flags: ``mmap.MAP_PRIVATE``: changes of the tensors stay in memory.

    Raises:
        NotImplementedError: for ``mmap.MAP_SHARED``, by which changes would reach the file.
        ValueError: for other flags.
    """

    def __init__(self, flags):
        if flags == getattr(_mmap, "MAP_SHARED", None):
            raise NotImplementedError(
                "set_default_mmap_options: MAP_SHARED would write changes of tensors into the checkpoint; "
                "use corten.from_file(..., shared=True) for memory that a file backs"
            )
        if flags != getattr(_mmap, "MAP_PRIVATE", None):
            raise ValueError(
                f"Invalid argument in function set_default_mmap_options, expected mmap.MAP_PRIVATE, but got {flags}"
            )
        self.prev = _Chosen.mmap_flags
        _Chosen.mmap_flags = flags

    def __enter__(self):
        return None

    def __exit__(self, *error):
        _Chosen.mmap_flags = self.prev


class skip_data:
    """Inside the block the elements of tensors are left out: `save` writes zeros in their place, `load` reads none.

    It holds for the zip format; tensors that are loaded are zero.

    Args:
        materialize_fake_tensors: accepted; every tensor has its values.
    """

    def __init__(self, materialize_fake_tensors=False):
        self.materialize_fake_tensors = materialize_fake_tensors

    def __enter__(self):
        self._before, _Chosen.skips_data = _Chosen.skips_data, True

    def __exit__(self, *error):
        _Chosen.skips_data = self._before


def location_tag(storage):
    """The device of a storage, as files name it."""
    return str(storage.device)


def default_restore_location(storage, location):
    """The storage on the device that ``location`` names: for functions given to `load` as ``map_location``.

    Raises:
        RuntimeError: there is no such device.
    """
    from ...serialization import _check_device

    return storage.to(device=_check_device(location) or "cpu")


def register_package(priority, tagger, deserializer):
    """Not there: tensors are saved from and loaded to the devices that corten has.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError("register_package: give corten.load a function (storage, location) as map_location")
