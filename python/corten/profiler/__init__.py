"""What a program spends its time on (``torch.profiler``).

corten records operators and runs them later, fused into kernels. So a profile lists kernels as they ran, not the calls
that asked for them. Each operator of a kernel has PyTorch's name: ``aten::mm`` is a kernel of one, and
``fused(aten::mul, aten::add, aten::tanh)`` one pass over memory. `record_function` and `profile.step` run what is
pending while a profile is taken, so that the kernels of a range lie inside it; kernels are then not fused across its
borders. Nothing is measured, and nothing costs time, while no profile is taken.

On the CPU a kernel's time is that of its execution. On a GPU its host time is that of encoding, and its GPU time comes
from timestamp queries at the beginning and the end of each launch, which then has a compute pass of its own. Bytes are
those of the operands and results, so a rate above the memory's tells of caches; FLOPs count a multiplication and an
addition as two, and one operation an element for each operator of a fused kernel.

Example::

    >>> with corten.profiler.profile(record_shapes=True) as p:
    ...     loss = model(x).sum()
    ...     loss.backward()
    >>> print(p.key_averages().table(sort_by="self_cpu_time_total", row_limit=10))
    >>> p.export_chrome_trace("trace.json")  # for chrome://tracing or ui.perfetto.dev
"""

from .events import DeviceType, EventList, FunctionEvent, FunctionEventAvg, Kernel
from .session import (
    ProfilerAction,
    ProfilerActivity,
    profile,
    record_function,
    schedule,
    supported_activities,
    tensorboard_trace_handler,
)

__all__ = [
    "DeviceType",
    "EventList",
    "ExecutionTraceObserver",
    "FunctionEvent",
    "FunctionEventAvg",
    "Kernel",
    "ProfilerAction",
    "ProfilerActivity",
    "kineto_available",
    "profile",
    "record_function",
    "schedule",
    "supported_activities",
    "tensorboard_trace_handler",
]


def __getattr__(name):
    # Its module needs operators that can be taken over, which other profiles do not.
    if name == "ExecutionTraceObserver":
        from .execution_trace import ExecutionTraceObserver

        return ExecutionTraceObserver
    from .._missing import missing

    raise missing(__name__, name)


def kineto_available():
    """Whether traces can be taken and exported: always (``torch.profiler.kineto_available``)."""
    return True
