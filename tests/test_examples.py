"""The examples as a user runs them: what they print and write, that targets are met, that a killed run resumes."""

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import corten
import numpy as np
import pytest
from corten.vision.datasets import FashionMNIST
from matplotlib import pyplot

from test_vision import write_split

os.environ.setdefault("CORTEN_GPU_SOFTWARE", "1")

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PNG = b"\x89PNG\r\n\x1a\n"


def command(name: str, *options: object) -> list[str]:
    return [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, options)]


def run(name: str, *options: object, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(name, *options), capture_output=True, text=True)
    assert done.returncode == status, done.stdout + done.stderr
    return done


def accuracy_of(done: subprocess.CompletedProcess[str], name: str, target: str) -> float:
    """The accuracy in the last line, which has the form that other programs read."""
    last = done.stdout.splitlines()[-1]
    found = re.fullmatch(rf"RESULT {name} accuracy=(0\.\d{{4}}|1\.0000) target={re.escape(target)}", last)
    assert found, last
    return float(found[1])


def assert_pictures(folder: Path) -> None:
    for name in ("curves.png", "predictions.png"):
        content = (folder / name).read_bytes()
        assert content.startswith(PNG) and len(content) > 5000


def leaves(state: object, path: str = ""):
    """Every value in nested dictionaries and lists, with its path."""
    if isinstance(state, dict):
        for key, value in state.items():
            yield from leaves(value, f"{path}/{key}")
    elif isinstance(state, list | tuple):
        for index, value in enumerate(state):
            yield from leaves(value, f"{path}/{index}")
    else:
        yield path, state


def assert_same_bits(first: object, second: object) -> None:
    ours, theirs = list(leaves(first)), list(leaves(second))
    assert [path for path, _ in ours] == [path for path, _ in theirs]
    for (path, one), (_, other) in zip(ours, theirs, strict=True):
        same = corten.equal(one, other) if isinstance(one, corten.Tensor) else one == other
        assert same, f"{path}: {one} and {other}"


