"""Python runs this at the start of every process that a program under `python -m corten run` starts.

corten itself is imported when the process imports ``torch``, so that others start as fast as ever.
"""

import importlib.util
import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
_PACKAGES = os.path.dirname(os.path.dirname(_HERE))


class _Waiting:
    """Installs corten as ``torch`` when that is first imported."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] not in ("torch", "torchvision"):
            return None
        sys.meta_path.remove(_Waiting)
        try:
            import corten
        except ModuleNotFoundError:
            sys.path.append(_PACKAGES)
            import corten
        corten.install_as_torch()
        # The import system would run a module once more that it finds under the name by now.
        sys.modules.pop(name, None)
        return importlib.util.find_spec(name)

    @staticmethod
    def find_distributions(context=None):
        """What `importlib.metadata` tells is told by corten."""
        if _Waiting in sys.meta_path and getattr(context, "name", None) in ("torch", "torchvision"):
            _Waiting.find_spec("torch")
            return sys.meta_path[0].find_distributions(context)
        return []


def _run_hidden():
    """Runs the sitecustomize that this one stands in front of."""
    from importlib.machinery import PathFinder

    rest = [folder for folder in sys.path if os.path.abspath(folder or ".") != _HERE]
    spec = PathFinder.find_spec("sitecustomize", rest)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


# An older Python in another environment has no use for it.
if sys.version_info >= (3, 11):  # noqa: UP036
    sys.meta_path.insert(0, _Waiting)
_run_hidden()
