"""Examples of PyTorch's docstrings that cannot print the same, and why; by name and a statement's first words."""

from __future__ import annotations

UNINITIALISED = "the memory is not initialised, and holds zeros here"
ADDRESS = "a memory address or the class of an internal object"
SIGN = "singular and eigenvectors are determined up to their sign"
CONJUGATES = "conjugates and negatives are computed, not marked"
ROUNDING = "the last digits of a sum that is added up in another order"
NEAR_ZERO = "a rounding error near zero"
ORDER = "an unstable sort may name equal elements in any order; here they keep theirs"
NAMES = "the names of the steps of a gradient follow how an operator is put together"
PACKAGES = "needs PyTorch's symbolic tracer or sparse tensors"
TIMES = "measured times"
GPU = "needs a GPU"

# A name alone stands for all of its statements.
KNOWN: dict[tuple[str, str], str] = {
    ("conj", "y.is_conj()"): CONJUGATES,
    ("resolve_conj", "y.is_conj()"): CONJUGATES,
    ("resolve_neg", "z.is_neg()"): CONJUGATES,
    ("set_default_device", "torch.get_default_device()"): GPU,
    ("set_flush_denormal", ""): "the processor's mode for denormal numbers stays as it is",
    ("sort", "x.sort()"): ORDER,
    ("std_mean", ""): ROUNDING,
    ("var_mean", ""): ROUNDING,
    ("nn.CrossEntropyLoss", "loss(input, target).item()"): ROUNDING,
    ("Tensor.view", ""): "the last bits of random numbers: a logarithm is rounded otherwise",
    ("Tensor.grad_dtype", ""): "a gradient has its tensor's dtype",
    ("Tensor.to_dense", ""): PACKAGES,
    ("func.functionalize", ""): PACKAGES,
    ("linalg.norm", "LA.norm(B.double(), -2)"): NEAR_ZERO,
    ("cholesky_inverse", "torch.dist"): NEAR_ZERO,
    ("fft.hfft", "T"): "the sign of a zero",
    ("fft.ihfft", "torch.fft.ifft(t)"): "the sign of a zero",
    ("empty", ""): UNINITIALISED,
    ("empty_strided", ""): UNINITIALISED,
    ("Tensor.new_empty", ""): UNINITIALISED,
    ("Tensor.new_empty_strided", ""): UNINITIALISED,
    ("nn.utils.skip_init", ""): UNINITIALISED,
    ("svd", ""): SIGN,
    ("linalg.eigh", "Q"): SIGN,
    ("vmap", "torch.dot"): ADDRESS,
    ("nn.CrossEntropyLoss", "torch.manual_seed"): ADDRESS,
    ("nn.LinearCrossEntropyLoss", "torch.manual_seed"): ADDRESS,
    ("autograd.graph.register_multi_grad_hook", ""): ADDRESS,
    ("nn.EmbeddingBag", "embedding_sum(input, offsets)"): NAMES,
    ("nn.RMSNorm", ""): NAMES,
    ("autograd.graph.saved_tensors_hooks", ""): "what an operator saves, and in which order, is its own affair",
    ("profiler.record_function", ""): TIMES,
    ("overrides.get_testing_overrides", "inspect.signature"): "signatures are the operators' own, with every argument",
}


def reason(name: str, source: str) -> str:
    """Why the example is on the list; "" where it is not."""
    for (listed, start), why in KNOWN.items():
        if listed == name and source.startswith(start):
            return why
    return ""
