"""Switches of PyTorch's backward passes that are accepted: gradients have their strides, and passes their thread."""


class _Accepted:
    """A setting, made at once and undone where the block ends; it changes nothing."""

    def __init__(self, mode=True):
        self.mode = bool(mode)

    def __enter__(self):
        return None

    def __exit__(self, *exception):
        return None

    def __call__(self, function):
        return function

    def clone(self):
        """A fresh manager of the same kind."""
        return type(self)(self.mode)


class set_multithreading_enabled(_Accepted):
    """Accepted: a backward pass runs on the thread that calls it, and its kernels on all threads.

    Args:
        mode: whether PyTorch's passes may use a thread for each device.
    """


def is_multithreading_enabled():
    """False: a backward pass runs on the thread that calls it."""
    return False


class enforce_grad_layout_policy(_Accepted):
    """Accepted: accumulated gradients have their parameter's strides.

    Args:
        enable: whether PyTorch enforces that.
    """

    def __init__(self, enable=True):
        super().__init__(enable)
