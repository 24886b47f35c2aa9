"""The events of a profile, and their sums by name."""

import re
from collections import namedtuple
from enum import Enum

from .table import build_table
from .trace import write_chrome_trace

US = 1000  # nanoseconds of a microsecond


class DeviceType(Enum):
    """Where an event took place."""

    CPU = 0
    CUDA = 1
    GPU = 1


Kernel = namedtuple("Kernel", ["name", "device", "duration"])
Kernel.__doc__ = "A launch on a GPU: its name, the number of the GPU, and its duration in microseconds."


class Interval(namedtuple("Interval", ["start", "end"])):
    """Beginning and end in microseconds since the profile began."""

    __slots__ = ()

    def elapsed_us(self):
        """The time between them."""
        return self.end - self.start


class _Times:
    """The names that sums and single events share. Times are microseconds, memory is bytes."""

    @property
    def cpu_time(self):
        """Time on the CPU, children included, per call."""
        return self.cpu_time_total / self.count if self.count else 0.0

    @property
    def device_time(self):
        """Time on the GPU, children included, per call."""
        return self.device_time_total / self.count if self.count else 0.0

    @property
    def bytes(self):
        """Bytes read and written."""
        return self.bytes_read + self.bytes_written

    @property
    def _seconds(self):
        """The time in which the bytes were moved: on the GPU where it ran there."""
        own = self.self_device_time_total if self.on_gpu else self.self_cpu_time_total
        return own * 1e-6

    @property
    def bytes_per_second(self):
        """Bytes read and written in a second of the kernel's own time; 0 where that is not known."""
        return self.bytes / self._seconds if self._seconds > 0 else 0.0

    @property
    def flops_per_second(self):
        """Floating-point operations in a second of the kernel's own time; 0 where that is not known."""
        return self.flops / self._seconds if self._seconds > 0 else 0.0


def _same_as(name):
    return property(lambda self: getattr(self, name), doc=f"Another name of ``{name}``.")


for _name in ("device_time", "device_time_total", "self_device_time_total"):
    setattr(_Times, _name.replace("device", "cuda"), _same_as(_name))
    setattr(_Times, _name.replace("device", "gpu"), _same_as(_name))


class FunctionEvent(_Times):
    """
    A kernel, a range of `record_function`, or a launch on a GPU.

    ``name``, ``time_range`` (microseconds since the profile began), ``thread``, ``device_type``, ``device_index``,
    ``input_shapes``, ``stack`` (innermost first; of where the kernel was run), ``cpu_parent`` and ``cpu_children``,
    ``kernels`` (the `Kernel` launches of its own), ``flops``, ``bytes_read``, ``bytes_written``, times and memory.
    """

    def __init__(self, id, name, begin, end, thread, *, gpu=None, device_type=DeviceType.CPU, annotation=False):
        self.id, self.name, self.thread = id, name, thread
        self.time_range = Interval(begin, end)
        self.device_type, self.device_index = device_type, 0 if gpu is None else gpu
        self.use_device = None if gpu is None else "gpu"
        self.is_user_annotation = annotation
        self.count = 1
        self.kernels, self.cpu_children, self.cpu_parent = [], [], None
        self.input_shapes, self.stack = [], []
        self.flops = self.bytes_read = self.bytes_written = 0
        self.own_memory = 0

    @property
    def key(self):
        """The name."""
        return self.name

    @property
    def on_gpu(self):
        """Whether its work is done by a GPU."""
        return self.use_device is not None

    @property
    def cpu_time_total(self):
        """Time on the CPU, children included."""
        return self.time_range.elapsed_us() if self.device_type is DeviceType.CPU else 0.0

    @property
    def self_cpu_time_total(self):
        """Time on the CPU outside its children."""
        return self.cpu_time_total - sum(child.cpu_time_total for child in self.cpu_children)

    @property
    def self_device_time_total(self):
        """Time of its own launches on the GPU."""
        if self.device_type is not DeviceType.CPU:
            return self.time_range.elapsed_us()
        return sum(kernel.duration for kernel in self.kernels)

    @property
    def device_time_total(self):
        """Time of its launches on the GPU, children included."""
        return self.self_device_time_total + sum(child.device_time_total for child in self.cpu_children)

    @property
    def self_cpu_memory_usage(self):
        """Bytes of the CPU's memory that it took itself; negative where it gave back more."""
        return 0 if self.on_gpu else self.own_memory

    @property
    def cpu_memory_usage(self):
        """Bytes of the CPU's memory that it and its children took."""
        return self.self_cpu_memory_usage + sum(child.cpu_memory_usage for child in self.cpu_children)

    @property
    def self_device_memory_usage(self):
        """Bytes of the GPU's memory that it took itself."""
        return self.own_memory if self.on_gpu else 0

    @property
    def device_memory_usage(self):
        """Bytes of the GPU's memory that it and its children took."""
        return self.self_device_memory_usage + sum(child.device_memory_usage for child in self.cpu_children)

    def __repr__(self):
        start, end = self.time_range
        times = f"cpu_time={self.cpu_time:.3f}us device_time={self.device_time:.3f}us"
        return (
            f"<FunctionEvent id={self.id} name={self.name} device_type={self.device_type.name} {times} "
            f"start_us={start:.3f} end_us={end:.3f} thread={self.thread} input_shapes={self.input_shapes}>"
        )


