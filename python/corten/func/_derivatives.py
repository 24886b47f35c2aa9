"""Gradients, Jacobians and their products as functions of functions.

A transformed function gets copies of its arguments that begin a history of their own, so derivatives of derivatives
are transformations inside each other: the graph of the inner one is recorded, and the outer one goes through it.
"""

import contextlib
import functools
import sys
import threading

import corten

from .. import _core
from ..autograd import grad as _autograd_grad
from ..autograd.modes import enable_grad, set_grad_enabled
from ..utils._pytree import tree_flatten, tree_map, tree_unflatten


class _Levels(threading.local):
    """How many transformations run in this thread."""

    depth = 0


_levels = _Levels()


def _batches():
    """The module of the batches of the ``vmap``s that run, or None where none does."""
    module = sys.modules.get("corten.func._vmap.batched")
    return module if module and module.active.levels else None


def _spread(tensor):
    """A tensor with a batch dim of every ``vmap`` that runs: gradients for it are each example's own."""
    module = _batches()
    return module.with_all_batches(tensor) if module else tensor


def _duals():
    """The module of the dual numbers of the level that is open, or None where none is."""
    module = sys.modules.get("corten.autograd._duals")
    return module if module and module.state.level is not None else None


def _without_history(tensor):
    """The tensor without history; a dual number keeps its tangent."""
    module = _duals()
    if module and isinstance(tensor, module.Dual):
        tangent = tensor.tangent
        return module.with_tangent(tensor.detach(), tangent if tangent is None else tangent.detach(), tensor.key.level)
    return tensor.detach()


def _identity(tensor):
    if module := _duals():
        tensor = module.without(tensor)
    module = _batches()
    return id(module.innermost(tensor) if module else tensor)


def _lacking(values, graph):
    """The levels whose batch dim the values have and the graph's tensors, which may be from outside, have not."""
    module = _batches()
    if not module:
        return set()
    wanted = {level for value in values for level in module.levels_of(value)}
    return {level for level in wanted if any(level not in module.levels_of(tensor) for tensor in graph)}


@contextlib.contextmanager
def _as_copies(levels):
    """Inside, a function that knows nothing of the levels runs on copies at each, which may be read."""
    before = [(level, level.copies) for level in levels]
    for level in levels:
        level.copies = True
    try:
        yield
    finally:
        for level, copies in before:
            level.copies = copies


class _Level:
    """A transformation while it runs: gradients are recorded in it, whatever the mode outside."""

    def __enter__(self):
        self.outside = _core.is_grad_enabled()
        self.mode = enable_grad()
        self.mode.__enter__()
        _levels.depth += 1
        self.nested = _levels.depth > 1
        return self

    def __exit__(self, *exception):
        _levels.depth -= 1
        self.mode.__exit__(*exception)

    def begins(self, tensor, name):
        """A copy of an argument with a history that begins here, and goes on outside where the argument has one."""
        if not isinstance(tensor, corten.Tensor):
            raise ValueError(f"{name}: Expected all inputs to be Tensors, got {type(tensor).__name__}")
        tensor = _spread(tensor)
        if tensor.requires_grad:
            return tensor.view_as(tensor)
        return _without_history(tensor).requires_grad_()

    def keeps(self, outputs, inputs):
        """Whether somebody outside may differentiate the results: another level, or a tensor that requires grad."""
        return self.outside and (self.nested or _reaches_others(outputs, inputs))


def _reaches_others(outputs, inputs):
    """Whether the outputs have a history beyond the inputs that began here."""
    own = {_identity(t) for t in inputs if t.is_leaf}
    if any(not t.is_leaf for t in inputs):
        return True
    stack = [t.grad_fn for t in outputs if t.grad_fn is not None]
    if any(t.is_leaf and t.requires_grad and _identity(t) not in own for t in outputs):
        return True
    seen = set(stack)
    while stack:
        node = stack.pop()
        variable = getattr(node, "variable", None)
        if variable is not None and id(variable) not in own:
            return True
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                stack.append(following)
    return False


