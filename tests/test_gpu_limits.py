"""What goes wrong on a GPU and how the program goes on; and tensors and grids beyond the device's limits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import corten
import pytest

os.environ.setdefault("CORTEN_GPU_SOFTWARE", "1")

pytestmark = pytest.mark.skipif(not corten.gpu.is_available(), reason="no GPU adapter; llvmpipe is one")

PRELUDE = """
import corten
def told(call):
    try:
        call()
    except RuntimeError as e:
        return type(e).__name__ + " " + str(e)
    return "nothing"
"""


def run_script(text: str, **environment: str) -> list[str]:
    command = [sys.executable, "-c", PRELUDE + textwrap.dedent(text)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, **environment})
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.splitlines()


def test_after_a_lost_device_the_operator_is_named_and_new_tensors_work() -> None:
    lines = run_script(
        """
        x = corten.ones(5, device="gpu")
        x.tolist()
        pending = x * 2
        corten._core.gpu_lose(0)
        print(told(pending.tolist))
        print(told(pending.tolist))
        print(told(lambda: (x @ x).item()))
        print(told(lambda: x.exp_().sum().item()))
        print(told(x.tolist))
        print(told(x.cpu))
        y = corten.ones(3, device="gpu") + 1
        print(y.tolist(), told(lambda: (y + x[:3]).tolist()), pending.shape)
        corten.gpu.synchronize()
        corten._core.gpu_lose(0)
        print(told(y.tolist), corten.arange(3, device="gpu").tolist())
        """
    )
    assert all("RuntimeError" in line and "the device was lost" in line for line in lines[:6]), lines
    assert "new ones can be made" in lines[0] and lines[0].startswith("RuntimeError mul: gpu:0 (")
    assert lines[2].startswith("RuntimeError matmul") and lines[3].startswith("RuntimeError exp: ")
    assert lines[6].startswith("[2.0, 2.0, 2.0] RuntimeError exp: ") and lines[6].endswith("corten.Size([5])")
    assert "the device was lost" in lines[7] and lines[7].endswith("[0, 1, 2]")


def test_a_device_lost_while_it_works_is_noticed() -> None:
    lines = run_script(
        """
        x = corten.rand(400, 400, device="gpu")
        for _ in range(3):
            x = x @ x
        corten.flush()
        corten._core.gpu_lose(0)
        print(told(lambda: x.sum().item()))
        print(corten.ones(2, device="gpu").sum().item())
        """
    )
    assert "the device was lost" in lines[0] and lines[1] == "2.0"


def test_memory_beyond_the_budget_is_refused_with_the_sizes() -> None:
    lines = run_script(
        """
        held = corten.ones(1 << 18, device="gpu")
        corten.gpu.synchronize()
        try:
            corten.zeros(1 << 22, device="gpu").sum().item()
        except corten.cuda.OutOfMemoryError as e:
            print(e)
        print(held.sum().item(), corten.cuda.mem_get_info()[1])
        # What is free but kept makes room.
        for size in (1 << 20, (1 << 20) + (1 << 18), (1 << 20) + (1 << 19)):
            print(corten.full((size,), 2.0, device="gpu").sum().item())
        print(corten.gpu.memory_reserved() <= 8 << 20, corten.gpu.get_device_properties().total_memory)
        """,
        CORTEN_GPU_MEMORY="8M",
    )
    assert "out of memory: gpu:0 has no room for 16777216 bytes" in lines[0]
    assert f"CORTEN_GPU_MEMORY allows {8 << 20} bytes, and tensors hold {1 << 20} bytes" in lines[0]
    assert lines[1] == f"{1 << 18}.0 {8 << 20}"
    assert [float(n) for n in lines[2:5]] == [2 << 20, 2.5 * 2**20, 3 << 20]
    assert lines[5] == f"True {8 << 20}"


FAILING = """
held = corten.ones(1 << 19, device="gpu")
big = corten.ones(1 << 20, device="gpu")
small = corten.arange(3.0).to("gpu")
corten.gpu.synchronize()
y = held.repeat(2)  # 4 MiB beside the 6 of those above
z = y + 1
unrelated = small * 2
"""


def test_a_value_without_room_is_the_trouble_of_those_who_read_it() -> None:
    script = """
        print(unrelated.tolist())
        print(told(corten.gpu.synchronize))
        print(told(corten.gpu.synchronize), told(corten.gpu.empty_cache), (small + 1).tolist())
        print(told(z.sum().item))
        print(told((y[:3] + small).tolist))
        print(told(corten.gpu.synchronize), (small + 2).tolist())
        """
    lines = run_script(FAILING + textwrap.dedent(script), CORTEN_GPU_MEMORY="9M")
    failed = f"out of memory: gpu:0 has no room for {4 << 20} bytes"
    assert lines[0] == "[0.0, 2.0, 4.0]"
    assert all(failed in lines[i] and lines[i].startswith("OutOfMemoryError") for i in (1, 3, 4)), lines
    assert (
        lines[1].split(": ")[0]
        == lines[3].split(": ")[0]
        == lines[4].split(": ")[0]
        != "OutOfMemoryError out of memory"
    )
    assert lines[2] == "nothing nothing [1.0, 2.0, 3.0]" and lines[5] == "nothing [2.0, 3.0, 4.0]"


def test_a_value_without_room_is_computed_when_there_is_some() -> None:
    script = """
        print(told(y[0].item))
        del big
        print((y[:3] + small).tolist())
        print(told(z.sum().item))  # y and z do not fit beside held
        del held
        print(z.sum().item())
        del y, z
        corten.gpu.synchronize()
        print(corten.gpu.memory_allocated() < 1 << 14)
        """
    lines = run_script(FAILING + textwrap.dedent(script), CORTEN_GPU_MEMORY="9M")
    assert "out of memory" in lines[0] and "out of memory" in lines[2]
    assert lines[1] == "[1.0, 2.0, 3.0]" and lines[3:] == [f"{2.0 * 2**20}", "True"]


def test_a_result_that_fits_is_not_lost_with_one_of_the_same_kernel_that_does_not() -> None:
    lines = run_script(
        """
        x = corten.ones(1 << 19, device="gpu")
        corten.gpu.synchronize()
        first, second, third = x + 1, x * 3, x - 5  # 2 MiB each, in one kernel
        print(first.sum().item(), second.sum().item())
        print(told(third.sum().item))
        del first
        print(third.sum().item(), second.sum().item())
        """,
        CORTEN_GPU_MEMORY="7M",
    )
    n = 1 << 19
    assert lines[0] == f"{2.0 * n} {3.0 * n}" and lines[2] == f"{-4.0 * n} {3.0 * n}"
    assert lines[1].startswith("OutOfMemoryError sub: out of memory")


def test_a_failed_step_of_training_can_be_taken_again() -> None:
    lines = run_script(
        """
        model = corten.nn.Linear(64, 64, device="gpu")
        optimizer = corten.optim.SGD(model.parameters(), 0.1)
        def step(rows):
            optimizer.zero_grad()
            loss = model(corten.ones(rows, 64, device="gpu")).square().mean()
            loss.backward()
            optimizer.step()
            return loss
        first = step(100).item()
        print(told(lambda: step(1 << 15)))
        corten.gpu.empty_cache()
        second = step(100).item()
        print(second < first, step(100).item() < second)
        """,
        CORTEN_GPU_MEMORY="8M",
    )
    assert "OutOfMemoryError" in lines[0] and "out of memory" in lines[0] and lines[1] == "True True"


def test_what_a_failed_kernel_may_have_overwritten_stays_failed() -> None:
    lines = run_script(
        """
        x = corten.ones(100, 100, device="gpu")
        y = x + 1
        y.index_add_(0, corten.tensor([1, 2]).to("gpu"), x[:2])
        print((x[0, :2] * 2).tolist())
        print(told(lambda: y.tolist()))
        print(told(lambda: (y[0] + 1).tolist()))
        print(told(corten.gpu.synchronize))
        """,
        CORTEN_GPU_LIMITS="max_storage_buffer_binding_size=16384",
    )
    assert lines[0] == "[2.0, 2.0]" and lines[3] == "nothing"
    assert all("scatter_add: a tensor of 40000 bytes" in line for line in lines[1:3])


def test_nothing_is_read_before_the_checks_of_indices_that_had_no_room() -> None:
    lines = run_script(
        """
        x, big = corten.ones(4, 100, device="gpu"), corten.ones(600, device="gpu")
        at = corten.tensor([1, 300]).to("gpu")
        corten.gpu.synchronize()
        y = x[at, 0]
        print(told(y.tolist))
        print(told((x[0, :2] * 2).tolist))
        del big
        try:
            y.tolist()
        except IndexError as e:
            print(e)
        print((x[0, :2] * 2).tolist())
        """,
        CORTEN_GPU_MEMORY="5632",  # 4,608 are held, and the flags of all checks take 3,072
    )
    assert all(line.startswith("OutOfMemoryError index_check") for line in lines[:2])
    assert lines[2:] == ["index 300 is out of bounds for dimension 0 with size 4", "[2.0, 2.0]"]


def test_a_tensor_beyond_the_largest_buffer_is_refused_with_the_sizes() -> None:
    lines = run_script(
        """
        print(told(lambda: corten.zeros(1 << 19, device="gpu").tolist()))
        print(told(lambda: corten.zeros(1 << 19).cuda()))
        print(corten.ones(9, device="gpu").sum().item())
        """,
        CORTEN_GPU_LIMITS="max_buffer_size=1048576",
    )
    assert all("OutOfMemoryError" in line and "2097152 bytes" in line and "1048576" in line for line in lines[:2]), (
        lines
    )
    assert lines[2] == "9.0"


@pytest.mark.parametrize("variable", ["CORTEN_GPU_MEMORY", "CORTEN_GPU_LIMITS"])
def test_a_wrong_setting_is_named(variable: str) -> None:
    script = """
        try:
            corten.ones(1, device="gpu").tolist()
        except ValueError as e:
            print(e)
        """
    # Training on the CPU is none of its business.
    script += """
        held = corten.ones(1, device="gpu") * 2
        x = corten.ones(2, requires_grad=True)
        for _ in range(2):
            try:
                (x * 3).sum().backward()
            except ValueError as e:
                print(e)
        print(x.grad.tolist())
        """
    lines = run_script(script, **{variable: "plenty"})
    assert variable in lines[0] and lines[-1] == "[6.0, 6.0]" and len(lines) <= 3, lines


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_ends_the_wait_for_the_gpu() -> None:
    lines = run_script(
        """
        import os, signal, threading, time
        # What starts in the background of a shell ignores the signal.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        x = corten.rand(200, 200, device="gpu") / 100
        x.tolist()
        threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGINT)).start()
        start = time.perf_counter()
        try:
            while time.perf_counter() - start < 60:
                y = x
                for _ in range(50):
                    y = y @ x
                y.sum().item()
        except KeyboardInterrupt:
            print("interrupted", time.perf_counter() - start < 50)
        print((x[0, :3] * 0 + 1).tolist())
        """
    )
    assert lines == ["interrupted True", "[1.0, 1.0, 1.0]"]


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="signals of POSIX")
def test_an_interrupted_reading_forgets_no_wrong_index() -> None:
    lines = run_script(
        """
        import signal
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        x = corten.rand(256, 256, device="gpu") / 256
        x[corten.tensor([256]).to("gpu")]
        for _ in range(150):
            x = x @ x
        corten.flush()
        raised = []

        def read():
            for _ in range(4):
                try:
                    x[0, 0].item()
                    raised.append("nothing")
                except IndexError:
                    raised.append("IndexError")

        try:
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            read()
            signal.setitimer(signal.ITIMER_REAL, 0)
            # A signal that came before the timer stopped is seen here.
            for _ in range(100):
                len(raised)
        except KeyboardInterrupt as e:
            # It may come when the reading has just raised.
            late = isinstance(e.__context__, IndexError) and "IndexError" not in raised
            raised += ["KeyboardInterrupt", "IndexError"] if late else ["KeyboardInterrupt"]
            read()
        print(*raised)
        """
    )
    (line,) = lines
    raised = line.split()
    # A fast device is done before the signal.
    assert raised.count("IndexError") == 1 and raised.count("KeyboardInterrupt") <= 1, line


def test_threads_share_the_gpu() -> None:
    wrong: list = []
    shared = corten.arange(64.0, device="gpu")

    def work(k: int) -> None:
        try:
            for i in range(12):
                x = corten.full((8, 8), float(k), device="gpu")
                y = (x @ x + i).sum()
                z = (shared * k).cpu().sum()
                up = corten.full((100,), float(i)).to("gpu").sum()
                got = (y.item(), z.item(), up.item())
                want = (8.0 * k * k * 64 + 64 * i, 2016.0 * k, 100.0 * i)
                if got != want:
                    wrong.append((k, i, got, want))
        except Exception as e:
            wrong.append(e)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    start = time.perf_counter()
    for t in threads:
        t.start()
    for t in threads:
        t.join(120)
    assert not wrong and time.perf_counter() - start < 110


@pytest.mark.parametrize("folder", ["a file", "read-only", "full", "nothing"])
def test_a_cache_that_cannot_be_written_breaks_nothing(folder: str, tmp_path: Path) -> None:
    place = tmp_path / "cache"
    if folder == "a file":
        place.write_text("not a folder")
    elif folder == "read-only":
        place.mkdir()
        place.chmod(0o500)
    script = "print((corten.ones(3, device='gpu') * 2).tolist())"
    if folder == "full":
        # Every write to a file fails from its first byte on.
        pytest.importorskip("resource")
        script = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n" + script
    assert run_script(script, CORTEN_CACHE="" if folder == "nothing" else str(place)) == ["[2.0, 2.0, 2.0]"]
    if folder == "full":
        assert list(place.iterdir()) == []


def test_a_broken_cache_is_begun_anew(tmp_path: Path) -> None:
    script = "print((corten.ones(3, device='gpu') * 2).tolist())"
    for _ in range(2):
        assert run_script(script, CORTEN_CACHE=str(tmp_path)) == ["[2.0, 2.0, 2.0]"]
        for file in tmp_path.iterdir():
            file.write_bytes(b"not a cache" * 100)


def test_a_folder_for_shaders_gets_every_text(tmp_path: Path) -> None:
    script = "x = corten.rand(3, 4, device='gpu'); (x @ x.T).relu().sum().item(); print('done')"
    assert run_script(script, CORTEN_GPU_SHADERS=str(tmp_path / "texts")) == ["done"]
    texts = {file.name.split("-")[0]: file.read_text() for file in (tmp_path / "texts").iterdir()}
    assert {"elementwise", "matmul", "sum"} <= set(texts) and all("fn main(" in text for text in texts.values())
    (tmp_path / "file").write_text("")
    script = "print(told(lambda: (corten.rand(3, device='gpu') * 2).tolist()))"
    assert "CORTEN_GPU_SHADERS" in run_script(script, CORTEN_GPU_SHADERS=str(tmp_path / "file"))[0]


# Programs whose results must not depend on how much a shader sees at once, or on how many groups a launch may have.
PROGRAMS = """
def programs(device):
    corten.manual_seed(0)
    x = ((corten.arange(60 * 700) * 37 % 101).float().reshape(60, 700) / 16 - 3).to(device)
    y = x.flip(1) * 0.5
    small = corten.arange(700.0).to(device) / 64
    yield "chain", (x * 2 + y).relu() - small
    yield "number", x * 3
    yield "neighbours", x[:, 1:] - x[:, :-1]
    yield "far apart", x[:30] + x[30:]
    yield "transposed", x.t() + y.t() * 2
    yield "across", x.t().contiguous() + corten.ones(700, 60, device=device)
    yield "mixed", x.t().reshape(-1) + y.reshape(-1)
    yield "compare", x > y
    for dtype in (corten.float16, corten.int64, corten.int16, corten.uint8, corten.bool):
        z = x.to(dtype)
        yield f"cast {dtype}", z
        yield f"where {dtype}", corten.where(z > 1, z, z.flip(0)) if dtype != corten.bool else z ^ z.flip(0)
    w = x.clone()
    w += 1
    w[3:50, ::7] = 5
    w[:, 2] = w[:, 3]
    w.t()[5:9] *= 2
    yield "in place", w
    yield "broadcast", small.expand(60, 700) + x[:, :1]
    yield "clone", x.t().clone()
    yield "stack", corten.stack([x[0], y[0]])
    yield "cat", corten.cat([x, y], 1)
    doubled = x * 2
    yield "two results", doubled + 1
    yield "the other", doubled
