"""skip_init: making a module whose parameters will be overwritten."""


def skip_init(module_cls, *args, **kwargs):
    """Makes ``module_cls(*args, **kwargs)`` with parameters of unspecified value, for which nothing is drawn.

    Raises:
        RuntimeError: ``module_cls`` is not a Module or takes no ``device``.
    """
    import inspect

    from ..modules.module import Module

    if not issubclass(module_cls, Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    device = kwargs.pop("device", None)
    return module_cls(*args, **kwargs, device="meta").to_empty(device="cpu" if device is None else device)
