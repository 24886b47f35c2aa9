"""The two frames of kernels over rows: how the invocations of a row merge what they found."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from shader_text import WORKGROUP, Kernel, kernel

# The smallest subgroup that WGSL admits: right on every device.
LEAST = 4
LANES = {"tree": [1, 16, 256], "subgroups": [4, 64, 256]}


def launch_rows(k: Kernel, rows: int, lanes: int) -> None:
    k.constants(LANES=lanes)
    k.launch(-(-rows * lanes // WORKGROUP))


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