@pytest.fixture(scope="module")
def clothes(tmp_path_factory) -> Path:
    """Data of Fashion-MNIST's form that a network learns at once: class c is a bright band of rows at 2c."""
    folder = tmp_path_factory.mktemp("clothes")
    generator = np.random.default_rng(0)
    for prefix, count in (("train", 1024), ("t10k", 256)):
        labels = generator.integers(0, 10, count).astype(np.uint8)
        images = generator.integers(0, 80, (count, 28, 28)).astype(np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[2 * label : 2 * label + 4] += 120
        write_split(folder, prefix, images, labels)
    return folder


def test_quickstart_smoke(tmp_path):
    done = run("quickstart", "--smoke", "--out", tmp_path)
    accuracy_of(done, "quickstart", "0.98")
    assert_pictures(tmp_path)
    assert "accuracy of each fold:" in done.stdout
    assert set(corten.load(tmp_path / "digits.pt")) >= {"0.weight", "1.running_mean", "11.bias"}


def test_quickstart_reaches_its_target(tmp_path):
    done = run("quickstart", "--out", tmp_path)
    assert accuracy_of(done, "quickstart", "0.98") >= 0.98


needs_gpu = pytest.mark.skipif(not corten.gpu.is_available(), reason="no GPU adapter; llvmpipe is one")


@needs_gpu
def test_quickstart_runs_on_a_gpu(tmp_path):
    accuracy_of(run("quickstart", "--smoke", "--device", "gpu", "--out", tmp_path), "quickstart", "0.98")
    assert_pictures(tmp_path)


@needs_gpu
@pytest.mark.slow
def test_quickstart_reaches_its_target_on_a_gpu(tmp_path):
    done = run("quickstart", "--quick", "--device", "gpu", "--out", tmp_path)
    assert accuracy_of(done, "quickstart", "0.98") >= 0.98


def test_quickstart_repeats_itself(tmp_path):
    for name in ("first", "second"):
        run("quickstart", "--smoke", "--seed", 3, "--out", tmp_path / name)
    assert_same_bits(corten.load(tmp_path / "first" / "digits.pt"), corten.load(tmp_path / "second" / "digits.pt"))


def test_fashion_mnist_learns_and_draws(clothes, tmp_path):
    done = run("fashion_mnist", "--data", clothes, "--epochs", 2, "--out", tmp_path)
    assert accuracy_of(done, "fashion_mnist", "0.925") > 0.95
    assert_pictures(tmp_path)


def test_fashion_mnist_smoke_makes_two_steps(clothes, tmp_path):
    done = run("fashion_mnist", "--data", clothes, "--smoke", "--out", tmp_path)
    accuracy_of(done, "fashion_mnist", "0.925")
    assert_pictures(tmp_path)
    assert corten.load(tmp_path / "checkpoint.pt")["step"] == 2
    # What is over is shown again, and nothing is trained.
    again = run("fashion_mnist", "--data", clothes, "--smoke", "--resume", "--out", tmp_path)
    assert "resumed after step 2 of 2" in again.stdout
    assert again.stdout.splitlines()[-1] == done.stdout.splitlines()[-1]


@needs_gpu
def test_fashion_mnist_smoke_runs_on_a_gpu(clothes, tmp_path):
    done = run("fashion_mnist", "--data", clothes, "--smoke", "--device", "gpu", "--out", tmp_path)
    accuracy_of(done, "fashion_mnist", "0.925")


def test_sizes_of_runs_are_arguments_of_every_example(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    common = importlib.import_module("common")
    for options, epochs, size in (
        ([], 8, "full"),
        (["--quick"], 2, "quick"),
        (["--smoke"], 1, "smoke"),
        (["--quick", "--epochs", "5"], 5, "quick"),
    ):
        monkeypatch.setattr(sys, "argv", ["program", "--out", str(tmp_path / "made"), *options])
        args = common.parse(common.arguments("Words.", epochs=8, quick_epochs=2, out="program"))
        assert args.epochs == epochs and common.sized(args, "full", "quick", "smoke") == size
        assert common.total_steps(args, 10) == (2 if size == "smoke" else 10 * epochs)
    assert (tmp_path / "made").is_dir()


def kill_between_checkpoints(options: list[object], out: Path) -> int:
    """Starts a run, kills it once a checkpoint in the middle of an epoch is there, and returns that one's step."""
    checkpoint = out / "checkpoint.pt"
    process = subprocess.Popen(command("fashion_mnist", *options, "--out", out), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    status = process.wait()
    expected = 1 if os.name == "nt" else -signal.SIGKILL
    assert status == expected, f"the run ended by itself with {status}"
    return corten.load(checkpoint)["step"]


def test_killed_run_resumes_to_the_bit(clothes, tmp_path):
    options = ["--data", clothes, "--epochs", 3, "--batch-size", 16, "--seed", 5, "--checkpoint-every", 5]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole_run = run("fashion_mnist", *options, "--out", whole)
    step = kill_between_checkpoints(options, broken)
    steps_per_epoch = 1024 // 16
    assert 0 < step < 3 * steps_per_epoch and step % steps_per_epoch != 0
    resumed = run("fashion_mnist", *options, "--out", broken, "--resume")
    assert f"resumed after step {step} of {3 * steps_per_epoch}" in resumed.stdout
    assert resumed.stdout.splitlines()[-1] == whole_run.stdout.splitlines()[-1]
    for name in ("model.pt", "checkpoint.pt"):
        assert_same_bits(corten.load(whole / name), corten.load(broken / name))


def test_resuming_refuses_other_settings(clothes, tmp_path):
    run("fashion_mnist", "--data", clothes, "--epochs", 1, "--batch-size", 128, "--out", tmp_path)
    other = ["--data", clothes, "--epochs", 2, "--batch-size", 128, "--out", tmp_path, "--resume"]
    done = run("fashion_mnist", *other, status=1)
    assert "is of a run with" in done.stderr and "Traceback" not in done.stderr


def test_resuming_needs_a_checkpoint(clothes, tmp_path):
    done = run("fashion_mnist", "--data", clothes, "--out", tmp_path, "--resume", status=1)
    assert "to resume from" in done.stderr and "Traceback" not in done.stderr


def test_missing_labels_are_reported_in_one_line(clothes, tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes((clothes / "train-images-idx3-ubyte").read_bytes())
    done = run("fashion_mnist", "--data", tmp_path, "--out", tmp_path, status=1)
    assert "has no train-labels-idx1-ubyte" in done.stderr and "Traceback" not in done.stderr


def test_batch_size_beyond_the_data_is_refused(clothes, tmp_path):
    done = run("fashion_mnist", "--data", clothes, "--batch-size", 5000, "--out", tmp_path, status=1)
    assert "--batch-size 5000 is more than the 1024 training images" in done.stderr


@pytest.fixture
def drawing() -> None:
    """Skips where wgpu-py cannot draw."""
    wgpu = pytest.importorskip("wgpu", reason="wgpu-py is not installed")
    try:
        wgpu.gpu.request_adapter_sync()
    except RuntimeError as error:
        pytest.skip(f"no GPU adapter: {error}")


def test_live_activations_draws_its_last_frame(drawing, tmp_path):
    done = run("live_activations", "--offscreen", "--epochs", 30, "--epochs-per-frame", 10, "--out", tmp_path)
    accuracy_of(done, "live_activations", "0.98")
    assert "3/3" in done.stderr
    image = pyplot.imread(tmp_path / "activations.png")
    assert image.shape == (640, 880, 4)
    # Lines around the tiles, and both colours on the plane: more orange than blue, and the other way round.
    np.testing.assert_allclose(image[81, 40, :3], image[1, 40, :3])
    plane = image[:, 240:]
    assert (plane[..., 0] > plane[..., 2] + 0.02).any() and (plane[..., 2] > plane[..., 0] + 0.02).any()


@pytest.mark.slow
def test_live_activations_reaches_its_target(drawing, tmp_path):
    done = run("live_activations", "--offscreen", "--epochs-per-frame", 500, "--out", tmp_path)
    assert accuracy_of(done, "live_activations", "0.98") >= 0.98


@pytest.mark.slow
def test_fashion_mnist_reaches_its_target(tmp_path):
    if not any(Path(folder).is_dir() for folder in FashionMNIST.system_folders):
        pytest.skip("needs Debian's package dataset-fashion-mnist")
    done = run("fashion_mnist", "--out", tmp_path)
    assert accuracy_of(done, "fashion_mnist", "0.925") >= 0.925
