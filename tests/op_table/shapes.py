"""Rows of views, of operators that rearrange or join tensors, of triangles and diagonals, and of padding."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .row import ALL, FLOATS, ULP, WIDE_FLOATS, Maker, Row, Sample


def moving(name: str, ref: Callable, *cases: tuple, **options: Any) -> Row:
    """An operator that moves values; each case is the operand's shape and the other arguments."""

    def samples(make: Maker) -> Iterator[Sample]:
        for shape, *args in cases:
            kwargs = args.pop() if args and isinstance(args[-1], dict) else {}
            yield Sample(make.real(*shape), *args, **kwargs)

    defaults: dict[str, Any] = dict(dtypes=ALL, tolerance=ULP, grad=2, method=True)
    return Row(name, ref, samples, **{**defaults, **options})


def view(name: str, ref: Callable, *cases: tuple, **options: Any) -> Row:
    return moving(name, ref, *cases, **{"views": True, **options})


def joining(name: str, ref: Callable, *cases: tuple, **options: Any) -> Row:
    """An operator of a list of tensors; each case is their shapes and the other arguments."""

    def samples(make: Maker) -> Iterator[Sample]:
        for shapes, *args in cases:
            yield Sample([make.real(*shape) for shape in shapes], *args)

    defaults: dict[str, Any] = dict(dtypes=ALL, tolerance=ULP, grad=2, out=True)
    return Row(name, ref, samples, **{**defaults, **options})


def splitting(name: str, ref: Callable, *cases: tuple, **options: Any) -> Row:
    return view(name, ref, *cases, **options)


def varied(ref: Callable) -> Callable:
    """Lets sizes be given one by one or as a tuple."""

    def call(x: np.ndarray, *sizes: Any, **kwargs: Any) -> np.ndarray:
        return ref(x, tuple(sizes[0]) if sizes and isinstance(sizes[0], (tuple, list)) else sizes, **kwargs)

    return call


def expand(x: np.ndarray, sizes: tuple) -> np.ndarray:
    lead = len(sizes) - x.ndim
    return np.broadcast_to(x, [x.shape[i - lead] if n == -1 else n for i, n in enumerate(sizes)])


def squeeze(x: np.ndarray, dim: Any = None) -> np.ndarray:
    if dim is None:
        return x.squeeze()
    dims = [dim] if isinstance(dim, int) else dim
    return x.squeeze(tuple(d for d in dims if x.ndim and x.shape[d] == 1))


def flatten(x: np.ndarray, start_dim: int = 0, end_dim: int = -1) -> np.ndarray:
    if x.ndim == 0:
        return x.reshape(1)
    end_dim %= x.ndim
    return x.reshape(*x.shape[:start_dim], int(np.prod(x.shape[start_dim : end_dim + 1])), *x.shape[end_dim + 1 :])