def _cut(tree, keep):
    """The results without the history of the level that ends, unless somebody outside goes through it."""
    if keep:
        return tree
    return tree_map(lambda x: _without_history(x) if isinstance(x, corten.Tensor) else x, tree)


def _gradients(outputs, inputs, seeds, create_graph, retain_graph=True):
    """Gradients of those outputs that have a history; zeros where an input has no part in them."""
    pairs = [(o, s) for o, s in zip(outputs, seeds, strict=True) if o.requires_grad]
    if not pairs:
        return [corten.zeros_like(t) for t in inputs]
    outs, seeds = zip(*pairs, strict=True)
    found = _autograd_grad(outs, inputs, seeds, retain_graph, create_graph, allow_unused=True)
    return [corten.zeros_like(t) if g is None else g for g, t in zip(found, inputs, strict=True)]


def _argnums(argnums, count, name):
    """The positions, counted from 0, and whether there is one alone."""
    single = isinstance(argnums, int)
    if not single and not isinstance(argnums, tuple):
        raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(argnums)}")
    positions = (argnums,) if single else argnums
    if not positions:
        raise RuntimeError(f"{name}: argnums must be non-empty")
    for position in positions:
        if not isinstance(position, int):
            raise RuntimeError(f"argnum must be int, got {type(position)}")
        if not -count <= position < count:
            raise RuntimeError(f"Got argnum={position}, but only {count} positional inputs")
    positions = [position % count for position in positions]
    if len(set(positions)) != len(positions):
        raise RuntimeError(f"argnums elements must be unique, got {argnums}")
    return positions, single


def _with_copies(level, args, argnums, name):
    """The arguments with copies at the positions: all of them, the copies' leaves, and their structure."""
    positions, single = _argnums(argnums, len(args), name)
    chosen = args[positions[0]] if single else tuple(args[p] for p in positions)
    flat, spec = tree_flatten(chosen)
    flat = [level.begins(t, name) for t in flat]
    copies = tree_unflatten(flat, spec)
    args = list(args)
    for position, copied in zip(positions, (copies,) if single else copies, strict=True):
        args[position] = copied
    return args, flat, spec


def _split_aux(result, has_aux, name):
    if not has_aux:
        return result, None
    if not (isinstance(result, tuple) and len(result) == 2):
        raise RuntimeError(f"{name}: output of function f should be a tuple: (output, aux) if has_aux is True")
    return result


def _flat_outputs(output, name):
    flat, spec = tree_flatten(output)
    for value in flat:
        if not isinstance(value, corten.Tensor):
            raise RuntimeError(
                f"{name}: Expected f to be a function that has non-empty output, and all of its outputs to be "
                f"Tensors, got {type(value).__name__}"
            )
    if not flat:
        raise RuntimeError(f"{name}: Expected f to be a function that has non-empty output (got output = {output})")
    return flat, spec


def grad_and_value(func, argnums=0, has_aux=False):
    """A function that gives the gradients of ``func``, whose result is one number, and its result.

    Args:
        argnums: the positional argument, or a tuple of them, for which gradients are taken; tensors or trees of them.
        has_aux: ``func`` returns a pair, whose second part is handed on: the result is ``(gradients, (value, aux))``.

    Raises:
        RuntimeError: the result is not one number, or ``argnums`` do not fit.
    """

    @functools.wraps(func)
    def wrapped(*args, **kwargs):
        with _Level() as level:
            args, inputs, spec = _with_copies(level, args, argnums, "grad_and_value")
            value, aux = _split_aux(func(*args, **kwargs), has_aux, "grad_and_value(f)(*args)")
            if not isinstance(value, corten.Tensor):
                raise RuntimeError(
                    f"grad_and_value(f)(*args): Expected f(*args) to return a single tensor, got {type(value)}"
                )
            if value.dim() != 0:
                raise RuntimeError(
                    "grad_and_value(f)(*args): Expected f(*args) to return a scalar tensor, got tensor with "
                    f"{value.dim()} dims. Maybe you wanted to use the vjp or jacrev APIs instead?"
                )
            keep = level.keeps([value], inputs)
            found = _gradients([value], inputs, [None], keep, retain_graph=keep)
            found, value, aux = _cut((tree_unflatten(found, spec), value, aux), keep)
        return (found, (value, aux)) if has_aux else (found, value)

    return wrapped


