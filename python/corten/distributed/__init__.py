"""Several processes on one machine that train together, over MPI.

`pip install corten[distributed]` brings what it needs: mpi4py and MPICH. A program is started in two processes by
`python -m corten.distributed.run --nproc-per-node 2 train.py`, and `nn.parallel.DistributedDataParallel` averages their
gradients. Names, arguments and errors are those of `torch.distributed`; every name of a backend is accepted, and
MPI serves them all.
"""

from ._collectives import (
    all_gather,
    all_gather_into_tensor,
    all_reduce,
    all_to_all,
    all_to_all_single,
    barrier,
    broadcast,
    gather,
    monitored_barrier,
    reduce,
    reduce_scatter,
    reduce_scatter_tensor,
    scatter,
)
from ._errors import DistBackendError, DistError, DistNetworkError, DistStoreError, QueueEmptyError
from ._group import (
    Backend,
    GroupMember,
    ProcessGroup,
    default_pg_timeout,
    destroy_process_group,
    get_backend,
    get_backend_config,
    get_global_rank,
    get_group_rank,
    get_node_local_rank,
    get_pg_count,
    get_process_group_ranks,
    get_rank,
    get_world_size,
    group,
    init_process_group,
    is_available,
    is_backend_available,
    is_gloo_available,
    is_initialized,
    is_mpi_available,
    is_nccl_available,
    is_torchelastic_launched,
    is_ucc_available,
    is_xccl_available,
    new_group,
    new_subgroups,
    new_subgroups_by_enumeration,
)
from ._objects import (
    all_gather_object,
    broadcast_object_list,
    gather_object,
    recv_object_list,
    scatter_object_list,
    send_object_list,
)
from ._point_to_point import P2POp, batch_isend_irecv, irecv, isend, recv, send
from ._reduce_op import ReduceOp
from ._reducer import _DEFAULT_FIRST_BUCKET_BYTES, GradBucket
from ._store import HashStore, PrefixStore, Store
from ._work import Work

_all_gather_base = all_gather_into_tensor
_reduce_scatter_base = reduce_scatter_tensor
# The name before PyTorch 1.0, still in programs.
reduce_op = ReduceOp

__all__ = sorted(name for name in globals() if not name.startswith("_"))


def __getattr__(name):
    if name in ("device_mesh", "tensor"):
        import importlib

        return importlib.import_module(f"{__name__}.{name}")
    from .._missing import missing

    raise missing(__name__, name)