def unflatten(x: np.ndarray, dim: int, sizes: tuple) -> np.ndarray:
    dim %= x.ndim
    known = -int(np.prod(sizes))
    sizes = [x.shape[dim] // known if n == -1 else n for n in sizes]
    return x.reshape(*x.shape[:dim], *sizes, *x.shape[dim + 1 :])


def split(x: np.ndarray, size: Any, dim: int = 0) -> list[np.ndarray]:
    edges = np.cumsum(size)[:-1] if not isinstance(size, int) else range(size, x.shape[dim], size)
    return np.split(x, list(edges), dim)


def chunk(x: np.ndarray, chunks: int, dim: int = 0) -> list[np.ndarray]:
    return split(x, -(-x.shape[dim] // chunks), dim)


def tensor_split(x: np.ndarray, sections: Any, dim: int = 0) -> list[np.ndarray]:
    return np.array_split(x, sections, dim)


def unbind(x: np.ndarray, dim: int = 0) -> list[np.ndarray]:
    return list(np.moveaxis(x, dim, 0))


def select(x: np.ndarray, dim: int, index: int) -> np.ndarray:
    return np.take(x, index, dim)


def narrow(x: np.ndarray, dim: int, start: int, length: int) -> np.ndarray:
    start %= x.shape[dim]
    return np.take(x, range(start, start + length), dim)


def unfold(x: np.ndarray, dimension: int, size: int, step: int) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(x, size, dimension)
    cut: list[Any] = [slice(None)] * windows.ndim
    cut[dimension % x.ndim] = slice(None, None, step)
    return windows[tuple(cut)]


def as_strided(x: np.ndarray, size: tuple, stride: tuple, storage_offset: int = 0) -> np.ndarray:
    flat = x.reshape(-1)
    places = sum(
        (np.arange(n) * s).reshape(-1, *(1,) * (len(size) - i - 1)) for i, (n, s) in enumerate(zip(size, stride))
    )
    return flat[storage_offset + places]


def diagonal(x: np.ndarray, offset: int = 0, dim1: int = 0, dim2: int = 1) -> np.ndarray:
    return np.diagonal(x, offset, dim1, dim2)


def diag_embed(x: np.ndarray, offset: int = 0, dim1: int = -2, dim2: int = -1) -> np.ndarray:
    size = x.shape[-1] + abs(offset)
    result = np.zeros((*x.shape[:-1], size, size), x.dtype)
    i = np.arange(x.shape[-1])
    result[..., i + max(-offset, 0), i + max(offset, 0)] = x
    return np.moveaxis(result, (-2, -1), (dim1, dim2))


def repeat_interleave(x: np.ndarray, repeats: Any, dim: int | None = None) -> np.ndarray:
    return np.repeat(x, repeats, dim)


def repeat_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 4), 2)
    yield Sample(make.real(3, 4), 3, 1)
    yield Sample(make.real(3, 4), make.wrap([2, 0, 1], "int64"), dim=0)


def roll(x: np.ndarray, shifts: Any, dims: Any = None) -> np.ndarray:
    return np.roll(x, shifts, dims)


def repeat(x: np.ndarray, sizes: tuple) -> np.ndarray:
    return np.tile(x, sizes)


def meshgrid(*tensors: Any, indexing: str = "ij") -> list[np.ndarray]:
    return list(np.meshgrid(*(np.atleast_1d(t) for t in tensors), indexing=indexing))


def meshgrid_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3), make.real(4), indexing="ij")
    yield Sample(make.real(3), make.real(4), indexing="xy")
    yield Sample(make.real(3), make.real(), make.real(2), indexing="ij")


def broadcast_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 1), make.real(4))
    yield Sample(make.real(2, 1, 4), make.real(3, 1), make.real())


def two_like(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 4), make.real(3, 4))
    yield Sample(make.real(1, 12), make.real(1, 12))


def block_diag(*tensors: np.ndarray) -> np.ndarray:
    tensors = [np.atleast_2d(t) for t in tensors]
    result = np.zeros(np.sum([t.shape for t in tensors], axis=0), tensors[0].dtype)
    row = column = 0
    for t in tensors:
        result[row : row + t.shape[0], column : column + t.shape[1]] = t
        row, column = row + t.shape[0], column + t.shape[1]
    return result


def cartesian_prod(*tensors: np.ndarray) -> np.ndarray:
    return np.array(list(itertools.product(*tensors)))


def combinations(x: np.ndarray, r: int = 2) -> np.ndarray:
    return np.array(list(itertools.combinations(x, r)))


def several(*shape_lists: tuple) -> Callable[[Maker], Iterator[Sample]]:
    def samples(make: Maker) -> Iterator[Sample]:
        for shapes in shape_lists:
            yield Sample(*(make.real(*shape) for shape in shapes))

    return samples


def pad_by(x: np.ndarray, amounts: tuple, value: float = 0) -> np.ndarray:
    return pad(x, amounts, "constant", value)