"""


def compare(environment: dict[str, str], extra: str = "") -> list[str]:
    return run_script(
        PROGRAMS
        + extra
        + textwrap.dedent("""
        wrong = []
        here = {name: value.flatten().tolist() for name, value in programs("cpu")}
        for name, value in programs("gpu"):
            pairs = [pair for pair in zip(value.flatten().tolist(), here[name], strict=True) if pair[0] != pair[1]]
            if pairs:
                wrong.append((name, len(pairs), *pairs[0]))
        print(len(here), wrong)
        """),
        **environment,
    )


def test_tensors_beyond_one_binding_run_in_parts() -> None:
    """168,000 bytes of float32 where a shader sees 16,384: all that can be cut where its result is."""
    extra = """
def more(device, first=programs):
    yield from first(device)
    x = ((corten.arange(60 * 700) * 37 % 101).float().reshape(60, 700) - 50).to(device)
    for kind in ("sum", "amax", "amin", "argmax", "argmin", "any", "all", "prod", "mean", "logsumexp", "count_nonzero"):
        for dim in (None, 0, 1):
            if dim is None and kind == "logsumexp":
                continue
            y = x * 0 + (x > 48) * 3 if kind in ("prod", "mean", "logsumexp") else x
            call = getattr(corten, kind)
            z = call(y) if dim is None else call(y, dim=dim)
            yield f"{kind} {dim}", (z * 16).round() if kind == "logsumexp" else z
    yield "max", x.max(1).indices
    yield "max of columns", x.max(0).indices
    yield "sum of the transposed", x.t().sum(1)
    yield "sum of the flipped", x.flip(1)[:, ::2].sum(0)
    yield "argmax of a part", x[7:50, 3:].argmax()
    yield "sum of three dims", x.reshape(6, 10, 700).sum((0, 2))
    yield "sum of all but one", x.reshape(6, 10, 700).transpose(0, 2).sum((0, 1))
    yield "int64", x.long().sum(1)
    yield "matmul", (x @ (corten.arange(700 * 5) % 7).float().reshape(700, 5).to(device))
    yield "many matmuls", x.reshape(60, 70, 10) @ x.reshape(60, 70, 10)[:1, :10].expand(60, 10, 10)
    labels = (corten.arange(60) * 11 % 700).to(device)
    for loss in (corten.nn.functional.cross_entropy, corten.nn.functional.nll_loss):
        for reduction in ("mean", "none"):
            scores = (x / 64).detach().requires_grad_()
            value = loss(scores, labels, reduction=reduction, ignore_index=11)
            value.sum().backward()
            yield f"{loss.__name__} {reduction}", (value.detach() * 1024).round()
            yield f"{loss.__name__} {reduction} backward", (scores.grad * 1024).round()
    yield "softmax", (x.softmax(1) * 64).round()
    yield "log_softmax", (x.log_softmax(-1) * 4).round()
    yield "cumsum", x.cumsum(1)
    yield "cummax", x.cummax(1).indices
    yield "sort", x.sort(1, stable=True).indices
    yield "topk", x.topk(3).values
    yield "gather", x.gather(1, corten.arange(120).reshape(60, 2).to(device))
    yield "tril", x.reshape(60, 10, 70).tril()
    yield "layer_norm", (corten.nn.functional.layer_norm(x, (700,)) * 4).round()
    yield "conv", corten.nn.functional.conv1d(x.reshape(60, 7, 100), x[:4, :14].reshape(4, 7, 2))
    yield "pool", corten.nn.functional.max_pool1d(x.reshape(60, 7, 100), 3, return_indices=True)[1]
    yield "mean pool", corten.nn.functional.avg_pool2d(x.reshape(60, 1, 7, 100), 2)
    yield "pad", corten.nn.functional.pad(x.reshape(60, 7, 100), (3, 3), mode="reflect")
    yield "embedding", corten.nn.functional.embedding(x.long().abs() % 5, x[:5, :3].clone())
    yield "slices of it", (x[3:7, :50] @ x[3:7, 50:100].t()).softmax(0) * 0 + x[:4, :4].sort(0).values
    yield "var", x.reshape(4, 10500).sign().var(1) * 0 + x.norm(float("inf"))
