"""Context managers and decorators that switch gradient recording on a thread."""

from .. import _core


class _Mode:
    """A context manager that also decorates functions and generator functions."""

    def __call__(self, function):
        import functools
        import inspect

        if inspect.isclass(function):
            function.__init__ = self(function.__init__)
            return function
        if inspect.isgeneratorfunction(function):
            return _wrap_generator(self, function)

        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            with self.clone():
                return function(*args, **kwargs)

        return wrapped

    def clone(self):
        """A fresh manager of the same kind, so that nested and recursive uses do not share state."""
        return type(self)()


def _wrap_generator(mode, function):
    import functools

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        generator = function(*args, **kwargs)
        send, value = generator.send, None
        while True:
            try:
                with mode.clone():
                    item = send(value)
            except StopIteration as stop:
                return stop.value
            try:
                value = yield item
                send = generator.send
            except GeneratorExit:
                generator.close()
                raise
            except BaseException as error:
                send, value = generator.throw, error

    return wrapped


class no_grad(_Mode):
    """Records no gradients inside: `with corten.no_grad(): ...`, or as a decorator."""

    def __new__(cls, orig_func=None):
        self = super().__new__(cls)
        return self if orig_func is None else self(orig_func)

    def __init__(self, orig_func=None):
        pass

    def __enter__(self):
        self.previous = _core.set_grad_enabled(False)

    def __exit__(self, *error):
        _core.set_grad_enabled(self.previous)


class enable_grad(no_grad):
    """Records gradients inside, also within `no_grad`."""

    def __enter__(self):
        self.previous = _core.set_grad_enabled(True)


class set_grad_enabled(_Mode):
    """Switches recording by a flag, at once and until the end of the `with` block if used as one."""

    def __init__(self, mode):
        self.mode = bool(mode)
        self.previous = _core.set_grad_enabled(self.mode)

    def __call__(self, function):
        _core.set_grad_enabled(self.previous)
        return super().__call__(function)

    def clone(self):
        return set_grad_enabled(self.mode)

    def __enter__(self):
        _core.set_grad_enabled(self.mode)

    def __exit__(self, *error):
        _core.set_grad_enabled(self.previous)


class inference_mode(_Mode):
    """As `no_grad`, and its results may never enter a gradient graph."""

    def __new__(cls, mode=True):
        if callable(mode) and not isinstance(mode, bool):
            return cls()(mode)
        return super().__new__(cls)

    def __init__(self, mode=True):
        self.mode = mode

    def clone(self):
        return inference_mode(self.mode)

    def __enter__(self):
        self.previous = (_core.set_inference_mode(self.mode), _core.set_grad_enabled(not self.mode))

    def __exit__(self, *error):
        inference, grad = self.previous
        _core.set_inference_mode(inference)
        _core.set_grad_enabled(grad)


def is_anomaly_enabled():
    """Whether anomaly detection is on."""
    return _core.anomaly_mode()[0]


def is_anomaly_check_nan_enabled():
    """Whether anomaly detection looks for NaN."""
    return _core.anomaly_mode()[1]


class set_detect_anomaly:
    """Switches anomaly detection: a NaN in the backward pass raises and names the forward line that made it."""

    def __init__(self, mode, check_nan=True):
        self.previous = _core.anomaly_mode()
        _core.set_anomaly_mode(mode, check_nan)

    def __enter__(self):
        pass

    def __exit__(self, *error):
        _core.set_anomaly_mode(*self.previous)


class detect_anomaly:
    """Finds the forward operator whose gradient becomes NaN. Slow: for debugging only."""

    def __init__(self, check_nan=True):
        self.check_nan = check_nan

    def __enter__(self):
        import warnings

        self.previous = _core.anomaly_mode()
        _core.set_anomaly_mode(True, self.check_nan)
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled for debugging.",  # noqa: E501
            stacklevel=2,
        )

    def __exit__(self, *error):
        _core.set_anomaly_mode(*self.previous)