_SUMMED = (
    *("count", "cpu_time_total", "self_cpu_time_total", "device_time_total", "self_device_time_total"),
    *("cpu_memory_usage", "self_cpu_memory_usage", "device_memory_usage", "self_device_memory_usage"),
    *("flops", "bytes_read", "bytes_written"),
)


class FunctionEventAvg(_Times):
    """Events of one name, summed: ``key``, ``count``, and the times, memory, bytes and FLOPs of `FunctionEvent`."""

    def __init__(self, event=None):
        self.key = None
        self.input_shapes, self.stack = [], []
        self.device_type, self.on_gpu, self.is_user_annotation = DeviceType.CPU, False, False
        for name in _SUMMED:
            setattr(self, name, 0)
        if event is not None:
            self.key = event.key
            self.input_shapes, self.stack = event.input_shapes, event.stack
            self.device_type, self.on_gpu = event.device_type, event.on_gpu
            self.is_user_annotation = event.is_user_annotation
            self.add(event)

    @property
    def name(self):
        """The key."""
        return self.key

    def add(self, other):
        """Add an event or another sum."""
        for name in _SUMMED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self

    __iadd__ = add

    def __repr__(self):
        return (
            f"<FunctionEventAvg key={self.key} count={self.count} cpu_time={self.cpu_time:.3f}us "
            f"device_time={self.device_time:.3f}us input_shapes={self.input_shapes}>"
        )


class EventList(list):
    """A list of events or of their sums."""

    def __init__(self, events=(), *, memory=False, note=None, metadata=None):
        super().__init__(events)
        self._memory, self._note, self._metadata = memory, note, metadata or {}

    def key_averages(self, group_by_input_shape=False, group_by_stack_n=0, group_by_overload_name=False):
        """
        Sum events by name.

        Args:
            group_by_input_shape: keep events whose operands have other shapes apart.
            group_by_stack_n: keep events apart that differ in that many innermost entries of the stack.
            group_by_overload_name: accepted; kernels have no overloads.

        Returns:
            An `EventList` of `FunctionEventAvg`. Launches on a GPU are in the rows of their kernels.
        """
        groups = {}
        for event in self:
            if event.device_type is not DeviceType.CPU:
                continue
            key = (
                event.key,
                event.on_gpu,
                str(event.input_shapes) if group_by_input_shape else "",
                tuple(event.stack[:group_by_stack_n]),
            )
            if key in groups:
                groups[key].add(event)
            else:
                groups[key] = FunctionEventAvg(event)
                if not group_by_input_shape:
                    groups[key].input_shapes = []
                groups[key].stack = event.stack[:group_by_stack_n]
        return EventList(groups.values(), memory=self._memory, note=self._note)

    def total_average(self):
        """The sum of all events, under the name "Total"."""
        total = FunctionEventAvg()
        for event in self:
            total.add(event)
        total.key = "Total"
        return total

    @property
    def self_cpu_time_total(self):
        """Microseconds that the CPU spent in the events."""
        return sum(event.self_cpu_time_total for event in self)

    def table(
        self,
        sort_by=None,
        row_limit=100,
        max_src_column_width=75,
        max_name_column_width=55,
        max_shapes_column_width=80,
        header=None,
        top_level_events_only=False,
        time_unit=None,
    ):
        """
        The events as a table.

        Args:
            sort_by: the attribute that orders the rows, the largest first: ``cpu_time``, ``cpu_time_total``,
                ``self_cpu_time_total``, the same with ``device`` for ``cpu``, ``cpu_memory_usage``,
                ``device_memory_usage``, ``count``, ``bytes``, ``flops``, ``bytes_per_second``, ``flops_per_second``.
            row_limit: at most so many rows; -1 for all.
            max_src_column_width, max_name_column_width, max_shapes_column_width: columns are cut there.
            header: a line above the table.
            top_level_events_only: leave out events inside others.
            time_unit: "s", "ms" or "us" for every time; otherwise each has the one that suits it.

        Returns:
            The text.
        """
        rows = list(self)
        if top_level_events_only:
            rows = [event for event in rows if getattr(event, "cpu_parent", None) is None]
        if sort_by is not None:
            if rows and not hasattr(rows[0], sort_by):
                raise ValueError(f"sort_by={sort_by!r} is no attribute of an event")
            rows.sort(key=lambda event: getattr(event, sort_by), reverse=True)
        widths = (max_name_column_width, max_shapes_column_width, max_src_column_width)
        return build_table(rows, row_limit, widths, header, self._memory, self._note, time_unit)

    def export_chrome_trace(self, path):
        """Write the events in Chrome's trace event format, for ``chrome://tracing`` and ui.perfetto.dev."""
        write_chrome_trace(self, path, self._metadata)

    def export_stacks(self, path, metric="self_cpu_time_total"):
        """Write a line for each stack with its total, for flame graphs: ``outer;inner;kernel 12``."""
        totals = {}
        for event in self:
            if event.stack:
                line = ";".join([*reversed(event.stack), event.key]).replace(" ", "_")
                totals[line] = totals.get(line, 0) + int(getattr(event, metric))
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{line} {total}\n" for line, total in totals.items() if total > 0)

    def __str__(self):
        return self.table()


