"""Images: data sets, networks, transforms, operators of detection, files and pictures, with torchvision's names."""

import importlib as _importlib

_PARTS = ("datasets", "io", "models", "ops", "transforms", "tv_tensors", "utils")
_backend = "PIL"

__all__ = [*_PARTS, "get_image_backend", "set_image_backend", "disable_beta_transforms_warning"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import datasets, io, models, ops, transforms, tv_tensors, utils
del TYPE_CHECKING


def __getattr__(name):
    # Each part is imported when it is first used: operators need no Pillow, data sets no operators.
    if name == "__version__":
        from .._as_torch import VERSIONS

        return VERSIONS["torchvision"]
    if name in __all__:
        return _importlib.import_module(f"{__name__}.{name}")
    from .._missing import missing

    raise missing(__name__, name)


def get_image_backend():
    """The package that reads images: always ``"PIL"``."""
    return _backend


def set_image_backend(backend):
    """Accepts ``"PIL"``, the one package that reads images here.

    Raises:
        ValueError: another backend.
    """
    if backend != "PIL":
        raise ValueError(f"Invalid backend '{backend}'. Images are read by 'PIL' alone.")


def disable_beta_transforms_warning():
    """Does nothing: no warning is given."""
