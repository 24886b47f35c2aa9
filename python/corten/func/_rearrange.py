"""`rearrange`: reshapes, permutations and joins of axes in the notation of einops (Rogozhnikov 2022)."""

import math
import re

import corten

_TOKEN = re.compile(r"\s*(\(|\)|\.\.\.|[A-Za-z_]\w*|\d+)")
_DOTS = "..."


def _parse(side, pattern):
    """The side's axes: lists of names, several in a group, and the dots as they stand outside groups."""
    axes, group, position = [], None, 0
    while position < len(side.rstrip()):
        match = _TOKEN.match(side, position)
        if not match:
            raise ValueError(f"rearrange: cannot read {side[position:]!r} in {pattern!r}")
        token, position = match[1], match.end()
        if token == "(":
            if group is not None:
                raise ValueError(f"rearrange: a group within a group in {pattern!r}")
            group = []
        elif token == ")":
            if group is None:
                raise ValueError(f"rearrange: a parenthesis that nothing opens in {pattern!r}")
            axes.append(group)
            group = None
        elif group is not None:
            group.append(token)
        else:
            axes.append(_DOTS if token == _DOTS else [token])
    if group is not None:
        raise ValueError(f"rearrange: a parenthesis that nothing closes in {pattern!r}")
    names = _names(axes)
    if len(set(names)) != len(names):
        raise ValueError(f"rearrange: an axis stands twice on one side of {pattern!r}")
    if any(name.isdigit() for name in names):
        raise ValueError(f"rearrange: the only axis without a name is 1, in {pattern!r}")
    return axes


def _names(axes):
    """All names of a side, the dots being one of them."""
    return [name for axis in axes for name in ([axis] if axis == _DOTS else axis) if name != "1"]


def _expand_dots(axes, count):
    """The axes with a name for each dim that the dots stand for."""
    dots = [f"... {i}" for i in range(count)]
    expanded = []
    for axis in axes:
        if axis == _DOTS:
            expanded += [[name] for name in dots]
        else:
            expanded.append([part for name in axis for part in (dots if name == _DOTS else [name])])
    return expanded


def _sizes(axes, shape, given, pattern):
    """The size of every named axis; one axis of a group may be found from the others."""
    sizes = {}
    for axis, size in zip(axes, shape, strict=True):
        known = math.prod(given.get(name, 1) for name in axis)
        unknown = [name for name in axis if name not in given and name != "1"]
        if len(unknown) > 1:
            raise ValueError(f"rearrange: the sizes of {unknown} in {pattern!r} cannot be told apart")
        if (unknown and (known == 0 or size % known)) or (not unknown and size != known):
            raise ValueError(f"rearrange: a dim of size {size} is not {axis} in {pattern!r} with {given}")
        sizes.update({name: given[name] for name in axis if name in given})
        if unknown:
            sizes[unknown[0]] = size // known
    return sizes


def rearrange(tensor, pattern, **axes_lengths):
    """Reorders, splits and joins axes as ``"left -> right"`` says.

    ``"b (h w) c -> b c h w"`` splits an axis and moves another; dots stand for the axes that are not named, 1 for an
    axis of size 1.

    Args:
        tensor: a tensor, or several of one shape, which are stacked along a first axis.
        axes_lengths: sizes of axes that the shape does not tell.

    Raises:
        ValueError: the pattern cannot be read, the sides have other axes, or sizes do not fit.
    """
    if isinstance(tensor, (list, tuple)):
        tensor = corten.stack(list(tensor))
    sides = pattern.split("->")
    if len(sides) != 2:
        raise ValueError(f"rearrange: a pattern has two sides with '->' between them, got {pattern!r}")
    left, right = (_parse(side, pattern) for side in sides)
    named = [set(_names(side)) for side in (left, right)]
    if named[0] != named[1]:
        raise ValueError(f"rearrange: the sides of {pattern!r} differ in {sorted(named[0] ^ named[1])}")
    unused = sorted(set(axes_lengths) - named[0])
    if unused:
        raise ValueError(f"rearrange: there is no axis {unused} in {pattern!r}")
    if _DOTS not in left and _DOTS in named[0]:
        raise ValueError(f"rearrange: dots on the left of {pattern!r} stand outside groups")
    dots = tensor.dim() - len(left) + 1 if _DOTS in named[0] else 0
    left, right = _expand_dots(left, dots), _expand_dots(right, dots)
    if len(left) != tensor.dim() or dots < 0:
        raise ValueError(f"rearrange: {pattern!r} does not have the {tensor.dim()} dims of shape {list(tensor.shape)}")
    sizes = _sizes(left, tensor.shape, axes_lengths, pattern)
    order = [name for axis in left for name in axis if name != "1"]
    apart = tensor.reshape([sizes[name] for name in order])
    moved = apart.permute([order.index(name) for axis in right for name in axis if name != "1"])
    return moved.reshape([math.prod(sizes.get(name, 1) for name in axis) for axis in right])
