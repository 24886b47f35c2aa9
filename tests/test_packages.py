"""Packages written for PyTorch work on corten: einops, safetensors and torchmetrics, and what they ask of ``torch``."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import corten
import pytest

PACKAGES = str(Path(corten.__file__).resolve().parent.parent)


def installed(program: str) -> str:
    """What a program prints in a process where torch means corten."""
    start = "import corten\ncorten.install_as_torch()\nimport torch\n"
    path = os.pathsep.join(filter(None, (PACKAGES, os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-c", start + textwrap.dedent(program)],
        env=dict(os.environ, PYTHONPATH=path),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def needs(name: str):
    present = importlib.util.find_spec(name) is not None
    return pytest.mark.skipif(not present, reason=f"needs {name}")


@needs("einops")
def test_einops_rearranges_and_its_layers_learn():
    program = """
    from einops import einsum, pack, parse_shape, rearrange, reduce, repeat, unpack
    from einops.layers.torch import EinMix, Rearrange, Reduce
    x = torch.arange(24.0).reshape(2, 3, 4).requires_grad_()
    assert rearrange(x, "a b c -> c (b a)").tolist() == x.permute(2, 1, 0).reshape(4, 6).tolist()
    assert torch.equal(reduce(x, "a b c -> b", "mean"), x.mean((0, 2)))
    for name in ("max", "min", "sum", "prod"):
        assert torch.equal(reduce(x, "a (b b2) c -> a c", name, b=3), reduce(x, "a b c -> a c", name)), name
    assert reduce(x > 5, "a b c -> a", "any").tolist() == [True, True]
    assert torch.equal(repeat(x, "a b c -> a (b d) c", d=2), x.repeat_interleave(2, 1))
    assert torch.allclose(einsum(x, x, "a b c, a d c -> a b d"), x @ x.mT)
    packed, shapes = pack([x, x[:, 0]], "a *")
    assert packed.shape == (2, 16) and all(map(torch.equal, unpack(packed, shapes, "a *"), [x, x[:, 0]]))
    assert parse_shape(x, "a _ c") == {"a": 2, "c": 4}
    model = torch.nn.Sequential(
        Rearrange("b c h -> b h c"), EinMix("b h c -> b h d", weight_shape="c d", bias_shape="d", c=3, d=5),
        Reduce("b h d -> b d", "max"),
    )
    model(x).sum().backward()
    print(x.grad.shape, all(p.grad is not None for p in model.parameters()))
    try:
        rearrange(x, "a b -> b a")
    except Exception as error:
        print(type(error).__name__)
    """
    assert installed(program).split("\n") == ["torch.Size([2, 3, 4]) True", "EinopsError"]


@needs("einops")
def test_einops_own_tests_pass():
    suites = ["ops", "layers", "einsum", "packing", "other"]
    modules = [f"einops.tests.test_{name}" for name in suites]
    command = [sys.executable, "-m", "corten", "run", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts="]
    # They start `python` themselves.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        [*command, "-W", "ignore", "--pyargs", *modules],
        env=dict(os.environ, PATH=path, PYTHONPATH=PACKAGES, EINOPS_TEST_BACKENDS="numpy,torch"),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(done.stdout.rsplit(" passed", 1)[0].rsplit(None, 1)[-1]) > 50


@needs("safetensors")
def test_safetensors_writes_and_reads_or_says_what_is_missing(tmp_path):
    program = f"""
    try:
        from safetensors import safe_open
        from safetensors.torch import load, load_file, load_model, save, save_file, save_model
    except AttributeError as error:
        print(error)
        raise SystemExit
    path = {str(tmp_path / "x.safetensors")!r}
    tensors = {{"a": torch.randn(3, 4), "b": torch.ones(2, dtype=torch.bfloat16), "c": torch.tensor([True, False])}}
    save_file(tensors, path, metadata={{"format": "pt"}})
    for found in (load_file(path), load(save(tensors)), corten.load(path)):
        assert set(found) == set(tensors)
        assert all(found[k].dtype == tensors[k].dtype and torch.equal(found[k], tensors[k]) for k in tensors)
    with safe_open(path, framework="pt", device="cpu") as file:
        assert torch.equal(file.get_tensor("a"), tensors["a"]) and file.metadata() == {{"format": "pt"}}
        part = file.get_slice("a")
        assert torch.equal(part[1:, :2], tensors["a"][1:, :2]) and part.get_shape() == [3, 4]
    model, other = torch.nn.Linear(2, 3), torch.nn.Linear(2, 3)
    save_model(model, path)
    load_model(other, path)
    print(torch.equal(model.weight, other.weight))
    """
    if hasattr(corten, "complex64"):
        assert installed(program) == "True"
    else:
        assert "has no attribute 'complex64'" in installed(program)


@needs("torchmetrics")
def test_torchmetrics_computes_and_its_examples_print_the_same():
    program = """
    import doctest, importlib, warnings
    warnings.simplefilter("ignore")
    import torchmetrics
    names = '''classification.accuracy classification.auroc classification.confusion_matrix classification.f_beta
    classification.average_precision regression.mse regression.pearson regression.r2 regression.spearman
    functional.classification.calibration_error functional.image.psnr functional.image.ssim functional.text.edit
    functional.clustering.mutual_info_score clustering.rand_score
    functional.detection.panoptic_qualities aggregation collections retrieval.ndcg text.bleu'''.split()
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    for name in names:
        for test in doctest.DocTestFinder().find(importlib.import_module("torchmetrics." + name)):
            torch.manual_seed(42)
            runner.run(test)
    print(runner.failures, runner.tries > 200)
    """
    assert installed(program) == "0 True"


def test_what_packages_ask_of_torch_is_told_honestly():
    program = """
    import torch.backends.cudnn as cudnn
    assert torch.backends.cuda.is_built() is torch.backends.mps.is_available() is cudnn.is_available() is False
    cudnn.benchmark, torch.backends.cuda.matmul.allow_tf32 = True, True
    with cudnn.flags(enabled=False, deterministic=True):
        assert cudnn.deterministic and not cudnn.benchmark
    assert cudnn.benchmark and not cudnn.deterministic
    assert torch.distributed.is_initialized() is torch.jit.is_scripting() is False
    assert torch._C._get_tracing_state() is None and torch._C._log_api_usage_once("x") is None
    torch.use_deterministic_algorithms(True)
    assert torch.are_deterministic_algorithms_enabled() and torch.get_deterministic_debug_mode() == 2
    torch.set_float32_matmul_precision("high")
    assert torch.get_float32_matmul_precision() == "high"
    for text in ("torch._C._jit_pass_inline", "torch.jit.save(None, 'x')", "torch.distributed.TCPStore"):
        try:
            eval(text)
        except (AttributeError, NotImplementedError) as error:
            assert text.split("(")[0].split(".")[-1] in str(error), error
        else:
            raise AssertionError(text)
    """
    assert installed(program) == ""


def test_tensors_and_dtypes_print_as_pytorchs_do():
    program = """
    x = torch.zeros(2, dtype=torch.float64)
    print(x, x.shape, x.dtype, torch.strided, torch.channels_last, x.type(), torch.ones(3).max(0), sep="|")
    print(torch.float32, f"{torch.int8}", str(torch.bfloat16).split(".")[-1], torch.typename(x))
    """
    *first, second = installed(program).split("\n")
    assert "".join(first) == (
        "tensor([0., 0.], dtype=torch.float64)|torch.Size([2])|torch.float64|torch.strided|torch.channels_last|"
        "torch.DoubleTensor|torch.return_types.max(values=tensor(1.),indices=tensor(0))"
    )
    assert second == "torch.float32 torch.int8 bfloat16 torch.DoubleTensor"


def test_scripting_returns_what_it_is_given():
    with pytest.warns(UserWarning, match=r"torch\.jit\.script returns what it is given"):

        @corten.jit.script
        def double(x):
            return x * 2

    assert double(corten.ones(1)).item() == 2.0
    assert corten.jit.ignore(double) is double and corten.jit.ignore(drop=True)(double) is double
    assert corten.jit.fork(double, corten.ones(1)).wait().item() == 2.0
    assert issubclass(corten.jit.ScriptModule, corten.nn.Module)
    assert not isinstance(corten.nn.Linear(1, 1), corten.jit.ScriptModule)
    assert corten.jit.isinstance([1], list[int]) and not corten.jit.isinstance((1,), list[int])


def test_a_tensor_tells_which_devices_it_is_not_on():
    x = corten.ones(2, 3)
    assert not (x.is_mps or x.is_xpu or x.is_sparse_csr)


def test_a_storage_of_a_file_is_mapped(tmp_path):
    path = tmp_path / "bytes"
    path.write_bytes(bytes(range(16)))
    own = corten.UntypedStorage.from_file(str(path), shared=False, nbytes=8)
    own[0] = 99
    assert own.tolist() == [99, *range(1, 8)] and path.read_bytes()[0] == 0
    shared = corten.UntypedStorage.from_file(str(path), shared=True, nbytes=20)
    shared[1] = 77
    assert path.read_bytes() == bytes([0, 77, *range(2, 16), 0, 0, 0, 0])
    assert corten.asarray(shared[2:6], dtype=corten.uint8).view(corten.int16).tolist() == [0x0302, 0x0504]
    with pytest.raises(RuntimeError, match="has 20 bytes, 40 are asked for"):
        corten.UntypedStorage.from_file(str(path), nbytes=40)
    with pytest.raises(RuntimeError, match="unable to open file"):
        corten.UntypedStorage.from_file(str(tmp_path / "none"), nbytes=4)
