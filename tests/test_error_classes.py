"""Errors of what a program gets wrong are of the class that PyTorch raises."""

from __future__ import annotations

import io
import pickle

import corten as torch
import pytest


@pytest.mark.parametrize("data", [b"garbage", b"\x80", b"g" * 1000])
@pytest.mark.parametrize("weights_only", [True, False])
def test_what_is_no_checkpoint_is_an_unpickling_error(data, weights_only) -> None:
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        torch.load(io.BytesIO(data), weights_only=weights_only)
    with pytest.raises(EOFError):
        torch.load(io.BytesIO(b""), weights_only=weights_only)


@pytest.mark.parametrize("error", [AssertionError, RuntimeError])
def test_without_a_gpu_cuda_is_refused(error, monkeypatch) -> None:
    def refuse(self, *args, **kwargs):
        raise RuntimeError("gpu:0 is not available: no GPU was found")

    x, layer = torch.ones(2), torch.nn.Linear(1, 1)
    monkeypatch.setattr(torch.Tensor, "to", refuse)
    for move in (x.cuda, layer.cuda):
        with pytest.raises(error, match="no GPU was found"):
            move()


def test_other_errors_of_cuda_stay_what_they_are(monkeypatch) -> None:
    def lose(self, *args, **kwargs):
        raise RuntimeError("gpu:0 was lost")

    monkeypatch.setattr(torch.Tensor, "to", lose)
    with pytest.raises(RuntimeError, match="was lost") as told:
        torch.ones(2).cuda()
    assert type(told.value) is RuntimeError


@pytest.mark.parametrize("error", [torch._dynamo.exc.InvalidBackend, RuntimeError, NotImplementedError])
def test_a_backend_that_is_not_there_is_invalid(error) -> None:
    with pytest.raises(error, match="no backend 'foo'"):
        torch.compile(lambda x: x, backend="foo")


def test_what_cannot_be_recorded_whole_is_unsupported() -> None:
    recorded = torch.compile(lambda x: x.item() + 1, fullgraph=True)
    with pytest.raises(torch._dynamo.exc.Unsupported, match="fullgraph=True"):
        recorded(torch.ones(1))
