"""The benchmarks' programs: their options, their refusals, their cases; and a run of every GPU case with tiny sizes."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import corten
import pytest

os.environ.setdefault("CORTEN_GPU_SOFTWARE", "1")

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = ROOT / "benchmarks"
PROGRAMS = ["bench_breadth", "bench_busy", "bench_overhead", "compare", "compare_burn", "gpu"]


@pytest.fixture
def debug_build(monkeypatch):
    monkeypatch.setattr(corten._core, "build_profile", lambda: "debug")


def test_every_program_is_known():
    shared = {"harness", "shared_cases", "gpu_cases", "cpu_cases", "network_cases", "networks", "other_packages"}
    shared |= {"breadth_cases", "sides", "comparison", "memory", "chart", "network_flops"}
    assert {path.stem for path in BENCHMARKS.glob("*.py")} == {*PROGRAMS, *shared}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_tell_their_options(name):
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--rounds" in done.stdout


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_refuse_a_debug_build(name, program, debug_build, monkeypatch):
    module = program(name)
    monkeypatch.setattr(sys, "argv", [name])
    with pytest.raises(SystemExit, match="debug build"):
        module.main(module.cases, module.__file__, {}) if name == "bench_overhead" else module.main()


def test_a_busy_machine_is_refused_unless_the_run_is_dry(program, monkeypatch):
    compare = program("compare_burn")
    built = []
    monkeypatch.setattr(os, "getloadavg", lambda: (9.0, 9.0, 9.0))
    monkeypatch.setattr(compare, "build_burn", lambda shaders: built.append(shaders))
    monkeypatch.setattr(compare, "on_software", lambda: False)
    monkeypatch.setattr(compare, "refuse_debug_build", lambda: None)
    monkeypatch.setattr(compare, "compare", lambda options: "| a table |")
    monkeypatch.setattr(sys, "argv", ["compare_burn", "--max-load=8"])
    with pytest.raises(SystemExit, match=r"load is 9\.00, above 8"):
        compare.main()
    assert not built
    monkeypatch.setattr(sys, "argv", ["compare_burn", "--max-load=8", "--dry-run"])
    compare.main()
    assert built == ["spirv"]


@pytest.mark.parametrize(
    "name, options",
    [
        ("compare_burn", ["--write", "--dry-run"]),
        ("compare_burn", ["--write", "--smoke"]),
        ("compare", ["--write", "--dry-run"]),
        ("compare", ["--write", "--scale=tiny"]),
        ("compare", ["--write", "--cases=softmax"]),
        ("gpu", ["--write", "--scale=tiny"]),
        ("gpu", ["--write", "--cases=softmax"]),
    ],
)
def test_numbers_that_mean_nothing_are_not_written_down(name, options, program):
    with pytest.raises(SystemExit):
        program(name).parse_arguments(options)


def test_tables_are_written_between_their_markers_alone(program, tmp_path):
    harness = program("harness")
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- gpu -->\nold\n<!-- /gpu -->\nafter\n")
    harness.write_between_markers("gpu", harness.table(["case", "time"], [["a", "1 s"]]), page)
    table = "| case | time |\n| ---- | ---: |\n| a    |  1 s |"
    assert page.read_text() == f"before\n<!-- gpu -->\n\n{table}\n\n<!-- /gpu -->\nafter\n"
    with pytest.raises(SystemExit, match="no place marked burn"):
        harness.write_between_markers("burn", "text", page)


def test_the_page_has_a_place_for_every_table(program):
    text = program("harness").PAGE.read_text(encoding="utf-8")
    for name in ("cpu", "gpu", "burn"):
        assert text.count(f"<!-- {name} -->") == text.count(f"<!-- /{name} -->") == 1


def test_programs_take_turns_and_medians_are_shown(program):
    harness = program("harness")
    commands = {name: [sys.executable, "-c", f"print('noise'); print('{{\"{name}\": 1.5}}')"] for name in "ab"}
    assert list(harness.rounds(commands, 2)) == 2 * [("a", [{"a": 1.5}]), ("b", [{"b": 1.5}])]
    assert harness.medians([{"x": 3.0}, {"x": 1.0}, {"x": 2.0}]) == {"x": 2.0}


def test_the_gpu_cases_are_complete(program):
    cases = program("gpu_cases").cases("full")
    names = {f"{case.group} {case.name}" for case in cases}
    assert len(names) == len(cases)
    wanted = []
    for dtype in ("float32", "float16"):
        wanted += [f"matmul {n} x {n} x {n}, {dtype}" for n in (256, 512, 1024, 2048, 4096)]
        wanted += [f"matmul skinny 1024 x 64 x 1024, {dtype}", f"matmul matrix 4096 x 4096 by vector, {dtype}"]
        wanted += [f"matmul batched 64 of 256 x 256 x 256, {dtype}"]
        for what in ("forward", "forward and backward"):
            wanted += [f"attention 4x8x512x64{causal}, {dtype}, {what}" for causal in ("", ", causal")]
    for what in ("forward", "backward"):
        wanted += [
            f"convolution 3x3, 4x64x56x56 to 64, {what}",
            f"convolution 1x1, 8x256x28x28 to 64, {what}",
            f"convolution 3x3 stride 2, 8x128x28x28 to 256, {what}",
            f"convolution 7x7 stem, 4x3x224x224 to 64, {what}",
            f"convolution depthwise 3x3, 8x256x28x28 to 256, {what}",
        ]
    passes = [
        "clone",
        "x + y",
        "relu(2 * x + y)",
        "gelu",
        "softmax of rows",
        "layer_norm of rows",
        "sum of rows",
        "x + y.T",
    ]
    wanted += [f"memory {name}, 8192 x 8192" for name in passes]
    wanted += [
        "training step 784-128-10, batch 32, Adam",
        "training step 12 layers of 64, LayerNorm, GELU, Dropout, batch 16, AdamW",
        "training step CNN on 28 x 28, batch 64, Adam",
    ]
    assert names == set(wanted)


def test_tiny_sizes_are_of_the_same_cases(program):
    gpu_cases = program("gpu_cases")
    full, tiny = gpu_cases.cases("full"), gpu_cases.cases("tiny")
    assert [(case.group, case.unit, case.dtype) for case in full] == [
        (case.group, case.unit, case.dtype) for case in tiny
    ]
    assert all(small.work <= large.work for small, large in zip(tiny, full))


def test_work_is_counted_as_the_plain_algorithm_needs_it(program):
    work = {case.name: case.work for case in program("gpu_cases").cases("full")}
    assert work["4096 x 4096 x 4096, float32"] == 2 * 4096**3
    assert work["7x7 stem, 4x3x224x224 to 64, forward"] == 2 * 4 * 64 * 112 * 112 * 3 * 49
    assert work["depthwise 3x3, 8x256x28x28 to 256, backward"] == 2 * 2 * 8 * 256 * 28 * 28 * 9
    assert work["4x8x512x64, causal, float16, forward"] == 4 * 4 * 8 * 512 * 512 * 64 / 2


def test_a_case_that_fails_leaves_its_error_and_the_run_goes_on(program):
    gpu, case = program("gpu"), program("gpu_cases").Case

    def refused(module):
        raise RuntimeError("not today")

    gone = gpu.measure(case("g", "n", refused, 1.0), [gpu.Side("corten", corten)], 2, gpu.Clock(1.0, 2))
    assert gone.errors == {"corten": "RuntimeError: not today"} and gone.median("corten") is None
    assert gpu.row_of(gone, {})[:2] == ["n", "error"]


def test_burn_is_no_part_of_the_package():
    root = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["members"]
    assert not [member for member in root if "burn" in member]
    assert "workspace" in tomllib.loads((BENCHMARKS / "burn" / "Cargo.toml").read_text())
    ours = {package["name"] for package in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]}
    assert "burn" not in ours
    theirs = {package["name"] for package in tomllib.loads((BENCHMARKS / "burn" / "Cargo.lock").read_text())["package"]}
    assert {"burn", "corten-bench-burn"} <= theirs


@pytest.mark.slow
@pytest.mark.skipif(not corten.gpu.is_available(), reason="no GPU adapter; llvmpipe is one")
def test_every_gpu_case_runs(tmp_path, program):
    command = [
        sys.executable,
        str(BENCHMARKS / "gpu.py"),
        "--scale=tiny",
        "--rounds=2",
        f"--json={tmp_path / 'gpu.json'}",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text())
    measured = [case["case"] for case in found["cases"] if case["group"] != "peak"]
    assert measured == [case.name for case in program("gpu_cases").cases("tiny")]
    assert all(len(case["seconds"]["corten"]) == 2 and not case["errors"] for case in found["cases"])
    assert found["peaks"]["byte"] > 0 and found["peaks"]["flop"] > 0


def test_every_case_of_the_comparison_runs(program):
    command = [sys.executable, str(BENCHMARKS / "compare.py"), "--child=corten", "--scale=tiny", "--seconds=0"]
    done = subprocess.run([*command, "--threads=1"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines, listed = [json.loads(line) for line in done.stdout.splitlines()], program("compare").cases("tiny")
    assert [line["case"] for line in lines] == [case.key for case in listed]
    for line, case in zip(lines, listed):
        if "skipped" in line:
            assert case.compiled and "compile" in line["skipped"]
        else:
            assert line["value"] > 0
            assert ("peak_bytes" in line) == (case.group == "training step")


def test_tiny_sizes_and_full_ones_have_the_same_networks_and_groups(program):
    tiny, full = (program("compare").cases(scale) for scale in ("tiny", "full"))
    assert len({case.key for case in full}) == len(full)
    assert [case.key for case in program("network_cases").cases("tiny")] == [
        case.key for case in program("network_cases").cases("full")
    ]
    assert {case.group for case in tiny} == {case.group for case in full}
    assert {case.key for case in full if case.compiled} == {
        f"{case.key}, compiled" for case in full if case.group == "training step" and not case.compiled
    }


def test_compiled_steps_have_the_losses_of_the_others(program):
    losses: dict[bool, list[list[float]]] = {False: [], True: []}
    for case in program("network_cases").training(tiny=True):
        corten.manual_seed(0)
        step = case.build(corten)
        losses[case.compiled].append([step() for _ in range(4)])
    assert len(losses[True]) == 7
    for plain, compiled in zip(losses[False], losses[True]):
        assert compiled == pytest.approx(plain, rel=1e-5)
        assert len(set(plain)) == 4


def test_other_packages_have_cases_of_the_comparison(program):
    for scale in ("tiny", "full"):
        known = {case.key for case in program("compare").cases(scale)}
        for package in program("other_packages").PACKAGES:
            own = program("other_packages").cases(package, scale).keys()
            assert own and own <= known


def test_a_package_that_is_not_there_is_named(program, monkeypatch):
    sides = program("sides")
    monkeypatch.setitem(sys.modules, "mlx", None)
    monkeypatch.setattr(sides, "ENVIRONMENT", {})
    monkeypatch.setattr(os, "sched_setaffinity", lambda process, processors: None, raising=False)
    with pytest.raises(SystemExit, match="pip install mlx"):
        sides.load("mlx", 1)
    with pytest.raises(SystemExit):
        program("compare").parse_arguments(["keras", "corten"])


def case_of(program, group="matmul", name="64", **facts):
    return program("cpu_cases").Case(group, name, lambda m: None, **facts)


def comparison_of(program, ours: dict[str, float], theirs: dict[str, float], **facts):
    measured = {"torch": {key: [value] for key, value in theirs.items()}}
    measured["corten"] = {key: [value] for key, value in ours.items()}
    return program("comparison").Comparison(["torch", "corten"], 2, ["somewhere"], measured=measured, **facts)


def test_the_comparison_tells_means_of_all_cases_and_of_products(program):
    listed = [case_of(program), case_of(program, "rows", "softmax"), case_of(program, "process", "size", unit="bytes")]
    ours = {"matmul: 64": 1.0, "rows: softmax": 1.0, "process: size": 1 << 20}
    theirs = {"matmul: 64": 2.0, "rows: softmax": 8.0, "process: size": 1 << 30}
    text = program("comparison").report(comparison_of(program, ours, theirs), listed)
    assert "PyTorch's ratios in 2 cases: 4.00; of products, convolutions and attention 2.00." in text
    assert "1 MiB" in text and "1 GiB" in text and "of peak" not in text


def test_cases_are_held_against_the_peak_that_bounds_them(program):
    comparison = program("comparison")
    product = case_of(program, flops=2e9)
    sums = case_of(program, "rows", "sums", reads=4e6, writes=4.0)
    chain = case_of(program, "elementwise", "chain", reads=8e6, writes=4e6)
    requests = [comparison.peak_request(case, 2) for case in (product, sums, chain, case_of(program))]
    assert requests == ["fma:2", "move:1:0:4000004:2", "move:2:1:12000000:2", None]
    found = comparison_of(program, {product.key: 0.02}, {product.key: 0.04}, peaks={"fma:2": 200e9})
    assert found.share(product, 0.02) == pytest.approx(0.5)
    found.check_peaks([product])
    text = comparison.report(found, [product])
    assert "50 %" in text and "25 %" in text


def test_what_a_larger_set_reached_a_smaller_one_reaches_too(program):
    comparison = program("comparison")
    peaks = {"move:1:0:1000:2": 5.0, "move:1:0:995:2": 7.0, "move:1:0:9000:2": 2.0, "move:1:0:500:2": 4.0, "fma:2": 9.0}
    peaks |= {"move:1:1:9000:2": 99.0, "move:1:0:9000:4": 99.0}
    found = {request: comparison.reached(request, peaks) for request in (*peaks, "move:1:0:10000:2", "fma:4")}
    assert list(found.values()) == [7.0, 7.0, 2.0, 7.0, 9.0, 99.0, 99.0, None, None]
    sums = case_of(program, "rows", "sums", reads=1000.0)
    run = comparison_of(program, {sums.key: 1.0}, {sums.key: 1.0}, peaks=peaks)
    assert run.share(sums, 200.0) == pytest.approx(1000 / 200 / 7)
    assert comparison.report(run, [sums]).count("1000 B") == 1


def test_a_peak_that_a_package_exceeds_invalidates_the_run(program):
    product = case_of(program, flops=2e9)
    found = comparison_of(program, {product.key: 0.02}, {product.key: 0.005}, peaks={"fma:2": 200e9})
    with pytest.raises(SystemExit, match=r"PyTorch reaches 200\.0 % of what fma:2 measured, in matmul: 64"):
        found.check_peaks([product])


def test_runs_are_saved_and_later_files_replace_cases_of_earlier_ones(program, tmp_path):
    comparison = program("comparison")
    first = comparison_of(program, {"a: 1": 1.0, "a: 2": 1.0}, {"a: 1": 2.0, "a: 2": 2.0}, peaks={"fma:2": 1.0})
    second = comparison_of(program, {"a: 2": 1.0}, {"a: 2": 5.0}, peaks={"fma:2": 3.0}, dry=True)
    paths = [str(tmp_path / "first.json"), str(tmp_path / "second.json")]
    for run, path in zip((first, second), paths):
        run.save(path)
    assert comparison.load(paths[:1]) == first
    whole = comparison.load(paths)
    assert whole.measured["torch"] == {"a: 1": [2.0], "a: 2": [5.0]}
    assert whole.peaks == {"fma:2": 3.0} and whole.dry
    listed = [case_of(program, "a", "1"), case_of(program, "a", "3")]
    assert comparison.missing(whole, listed) == ["a: 3"]
    with pytest.raises(SystemExit, match="at rest"):
        program("compare").write(whole, listed)


def test_the_chart_is_the_same_for_the_same_numbers(program, tmp_path):
    listed = [case_of(program), case_of(program, "rows", "softmax"), case_of(program, "rows", "alone")]
    times = {"matmul: 64": 1.0, "rows: softmax": 4.0}
    found = comparison_of(program, times | {"rows: alone": 1.0}, times)
    for name in "ab":
        program("chart").draw(found, listed, tmp_path / name)
    text = (tmp_path / "a").read_text()
    assert text == (tmp_path / "b").read_text()
    assert "rows: softmax" in text and "rows: alone" not in text


def test_complete_runs_are_written_with_their_chart(program, tmp_path, monkeypatch):
    compare, written = program("compare"), {}
    monkeypatch.setattr(compare, "CHART", tmp_path / "chart.svg")
    monkeypatch.setattr(compare, "write_between_markers", written.__setitem__)
    listed = compare.cases("full")
    times = {case.key: 1.0 for case in listed if not case.compiled}
    found = comparison_of(program, times, times, peaks={"fma:2": 1e15})
    with pytest.raises(SystemExit, match=r"nothing was measured of .*compiled"):
        compare.write(found, listed)
    found.skipped["corten"] = {case.key: "no compile" for case in listed if case.compiled}
    compare.write(found, listed)
    assert (tmp_path / "chart.svg").exists()
    assert "somewhere\n\n![" in written["cpu"] and "chart.svg" in written["cpu"] and "**inference**" in written["cpu"]


def test_without_matplotlib_there_is_no_chart_and_an_error_says_so(program, monkeypatch):
    for name in ("chart", "matplotlib"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SystemExit, match="needs matplotlib"):
        program("chart")


def three_megabytes(m):
    """At most x, y and z or x, z and w are there at once."""
    x = m.ones(1 << 18)
    if m is corten:
        corten.cpu.synchronize()

    def call():
        y = x.cumsum(0)
        z = y.sort()[0]
        del y
        return (z.cumsum(0) - 1).sum().item()

    return call


def test_the_bytes_of_a_training_step_are_those_that_tensors_hold(program):
    # The indices of the sort are twice as large as its values.
    assert 4 << 20 <= program("memory").peak_bytes(corten, three_megabytes) <= 6 << 20


@pytest.mark.parametrize(
    ("load", "options", "measures"),
    [(0.19, [], True), (0.21, [], False), (9.0, [], False), (0.21, ["--dry-run"], True)],
)
def test_the_comparison_refuses_a_busy_machine(program, monkeypatch, load, options, measures):
    class Measured(Exception):
        pass

    def measure(options, listed):
        raise Measured

    compare = program("compare")
    monkeypatch.setattr(os, "getloadavg", lambda: (load, load, load))
    monkeypatch.setattr(compare, "refuse_debug_build", lambda: None)
    monkeypatch.setattr(compare, "measure", measure)
    monkeypatch.setattr(sys, "argv", ["compare", *options])
    if measures:
        with pytest.raises(Measured):
            compare.main()
    else:
        with pytest.raises(SystemExit, match=rf"busy: its load is {load:.2f}, above 0\.2"):
            compare.main()


def test_a_call_of_ours_ends_when_its_result_is_computed(program):
    """A recorded result holds no memory."""
    x = corten.ones(1 << 18)
    corten.cpu.synchronize()
    before = corten.cpu.memory_allocated()
    case = case_of(program)
    object.__setattr__(case, "build", lambda m: lambda: x * 2)
    recorded = case.build(corten)()
    assert corten.cpu.memory_allocated() == before
    computed = program("sides").builder("corten", case, "full")(corten)()
    assert corten.cpu.memory_allocated() >= before + (1 << 20)
    assert recorded.sum().item() == computed.sum().item()


def multiply_adds(model, *inputs) -> dict[bool, int]:
    """Of a model's layers in a forward pass, apart by whether they are convolutions of 3x3 with stride 1."""
    found = {True: 0, False: 0}

    def count(layer, _given, result):
        if isinstance(layer, corten.nn.ConvTranspose2d):
            each = layer.weight.numel() * result[0, 0].numel() // math.prod(layer.stride)
            found[False] += each * result.shape[0]
        elif isinstance(layer, corten.nn.Conv2d):
            windows = (layer.kernel_size, layer.stride) == ((3, 3), (1, 1))
            found[windows] += layer.weight.numel() * result[:, 0].numel()
        elif isinstance(layer, corten.nn.Linear):
            found[False] += layer.weight.numel() * result.shape[:-1].numel()

    for layer in model.modules():
        layer.register_forward_hook(count)
    model(*inputs)
    return found


