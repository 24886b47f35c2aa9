"""Jacobians and Hessians of functions of tensors, and their products with vectors.

Everything is computed in reverse mode, products with a vector on the right by differentiating twice. Functions take and
return a tensor or a tuple of tensors. Options that the functions share:

    create_graph: record the computation of the result, so that it can be differentiated itself.
    strict: refuse outputs or derivatives that do not depend on an input, in place of giving zeros.
"""

from .. import _core
from .modes import enable_grad, set_grad_enabled

_Tensor = _core.Tensor
_STRICT = "This is not allowed in strict mode."


def _as_tuple(values, what, where):
    """`values` as a tuple, and whether they were one."""
    is_tuple = isinstance(values, tuple)
    found = values if is_tuple else (values,)
    for i, value in enumerate(found):
        if not isinstance(value, _Tensor):
            which = f"the value at index {i}" if is_tuple else f"the given {what}"
            raise TypeError(
                f"The {what} given to {where} must be either a Tensor or a tuple of Tensors but {which} has type "
                f"{type(value)}."
            )
    return found, is_tuple


def _plain(values, is_tuple):
    return tuple(values) if is_tuple else values[0]


def _finished(values, create_graph):
    """Results without their history, unless it was asked for."""
    return tuple(values) if create_graph else tuple(v.detach() for v in values)


def _inputs(inputs, where, create_graph):
    """The tensors to differentiate with respect to: none of them is the caller's own."""
    found, is_tuple = _as_tuple(inputs, "inputs", where)
    fresh = [t.view_as(t) if create_graph and t.requires_grad else t.detach().requires_grad_() for t in found]
    return tuple(fresh), is_tuple


def _outputs(values, where, strict):
    found, is_tuple = _as_tuple(values, "outputs of the user-provided function", where)
    if strict:
        for i, out in enumerate(found):
            if not out.requires_grad:
                raise RuntimeError(
                    f"Output {i} of the user-provided function does not require gradients. The outputs must be "
                    "computed in a differentiable manner from the input when running in strict mode."
                )
    return found, is_tuple


def _single_output(value, where, strict):
    (out, *_), is_tuple = _outputs(value, where, strict)
    if is_tuple:
        raise RuntimeError(f"The function given to {where} should return a single Tensor")
    if out.numel() != 1:
        raise RuntimeError(f"The Tensor returned by the function given to {where} should contain a single element")
    return out


def _vector(v, like, is_tuple, where, owner):
    """The vector of a product, which has the shapes of `like`; ones where a single number is meant."""
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise RuntimeError(f"The vector v can only be None if {owner} a single Tensor with a single element.")
        return (_core.ops.ones_like(like[0].detach()),)
    found, _ = _as_tuple(v, "v", where)
    if len(found) != len(like):
        if is_tuple:
            raise RuntimeError(f"v is a tuple of invalid length: should be {len(like)} but got {len(found)}.")
        raise RuntimeError("The given v should contain a single Tensor.")
    for i, (got, wanted) in enumerate(zip(found, like, strict=True)):
        if got.shape != wanted.shape:
            prefix = f"Entry {i} in " if is_tuple else ""
            raise RuntimeError(f"{prefix}v has invalid size: should be {wanted.shape} but got {got.shape}.")
    return found


_INPUT = "the input to the user-provided function is"
_OUTPUT = "the user-provided function returns"


def _grad(outputs, inputs, seeds, create_graph):
    """Gradients, `None` where an input plays no part; outputs without a history are left out."""
    from . import grad

    pairs = [(o, s) for o, s in zip(outputs, seeds, strict=True) if o is not None and o.requires_grad]
    if not pairs:
        return (None,) * len(inputs)
    roots, seeds = zip(*pairs, strict=True)
    return grad(roots, inputs, seeds, allow_unused=True, create_graph=create_graph, retain_graph=True)


def _filled(grads, like, strict, create_graph, missing, constant):
    """Zeros for absent gradients; in strict mode these are errors, and so are constant ones with `create_graph`."""
    results = []
    for i, (g, t) in enumerate(zip(grads, like, strict=True)):
        if strict and g is None:
            raise RuntimeError(f"{missing.format(i)} {_STRICT}")
        if strict and create_graph and not g.requires_grad:
            raise RuntimeError(
                f"The {constant} of the user-provided function is independent of input {i}. This is not allowed in "
                "strict mode when create_graph=True."
            )
        results.append(_core.ops.zeros_like(t.detach()) if g is None else g)
    return results


def _recording(create_graph):
    return set_grad_enabled(create_graph or _core.is_grad_enabled())


