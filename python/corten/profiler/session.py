"""Taking a profile: `profile`, its schedule, and ranges with a name."""

import functools
import json
import os
import socket
import time
import traceback
import warnings
from enum import Enum
from typing import Any

from .. import _core
from .events import EventList, build_events

__all__ = [
    "ProfilerAction",
    "ProfilerActivity",
    "profile",
    "record_function",
    "schedule",
    "supported_activities",
    "tensorboard_trace_handler",
]

UNTIMED = "GPU times are missing: the adapter has no timestamp queries"


class ProfilerActivity(Enum):
    """What a profile measures; ``GPU`` is another name of ``CUDA``."""

    CPU = 0
    CUDA = 1
    GPU = 1


class ProfilerAction(Enum):
    """What a `schedule` says of a step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


# Steps that a schedule should not have in this order: what was measured is lost.
_CUT_SHORT = {
    (ProfilerAction.WARMUP, ProfilerAction.NONE),
    (ProfilerAction.RECORD, ProfilerAction.NONE),
    (ProfilerAction.RECORD, ProfilerAction.WARMUP),
}


def supported_activities():
    """The activities that can be measured here, as a set (``torch.profiler.supported_activities``)."""
    gpu = {ProfilerActivity.GPU} if _core.gpu_count() else set()
    return {ProfilerActivity.CPU} | gpu


class _Recording:
    """A profile that is being taken: the ranges of this process, and what the engine measures."""

    def __init__(self, gpu_times, stacks):
        _core.flush()
        if not _core.profile_start(gpu_times, stacks):
            raise RuntimeError("a profile is being taken already; it must end first")
        self.stacks, self.ranges = stacks, []
        self.start = _core.profile_clock()[1]
        self.duration = 0

    def stop(self):
        """What the engine measured: kernels, launches, and whether launches could not be timed."""
        _core.flush()
        result = _core.profile_stop()
        self.duration = _core.profile_clock()[1] - self.start
        return result


# The one that is being taken.
_recording = None
# The trace that an `ExecutionTraceObserver` is writing, which notes ranges too.
observer: Any = None


class record_function:
    """
    A range with a name in the profile, as a context or a decorator (``torch.profiler.record_function``).

    While a profile is taken, what is pending runs when the range begins and when it ends.

    Args:
        name: the name in tables and traces.
        args: text that is added to the name, in parentheses.
    """

    def __init__(self, name, args=None):
        self.name = name if args is None else f"{name}({args})"
        self._begun = self._noted = None

    def __enter__(self):
        if observer is not None:
            self._noted = (observer, observer.begin())
        if _recording is not None:
            _core.flush()
            stack = "".join(traceback.format_stack()[:-1]) if _recording.stacks else None
            self._begun = (_recording, *_core.profile_clock(), stack)
        return self

    def __exit__(self, *exception):
        if self._noted is not None:
            trace, number = self._noted
            trace.end(number, self.name)
            self._noted = None
        begun, self._begun = self._begun, None
        if begun is not None and begun[0] is _recording:
            recording, thread, begin, stack = begun
            _core.flush()
            recording.ranges.append((self.name, thread, begin, _core.profile_clock()[1], stack))
        return False

    def __call__(self, function):
        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            with record_function(self.name):
                return function(*args, **kwargs)

        return wrapped


def schedule(*, wait, warmup, active, repeat=0, skip_first=0, skip_first_wait=0):
    """
    Which steps a `profile` measures (``torch.profiler.schedule``).

    After ``skip_first`` steps, cycles of ``wait`` steps without measuring, ``warmup`` steps that are measured and
    thrown away, and ``active`` steps that are kept; ``repeat`` cycles, 0 for as many as there are. A
    ``skip_first_wait`` other than 0 leaves out the first cycle's wait.

    Returns:
        A function from a step's number to a `ProfilerAction`.
    """
    counts = (wait, warmup, active, repeat, skip_first)
    if min(counts) < 0 or active == 0:
        raise AssertionError(f"Invalid profiler schedule arguments: {counts}")
    if warmup == 0:
        warnings.warn("Profiler won't be using warmup, this can skew profiler results", stacklevel=2)
    cycle = wait + warmup + active

    def action(step):
        step -= skip_first
        if step < 0:
            return ProfilerAction.NONE
        if skip_first_wait:
            step += wait
        if 0 < repeat <= step // cycle:
            return ProfilerAction.NONE
        at = step % cycle
        if at < wait:
            return ProfilerAction.NONE
        if at < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD_AND_SAVE if at == cycle - 1 else ProfilerAction.RECORD

    return action


def tensorboard_trace_handler(dir_name, worker_name=None, use_gzip=False, use_python_export=False):
    """
    An ``on_trace_ready`` that writes each trace into a folder (``torch.profiler.tensorboard_trace_handler``).

    The files are called ``<worker>.<nanoseconds>.pt.trace.json``, the worker being ``<host>_<process>`` without
    ``worker_name``; with ``.gz`` behind it for ``use_gzip``.
    """

    def handler(prof):
        os.makedirs(dir_name, exist_ok=True)
        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        name = f"{worker}.{time.time_ns()}.pt.trace.json" + (".gz" if use_gzip else "")
        prof.export_chrome_trace(os.path.join(dir_name, name))

    return handler


class profile:
    """
    Measure what runs between `start` and `stop`, or inside the context (``torch.profiler.profile``).

    Args:
        activities: a set of `ProfilerActivity`; all that there are without it. Kernels of GPUs are timed with ``GPU``.
        schedule: which steps are measured, a function from a step's number to a `ProfilerAction`; the program then
            calls `step` after each. Everything is measured without it.
        on_trace_ready: called with the profile whenever a measured stretch ends.
        record_shapes: keep the shapes of operands.
        profile_memory: show the memory that kernels took.
        with_stack: keep the program's place: of a range its own, of a kernel the place that needed a value, since
            kernels run then.
        execution_trace_observer: an `ExecutionTraceObserver` that notes operators while something is measured, and
            writes its file at the end.
        with_flops, with_modules, experimental_config, use_cuda, custom_trace_id_callback, post_processing_timeout_s:
            accepted; FLOPs are always counted.
        acc_events: keep the events of earlier cycles of the schedule.
    """

    def __init__(
        self,
        *,
        activities=None,
        schedule=None,
        on_trace_ready=None,
        record_shapes=False,
        profile_memory=False,
        with_stack=False,
        with_flops=False,
        with_modules=False,
        experimental_config=None,
        execution_trace_observer=None,
        acc_events=False,
        use_cuda=None,
        custom_trace_id_callback=None,
        post_processing_timeout_s=None,
    ):
        chosen = set(ProfilerActivity if activities is None else activities)
        if not chosen:
            raise AssertionError("No valid profiler activities found")
        self.activities = chosen
        self.on_trace_ready = on_trace_ready
        self.record_shapes, self.profile_memory, self.with_stack = record_shapes, profile_memory, with_stack
        self.acc_events = acc_events
        self._steps = schedule is not None
        self.schedule = schedule or (lambda step: ProfilerAction.RECORD)
        self.step_num = 0
        self.current_action = self.schedule(0)
        self._range = self._trace = self._events = None
        self._metadata, self._preset = {}, {}
        self.execution_trace_observer = execution_trace_observer

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exception):
        self.stop()
        return False

    def start(self):
        """Begin with the first step."""
        if self.current_action is not ProfilerAction.NONE:
            self._begin()
        self._open_step()

    def stop(self):
        """End the profile; a stretch that was being kept is handed to ``on_trace_ready``."""
        self._close_step()
        if self.current_action is ProfilerAction.WARMUP:
            self._discard()
        elif self.current_action is not ProfilerAction.NONE:
            self._finish()
        if self.execution_trace_observer is not None:
            self.execution_trace_observer.cleanup()

    def step(self):
        """Tell that a step of the program has ended."""
        self._close_step()
        before = self.current_action
        self.step_num += 1
        self.current_action = after = self.schedule(self.step_num)
        pair = (before, after)
        if before is ProfilerAction.RECORD_AND_SAVE:
            self._finish()
        elif pair in _CUT_SHORT:
            warnings.warn(f"Incorrect schedule: {before.name} followed by {after.name}", stacklevel=2)
            self._discard()
        elif before is ProfilerAction.WARMUP and after is not ProfilerAction.WARMUP:
            self._discard()  # what was warm-up is thrown away
        if after is not ProfilerAction.NONE and self._trace is None:
            self._begin()
        self._open_step()

    def _begin(self):
        global _recording
        gpu = ProfilerActivity.GPU in self.activities
        _recording = self._trace = _Recording(gpu, self.with_stack)
        self._metadata = {}
        if self.execution_trace_observer is not None:
            self.execution_trace_observer.start()

    def _end(self):
        """Ends the measuring; what was measured."""
        global _recording
        if self.execution_trace_observer is not None:
            self.execution_trace_observer.stop()
        trace, self._trace, _recording = self._trace, None, None
        return trace, trace.stop()

    def _discard(self):
        if self._trace is not None:
            self._end()

    def _finish(self):
        trace, (found, launches, untimed) = self._end()
        events = build_events(
            found, launches, trace.ranges, trace.start, shapes=self.record_shapes, stacks=self.with_stack
        )
        earlier = list(self._events) if self.acc_events and self._events is not None else []
        self._events = EventList(
            earlier + events,
            memory=self.profile_memory,
            note=UNTIMED if untimed else None,
            metadata={**self._preset, **self._metadata, "deviceProperties": self._gpus(events)},
        )
        if self.on_trace_ready is not None:
            self.on_trace_ready(self)

    @staticmethod
    def _gpus(events):
        used = sorted({event.device_index for event in events if event.on_gpu})
        return [{"id": index, "name": _core.gpu_info(index)["name"]} for index in used]

    def _open_step(self):
        if self._steps and self._trace is not None:
            self._range = record_function(f"ProfilerStep#{self.step_num}")
            self._range.__enter__()

    def _close_step(self):
        if self._range is not None:
            self._range.__exit__(None, None, None)
            self._range = None

    def events(self):
        """The events of the last measured stretch, an `EventList` of `FunctionEvent`."""
        if self._events is None:
            raise RuntimeError("Profiler didn't finish running")
        return self._events

    def key_averages(self, group_by_input_shape=False, group_by_stack_n=0, group_by_overload_name=False):
        """The events summed by name, an `EventList` of `FunctionEventAvg`; see `EventList.key_averages`."""
        return self.events().key_averages(group_by_input_shape, group_by_stack_n, group_by_overload_name)

    def export_chrome_trace(self, path):
        """Write the trace for ``chrome://tracing`` and ui.perfetto.dev; compressed where the path ends in ``.gz``."""
        self.events().export_chrome_trace(path)

    def export_stacks(self, path, metric="self_cpu_time_total"):
        """Write the stacks of events for flame graphs; needs ``with_stack``."""
        self.events().export_stacks(path, metric)

    def add_metadata(self, key, value):
        """Put a text into the trace."""
        self._note(key, str(value))

    def add_metadata_json(self, key, value):
        """Put a value, given as JSON, into the trace."""
        self._note(key, json.loads(value))

    def preset_metadata_json(self, key, value):
        """As `add_metadata_json`, for every trace that this profile takes."""
        self._preset[key] = json.loads(value)

    def _note(self, key, value):
        self._metadata[key] = value
        if self._events is not None:
            self._events._metadata[key] = value
