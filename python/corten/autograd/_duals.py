"""Dual numbers behind `forward_ad`: a tensor and its tangent, and what each operator does to both.

``Dual`` is a tensor that shares the primal's memory. Operators that get one hand it to :func:`dispatch`:

* Operators that are linear in their first argument, views above all, are applied to the tangent as they are. So
  tangents of views are views of tangents, and writing to one writes to the other.
* Any other operator runs once, on copies of the primals with a history that begins at it. Its vector-Jacobian product
  is linear in the vector, so that product's own gradient for the vector is how the results move. One rule serves
  every operator that has a gradient. The history is dropped at once unless a gradient is recorded outside, and what
  of it nobody reads is never computed.
* An operator that writes to a dual number runs as the one that does not, and primal and tangent are overwritten.
  A plain tensor becomes a dual number where one is written into it, and so do the tensor that it views and, when they
  are used next, all views of that (`_writes.py`).

A gradient's tangent is the gradient of the tangent: derivatives commute. So a backward pass inside a level runs twice,
from the roots and from their tangents.
"""

import threading

import corten

from .. import _core
from .graph import without_saved_hooks
from .modes import enable_grad

Tensor, ops = _core.Tensor, _core.ops


class Level:
    """A dual level while it is open: the tangents, by dual number. When it closes they are let go."""

    def __init__(self):
        from ._writes import Written

        self.tangents = {}
        # Their primals' ids: those are plain tensors to whoever asks for them.
        self.primals = set()
        self.alive = True
        self.written = Written(self)

    def close(self):
        """From now on its dual numbers are plain tensors."""
        self.alive = False
        self.written.close()
        self.tangents.clear()


class State(threading.local):
    """The open level of this thread, and whether operators move tangents."""

    level = None
    enabled = True


state = State()


class _Key:
    """Lets go of a tangent with the dual number that it belongs to."""

    def __init__(self, level, primal):
        self.level, self.primal = level, id(primal)
        level.primals.add(self.primal)

    def __del__(self):
        self.level.tangents.pop(id(self), None)
        self.level.primals.discard(self.primal)


class Dual(corten.Tensor, decomposes=True):  # type: ignore[call-arg]
    """A primal and its tangent; see the module. After the level it is the primal."""

    primal: corten.Tensor

    @classmethod
    def _of(cls, primal, tangent, level):
        made = Tensor._make_subclass(cls, primal)
        made._attach(primal, laid_out(tangent, primal), level)
        return made

    def _attach(self, primal, tangent, level):
        self.primal, self.key = primal, _Key(level, primal)
        level.tangents[id(self.key)] = tangent

    @property
    def tangent(self):
        """How the primal moves; None after the level."""
        return self.key.level.tangents.get(id(self.key))

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return dispatch(func, args, kwargs or {})

    @staticmethod
    def _apply_function(function, args, kwargs):
        return apply_function(function, args, kwargs)

    @staticmethod
    def _call_operator(op, args, by_name):
        kept = [d for d in duals_of((args, by_name)) if d.tangent is not None]
        if not kept or not state.enabled:
            return op.call(without(args), without(by_name))
        return moved(lambda *a, **k: op.call(a, k), args, by_name, kept)

    def __repr__(self, *, tensor_contents=None):
        shown = repr(self.primal)
        tangent = self.tangent
        return shown if tangent is None else f"{shown[:-1]}, tangent={tangent!r})"

    def __str__(self, **options):
        return repr(self)

    __hash__ = Tensor.__hash__

    # -- the history is the primal's ----------------------------------------------------------------------------------

    @property
    def requires_grad(self):
        return self.primal.requires_grad

    @requires_grad.setter
    def requires_grad(self, on):
        self.primal.requires_grad_(on)

    def requires_grad_(self, requires_grad=True):
        self.primal.requires_grad_(requires_grad)
        return self

    def retain_grad(self):
        self.primal.retain_grad()

    def register_hook(self, hook):
        return self.primal.register_hook(hook)

    is_leaf = property(lambda self: self.primal.is_leaf)
    retains_grad = property(lambda self: self.primal.retains_grad)
    grad_fn = property(lambda self: self.primal.grad_fn)
    output_nr = property(lambda self: self.primal.output_nr)
    _version = property(lambda self: self.primal._version)
    grad = property(lambda self: self.primal.grad)

    # -- what is no operator of the engine ----------------------------------------------------------------------------

    def detach(self):
        return self.primal.detach()

    data = property(lambda self: self.primal.data)
    T = property(lambda self: self.permute(tuple(reversed(range(self.dim())))))
    mT = property(lambda self: self.transpose(-2, -1))

    def positive(self):
        return self.view_as(self)

    __pos__ = positive

    def __deepcopy__(self, memo):
        return self.clone()

    _saved_as = property(lambda self: self.primal)

    def __reduce_ex__(self, protocol):
        return self.primal.__reduce_ex__(protocol)

    def __format__(self, spec):
        return format(self.primal, spec)

    def __copy__(self):
        return self.view_as(self)

    def _snapshot(self):
        tangent = self.tangent
        copied = None if tangent is None else tangent._snapshot()
        return with_tangent(self.primal._snapshot(), copied, self.key.level)

    def _replace(self, value, name):
        self.primal._replace(without(value), name)
        overwrite(self, value)
        return self

    def _refuse(self, *args, **kwargs):
        raise RuntimeError(
            "a dual number's shape, memory or history cannot be changed in place: use the operator without underscore"
        )

    squeeze_ = unsqueeze_ = t_ = transpose_ = swapaxes_ = swapdims_ = as_strided_ = _refuse
    resize_ = resize_as_ = set_ = detach_ = _set_alias = _become = apply_ = map_ = map2_ = _refuse


