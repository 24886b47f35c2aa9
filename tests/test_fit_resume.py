"""Runs of `corten.fit` that were killed, cut short or interrupted go on, to the bit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import corten
import numpy as np
import pytest
from corten import nn
from corten.training import Batches, Callback, save_whole
from corten.utils.data import DataLoader, Dataset, RandomSampler, TensorDataset, WeightedRandomSampler

from training_runs import COUNT, LOSS, accuracy, adam, assert_same_bits, fit, network, points, weights


class Killed(Exception):
    pass


class KillAt(Callback):
    def __init__(self, step: int) -> None:
        self.at = step

    def on_step_end(self, run):
        if run.step == self.at:
            raise Killed


class Noisy(Dataset):
    """Samples with noise of all three global generators."""

    def __len__(self):
        return COUNT

    def __getitem__(self, index):
        inputs, target = points()
        noise = random.gauss(0, 0.1) + np.random.normal(0, 0.1)
        return inputs[index] + noise + 0.1 * corten.randn(4), target[index]


def drawn_batches():
    inputs, target = points()
    for _ in range(6):
        chosen = corten.randint(0, COUNT, (8,))
        yield inputs[chosen], target[chosen]


def own_generator():
    generator = corten.Generator()
    generator.manual_seed(5)
    return generator


SOURCES = {
    "tensors": lambda: points(),
    "batches with a generator": lambda: Batches(*points(), batch_size=8, generator=own_generator()),
    "loader": lambda: DataLoader(TensorDataset(*points()), 8, shuffle=True),
    "loader with a generator": lambda: DataLoader(TensorDataset(*points()), 8, shuffle=True, generator=own_generator()),
    "noisy samples": lambda: DataLoader(Noisy(), 8, shuffle=True),
    "weighted sampler": lambda: DataLoader(Noisy(), 8, sampler=WeightedRandomSampler(list(range(1, 45)), COUNT)),
    "sampler with a generator": lambda: DataLoader(
        Noisy(), 8, sampler=RandomSampler(Noisy(), replacement=True, generator=own_generator())
    ),
    "function": lambda: drawn_batches,
}


def everything(source: str, folder, **options):
    """A run with all that has a state: averages, schedules, accumulation, a scaler, patience, dropout."""
    model = network()
    optimizer = adam(model)
    data = SOURCES[source]()
    common = {
        "epochs": 3,
        "batch_size": 8 if source == "tensors" else None,
        "validation": points(20),
        "metrics": {"accuracy": accuracy},
        "step_scheduler": corten.optim.lr_scheduler.ExponentialLR(optimizer, 0.99),
        "epoch_scheduler": corten.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0),
        "ema": 0.9,
        "patience": 20,
        "clip_norm": 1.0,
        "seed": 11,
        "checkpoint": folder / "checkpoint.pt",
        "checkpoint_every": 1,
        "config": {"source": source},
    }
    return model, lambda: fit(model, data, LOSS, optimizer, **{**common, **options})


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("step", [2, 6, 7, 18])
def test_a_killed_run_resumes_to_the_bit(source, step, tmp_path):
    whole, run = everything(source, tmp_path / "whole")
    expected = run()
    _, run = everything(source, tmp_path, callbacks=[KillAt(step)], checkpoint_every=1)
    with pytest.raises(Killed):
        run()
    # Whatever random numbers a new process starts with.
    corten.manual_seed(99), random.seed(99), np.random.seed(99)
    resumed, run = everything(source, tmp_path, resume=True, callbacks=[KillAt(-1)])
    history = run()
    assert_same_bits(whole, resumed)
    assert_same_bits(expected.averaged, history.averaged)
    assert history.rows == expected.rows and history.best == expected.best


@pytest.mark.parametrize(
    "options", [{"amp": corten.float16}, {"accumulate": 2}, {"accumulate": 4, "steps_per_epoch": 2}]
)
@pytest.mark.parametrize("step", [1, 3, 5])
def test_scaler_accumulation_and_epochs_of_steps_resume_to_the_bit(options, step, tmp_path):
    whole, run = everything("loader", tmp_path / "whole", **options)
    expected = run()
    _, run = everything("loader", tmp_path, callbacks=[KillAt(step + 1)], **options)
    with pytest.raises(Killed):
        run()
    resumed, run = everything("loader", tmp_path, resume=True, callbacks=[KillAt(-1)], **options)
    assert run().rows == expected.rows
    assert_same_bits(whole, resumed)


@pytest.mark.cpu  # forked workers may not touch a GPU
def test_workers_resume_to_the_bit(tmp_path):
    def loader():
        return DataLoader(Noisy(), 8, shuffle=True, num_workers=1)

    models = []
    for kill, resume in ((-1, False), (8, False), (-1, True)):
        model = network()
        options = {"checkpoint": tmp_path / f"{len(models) > 0}.pt", "checkpoint_every": 1, "seed": 2, "resume": resume}
        models.append(model)
        try:
            fit(model, loader(), LOSS, adam(model), epochs=2, callbacks=[KillAt(kill)], **options)
        except Killed:
            assert kill == 8
    assert_same_bits(models[0], models[2])


def test_a_run_that_was_cut_by_max_steps_goes_on(tmp_path):
    whole, run = everything("tensors", tmp_path / "whole")
    expected = run()
    _, run = everything("tensors", tmp_path, max_steps=8)
    assert run()["step"] == [6, 8]
    _, run = everything("tensors", tmp_path, max_steps=8, resume=True)
    assert run()["step"] == [6, 8]
    longer, run = everything("tensors", tmp_path, resume=True)
    assert run().rows == expected.rows
    assert_same_bits(whole, longer)


def test_a_finished_run_resumes_to_its_end(tmp_path):
    model, run = everything("tensors", tmp_path)
    expected = run()
    again, run = everything("tensors", tmp_path, resume=True)
    history = run()
    assert history.rows == expected.rows
    assert_same_bits(model, again)


def test_callbacks_and_other_objects_are_in_checkpoints(tmp_path):
    class Counter(Callback):
        count = 0

        def on_step_end(self, run):
            self.count += 1

        def state_dict(self):
            return {"count": self.count}

        def load_state_dict(self, state):
            self.count = state["count"]

    for resume, epochs in ((False, 1), (True, 2)):
        counter, other, model = Counter(), nn.Linear(1, 1), network()
        if not resume:
            kept = weights(other)
        options = {"checkpoint": tmp_path / "c.pt", "state": {"other": other}, "callbacks": [counter]}
        fit(model, points(), LOSS, adam(model), batch_size=8, epochs=epochs, resume=resume, **options)
    assert counter.count == 12
    np.testing.assert_array_equal(weights(other)[0], kept[0])


def test_resuming_is_refused_where_it_would_be_another_run(tmp_path):
    model = network()
    path = tmp_path / "c.pt"
    with pytest.raises(FileNotFoundError, match="to resume from"):
        fit(model, points(), LOSS, adam(model), checkpoint=path, resume=True)
    fit(model, points(), LOSS, adam(model), checkpoint=path, config={"size": 1}, resume="auto")
    with pytest.raises(ValueError, match=r"is of a run with {'size': 1}, this one has {'size': 2}"):
        fit(model, points(), LOSS, adam(model), checkpoint=path, config={"size": 2}, resume="auto")
    with pytest.raises(ValueError, match="averaged is in one of"):
        fit(model, points(), LOSS, adam(model), checkpoint=path, config={"size": 1}, resume=True, ema=0.9)
    with pytest.raises(ValueError, match="checkpoint has 1 optimizers, this run has 2"):
        fit(model, points(), LOSS, [adam(model), adam(model)], checkpoint=path, config={"size": 1}, resume=True)
    save_whole({"weights": 1}, path)
    with pytest.raises(ValueError, match=r"is no checkpoint of corten\.fit"):
        fit(model, points(), LOSS, adam(model), checkpoint=path, resume=True)


def test_a_save_that_fails_leaves_the_old_file(tmp_path):
    save_whole({"value": 1}, tmp_path / "file.pt")
    with pytest.raises((TypeError, AttributeError, corten.InternalError, Exception)):
        save_whole({"value": lambda: None}, tmp_path / "file.pt")
    assert corten.load(tmp_path / "file.pt") == {"value": 1}


INTERRUPTED = """
import sys, corten
from corten import nn
corten.manual_seed(0)
model = nn.Linear(4, 2)
optimizer = corten.optim.AdamW(model.parameters())
data = corten.randn(64, 4), corten.zeros(64, dtype=corten.int64)
class Told(corten.training.Callback):
    def on_step_end(self, run):
        print("step", flush=True)
        import time; time.sleep(0.01)
corten.fit(model, data, nn.CrossEntropyLoss(), optimizer, epochs=1000, checkpoint=sys.argv[1], callbacks=[Told()])
"""


@pytest.mark.skipif(os.name == "nt", reason="a signal for one process")
def test_ctrl_c_saves_and_raises(tmp_path):
    path = tmp_path / "c.pt"
    process = subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n" + INTERRUPTED, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    first = "".join(process.stdout.readline() for _ in range(3))
    time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors and process.returncode != 0
    step = corten.load(path)["step"]
    assert f"interrupted after step {step}" in out
    assert (first + out).count("step\n") == step
