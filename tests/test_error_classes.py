"""Errors of what a program gets wrong are of the class that PyTorch raises."""

from __future__ import annotations

import io
import pickle

import corten as torch
import pytest


@pytest.mark.parametrize("data", [b"garbage", b"\x80", b"g" * 1000])
@pytest.mark.parametrize("weights_only", [True, False])
def test_what_is_no_checkpoint_is_an_unpickling_error(data, weights_only) -> None:
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed" if weights_only else "Load failed"):
        torch.load(io.BytesIO(data), weights_only=weights_only)
    with pytest.raises(EOFError):
        torch.load(io.BytesIO(b""), weights_only=weights_only)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: torch.full(2, 1), TypeError, "size.*must be tuple of ints"),
        (lambda: torch.randint(0, 5, 3), TypeError, "randint"),
        (lambda: torch.empty_strided(2, 1), TypeError, "size.*must be tuple of ints"),
        (lambda: torch.ones(2, 3).repeat(), TypeError, "missing required argument"),
        (lambda: torch.ones(2) + {}, TypeError, "unsupported operand|invalid combination|must be"),
        (lambda: torch.add(torch.ones(2), 1, alpha=True), RuntimeError, "Boolean alpha"),
        (lambda: torch.rsub(torch.ones(2), torch.ones(2), alpha=True), RuntimeError, "Boolean alpha"),
        (lambda: torch.tensor(None), RuntimeError, "Could not infer dtype of NoneType"),
        (lambda: torch.tensor([{1: 2}]), RuntimeError, "Could not infer dtype of dict"),
        (lambda: torch.tensor("a"), TypeError, "invalid data type 'str'"),
        (lambda: torch.arange(0, 1, 0.5, dtype=torch.int64), ValueError, "step must be nonzero"),
        (lambda: int(torch.ones(2)), ValueError, "only one element"),
        (lambda: float(torch.ones(2)), ValueError, "only one element"),
        (lambda: complex(torch.ones(0)), ValueError, "only one element"),
        (lambda: torch.ones(2).item(), RuntimeError, "cannot be converted to Scalar"),
        (lambda: torch.addcdiv(*[torch.ones(2, dtype=torch.int64)] * 3), RuntimeError, "Integer division with addcdiv"),
        (lambda: torch.sort(torch.tensor([1j])), RuntimeError, "complex"),
        (lambda: torch.topk(torch.tensor([1j]), 1), RuntimeError, "complex"),
        (lambda: torch.ones(2)["a"], TypeError, "invalid data type 'str'"),
        (lambda: torch.ones(2).set_(1), TypeError, "expected a Tensor or a Storage, got int"),
        (
            lambda: torch.special.gammainc(torch.ones(2, requires_grad=True), torch.ones(2)).sum().backward(),
            NotImplementedError,
            "derivative for 'igamma: input'",
        ),
    ],
)
def test_calls_are_refused_with_pytorchs_class(call, error, message) -> None:
    with pytest.raises(error, match=message) as told:
        call()
    assert told.type is error


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
