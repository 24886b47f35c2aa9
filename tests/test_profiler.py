"""`corten.profiler`: which kernels ran, how long, what they moved; ranges, schedules, traces; and `CORTEN_DEBUG`."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import textwrap
import threading

import corten
import pytest
from corten import profiler
from corten.profiler import ProfilerAction, ProfilerActivity, profile, record_function, schedule

os.environ.setdefault("CORTEN_GPU_SOFTWARE", "1")

needs_gpu = pytest.mark.skipif(not corten.gpu.is_available(), reason="no GPU adapter; llvmpipe is one")
DEVICES = ["cpu", pytest.param("gpu", marks=needs_gpu)]


def rows(p: profile, **options: object) -> dict[str, profiler.FunctionEventAvg]:
    return {row.key: row for row in p.key_averages(**options)}


def work(device: str = "cpu") -> corten.Tensor:
    """A product, a fused pair and a sum, each once."""
    a, b = corten.ones(16, 32, device=device), corten.ones(32, 8, device=device)
    corten.flush()
    return ((a @ b) * 2 + 1).sum()


# The kernel with the product of `work`, of which the work after it is part.
PRODUCT = "aten::mm + fused(aten::mul, aten::add)"


@pytest.mark.parametrize("device", DEVICES)
def test_kernels_are_listed_with_what_they_move_and_compute(device: str) -> None:
    a, b = corten.ones(16, 32, device=device), corten.ones(32, 8, device=device)
    with profile(record_shapes=True) as p:
        total = ((a @ b) * 2 + 1).sum()
    assert total.item() == 16 * 8 * 65
    found = rows(p)
    assert "aten::sum" in found
    product = found[PRODUCT]
    assert product.count == 1 and product.flops == 2 * 16 * 32 * 8 + 2 * 128
    assert product.bytes_read == 4 * (16 * 32 + 32 * 8) and product.bytes_written == 4 * 16 * 8
    shapes = [e.input_shapes for e in p.events() if e.name == PRODUCT and e.device_type.name == "CPU"]
    assert shapes == [[[16, 32], [32, 8]]]
    seconds = product.self_device_time_total if device == "gpu" else product.self_cpu_time_total
    assert seconds > 0 and product.flops_per_second == pytest.approx(product.flops / (seconds * 1e-6))
    assert product.bytes_per_second == pytest.approx(product.bytes / (seconds * 1e-6))


def test_operators_have_pytorchs_names() -> None:
    a, x = corten.ones(2, 3, 3), corten.ones(4)
    with profile() as p:
        for result in (a @ a, a[0] @ a[0], x @ x, corten.cat([x, x]), x.softmax(0), x.exp().mul(2).add(1)):
            result.tolist()
        with record_function("a range of mine"):
            x.fill_(2).tolist()
    found = set(rows(p))
    assert {"aten::bmm", "aten::mm", "aten::cat", "aten::softmax", "a range of mine"} <= found
    assert "fused(aten::exp, aten::mul, aten::add)" in found
    assert all("aten::" in name for name in found - {"a range of mine"})


def test_broadcast_operands_count_once() -> None:
    row = corten.ones(1, 64)
    with profile() as p:
        (row.expand(32, 64) + corten.ones(32, 1)).tolist()
    assert rows(p)["aten::add"].bytes_read == 4 * (64 + 32)


def test_convolution_and_attention_count_their_products() -> None:
    x, w = corten.ones(2, 3, 10, 10), corten.ones(4, 3, 3, 3)
    q = corten.ones(2, 5, 8)
    with profile() as p:
        corten.nn.functional.conv2d(x, w).sum().item()
        corten.nn.functional.scaled_dot_product_attention(q, q, q).sum().item()
    flops = {key: row.flops for key, row in rows(p).items()}
    assert flops["aten::convolution"] == 2 * (2 * 4 * 8 * 8) * 27
    assert flops["aten::scaled_dot_product_attention"] == 2 * 2 * (2 * 5 * 5 * 8)


@needs_gpu
def test_gpu_time_comes_from_the_gpu() -> None:
    x = corten.randn(64, 64).to("gpu")
    (x @ x).sum().item()
    with profile() as p:
        for _ in range(3):
            (x @ x).sum().item()
    product = rows(p)["aten::mm"]
    launches = [e for e in p.events() if e.device_type is profiler.DeviceType.GPU and e.cpu_launcher.name == "aten::mm"]
    assert product.count == 3 and len(launches) >= 3
    assert all(e.time_range.end > e.time_range.start for e in launches)
    assert product.device_time_total == pytest.approx(sum(e.self_device_time_total for e in launches))
    assert product.cuda_time_total == product.device_time_total
    # The clocks agree: no launch began before its kernel was encoded, give or take a millisecond, or long after.
    assert all(-1e3 < e.time_range.start - e.cpu_launcher.time_range.start < 1e7 for e in launches)
    assert "GPU total" in p.key_averages().table() and "Self GPU time total" in p.key_averages().table()


@needs_gpu
def test_without_the_gpu_activity_launches_are_not_timed() -> None:
    with profile(activities=[ProfilerActivity.CPU]) as p:
        work("gpu").item()
    assert rows(p)[PRODUCT].device_time_total == 0
    assert all(e.device_type is profiler.DeviceType.CPU for e in p.events())


@needs_gpu
def test_copies_between_devices_are_events() -> None:
    with profile() as p:
        corten.ones(100).to("gpu").cpu()
    found = rows(p)
    assert (
        found["aten::copy_ from cpu to gpu:0"].bytes_read == 400 == found["aten::copy_ from gpu:0 to cpu"].bytes_written
    )


@needs_gpu
def test_an_adapter_without_timestamps_is_told() -> None:
    program = """
        import corten
        with corten.profiler.profile() as p:
            corten.ones(3, device="gpu").add(1).tolist()
        print(p.key_averages().table())
    """
    done = run_script(program, CORTEN_GPU_FEATURES="core")
    assert "GPU times are missing: the adapter has no timestamp queries" in done.stdout


def test_nothing_is_kept_outside_a_profile() -> None:
    work().item()
    with profile() as p:
        pass
    work().item()
    assert list(p.events()) == [] and p.key_averages().table() == ""


def test_work_that_was_pending_is_not_counted() -> None:
    x = corten.ones(4).exp()
    with profile() as p:
        y = corten.ones(4).sin()
    assert "exp" not in rows(p) and "sin" in " ".join(rows(p))
    assert x[0].item() > 2 and y[0].item() < 1


def test_profiles_do_not_nest_and_end_when_a_program_fails() -> None:
    with profile(), pytest.raises(RuntimeError, match="a profile is being taken already"), profile():
        pass
    with pytest.raises(ZeroDivisionError), profile():
        raise ZeroDivisionError
    with profile() as p:
        work().item()
    assert PRODUCT in rows(p)
    with pytest.raises(RuntimeError, match="didn't finish"):
        profile().events()


@pytest.mark.parametrize("device", DEVICES)
def test_ranges_hold_the_kernels_that_were_asked_for_in_them(device: str) -> None:
    with profile() as p:
        with record_function("outer"):
            y = work(device)
            with record_function("inner", "7"):
                z = y.exp()
        z.sin().item()
    events = {e.name: e for e in p.events() if e.device_type.name == "CPU"}
    assert events[PRODUCT].cpu_parent is events["outer"] and events["aten::exp"].cpu_parent is events["inner(7)"]
    assert events["inner(7)"].cpu_parent is events["outer"] and events["aten::sin"].cpu_parent is None
    outer = events["outer"]
    assert outer.is_user_annotation and outer.cpu_time_total >= outer.self_cpu_time_total > 0
    children = sum(child.cpu_time_total for child in outer.cpu_children)
    assert outer.self_cpu_time_total == pytest.approx(outer.cpu_time_total - children)
    if device == "gpu":
        assert outer.device_time_total > 0 and outer.self_device_time_total == 0


def test_a_range_decorates_and_does_nothing_without_a_profile() -> None:
    @record_function("decorated")
    def twice(x: corten.Tensor) -> corten.Tensor:
        return x * 2

    assert twice(corten.ones(1)).item() == 2
    with profile() as p:
        twice(corten.ones(1))
        twice(corten.ones(1))
    assert rows(p)["decorated"].count == 2


def test_threads_have_their_own_lines() -> None:
    with profile() as p:
        work().item()
        thread = threading.Thread(target=lambda: work().item())
        thread.start()
        thread.join()
    products = [e for e in p.events() if e.name == PRODUCT]
    assert len(products) == 2 and products[0].thread != products[1].thread


def test_random_numbers_are_events() -> None:
    with profile() as p:
        corten.randn(100)
    assert rows(p)["aten::normal_"].bytes_written == 400


def test_memory_is_shown_where_asked() -> None:
    x = corten.ones(1000)
    corten.flush()
    with profile(profile_memory=True) as p:
        y = x.exp()
    assert rows(p)["aten::exp"].cpu_memory_usage == 4000 == 4 * len(y)
    assert "CPU Mem" in p.key_averages().table()


def test_stacks_lead_to_the_line_that_needed_the_value(tmp_path) -> None:
    with profile(with_stack=True) as p, record_function("range"):
        work().item()
    product = next(e for e in p.events() if e.name == PRODUCT)
    assert any("test_stacks_lead" in entry for entry in product.stack)
    span = next(e for e in p.events() if e.name == "range")
    assert "test_stacks_lead" in span.stack[0]
    p.export_stacks(tmp_path / "stacks.txt")
    assert re.search(
        r";aten::mm_\+_fused\(aten::mul,_aten::add\) \d+$", (tmp_path / "stacks.txt").read_text(), re.MULTILINE
    )
    assert "Source Location" in p.key_averages(group_by_stack_n=2).table()


def test_sums_group_by_shape() -> None:
    with profile(record_shapes=True) as p:
        for n in (3, 3, 5):
            corten.ones(n).flip(0).exp().tolist()
    by_name, by_shape = p.key_averages(), p.key_averages(group_by_input_shape=True)
    assert [row.count for row in by_name if row.key == "aten::exp"] == [3]
    assert sorted(row.count for row in by_shape if row.key == "aten::exp") == [1, 2]
    assert {str(row.input_shapes) for row in by_shape if row.key == "aten::exp"} == {"[[3]]", "[[5]]"}


def test_tables_sort_and_cut() -> None:
    with profile() as p:
        for _ in range(3):
            work().item()
    averages = p.key_averages()
    table = averages.table(sort_by="flops", row_limit=1, header="kernels")
    lines = table.splitlines()
    assert lines[1] == "kernels" and PRODUCT in table and "sum" not in table
    assert re.search(r"Self CPU time total: \d+\.\d{3}(us|ms|s)$", lines[-1])
    assert not re.search(r"\dus", averages.table(time_unit="ms"))
    assert "..." in averages.table(max_name_column_width=8)
    times = [row.cpu_time_total for row in averages]
    assert averages.total_average().cpu_time_total == pytest.approx(sum(times))
    assert averages.self_cpu_time_total == pytest.approx(sum(row.self_cpu_time_total for row in averages))
    with pytest.raises(ValueError, match="sort_by='nothing'"):
        averages.table(sort_by="nothing")
    assert "aten::mm" in repr(next(row for row in averages if row.key == PRODUCT))


@pytest.mark.parametrize("device", DEVICES)
def test_traces_are_in_chromes_format(device: str, tmp_path) -> None:
    with profile(record_shapes=True) as p, record_function("range"):
        work(device).item()
    p.add_metadata("program", "test")
    p.add_metadata_json("sizes", "[1, 2]")
    p.export_chrome_trace(tmp_path / "trace.json")
    p.export_chrome_trace(str(tmp_path / "trace.json.gz"))
    trace = json.loads((tmp_path / "trace.json").read_text())
    assert trace == json.loads(gzip.decompress((tmp_path / "trace.json.gz").read_bytes()))
    assert trace["program"] == "test" and trace["sizes"] == [1, 2]
    complete = [e for e in trace["traceEvents"] if e["ph"] == "X"]
    for event in complete:
        assert {"name", "cat", "pid", "tid", "ts", "dur", "args"} <= set(event) and event["dur"] >= 0
    categories = {e["cat"] for e in complete}
    assert categories == {"cpu_op", "user_annotation"} | ({"kernel"} if device == "gpu" else set())
    product = next(e for e in complete if e["name"] == PRODUCT and e["cat"] == "cpu_op")
    span = next(e for e in complete if e["name"] == "range")
    assert product["args"]["Input Dims"] == [[16, 32], [32, 8]]
    assert span["ts"] <= product["ts"] and product["ts"] + product["dur"] <= span["ts"] + span["dur"]
    if device == "gpu":
        starts = {e["id"] for e in trace["traceEvents"] if e["ph"] == "s"}
        ends = {e["id"] for e in trace["traceEvents"] if e["ph"] == "f"}
        assert starts == ends and len(starts) == sum(e["cat"] == "kernel" for e in complete)
        assert trace["deviceProperties"][0]["name"] == corten.gpu.get_device_name(0)


def test_schedules_say_what_each_step_is() -> None:
    N, W, R, S = ProfilerAction.NONE, ProfilerAction.WARMUP, ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE
    plan = schedule(wait=1, warmup=1, active=2, repeat=2, skip_first=1)
    assert [plan(i) for i in range(11)] == [N, N, W, R, S, N, W, R, S, N, N]
    endless = schedule(wait=0, warmup=1, active=1)
    assert [endless(i) for i in range(4)] == [W, S, W, S]
    early = schedule(wait=2, warmup=1, active=1, skip_first=1, skip_first_wait=1)
    assert [early(i) for i in range(6)] == [N, W, S, N, N, W]
    with pytest.warns(UserWarning, match="won't be using warmup"):
        assert schedule(wait=0, warmup=0, active=1)(0) is S
    with pytest.raises(AssertionError, match="Invalid profiler schedule"):
        schedule(wait=0, warmup=1, active=0)


def test_a_schedule_keeps_the_active_steps_of_each_cycle() -> None:
    kept = []

    def ready(p: profile) -> None:
        steps = [e.name for e in p.events() if e.is_user_annotation]
        kept.append((steps, rows(p)[PRODUCT].count))

    with profile(schedule=schedule(wait=1, warmup=1, active=2, repeat=2), on_trace_ready=ready) as p:
        for _ in range(10):
            work().item()
            p.step()
    assert kept == [(["ProfilerStep#2", "ProfilerStep#3"], 2), (["ProfilerStep#6", "ProfilerStep#7"], 2)]
    assert p.step_num == 10


def test_an_unfinished_cycle_is_handed_over_at_the_end() -> None:
    kept = []
    plan = schedule(wait=0, warmup=1, active=5)
    with profile(schedule=plan, on_trace_ready=lambda p: kept.append(rows(p)[PRODUCT].count)) as p:
        for _ in range(3):
            work().item()
            p.step()
    assert kept == [2]


def test_cycles_add_up_where_asked() -> None:
    plan = schedule(wait=0, warmup=1, active=1)
    with profile(schedule=plan, acc_events=True) as p:
        for _ in range(4):
            work().item()
            p.step()
    assert rows(p)[PRODUCT].count == 2


def test_a_schedule_that_cuts_a_cycle_short_warns() -> None:
    plan = [ProfilerAction.RECORD, ProfilerAction.NONE]
    with profile(schedule=lambda step: plan[step]) as p, pytest.warns(UserWarning, match="RECORD followed by NONE"):
        p.step()
    with profile() as p:
        work().item()
    assert PRODUCT in rows(p)


def test_the_tensorboard_handler_writes_a_file_a_trace(tmp_path) -> None:
    handler = profiler.tensorboard_trace_handler(tmp_path / "runs", worker_name="w", use_gzip=True)
    with profile(on_trace_ready=handler):
        work().item()
    (file,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"w\.\d+\.pt\.trace\.json\.gz", file.name)
    assert json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]


def test_activities_are_what_there_is() -> None:
    assert ProfilerActivity.GPU is ProfilerActivity.CUDA
    expected = {ProfilerActivity.CPU} | ({ProfilerActivity.GPU} if corten.gpu.is_available() else set())
    assert profiler.supported_activities() == expected
    with pytest.raises(AssertionError, match="No valid profiler activities"):
        profile(activities=[])
    assert profiler.kineto_available()


def test_the_older_interface_does_the_same(tmp_path) -> None:
    older = corten.autograd.profiler
    with older.profile(record_shapes=True) as p, older.record_function("range"):
        work().item()
    assert {PRODUCT, "range"} <= {row.key for row in p.key_averages()}
    assert "aten::mm" in p.table(sort_by="cpu_time_total") and "aten::mm" in str(p)
    assert p.total_average().count == len(p.function_events) and p.self_cpu_time_total > 0
    p.export_chrome_trace(tmp_path / "trace.json")
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    with corten.autograd.profiler.profile(enabled=False) as off:
        work().item()
    assert off.function_events is None


def run_script(text: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(text)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    return done


STEPS = """
    import corten
    for _ in range(2):
        x = corten.ones(64, 32, device="DEVICE")
        corten.flush()
        ((x @ x.T) * 2 + 1).sum().item()
