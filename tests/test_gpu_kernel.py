"""`corten.gpu.kernel`: operators from a program's own WGSL, their checks, and their place among the other operators."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import corten
import numpy as np
import pytest

os.environ.setdefault("CORTEN_GPU_SOFTWARE", "1")

pytestmark = pytest.mark.skipif(not corten.gpu.is_available(), reason="no GPU adapter; llvmpipe is one")

F32 = corten.float32


def saxpy() -> corten.gpu.Kernel:
    return corten.gpu.kernel(
        "out_put(i, alpha() * x_at(i) + y_at(i));",
        inputs={"x": F32, "y": F32},
        outputs={"out": F32},
        scalars={"alpha": "f32"},
        name="saxpy",
    )


# A matrix product with tiles in workgroup memory: an entry point of its own, barriers, a constant and a function.
PRODUCT = """
const TILE = 8u;
var<workgroup> left: array<array<f32, TILE>, TILE>;
var<workgroup> right: array<array<f32, TILE>, TILE>;

fn inside(value: f32, is: bool) -> f32 {
    return select(0.0, value, is);
}

@compute @workgroup_size(TILE, TILE)
fn product(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let m = a_dim(0u);
    let k = a_dim(1u);
    let n = b_dim(1u);
    var sum = 0.0;
    for (var t = 0u; t < k; t += TILE) {
        left[local.y][local.x] = inside(a_at(id.y * k + t + local.x), t + local.x < k);
        right[local.y][local.x] = inside(b_at((t + local.y) * n + id.x), id.x < n);
        workgroupBarrier();
        for (var j = 0u; j < TILE; j++) {
            sum += left[local.y][j] * right[j][local.x];
        }
        workgroupBarrier();
    }
    if id.x < n && id.y < m {
        c_put(id.y * n + id.x, sum);
    }
}
"""


def product() -> corten.gpu.Kernel:
    return corten.gpu.kernel(
        PRODUCT,
        inputs={"a": F32, "b": F32},
        outputs={"c": (F32, lambda a, b: (a[0], b[1]))},
        grid=lambda a, b: (b[1], a[0]),
        name="product",
    )


def test_a_body_runs_for_every_element() -> None:
    kernel = saxpy()
    x, y = corten.randn(7, 33), corten.randn(7, 33)
    out = kernel(x.to("gpu"), y.to("gpu"), 2.5)
    assert out.shape == (7, 33) and out.dtype == F32 and out.device.type == "gpu"
    np.testing.assert_allclose(out.cpu().numpy(), (2.5 * x + y).numpy(), rtol=1e-6, atol=1e-6)
    named = kernel(y=y.to("gpu"), alpha=2.5, x=x.to("gpu"))
    assert corten.equal(named, out)


def test_a_module_brings_its_own_entry_point_and_workgroup_memory() -> None:
    kernel = product()
    assert kernel.workgroup_size == (8, 8, 1)
    for m, k, n in ((8, 8, 8), (13, 21, 5), (1, 40, 17)):
        a, b = corten.randn(m, k), corten.randn(k, n)
        got = kernel(a.to("gpu"), b.to("gpu"))
        np.testing.assert_allclose(got.cpu().numpy(), (a @ b).numpy(), rtol=1e-4, atol=1e-5)


def test_inputs_arrive_in_row_major_order_whatever_their_strides() -> None:
    kernel = saxpy()
    x = corten.randn(6, 10, 3)
    zero = corten.zeros((), device="gpu")
    there = x.to("gpu")
    for index in (
        lambda t: t.transpose(0, 2),
        lambda t: t[1:4],  # row-major with an offset
        lambda t: t[:, ::2],
        lambda t: t[2, 3].expand(4, 3),
        lambda t: t[1, 2, 0],
    ):
        view = index(there)
        got = kernel(view, zero.expand(view.shape), 1.0)
        assert got.tolist() == index(x).tolist()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"])
def test_every_dtype_has_its_accessors(dtype: str) -> None:
    d = getattr(corten, dtype)
    copy = corten.gpu.kernel("y_put(i, x_at(x_numel() - 1u - i));", inputs={"x": d}, outputs={"y": d})
    values = corten.tensor([(i * 37 + 11) % 97 - 48 for i in range(77)])
    x = (values % 2).bool() if dtype == "bool" else values.to(d)
    assert copy(x.to("gpu")).tolist() == x.flip(0).tolist()
    assert copy(x.to("gpu")[3:]).tolist() == x[3:].flip(0).tolist()


def test_int64_travels_as_two_words() -> None:
    square = corten.gpu.kernel(
        "let v = x_at(i); y_put(i, i64_mul(v, v));", inputs={"x": corten.int64}, outputs={"y": corten.int64}
    )
    x = corten.tensor([3, -5, 2**31 + 7, -(2**40)])
    assert square(x.to("gpu")).tolist() == (x * x).tolist()


def test_scalars_of_each_type_are_parameters() -> None:
    kernel = corten.gpu.kernel(
        "y_put(i, f32(n()) * 0.5 + f32(k()) + a());",
        inputs={},
        outputs={"y": (F32, (2,))},
        scalars={"a": "f32", "n": "i32", "k": "u32"},
    )
    assert kernel(0.25, -(2**31), 2**31 + 256).tolist() == [2.0**30 + 256] * 2
    before = corten.gpu.memory_stats()["shaders_compiled"]
    assert kernel(1.0, 2, 3).tolist() == [5.0, 5.0]
    assert corten.gpu.memory_stats()["shaders_compiled"] == before
    with pytest.raises(ValueError, match="'k' is -1, which u32 does not hold"):
        kernel(0.0, 0, -1)
    with pytest.raises(TypeError, match="'n' must be a number for i32, not float"):
        kernel(0.0, 0.5, 1)


def test_a_new_size_compiles_nothing_and_finds_its_plan() -> None:
    kernel = saxpy()
    for n in (5, 9, 12):
        x = corten.ones(n, 2, device="gpu")
        if n == 12:
            before = (corten._core.counters()["plan_misses"], corten.gpu.memory_stats()["shaders_compiled"])
        assert kernel(x, x, 3.0).sum().item() == 4.0 * 2 * n
    assert (corten._core.counters()["plan_misses"], corten.gpu.memory_stats()["shaders_compiled"]) == before


def test_a_kernel_that_is_defined_again_is_the_same() -> None:
    x = corten.ones(3, device="gpu")
    corten.flush()
    saxpy()(x, x, 1.0).tolist()
    before = (corten._core.counters()["plan_misses"], corten.gpu.memory_stats()["shaders_compiled"])
    assert saxpy()(x, x, 1.0).tolist() == [2.0, 2.0, 2.0]
    assert (corten._core.counters()["plan_misses"], corten.gpu.memory_stats()["shaders_compiled"]) == before


def test_several_outputs_have_their_own_shapes_and_dtypes() -> None:
    kernel = corten.gpu.kernel(
        """
        let v = x_at(i);
        big_put(i, v > limit());
        if i < n_dim(0u) {
            n_put(i, i32(x_dim(i)));
        }
        """,
        inputs={"x": F32},
        outputs={"big": (corten.bool, "x"), "n": (corten.int32, lambda x: len(x))},
        scalars={"limit": "f32"},
    )
    x = corten.randn(4, 6)
    big, sizes = kernel(x.to("gpu"), limit=0.5)
    assert big.tolist() == (x > 0.5).tolist() and sizes.tolist() == [4, 6]


def test_shapes_and_grids_may_be_given_at_the_call() -> None:
    ramp = corten.gpu.kernel("y_put(i, i32(i) * 2);", inputs={}, outputs={"y": corten.int32})
    assert ramp(shapes={"y": (2, 3)}).tolist() == [[0, 2, 4], [6, 8, 10]]
    assert ramp(shapes={"y": 3}, device="gpu").tolist() == [0, 2, 4]
    with pytest.raises(ValueError, match="'y' has no shape"):
        ramp()
    with pytest.raises(ValueError, match="given for 'z', which is no output"):
        ramp(shapes={"z": 1})
    pairs = corten.gpu.kernel(
        "y_put(2u * i, x_at(2u * i + 1u)); y_put(2u * i + 1u, x_at(2u * i));",
        inputs={"x": F32},
        outputs={"y": F32},
        grid=lambda x: (x[0] + 1) // 2,
    )
    assert pairs(corten.arange(6.0, device="gpu")).tolist() == [1, 0, 3, 2, 5, 4]


def test_places_past_the_end_are_safe() -> None:
    kernel = corten.gpu.kernel(
        "y_put(i, x_at(i + 2u)); y_put(i + 1000000u, 5.0);", inputs={"x": F32}, outputs={"y": F32}
    )
    assert kernel(corten.arange(5.0, device="gpu")).tolist() == [2, 3, 4, 0, 0]


def test_many_invocations_are_spread_over_two_dims() -> None:
    count = 65535 * 2 + 3
    kernel = corten.gpu.kernel(
        "y_put(i, i32(i & 127u));",
        inputs={},
        outputs={"y": (corten.int8, count)},
        workgroup_size=1,
    )
    assert corten.equal(kernel().cpu(), (corten.arange(count) & 127).to(corten.int8))


def test_empty_results_run_nothing() -> None:
    kernel = saxpy()
    before = corten.gpu.memory_stats()["dispatches"]
    empty = corten.zeros(0, 4, device="gpu")
    assert kernel(empty, empty, 1.0).shape == (0, 4)
    corten.gpu.synchronize()
    assert corten.gpu.memory_stats()["dispatches"] == before


def test_neighbours_fuse_among_themselves() -> None:
    """The kernel is one step of the plan: what stands before it is one kernel, what stands after it another."""
    kernel = saxpy()
    x = corten.randn(40, device="gpu")
    corten.flush()
    before = corten._core.counters()
    y = kernel((x * 2 + 1).tanh(), x, 3.0)
    z = (y - x).abs().sqrt()
    corten.flush()
    after = corten._core.counters()
    assert after["flushes"] - before["flushes"] == 1 and after["kernels"] - before["kernels"] == 3
    h = x.cpu()
    expected = ((3.0 * (h * 2 + 1).tanh() + h) - h).abs().sqrt()
    np.testing.assert_allclose(z.cpu().numpy(), expected.numpy(), rtol=1e-4, atol=1e-5)


def test_a_function_gives_it_derivatives_of_any_order() -> None:
    cube = corten.gpu.kernel("y_put(i, x_at(i) * x_at(i) * x_at(i));", inputs={"x": F32}, outputs={"y": F32})
    scaled = corten.gpu.kernel(
        "y_put(i, 3.0 * g_at(i) * x_at(i) * x_at(i));", inputs={"g": F32, "x": F32}, outputs={"y": F32}
    )

    class Slope(corten.autograd.Function):
        @staticmethod
        def forward(ctx, g, x):
            ctx.save_for_backward(g, x)
            return scaled(g, x)

        @staticmethod
        def backward(ctx, h):
            g, x = ctx.saved_tensors
            return 3 * h * x * x, 6 * h * g * x

    class Cube(corten.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return cube(x)

        @staticmethod
        def backward(ctx, g):
            return Slope.apply(g, *ctx.saved_tensors)

    values = [1.0, -2.0, 0.5]
    x = corten.tensor(values, device="gpu", requires_grad=True)
    (first,) = corten.autograd.grad(Cube.apply(x).sum(), x, create_graph=True)
    (second,) = corten.autograd.grad(first.sum(), x, create_graph=True)
    assert first.tolist() == [3 * v**2 for v in values]
    assert second.tolist() == [6 * v for v in values]


def test_without_a_function_the_gradient_is_refused_with_what_to_do() -> None:
    x = corten.ones(2, device="gpu", requires_grad=True)
    y = saxpy()(x, x, 1.0)
    assert y.requires_grad
    with pytest.raises(RuntimeError, match=r"gpu.kernel 'saxpy' has no derivative: .*autograd\.Function"):
        y.sum().backward()
    with corten.no_grad():
        assert not saxpy()(x, x, 1.0).requires_grad


def test_arguments_are_checked() -> None:
    kernel = saxpy()
    here, there = corten.ones(2), corten.ones(2, device="gpu")
    with pytest.raises(RuntimeError, match=r"'saxpy' runs on a GPU, but 'x' is on the CPU"):
        kernel(here, here, 1.0)
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        kernel(there, here, 1.0)
    with pytest.raises(TypeError, match=r"'y' must be float32, but it is int64"):
        kernel(there, there.long(), 1.0)
    with pytest.raises(TypeError, match="'saxpy': missing a required argument: 'alpha'"):
        kernel(there, there)
    with pytest.raises(TypeError, match="'saxpy': too many positional arguments"):
        kernel(there, there, 1.0, 2.0)
    with pytest.raises(TypeError, match="'y' must be a Tensor, not float"):
        kernel(there, 1.0, 1.0)
    with pytest.raises(ValueError, match="the grid must be a number"):
        kernel(there, there, 1.0, grid=(2, 2))
    with pytest.raises(ValueError, match="at most 65535"):
        product()(there.reshape(1, 2), there.reshape(2, 1), grid=(1, 10**7))


def refusal(wgsl: str, **options: object) -> str:
    arguments = dict(inputs={"x": F32}, outputs={"y": F32}, name="wrong") | options
    with pytest.raises(ValueError) as caught:
        corten.gpu.kernel(wgsl, **arguments)
    return str(caught.value)


def test_a_refused_text_is_shown_with_its_line_and_a_caret() -> None:
    unknown = refusal("let a = x_at(i);\n    y_put(i, a * factor);")
    assert unknown.startswith("gpu.kernel 'wrong': no definition in scope for identifier")
    assert "    2 |     y_put(i, a * factor);\n      |                  ^^^^^^" in unknown
    types = refusal("let a = x_at(i);\nlet b = a + 1i;\ny_put(i, b);")
    assert "    2 | let b = a + 1i;\n" in types and "^" in types
    call = refusal("y_put(i, 1i);")
    assert "    1 | y_put(i, 1i);\n" in call
    syntax = refusal("let a = ;")
    assert "    1 | let a = ;\n      |         ^" in syntax
    assert "    2 | y_put(i, 1.0\n      |             ^" in refusal("\ny_put(i, 1.0")
    module = refusal("\n@compute @workgroup_size(4)\nfn f() {\n    nothing();\n}")
    assert "    4 |     nothing();\n      |     ^^^^^^^" in module


def test_definitions_are_checked() -> None:
    assert "'9x' is no name in WGSL" in refusal("", inputs={"9x": F32})
    assert "the name 'x' is given twice" in refusal("", outputs={"x": F32})
    assert "at most 8 on every GPU" in refusal("", inputs={f"x{i}": F32 for i in range(8)})
    assert "at least one output" in refusal("", outputs={})
    assert "'grid' is an argument of every kernel" in refusal("", scalars={"grid": "u32"})
    assert "shape of 'z', which is no input" in refusal("", outputs={"y": (F32, "z")})
    assert "must be 'f32', 'i32' or 'u32', not 'f16'" in refusal("", scalars={"a": "f16"})
    assert "says its `@workgroup_size` itself" in refusal("@compute", workgroup_size=4)
    assert "has 2 entry points" in refusal(
        "@compute @workgroup_size(1) fn a() {}\n@compute @workgroup_size(1) fn b() {}"
    )
    assert "at most 256 invocations" in refusal("@compute @workgroup_size(512) fn a() {}")
    assert "binds a buffer itself" in refusal(
        "@group(2) @binding(0) var<storage> z: array<f32>;\n@compute @workgroup_size(1) fn a() { let v = z[0]; }"
    )
    assert "the library has 'f_erf' already" in refusal(
        "fn f_erf(x: f32) -> f32 { return x; }\n@compute @workgroup_size(1) fn a() { let v = f_erf(1.0); }"
    )
    with pytest.raises(TypeError, match="'x' is float64, which WGSL does not have"):
        corten.gpu.kernel("", inputs={"x": corten.float64}, outputs={"y": F32})


def test_library_functions_can_be_called() -> None:
    kernel = corten.gpu.kernel("y_put(i, f_erf(x_at(i)));", inputs={"x": F32}, outputs={"y": F32})
    x = corten.linspace(-2, 2, 9)
    np.testing.assert_allclose(kernel(x.to("gpu")).cpu().numpy(), corten.erf(x).numpy(), rtol=1e-6)
    assert "fn f_erf(" in kernel.source and "fn f_lgamma(" not in kernel.source


def test_examples_of_the_page_compute_what_they_say() -> None:
    page = (Path(__file__).resolve().parent.parent / "docs" / "gpu_kernels.md").read_text(encoding="utf-8")
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block, names)
    x = corten.randn(5, 100)
    np.testing.assert_allclose(names["row_sum"](x.to("gpu")).cpu().numpy(), x.sum(1).numpy(), rtol=1e-4, atol=1e-5)
    x = corten.randn(50, device="gpu").requires_grad_()
    (ours,) = corten.autograd.grad(names["Swish"].apply(x, 1.0).sum(), x)
    (theirs,) = corten.autograd.grad(corten.nn.functional.silu(x).sum(), x)
    np.testing.assert_allclose(ours.cpu().numpy(), theirs.cpu().numpy(), rtol=1e-5, atol=1e-6)


def test_definitions_need_no_gpu() -> None:
    program = """
        import corten
        assert not corten.gpu.is_available()
        corten.gpu.kernel("y_put(i, x_at(i));", inputs={"x": corten.float32}, outputs={"y": corten.float32})
        try:
            corten.gpu.kernel("y_put(i, z);", inputs={"x": corten.float32}, outputs={"y": corten.float32})
        except ValueError as error:
            print(str(error).splitlines()[1])
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    environment = {**os.environ, "CORTEN_GPU_ADAPTER": "none of this name"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "1 | y_put(i, z);"
