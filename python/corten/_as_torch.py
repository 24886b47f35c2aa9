"""`install_as_torch`: `import torch` means corten in this process and in the processes that it starts.

``torch`` and ``torch.x.y`` are made the same module objects as ``corten`` and ``corten.x.y``, so that classes,
`isinstance` and pickles agree whichever name a program uses.
"""

import importlib
import importlib.util
import os
import sys
from importlib import machinery, metadata

import corten

__all__ = ["install_as_torch"]

# The release of PyTorch whose names and meaning corten has.
PYTORCH = "2.13.0"
VERSIONS = {"torch": PYTORCH, "torchvision": "0.28.0"}
_PACKAGES = {"torch": "corten", "torchvision": "corten.vision"}


def _home(name):
    """The module of corten that `name` means; None for modules of other packages."""
    package, _, rest = name.partition(".")
    if package not in _PACKAGES:
        return None
    return ".".join(filter(None, (_PACKAGES[package], rest)))


def _spoken(name):
    """What PyTorch calls a module of corten."""
    return "torchvision" + name[13:] if name.startswith("corten.vision") else "torch" + name.removeprefix("corten")


def _hint(home):
    from ._missing import hint

    text = hint(home)
    return f": {text}" if text else ""


def _is_import(by="_find_and_load"):
    """Whether a finder was called by an import, not by `importlib.util.find_spec`, which wants to hear None."""
    frame = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__") == "importlib._bootstrap":
        if frame.f_code.co_name == by:
            return True
        frame = frame.f_back
    return False


def _cannot_import(home, text):
    parent, _, child = home.rpartition(".")
    return ImportError(f"cannot import name {child!r} from {_spoken(parent)!r}{text}", name=_spoken(parent))


class _Loader:
    """Puts the module of corten under the other name."""

    def __init__(self, home):
        self.home = home

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        # The import system takes what stands in sys.modules after this, and leaves that module's own spec alone.
        sys.modules[module.__spec__.name] = importlib.import_module(self.home)

    def get_code(self, name):
        """The code of a module that is run as a program."""
        return importlib.util.find_spec(self.home).loader.get_code(self.home)


class _TorchFinder:
    """Finds `torch`, `torchvision` and their submodules, before any that may be installed."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        home = _home(name)
        if home is None:
            return None
        try:
            found = importlib.util.find_spec(home)
        except ModuleNotFoundError:
            found = None
        if found is not None:
            spec = machinery.ModuleSpec(name, _Loader(home), origin=found.origin)
            if found.submodule_search_locations is not None:
                spec.submodule_search_locations = list(found.submodule_search_locations)
            return spec
        text = _hint(home)
        # `from torch import name` passes over modules that are not found.
        if text and _is_import(by="_handle_fromlist"):
            raise _cannot_import(home, text)
        if _is_import():
            raise ModuleNotFoundError(f"No module named {name!r}{text}", name=name)
        return None

    @staticmethod
    def find_distributions(context=metadata.DistributionFinder.Context()):  # noqa: B008  (the protocol's default)
        """What `importlib.metadata` tells about ``torch`` and ``torchvision``."""
        return [_Distribution(name) for name in _PACKAGES if context.name in (None, name)]

    @staticmethod
    def invalidate_caches():
        """Nothing is kept."""


class _LackFinder:
    """Asked last: says what stands in for a name that `from torch import name` did not find."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if not name.startswith("corten.") or not _is_import():
            return None
        text = _hint(name)
        if not text:
            return None
        raise _cannot_import(name, text)


class _Distribution(metadata.Distribution):
    """The metadata of a package that corten stands for."""

    def __init__(self, name):
        self._name = name

    def read_text(self, filename):
        if filename != "METADATA":
            return None
        version = _version(self._name)
        return f"Metadata-Version: 2.1\nName: {self._name}\nVersion: {version}\nSummary: corten under this name\n"

    def locate_file(self, path):
        return os.path.join(os.path.dirname(os.path.dirname(corten.__file__)), path)


def _version(name):
    """PyTorch's release with corten's as its local part, which tells who answers."""
    return f"{VERSIONS[name]}+corten{_OWN_VERSION}"


_OWN_VERSION = corten.__version__


class _Inheritance:
    """Unpickled in a process that `multiprocessing` spawns, before it imports the program: installs there as well."""

    def __reduce__(self):
        folder = os.path.dirname(os.path.dirname(os.path.abspath(corten.__file__)))
        # The folders to import from are sent after this.
        text = f"import sys\nsys.path.append({folder!r})\nimport corten\ncorten.install_as_torch()"
        return exec, (text,)


def _reach_spawned_processes():
    from multiprocessing import spawn

    prepare = spawn.get_preparation_data

    def get_preparation_data(name):
        return {"corten": _Inheritance(), **prepare(name)}

    spawn.get_preparation_data = get_preparation_data


def _print_as_torch():
    """Tensors, dtypes and sizes print as PyTorch's do; programs compare and parse such texts."""
    from . import _core, _spoken

    _spoken.name = "torch"
    for kind in (_core.dtype, _core.layout, _core.memory_format):
        kind.__repr__ = _renamed(kind.__repr__)


def _renamed(show):
    return lambda self: "torch." + show(self).removeprefix("corten.")


def install_as_torch():
    """Makes `import torch`, its submodules and `torchvision` mean corten in this process.

    ``torch.nn`` is then ``corten.nn``, the same object, and so is every module, whether or not PyTorch is installed,
    which is not imported. ``torch.__version__`` and `importlib.metadata.version` tell the release of PyTorch whose
    interface corten has, with corten's own version behind the plus sign. Processes that `multiprocessing` or a
    `DataLoader` starts inherit it, forked or spawned. Calling it again does nothing.

    Raises:
        RuntimeError: PyTorch was imported before.

    Example:
        >>> import corten
        >>> corten.install_as_torch()
        >>> import torch.nn.functional as F
        >>> F is corten.nn.functional
        True
    """
    if sys.modules.get("torch") is corten:
        return
    for name in _PACKAGES:
        present = sys.modules.get(name)
        if present is not None:
            place = getattr(present, "__file__", None) or "a module without a file"
            raise RuntimeError(
                f"{name} is imported already ({place}): call corten.install_as_torch() before anything imports {name}, "
                "or start the program with `python -m corten run`"
            )
    from . import version
    from .torch_version import TorchVersion

    sys.meta_path.insert(0, _TorchFinder)
    sys.meta_path.append(_LackFinder)
    sys.modules["torch"] = corten
    _print_as_torch()
    corten.__version__ = version.__version__ = TorchVersion(_version("torch"))
    # Packages ask the module for its name before they replace parts of it.
    corten.__name__ = "torch"
    _reach_spawned_processes()