def grad(func, argnums=0, has_aux=False):
    """A function that gives the gradients of ``func``, whose result is one number.

    Args:
        argnums, has_aux: as in :func:`grad_and_value`; with ``has_aux`` the result is ``(gradients, aux)``.

    Raises:
        RuntimeError: as :func:`grad_and_value`.
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def wrapped(*args, **kwargs):
        found, value = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return wrapped


def vjp(func, *primals, has_aux=False):
    """The result of ``func(*primals)``, and a function from vectors shaped as it to their products with the Jacobian.

    Args:
        primals: tensors or trees of them.
        has_aux: ``func`` returns a pair, whose second part is handed on as a third result.

    Returns:
        ``(output, vjp_fn)`` or ``(output, vjp_fn, aux)``. ``vjp_fn`` gives a tuple with a product for each primal, and
        may be called again.
    """
    if not primals:
        raise RuntimeError("vjp: Expected at least one primal to differentiate with respect to")

    def run():
        with _Level() as level:
            args, inputs, spec = _with_copies(level, primals, tuple(range(len(primals))), "vjp")
            output, aux = _split_aux(func(*args), has_aux, "vjp(f, *primals)")
            outputs, output_spec = _flat_outputs(output, "vjp(f, *primals)")
            return inputs, spec, output, aux, outputs, output_spec, level.keeps(outputs, inputs)

    inputs, spec, output, aux, outputs, output_spec, keep = run()

    def vjp_fn(cotangents, retain_graph=True, create_graph=None):
        """The products with the Jacobian of vectors shaped as the output."""
        seeds, seed_spec = tree_flatten(cotangents)
        if seed_spec != output_spec:
            raise RuntimeError(
                "Expected pytree structure of cotangents to be the same as pytree structure of outputs to the "
                f"function. cotangents: {seed_spec}, primal output: {output_spec}"
            )
        _check_alike(seeds, outputs, "cotangents", "outputs")
        record = create_graph
        if record is None:
            wanted = keep or _levels.depth > 0 or any(seed.requires_grad for seed in seeds)
            record = _core.is_grad_enabled() and wanted
        ends, starts = outputs, inputs
        if lacking := _lacking(seeds, outputs):
            # A batch of vectors needs the graph of a batch: the function runs again, on all of it at once.
            with _as_copies(lacking):
                again = run()
            ends, starts = again[4], again[0]
        with set_grad_enabled(record):
            return tree_unflatten(_gradients(ends, starts, seeds, record, retain_graph), spec)

    results = _cut((output, aux), keep)
    return (results[0], vjp_fn, results[1]) if has_aux else (results[0], vjp_fn)


def _check_alike(values, like, what, whose):
    for value, other in zip(values, like, strict=True):
        if not isinstance(value, corten.Tensor) or value.shape != other.shape:
            got = list(value.shape) if isinstance(value, corten.Tensor) else type(value).__name__
            raise RuntimeError(f"Expected {what} to have the shapes of the {whose}: {list(other.shape)}, got {got}")


class _Linearized:
    """A function at a point, ready for products of its Jacobian with tangents.

    The vector-Jacobian product is linear in its vector, so its own gradient for that vector is the product wanted.
    """

    def __init__(self, func, primals, has_aux, strict, name):
        for primal in tree_flatten(primals)[0]:
            if isinstance(primal, corten.Tensor) and not (primal.is_floating_point() or primal.is_complex()):
                raise ValueError(f"{name}: Expected primal to be floating point or complex, but got: {primal.dtype}")
        with _Level() as level:
            self.args, self.inputs, self.spec = _with_copies(level, primals, tuple(range(len(primals))), name)
            output, self.aux = _split_aux(func(*self.args), has_aux, name)
            self.outputs, self.output_spec = _flat_outputs(output, name)
            self.output = output
            self.keep = level.keeps(self.outputs, self.inputs)
            if strict and not all(o.requires_grad for o in self.outputs):
                raise RuntimeError(
                    f"{name}: The output of f is independent of the input. This is not allowed in strict mode."
                )
            self.vectors = [_spread(corten.zeros_like(o.detach())).requires_grad_() for o in self.outputs]
            self.products = _gradients(self.outputs, self.inputs, self.vectors, True)

    def push(self, tangents, record):
        """How the outputs move when the inputs move along the tangents, one for each input."""
        found = _gradients(self.products, self.vectors, tangents, record)
        return tree_unflatten(found, self.output_spec)


def _tangents(tangents, like, spec, name):
    flat, found = tree_flatten(tangents)
    if found != spec:
        raise RuntimeError(
            f"{name}: Expected primals and tangents to have the same python structure. For example, if primals is a "
            f"tuple of 3 tensors, tangents also must be. Got primals with structure {spec} and tangents with structure "
            f"{found}"
        )
    _check_alike(flat, like, "tangents", "primals")
    return flat


def jvp(func, primals, tangents, *, strict=False, has_aux=False):
    """The result of ``func(*primals)``, and the product of its Jacobian with ``tangents``.

    Args:
        primals: a tuple of tensors or trees of them.
        tangents: as many, of the same shapes.
        strict: an output that does not depend on the primals is an error, not zeros.
        has_aux: ``func`` returns a pair, whose second part is handed on as a third result.

    Raises:
        RuntimeError: primals and tangents differ, and in strict mode.
    """
    name = "jvp(f, primals, tangents)"
    if not isinstance(primals, tuple):
        raise RuntimeError(f"{name}: Expected primals to be a tuple. E.g. it should be valid to call f(*primals).")
    if not primals:
        raise RuntimeError(f"{name}: Expected at least one primal to differentiate with respect to")
    at = _Linearized(func, primals, has_aux, strict, name)
    moves = _tangents(tuple(tangents), at.inputs, at.spec, name)
    wanted = at.keep or _levels.depth > 0 or any(t.requires_grad for t in moves)
    record = _core.is_grad_enabled() and wanted
    product = at.push(moves, record)
    output, product, aux = _cut((at.output, product, at.aux), record)
    return (output, product, aux) if has_aux else (output, product)


def linearize(func, *primals):
    """The result of ``func(*primals)``, and a function from tangents to their products with the Jacobian there.

    ``func`` runs once, however many tangents there are.
    """
    if not primals:
        raise RuntimeError("linearize: Expected at least one primal to differentiate with respect to")
    at = _Linearized(func, primals, False, False, "linearize")
    output = _cut(at.output, at.keep)

    def jvp_fn(*tangents):
        """The product of the Jacobian with tangents shaped as the primals."""
        moves = _tangents(tangents, at.inputs, at.spec, "linearize")
        for i, (move, start) in enumerate(zip(moves, at.inputs, strict=True)):
            if move.dtype != start.dtype:
                raise RuntimeError(
                    f"linearize: tangent:{i} with dtype {move.dtype} in flattened pytree doesn't match the dtype "
                    f"{start.dtype} of the corresponding primal."
                )
        if lacking := _lacking(moves, at.inputs):
            with _as_copies(lacking):
                here = _Linearized(func, primals, False, False, "linearize")
            record = _core.is_grad_enabled() and (here.keep or _levels.depth > 0 or any(t.requires_grad for t in moves))
            return _cut(here.push(moves, record), record)
        wanted = at.keep or _levels.depth > 0 or any(t.requires_grad for t in moves)
        record = _core.is_grad_enabled() and wanted
        return _cut(at.push(moves, record), record)

    return output, jvp_fn
