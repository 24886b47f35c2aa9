"""The most bytes that tensors of a program hold at once, on the CPU."""

from __future__ import annotations

import gc
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

MARK = "the measured call"


def peak_bytes(m: ModuleType, build: Callable[[ModuleType], Callable[[], object]]) -> int:
    """Of the third call of what `build(m)` makes; what `build` made and the calls before left counts too."""
    gc.collect()
    return peak_of_corten(m, build) if m.__name__ == "corten" else peak_of_torch(m, build)


def peak_of_corten(m: ModuleType, build) -> int:
    m.cpu.synchronize()
    before = m.cpu.memory_allocated()
    call = build(m)
    for _ in range(2):
        call()
        m.cpu.synchronize()
    m.cpu.reset_peak_memory_stats()
    call()
    m.cpu.synchronize()
    return m.cpu.max_memory_allocated() - before


def peak_of_torch(m: ModuleType, build) -> int:
    """The profiler tells every block that PyTorch's allocator gives and takes, temporary ones of operators too."""
    profiler = m.profiler
    with profiler.profile(activities=[profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        call = build(m)
        for _ in range(2):
            call()
        with profiler.record_function(MARK):
            call()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(path))
        return highest(json.loads(path.read_text())["traceEvents"])


def highest(events: list[dict]) -> int:
    """The most bytes that blocks held during the mark, from the profiler's events of memory."""
    mark = next(event for event in events if event["name"] == MARK)
    start, end = mark["ts"], mark["ts"] + mark["dur"]
    held: dict[int, int] = {}
    live = most = 0
    for event in sorted((e for e in events if e["name"] == "[memory]"), key=lambda e: e["ts"]):
        if event["ts"] > end:
            break
        if event["ts"] >= start:
            most = max(most, live)
        size, place = event["args"]["Bytes"], event["args"]["Addr"]
        if size > 0:
            held[place] = size
            live += size
        else:
            # A block from before the profile is not held here.
            live -= held.pop(place, 0)
    return max(most, live)
