"""Functions and tensor methods that are written in other operators, by topic; `corten._surface` attaches them.

``FUNCTIONS`` go into the package, ``METHODS`` onto ``Tensor``.
"""

from .. import _core
from . import (
    arrange,
    creation,
    factors,
    in_place_functions,
    lobpcg,
    lookup,
    low_rank,
    methods,
    old_methods,
    pointwise,
    predicates,
    products,
    scaled,
    spectra,
    statistics,
    systems,
)
from ._arguments import handed_over
from ._common import in_place
from .einsum import einsum

_BY_MODULE = {
    arrange: "slice_inverse adjoint diagflat meshgrid cartesian_prod combinations broadcast_shapes "
    "broadcast_tensors atleast_1d atleast_2d atleast_3d "
    "hstack vstack dstack row_stack column_stack hsplit vsplit dsplit",
    creation: "as_tensor asarray from_numpy frombuffer from_dlpack to_dlpack range vander bartlett_window "
    "blackman_window hamming_window hann_window kaiser_window",
    pointwise: "sinc rad2deg deg2rad frac float_power mvlgamma positive "
    "isreal isclose allclose equal is_same_size "
    "is_nonzero",
    products: "_int_mm tensordot kron vdot chain_matmul matrix_power cross block_diag dist cdist pdist renorm qr",
    scaled: "_scaled_mm",
    statistics: "norm nansum nanmean quantile nanquantile cov corrcoef diff gradient trapezoid trapz "
    "cumulative_trapezoid",
    spectra: "stft istft",
    lookup: "unravel_index nonzero_static frexp histogram histogramdd",
    lobpcg: "lobpcg",
    low_rank: "svd nuclear_norm frobenius_norm svd_lowrank pca_lowrank matrix_exp geqrf orgqr ormqr",
    factors: "cholesky cholesky_solve cholesky_inverse lu lu_solve lu_unpack triangular_solve",
    systems: "inverse det slogdet logdet pinverse",
    predicates: "is_tensor is_storage is_floating_point is_complex is_signed is_conj is_neg is_distributed numel "
    "get_device can_cast",
    _core: "Generator default_generator manual_seed seed initial_seed get_rng_state set_rng_state",
}

FUNCTIONS = {name: getattr(module, name) for module, names in _BY_MODULE.items() for name in names.split()}
FUNCTIONS["einsum"] = einsum
FUNCTIONS.update(in_place_functions.FUNCTIONS)