def pad(x: np.ndarray, pad: tuple, mode: str = "constant", value: float | None = None) -> np.ndarray:
    """Pairs of widths from the last dimension on; negative widths cut."""
    pairs = [(pad[2 * i], pad[2 * i + 1]) for i in range(len(pad) // 2)]
    widths = [(0, 0)] * (x.ndim - len(pairs)) + pairs[::-1]
    cut = tuple(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(widths, x.shape))
    widths = [(max(a, 0), max(b, 0)) for a, b in widths]
    if mode == "constant":
        return np.pad(x[cut], widths, constant_values=value or 0)
    return np.pad(x[cut], widths, mode={"reflect": "reflect", "replicate": "edge", "circular": "wrap"}[mode])


def pixel_shuffle(x: np.ndarray, factor: int) -> np.ndarray:
    *lead, channels, height, width = x.shape
    x = x.reshape(*lead, channels // factor**2, factor, factor, height, width)
    order = (*range(len(lead)), *(len(lead) + i for i in (0, 3, 1, 4, 2)))
    return x.transpose(order).reshape(*lead, channels // factor**2, height * factor, width * factor)


def pixel_unshuffle(x: np.ndarray, factor: int) -> np.ndarray:
    *lead, channels, height, width = x.shape
    x = x.reshape(*lead, channels, height // factor, factor, width // factor, factor)
    order = (*range(len(lead)), *(len(lead) + i for i in (0, 2, 4, 1, 3)))
    return x.transpose(order).reshape(*lead, channels * factor**2, height // factor, width // factor)


def channel_shuffle(x: np.ndarray, groups: int) -> np.ndarray:
    batch, channels, *space = x.shape
    return x.reshape(batch, groups, channels // groups, *space).swapaxes(1, 2).reshape(x.shape)


def rot90(x: np.ndarray, k: int = 1, dims: tuple = (0, 1)) -> np.ndarray:
    return np.rot90(x, k, dims)


def movedim(x: np.ndarray, source: Any, destination: Any) -> np.ndarray:
    return np.moveaxis(x, source, destination)


def permute(x: np.ndarray, dims: tuple) -> np.ndarray:
    return x.transpose(dims)


def transpose(x: np.ndarray, a: int, b: int) -> np.ndarray:
    return x.swapaxes(a, b) if x.ndim else x


def attribute(name: str) -> Callable:
    return lambda module, x: getattr(x, name)


STACKED = (([(3, 4), (3, 4)],), ([(2,), (2,), (2,)],))

ROWS = [
    moving(
        "reshape",
        varied(np.reshape),
        ((3, 4), (2, 6)),
        ((3, 4), (-1,)),
        ((2, 3, 4), (4, -1)),
        ((), (1, 1)),
        ((0, 3), (3, 0)),
    ),
    view(
        "Tensor.view",
        varied(np.reshape),
        ((3, 4), 2, 6),
        ((3, 4), (-1, 3)),
        ((2, 3, 4), 6, 4),
        method=False,
        dense=True,
    ),
    moving("Tensor.reshape", varied(np.reshape), ((3, 4), 2, 6), ((3, 4), -1), method=False),
    view("permute", varied(permute), ((2, 3, 4), (2, 0, 1)), ((3, 4), (-1, 0)), ((), ())),
    view("transpose", transpose, ((2, 3, 4), 0, 2), ((3, 4), -1, 0), ((), 0, -1), aliases=("swapaxes", "swapdims")),
    view("t", np.transpose, ((3, 4),), ((5,),), ((),)),
    view("Tensor.T", np.transpose, ((3, 4),), invoke=attribute("T"), method=False),
    view("Tensor.mT", lambda x: x.swapaxes(-1, -2), ((2, 3, 4),), invoke=attribute("mT"), method=False),
    view("adjoint", lambda x: x.swapaxes(-1, -2), ((2, 3, 4),)),
    view("squeeze", squeeze, ((3, 1, 4, 1),), ((3, 1, 4, 1), 1), ((3, 1, 4, 1), 0), ((1, 3, 1), (0, 2)), ((1,),)),
    view("unsqueeze", np.expand_dims, ((3, 4), 0), ((3, 4), -1), ((3, 4), 1), ((), 0)),
    view("Tensor.expand", varied(expand), ((3, 1), 3, 4), ((3, 1), (2, -1, 4)), ((), 3), ((1,), 0), method=False),
    view("broadcast_to", expand, ((3, 1), (2, 3, 4)), ((4,), (3, 4))),
    view("flatten", flatten, ((2, 3, 4),), ((2, 3, 4), 1), ((2, 3, 4), 0, 1), ((),)),
    view("unflatten", unflatten, ((2, 12), 1, (3, 4)), ((12, 2), 0, (2, -1)), ((2, 12), -1, (-1, 2, 3))),
    view("ravel", np.ravel, ((3, 4),), ((),)),
    view("narrow", narrow, ((5, 4), 0, 1, 3), ((5, 4), 1, -2, 2), ((5, 4), 0, 5, 0)),
    view("select", select, ((5, 4), 0, 1), ((5, 4), -1, -2)),
    view("Tensor.unfold", unfold, ((9,), 0, 3, 2), ((3, 7), 1, 2, 1), ((7, 3), 0, 4, 3), method=False),
    view(
        "as_strided",
        as_strided,
        ((4, 5), (2, 3), (5, 1)),
        ((4, 5), (3, 3), (1, 2), 4),
        ((4, 5), (2, 2), (0, 1)),
        dense=True,
    ),
    view("movedim", movedim, ((2, 3, 4), 0, 2), ((2, 3, 4), (0, 1), (2, 0)), aliases=("moveaxis",)),
    view("diagonal", diagonal, ((4, 5),), ((4, 5), 1), ((4, 5), -2), ((2, 3, 4), 0, 1, 2), ((2, 3, 4), 1, -1, 0)),
    splitting("split_with_sizes", split, ((7, 3), (2, 1, 4)), ((3, 7), (3, 4), 1)),
    splitting("split", split, ((7, 3), 3), ((7, 3), (2, 1, 4)), ((3, 7), 2, 1)),
    splitting("chunk", chunk, ((7, 3), 3), ((3, 7), 4, 1), ((3, 2), 5, 0)),
    splitting("tensor_split", tensor_split, ((7, 3), 3), ((7, 3), (2, 5)), ((3, 7), 4, 1)),
    splitting("hsplit", np.hsplit, ((3, 6), 3), ((3, 7), (2, 4)), ((6,), 2)),
    splitting("vsplit", np.vsplit, ((6, 3), 3), ((7, 3), (2, 4))),
    splitting("dsplit", np.dsplit, ((2, 3, 6), 3)),
    splitting("unbind", unbind, ((3, 4),), ((3, 4), 1), ((2, 3, 4), -1)),
    view("atleast_1d", np.atleast_1d, ((),), ((3,),), method=False),
    view("atleast_2d", np.atleast_2d, ((),), ((3,),), ((3, 4),), method=False),
    view("atleast_3d", np.atleast_3d, ((),), ((3,),), ((3, 4),), method=False),
    Row("Tensor.view_as", lambda x, y: x.reshape(y.shape), two_like, dtypes=ALL, tolerance=ULP, dense=True),
    Row(
        "Tensor.expand_as",
        lambda x, y: np.broadcast_to(x, y.shape),
        several([(3, 1), (3, 4)], [(4,), (3, 4)]),
        dtypes=ALL,
        tolerance=ULP,
        views=True,
    ),
    Row("Tensor.reshape_as", lambda x, y: x.reshape(y.shape), two_like, dtypes=ALL, tolerance=ULP),
    view("detach", np.array, ((3, 4),), grad=0),
    moving("clone", np.array, ((3, 4),), ((),), ((257,),)),
    moving("Tensor.contiguous", np.array, ((3, 4),), ((2, 3, 4, 5),), method=False),
    moving("flip", np.flip, ((7,), (0,)), ((3, 4), (0, 1)), ((2, 3, 4), (-1,))),
    moving("fliplr", np.fliplr, ((3, 4),)),
    moving("flipud", np.flipud, ((3, 4),)),
    moving("roll", roll, ((7,), 2), ((3, 4), 3), ((3, 4), (1, -1), (0, 1)), ((3, 4), -2, 1)),
    moving("rot90", rot90, ((3, 4),), ((3, 4), 2), ((2, 3, 4), 3, (0, 2)), ((3, 4), 0)),
    moving("Tensor.repeat", varied(repeat), ((3,), 2), ((3, 4), 2, 3), ((3, 4), (2, 1, 2)), ((3,), 0), method=False),
    moving("tile", np.tile, ((3,), (2,)), ((3, 4), (2, 3)), ((3, 4), (2,)), ((3,), (2, 2))),
    Row("repeat_interleave", repeat_interleave, repeat_samples, dtypes=ALL, tolerance=ULP, grad=2, method=True),
    joining(
        "cat",
        np.concatenate,
        ([(3, 4), (2, 4)],),
        ([(3, 4), (3, 1), (3, 2)], 1),
        ([(2, 3), (2, 3)], -1),
        ([(0, 4), (2, 4)],),
        ([(257,), (1,)],),
        aliases=("concat", "concatenate"),
    ),
    joining("stack", np.stack, ([(3, 4), (3, 4)],), ([(3,), (3,), (3,)], 1), ([(3,), (3,)], -1), ([(), ()],)),
    joining("hstack", np.hstack, *STACKED),
    joining("vstack", np.vstack, *STACKED, aliases=("row_stack",)),
    joining("dstack", np.dstack, *STACKED),
    joining("column_stack", np.column_stack, *STACKED),
    Row("meshgrid", meshgrid, meshgrid_samples, dtypes=ALL, tolerance=ULP, grad=2),
    Row(
        "broadcast_tensors",
        lambda *xs: list(np.broadcast_arrays(*xs)),
        broadcast_samples,
        dtypes=ALL,
        tolerance=ULP,
        grad=2,
    ),
    Row("block_diag", block_diag, several([(2, 3), (1, 2)], [(2,), (3, 1)]), dtypes=ALL, tolerance=ULP, grad=2),
    Row("cartesian_prod", cartesian_prod, several([(2,), (3,)], [(2,), (1,), (3,)]), dtypes=ALL, tolerance=ULP, grad=2),
    moving("combinations", combinations, ((5,),), ((4,), 3), method=False),
    moving("tril", np.tril, ((3, 4),), ((4, 3), 1), ((2, 3, 3), -1), inplace=True, out=True),
    moving("triu", np.triu, ((3, 4),), ((4, 3), 1), ((2, 3, 3), -1), inplace=True, out=True),
    moving("diag", np.diag, ((4,),), ((4,), 1), ((3, 4),), ((4, 3), -1), out=True),
    moving("diag_embed", diag_embed, ((4,),), ((2, 3), 1), ((2, 3), 0, 0, 2)),
    moving("diagflat", np.diagflat, ((4,),), ((2, 2), 1)),
    moving("trace", np.trace, ((4, 4),), ((3, 5),), dtypes=(*WIDE_FLOATS, "int32", "int64"), result="sum"),
    moving(
        "vander",
        lambda x, N=None, increasing=False: np.vander(x, N, increasing),
        ((4,),),
        ((4,), 3, True),
        dtypes=WIDE_FLOATS,
        grad=0,
        method=False,
        tolerance={"float32": (1e-6, 1e-6), "float64": (1e-14, 1e-14)},
    ),
    moving("constant_pad_nd", pad_by, ((3, 4), (1, 2, 0, 1), 2), ((3, 4), (-1, 2)), method=False),
    moving(
        "nn.functional.pad",
        pad,
        ((5,), (1, 2)),
        ((3, 4), (1, 2)),
        ((3, 4), (1, 2, 0, 1), "constant", 2),
        ((3, 4), (-1, 2)),
        ((2, 3, 4), (0, 0, 1, 1)),
        method=False,
    ),
    moving(
        "nn.functional.pad.reflect",
        pad,
        ((2, 5), (1, 2), "reflect"),
        ((2, 3, 5, 4), (1, 2, 3, 0), "reflect"),
        ((1, 2, 3, 4, 5), (1, 1, 2, 0, 1, 2), "reflect"),
        call="nn.functional.pad",
        dtypes=FLOATS,
        method=False,
    ),
    moving(
        "nn.functional.pad.replicate",
        pad,
        ((2, 5), (1, 7), "replicate"),
        ((2, 3, 5, 4), (1, 2, 3, 0), "replicate"),
        ((1, 2, 3, 4, 5), (1, 1, 2, 0, 1, 2), "replicate"),
        call="nn.functional.pad",
        dtypes=FLOATS,
        method=False,
    ),
    moving(
        "nn.functional.pad.circular",
        pad,
        ((2, 5), (1, 2), "circular"),
        ((2, 3, 5, 4), (1, 2, 3, 0), "circular"),
        ((1, 2, 3, 4, 5), (1, 1, 2, 0, 1, 2), "circular"),
        call="nn.functional.pad",
        dtypes=FLOATS,
        method=False,
    ),
    moving("nn.functional.pixel_shuffle", pixel_shuffle, ((2, 8, 3, 2), 2), ((9, 2, 2), 3), method=False),
    moving("nn.functional.pixel_unshuffle", pixel_unshuffle, ((2, 2, 6, 4), 2), method=False),
    moving("nn.functional.channel_shuffle", channel_shuffle, ((2, 6, 3, 2), 3), dtypes=FLOATS, method=False),
]
