"""Every native operator as a function, under its name in `torch`, `torch.nn.functional` or `torch._C._nn`."""

from . import _core

globals().update({name: getattr(_core.ops, name) for name in dir(_core.ops) if not name.startswith("__")})


def _in_place(name):
    """`relu_(x, ...)` as a function: what the gradient keeps is the value before the write."""
    operator = getattr(_core.ops, name)

    def function(input, *args, **kwargs):
        return input._replace(operator(input._snapshot(), *args, **kwargs), name)

    function.__name__ = function.__qualname__ = name + "_"
    function.__doc__ = f"In-place form of `{name}`."
    return function


for _name in [
    "relu",
    "hardtanh",
    "elu",
    "celu",
    "selu",
    "leaky_relu",
    "rrelu",
    "hardswish",
    "hardsigmoid",
    "silu",
    "mish",
    "threshold",
    "dropout",
    "alpha_dropout",
    "feature_dropout",
    "feature_alpha_dropout",
]:
    if hasattr(_core.ops, _name) and _name + "_" not in globals():
        globals()[_name + "_"] = _in_place(_name)
del _name
