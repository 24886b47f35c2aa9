"""A profile as a file in Chrome's trace event format.

The format is described in "Trace Event Format" (Google, 2016): complete events have phase "X" and times in
microseconds, arrows from a kernel to its launches are flow events "s" and "f", and "M" names processes and threads.
"""

import gzip
import json
import os

# Processes in a trace are numbers; GPUs get theirs far from those of the system.
GPU_PROCESS = 1 << 22


def _complete(event, process, thread, category):
    start, end = event.time_range
    arguments = {"id": event.id}
    if event.input_shapes:
        arguments["Input Dims"] = event.input_shapes
    if event.stack:
        arguments["Stack"] = event.stack
    if not event.is_user_annotation and category != "kernel":
        arguments |= {
            "Bytes read": event.bytes_read,
            "Bytes written": event.bytes_written,
            "FLOPs": event.flops,
            "Bytes": event.own_memory,
        }
    return {
        "ph": "X",
        "cat": category,
        "name": event.name,
        "pid": process,
        "tid": thread,
        "ts": start,
        "dur": end - start,
        "args": arguments,
    }


def _name(what, process, thread, name):
    return {"ph": "M", "name": what, "pid": process, "tid": thread, "ts": 0, "args": {"name": name}}


def trace_events(events):
    """The list under ``traceEvents``."""
    host = os.getpid()
    out, threads, gpus = [], set(), set()
    for flow, event in enumerate(events):
        if event.device_type.name == "CPU":
            threads.add(event.thread)
            category = "user_annotation" if event.is_user_annotation else "cpu_op"
            out.append(_complete(event, host, event.thread, category))
            continue
        process = GPU_PROCESS + event.device_index
        gpus.add(event.device_index)
        out.append(_complete(event, process, 0, "kernel"))
        arrow = {"cat": "ac2g", "name": "ac2g", "id": flow}
        launcher = event.cpu_launcher
        out.append({**arrow, "ph": "s", "pid": host, "tid": launcher.thread, "ts": launcher.time_range.start})
        out.append({**arrow, "ph": "f", "bp": "e", "pid": process, "tid": 0, "ts": event.time_range.start})
    names = [_name("process_name", host, 0, "corten"), _name("process_labels", host, 0, "CPU")]
    names += [_name("thread_name", host, thread, f"thread {thread}") for thread in sorted(threads)]
    for index in sorted(gpus):
        names.append(_name("process_name", GPU_PROCESS + index, 0, f"gpu:{index}"))
        names.append(_name("thread_name", GPU_PROCESS + index, 0, "kernels"))
    return names + out


def write_chrome_trace(events, path, metadata):
    """Write the trace; a path that ends in ``.gz`` is compressed."""
    content = {"schemaVersion": 1, "displayTimeUnit": "ms", **metadata, "traceEvents": trace_events(events)}
    path = os.fspath(path)
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "wt", encoding="utf-8") as file:
        json.dump(content, file)
