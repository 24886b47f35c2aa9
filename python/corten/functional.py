"""Functions of several tensors, under the name that ``torch.functional`` has; the package itself has them too."""

import corten

_NAMES = (
    "atleast_1d atleast_2d atleast_3d block_diag broadcast_shapes broadcast_tensors cartesian_prod cdist chain_matmul "
    "einsum meshgrid norm pca_lowrank split svd_lowrank tensordot unique unique_consecutive unravel_index"
)
globals().update({name: getattr(corten, name) for name in _NAMES.split()})
__all__ = sorted(_NAMES.split())
