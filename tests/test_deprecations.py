"""Functions that PyTorch has replaced: they compute what they did and name what to call, or are gone and say so."""

from __future__ import annotations

import subprocess
import sys
import warnings

import corten as torch
import pytest
from corten import _settings, nn


@pytest.mark.parametrize(
    ("call", "instead"),
    [
        (lambda a: torch.cholesky(a), r"linalg\.cholesky"),
        (lambda a: a.cholesky(upper=True), r"linalg\.cholesky"),
        (lambda a: torch.lu(a), r"linalg\.lu_factor"),
        (lambda a: torch.lu_solve(a, *torch.linalg.lu_factor(a)), r"linalg\.lu_solve"),
        (lambda a: torch.triangular_solve(a, a), r"linalg\.solve_triangular"),
        (lambda a: torch.chain_matmul(a, a), r"linalg\.multi_dot"),
        (lambda a: torch.qr(a), r"linalg\.qr"),
        (lambda a: torch.cross(a, a), r"dim=\.\.\., or corten\.linalg\.cross"),
        (lambda a: a.cross(a), r"dim=\.\.\., or corten\.linalg\.cross"),
    ],
)
def test_what_was_replaced_computes_and_names_what_to_call(call, instead) -> None:
    with pytest.warns(UserWarning, match=f"deprecated in favor of .*{instead}"):
        call(torch.eye(3))


def test_what_replaces_them_warns_of_nothing() -> None:
    a = torch.eye(3)
    factors = torch.linalg.lu_factor(a)
    for got in (
        torch.linalg.cholesky(a),
        torch.linalg.lu_solve(*factors, a),
        torch.linalg.solve_triangular(a, a, upper=True),
        torch.linalg.multi_dot([a, a, a]),
        torch.linalg.qr(a)[1].abs(),
    ):
        torch.testing.assert_close(got, a)
    assert torch.cross(a, a, dim=0).abs().sum() == 0 == torch.linalg.cross(a, a).abs().sum()


@pytest.mark.parametrize("name", ["eig", "symeig", "lstsq", "solve", "matrix_rank"])
def test_what_was_removed_says_what_there_is(name) -> None:
    with pytest.raises(
        RuntimeError, match=rf"corten\.{name} was deprecated since version 1.9 and is now removed.*linalg"
    ):
        getattr(torch, name)(torch.eye(2), torch.eye(2))


def test_gradients_that_were_to_be_sparse_are_told_to_be_dense() -> None:
    for make in (nn.Embedding, nn.EmbeddingBag):
        with pytest.warns(
            UserWarning, match=rf"{make.__name__}\(sparse=True\): gradients are dense.*SparseAdam"
        ) as told:
            table = make(3, 2, sparse=True)
        assert len(told) == 1 and told[0].filename == __file__
        table(torch.tensor([[1]])).sum().backward()
        assert table.weight.grad.shape == (3, 2)


def test_what_a_program_prints_has_the_name_it_imports() -> None:
    program = """
import corten
print(corten.ones(1).untyped_storage())
corten.install_as_torch()
import torch, warnings
from torch.nn.attention import SDPBackend
print(torch.ones(1).untyped_storage())
print(torch.nn.ParameterList([torch.nn.Parameter(torch.ones(2))]))
print(SDPBackend.MATH)
with warnings.catch_warnings(record=True) as told:
    torch.cholesky(torch.eye(2))
print(told[0].message)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert "[corten.storage.UntypedStorage(device=cpu) of size 4]" in lines
    assert "[torch.storage.UntypedStorage(device=cpu) of size 4]" in lines
    assert "(0): Parameter containing: [torch.float32 of size 2]" in done.stdout
    assert "SDPBackend.MATH" in lines
    assert lines[-1].startswith("torch.cholesky is deprecated in favor of torch.linalg.cholesky")


# -- once in a process -------------------------------------------------------------------------------------------------


@pytest.fixture
def untold(monkeypatch):
    """As in a process that has warned of nothing."""
    monkeypatch.setattr(_settings, "_told", set())
    torch.set_warn_always(False)
    device = torch.get_default_device()
    yield
    torch.set_warn_always(True)
    torch.set_default_device(device)  # which set_default_tensor_type sets as well


def _with_graph(run):
    x = torch.ones(2, requires_grad=True)
    run((x * x).sum())
    x.grad = None


ONCE = {
    "storage": (lambda: torch.ones(1).storage(), "TypedStorage is deprecated"),
    "storage_type": (lambda: torch.ones(1).storage_type(), "TypedStorage is deprecated"),
    "TypedStorage": (lambda: torch.TypedStorage(3), "TypedStorage is deprecated"),
    "default type": (
        lambda: torch.set_default_tensor_type(torch.FloatTensor),
        r"corten\.set_default_tensor_type\(\) is",
    ),
    "backward": (lambda: _with_graph(lambda y: y.backward(create_graph=True)), "create a reference cycle"),
    "autograd.backward": (
        lambda: _with_graph(lambda y: torch.autograd.backward(y, create_graph=True)),
        "create a reference cycle",
    ),
}


@pytest.mark.parametrize(("call", "text"), ONCE.values(), ids=ONCE)
def test_a_warning_comes_once_and_names_the_line(untold, call, text) -> None:
    with pytest.warns(UserWarning, match=text) as told:
        call()
    assert len(told) == 1 and told[0].filename == __file__
    call()
    torch.set_warn_always(True)
    with pytest.warns(UserWarning, match=text):
        call()


def test_ways_to_one_thing_warn_together(untold) -> None:
    with pytest.warns(UserWarning, match="TypedStorage"):
        torch.ones(1).storage_type()
    torch.TypedStorage(2)
    with pytest.warns(UserWarning, match="reference cycle"):
        _with_graph(lambda y: y.backward(create_graph=True))
    _with_graph(lambda y: torch.autograd.backward(y, create_graph=True))


def test_what_keeps_no_cycle_warns_of_none(untold) -> None:
    x = torch.ones(2, requires_grad=True)
    torch.autograd.grad((x * x).sum(), x, create_graph=True)
    torch.autograd.functional.hessian(lambda a: (a**3).sum(), x, create_graph=True)
    (x * x).sum().backward()
    torch.ones(1).untyped_storage()


def test_a_warning_that_is_an_error_comes_again(untold) -> None:
    for _ in range(2):
        with warnings.catch_warnings(), pytest.raises(UserWarning, match="TypedStorage"):
            warnings.simplefilter("error")
            torch.ones(1).storage()


def test_bytes_as_masks_are_told_every_time():
    x, mask = torch.arange(3), torch.tensor([1, 0, 1], dtype=torch.uint8)
    for _ in range(2):
        with pytest.warns(UserWarning, match="dtype torch.uint8 is now deprecated"):
            assert x[mask].tolist() == [0, 2]


@pytest.mark.parametrize(
    "act",
    [
        lambda: torch.ones(2, 2, 2).T,
        lambda: torch.ones(2, dtype=torch.complex64).float(),
        lambda: torch.qr(torch.ones(2, 2)),
    ],
)
def test_old_names_are_told_once_in_a_process(untold, act):
    with pytest.warns(UserWarning):
        act()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        act()


def test_copies_of_tensors_are_told_every_time():
    for _ in range(2):
        with pytest.warns(UserWarning, match="To copy construct from a tensor"):
            assert torch.tensor(torch.ones(2)).tolist() == [1, 1]
