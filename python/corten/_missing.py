"""What a name of PyTorch that corten lacks says: the error names the nearest thing that is there."""

_HINTS = {
    "corten.cuda.comm": "training runs on one device",
    "corten.cuda.profiler": "CORTEN_DEBUG=2 prints every kernel with its time",
    "corten.cuda.tunable": "kernels are chosen by the sizes of tensors",
    "corten.export": "corten.save keeps weights",
    "corten.distributed": "processes of one machine average gradients with corten.nn.parallel.DistributedDataParallel",
    "corten.distributed.TCPStore": "give corten.distributed.init_process_group an init_method and a rank",
    "corten.distributed.FileStore": "give corten.distributed.init_process_group an init_method and a rank",
    "corten.nested": "pad with corten.nn.utils.rnn.pad_sequence",
    "corten.autograd.NestedIOFunction": "give tensors to corten.autograd.Function one by one",
    "corten.ao": "networks are not quantized; corten.amp.autocast computes in bfloat16",
    "corten.quantization": "networks are not quantized; corten.amp.autocast computes in bfloat16",
    "corten.nn.quantized": "use the floating point modules",
    "corten.nn.qat": "use the floating point modules",
    "corten.nn.intrinsic": "use the floating point modules",
    "corten.nn.parallel.comm": "training runs on one device",
    "corten.functorch": "corten.func has its functions",
    "corten._functorch": "corten.func transforms functions, corten.compile records them",
    "corten.masked": "corten.where and corten.masked_fill leave elements out",
    "corten.package": "corten.save keeps weights",
    "corten.testing._internal": "corten.testing has assert_close and make_tensor",
    "corten.utils.cpp_extension": "corten.library takes operators written in Python, corten.gpu.kernel those in WGSL",
    "corten.utils.mobile_optimizer": "corten.save keeps weights",
}
_PIPES = (
    "datapipes graph functional_datapipe IterDataPipe MapDataPipe DFIterDataPipe argument_validation runtime_validation"
)
_HINTS |= {f"corten.utils.data.{name}": "use corten.utils.data.Dataset or IterableDataset" for name in _PIPES.split()}
_COMPRESSED = "sparse_csr sparse_csc sparse_bsr sparse_bsc sparse_compressed"
_HINTS |= {
    f"corten.{name}_tensor": "sparse tensors are lists of places and values; use corten.sparse_coo_tensor"
    for name in _COMPRESSED.split()
}

_BITS = range(1, 8)
_WIDE = "bit bits8 bits16 bits1x8 bits2x4 bits4x2"
_QUANTIZED = "qint8 qint32 quint8 quint4x2 quint2x4 per_tensor_affine per_channel_affine"
# The classes of TorchScript and of its compiler.
_SCRIPTS = (
    "AliasDb ArgumentSpec Block CallStack Capsule Code CompilationUnit CompleteArgumentSpec ConcreteModuleType "
    "ConcreteModuleTypeBuilder DeepCopyMemoTable ErrorReport ExecutionPlan Gradient Graph GraphExecutorState "
    "IODescriptor Node OperatorInfo ScriptClass ScriptClassFunction ScriptFunction ScriptMethod "
    "ScriptObject ScriptObjectProperty StaticModule TracingState Use Value import_ir_module "
    "import_ir_module_from_buffer merge_type_from_type_comment parse_ir parse_type_comment"
)
_HINTS |= {f"corten.{name}": "integers of 8 to 64 bits are int8 to int64 and uint8 to uint64" for name in _WIDE.split()}
_HINTS |= {
    f"corten.{kind}{bits}": "the smallest integers are int8 and uint8" for kind in ("int", "uint") for bits in _BITS
}
_HINTS["corten.float4_e2m1fn_x2"] = "the smallest floating-point dtypes are float8_e4m3fn and its kind"
_HINTS |= {f"corten.{name}": "there are no quantized dtypes; use int8 or uint8" for name in _QUANTIZED.split()}
_HINTS |= {
    f"corten.{name}": "a program is Python, and fused while it runs; there is no other form of it"
    for name in _SCRIPTS.split()
}


class MissingName(AttributeError, NotImplementedError):
    """What the access of a name of PyTorch raises that corten lacks: `hasattr` is False, and the text names a way."""


def hint(path):
    """What stands in for ``path``, a dotted name, or for what it is part of; None where nothing is known."""
    while path:
        if path in _HINTS:
            return _HINTS[path]
        path = path.rpartition(".")[0]
    return None


def missing(module, name, instead=None):
    """The AttributeError for ``name``, which ``module`` lacks; a NotImplementedError too where PyTorch has the name.

    Args:
        instead: what stands in for every name that the module lacks.
    """
    instead = _HINTS.get(f"{module}.{name}", None if name.startswith("__") else instead)
    text = f"module {module!r} has no attribute {name!r}"
    return MissingName(f"{text}: {instead}", name=name) if instead else AttributeError(text, name=name)
