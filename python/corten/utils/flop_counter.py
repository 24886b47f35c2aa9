"""Counts of the floating-point operations of products, convolutions and attention, by module and operator.

The operators are counted as they are called, and once more for each gradient that a backward pass takes through them.
`corten.profiler` counts those of every kernel instead.
"""

import math
import weakref

import corten

from .._library.aten import overload_of, packet
from ..overrides import TorchFunctionMode

__all__ = ["FlopCounterMode", "register_flop_formula"]

_SUFFIXES = ("", "K", "M", "B", "T")
# Formulas by operator, of `register_flop_formula`.
flop_registry: dict = {}


def register_flop_formula(targets, get_raw=False):
    """Decorates the formula of operators that are not counted otherwise, or are counted differently.

    Args:
        targets: operators of ``corten.ops.aten`` such as ``corten.ops.aten.mul``, functions, or a list of them.
        get_raw: the formula gets the arguments themselves and ``out_val``, not shapes and ``out_shape``.

    >>> @register_flop_formula(corten.ops.aten.mv)
    ... def mv_flop(matrix, vector, *, out_shape=None, **kwargs):
    ...     return 2 * math.prod(matrix)
    """

    def register(formula):
        formula._get_raw = get_raw
        for target in targets if isinstance(targets, (list, tuple)) else [targets]:
            flop_registry[target] = formula
        return formula

    return register


class FlopCounterMode(TorchFunctionMode):
    """Counts, inside the block, what matrix products, convolutions and attention compute.

    A multiplication and an addition are two operations, as in PyTorch. Products of vectors, recurrent layers and all
    other operators count as none. Attention is counted on every device, and a gradient for the weight of a grouped
    convolution with its groups, both of which PyTorch does otherwise.

    Args:
        mods: accepted; modules are found as they are called.
        depth: how deep the table goes into modules.
        display: print the table at the end of the block.
        custom_mapping: further formulas by operator, as `register_flop_formula` takes them.

    >>> with FlopCounterMode(display=False) as counter:
    ...     model(x).sum().backward()
    >>> counter.get_total_flops()
    """

    def __init__(self, mods=None, depth=2, display=True, custom_mapping=None):
        self.depth, self.display = depth, display
        self.flop_counts: dict = {}
        self._formulas = {**flop_registry, **(custom_mapping or {})}
        self._names: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
        self._stack: list = []
        self._handles: list = []

    def __enter__(self):
        from ..nn.modules import module as hooks

        self.flop_counts = {"Global": {}}
        self._handles = [
            hooks.register_module_forward_pre_hook(self._enter_module),
            hooks.register_module_forward_hook(self._leave_module, always_call=True),
        ]
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._stack = []
        if self.display:
            print(self.get_table(self.depth))

    def _enter_module(self, module, inputs):
        if module not in self._names:
            top = type(module).__name__
            for name, child in module.named_modules():
                self._names[child] = f"{top}.{name}" if name else top
        self._stack.append(self._names[module])

    def _leave_module(self, module, inputs, output):
        if self._stack:
            self._stack.pop()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if not isinstance(out, corten.Tensor):
            return out
        formula, operator = self._formula(func, args, kwargs)
        if formula is not None:
            self._add(operator, _evaluated(formula, args, kwargs, out), tuple(self._stack))
            return out
        found = _count(func, args, kwargs, out)
        if found is None:
            return out
        operator, flops, backward, operands, share = found
        modules = tuple(self._stack)
        self._add(operator, flops, modules)
        needed = sum(isinstance(x, corten.Tensor) and x.requires_grad for x in operands)
        if needed and out.requires_grad:
            out.register_hook(lambda grad: self._add(backward, int(needed * share * flops), modules))
        return out

    def _formula(self, func, args, kwargs):
        """A formula given by the program, and the operator under which it counts."""
        if not self._formulas:
            return None, None
        if func in self._formulas:
            return self._formulas[func], func
        operator = packet(overload_of(func, args, kwargs)._name)
        return self._formulas.get(operator), operator

    def _add(self, operator, flops, modules):
        if not self._handles:
            return  # a backward pass after the block
        for name in dict.fromkeys(("Global", *modules)):
            counts = self.flop_counts.setdefault(name, {})
            counts[operator] = counts.get(operator, 0) + flops

    def get_total_flops(self):
        """The operations of all."""
        return sum(self.flop_counts.get("Global", {}).values())

    def get_flop_counts(self):
        """Operations by module, ``"Global"`` for all, and by operator of ``corten.ops.aten``."""
        return {name: dict(counts) for name, counts in self.flop_counts.items()}

    def get_table(self, depth=None):
        """The counts as text: modules down to ``depth``, each with its operators and its share."""
        depth = self.depth if depth is None else depth
        total = self.get_total_flops()
        rows = []
        names = sorted(name for name in self.flop_counts if name != "Global" and name.count(".") < depth)
        roots = sum(sum(self.flop_counts[name].values()) for name in names if "." not in name)
        for name in (["Global"] if roots < total or not names else []) + names:
            counts = self.flop_counts[name]
            if sum(counts.values()) or name == "Global":
                indent = " " * (name.count(".") + (roots < total and name != "Global"))
                rows.append(_row(indent + name, sum(counts.values()), total))
                rows += [_row(f"{indent} - {operator}", flops, total) for operator, flops in counts.items()]
        return _aligned(("Module", "FLOP", "% Total"), rows)


