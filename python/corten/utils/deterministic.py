"""``torch.utils.deterministic``: whether new memory is filled where `use_deterministic_algorithms` was asked for."""

import sys
import types


class _Deterministic(types.ModuleType):
    """The module, with settings for attributes."""

    _filled = True

    @property
    def fill_uninitialized_memory(self):
        """Notes whether memory that nobody wrote should be filled, True at first.

        It always is: `empty` and its kin give zeros, whatever this says.

        Raises:
            RuntimeError: set to something that is no bool.
        """
        return self._filled

    @fill_uninitialized_memory.setter
    def fill_uninitialized_memory(self, mode):
        if not isinstance(mode, bool):
            raise RuntimeError(f"fill_uninitialized_memory: expected a bool, but got {type(mode).__name__}")
        _Deterministic._filled = mode


sys.modules[__name__].__class__ = _Deterministic