"""


def debug_lines(level: int, device: str) -> str:
    return run_script(STEPS.replace("DEVICE", device), CORTEN_DEBUG=str(level), CORTEN_CACHE="").stderr


@pytest.mark.parametrize("device", DEVICES)
def test_debug_levels_tell_more_and_more(device: str) -> None:
    silent = debug_lines(0, device)
    assert "corten:" not in silent
    where = "gpu:0" if device == "gpu" else "cpu"
    one = debug_lines(1, device)
    assert f"corten: flush of 4 nodes in 2 kernels on {where}, new plan\n" in one
    assert f"corten: flush of 4 nodes in 2 kernels on {where}, known plan\n" in one
    assert "matmul" not in one
    two = debug_lines(2, device)
    times = r" \[64, 32\] \[32, 64\]  [\d.]+ us  [\d.]+ GB/s  [\d.]+ GFLOP/s\n"
    assert len(re.findall("corten:   " + re.escape("matmul + fused(mul, add)") + times, two)) == 2
    assert "corten:   fused(mul, add)" not in two and "corten: shader" not in two
    three = debug_lines(3, device)
    assert ("corten: shader matmul" in three and "@compute" in three) == (device == "gpu")
    four = debug_lines(4, device)
    graph = (
        r"  %0 = matmul\(float32 \[64, 32\], float32 \[32, 64\]\) -> float32 \[64, 64\]\n  %1 = mul\(%0, float32\) -> "
    )
    assert len(re.findall(graph, four)) == 1
    made = "matmul + fused(mul, add) %0 %1 %2\n"
    assert f"corten: kernels\n  {made}  sum %3\n" in four