programs = more
"""
    limit = {"CORTEN_GPU_LIMITS": "max_storage_buffer_binding_size=16384"}
    lines = compare(limit, extra)
    assert lines[-1].endswith(" []"), lines[-1]


def test_launches_beyond_the_limit_of_a_dimension_take_two() -> None:
    """A limit of 4 groups a dimension stands for 65,535."""
    extra = """
def more(device, first=programs):
    yield from first(device)
    x = (corten.arange(3000) * 37 % 101).float().reshape(100, 30).to(device) - 50
    yield "sum", x.sum(1)
    yield "max", x.max(0).values
    yield "matmul", (x.round() @ x.round().t())[:, ::7]
    yield "sort", x.sort(1).values
    yield "cumsum", x.round().cumsum(0)
    yield "gather", x[corten.tensor([3, 50, 2]).to(device)]
    yield "index_add", x.index_add(0, corten.tensor([3, 50, 3]).to(device), x[:3])
    yield "softmax", corten.softmax(x.round() * 0, 1)
    yield "pool", corten.nn.functional.max_pool2d(x.reshape(1, 1, 100, 30), 3)
    yield "pad", corten.nn.functional.pad(x, (1, 2))
    yield "nonzero", (x > 40).nonzero()
    yield "triu", x.triu()
    yield "conv", corten.nn.functional.conv2d(x.round().reshape(1, 1, 100, 30), corten.ones(2, 1, 3, 3).to(device))