def _check_jacobian(grads):
    """Strict mode of second derivatives: the first ones must depend on the inputs."""
    for i, g in enumerate(grads):
        if g is None:
            raise RuntimeError(f"The output of the user-provided function is independent of input {i}. {_STRICT}")
        if not g.requires_grad:
            raise RuntimeError(
                f"While computing the hessian, found that the jacobian of the user-provided function with respect to "
                f"input {i} is independent of the input. {_STRICT} You should ensure that your function is twice "
                "differentiable and that the jacobian depends on the inputs (this would be violated by a linear "
                "function for example)."
            )


_INDEPENDENT = "The output of the user-provided function is independent of input {}."
_NO_JACOBIAN = "The jacobian of the user-provided function is independent of input {}."
_TRICK = (
    "The gradient with respect to the input is independent of entry {} in the grad_outputs when using the double "
    "backward trick to compute forward mode gradients."
)
_HESSIAN_TRICK = (
    "The hessian of the user-provided function is independent of entry {} in the grad_jacobian when using the double "
    "backward trick to compute forward mode gradients."
)


def vjp(func, inputs, v=None, create_graph=False, strict=False):
    """The outputs of `func(*inputs)`, and `v` times the Jacobian: the gradients for `v` flowing into the outputs.

    Args:
        v: shaped as the outputs; may be `None` where these are a single number.
    """
    with enable_grad():
        inputs, many = _inputs(inputs, "vjp", create_graph)
        outputs, many_outputs = _outputs(func(*inputs), "vjp", strict)
        v = _vector(v, outputs, many_outputs, "vjp", _OUTPUT)
    with _recording(create_graph):
        grads = _grad(outputs, inputs, v, create_graph)
        product = _filled(grads, inputs, strict, create_graph, _INDEPENDENT, "jacobian")
    return _plain(_finished(outputs, create_graph), many_outputs), _plain(_finished(product, create_graph), many)


def jvp(func, inputs, v=None, create_graph=False, strict=False):
    """The outputs of `func(*inputs)`, and the Jacobian times `v`: how the outputs move when the inputs move along `v`.

    The vector-Jacobian product is linear in its vector, so its own gradient for that vector is the product wanted.

    Args:
        v: shaped as the inputs; may be `None` where these are a single number.
    """
    with enable_grad():
        inputs, many = _inputs(inputs, "jvp", create_graph)
        v = _vector(v, inputs, many, "jvp", _INPUT)
        outputs, many_outputs = _outputs(func(*inputs), "jvp", strict)
        upstream = tuple(_core.ops.zeros_like(o.detach()).requires_grad_() for o in outputs)
        grads = _grad(outputs, inputs, upstream, True)
        _filled(grads, inputs, strict, False, _INDEPENDENT, "jacobian")
    with _recording(create_graph):
        moves = _grad(grads, upstream, v, create_graph)
        product = _filled(moves, outputs, strict, create_graph, _TRICK, "jacobian")
    both = _finished(outputs, create_graph), _finished(product, create_graph)
    return tuple(_plain(values, many_outputs) for values in both)


def _rows(i, output, inputs, create_graph, strict):
    """For one output the Jacobians with respect to every input, shaped `output.shape + input.shape`."""
    ops = _core.ops
    columns = [[] for _ in inputs]
    for k in range(output.numel()):
        seed = ops.zeros(output.numel(), dtype=output.dtype, device=output.device)
        seed[k] = 1.0
        grads = _grad((output,), inputs, (seed.reshape(output.shape),), create_graph)
        missing = f"Output {i} of the user-provided function is independent of input {{}}."
        filled = _filled(grads, inputs, strict, create_graph, missing, "jacobian")
        for column, g in zip(columns, filled, strict=True):
            column.append(g)
    shapes = [(*output.shape, *t.shape) for t in inputs]
    return tuple(
        ops.stack(column).reshape(shape) if column else ops.zeros(shape, dtype=t.dtype, device=t.device)
        for column, shape, t in zip(columns, shapes, inputs, strict=True)
    )


def jacobian(func, inputs, create_graph=False, strict=False, vectorize=False, strategy="reverse-mode"):
    """The Jacobian of `func` at `inputs`: all derivatives of its outputs.

    Args:
        vectorize: one pass for all elements together, as by `corten.func.jacrev`, which runs `func` on a batch of
            copies; otherwise a backward pass for each element of the outputs.
        strategy: `"reverse-mode"`, or with `vectorize` `"forward-mode"`, as by `corten.func.jacfwd`.

    Returns:
        A tensor shaped `output.shape + input.shape`. Several inputs make it a tuple over them, several outputs a tuple
        over these of such results.
    """
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError(
            'Expected strategy to be either "forward-mode" or "reverse-mode". Hint: If your function has more outputs '
            'than inputs, "forward-mode" tends to be more performant. Otherwise, prefer to use "reverse-mode".'
        )
    if strategy == "forward-mode" and create_graph:
        raise NotImplementedError("jacobian: strategy 'forward-mode' does not support create_graph=True")
    if strategy == "forward-mode" and not vectorize:
        raise NotImplementedError("jacobian: strategy 'forward-mode' is there with vectorize=True only")
    if strict and vectorize:
        raise RuntimeError(
            "corten.autograd.functional.jacobian: `strict=True` and `vectorized=True` are not supported together. "
            "Please either set `strict=False` or `vectorize=False`."
        )
    if vectorize:
        return _jacobian_together(func, inputs, create_graph, strategy)
    with enable_grad():
        inputs, many = _inputs(inputs, "jacobian", create_graph)
        outputs, many_outputs = _outputs(func(*inputs), "jacobian", strict)
        rows = [_finished(_rows(i, o, inputs, create_graph, strict), create_graph) for i, o in enumerate(outputs)]
    return _plain([_plain(row, many) for row in rows], many_outputs)