@pytest.mark.parametrize(
    ("network", "sizes"),
    [
        ("resnet", {"counts": (1, 2), "width": 8, "bottleneck": False, "small": True, "classes": 10}),
        ("resnet", {"counts": (2, 1), "width": 8, "bottleneck": True, "small": False, "classes": 10}),
        ("unet", {"width": 4, "depth": 2, "classes": 2}),
    ],
)
def test_networks_are_counted_layer_by_layer_and_so_is_what_winograd_saves(program, network, sizes):
    found = multiply_adds(getattr(program("networks"), network)(corten, **sizes), corten.randn(1, 3, 32, 32))
    flops, saving = program("network_cases").saving_cost(
        lambda saved: getattr(program("network_flops"), network)(**sizes, side=32, saved=saved)
    )
    assert flops == 2 * sum(found.values())
    assert saving == pytest.approx(sum(found.values()) / (found[True] / 2.25 + found[False]))


def test_networks_save_less_than_their_convolutions_alone(program):
    saving = {case.key: case.saving for case in program("network_cases").cases("full") if case.saving != 1.0}
    assert len(saving) == 8 and all(1.2 < value < 2.25 for value in saving.values())
    cnn = program("shared_cases").convolutional(corten)
    found = multiply_adds(cnn, corten.randn(1, 1, 28, 28))
    assert 2 * sum(found.values()) == program("network_flops").small_cnn(28, 10)