programs = more
"""
    limit = {"CORTEN_GPU_LIMITS": "max_compute_workgroups_per_dimension=16"}
    lines = compare(limit, extra)
    assert lines[-1].endswith(" []"), lines[-1]


def test_what_does_not_work_in_parts_says_so() -> None:
    lines = run_script(
        """
        x = corten.ones(100, 100, device="gpu")
        y = x + 1
        print(told(lambda: corten.linalg.qr(x)[1].tolist()))
        print(told(lambda: x.roll(3).tolist()))
        print(y[0, :2].tolist(), x[:10, :10].clone().matmul(x[:10, :10].clone())[0, 0].item())
        """,
        CORTEN_GPU_LIMITS="max_storage_buffer_binding_size=16384",
    )
    assert "a tensor of 40000 bytes" in lines[0] and "max_storage_buffer_binding_size" in lines[0]
    assert "the kernel linalg_qr does not work in parts" in lines[0]
    assert "RuntimeError" in lines[1] and "split the tensor" in lines[1]
    assert lines[2] == "[2.0, 2.0] 10.0"


def test_the_runtimes_checks_change_nothing() -> None:
    """Shaders run without the runtime's bounds checks, so none may rely on them: indices at and beyond every edge."""
    script = """
        x = (corten.arange(60) % 7).float().reshape(6, 10).to("gpu")
        i = corten.tensor([[0, 5, 5], [3, 0, 1]]).to("gpu")
        for result in (
            x[i], x.gather(0, i), x.index_select(1, i[0]), x.scatter_add(0, i, x[:2, :3]), x.index_add(0, i[0], x[:3]),
            corten.nn.functional.embedding(i, x), corten.searchsorted(x[0].sort().values, x[1]), x.topk(10).values,
            corten.bincount(i.flatten()), x.masked_select(x > 3), x.cumsum(1), corten.nn.functional.one_hot(i),
            corten.nn.functional.max_pool1d(x, 3, 2, 1), x.roll(-13), x.take(corten.tensor([59, 0, -60]).to("gpu")),
            corten.nn.functional.pad(x, (9, 9), mode="reflect"), x.unique(), x[:, 9:].sum(), x[5:, 9:] + 1,
        ):
            print(result.tolist())
        for call in (lambda: x[corten.tensor([6]).to("gpu")], lambda: x.gather(0, i + 1), lambda: x.take(i + 58)):
            try:
                print(call().tolist())
            except (IndexError, RuntimeError) as e:
                print(type(e).__name__)
        """
    bare, checked = (run_script(script, CORTEN_GPU_CHECKS=c) for c in "01")
    assert bare == checked and len(bare) > 20 and "IndexError" in bare[-3]


