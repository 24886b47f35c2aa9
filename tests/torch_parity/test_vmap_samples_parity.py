"""PyTorch's own sample inputs inside corten.vmap, beside loops over the examples."""

from __future__ import annotations

import importlib
import itertools
import sys
import warnings
from pathlib import Path

import corten
import numpy as np
import pytest
import torch
from corten.utils._pytree import tree_flatten, tree_unflatten

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
operators = importlib.import_module("oracle.operators")
translate = importlib.import_module("oracle.translate")
sys.path.pop(0)

# Their results' shapes, or those of some samples, depend on the data; PyTorch's vmap refuses them as well.
DEPENDS_ON_DATA = {"argwhere", "index_put", "masked_select", "nonzero", "tensor_split", "unique", "unique_consecutive"}
# What else PyTorch's vmap refuses, or does otherwise than a loop.
APART = {
    "as_strided": "looks at the memory of an example",
    "as_strided.partial_views": "looks at the memory of an example",
    "bernoulli": "draws for each example",
    "lu_unpack": "wants pivots in one piece of memory",
    "multinomial": "draws for each example",
    "nn.functional.batch_norm": "writes a batch into running statistics without one",
    "nn.functional.embedding": "writes a batch into weights without one, with max_norm",
    "nn.functional.embedding_bag": "writes a batch into weights without one, with max_norm",
    "nn.functional.instance_norm": "writes a batch into running statistics without one",
    "nn.functional.one_hot": "looks at values for the number of classes",
    "nn.functional.rrelu": "draws for each example",
    "resize_": "changes the memory of an example",
    "to": "has formats of memory that count the batch",
}
SAMPLES = 3


def names(dtype):
    left_out = DEPENDS_ON_DATA | APART.keys()
    return [n for n in operators.entries() if dtype in operators.dtypes_of(n) and n not in left_out]


def samples_of(name, dtype):
    """Calls of tensors alone, and the tensors, for a few samples spread over all."""
    entry = operators.entries()[name]
    function = operators.function_of(entry)
    found = list(itertools.islice(entry.sample_inputs("cpu", getattr(torch, dtype), requires_grad=False), 3 * SAMPLES))
    for sample in found[:: max(1, len(found) // SAMPLES)][:SAMPLES]:
        flat, spec = tree_flatten(translate.Translator("cpu")((sample.input, sample.args, dict(sample.kwargs))))
        places = [i for i, x in enumerate(flat) if isinstance(x, corten.Tensor)]

        def call(*tensors, flat=flat, spec=spec, places=places):
            filled = list(flat)
            for place, tensor in zip(places, tensors, strict=True):
                filled[place] = tensor
            first, args, kwargs = tree_unflatten(filled, spec)
            corten.manual_seed(0)
            found = tree_flatten(function(first, *args, **kwargs))[0]
            return tuple(x for x in found if isinstance(x, corten.Tensor))

        if places:
            yield call, [flat[i] for i in places]


def varied(tensor, i):
    return tensor * (1.0, 0.75)[i] if tensor.is_floating_point() or tensor.is_complex() else tensor.clone()


def choices(count):
    yield tuple(range(count)), 0
    yield tuple(range(count)), -1
    if count > 1:
        yield from (((i,), 0) for i in range(count))


def values(tensor):
    """The values as an array, of dtypes that numpy has not as wider ones."""
    wider = {corten.bfloat16: corten.float32, corten.complex32: corten.complex64}
    return tensor.detach().to(wider.get(tensor.dtype, tensor.dtype)).numpy()


def looped(call, tensors, chosen):
    """Dtype and values of the results of every example, or nothing where one is none that the operator takes."""
    try:
        rows = [call(*[varied(t, k) if i in chosen else t.clone() for i, t in enumerate(tensors)]) for k in range(2)]
        stacked = [corten.stack(list(parts)) for parts in zip(*rows, strict=True)]
        return [(t.dtype, values(t)) for t in stacked]
    except Exception:
        return []


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "int64", "complex64"])
def test_samples_inside_vmap_give_what_a_loop_gives(dtype):
    wrong, compared = [], 0
    for name in names(dtype):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for call, tensors in samples_of(name, dtype):
                for chosen, dim in choices(len(tensors)):
                    expected = looped(call, tensors, chosen)
                    if not expected:
                        continue
                    given = [
                        corten.stack([varied(t, 0), varied(t, 1)], dim) if i in chosen else t.clone()
                        for i, t in enumerate(tensors)
                    ]
                    dims = tuple(dim if i in chosen else None for i in range(len(tensors)))
                    compared += 1
                    try:
                        found = corten.vmap(call, in_dims=dims, randomness="same")(*given)
                        for actual, (dtype_of_loop, array) in zip(found, expected, strict=True):
                            assert actual.dtype == dtype_of_loop and tuple(actual.shape) == array.shape
                            np.testing.assert_allclose(values(actual), array, rtol=1e-4, atol=1e-4)
                    except Exception as error:
                        wrong.append(f"{name} {chosen} at {dim}: {type(error).__name__}: {str(error).strip()[:100]}")
    assert compared > 500 and not wrong, "\n".join(wrong)