def test_a_token_reads_the_weights_and_what_the_cache_holds(program):
    """In the mean over the tokens: each finds the keys and values of the prompt and of the tokens before it."""
    networks = program("networks")
    (case,) = (case for case in program("network_cases").cases("full") if "with the cache" in case.name)
    with corten.device("meta"):
        model = networks.gpt(corten, layers=12, width=768, heads=12, vocabulary=50257, length=1024)
    weights = sum(p.numel() for name, p in model.named_parameters() if not name.startswith("positions"))
    kept = [12 * 2 * (64 + k) * 768 for k in range(case.operators)]
    assert case.reads == 4 * (weights + sum(kept) / len(kept))


@pytest.mark.slow
def test_beside_a_busy_process_at_least_half_the_speed_is_left(program):
    """The best of three: other processes of the machine disturb, too."""
    busy = program("bench_busy")
    kept = [busy.cases(corten, budget=0.2) for _ in range(3)]
    for name in busy.calls(corten):
        assert max(found[name] for found in kept) >= busy.LEAST, name


def test_the_speed_that_is_left_is_told_for_each_package(program):
    busy = program("bench_busy")
    results = {
        "corten": {"sums, alone": 2e-3, "sums": 0.5, "products, alone": 1.0, "products": 0.4},
        "torch": {"sums, alone": 4e-3, "sums": 0.9, "products, alone": 1.0, "products": 0.9},
    }
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in busy.report(results).splitlines()]
    assert lines[0] == ["work", "corten alone", "corten keeps", "torch alone", "torch keeps", "target"]
    assert lines[2] == ["sums", "2 ms", "0.50", "4 ms", "0.90", "at least 0.5: met"]
    assert lines[3][-1] == "at least 0.5: MISSED"


@pytest.mark.filterwarnings("ignore")
def test_every_call_of_the_breadth_is_made_and_most_have_gradients(program):
    breadth = program("bench_breadth")
    names = {**breadth.operands(corten), "m": corten, "F": corten.nn.functional}
    with_gradients = 0
    for text in breadth.CALLS:
        code = compile(text, text, "eval")
        result = breadth.first_tensor(eval(code, names))
        assert isinstance(result, corten.Tensor | bool), text
        both = breadth.with_gradients(corten, code, names)
        with_gradients += both is not None
    assert with_gradients > len(breadth.CALLS) * 0.7