ROWS = """
F = corten.nn.functional
corten.manual_seed(3)
sizes = (1, 2, 7, 8, 9, 63, 64, 65, 255, 257, 1000, 70000)
functions = {
    "sum": lambda x: x.sum(1),
    "columns": lambda x: x.sum(0),
    "everything": lambda x: x.sum(),
    "integers": lambda x: (x * 100).long().sum(1),
    "product": lambda x: (1 + x[:, :300] / 100).prod(1),
    "variance": lambda x: x.var(1, correction=0),
    "maximum": lambda x: x.max(1),
    "position": lambda x: x.argmin(1),
    "any": lambda x: (x > 2).any(1),
    "logsumexp": lambda x: x.logsumexp(1),
    "norm": lambda x: x.norm(dim=1),
    "softmax": lambda x: F.softmax(x, 1),
    "log_softmax": lambda x: F.log_softmax(x, 0),
    "layer_norm": lambda x: F.layer_norm(x + 5, x.shape[1:]),
    "rms_norm": lambda x: F.rms_norm(x, x.shape[1:]),
    "batch_norm": lambda x: F.batch_norm(x.reshape(len(x), 1, -1).repeat(2, 3, 1), None, None, training=True),
    "cross_entropy": lambda x: F.cross_entropy(x, corten.arange(len(x), device=x.device) % x.shape[1]),
    "pool": lambda x: F.adaptive_max_pool1d(x[None], 1),
    "gradient": lambda x: gradient(x),
}
def gradient(x):
    x = x.clone().requires_grad_()
    rows = F.softmax(x, 1) + F.layer_norm(x, x.shape[1:]) + F.log_softmax(x, 1)
    (rows * corten.linspace(-1, 1, x.shape[1], device=x.device)).sum().backward()
    return x.grad
def parts(result):
    return [p.cpu().double() for p in (result if isinstance(result, tuple) else (result,))]
for n in sizes:
    for rows in (1, 3, 70) if n < 1000 else (1, 3):
        x = corten.randn(rows, n)
        there = x.to("gpu")
        for name, f in functions.items():
            if name in ("batch_norm", "gradient") and rows * n > 70000:
                continue
            expected, got, again = parts(f(x)), parts(f(there)), parts(f(there))
            for e, g, a in zip(expected, got, again, strict=True):
                if not corten.allclose(g, e, rtol=2e-4, atol=2e-4 if name == "gradient" else 2e-5):
                    print(name, rows, n, (g - e).abs().max().item())
                if not corten.equal(g, a):
                    print(name, rows, n, "differs from run to run")
print("done")
"""


@pytest.mark.parametrize("features", ["core", "immediates,subgroups,f16,int64,timestamps,pipeline_cache,limits"])
def test_rows_are_merged_with_subgroups_and_without(features: str) -> None:
    assert run_script(ROWS, CORTEN_GPU_FEATURES=features) == ["done"]
