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


def _set(*args, dtype=torch.float32, **options):
    return torch.ones(2, dtype=dtype).set_(*args, **options)


_STORED = torch.ones(4, device="cpu").untyped_storage()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: _set(None), TypeError, "expected a Tensor or a Storage, got NoneType"),
        (lambda: _set([1.0]), TypeError, "got list"),
        (lambda: _set(_STORED, 0), TypeError, "storage_offset and size are given together"),
        (lambda: _set(_STORED, size=(2,)), TypeError, "storage_offset and size are given together"),
        (lambda: _set(_STORED, 0, 2), TypeError, "size must be tuple of ints, not int"),
        (lambda: _set(_STORED, 0, (2,), 1), TypeError, "stride must be tuple of ints, not int"),
        (lambda: _set(_STORED, True, (2,)), TypeError, "storage_offset must be an int, not bool"),
        (lambda: _set(_STORED, 0.5, (2,)), TypeError, "storage_offset must be an int, not float"),
        (lambda: _set(_STORED, -1, (2,)), RuntimeError, "storage offset -1"),
        (lambda: _set(_STORED, 0, (-2,)), RuntimeError, r"size \[-2\]"),
        (lambda: _set(_STORED, 0, (2,), (-1,)), RuntimeError, r"stride \[-1\]"),
        (lambda: _set(_STORED, 0, (2, 2), (1,)), RuntimeError, r"unequal size length \(2\) and stride length \(1\)"),
        (lambda: _set(torch.ones(2).storage(), dtype=torch.float64), RuntimeError, "expected a Storage of type"),
        (lambda: torch.ones(2, requires_grad=True).set_(torch.ones(3)), RuntimeError, "leaf Variable"),
    ],
)
@pytest.mark.cpu
@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated:UserWarning")
def test_what_is_no_window_on_a_storage_is_refused(call, error, message) -> None:
    with pytest.raises(error, match=message) as told:
        call()
    assert told.type is error


@pytest.mark.cpu
def test_windows_on_a_storage_are_taken_in_every_form() -> None:
    stored = torch.arange(6.0).untyped_storage()
    assert _set(stored, 1, [2]).tolist() == [1, 2] == _set(stored, 1, (2,), ()).tolist()
    assert _set(stored, 0, torch.Size([2, 2]), (1, 2)).tolist() == [[0, 2], [1, 3]]
    assert _set(source=stored, storage_offset=5, size=(), stride=()).item() == 5
    assert _set(stored).tolist() == [0, 1, 2, 3, 4, 5] and _set().shape == (0,)


@pytest.mark.parametrize("name", ["avg", "max"])
def test_the_number_of_output_sizes_is_checked(name) -> None:
    pool = getattr(torch.nn.functional, f"adaptive_{name}_pool2d")
    for sizes in ((), (1,), (1, 2, 3)):
        with pytest.raises(RuntimeError, match="output_size must be 2 numbers"):
            pool(torch.ones(1, 2, 4, 4), sizes)
    with pytest.raises(ValueError, match="at least 4"):
        pool(torch.ones(2, 4, 4), (1, 2, 3))


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