def _jacobian_together(func, inputs, create_graph, strategy):
    """`jacobian` by a pass for all elements of the outputs, or of the inputs, together."""
    from ..func import jacfwd, jacrev

    many_outputs = False

    def flat(*values):
        nonlocal many_outputs
        outputs, many_outputs = _outputs(func(*values), "jacobian", False)
        return outputs

    with enable_grad():
        inputs, many = _inputs(inputs, "jacobian", create_graph)
        transform = jacrev if strategy == "reverse-mode" else jacfwd
        rows = transform(flat, tuple(range(len(inputs))))(*inputs)
        rows = [_finished(row, create_graph) for row in rows]
    return _plain([_plain(row, many) for row in rows], many_outputs)


def hessian(func, inputs, create_graph=False, strict=False, vectorize=False, outer_jacobian_strategy="reverse-mode"):
    """The Hessian of `func`, whose result is one number: all its second derivatives.

    Args:
        vectorize, outer_jacobian_strategy: as `vectorize` and `strategy` of `jacobian`, for the second derivatives.

    Returns:
        A tensor shaped `input.shape + input.shape`; several inputs make it a tuple of tuples over them.
    """
    if outer_jacobian_strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode".')
    _, many = _as_tuple(inputs, "inputs", "hessian")

    def first(*values):
        values, _ = _inputs(values, "hessian", True)
        out = _single_output(func(*values), "hessian", strict)
        seed = _core.ops.ones_like(out.detach())
        grads = _grad((out,), values, (seed,), True)
        if strict:
            _check_jacobian(grads)
        return tuple(_filled(grads, values, False, True, _INDEPENDENT, "jacobian"))

    inner = first if many else lambda value: first(value)[0]
    return jacobian(inner, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)


def _first_derivatives(func, inputs, v, where, create_graph, strict):
    """The output, inputs and vector of a product with the Hessian, and the gradients with their history."""
    inputs, many = _inputs(inputs, where, create_graph)
    v = _vector(v, inputs, many, where, _INPUT)
    out = _single_output(func(*inputs), where, strict)
    grads = _grad((out,), inputs, (_core.ops.ones_like(out.detach()),), True)
    if strict:
        _check_jacobian(grads)
    return out, inputs, many, v, grads


def vhp(func, inputs, v=None, create_graph=False, strict=False):
    """The output of `func(*inputs)`, which is one number, and `v` times its Hessian.

    Args:
        v: shaped as the inputs; may be `None` where these are a single number.
    """
    with enable_grad():
        out, inputs, many, v, grads = _first_derivatives(func, inputs, v, "vhp", create_graph, strict)
    with _recording(create_graph):
        second = _grad(grads, inputs, v, create_graph)
        product = _filled(second, inputs, strict, create_graph, _NO_JACOBIAN, "hessian")
    return _finished([out], create_graph)[0], _plain(_finished(product, create_graph), many)


def hvp(func, inputs, v=None, create_graph=False, strict=False):
    """The output of `func(*inputs)`, which is one number, and its Hessian times `v`.

    Where second derivatives are continuous the result is that of `vhp`, which is cheaper.

    Args:
        v: shaped as the inputs; may be `None` where these are a single number.
    """
    with enable_grad():
        out, inputs, many, v, grads = _first_derivatives(func, inputs, v, "hvp", create_graph, strict)
        upstream = tuple(_core.ops.zeros_like(t.detach()).requires_grad_() for t in inputs)
        second = _grad(grads, inputs, upstream, True)
        _filled(second, inputs, strict, False, _NO_JACOBIAN, "hessian")
    with _recording(create_graph):
        moves = _grad(second, upstream, v, create_graph)
        product = _filled(moves, inputs, strict, create_graph, _HESSIAN_TRICK, "hessian")
    return _finished([out], create_graph)[0], _plain(_finished(product, create_graph), many)


__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]