def with_tangent(primal, tangent, level):
    """A dual number of a level, or the primal where there is no tangent or the level has closed."""
    return primal if tangent is None or not level.alive else Dual._of(primal, tangent, level)


def laid_out(tangent, primal):
    """The tangent with the primal's dtype and strides, so that whatever views the one views the other."""
    if tangent.dtype != primal.dtype or tangent.device != primal.device:
        tangent = tangent.to(device=primal.device, dtype=primal.dtype)
    if tangent.stride() == primal.stride() or tangent.numel() < 2:
        return tangent
    return ops.empty_like(primal).copy_(tangent)


def moves_along(tensor):
    """Whether a tensor is of a dtype that can have a tangent."""
    return tensor.is_floating_point() or tensor.is_complex()


def duals_of(value):
    """The dual numbers in arguments, each once."""
    found, seen = [], set()
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, Dual):
            if id(item) not in seen:
                seen.add(id(item))
                found.append(item)
        elif isinstance(item, (tuple, list)):
            stack.extend(reversed(item))
        elif isinstance(item, dict):
            stack.extend(reversed(item.values()))
        elif isinstance(item, slice):
            stack.extend((item.step, item.stop, item.start))
    return found


def replaced(value, change):
    """Arguments with another thing in the place of every dual number."""
    if isinstance(value, Dual):
        return change(value)
    if isinstance(value, (tuple, list)):
        parts = [replaced(part, change) for part in value]
        return type(value)(*parts) if hasattr(value, "_make") else type(value)(parts)
    if isinstance(value, dict):
        return {name: replaced(part, change) for name, part in value.items()}
    if isinstance(value, slice):
        return slice(*(replaced(part, change) for part in (value.start, value.stop, value.step)))
    return value


def without(value):
    """Arguments with the primals in the place of dual numbers."""
    return replaced(value, lambda dual: dual.primal)


# -- operators --------------------------------------------------------------------------------------------------------

# Linear in the first argument and in no other: applied to the tangent as they are.
_LINEAR_NAMES = """
    view view_as reshape reshape_as permute transpose t movedim moveaxis swapaxes swapdims squeeze unsqueeze expand
    expand_as select narrow diagonal unfold flatten unflatten ravel split chunk unbind tensor_split hsplit vsplit dsplit
    split_with_sizes contiguous clone to float double half bfloat16 cpu cuda type alias as_strided adjoint neg negative
    sum flip fliplr flipud roll tril triu cumsum rot90 repeat tile trace diag diag_embed index_select gather
    take_along_dim masked_select repeat_interleave broadcast_to __getitem__
"""
# Writes that forget what was there, and put nothing with a tangent in its place.
_FORGETTING_NAMES = """
    zero_ uniform_ normal_ bernoulli_ exponential_ geometric_ cauchy_ log_normal_ random_ trunc_normal_
"""
_LINEAR, _FORGETS = frozenset(_LINEAR_NAMES.split()), frozenset(_FORGETTING_NAMES.split())


def dispatch(func, args, kwargs):
    """The result of an operator that got dual numbers."""
    name = getattr(func, "__name__", str(func))
    duals = [d for d in duals_of((args, kwargs)) if d.tangent is not None]
    if not duals or not state.enabled:
        return func(*without(args), **without(kwargs))
    if kwargs.get("out") is not None:
        # Functions written in other operators hand their result to one that is nobody's name.
        told = "a function" if name.startswith("_") else f"{name}_out"
        raise NotImplementedError(
            f"Trying to use forward AD with {told} that does not support it because it is an out= function"
        )
    if name == "__setitem__" or (name.endswith("_") and not name.endswith("__")):
        return _write(func, name, args, kwargs, duals[0].key.level)
    alone = isinstance(args[0], Dual) if args else False
    if alone and name in _LINEAR and len(duals) == 1 and args[0] is duals[0]:
        return _linear(func, args, kwargs)
    if name in ("view_as", "expand_as", "reshape_as"):
        return _linear(func, (args[0], *without(args[1:])), without(kwargs)) if alone else func(*without(args))
    return moved(func, args, kwargs, duals)