# PyTorch has these as methods too.
METHODS = {
    name: FUNCTIONS[name]
    for name in [
        "slice_inverse",
        "adjoint",
        "diagflat",
        "hsplit",
        "vsplit",
        "dsplit",
        "sinc",
        "rad2deg",
        "deg2rad",
        "frac",
        "float_power",
        "mvlgamma",
        "positive",
        "isreal",
        "isclose",
        "allclose",
        "equal",
        "is_same_size",
        "is_nonzero",
        "kron",
        "vdot",
        "matrix_power",
        "qr",
        "cross",
        "dist",
        "renorm",
        "stft",
        "istft",
        "norm",
        "nansum",
        "nanmean",
        "quantile",
        "nanquantile",
        "cov",
        "corrcoef",
        "diff",
        "nonzero_static",
        "frexp",
        "histogram",
        "svd",
        "matrix_exp",
        "cholesky",
        "cholesky_solve",
        "cholesky_inverse",
        "lu",
        "lu_solve",
        "triangular_solve",
        "geqrf",
        "inverse",
        "det",
        "slogdet",
        "logdet",
        "pinverse",
        "orgqr",
        "ormqr",
        "is_conj",
        "is_neg",
        "is_distributed",
    ]
}
METHODS.update(
    {name + "_": in_place(FUNCTIONS[name]) for name in ["sinc", "rad2deg", "deg2rad", "frac", "mvlgamma", "renorm"]}
)
METHODS.update(
    {
        name: getattr(methods, name)
        for name in [
            "type",
            "cuda",
            "numpy",
            "__array__",
            "__array_wrap__",
            "__dlpack__",
            "__dlpack_device__",
            "__format__",
            "__reversed__",
            "__copy__",
            "__deepcopy__",
            "__reduce_ex__",
            "float_power_",
            "t_",
            "transpose_",
            "swapaxes_",
            "swapdims_",
            "squeeze_",
            "unsqueeze_",
            "as_strided_",
            "resize_",
            "resize_as_",
            "set_",
            "untyped_storage",
            "storage",
            "storage_type",
            "is_shared",
            "share_memory_",
            "pin_memory",
            "record_stream",
            "is_pinned",
            "sum_to_size",
            "dim_order",
            "apply_",
            "map_",
            "new",
            "get_device",
        ]
    }
)
FUNCTIONS.update(old_methods.FUNCTIONS)
METHODS.update(old_methods.METHODS)
# Functions whose arguments nobody asks about where they are checked; the methods of these names are taken over as such.
_ASKED = (
    "adjoint atleast_1d atleast_2d atleast_3d bartlett_window blackman_window block_diag broadcast_tensors "
    "cartesian_prod chain_matmul column_stack combinations diagflat dsplit dstack float_power frobenius_norm "
    "get_device hamming_window hann_window hsplit hstack is_complex is_conj is_distributed is_floating_point "
    "is_neg is_nonzero is_same_size is_signed isreal kaiser_window lu_solve meshgrid nuclear_norm numel orgqr "
    "pdist pinverse positive row_stack slice_inverse vander vsplit vstack"
)
_SPELLED = "lobpcg lu pca_lowrank svd_lowrank unravel_index"
FUNCTIONS.update({name: handed_over(FUNCTIONS[name]) for name in _ASKED.split()})
FUNCTIONS.update({name: handed_over(FUNCTIONS[name], spelled=True) for name in _SPELLED.split()})
METHODS["_typed_storage"] = METHODS["storage"]
METHODS["__array_priority__"] = 1000
METHODS["__rdiv__"] = _core.Tensor.__rtruediv__  # PyTorch has kept the name of Python 2


def _fact(doc, value):
    return property(value, doc=doc)


def _set_part(name):
    """The setter of a part: ``z.real = x``."""

    def setter(self, value):
        part = getattr(_core.ops, name)(self)
        part.copy_(value if isinstance(value, _core.Tensor) else part.new_tensor(value))

    return setter


METHODS.update(
    {
        # Facts about where tensors can live here.
        "is_cuda": _fact(
            "Whether the tensor lives on a GPU, whoever made it.", lambda self: self.device.type in ("cuda", "gpu")
        ),
        "is_cpu": _fact("Whether the tensor lives in the processor's memory.", lambda self: self.device.type == "cpu"),
        "is_meta": _fact("Whether the tensor has no elements' memory.", lambda self: self.device.type == "meta"),
        **{
            f"is_{kind}": _fact(f"False: {words}.", lambda self: False)
            for kind, words in {
                "ipu": "there are no such devices",
                "maia": "there are no such devices",
                "mps": "an Apple GPU is device `gpu`, and `is_cuda` tells of every GPU",
                "mtia": "there are no such devices",
                "vulkan": "a GPU is device `gpu`, and `is_cuda` tells of every GPU",
                "xla": "there are no such devices",
                "xpu": "an Intel GPU is device `gpu`, and `is_cuda` tells of every GPU",
                "mkldnn": "every tensor is dense",
                "nested": "every tensor is dense",
                "sparse_csr": "every tensor is dense",
            }.items()
        },
        "is_sparse": _fact("False: every tensor is dense.", lambda self: False),
        "is_quantized": _fact("False: there are no quantized dtypes.", lambda self: False),
        "layout": _fact("`corten.strided`: every tensor is dense.", lambda self: _core.strided),
        "real": property(
            _core.ops.real, _set_part("real"), doc="The real part: a view, of a real tensor the tensor itself."
        ),
        "imag": property(_core.ops.imag, _set_part("imag"), doc="The imaginary part: a view. Real tensors have none."),
        "mH": _fact("Matrices `(*, m, n)` conjugated and transposed.", arrange.adjoint),
        "H": _fact("A matrix conjugated and transposed.", arrange.conjugate_transpose),
    }
)
