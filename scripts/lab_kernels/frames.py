"""Two frames of kernels over rows, how the invocations of a row merge what they found; and what they take at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from shader_text import WORKGROUP, Kernel, float32, kernel

# The smallest subgroup that WGSL admits: right on every device.
LEAST = 4
LANES = {"tree": [1, 16, 256], "subgroups": [4, 64, 256]}
# Instead of a number of lanes: as many as keep so many pieces each.
KEEPING = {"keeping 4": 4, "keeping 8": 8}


# What an invocation takes at a time, and whether inputs are read as vectors.
PIECES = {
    "elements": ("single", False),
    "fours": ("fours", False),
    "vectors": ("fours", True),
    "columns": ("columns", True),
}


def launch_rows(k: Kernel, rows: int, lanes: int | str, across: bool = False, pieces: int = 0) -> None:
    """`pieces` are those of a row."""
    if isinstance(lanes, str):
        kept = KEEPING[lanes]
        k.constants(KEPT=kept)
        lanes = 1 << (-(-pieces // kept) - 1).bit_length()
    k.constants(LANES=lanes, ACROSS=across)
    k.launch(-(-rows * lanes // WORKGROUP))


def neighbours(a: np.ndarray, dim: int, fill: int = 77) -> np.ndarray:
    """The array in a larger memory, the elements of a dim next to each other and rows of it at multiples of four."""
    last = np.moveaxis(a, dim, -1)
    root = np.full((*last.shape[:-1], last.shape[-1] + 8), fill, a.dtype)
    inside = root[..., 4:-4]
    inside[...] = last
    return np.moveaxis(inside, -1, dim)


def read_pieces(k: Kernel, name: str, a: np.ndarray, by: str) -> None:
    """A buffer that is read as `NAME_load(at, step, count)`, a piece at a time."""
    piece, wide = PIECES[by]
    if piece != "single":
        return k.fours(name, a, wide, float32)
    k.input(name, a, float32)
    return k.function(f"{name}_load(at: u32, step: u32, count: u32) -> V", f"{name}_at(at)")


def write_pieces(k: Kernel, name: str, want: np.ndarray, by: str, tolerance: float) -> None:
    """A buffer that is written by `NAME_store(at, step, count, v)`, a piece at a time."""
    if PIECES[by][0] != "single":
        return k.stores(name, want, True, float32, tolerance)
    k.output(name, want, float32, tolerance=tolerance)
    return k.line(f"fn {name}_store(at: u32, step: u32, count: u32, v: V) {{ {name}_put(at, v); }}")


def shuffled(k: Kernel, fields: Iterable[str]) -> None:
    """What merging within subgroups needs, for accumulators of these fields or of none."""
    parts = ", ".join(f"subgroupShuffleXor(a.{name}, mask)" for name in fields)
    k.constants(LEAST=LEAST)
    k.function("shuffled(a: Acc, mask: u32) -> Acc", f"Acc({parts})" if parts else "subgroupShuffleXor(a, mask)")


def row_kernel(
    *bodies: str, name: str = "", size: int = 37, fields: Iterable[str] = (), lanes: dict = LANES, **variants: Iterable
) -> Callable:
    """Registers a kernel over rows in both frames, and for each with several numbers of invocations a row."""

    def add(fill: Callable[..., None]) -> Callable[..., None]:
        def by_subgroups(k: Kernel, size: int, lanes: int, **variant) -> None:
            shuffled(k, fields)
            fill(k, size, lanes, **variant)

        own = name or bodies[-1]
        kernel("rows/tree", *bodies, name=own, size=size, lanes=lanes["tree"], **variants)(fill)
        some = {key: list(values)[-1:] for key, values in variants.items()}
        frame = "rows/subgroups"
        kernel(frame, *bodies, name=f"{own} in subgroups", size=size, lanes=lanes["subgroups"], **some)(by_subgroups)
        return fill

    return add


def row_passes(*bodies: str, name: str, **options) -> Callable:
    """As `row_kernel`, with the passes over rows that are read twice, and those over rows that are read once."""

    def add(fill: Callable[..., None]) -> Callable[..., None]:
        row_kernel(*bodies, f"{bodies[-1]}/streamed", name=name, **options)(fill)
        if "rows/columns" not in bodies:
            keeping = {frame: list(KEEPING) for frame in LANES}
            row_kernel(*bodies, f"{bodies[-1]}/kept", name=f"{name} kept", lanes=keeping, **options)(fill)
        return fill

    return add
