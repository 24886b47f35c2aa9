"""One module of module_db in one dtype: the same weights, forward, and the gradients of inputs and parameters."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import corten
import torch

from . import compare, surface, translate
from .operators import SEED, cotangents_of, describe, gradients, mapped, own_leaves, widened
from .translate import Translator

DTYPES = ("float32", "float64")
# Gradients add up over whole layers in either order: relative and absolute.
GRADIENT = {torch.float32: (1e-4, 1e-4)}
# Its numbers are random at every call in training: dtype and shape are compared.
RANDOM = ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout", "RReLU")


@functools.cache
def _database() -> dict[str, Any]:
    from torch.testing._internal.common_modules import module_db

    return {info.module_cls.__name__: info for info in module_db}


def _is_listed(info: Any) -> bool:
    return info.module_cls.__name__ in surface.namespaces()["torch.nn"]


@functools.cache
def entries() -> dict[str, Any]:
    """The modules of module_db that are listed, by name."""
    return {name: info for name, info in _database().items() if _is_listed(info)}


def left_out() -> list[str]:
    """The modules of module_db that are not listed."""
    return sorted(name for name, info in _database().items() if not _is_listed(info))


def dtypes_of(key: str) -> tuple[str, ...]:
    """The dtypes that are compared."""
    supported = {str(dtype).removeprefix("torch.") for dtype in entries()[key].dtypes}
    return tuple(name for name in DTYPES if name in supported)


def run(key: str, dtype_name: str, device: str) -> dict[str, Any]:
    """Compares all sample inputs in training and in evaluation; the first difference ends it.

    The result is that of operators.run.
    """
    info, dtype = entries()[key], getattr(torch, dtype_name)
    count = 0
    try:
        ours = translate.named(f"nn.{key}")
        for training in (True, False):
            torch.manual_seed(0)
            requires_grad = info.supports_gradgrad or bool(dtype.is_floating_point)
            samples = info.module_inputs_func(
                info, device="cpu", dtype=dtype, requires_grad=requires_grad, training=training
            )
            for sample in samples:
                if sample.forward_input is not None:
                    count += compare_sample(info.module_cls, ours, sample, training, dtype, device)
    except Exception as error:
        return {"status": "wrong", "samples": count, **describe(error)}
    return {"status": "right" if count else "none", "samples": count}


def compare_sample(theirs: Any, ours: Any, sample: Any, training: bool, dtype: torch.dtype, device: str) -> bool:
    """Compares one sample; false where PyTorch itself raises."""
    made = sample.constructor_input
    inputs = own_leaves((tuple(sample.forward_input.args), dict(sample.forward_input.kwargs)))
    translator = Translator(device)
    translated = translator(inputs)
    try:
        torch.manual_seed(SEED)
        reference = theirs(*made.args, **made.kwargs).to(dtype).train(training)
        _forward(reference, inputs, torch, theirs.__name__) if "Lazy" in theirs.__name__ else None
        state = {key: value.clone() for key, value in reference.state_dict().items()}
        expected = _forward(reference, inputs, torch, theirs.__name__)
    except Exception:
        return False
    constructor = Translator(device)
    module = ours(*constructor(made.args), **constructor(made.kwargs))
    module = module.to(translate.named(str(dtype).removeprefix("torch."))).to(device).train(training)
    module.load_state_dict({key: Translator(device)(value) for key, value in state.items()})
    actual = _forward(module, translated, corten, theirs.__name__)
    random = training and theirs.__name__ in RANDOM

    def wide() -> Any:
        return _forward(_wide(theirs, made, state, training), widened(inputs), torch, theirs.__name__)

    compare.same(actual, expected, wide=wide, shapes_only=random)
    if not random:
        _compare_states(module, reference)
        _compare_gradients((module, actual, translator), (reference, expected, inputs))
    return True


def _forward(module: Any, inputs: Any, package: Any, name: str) -> Any:
    package.manual_seed(SEED)
    args, kwargs = inputs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return module(*args, **kwargs)


def _wide(theirs: Any, made: Any, state: dict[str, torch.Tensor], training: bool) -> Any:
    module = theirs(*widened(made.args), **widened(made.kwargs)).train(training)
    module.load_state_dict(state)
    return module.double()


def _compare_states(module: Any, reference: Any) -> None:
    ours, theirs = module.state_dict(), reference.state_dict()
    if list(ours) != list(theirs):
        raise compare.Different("structure", f"state_dict has {list(ours)} instead of {list(theirs)}")
    compare.same(dict(ours), dict(theirs), tolerance=(1e-5, 1e-5), what="state after forward: ")


def _compare_gradients(actual: Any, expected: Any) -> None:
    module, ours, translator = actual
    reference, theirs, inputs = expected
    names = [name for name, p in reference.named_parameters() if p.requires_grad]
    parameters, own = dict(reference.named_parameters()), dict(module.named_parameters())
    leaves: dict[int, torch.Tensor] = {}
    mapped(lambda t: leaves.setdefault(id(t), t) if t.requires_grad else t, inputs)
    tensors = list(leaves.values())
    wanted = [*tensors, *(parameters[name] for name in names)]
    cotangents = cotangents_of(theirs)
    if not wanted or not cotangents:
        return
    found = gradients(theirs, wanted, cotangents, torch)
    if found is None:
        return
    leaves_of_ours = [*map(translator, tensors), *(own[name] for name in names)]
    mine = gradients(ours, leaves_of_ours, map(Translator(translator.device), cotangents), corten)
    pairs = [(a, b) for a, b in zip(mine, found) if b is not None and (a is not None or b.count_nonzero())]
    if any(a is None for a, _ in pairs):
        raise compare.Different("gradient", "an input or parameter has no gradient")
    for a, b in pairs:
        try:
            compare.same(a, b, tolerance=GRADIENT.get(b.dtype, (0.0, 0.0)), what="gradient: ")
        except compare.Different as error:
            raise compare.Different("gradient", str(error)) from None
