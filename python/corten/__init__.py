"""corten: deep learning with PyTorch's names on any CPU and GPU.

`import corten as torch` runs PyTorch programs: tensors, autograd, `nn`, `optim`, `utils.data`, `save` and `load`.
"""

import math as _math
import sys as _sys
from builtins import int as _int
from operator import index as _index

from . import _core, _spoken
from ._core import (
    InternalError,
    OutOfMemoryError,
    Tensor,
    bfloat16,
    channels_last,
    channels_last_3d,
    complex32,
    complex64,
    complex128,
    contiguous_format,
    device,
    dtype,
    float8_e4m3fn,
    float8_e4m3fnuz,
    float8_e5m2,
    float8_e5m2fnuz,
    float8_e8m0fnu,
    float16,
    float32,
    float64,
    flush,
    get_default_device,
    get_default_dtype,
    get_num_threads,
    int8,
    int16,
    int32,
    int64,
    is_grad_enabled,
    is_inference_mode_enabled,
    layout,
    memory_format,
    preserve_format,
    promote_types,
    result_type,
    set_default_device,
    set_default_dtype,
    set_num_threads,
    strided,
    tensor,
    uint8,
    uint16,
    uint32,
    uint64,
)

__version__ = "0.1.0"

bool = _core.bool
half, float, double = float16, float32, float64
chalf, cfloat, cdouble = complex32, complex64, complex128
short, int, long = int16, int32, int64
inf, nan, pi, e = _math.inf, _math.nan, _math.pi, _math.e
newaxis = None
legacy_contiguous_format = contiguous_format


def _as_size(item):
    position, value = item
    try:
        return _index(value)
    except TypeError:
        given = type(value).__name__
        raise TypeError(f"torch.Size() takes an iterable of 'int' (item {position} is '{given}')") from None


class Size(tuple):
    """The shape of a tensor: a tuple of ints.

    Raises:
        TypeError: for elements that are no ints.
    """

    __slots__ = ()

    def __new__(cls, values=()):
        values = tuple(values)
        for value in values:
            if type(value) is not _int:
                return tuple.__new__(cls, map(_as_size, enumerate(values)))
        return tuple.__new__(cls, values)

    def __repr__(self):
        return f"{_spoken.name}.Size([{', '.join(map(str, self))}])"

    def numel(self):
        """The product of the sizes."""
        return _math.prod(self)

    def __getitem__(self, index):
        item = tuple.__getitem__(self, index)
        return tuple.__new__(Size, item) if isinstance(index, slice) else item

    def __add__(self, other):
        return Size(tuple.__add__(self, tuple(other)))

    def __radd__(self, other):
        return Size(tuple(other) + tuple(self))

    def __mul__(self, count):
        return tuple.__new__(Size, tuple.__mul__(self, count))

    __rmul__ = __mul__

    def __reduce__(self):
        return (Size, (tuple(self),))


_core.set_size_class(Size)

# Checkers take the name to be true; importing `typing` for it would be a third of `import corten`.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import (
        accelerator,
        amp,
        backends,
        cpu,
        cuda,
        data,
        distributed,
        distributions,
        explain,
        fft,
        func,
        functional,
        futures,
        fx,
        gpu,
        hub,
        interop,
        jit,
        library,
        linalg,
        lora,
        metrics,
        models,
        monitor,
        mps,
        multiprocessing,
        nn,
        onnx,
        optim,
        profiler,
        quasirandom,
        random,
        return_types,
        serialization,
        signal,
        sparse,
        special,
        storage,
        testing,
        torch_version,
        training,
        types,
        utils,
        version,
        vision,
        xpu,
    )
    from ._as_torch import install_as_torch
    from ._autocast import *  # noqa: F403
    from ._library.operators import ops
    from ._library.schema import Tag
    from ._ops import *  # noqa: F403  (at run time `_install` puts the operators here)
    from ._settings import *  # noqa: F403
    from ._streams import Event, Stream
    from .amp import GradScaler, autocast
    from .serialization import load, save
    from .training import fit
del TYPE_CHECKING

from . import _ops, autograd  # noqa: E402
from ._surface import install as _install  # noqa: E402
from .autograd.modes import (  # noqa: E402
    enable_grad,
    inference_mode,
    is_anomaly_check_nan_enabled,
    is_anomaly_enabled,
    no_grad,
    set_grad_enabled,
)

_install(_sys.modules[__name__])

from . import overrides  # noqa: E402
from ._dtype_info import finfo, iinfo  # noqa: E402
from ._tensor_str import set_printoptions  # noqa: E402

