"""`corten.interop.wgpu`: tensors as buffers of wgpu-py and back."""

from __future__ import annotations

import os
import subprocess
import sys

import corten
import numpy as np
import pytest
from corten.interop.wgpu import from_wgpu, to_wgpu

os.environ.setdefault("CORTEN_GPU_SOFTWARE", "1")

wgpu = pytest.importorskip("wgpu", reason="wgpu-py is not installed")

DTYPES = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]


@pytest.fixture(scope="module")
def foreign():
    """A device of wgpu-py."""
    try:
        return wgpu.gpu.request_adapter_sync().request_device_sync()
    except RuntimeError as error:
        pytest.skip(f"no GPU adapter: {error}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (7,), (3, 5)])
def test_tensors_come_back_as_they_went(foreign, dtype: str, shape: tuple[int, ...]) -> None:
    count = int(np.prod(shape, dtype=int))
    x = corten.tensor([(i * 37 + 11) % 97 - 48 for i in range(count)]).reshape(shape)
    x = (x % 2).bool() if dtype == "bool" else x.to(getattr(corten, dtype))
    buffer = to_wgpu(x, foreign)
    assert buffer.size == max(4, -(-x.nbytes // 4) * 4)
    back = from_wgpu(buffer, shape, x.dtype)
    assert back.dtype == x.dtype and back.shape == x.shape and corten.equal(back, x)


def test_strides_offsets_and_gradients_are_left_behind(foreign) -> None:
    x = corten.randn(4, 6, requires_grad=True)
    for view in (x.T, x[1:, ::2], x[2], x[0, 0].expand(3)):
        back = from_wgpu(to_wgpu(view, foreign), view.shape, view.dtype)
        assert corten.equal(back, view.detach()) and not back.requires_grad


@pytest.mark.skipif(not corten.gpu.is_available(), reason="no GPU adapter; llvmpipe is one")
def test_tensors_of_the_gpu_pass_through_the_host(foreign) -> None:
    x = corten.arange(10.0, device="gpu") * 2
    back = from_wgpu(to_wgpu(x, foreign), (2, 5), x.dtype, device="gpu")
    assert back.device == x.device and back.tolist() == x.reshape(2, 5).tolist()


def test_a_buffer_can_be_written_again_and_read_from_the_middle(foreign) -> None:
    buffer = to_wgpu(corten.zeros(6), foreign)
    assert to_wgpu(corten.arange(4.0), foreign, out=buffer) is buffer
    assert from_wgpu(buffer, 6, corten.float32).tolist() == [0, 1, 2, 3, 0, 0]
    assert from_wgpu(buffer, (2,), corten.float32, offset=8).tolist() == [2, 3]


def test_shaders_of_wgpu_see_the_elements(foreign) -> None:
    x, y = to_wgpu(corten.arange(70.0), foreign), to_wgpu(corten.zeros(70), foreign)
    text = """
    @group(0) @binding(0) var<storage, read> x: array<f32>;
    @group(0) @binding(1) var<storage, read_write> y: array<f32>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
        if id.x < arrayLength(&x) { y[id.x] = x[id.x] * x[id.x]; }
    }
    """
    module = foreign.create_shader_module(code=text)
    pipeline = foreign.create_compute_pipeline(layout="auto", compute={"module": module, "entry_point": "main"})
    entries = [{"binding": k, "resource": {"buffer": b}} for k, b in enumerate((x, y))]
    group = foreign.create_bind_group(layout=pipeline.get_bind_group_layout(0), entries=entries)
    encoder = foreign.create_command_encoder()
    run = encoder.begin_compute_pass()
    run.set_pipeline(pipeline)
    run.set_bind_group(0, group)
    run.dispatch_workgroups(2)
    run.end()
    foreign.queue.submit([encoder.finish()])
    assert from_wgpu(y, 70, corten.float32).tolist() == [float(i * i) for i in range(70)]


def test_what_does_not_fit_is_refused(foreign) -> None:
    buffer = to_wgpu(corten.zeros(4), foreign)
    with pytest.raises(ValueError, match=r"\(5,\) of corten.float32 from byte 0 has 20 bytes, but the buffer has 16"):
        from_wgpu(buffer, 5, corten.float32)
    with pytest.raises(ValueError, match="offset must be a multiple of 4, not 2"):
        from_wgpu(buffer, 1, corten.float32, offset=2)
    with pytest.raises(ValueError, match="negative size"):
        from_wgpu(buffer, (-1,), corten.float32)
    with pytest.raises(ValueError, match="out has 16 bytes, but the tensor has 20"):
        to_wgpu(corten.zeros(5), foreign, out=buffer)
    with pytest.raises(TypeError, match=r"device must be a wgpu\.GPUDevice, not str"):
        to_wgpu(corten.zeros(1), "gpu")
    with pytest.raises(TypeError, match=r"buffer must be a wgpu\.GPUBuffer, not Tensor"):
        from_wgpu(corten.zeros(1), 1, corten.float32)
    closed = to_wgpu(corten.zeros(4), foreign, usage=wgpu.BufferUsage.STORAGE)
    with pytest.raises(ValueError, match="cannot be read"):
        from_wgpu(closed, 4, corten.float32)
    with pytest.raises(ValueError, match="cannot be written"):
        to_wgpu(corten.zeros(4), foreign, out=closed)


def test_without_wgpu_the_error_says_what_to_install() -> None:
    program = """
import sys
sys.modules["wgpu"] = None
import corten
try:
    corten.interop.wgpu.to_wgpu(corten.zeros(1), None)
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "corten.interop.wgpu needs the package wgpu: pip install 'corten[wgpu]'\n"
