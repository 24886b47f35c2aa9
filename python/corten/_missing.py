"""What a name of PyTorch that corten lacks says: the error names the nearest thing that is there."""

_HINTS = {
    "corten.mps": "an Apple GPU is device 'gpu'; see corten.gpu",
    "corten.xpu": "an Intel GPU is device 'gpu'; see corten.gpu",
    "corten.cuda.comm": "training runs on one device",
    "corten.cuda.profiler": "CORTEN_DEBUG=2 prints every kernel with its time",
    "corten.cuda.tunable": "kernels are chosen by the sizes of tensors",
    "corten.fx": "no call is needed: programs are fused while they run",
    "corten.export": "corten.save keeps weights",
    "corten.onnx": "corten.save keeps weights in PyTorch's format",
    "corten.distributed": "training runs in one process; corten.utils.data.DataLoader loads with several",
    "corten.multiprocessing": "use Python's multiprocessing; corten.utils.data.DataLoader sends tensors by itself",
    "corten.func": "corten.autograd.functional has Jacobians, Hessians and their products with vectors",
    "corten.vmap": "write the batch as a leading dimension",
    "corten.fft": "complex dtypes are not there",
    "corten.stft": "complex dtypes are not there",
    "corten.sparse": "tensors are dense",
    "corten.sparse_coo": "tensors are dense",
    "corten.sparse_coo_tensor": "tensors are dense; corten.zeros and index_put_ build one",
    "corten.sparse_csr_tensor": "tensors are dense; corten.zeros and index_put_ build one",
    "corten.nested": "pad with corten.nn.utils.rnn.pad_sequence",
    "corten.distributions": "see corten.normal, corten.bernoulli and corten.multinomial",
    "corten.testing": "compare with corten.allclose",
    "corten.hub": "corten.load reads PyTorch's checkpoints",
    "corten.autograd.forward_ad": "use reverse mode, corten.autograd.grad",
    "corten.utils.tensorboard": "write with the tensorboard package itself",
    "corten.nn.DataParallel": "training runs on one device; call the module itself",
    "corten.nn.parallel": "training runs on one device; call the module itself",
    "corten.nn.SyncBatchNorm": "training runs in one process; use corten.nn.BatchNorm2d",
    "corten.nn.quantized": "use the floating point modules",
    "corten.nn.attention": "use corten.nn.functional.scaled_dot_product_attention",
    "corten.nn.utils.parametrize": "use corten.nn.utils.weight_norm or corten.nn.utils.spectral_norm",
    "corten.nn.utils.parametrizations": "use corten.nn.utils.weight_norm or corten.nn.utils.spectral_norm",
    "corten.nn.utils.prune": "multiply weights by a mask in a forward pre-hook",
    "corten.nn.utils.stateless": "use Module.load_state_dict",
    "corten.optim.SparseAdam": "gradients are dense; use corten.optim.Adam",
    "corten.linalg.eig": "complex dtypes are not there, and eigenvalues may be complex",
    "corten.linalg.eigvals": "complex dtypes are not there, and eigenvalues may be complex",
}
_COMPLEX = "complex dtypes are not there; keep real and imaginary parts as two tensors"
_HINTS |= {
    f"corten.{name}": _COMPLEX
    for name in (
        *("complex32", "complex64", "complex128", "cfloat", "cdouble", "chalf"),
        *("complex", "polar", "view_as_complex", "view_as_real", "real", "imag", "angle"),
    )
}


def hint(path):
    """What stands in for ``path``, a dotted name, or for what it is part of; None where nothing is known."""
    while path:
        if path in _HINTS:
            return _HINTS[path]
        path = path.rpartition(".")[0]
    return None


def missing(module, name):
    """The AttributeError for ``name``, which ``module`` lacks."""
    instead = _HINTS.get(f"{module}.{name}")
    text = f"module {module!r} has no attribute {name!r}"
    return AttributeError(f"{text}: {instead}" if instead else text, name=name)
