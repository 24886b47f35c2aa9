"""One optimizer of optim_db: the same steps from the same start, for all of its sets of options."""

from __future__ import annotations

import copy
import functools
import warnings
from typing import Any

import corten
import torch

from . import compare, surface, translate
from .operators import SEED, describe
from .translate import Translator

STEPS = 8
# Relative and absolute, of parameters after all steps. Muon rounds to bfloat16 at every step.
TOLERANCES = {"float32": (1e-4, 1e-5), "float64": (1e-7, 1e-7)}
MUON = (1.6e-2, 1e-3)
DTYPES = ("float32", "float64")


@functools.cache
def _database() -> dict[str, Any]:
    from torch.testing._internal.common_optimizers import optim_db

    return {info.optim_cls.__name__: info for info in optim_db}


@functools.cache
def entries() -> dict[str, Any]:
    """The optimizers of optim_db that are listed, by name."""
    listed = surface.namespaces()["torch.optim"]
    return {name: info for name, info in _database().items() if name in listed}


def left_out() -> list[str]:
    """The optimizers of optim_db that are not compared."""
    return sorted(set(_database()) - set(entries()))


def dtypes_of(key: str) -> tuple[str, ...]:
    """The dtypes that are compared."""
    return DTYPES


def run(key: str, dtype_name: str, device: str) -> dict[str, Any]:
    """Compares parameters and state after every set of options; the first difference ends it.

    The result is that of operators.run.
    """
    info, dtype = entries()[key], getattr(torch, dtype_name)
    count, options = 0, None
    try:
        ours = translate.named(f"optim.{key}")
        for sample in info.optim_inputs_func(device="cpu", dtype=dtype):
            options = sample.kwargs
            count += compare_options(info, ours, options, dtype, device)
    except Exception as error:
        found = describe(error)
        found["error"] += f" with {options}"
        return {"status": "wrong", "samples": count, **found}
    return {"status": "right" if count else "none", "samples": count}


def compare_options(info: Any, ours: Any, options: dict[str, Any], dtype: torch.dtype, device: str) -> bool:
    """Compares one set of options; false where PyTorch itself raises."""
    generator = torch.Generator().manual_seed(SEED)
    shapes = [(5, 3), (3, 4)] if info.optim_cls.__name__ == "Muon" else [(5, 3), (4,), (2, 3, 2)]
    start = [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]
    pulls = [[torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes] for _ in range(STEPS)]
    try:
        theirs = train(torch, info.optim_cls, start, pulls, copy.deepcopy(options))
    except Exception:
        return False
    carry = Translator(device)
    mine = train(corten, ours, carry(start), carry(pulls), carry(copy.deepcopy(options)))
    tolerance = MUON if info.optim_cls.__name__ == "Muon" else TOLERANCES[str(dtype).removeprefix("torch.")]
    compare.same(mine[0], theirs[0], tolerance=tolerance, what="parameters: ")
    if set(mine[1]) != set(theirs[1]):
        raise compare.Different("structure", f"state_dict has {sorted(mine[1])} instead of {sorted(theirs[1])}")
    for key, state in theirs[1]["state"].items():
        if set(state) != set(mine[1]["state"][key]):
            names = sorted(mine[1]["state"][key])
            raise compare.Different("structure", f"state has {names} instead of {sorted(state)}")
    for a, b in zip(mine[1]["param_groups"], theirs[1]["param_groups"], strict=True):
        if set(a) != set(b):
            raise compare.Different("structure", f"param_groups differ in {sorted(set(a) ^ set(b))}")
    return True


def leave_rows_out(package: Any, parameters: Any) -> None:
    """Every other row has no gradient: PyTorch's SparseAdam takes sparse ones alone, corten's sees the zeros."""
    for parameter in parameters:
        parameter.grad[::2] = 0
        if package is torch:
            parameter.grad = parameter.grad.to_sparse(1)


def train(package: Any, optimizer_class: Any, start: Any, pulls: Any, options: dict[str, Any]) -> Any:
    """Parameters after some steps on a polynomial that is pulled about by noise, and the optimizer's state_dict."""
    if optimizer_class.__name__ == "LBFGS":  # it converges, and a change of the noise would amplify what is rounded
        pulls = pulls[:1] * 2
    parameters = [p.clone().detach().requires_grad_() for p in start]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer = optimizer_class(parameters, **options)
        for noise in pulls:

            def closure(noise: Any = noise) -> Any:
                optimizer.zero_grad()
                loss = sum((p**4 * 0.1 + p**2 * 0.5 + p * n).sum() for p, n in zip(parameters, noise, strict=True))
                loss.backward()
                if optimizer_class.__name__ == "SparseAdam":
                    leave_rows_out(package, parameters)
                return loss

            if optimizer_class.__name__ == "LBFGS":
                optimizer.step(closure)
            else:
                closure()
                optimizer.step()
    return [p.detach() for p in parameters], optimizer.state_dict()
