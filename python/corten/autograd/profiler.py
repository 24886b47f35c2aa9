"""The older interface of `corten.profiler` (``torch.autograd.profiler``)."""

from ..profiler import EventList, FunctionEvent, FunctionEventAvg, Kernel, ProfilerActivity, record_function
from ..profiler import profile as _profile

__all__ = ["EventList", "FunctionEvent", "FunctionEventAvg", "Kernel", "profile", "record_function"]


class profile:
    """
    Measure what runs inside the context; see `corten.profiler.profile`, which has schedules too.

    Args:
        enabled: False makes it do nothing.
        use_cuda: time the kernels of GPUs.
        use_device: "cuda" or "gpu" for the same.
        record_shapes, profile_memory, with_stack: as in `corten.profiler.profile`.
        use_cpu, with_flops, with_modules, use_kineto, experimental_config, acc_events, custom_trace_id_callback,
            post_processing_timeout_s, activity_filters: accepted.
    """

    def __init__(
        self,
        enabled=True,
        *,
        use_cuda=False,
        use_device=None,
        record_shapes=False,
        with_flops=False,
        profile_memory=False,
        with_stack=False,
        with_modules=False,
        use_kineto=False,
        use_cpu=True,
        experimental_config=None,
        acc_events=False,
        custom_trace_id_callback=None,
        post_processing_timeout_s=None,
        activity_filters=None,
    ):
        self.enabled = enabled
        gpu = use_cuda or use_device in ("cuda", "gpu")
        activities = {ProfilerActivity.CPU} | ({ProfilerActivity.GPU} if gpu else set())
        self._profile = _profile(
            activities=activities, record_shapes=record_shapes, profile_memory=profile_memory, with_stack=with_stack
        )

    def __enter__(self):
        if self.enabled:
            self._profile.start()
        return self

    def __exit__(self, *exception):
        if self.enabled:
            self._profile.stop()
        return False

    @property
    def function_events(self):
        """The events, an `EventList`; None while there are none."""
        return self._profile._events

    def key_averages(self, group_by_input_shape=False, group_by_stack_n=0, group_by_overload_name=False):
        """The events summed by name."""
        return self._profile.key_averages(group_by_input_shape, group_by_stack_n, group_by_overload_name)

    def table(self, sort_by=None, row_limit=100, **options):
        """The events as a table; see `EventList.table`."""
        return self._profile.events().table(sort_by=sort_by, row_limit=row_limit, **options)

    def total_average(self):
        """The sum of all events."""
        return self._profile.events().total_average()

    @property
    def self_cpu_time_total(self):
        """Microseconds that the CPU spent in the events."""
        return self._profile.events().self_cpu_time_total

    def export_chrome_trace(self, path):
        """Write the trace for ``chrome://tracing``."""
        self._profile.export_chrome_trace(path)

    def export_stacks(self, path, metric="self_cpu_time_total"):
        """Write the stacks of events for flame graphs."""
        self._profile.export_stacks(path, metric)

    def __str__(self):
        return str(self.function_events) if self.function_events is not None else "<unfinished profile>"

    __repr__ = __str__


class emit_nvtx:
    """Marks for the tools of a GPU's maker, which corten does not make."""

    def __init__(self, *args, **kwargs):
        raise NotImplementedError(
            "emit_nvtx: CORTEN_DEBUG=2 prints every kernel with its time; so does corten.profiler"
        )
