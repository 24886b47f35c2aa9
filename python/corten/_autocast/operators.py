"""Which operators autocast converts arguments of, and the functions that take their place to do it.

They are put in place when autocast is first switched on, so that a program that never does pays nothing; from then on
an operator of these lists costs a look at the thread's settings more.
"""

import functools
import sys
import threading
from types import FunctionType, ModuleType

import corten

from .. import _core
from . import state

Tensor = _core.Tensor
_FLOAT32 = _core.float32
_LOW = frozenset((_core.float16, _core.bfloat16))
_ELIGIBLE = _LOW | {_FLOAT32}

# In the lower dtype, on every kind of device: products and what is made of them.
_LOWER = (
    "matmul mm bmm addmm addbmm baddbmm __matmul__ __rmatmul__ linear conv1d conv2d conv3d conv_tbc conv_transpose1d "
    "conv_transpose2d conv_transpose3d prelu scaled_dot_product_attention vecdot multi_dot chain_matmul"
)
_LOWER_GPU = "mv addmv addr"
# In float32, on every kind of device.
_FULL = (
    "binary_cross_entropy_with_logits prod cdist mse_loss cosine_embedding_loss nll_loss hinge_embedding_loss kl_div "
    "poisson_nll_loss smooth_l1_loss cross_entropy l1_loss margin_ranking_loss soft_margin_loss triplet_margin_loss "
    "multi_margin_loss multilabel_margin_loss ctc_loss huber_loss"
)
# In float32 on the CPU, where kernels for lower dtypes are rare.
_FULL_CPU = (
    "binary_cross_entropy grid_sample quantile nanquantile trace avg_pool3d adaptive_avg_pool3d adaptive_max_pool3d "
    "adaptive_max_pool3d_with_indices max_pool3d max_pool3d_with_indices fractional_max_pool2d fractional_max_pool3d "
    "fractional_max_pool2d_with_indices fractional_max_pool3d_with_indices max_unpool2d max_unpool3d pad stft istft "
    "polar view_as_complex cholesky cholesky_inverse cholesky_solve inverse lu_solve orgqr ormqr geqrf pinverse qr svd "
    "linalg.cholesky linalg.cholesky_ex linalg.cond linalg.det linalg.eig linalg.eigh linalg.eigvals linalg.eigvalsh "
    "linalg.householder_product linalg.inv linalg.inv_ex linalg.lstsq linalg.matrix_rank linalg.qr linalg.solve "
    "linalg.svd linalg.svdvals linalg.tensorinv linalg.tensorsolve"
)
# In float32 on a GPU, where the range of float16 would be left.
_FULL_GPU = (
    "__pow__ __rpow__ __rtruediv__ __rdiv__ acos asin cosh cosine_similarity cumprod cumsum dist erfinv exp expm1 "
    "group_norm layer_norm log log10 log_softmax log1p log2 norm normalize pdist pow reciprocal renorm rsqrt sinh "
    "softmax softmin softplus sum tan rms_norm"
)
# In the widest dtype among the arguments.
_WIDEST = "cat concat concatenate stack index_copy"
_WIDEST_GPU = "addcdiv addcmul atan2 bilinear cross dot vdot grid_sample index_put scatter_add tensordot"
# As they are, and so is what they are made of.
_PLAIN = "matrix_exp linalg.matrix_exp convolution"
# Refused on a GPU: its gradient leaves the range of float16.
_REFUSED_GPU = ("binary_cross_entropy",)


def _rules():
    """By name: what happens on the CPU, and on a GPU."""
    rules = {}
    for names, cpu, gpu in (
        (_LOWER, "lower", "lower"),
        (_LOWER_GPU, None, "lower"),
        (_FULL, "full", "full"),
        (_FULL_CPU, "full", None),
        (_FULL_GPU, None, "full"),
        (_WIDEST, "widest", "widest"),
        (_WIDEST_GPU, None, "widest"),
        (_PLAIN, "plain", "plain"),
        (" ".join(_REFUSED_GPU), None, "refused"),
    ):
        for name in names.split():
            before = rules.get(name, (None, None))
            rules[name] = (cpu or before[0], gpu or before[1])
    return rules


def device_kind(value):
    """The kind of device of the first tensor in arguments; None without one."""
    if isinstance(value, Tensor):
        return "cpu" if value.device.type == "cpu" else "cuda"
    if isinstance(value, (tuple, list)):
        for item in value:
            found = device_kind(item)
            if found is not None:
                return found
    return None


def cast(value, dtype, kind):
    """Arguments with every tensor of a kind of device in a dtype, lists and dictionaries included.

    float64 stays, as what the program asked for by name.
    """
    if isinstance(value, Tensor):
        if (
            value.dtype is not dtype
            and value.dtype in _ELIGIBLE
            and value.dtype != dtype
            and device_kind(value) == kind
        ):
            return _converted(value, dtype)
        return value
    if type(value) in (tuple, list):
        return type(value)([cast(item, dtype, kind) for item in value])
    if type(value) is dict:
        return {key: cast(item, dtype, kind) for key, item in value.items()}
    return value