def _stack(text):
    """Python's traceback text as ``file(line): function``, innermost first."""
    entries = []
    for line in (text or "").splitlines():
        parts = line.strip().split('"')
        if len(parts) == 3 and parts[0] == "File ":
            number, _, function = parts[2].removeprefix(", line ").partition(", in ")
            entries.append(f"{parts[1]}({number}): {function}")
    return entries[::-1]


# Operators in the engine's names: the words that take no brackets behind them.
_OPERATOR = re.compile(r"[A-Za-z_]\w*(?!\w|\()")


def operator_names(kernel, shapes):
    """A kernel's name, with its operators in PyTorch's names: ``aten::mm + fused(aten::mul, aten::add)``."""
    if kernel.startswith("copy "):
        # Between devices, which it names.
        return f"aten::copy_{kernel.removeprefix('copy')}"
    dims = {len(shape) for shape in shapes[:2]}
    product = {2: "mm", 3: "bmm"}.get(dims.pop(), "matmul") if len(dims) == 1 else "matmul"
    return _OPERATOR.sub(lambda word: f"aten::{product if word[0] == 'matmul' else word[0]}", kernel)


def build_events(found, launches, ranges, start, *, shapes, stacks):
    """
    The events of a profile in the order in which they began, each with its parent.

    Args:
        found: what the engine says of kernels on the host.
        launches: (kernel, name, begin, end) on GPUs.
        ranges: (name, thread, begin, end, stack) of `record_function`.
        start: when the profile began. All times are nanoseconds.
        shapes, stacks: whether events keep them.
    """

    def since(time):
        return (time - start) / US

    events, by_id = [], {}
    for e in found:
        name = operator_names(e["name"], e["shapes"])
        event = FunctionEvent(e["id"], name, since(e["begin"]), since(e["end"]), e["thread"], gpu=e["gpu"])
        event.bytes_read, event.bytes_written, event.flops = e["read"], e["written"], e["flops"]
        event.own_memory = e["memory"]
        event.input_shapes = [list(shape) for shape in e["shapes"]] if shapes else []
        event.stack = _stack(e["stack"]) if stacks else []
        events.append(event)
        by_id[e["id"]] = event
    for number, (name, thread, begin, end, stack) in enumerate(ranges, 1):
        event = FunctionEvent(-number, name, since(begin), since(end), thread, annotation=True)
        event.stack = _stack(stack) if stacks else []
        events.append(event)
    events.sort(key=lambda event: (event.time_range.start, -event.time_range.end))
    open_events = {}
    for event in events:
        line = open_events.setdefault(event.thread, [])
        while line and line[-1].time_range.end < event.time_range.end:
            line.pop()
        if line:
            event.cpu_parent = line[-1]
            line[-1].cpu_children.append(event)
        line.append(event)
    for unit, name, begin, end in launches:
        if unit not in by_id:
            continue
        launcher = by_id[unit]
        index = launcher.device_index
        launcher.kernels.append(Kernel(name, index, (end - begin) / US))
        launch = FunctionEvent(
            unit, name, since(begin), since(end), launcher.thread, gpu=index, device_type=DeviceType.GPU
        )
        launch.cpu_launcher = launcher
        events.append(launch)
    return events