def _evaluated(formula, args, kwargs, out):
    """What a program's formula says of one call."""
    if getattr(formula, "_get_raw", False):
        return formula(*args, **kwargs, out_val=out)
    from ._pytree import tree_map

    def shape(value):
        return value.shape if isinstance(value, corten.Tensor) else value

    args, kwargs = tree_map(shape, (args, kwargs))
    return formula(*args, **kwargs, out_shape=out.shape)


_PRODUCTS = {"mm": "mm", "matmul": "mm", "__matmul__": "mm", "linear": "mm", "addmm": "mm", "addmm_": "mm"}
_PRODUCTS |= {"bmm": "bmm", "baddbmm": "bmm", "baddbmm_": "bmm"}


def _count(func, args, kwargs, out):
    """Of a call: operator, operations, operator of its gradients, operands, and operations of an operand's gradient as
    a share of the call's. None for an operator that counts as none.
    """
    name = getattr(func, "__name__", "")
    if name in _PRODUCTS:
        return _count_product(name, func, args, kwargs, out)
    if name.startswith("conv") and name[-1] == "d":
        x, weight = (args[i] if len(args) > i else kwargs[key] for i, key in enumerate(("input", "weight")))
        positions = x.numel() if "transpose" in name else out.numel()
        flops = 2 * positions * math.prod(weight.shape[1:])
        aten = corten.ops.aten
        return aten.convolution, flops, _named("convolution_backward"), (x, weight), 1
    if name == "scaled_dot_product_attention":
        q, k, v = (args[i] if len(args) > i else kwargs[key] for i, key in enumerate(("query", "key", "value")))
        scores = math.prod(out.shape[:-1]) * k.shape[-2]
        operator = overload_of(func, (q, k, v), {})._name
        # Three gradients take five products: the scores once more, and two for each of the forward pass's.
        flops = 2 * scores * (q.shape[-1] + v.shape[-1])
        return _named(operator), flops, _named(f"{operator}_backward"), (q, k, v), 2.5 / 3
    return None


def _count_product(name, func, args, kwargs, out):
    given = [*args, *kwargs.values()]
    first = 1 if name.startswith(("addmm", "baddbmm")) else 0
    a, b = given[first : first + 2]
    seen = overload_of(func, args, kwargs)._name.rstrip("_")
    if seen not in ("mm", "bmm", "addmm", "baddbmm"):
        return None
    flops = 2 * out.numel() * a.shape[-1]
    return _named(seen), flops, _named("bmm" if seen in ("bmm", "baddbmm") else "mm"), (a, b), 1


def _named(name):
    from .._library.aten import AtenPacket, _packets

    return packet(name) or _packets.setdefault(name, AtenPacket(name))


def _row(name, flops, total):
    power = max(0, min(len(_SUFFIXES) - 1, (len(str(total)) - 2) // 3))
    shown = str(flops) if power == 0 else f"{flops / 1000**power:.3f}{_SUFFIXES[power]}"
    return name, shown, f"{flops / total:.2%}" if total else "0.00%"


def _aligned(head, rows):
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(3)]
    lines = [head, tuple("-" * width for width in widths), *rows]
    a, b, c = widths
    return "\n".join(f"{x:<{a}}  {y:>{b}}  {z:>{c}}".rstrip() for x, y, z in lines)