def _linear(func, args, kwargs):
    dual = args[0]
    result = func(dual.primal, *args[1:], **kwargs)
    parts = result if isinstance(result, (tuple, list)) else (result,)
    if not all(moves_along(part) for part in parts):
        return result
    moves = func(dual.tangent, *args[1:], **kwargs)
    return _joined(result, moves, dual.key.level)


def _joined(result, moves, level):
    if isinstance(result, Tensor):
        return with_tangent(result, moves, level)
    parts = [with_tangent(r, m, level) for r, m in zip(result, moves, strict=True)]
    return type(result)(parts)


def _check_writable(target):
    if target.is_leaf and target.requires_grad and _core.is_grad_enabled():
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")


def _write(func, name, args, kwargs, level):
    target, rest = args[0], args[1:]
    if not isinstance(target, Dual):
        if not moves_along(target):
            return func(*without(args), **without(kwargs))
        _check_writable(target)
    if not isinstance(target, Dual) or target.tangent is None:
        level.written.begin(target)
    if name in ("copy_", "__setitem__", "fill_"):
        func(target.primal, *without(rest), **without(kwargs))
        _write_tangent(func, name, target.tangent, rest, kwargs)
    elif name in _FORGETS:
        func(target.primal, *without(rest), **without(kwargs))
        target.tangent.zero_()
    else:
        functional = getattr(ops if type(func).__name__ == "builtin_function_or_method" else Tensor, name[:-1], None)
        functional = functional or getattr(Tensor, name[:-1], None) or getattr(ops, name[:-1], None)
        if functional is None:
            raise NotImplementedError(f"{name}(): there is no rule for dual numbers")
        return target._replace(functional(target._snapshot(), *rest, **kwargs), name[:-1])
    return None if name == "__setitem__" else target


def _write_tangent(func, name, tangent, rest, kwargs):
    """The write of a value, done to the tangent with the value's tangent, which is zero of a plain one."""
    *places, value = rest if rest else (kwargs["src" if name == "copy_" else "value"],)
    given = value.tangent if isinstance(value, Dual) else None
    if given is None:
        given = ops.zeros_like(value) if isinstance(value, Tensor) else 0
    func(tangent, *without(tuple(places)), given)


def overwrite(target, value):
    """Puts a value's tangent in the place of a dual number's, zeros where it has none."""
    tangent = value.tangent if isinstance(value, Dual) else None
    if target.tangent is None:
        return
    if tangent is None:
        target.tangent.zero_()
    else:
        target.tangent.copy_(tangent)


def _needs_history(duals, args, kwargs):
    """Whether somebody outside may take gradients of results, and of tangents."""
    if not _core.is_grad_enabled():
        return False, False
    plain, stack = False, [without(args), without(kwargs)]
    while stack and not plain:
        item = stack.pop()
        if isinstance(item, Tensor):
            plain = item.requires_grad
        elif isinstance(item, (tuple, list)):
            stack.extend(item)
        elif isinstance(item, dict):
            stack.extend(item.values())
    return plain, plain or any(d.tangent.requires_grad for d in duals)


def moved(func, args, kwargs, duals):
    """The result of an operator and how it moves, by the gradient of its vector-Jacobian product."""
    keep, keep_moves = _needs_history(duals, args, kwargs)
    level = duals[0].key.level
    # What the operator saves is read at once: hooks that keep something else in its place have no part in it.
    with enable_grad(), without_saved_hooks():
        starts = {id(d): _start(d, keep) for d in duals}

        def begun(dual):
            return starts.get(id(dual), dual.primal)

        result = func(*replaced(args, begun), **replaced(kwargs, begun))
        parts = [result] if isinstance(result, Tensor) else list(result) if isinstance(result, (tuple, list)) else []
        moves = _push(parts, list(starts.values()), [d.tangent for d in duals], keep_moves)
    if not parts:
        return result
    if not keep:
        parts = [p.detach() if isinstance(p, Tensor) else p for p in parts]
    joined = [p if m is None else with_tangent(p, m, level) for p, m in zip(parts, moves, strict=True)]
    return joined[0] if isinstance(result, Tensor) else type(result)(joined)


