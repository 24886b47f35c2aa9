"""The GPU as a device: values on their way, in-place writes, memory, and a steady state that makes nothing new."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import corten
import numpy as np
import pytest

os.environ.setdefault("CORTEN_GPU_SOFTWARE", "1")

pytestmark = pytest.mark.skipif(not corten.gpu.is_available(), reason="no GPU adapter; llvmpipe is one")

DTYPES = ["float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]


def numbers(shape, dtype: str) -> corten.Tensor:
    count = int(np.prod(shape, dtype=int))
    values = corten.tensor([(i * 37 + 11) % 97 - 48 for i in range(count)], dtype=corten.int64).reshape(shape)
    return (values % 2).bool() if dtype == "bool" else values.to(getattr(corten, dtype))


def run_script(text: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(text)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, **environment})


def test_devices_have_names_and_are_equal_whatever_they_are_called() -> None:
    assert corten.gpu.device_count() >= 1
    assert corten.gpu.get_device_name(0)
    assert corten.gpu.get_device_properties(0).max_buffer_size >= 1 << 27
    assert corten.device("cuda:0") == corten.device("gpu:0")
    assert corten.device("cuda").type == "cuda"
    assert corten.zeros(2, device="cuda").device == corten.zeros(2, device="gpu:0").device
    assert str(corten.zeros(2, device="cuda").device) == "cuda:0"
    assert repr(corten.zeros(2, device="gpu")) == "tensor([0., 0.], device='gpu:0')"
    assert corten.zeros(2, device="gpu").is_cuda
    with pytest.raises(RuntimeError, match="numbered from 0"):
        corten.zeros(1, device="gpu:99")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (7,), (3, 5), (1000,)])
def test_values_come_back_as_they_went(dtype: str, shape: tuple[int, ...]) -> None:
    x = numbers(shape, dtype)
    there = x.to("gpu")
    assert there.dtype == x.dtype and there.shape == x.shape and there.device.type == "gpu"
    assert there.cpu().tolist() == x.tolist() == there.tolist()


def test_strides_go_along() -> None:
    x = numbers((4, 6, 5), "float32")
    for view in (x.transpose(0, 2), x[1:, ::2], x[:, 3], x.permute(2, 0, 1)):
        assert view.to("gpu").cpu().tolist() == view.tolist()
    assert x.transpose(0, 2).to("gpu").stride() == x.transpose(0, 2).stride()


def test_float64_stays_on_the_cpu() -> None:
    with pytest.raises(TypeError, match=r"float64.*float32 first"):
        corten.zeros(2, dtype=corten.float64).to("gpu")
    assert corten.zeros(2, dtype=corten.float64).to("gpu", corten.float32).dtype == corten.float32


def test_devices_do_not_mix() -> None:
    x, y = corten.ones(3, device="gpu"), corten.ones(3)
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        x + y
    assert (x + corten.tensor(2.0)).tolist() == [3.0, 3.0, 3.0]
    with pytest.raises(TypeError, match=r"Use Tensor\.cpu\(\)"):
        x.numpy()


@pytest.mark.parametrize("dtype", DTYPES)
def test_writes_through_views_reach_every_alias(dtype: str) -> None:
    """Odd offsets and sizes: elements that share a word with their neighbours keep them."""

    def program(x: corten.Tensor) -> list:
        flat = x.view(-1)
        x[1:4, 3] = 1
        x[:, ::3] = x[:, 1::3][:, : x[:, ::3].shape[1]].clone()
        flat[5:12] = flat[20:27]
        x.t()[2] = 0
        return [x.tolist(), flat.tolist()]

    x = numbers((7, 9), dtype)
    assert program(x.to("gpu")) == program(x.clone())


@pytest.mark.parametrize("dtype", DTYPES)
def test_elementwise_programs_agree_with_the_cpu(dtype: str) -> None:
    def program(x: corten.Tensor, y: corten.Tensor) -> list:
        results = [x + y, x.t() * 2 if dtype != "bool" else x.t() | y.t(), x == y, corten.where(x > y, x, y)]
        if dtype != "bool":
            results += [x - y, -x, x.abs(), (x * y + x).to(corten.int64), x.clamp(-3, 5)]
        return [r.tolist() for r in results]

    x, y = numbers((6, 35), dtype), numbers((1, 35), dtype).flip(1)
    assert program(x.to("gpu"), y.to("gpu")) == program(x, y)


def test_gradients_cross_devices() -> None:
    x = corten.randn(4, 3, requires_grad=True)
    w = corten.randn(3, 2, device="gpu").requires_grad_()
    ((x.to("gpu") @ w).tanh() ** 2).sum().backward()
    assert x.grad.device.type == "cpu" and w.grad.device.type == "gpu"
    here = [t.detach().cpu().requires_grad_() for t in (x, w)]
    ((here[0] @ here[1]).tanh() ** 2).sum().backward()
    for got, want in zip((x.grad, w.grad), (t.grad for t in here)):
        np.testing.assert_allclose(got.cpu().numpy(), want.numpy(), rtol=1e-5, atol=1e-6)


def test_a_training_loop_makes_nothing_new() -> None:
    """Once the pool has settled, no shader, buffer or bind group is made; memory is flat."""
    corten.manual_seed(0)
    x, y = corten.randn(8, 12).to("gpu"), corten.randn(8, 3).to("gpu")
    w = [(corten.randn(12, 16) / 4).to("gpu").requires_grad_(), (corten.randn(16, 3) / 4).to("gpu").requires_grad_()]

    def step() -> float:
        loss = (((x @ w[0]).relu() @ w[1] - y) ** 2).mean()
        loss.backward()
        with corten.no_grad():
            for p in w:
                p -= 0.1 * p.grad
                p.grad = None
        return loss.item()

    losses = [step() for _ in range(12)]
    before = corten.gpu.memory_stats()
    losses += [step() for _ in range(20)]
    after = corten.gpu.memory_stats()
    assert losses[-1] < losses[0] / 2
    for name in ("shaders_compiled", "buffers_created", "bind_groups_created", "allocated_bytes", "reserved_bytes"):
        assert after[name] == before[name], name


def lookup(wrong: int) -> corten.Tensor:
    return corten.nn.functional.embedding(corten.tensor([0, wrong], device="gpu"), corten.ones(4, 3, device="gpu"))


def class_loss(wrong: int) -> corten.Tensor:
    return corten.nn.functional.cross_entropy(corten.ones(2, 4, device="gpu"), corten.tensor([0, wrong], device="gpu"))


@pytest.mark.parametrize(
    ("work", "wrong", "error", "text"),
    [
        (lookup, 4, IndexError, "index out of range in self"),
        (class_loss, 9, IndexError, "Target 9 is out of bounds"),
        (class_loss, -(2**40), IndexError, "Target -1099511627776 is out of bounds"),
        (lambda i: corten.ones(4, device="gpu")[corten.tensor([i])], 5, IndexError, "index 5 is out of bounds"),
        (
            lambda i: corten.ones(4, device="gpu").gather(0, corten.tensor([i], device="gpu")),
            -1,
            RuntimeError,
            "index -1 is out of bounds for dimension 0 with size 4",
        ),
    ],
)
def test_a_wrong_index_is_told_where_a_value_is_read_next(work, wrong, error, text) -> None:
    unrelated = corten.ones(2, device="gpu")
    with pytest.raises(error, match=text):
        work(wrong)
        unrelated.tolist()
    with pytest.raises(error, match=text):
        work(wrong).tolist()
    with pytest.raises(error, match=text):
        work(wrong)
        corten.gpu.synchronize()
    assert unrelated.tolist() == [1, 1]
    assert work(3).isfinite().all()


def test_indices_are_checked_without_waiting() -> None:
    table = corten.ones(50, 8, device="gpu", requires_grad=True)
    words, classes = corten.arange(20, device="gpu"), corten.tensor([-100, *range(8), 3] * 2, device="gpu")
    loss = corten.nn.functional.cross_entropy(corten.nn.functional.embedding(words, table)[words % 20], classes)
    loss.backward()
    # What is in flight would be waited for when more is submitted.
    corten.gpu.synchronize()
    before = corten.gpu.memory_stats()["waits"]
    loss = corten.nn.functional.cross_entropy(corten.nn.functional.embedding(words, table)[words % 20], classes)
    loss.backward()
    corten.flush()
    assert corten.gpu.memory_stats()["waits"] == before
    assert table.grad.isfinite().all()


def test_memory_is_counted_and_given_back() -> None:
    corten.gpu.empty_cache()
    before = corten.gpu.memory_allocated()
    x = corten.ones(1 << 16, device="gpu")
    corten.gpu.synchronize()
    assert corten.gpu.memory_allocated() - before >= 1 << 18
    del x
    assert corten.gpu.memory_allocated() == before
    reserved = corten.gpu.memory_reserved()
    corten.gpu.empty_cache()
    assert corten.gpu.memory_reserved() < reserved
    assert corten.ones(3, device="gpu").tolist() == [1.0, 1.0, 1.0]


def test_too_much_memory_is_refused_and_the_program_goes_on() -> None:
    size = corten.gpu.get_device_properties().max_buffer_size // 4 + 1024
    with pytest.raises((corten.OutOfMemoryError, RuntimeError)):
        corten.ones(size, device="gpu").sum().item()
    assert corten.ones(3, device="gpu").sum().item() == 3


def test_default_device() -> None:
    try:
        corten.set_default_device("gpu")
        assert corten.zeros(2).is_cuda and corten.tensor([1.0]).is_cuda and corten.arange(3).is_cuda
        assert not corten.zeros(2, device="cpu").is_cuda
    finally:
        corten.set_default_device(None)
    assert not corten.zeros(2).is_cuda


def test_without_a_gpu_the_error_says_what_to_do() -> None:
    result = run_script(
        """
        import corten
        assert not corten.gpu.is_available() and corten.gpu.device_count() == 0
        try:
            corten.zeros(1, device="cuda")
        except RuntimeError as e:
            print(e)
        """,
        CORTEN_GPU_ADAPTER="no adapter has this name",
    )
    assert "no GPU was found" in result.stdout, result.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_child_is_refused() -> None:
    result = run_script(
        """
        import os
        import corten
        x = corten.ones(2, device="gpu")
        x.tolist()
        if os.fork() == 0:
            try:
                (x + 1).tolist()
            except RuntimeError as e:
                print("spawn" in str(e), flush=True)
            os._exit(0)
        os.wait()
        print((x + 1).tolist())
        """
    )
    assert result.stdout.splitlines() == ["True", "[2.0, 2.0]"], result.stderr


def test_the_least_set_of_features_is_enough() -> None:
    script = """
        import corten
        assert corten.gpu.get_device_properties().features == []
        assert corten.gpu.get_device_properties().max_storage_buffers == 8
        xs = [corten.full((5,), float(i), device="gpu") for i in range(20)]
        total = xs[0]
        parts = []
        for x in xs[1:]:
            total = total + x * 2
            parts.append(total)
        print([p.sum().item() for p in parts][-1], total.tolist()[0])
        """
    result = run_script(script, CORTEN_GPU_FEATURES="core")
    assert result.stdout.split() == ["1900.0", "380.0"], result.stderr
