"""Every mistake raises PyTorch's class of exception, and says which operator, shapes or dtypes, and rule it was."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

import corten as m
import numpy as np
import pytest

F = m.nn.functional


@dataclass(frozen=True)
class Mistake:
    """A call that must fail; `facts` are patterns that its message must contain, in any order."""

    name: str
    call: Callable[[], object]
    error: type[Exception]
    facts: tuple[str, ...]


def provoke(mistake: Mistake) -> None:
    mistake.call()
    if m.get_default_device().type == "gpu":
        # A GPU looks at indices while it works.
        m.gpu.synchronize()


def shape(*sizes: int) -> str:
    """A shape as it may be printed: (2, 3) or [2, 3], with a trailing comma or torch.Size around it."""
    return r"[\[(]" + r",\s*".join(map(str, sizes)) + r",?[\])]"


def leaf(*sizes: int):
    return m.ones(*sizes, requires_grad=True)


def saved_then_written():
    """A value that backward needs is overwritten."""
    x = leaf(3)
    y = x.exp()
    y.add_(1)
    y.sum().backward()


def twice_backward():
    y = (leaf(3) ** 2).sum()
    y.backward()
    y.backward()


def gather_into_its_input():
    x = m.ones(3)
    m.gather(x, 0, m.tensor([2, 1, 0]), out=x)


def join_into_a_part():
    x = m.ones(4)
    m.cat([x[:2], x[2:]], out=x)


def in_place_on_view_of_leaf():
    leaf(3)[0:2].add_(1)


def expanded_write():
    m.ones(3, 1).expand(3, 4).add_(1)


def overlapping_write():
    x = m.ones(5)
    x[1:].add_(x[:-1])


def no_grad_result_backward():
    with m.no_grad():
        y = leaf(3).sum()
    y.backward()


def made_in_inference():
    with m.inference_mode():
        return m.ones(3)


def view_made_without_grad():
    x = leaf(3) * 1
    with m.no_grad():
        return x[:2]


def view_made_in_inference():
    x = leaf(3) * 1
    with m.inference_mode():
        return x[:2]


def write_of_custom_view():
    class Same(m.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.view_as(x)

        @staticmethod
        def backward(ctx, grad):
            return grad

    Same.apply(leaf(3) * 1).add_(1)


def partly_overlapping(write):
    x = m.ones(5)
    write(x[1:], x[:-1])


def history_into_sibling():
    m.ones(2, 2).unbind()[0].mul_(leaf(2))


SHAPES = [
    Mistake("add", lambda: m.ones(2, 3) + m.ones(4), RuntimeError, ("add", shape(2, 3), shape(4), "broadcast")),
    Mistake("mul", lambda: m.ones(2, 3).mul(m.ones(3, 2)), RuntimeError, ("mul", shape(2, 3), shape(3, 2))),
    Mistake("where", lambda: m.where(m.ones(2) > 0, m.ones(3), m.ones(2)), RuntimeError, ("where", shape(3), shape(2))),
    Mistake("in_place", lambda: m.ones(3).add_(m.ones(2, 3)), RuntimeError, ("add_", shape(3), shape(2, 3))),
    Mistake("matmul", lambda: m.ones(2, 3) @ m.ones(4, 5), RuntimeError, ("matmul|mm", r"2\D+3", r"4\D+5")),
    Mistake("mm_dims", lambda: m.mm(m.ones(2, 3, 4), m.ones(4, 5)), RuntimeError, ("mm", "2", "3")),
    Mistake("bmm", lambda: m.bmm(m.ones(2, 3, 4), m.ones(3, 4, 5)), RuntimeError, ("bmm|batch",)),
    Mistake("dot", lambda: m.dot(m.ones(3), m.ones(4)), RuntimeError, ("dot", "3", "4")),
    Mistake("linear", lambda: F.linear(m.ones(2, 3), m.ones(5, 4)), RuntimeError, ("linear|mat", "3", "4")),
    Mistake("view", lambda: m.ones(2, 3).view(4), RuntimeError, ("view|shape", shape(4), "6")),
    Mistake("view_strides", lambda: m.ones(2, 3).t().view(6), RuntimeError, ("view", "stride", "reshape")),
    Mistake("reshape", lambda: m.ones(2, 3).reshape(4, -1), RuntimeError, (shape(4, -1), "6")),
    Mistake("reshape_as", lambda: m.ones(4, 3).reshape_as(m.ones(4, 2)), RuntimeError, (shape(4, 2), "12")),
    Mistake("pool_dilation", lambda: F.max_pool2d(m.ones(1, 4, 4), 2, dilation=0), RuntimeError, ("pool", "dilation")),
    Mistake("number_maximum", lambda: m.maximum(m.ones(2), 1), TypeError, ("maximum", "other", "Tensor", "int")),
    Mistake("number_logical", lambda: m.logical_or(m.ones(2), 1.5), TypeError, ("logical_or", "other", "float")),
    Mistake("number_isclose", lambda: m.isclose(m.ones(2), 1), TypeError, ("isclose", "other", "int")),
    Mistake("number_dist", lambda: m.dist(1.0, m.ones(2)), TypeError, ("dist", "input", "float")),
    Mistake("gradient_dims", lambda: m.gradient(m.ones(3, 3), dim=(1, -1)), RuntimeError, ("dim 1", "multiple times")),
    Mistake(
        "embedding_weight", lambda: F.embedding(m.tensor([0]), m.ones(3)), RuntimeError, ("weight", "2-D", shape(3))
    ),
    Mistake(
        "out_dtype",
        lambda: m.gather(m.ones(2), 0, m.tensor([0]), out=m.ones(1, dtype=m.int32)),
        RuntimeError,
        ("gather", "float32", "int32"),
    ),
    Mistake(
        "out_of_linalg",
        lambda: m.linalg.vecdot(m.ones(2), m.ones(2), out=m.ones((), dtype=m.float16)),
        RuntimeError,
        ("float32", "float16"),
    ),
    Mistake(
        "out_that_repeats",
        lambda: m.add(m.ones(3), 1, out=m.zeros(1).expand(3)),
        RuntimeError,
        ("more than one element of the written-to tensor",),
    ),
    Mistake("out_is_read", gather_into_its_input, RuntimeError, ("input tensor and the written-to tensor",)),
    Mistake("out_is_joined", join_into_a_part, RuntimeError, ("input tensor and the written-to tensor",)),
    Mistake("two_unknown", lambda: m.ones(6).reshape(-1, -1), RuntimeError, ("one",)),
    Mistake("expand", lambda: m.ones(3).expand(4), RuntimeError, ("expand", "3", "4")),
    Mistake("permute", lambda: m.ones(2, 3).permute(0, 0), RuntimeError, ("permute", "dim|repeat|duplicate")),
    Mistake("permute_count", lambda: m.ones(2, 3).permute(0), RuntimeError, ("permute", "2", "1")),
    Mistake("cat", lambda: m.cat([m.ones(2, 3), m.ones(2, 4)]), RuntimeError, ("cat", "3", "4")),
    Mistake("cat_empty", lambda: m.cat([]), (RuntimeError, ValueError), ("cat", "empty")),
    Mistake("stack", lambda: m.stack([m.ones(2), m.ones(3)]), RuntimeError, ("stack", shape(2), shape(3))),
    Mistake("split", lambda: m.ones(5).split((2, 2)), RuntimeError, ("split", "5")),
    Mistake(
        "conv_channels",
        lambda: F.conv2d(m.ones(1, 3, 5, 5), m.ones(2, 4, 3, 3)),
        RuntimeError,
        ("conv", "3", "4", "channel"),
    ),
    Mistake(
        "conv_kernel", lambda: F.conv2d(m.ones(1, 1, 2, 2), m.ones(1, 1, 3, 3)), RuntimeError, ("[Kk]ernel", "2", "3")
    ),
    Mistake("conv_groups", lambda: F.conv1d(m.ones(1, 3, 5), m.ones(4, 1, 3), groups=2), RuntimeError, ("group", "2")),
    Mistake("layer_norm", lambda: F.layer_norm(m.ones(2, 3), (4,)), RuntimeError, ("norm", shape(4), shape(2, 3))),
    Mistake(
        "batch_norm_one",
        lambda: F.batch_norm(m.ones(1, 3), None, None, training=True),
        ValueError,
        ("value|more than 1",),
    ),
    Mistake(
        "scatter_dims",
        lambda: m.ones(3, 4).scatter(0, m.zeros(3, dtype=m.int64), 1.0),
        RuntimeError,
        ("scatter", "dim"),
    ),
    Mistake(
        "gather_size", lambda: m.ones(2, 3).gather(0, m.zeros(2, 5, dtype=m.int64)), RuntimeError, ("gather", "5", "3")
    ),
    Mistake("mask_shape", lambda: m.ones(3)[m.ones(4) > 0], IndexError, ("mask", shape(4), shape(3))),
    Mistake("set_shape", lambda: m.ones(3, 4).__setitem__(0, m.ones(3)), RuntimeError, (shape(3), shape(4))),
    Mistake("tensor_ragged", lambda: m.tensor([[1, 2], [3]]), ValueError, ("2", "1", "length|dim")),
    Mistake("item", lambda: m.ones(2).item(), RuntimeError, ("2", "element|[Ss]calar")),
    Mistake("bool", lambda: bool(m.ones(2)), RuntimeError, ("bool|[Bb]oolean", "ambiguous")),
    Mistake("amax_empty", lambda: m.ones(0).max(), RuntimeError, ("max", "identity|empty|numel")),
    Mistake("argmax_empty", lambda: m.ones(0).argmax(), IndexError, ("argmax",)),
    Mistake(
        "index_copy", lambda: m.ones(3).index_copy(0, m.tensor([0, 1]), m.ones(3)), IndexError, ("index_copy", "2", "3")
    ),
    Mistake(
        "masked_scatter",
        lambda: m.zeros(4).masked_scatter(m.ones(4) > 0, m.ones(2)),
        RuntimeError,
        ("masked_scatter", "4", "2"),
    ),
    Mistake("pad", lambda: F.pad(m.ones(1, 1, 3), (4, 0), mode="reflect"), RuntimeError, ("[Pp]ad", "4", "3")),
    Mistake("einsum", lambda: m.einsum("ij,jk->ik", m.ones(2, 3), m.ones(4, 5)), RuntimeError, ("einsum", "3", "4")),
    Mistake(
        "cross_entropy_batch", lambda: F.cross_entropy(m.ones(2, 3), m.tensor([0])), ValueError, ("2", "1", "batch")
    ),
    Mistake("topk", lambda: m.ones(3).topk(5), RuntimeError, ("topk|k", "range")),
    Mistake("unflatten", lambda: m.ones(6).unflatten(0, (4, 2)), RuntimeError, ("unflatten", "6", shape(4, 2))),
    Mistake("diagonal", lambda: m.ones(3, 3).diagonal(dim1=0, dim2=0), RuntimeError, ("diagonal", "dim")),
]

DTYPES = [
    Mistake(
        "in_place_cast", lambda: m.ones(2, dtype=m.int64).add_(0.5), RuntimeError, ("float|Float", "long|Long|int64")
    ),
    Mistake(
        "bool_minus", lambda: (m.ones(2) > 0) - (m.ones(2) > 0), RuntimeError, ("bool", r"logical_not|~|\^|logical_xor")
    ),
    Mistake("bool_neg", lambda: -(m.ones(2) > 0), RuntimeError, ("bool",)),
    Mistake(
        "bitwise_float",
        lambda: m.ones(2) & m.ones(2),
        (RuntimeError, NotImplementedError),
        ("bitwise_and|and", "[Ff]loat"),
    ),
    Mistake("grad_of_int", lambda: m.ones(2, dtype=m.int64).requires_grad_(), RuntimeError, ("floating",)),
    Mistake("mean_of_int", lambda: m.ones(2, dtype=m.int64).mean(), RuntimeError, ("mean", "[Ll]ong|int64")),
    Mistake(
        "matmul_dtypes",
        lambda: m.ones(2, 2) @ m.ones(2, 2, dtype=m.float16),
        RuntimeError,
        ("float|Float", "half|Half|float16"),
    ),
    Mistake("index_float", lambda: m.ones(3)[m.ones(2)], IndexError, ("long|int64",)),
    Mistake("gather_int32", lambda: m.ones(3).gather(0, m.ones(2)), RuntimeError, ("gather", "int64|long")),
    Mistake(
        "out_dtype",
        lambda: m.add(m.ones(2), m.ones(2), out=m.ones(2, dtype=m.int64)),
        RuntimeError,
        ("[Ff]loat", "[Ll]ong|int64"),
    ),
    Mistake(
        "cross_entropy_target",
        lambda: F.cross_entropy(m.ones(2, 3), m.tensor([0, 1], dtype=m.int32)),
        RuntimeError,
        ("[Ii]nt|int32",),
    ),
    Mistake(
        "conv_dtypes",
        lambda: F.conv1d(m.ones(1, 1, 4), m.ones(1, 1, 2, dtype=m.float16)),
        RuntimeError,
        ("[Ff]loat", "[Hh]alf|float16"),
    ),
    Mistake(
        "softmax_int",
        lambda: m.softmax(m.ones(2, dtype=m.int64), 0),
        (RuntimeError, NotImplementedError),
        ("softmax", "[Ll]ong|int64"),
    ),
    Mistake("int_power", lambda: m.tensor([2]) ** -1, RuntimeError, ("power|pow", "negative")),
    Mistake("int_zero_division", lambda: (m.tensor([1]) // m.tensor([0])).tolist(), RuntimeError, ("[Zz]ero",)),
    Mistake("masked_fill_mask", lambda: m.ones(2).masked_fill(m.ones(2), 1.0), RuntimeError, ("mask", "bool|Bool")),
    Mistake("bfloat16_numpy", lambda: m.ones(2, dtype=m.bfloat16).numpy(), TypeError, ("[Bb][Ff]loat16",)),
    Mistake("numpy_object", lambda: m.from_numpy(np.array(["a"])), TypeError, ("str|object|numpy",)),
    Mistake("lerp_dtypes", lambda: m.lerp(m.ones(2), m.ones(2, dtype=m.float16), 0.5), RuntimeError, ("dtype",)),
    Mistake(
        "float_power_in_place", lambda: m.ones(2).float_power_(2), RuntimeError, ("float_power_", "[Dd]ouble|float64")
    ),
]

INDICES = [
    Mistake("int", lambda: m.ones(3)[3], IndexError, ("3", "range|bounds")),
    Mistake("negative", lambda: m.ones(3)[-4], IndexError, ("-4", "3")),
    Mistake("too_many", lambda: m.ones(3)[0, 0], IndexError, ("too many", "1")),
    Mistake("zero_dim", lambda: m.ones(())[0], IndexError, ("0-dim|0-d",)),
    Mistake("negative_step", lambda: m.ones(3)[::-1], ValueError, ("step", "0|zero|positive|negative")),
    Mistake("tensor_index", lambda: m.ones(3)[m.tensor([0, 3])].tolist(), IndexError, ("3", "bounds|range")),
    Mistake(
        "tensor_pair", lambda: m.ones(3, 3)[m.tensor([0, 1]), m.tensor([0, 1, 2])], IndexError, (shape(2), shape(3))
    ),
    Mistake("select", lambda: m.ones(3).select(0, 3), IndexError, ("select", "3")),
    Mistake("narrow", lambda: m.ones(3).narrow(0, 2, 2), RuntimeError, ("2", "3")),
    Mistake("dim", lambda: m.ones(2, 3).sum(2), IndexError, ("-2, 1", "2")),
    Mistake("transpose", lambda: m.ones(2, 3).transpose(0, 2), IndexError, ("2",)),
    Mistake("unsqueeze", lambda: m.ones(2).unsqueeze(3), IndexError, ("3", "-2, 1")),
    Mistake("repeated_dim", lambda: m.ones(2, 3).sum((0, 0)), RuntimeError, ("dim", "0")),
    Mistake("gather", lambda: m.ones(3).gather(0, m.tensor([5])).tolist(), RuntimeError, ("5", "3", "0")),
    Mistake("scatter", lambda: m.ones(3).scatter(0, m.tensor([5]), 1.0).tolist(), RuntimeError, ("5", "3")),
    Mistake(
        "index_select",
        lambda: m.ones(3).index_select(0, m.tensor([7])).tolist(),
        (RuntimeError, IndexError),
        ("range|bounds",),
    ),
    Mistake("take", lambda: m.ones(3).take(m.tensor([7])).tolist(), IndexError, ("range|bounds",)),
    Mistake("embedding", lambda: F.embedding(m.tensor([9]), m.ones(3, 2)).tolist(), IndexError, ("index", "range")),
    Mistake(
        "cross_entropy", lambda: F.cross_entropy(m.ones(2, 3), m.tensor([0, 3])).item(), IndexError, ("3", "[Tt]arget")
    ),
    Mistake("nll", lambda: F.nll_loss(m.ones(2, 3), m.tensor([0, -1])).item(), IndexError, ("-1", "[Tt]arget")),
    Mistake("one_hot", lambda: F.one_hot(m.tensor([5]), 3), RuntimeError, ("class|num_classes",)),
    Mistake(
        "bce_range",
        lambda: F.binary_cross_entropy(m.tensor([1.5]), m.ones(1)).item(),
        RuntimeError,
        ("0", "1", "between"),
    ),
    Mistake("iterate_scalar", lambda: list(m.ones(())), TypeError, ("0-d",)),
    Mistake("len_scalar", lambda: len(m.ones(())), TypeError, ("0-d",)),
]

AUTOGRAD = [
    Mistake("in_place_on_leaf", lambda: leaf(3).add_(1), RuntimeError, ("leaf", "in-place")),
    Mistake("in_place_on_view_of_leaf", in_place_on_view_of_leaf, RuntimeError, ("leaf", "view", "in-place")),
    Mistake("assign_to_leaf", lambda: leaf(3).__setitem__(0, 1.0), RuntimeError, ("leaf", "in-place")),
    Mistake("saved_then_written", saved_then_written, RuntimeError, ("in-?place", "version")),
    Mistake("twice_backward", twice_backward, RuntimeError, ("second time", "retain_graph")),
    Mistake("not_a_number", lambda: (leaf(3) * 2).backward(), RuntimeError, ("scalar", "grad")),
    Mistake("no_graph", lambda: m.ones(()).backward(), RuntimeError, ("require", "grad")),
    Mistake("no_grad_result", no_grad_result_backward, RuntimeError, ("require", "grad")),
    Mistake("unused", lambda: m.autograd.grad(leaf(3).sum(), leaf(3)), RuntimeError, ("allow_unused",)),
    Mistake(
        "cotangent_shape", lambda: m.autograd.grad(leaf(3) * 2, leaf(3), m.ones(4)), RuntimeError, (shape(4), shape(3))
    ),
    Mistake("numpy_of_grad", lambda: leaf(3).numpy(), RuntimeError, ("numpy", "detach")),
    Mistake(
        "deepcopy_of_result", lambda: __import__("copy").deepcopy(leaf(3) * 2), RuntimeError, ("leaf|leaves|graph",)
    ),
    Mistake("out_with_grad", lambda: m.add(leaf(3), 1, out=m.ones(3)), RuntimeError, ("out", "autom|grad")),
    Mistake("unfreeze_result", lambda: (leaf(3) * 2).requires_grad_(False), RuntimeError, ("leaf", "detach")),
    Mistake("grad_shape", lambda: setattr(leaf(3), "grad", m.ones(4)), RuntimeError, ("grad", "size|shape")),
    Mistake("grad_type", lambda: setattr(leaf(3), "grad", 3), TypeError, ("grad|Tensor",)),
    Mistake("hook_without_grad", lambda: m.ones(3).register_hook(print), RuntimeError, ("grad",)),
    Mistake("retain_without_grad", lambda: m.ones(3).retain_grad(), RuntimeError, ("grad",)),
    Mistake("inference_tensor", lambda: made_in_inference().requires_grad_(), RuntimeError, ("inference",)),
    Mistake("inference_write", lambda: made_in_inference().add_(1), RuntimeError, ("inference", "clone")),
    Mistake("inference_write_view", lambda: made_in_inference()[1:].zero_(), RuntimeError, ("inference", "clone")),
    Mistake("inference_saved", lambda: leaf(3) * made_in_inference(), RuntimeError, ("[Ii]nference", "backward")),
    Mistake("inference_kept", lambda: leaf(1, 3) @ made_in_inference(), RuntimeError, ("[Ii]nference", "backward")),
    Mistake("inference_version", lambda: made_in_inference()._version, RuntimeError, ("version",)),
    Mistake("unbind_write", lambda: (leaf(3) * 1).unbind()[0].add_(1), RuntimeError, ("Unbind", "view", "in-?place")),
    Mistake("iterated_write", lambda: next(iter(leaf(3) * 1)).add_(1), RuntimeError, ("Unbind", "view", "in-?place")),
    Mistake("split_write", lambda: (leaf(3) * 1).split(1)[2].add_(1), RuntimeError, ("Output 2 of Split", "view")),
    Mistake("chunk_write", lambda: (leaf(3) * 1).chunk(2)[0].mul_(2), RuntimeError, ("Output 0 of Split", "view")),
    Mistake("sibling_of_sibling", lambda: (leaf(3) * 1).split(1)[0][0].add_(1), RuntimeError, ("view", "in-?place")),
    Mistake("history_into_sibling", history_into_sibling, RuntimeError, ("view", "in-?place")),
    Mistake("no_grad_view", lambda: view_made_without_grad().add_(1), RuntimeError, ("no_grad", "view")),
    Mistake("inference_view", lambda: view_made_in_inference().add_(1), RuntimeError, ("inference", "view")),
    Mistake("custom_view", write_of_custom_view, RuntimeError, ("Same", "custom Function")),
]

CALLS = [
    Mistake("expanded_write", expanded_write, RuntimeError, ("memory", "clone")),
    Mistake("overlapping_write", overlapping_write, RuntimeError, ("memory|overlap", "clone")),
    Mistake("overlapping_copy", lambda: partly_overlapping(m.Tensor.copy_), RuntimeError, ("memory", "clone")),
    Mistake(
        "overlapping_out",
        lambda: partly_overlapping(lambda a, b: m.add(b, 1, out=a)),
        RuntimeError,
        ("memory", "clone"),
    ),
    Mistake("transposed_write", lambda: (x := m.ones(3, 3)).add_(x.t()), RuntimeError, ("memory", "clone")),
    Mistake("softshrink", lambda: F.softshrink(m.ones(1), -1.0), RuntimeError, ("lambda", "-1")),
    Mistake(
        "too_large",
        lambda: m.zeros(10**13),
        RuntimeError,
        ("allocate|memory", "40000000000000|40,000,000,000,000|TiB|TB"),
    ),
    Mistake("negative_size", lambda: m.zeros(-1), RuntimeError, ("-1", "negative")),
    Mistake("as_strided", lambda: m.ones(3).as_strided((5,), (1,)), RuntimeError, ("as_strided|storage", "5")),
    Mistake("frombuffer", lambda: m.frombuffer(b"", dtype=m.float32), ValueError, ("buffer|size|length|0",)),
    Mistake("negative_strides", lambda: m.from_numpy(np.ones(3)[::-1]), ValueError, ("stride", "negative")),
    Mistake("device", lambda: m.ones(2, device="nonsense"), RuntimeError, ("nonsense", "cpu")),
    Mistake("keyword", lambda: m.sum(m.ones(2), axes=0), TypeError, ("axes",)),
    Mistake("attribute", lambda: m.ones(2).no_such_method(), AttributeError, ("no_such_method",)),
    Mistake("argument_type", lambda: m.add("a", m.ones(2)), TypeError, ("add", "str")),
    Mistake("sum_of_list", lambda: m.sum([1, 2]), TypeError, ("sum", "list")),
    Mistake("eye", lambda: m.eye(-1), RuntimeError, ("-1",)),
    Mistake("arange_step", lambda: m.arange(0, 5, 0), ValueError, ("step", "nonzero|zero")),
    Mistake("arange_sign", lambda: m.arange(0, 5, -1), RuntimeError, ("step|sign|bound",)),
    Mistake("linspace", lambda: m.linspace(0, 1, -1), RuntimeError, ("step",)),
    Mistake("randint", lambda: m.randint(5, 5, (2,)), RuntimeError, ("5",)),
    Mistake("randperm", lambda: m.randperm(-1), RuntimeError, ("-1|negative",)),
    Mistake("dropout", lambda: F.dropout(m.ones(2), 1.5), ValueError, ("1.5", "0", "1")),
    Mistake("multinomial", lambda: m.multinomial(m.tensor([0.0, 0.0]), 1), RuntimeError, ("probab|sum|zero",)),
    Mistake("bernoulli", lambda: m.bernoulli(m.tensor([1.5], device="cpu")).tolist(), RuntimeError, ("0", "1")),
    Mistake(
        "pool_padding_dilated",
        lambda: F.max_pool1d(m.ones(1, 1, 6), 1, padding=1, dilation=2),
        RuntimeError,
        ("pad", "half", "kernel"),
    ),
    Mistake(
        "conv_transpose_empty",
        lambda: F.conv_transpose1d(m.ones(1, 1, 3), m.ones(1, 1, 2), padding=2),
        RuntimeError,
        ("output size", "too small"),
    ),
    Mistake("linear_weight", lambda: F.linear(m.ones(2, 3), m.ones(2, 4, 3)), RuntimeError, ("2", "3D")),
    Mistake("inner_sizes", lambda: m.inner(m.ones(2, 3), m.ones(2, 2, 4)), RuntimeError, ("last dim",)),
    Mistake("amax_nothing", lambda: m.ones(0, 3).amax(), RuntimeError, ("amax", "dim")),
    Mistake("amax_empty_dim", lambda: m.ones(0, 3).amax(0), IndexError, ("amax", "dim 0", "non-zero")),
    Mistake("qr_vector", lambda: m.linalg.qr(m.ones(3)), RuntimeError, ("qr", "2 dim")),
    Mistake("qr_integers", lambda: m.linalg.qr(m.ones(3, 3, dtype=m.int64)), RuntimeError, ("qr", "floating", "Long")),
    Mistake("qr_half", lambda: m.linalg.qr(m.ones(3, 3).half()), NotImplementedError, ("Half",)),
    Mistake("qr_mode", lambda: m.linalg.qr(m.ones(3, 3), "full"), RuntimeError, ("full", "reduced", "complete")),
    Mistake(
        "qr_complete_gradient",
        lambda: m.linalg.qr(leaf(4, 2), "complete")[0].sum().backward(),
        RuntimeError,
        ("complete", "differentiable"),
    ),
    Mistake("qr_r_gradient", lambda: m.linalg.qr(leaf(4, 2), "r")[1].sum().backward(), RuntimeError, ("mode='r'",)),
    Mistake(
        "triangular_not_square",
        lambda: m.linalg.solve_triangular(m.ones(3, 2), m.ones(3, 2), upper=True),
        RuntimeError,
        ("square", "3", "2"),
    ),
    Mistake(
        "triangular_sizes",
        lambda: m.linalg.solve_triangular(m.ones(3, 3), m.ones(4, 2), upper=True),
        RuntimeError,
        ("AX = B", "3x3", "4x2"),
    ),
    Mistake("pool_padding", lambda: F.max_pool1d(m.ones(1, 1, 4), 2, padding=2), RuntimeError, ("pad", "half|kernel")),
    Mistake("reduction", lambda: F.mse_loss(m.ones(2), m.ones(2), reduction="median"), ValueError, ("median",)),
    Mistake(
        "pad_mode",
        lambda: F.pad(m.ones(1, 1, 3), (1, 1), mode="mirror"),
        (NotImplementedError, ValueError),
        ("mirror",),
    ),
    Mistake("rounding_mode", lambda: m.div(m.ones(2), 2, rounding_mode="up"), RuntimeError, ("up", "rounding_mode")),
    Mistake(
        "scatter_reduce",
        lambda: m.ones(3).scatter_reduce(0, m.tensor([0]), m.ones(1), "median"),
        RuntimeError,
        ("median|reduce",),
    ),
    Mistake("einsum_output", lambda: m.einsum("ij->ik", m.ones(2, 2)), RuntimeError, ("k", "output")),
    Mistake("where_condition", lambda: m.where(m.ones(2), 1.0, 2.0).tolist(), RuntimeError, ("where", "bool")),
]

CASES = [
    pytest.param(mistake, id=f"{group}-{mistake.name}")
    for group, mistakes in (
        ("shape", SHAPES),
        ("dtype", DTYPES),
        ("index", INDICES),
        ("autograd", AUTOGRAD),
        ("call", CALLS),
    )
    for mistake in mistakes
]


@pytest.mark.parametrize("mistake", CASES)
def test_class_of_the_error(mistake: Mistake) -> None:
    with pytest.raises(mistake.error):
        provoke(mistake)


@pytest.mark.parametrize("mistake", CASES)
def test_message_of_the_error(mistake: Mistake) -> None:
    with pytest.raises(mistake.error) as caught:
        provoke(mistake)
    message = str(caught.value)
    for fact in mistake.facts:
        assert re.search(fact, message), f"{fact!r} is not in: {message}"
    for word in ("panicked", "unwrap", "RUST_BACKTRACE", ".rs:"):
        assert word not in message, f"the engine's inside shows: {message}"


def test_failed_operator_leaves_its_operands_alone() -> None:
    x = m.arange(6.0).reshape(2, 3)
    with pytest.raises(RuntimeError):
        x.add_(m.ones(4))
    with pytest.raises(RuntimeError):
        m.add(x, m.ones(4), out=x)
    assert x.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert x._version == 0


@pytest.mark.cpu
def test_failed_index_write_leaves_its_operand_alone() -> None:
    x = m.zeros(4)
    with pytest.raises((RuntimeError, IndexError)):
        x[m.tensor([0, 9])] = 1.0
        x.tolist()
    assert x.tolist() == [0.0, 0.0, 0.0, 0.0]


def test_writes_that_share_memory_without_a_clash_are_allowed() -> None:
    x = m.ones(6)
    x.add_(x)
    x[::2].add_(x[1::2])
    x[:3].mul_(x[3:])
    assert x.tolist() == [8.0, 8.0, 8.0, 2.0, 4.0, 2.0]


def test_pieces_may_be_written_where_no_gradient_follows() -> None:
    x = m.zeros(4)
    for i, piece in enumerate(x.split(2)):
        piece.add_(i + 1)
    with m.no_grad():
        x.unbind()[0].mul_(5)
    assert x.tolist() == [5.0, 1.0, 2.0, 2.0]


def test_inference_tensors_take_part_in_what_saves_nothing() -> None:
    x = made_in_inference()
    y = leaf(3)
    (y + x).sum().backward()
    with m.inference_mode():
        x.add_(1)
    assert x.is_inference() and x[1:].is_inference() and not x.clone().is_inference()
    assert y.grad.tolist() == [1.0] * 3 and x.tolist() == [2.0] * 3


def test_a_dim_without_elements_has_no_index() -> None:
    nothing, at = m.zeros(0, 3), m.tensor([0])
    for read in (
        lambda: nothing.index_select(0, at),
        lambda: nothing.gather(0, m.zeros(1, 3, dtype=m.int64)),
        lambda: m.nn.functional.embedding(at, nothing),
    ):
        with pytest.raises((IndexError, RuntimeError), match=r"out of (range|bounds)"):
            read().tolist()


def test_work_goes_on_after_an_error() -> None:
    x = m.ones(3) * 2
    with pytest.raises(RuntimeError):
        x + m.ones(4)
    assert (x + 1).tolist() == [3.0, 3.0, 3.0]


def test_error_is_raised_at_the_line_of_the_mistake() -> None:
    """Shapes are checked when the operator is recorded, not when its value is read."""
    with pytest.raises(RuntimeError) as caught:
        m.ones(2, 3) + m.ones(4)
        pytest.fail("the mistake was recorded without a word")
    assert caught.traceback[-1].path.name == "test_errors.py" or caught.traceback[0].path.name == "test_errors.py"


@pytest.mark.cpu
@pytest.mark.skipif(sys.platform != "linux", reason="a limit of the address space that the system keeps")
def test_a_value_that_fails_is_the_trouble_of_those_who_read_it() -> None:
    """64 MiB fit once more: `big` takes them, so `y` fails until it is gone."""
    script = """
        import resource
        import corten as m

        def told(call):
            try:
                return call()
            except m.OutOfMemoryError as e:
                return str(e)

        # Threads and kernels take their memory before it is scarce.
        m.ones(1 << 20).flip(0).cumsum(0).sum().item()
        x, small = m.ones(1 << 24), m.arange(3.0)
        x[0].item()
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (100 << 20), resource.RLIM_INFINITY))
        big = x.flip(0)
        big[0].item()
        y = x.cumsum(0)
        z = y[1:3] + small[:2]
        unrelated = small * 2
        print(unrelated.tolist())
        print(told(z.tolist))
        print(told(m._core.flush), told(lambda: (small + 1).tolist()))
        print(told(y[0].item))
        del big
        print(told(z.tolist), told(y[-1].item))
        """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    failed = f"cumsum: out of memory: could not allocate {64 << 20} bytes on the CPU"
    wanted = ["[0.0, 2.0, 4.0]", failed, "None [1.0, 2.0, 3.0]", failed, f"[2.0, 4.0] {float(1 << 24)}"]
    assert result.stdout.splitlines() == wanted, result.stderr