# Imported on first access, so that `import corten` stays cheap. By name: the module that has it, or "" for a module.
_LAZY = dict.fromkeys(
    [
        "accelerator",
        "_C",
        "_dynamo",
        "_inductor",
        "_jit_internal",
        "_subclasses",
        "_tensor",
        "_utils",
        "_VF",
        "amp",
        "backends",
        "compiler",
        "cpu",
        "data",
        "cuda",
        "distributed",
        "distributions",
        "explain",
        "fft",
        "func",
        "functional",
        "futures",
        "fx",
        "gpu",
        "hub",
        "interop",
        "jit",
        "library",
        "linalg",
        "lora",
        "metrics",
        "models",
        "monitor",
        "mps",
        "multiprocessing",
        "nn",
        "onnx",
        "optim",
        "profiler",
        "quasirandom",
        "random",
        "return_types",
        "serialization",
        "signal",
        "sparse",
        "special",
        "storage",
        "testing",
        "torch_version",
        "training",
        "types",
        "utils",
        "version",
        "vision",
        "xpu",
        "__config__",
    ],
    "",
)
_LAZY.update(compile="compiler", load="serialization", save="serialization", Event="_streams", Stream="_streams")
_LAZY.update(install_as_torch="_as_torch", autocast="amp", GradScaler="amp", fit="training")
_LAZY.update(dict.fromkeys(["DisableTorchFunction", "DisableTorchFunctionSubclass"], "overrides"))
_LAZY.update(ops="_library.operators", Tag="_library.schema")
for _home, _names in {
    "_settings": "use_deterministic_algorithms are_deterministic_algorithms_enabled get_deterministic_debug_mode "
    "is_deterministic_algorithms_warn_only_enabled set_deterministic_debug_mode set_float32_matmul_precision "
    "get_float32_matmul_precision set_warn_always is_warn_always_enabled set_flush_denormal get_num_interop_threads "
    "set_num_interop_threads init_num_threads set_default_tensor_type set_anomaly_enabled",
    "_autocast": "autocast_decrement_nesting autocast_increment_nesting clear_autocast_cache get_autocast_cpu_dtype "
    "get_autocast_dtype get_autocast_gpu_dtype get_autocast_ipu_dtype get_autocast_xla_dtype is_autocast_cache_enabled "
    "is_autocast_cpu_enabled is_autocast_enabled is_autocast_ipu_enabled is_autocast_xla_enabled "
    "set_autocast_cache_enabled set_autocast_cpu_dtype set_autocast_cpu_enabled set_autocast_dtype "
    "set_autocast_enabled set_autocast_gpu_dtype set_autocast_ipu_dtype set_autocast_ipu_enabled "
    "set_autocast_xla_dtype set_autocast_xla_enabled",
    "_typed_tensors": "FloatTensor DoubleTensor HalfTensor BFloat16Tensor ByteTensor CharTensor ShortTensor IntTensor "
    "LongTensor BoolTensor",
    "_control": "AcceleratorError FatalError JITException Future fork wait cond from_file "
    "get_device_module SymInt SymFloat SymBool",
    "_checked": "_assert _assert_async _check _check_index _check_is_size _check_not_implemented _check_tensor_all "
    "_check_type _check_value _check_with sym_float sym_int sym_ite sym_max sym_min sym_not sym_sum",
    "random": "thread_safe_generator",
    "nn.functional": "conv_tbc",
    "nn._functional.distance": "cosine_similarity pairwise_distance",
    "nn._functional.vision": "pixel_shuffle pixel_unshuffle channel_shuffle",
    "nn._functional.native": "ctc_loss cosine_embedding_loss hinge_embedding_loss margin_ranking_loss poisson_nll_loss "
    "triplet_margin_loss affine_grid_generator grid_sampler grid_sampler_2d grid_sampler_3d embedding_bag "
    "convolution norm_except_dim lstm gru rnn_tanh rnn_relu lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell",
    "_library.types": "Type AnyType BoolType IntType FloatType ComplexType NumberType StringType NoneType TensorType "
    "ListType DictType TupleType OptionalType UnionType DeviceObjType StreamObjType FutureType AwaitType RRefType "
    "PyObjectType SymIntType SymBoolType EnumType InferredType unify_type_list",
    "_library.schema": "Argument FunctionSchema",
    "_library.parser": "parse_schema",
    "nn._views": "BufferDict ModuleDict ParameterDict",
    "_counters": "AVG SUM AggregationType LockingLogger NoopLogger",
    "_library.classes": "ClassType InterfaceType",
    "_library.containers": "ScriptDict ScriptDictIterator ScriptDictKeyIterator ScriptList ScriptListIterator",
    "utils._throughput": "BenchmarkConfig BenchmarkExecutionStats ThroughputBenchmark",
    "utils.serialization.records": "PyTorchFileReader PyTorchFileWriter",
    "storage": "TypedStorage UntypedStorage",
    "sparse": "sparse_coo sparse_coo_tensor sparse_csr sparse_csc sparse_bsr sparse_bsc",
    "testing": "FileCheck",
    "jit": "ScriptModule",
    "func": "vmap",
}.items():
    _LAZY.update(dict.fromkeys(_names.split(), _home))

__all__ = sorted(name for name in {*globals(), *_LAZY} if not name.startswith("_"))


def __getattr__(name):
    if name.startswith("_foreach_"):
        from . import _foreach

        if name in _foreach.FUNCTIONS:
            return _foreach.FUNCTIONS[name]
    if name == "torch":  # PyTorch's package is an attribute of itself.
        return _sys.modules[__package__]
    if name not in _LAZY:
        from ._missing import missing

        raise missing(__package__, name)
    import importlib

    home = _LAZY[name]
    value = importlib.import_module(f"{__package__}.{home or name}")
    if home:
        value = globals()[name] = getattr(value, name)
    return value


def __dir__():
    return sorted({*globals(), *_LAZY})