def _start(dual, keep):
    """A primal with a history that begins here, and goes on outside where it is kept."""
    if keep and dual.primal.requires_grad:
        return dual.primal.view_as(dual.primal)
    return dual.primal.detach().requires_grad_()


def _push(parts, starts, tangents, record):
    """For each result how it moves along the tangents; None for those that have no history."""
    from . import grad

    ends = [p for p in parts if isinstance(p, Tensor) and p.requires_grad]
    if not ends:
        return [None] * len(parts)
    vectors = [ops.zeros_like(p.detach()).requires_grad_() for p in ends]
    found = grad(ends, starts, vectors, create_graph=True, allow_unused=True)
    pairs = [(g, t) for g, t in zip(found, tangents, strict=True) if g is not None and g.requires_grad]
    if pairs:
        products, moves = zip(*pairs, strict=True)
        pushed = grad(products, vectors, moves, create_graph=record, allow_unused=True)
    else:
        pushed = [None] * len(vectors)
    by_end = {id(e): ops.zeros_like(e.detach()) if m is None else m for e, m in zip(ends, pushed, strict=True)}
    # A result that depends on none of the dual numbers has a history of others' alone.
    return [by_end.get(id(p)) for p in parts]


# -- functions with gradients of their own ----------------------------------------------------------------------------


def apply_function(function, args, kwargs):
    """`Function.apply` on dual numbers: its ``jvp``, or where it has none its ``backward`` differentiated."""
    from .function import Function

    duals = [d for d in duals_of((args, kwargs)) if d.tangent is not None]
    if not duals or not state.enabled:
        return function.apply(*without(args), **without(kwargs))
    if function.jvp is Function.jvp:
        return moved(lambda *a, **k: function.apply(*a, **k), args, kwargs, duals)
    context, outputs = function._applied(without(args), without(kwargs))
    inputs = (*args, *kwargs.values())
    tangents = [x.tangent if isinstance(x, Dual) else None for x in inputs]
    context._for_jvp, context._to_jvp = context._to_jvp, None
    try:
        moves = function.jvp(context, *tangents)
    finally:
        context._for_jvp = None
    single = not isinstance(outputs, tuple)
    outputs = (outputs,) if single else outputs
    moves = moves if isinstance(moves, tuple) else (moves,)
    if len(moves) != len(outputs):
        raise RuntimeError(
            f"{function.__name__}.jvp returned {len(moves)} tangent(s) for {len(outputs)} result(s); return None for "
            "those without one"
        )
    level = duals[0].key.level
    pairs = zip(outputs, moves, strict=True)
    joined = tuple(_checked(function, level, o, m) for o, m in pairs)
    return joined[0] if single else joined


def _checked(function, level, output, move):
    if move is None or not isinstance(output, Tensor):
        return output
    if move.shape != output.shape:
        raise RuntimeError(
            f"{function.__name__}.jvp returned a tangent of shape {list(move.shape)} for a result of shape "
            f"{list(output.shape)}"
        )
    return with_tangent(output, move, level)


# -- backward passes --------------------------------------------------------------------------------------------------


def run_backward(roots, seeds, retain_graph, create_graph, inputs, as_results):
    """A backward pass from dual numbers: gradients with their tangents, which are the gradients of the tangents."""
    level = state.level
    plain_inputs = None if inputs is None else without(list(inputs))
    moving = [x for x in (*roots, *seeds) if isinstance(x, Dual) and x.tangent is not None]
    values = [without(r) for r in roots]
    starts = [without(s) for s in seeds]
    if not moving or not state.enabled:
        return _core.run_backward(values, starts, retain_graph, create_graph, plain_inputs, as_results)
    if not as_results:
        raise NotImplementedError(
            "backward() from a dual number: .grad keeps no tangents; use corten.autograd.grad, whose results have "
            "them, or call backward() on unpack_dual(tensor).primal"
        )
    found = _core.run_backward(values, starts, True, create_graph, plain_inputs, True)
    second, second_seeds = [], []
    for root, value, seed, start in zip(roots, values, seeds, starts, strict=True):
        if isinstance(root, Dual) and root.tangent is not None and root.tangent.requires_grad:
            second.append(root.tangent)
            second_seeds.append(ops.ones_like(value) if start is None else start)
        if isinstance(seed, Dual) and seed.tangent is not None:
            second.append(value)
            second_seeds.append(seed.tangent)
    if not second:
        return found
    moves = _core.run_backward(second, second_seeds, retain_graph, create_graph, plain_inputs, True)
    return tuple(
        g if g is None else with_tangent(g, ops.zeros_like(g) if m is None else m, level)
        for g, m in zip(found, moves, strict=True)
    )