def _converted(tensor, dtype):
    """The conversion; a weight's is kept until the outermost block ends, so that its gradient is converted once too."""
    if not (state.nesting and state.cache_enabled and dtype in _LOW and tensor.requires_grad and tensor.is_leaf):
        return tensor.to(dtype)
    key = id(tensor), dtype, _core.is_grad_enabled(), _core.is_inference_mode_enabled()
    known = state.weights.get(key)
    # The tensor is kept as well, so that its id stays its own.
    if known is None or known[0] is not tensor or known[1] != tensor._version:
        known = state.weights[key] = (tensor, tensor._version, tensor.to(dtype))
    return known[2]


def _widest(value, found):
    """Whether any tensor is float32, or lower dtypes are mixed."""
    if isinstance(value, Tensor):
        if value.dtype in _ELIGIBLE:
            found.add(value.dtype)
    elif isinstance(value, (tuple, list)):
        for item in value:
            _widest(item, found)
    return found


def _target(rule, name, kind, args, kwargs):
    """The dtype to convert to; None for no conversion."""
    if rule == "plain":
        return None
    if rule == "lower":
        return state.casts[kind]
    if rule == "full":
        if name == "pad" and (args[2] if len(args) > 2 else kwargs.get("mode", "constant")) not in (
            "reflect",
            "replicate",
        ):
            return None
        return _FLOAT32
    if rule == "widest":
        found = _widest(list(kwargs.values()), _widest(args, set()))
        return (next(iter(found)) if len(found) == 1 else _FLOAT32) if found else None
    raise RuntimeError(
        "torch.nn.functional.binary_cross_entropy and torch.nn.BCELoss are unsafe to autocast.\nMany models use a "
        "sigmoid layer right before the binary cross entropy layer.\nIn this case, combine the two layers using "
        "torch.nn.functional.binary_cross_entropy_with_logits\nor torch.nn.BCEWithLogitsLoss.  "
        "binary_cross_entropy_with_logits and BCEWithLogits are\nsafe to autocast."
    )


def _casting(operator, name, on_cpu, on_gpu):
    """The operator with its arguments converted where autocast is on."""

    @functools.wraps(operator)
    def function(*args, **kwargs):
        casts = state.casts
        if not casts:
            return operator(*args, **kwargs)
        kind = device_kind(args) or device_kind(list(kwargs.values()))
        rule = on_cpu if kind == "cpu" else on_gpu
        if rule is None or kind not in casts or kwargs.get("out") is not None or kwargs.get("dtype") is not None:
            return operator(*args, **kwargs)
        dtype = _target(rule, name, kind, args, kwargs)
        if dtype is not None:
            args, kwargs = cast(args, dtype, kind), cast(kwargs, dtype, kind)
        # What the operator is made of is not converted again.
        state.casts = {}
        try:
            return operator(*args, **kwargs)
        finally:
            state.casts = casts

    return function


def _casting_layer(run):
    """A recurrent layer and direction in the lower dtype.

    On the CPU the kernel takes weights and input rounded to that dtype and computes in float32.
    """

    @functools.wraps(run)
    def function(mode, x, *rest):
        casts = state.casts
        kind = device_kind(x)
        if kind not in casts or x.dtype not in _ELIGIBLE:
            return run(mode, x, *rest)
        lower, given = casts[kind], x.dtype
        *sizes, hidden, weights, reverse = rest
        tensors = cast([x, hidden, weights], lower, kind)
        if kind == "cpu":
            tensors = cast(tensors, _FLOAT32, kind)
        x, hidden, weights = tensors
        state.casts = {}
        try:
            output, last = run(mode, x, *sizes, hidden, weights, reverse)
        finally:
            state.casts = casts
        # PyTorch has no kernel for a GRU in lower dtypes on the CPU, and its result is that of the input.
        result = given if mode == "GRU" else lower
        if kind == "cpu" and result in _LOW:
            output, last = cast((output, last), result, kind)
        return output, last

    return function


def _replacements():
    """By id of a function: the function and what takes its place."""
    from ..nn.modules import rnn

    homes = (corten, corten.nn.functional, corten.linalg, _core.ops)
    found = {}
    for path, (on_cpu, on_gpu) in _rules().items():
        place, _, name = path.rpartition(".")
        operators = [vars(home).get(name) for home in ((corten.linalg,) if place else homes)]
        if place:
            operators.append(vars(_core.ops).get("_linalg_" + name))
        elif name in corten._LAZY:
            operators.append(getattr(corten, name))
        for operator in operators:
            if operator is not None and id(operator) not in found:
                function = _casting(operator, name, on_cpu, on_gpu)
                found[id(operator)] = operator, function
                if isinstance(operator, FunctionType):
                    operator._known_as = function
    for run in (rnn._run_padded, rnn._run_packed):
        found[id(run)] = run, _casting_layer(run)
    return found


_lock = threading.Lock()
_installed = False


def install():
    """Puts the functions in place, wherever an operator is known by a name; once."""
    global _installed
    with _lock:
        if _installed:
            return
        replacements = _replacements()
        for path, (on_cpu, on_gpu) in _rules().items():
            method = None if "." in path else getattr(Tensor, path, None)
            if method is not None:
                setattr(Tensor, path, _casting(method, path, on_cpu, on_gpu))
        # Programs may have imported operators by name.
        for module in [_core.ops, *sys.modules.values()]:
            if isinstance(module, ModuleType):
                _replace(vars(module), replacements)
        _installed = True


def _replace(namespace, replacements):
    for name, value in list(namespace.items()):
        known = replacements.get(id(value))
        if known is not None and known[0] is value:
            namespace[name] = known[1]
