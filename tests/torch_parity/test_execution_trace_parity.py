"""`ExecutionTraceObserver` beside PyTorch's: the same keys, and for the same calls the same values."""

import gzip
import json
import threading

import corten
import pytest

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.cpu
LIBRARIES = (corten, torch)


def program(library):
    x = library.ones(2, 3)
    with library.profiler.record_function("range"):
        y = library.add(x, 2.5, alpha=3)
        z = library.cat([x, y], 1)
    return z.relu()


def traced(library, path):
    observer = library.profiler.ExecutionTraceObserver()
    assert not observer.is_registered and observer.get_output_file_path() is None
    observer.start()
    assert observer.register_callback(str(path)) is observer
    assert observer.is_registered and observer.get_output_file_path() == str(path)
    observer.start()
    program(library)
    observer.stop()
    program(library)
    observer.unregister_callback()
    assert not observer.is_registered
    return json.loads(path.read_text())


def test_operators_are_written_as_pytorch_writes_them(tmp_path):
    ours, theirs = (traced(library, tmp_path / f"{library.__name__}.json") for library in LIBRARIES)
    assert ours.keys() == theirs.keys()
    assert ours["schema"] == theirs["schema"]
    assert ours["start_ts"] <= ours["finish_ts"]
    nodes = [{node["name"]: node for node in trace["nodes"]} for trace in (ours, theirs)]
    for name in ("aten::add", "aten::cat", "aten::relu", "range", "[pytorch|profiler|execution_trace|thread]"):
        mine, other = (named[name] for named in nodes)
        assert mine.keys() == other.keys()
        facts = [{a["name"]: (a["type"], a["value"]) for a in node["attrs"]} for node in (mine, other)]
        assert facts[0].keys() == facts[1].keys()
        assert {k: v[0] for k, v in facts[0].items()} == {k: v[0] for k, v in facts[1].items()}
        if name == "[pytorch|profiler|execution_trace|thread]" or name == "range":
            assert mine["inputs"]["values"] == []
            continue
        for column in ("shapes", "types", "strides"):
            assert mine["outputs"][column] == other["outputs"][column]
            assert mine["inputs"][column][0] == other["inputs"][column][0]
        assert mine["outputs"]["values"][0][2:] == other["outputs"]["values"][0][2:]
    for named in nodes:
        assert named["aten::add"]["ctrl_deps"] == named["aten::cat"]["ctrl_deps"] == named["range"]["id"]
        assert named["aten::relu"]["ctrl_deps"] == named["[pytorch|profiler|execution_trace|thread]"]["id"]
        # What one operator makes and another reads has one number.
        assert named["aten::cat"]["outputs"]["values"] == named["aten::relu"]["inputs"]["values"][:1]
        assert named["aten::add"]["outputs"]["values"][0] == named["aten::cat"]["inputs"]["values"][0][1]
    assert sum(node["name"] == "aten::add" for node in ours["nodes"]) == 1
    schema = next(a["value"] for a in nodes[0]["aten::cat"]["attrs"] if a["name"] == "op_schema")
    assert schema.startswith("aten::cat(Tensor[] tensors")


def test_a_profile_starts_it_and_writes_its_file(tmp_path):
    path = tmp_path / "trace.json.gz"
    observer = corten.profiler.ExecutionTraceObserver().register_callback(path)
    x = corten.ones(3)
    with corten.profiler.profile(execution_trace_observer=observer):
        x.exp()
    x.sin()
    names = [node["name"] for node in json.loads(gzip.decompress(path.read_bytes()))["nodes"]]
    assert "aten::exp" in names and "aten::sin" not in names


def test_modes_inside_it_stay_when_it_ends(tmp_path):
    class Mode(corten.overrides.TorchFunctionMode):
        seen = 0

        def __torch_function__(self, func, types, args=(), kwargs=None):
            self.seen += 1
            return func(*args, **(kwargs or {}))

    observer = corten.profiler.ExecutionTraceObserver().register_callback(tmp_path / "trace.json")
    observer.start()
    with pytest.raises(RuntimeError, match="another observer is running"):
        corten.profiler.ExecutionTraceObserver().register_callback(tmp_path / "other.json").start()
    with Mode() as mode:
        observer.stop()
        corten.ones(2).exp()
        assert mode.seen == 2
    observer.start()
    failed = []

    def stop():
        try:
            observer.stop()
        except RuntimeError as error:
            failed.append(str(error))

    thread = threading.Thread(target=stop)
    thread.start()
    thread.join()
    assert "the thread that called start()" in failed[0]
    observer.cleanup()
