"""What a worker knows of itself, under the name that ``torch.utils.data._utils.worker`` has."""

from ..worker import WorkerInfo, get_worker_info

__all__ = ["WorkerInfo", "get_worker_info"]
