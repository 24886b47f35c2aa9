"""Puts the operators where PyTorch has them: functions into the package, methods onto `Tensor`."""

from . import _core, _spoken
from .autograd import passes

# Operators that PyTorch has in `torch.nn.functional` (or `torch._C._nn`) only.
_FUNCTIONAL_ONLY = frozenset(
    [
        "silu",
        "mish",
        "logsigmoid",
        "hardswish",
        "hardsigmoid",
        "elu",
        "leaky_relu",
        "hardtanh",
        "relu6",
        "softshrink",
        "softplus",
        "gelu",
        "linear",
        "glu",
        "mse_loss",
        "l1_loss",
        "smooth_l1_loss",
        "huber_loss",
        "binary_cross_entropy",
        "nll_loss_nd",
        "cross_entropy_loss",
        "one_hot",
        "im2col",
        "col2im",
        "interpolate_nd",
        "scaled_dot_product_attention",
        "pad",
        "max_pool1d_with_indices",
        "max_pool2d_with_indices",
        "max_pool3d_with_indices",
        "avg_pool2d",
        "avg_pool3d",
        "adaptive_avg_pool2d",
        "adaptive_avg_pool3d",
        "adaptive_max_pool2d",
        "adaptive_max_pool3d",
        "soft_margin_loss",
    ]
)

_RESULTS = {
    "max": ("values", "indices"),
    "min": ("values", "indices"),
    "sort": ("values", "indices"),
    "topk": ("values", "indices"),
    "kthvalue": ("values", "indices"),
    "median": ("values", "indices"),
    "nanmedian": ("values", "indices"),
    "mode": ("values", "indices"),
    "cummax": ("values", "indices"),
    "cummin": ("values", "indices"),
    "aminmax": ("min", "max"),
    "geqrf": ("a", "tau"),
    "linalg_qr": ("Q", "R"),
    "linalg_svd": ("U", "S", "Vh"),
}


# By name: the classes of results with several tensors, for `corten.return_types`.
NAMED_RESULTS: dict[str, type] = {}


def result_class(name, fields):
    """A tuple with named fields that prints as PyTorch's `torch.return_types`."""

    def __repr__(self):
        parts = ",\n".join(f"{field}={value!r}" for field, value in zip(fields, self, strict=True))
        return f"{_spoken.name}.return_types.{name}(\n{parts})"

    attributes = {"__slots__": (), "__module__": "corten.return_types", "__repr__": __repr__, "_fields": fields}
    for i, field in enumerate(fields):
        attributes[field] = property(lambda self, i=i: self[i])
    return type(name, (tuple,), attributes)


def _backward(self, gradient=None, retain_graph=None, create_graph=False, inputs=None):
    """Adds the gradient of this tensor to the `.grad` of the leaves it was computed from.

    Args:
        gradient: the gradient with respect to this tensor; 1 when it has one element.
        retain_graph: keep the graph for another pass; defaults to `create_graph`.
        create_graph: record the pass itself, for higher derivatives; a first use warns of the cycle that this makes.
        inputs: accumulate into these tensors only.
    """
    if inputs is not None:
        inputs = [inputs] if isinstance(inputs, _core.Tensor) else list(inputs)
        if not inputs:
            raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    retain = create_graph if retain_graph is None else retain_graph
    if create_graph:
        passes.warn_of_cycle()
    passes.run([self], [gradient], retain, create_graph, inputs, False)


def _repr(self, *, tensor_contents=None):
    from ._tensor_str import tensor_repr

    return tensor_repr(self, tensor_contents=tensor_contents)


def _is_view(self):
    """Whether the tensor is a differentiable view of another one."""
    return self._base is not None


def detach(input):
    """The storage of a tensor without history."""
    return input.detach()


def typename(obj):
    """The name of an object's type: `corten.FloatTensor` for tensors, else the qualified class name."""
    if isinstance(obj, _core.Tensor):
        return obj.type()
    module = getattr(obj, "__module__", "") or getattr(type(obj), "__module__", "")
    name = getattr(obj, "__qualname__", type(obj).__qualname__)
    if module.split(".")[0] == "corten":
        module = _spoken.name + module.removeprefix("corten")
    return f"{module}.{name}" if module not in ("", "builtins", "__builtin__") else name


def install(package):
    """Fills the package's namespace and the tensor type; called once, by `corten/__init__.py`."""
    namespace = package.__dict__
    for name in dir(_core.ops):
        if not name.startswith("_") and name not in _FUNCTIONAL_ONLY:
            namespace.setdefault(name, getattr(_core.ops, name))
    NAMED_RESULTS.update({name: result_class(name, fields) for name, fields in _RESULTS.items()})
    _core.set_named_results(NAMED_RESULTS)
    Tensor = _core.Tensor
    Tensor.backward = _backward
    Tensor._is_view = _is_view
    namespace["typename"] = typename
    namespace["detach"] = detach
    namespace["is_inference"] = Tensor.is_inference
    # Of dense matrices, products of sparse ones are these.
    namespace["spmm"] = namespace["dsmm"] = namespace["hsmm"] = namespace["mm"]
    namespace["saddmm"] = namespace["addmm"]
    namespace["ger"] = namespace["outer"]
    Tensor.ger = Tensor.outer
    Tensor.__repr__ = _repr
    Tensor.__str__ = _repr
    Tensor.__module__ = "corten"
    try:
        from . import _composites
    except ModuleNotFoundError:
        return
    for name, function in _composites.FUNCTIONS.items():
        namespace[name] = function
    for name, function in _composites.METHODS.items():
        setattr(Tensor, name, function)
