"""Numerical checks of gradients: `gradcheck` and `gradgradcheck`."""

import itertools
import warnings

from .. import _core
from .modes import enable_grad


class GradcheckError(RuntimeError):
    """Numerical and analytical gradients differ."""


def _as_tuple(value):
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _differentiable(values):
    return [v for v in values if isinstance(v, _core.Tensor) and v.requires_grad]


def _check_inputs(args):
    """The inputs to differentiate; warns of narrow dtypes, in which differences mean little."""
    found = _differentiable(args)
    if not found:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of the them have "
            "requires_grad=True."
        )
    for place, value in enumerate(args):
        if not (isinstance(value, _core.Tensor) and value.requires_grad):
            continue
        if value.dtype not in (_core.float64, _core.complex128):
            warnings.warn(
                f"Input #{place} requires gradient and is not a double precision floating point or complex. This "
                "check will likely fail if all the inputs are not of double precision floating point or complex. ",
                stacklevel=3,
            )
        if any(stride == 0 and size > 1 for stride, size in zip(value.stride(), value.shape, strict=True)):
            raise RuntimeError(
                f"The {place}th input has a dimension with stride 0. gradcheck only supports inputs that are "
                "non-overlapping to be able to compute the numerical gradients correctly. You should call "
                ".contiguous on the input before passing it to gradcheck."
            )
    return found


def _parts(value):
    """A complex tensor as pairs of real numbers, which are moved and compared one by one."""
    return _core.ops.view_as_real(value) if value.is_complex() else value


def _numerical(function, args, target, eps):
    """The Jacobians of every output by central differences: per output one list for each element of `target`.

    The target is moved in place, so that a function sees the step even where it does not take it from its arguments.
    """

    def values():
        return [_parts(o.detach().clone()) for o in _as_tuple(function(*args)) if isinstance(o, _core.Tensor)]

    moved = _parts(target.data)
    columns = []
    for index in itertools.product(*map(range, moved.shape)):
        origin = moved[index].item()
        moved[index] = origin - eps
        below = values()
        moved[index] = origin + eps
        above = values()
        moved[index] = origin
        columns.append(
            [((a.double() - b.double()) / (2 * eps)).reshape(-1).tolist() for a, b in zip(above, below, strict=True)]
        )
    return list(zip(*columns, strict=True))


def _analytical(output, target):
    """The Jacobian of one output through the graph, a list for each element of the output."""
    from . import grad

    output, rows = _parts(output), []
    for i in range(output.numel()):
        seed = _core.ops.zeros(output.numel(), dtype=output.dtype, device=output.device)
        seed[i] = 1.0
        (g,) = grad(output, target, seed.reshape(tuple(output.shape)), retain_graph=True, allow_unused=True)
        if g is not None:
            _check_gradient(g, target)
        count = target.numel() * (2 if target.is_complex() else 1)
        rows.append([0.0] * count if g is None else _parts(g).double().reshape(-1).tolist())
    return rows


def _check_gradient(g, target):
    if g.shape != target.shape:
        raise GradcheckError("Analytical gradient has incorrect size")
    if g.dtype != target.dtype:
        raise GradcheckError("Analytical gradient has incorrect type")


def _close(a, b, atol, rtol):
    return a == b or abs(a - b) <= atol + rtol * abs(b) or (a != a and b != b)


def _compare(analytical, numerical, k, j, atol, rtol):
    pairs = ((a, column[row]) for row, line in enumerate(analytical) for a, column in zip(line, numerical, strict=True))
    if not all(_close(a, n, atol, rtol) for a, n in pairs):
        raise GradcheckError(
            f"Jacobian mismatch for output {k} with respect to input {j},\n"
            f"numerical:{[list(column) for column in numerical]}\n"
            f"analytical:{[list(column) for column in zip(*analytical, strict=True)]}\n"
        )


def _check_reentrant(first, second, tolerance):
    lines = zip(first, second, strict=True)
    if any(abs(a - b) > tolerance for one, other in lines for a, b in zip(one, other, strict=True)):
        raise GradcheckError(
            "Backward is not reentrant, i.e., running backward with same input and grad_output multiple times gives "
            "different values, although analytical gradient matches numerical gradient. The tolerance for "
            f"nondeterminism was {tolerance}."
        )


def _check_constant(func, args, targets, eps):
    """No output requires grad, so none may depend on the inputs."""
    for target in targets:
        for jacobian in _numerical(func, args, target, eps):
            if any(value != 0 for column in jacobian for value in column):
                raise GradcheckError("Numerical gradient for function expected to be zero")


def _check_undefined(func, args, targets):
    """A backward pass without gradient, from all outputs or from all but one, gives none or zeros."""
    from . import grad

    count = len(_differentiable(_as_tuple(func(*args))))
    for absent in range(count if count > 1 else 0, -1, -1):
        outputs = _differentiable(_as_tuple(func(*args)))
        # The gradient of an output that is no root is undefined in the nodes that made it.
        roots = [o for i, o in enumerate(outputs, 1) if i != absent]
        try:
            grads = grad(roots, targets, [_core.ops.zeros_like(o) for o in roots], allow_unused=True)
        except RuntimeError as error:
            raise GradcheckError("Expected backward function to handle undefined output grads.") from error
        if any(g is not None and not g.eq(0).all() for g in grads):
            raise GradcheckError(
                "Expected all input grads to be undefined or zero when all output grads are undefined or zero."
            )


def _check(func, args, eps, atol, rtol, nondet_tol, check_undefined_grad):
    targets = _check_inputs(args)
    results = [r for r in _as_tuple(func(*args)) if isinstance(r, _core.Tensor)]
    if not _differentiable(results):
        _check_constant(func, args, targets, eps)
        return
    for j, target in enumerate(targets):
        numerical = _numerical(func, args, target, eps)
        for k, output in enumerate(results):
            if not output.requires_grad:
                continue
            analytical = _analytical(output, target)
            _compare(analytical, numerical[k] if numerical else [], k, j, atol, rtol)
            _check_reentrant(analytical, _analytical(output, target), nondet_tol)
    if check_undefined_grad:
        _check_undefined(func, args, targets)


def _forward(func, args, target):
    """The Jacobians of every output by dual numbers, laid out as those of :func:`_numerical`."""
    from . import forward_ad

    columns = []
    for i in range(target.numel()):
        unit = _core.ops.zeros(target.numel(), dtype=target.dtype, device=target.device)
        unit[i] = 1.0
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(target, unit.reshape(tuple(target.shape)))
            outputs = _as_tuple(func(*(dual if a is target else a for a in args)))
            unpacked = [forward_ad.unpack_dual(o) for o in outputs if isinstance(o, _core.Tensor)]
            columns.append(
                [
                    [0.0] * value.numel() if move is None else move.detach().double().reshape(-1).tolist()
                    for value, move in unpacked
                ]
            )
    return list(zip(*columns, strict=True))


def _check_forward(func, args, eps, atol, rtol):
    """The Jacobians by dual numbers are those by differences."""
    for j, target in enumerate(_check_inputs(args)):
        numerical = _numerical(func, args, target, eps)
        for k, (found, wanted) in enumerate(zip(_forward(func, args, target), numerical, strict=True)):
            pairs = (
                (a, b) for left, right in zip(found, wanted, strict=True) for a, b in zip(left, right, strict=True)
            )
            if not all(_close(a, n, atol, rtol) for a, n in pairs):
                raise GradcheckError(
                    f"While considering forward mode: Jacobian mismatch for output {k} with respect to input {j},\n"
                    f"numerical:{[list(column) for column in wanted]}\nanalytical:{[list(c) for c in found]}\n"
                )


def gradcheck(
    func,
    inputs,
    *,
    eps=1e-6,
    atol=1e-5,
    rtol=1e-3,
    raise_exception=True,
    nondet_tol=0.0,
    check_undefined_grad=True,
    check_grad_dtypes=False,
    check_batched_grad=False,
    check_batched_forward_grad=False,
    check_forward_ad=False,
    check_backward_ad=True,
    fast_mode=False,
    masked=None,
):
    """Compares the gradients of `func(*inputs)` with central differences, for every input that requires grad.

    Args:
        func: takes the inputs and returns a tensor or a tuple of tensors.
        inputs: a tensor or a tuple; those that require grad should be float64 or complex128.
        eps: the step of the differences.
        atol, rtol: how far analytical and numerical values may be apart, `|a - n| <= atol + rtol * |n|`.
        raise_exception: raise `GradcheckError`; otherwise return False.
        nondet_tol: how far two passes over the same graph may be apart.
        check_undefined_grad: also run the backward pass with outputs that no gradient reaches.
        check_forward_ad: compare the tangents of dual numbers as well, `autograd.forward_ad`.
        check_backward_ad: compare gradients.
        fast_mode: accepted; the whole Jacobian is compared in any case.

    Raises:
        GradcheckError: the gradients differ.
        ValueError: no input requires grad.
        NotImplementedError: batched gradients are asked for.
    """
    if check_batched_grad or check_batched_forward_grad:
        raise NotImplementedError(
            "gradcheck: batched gradients are not supported; check with vmap that gradients are each example's"
        )
    if not (check_backward_ad or check_forward_ad):
        raise AssertionError("Expected at least one of check_forward_ad or check_backward_ad to be True")
    try:
        if check_forward_ad:
            _check_forward(func, _as_tuple(inputs), eps, atol, rtol)
        if check_backward_ad:
            _check(func, _as_tuple(inputs), eps, atol, rtol, nondet_tol, check_undefined_grad)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func,
    inputs,
    grad_outputs=None,
    *,
    eps=1e-6,
    atol=1e-5,
    rtol=1e-3,
    gen_non_contig_grad_outputs=False,
    raise_exception=True,
    nondet_tol=0.0,
    check_undefined_grad=True,
    check_grad_dtypes=False,
    check_batched_grad=False,
    check_fwd_over_rev=False,
    check_rev_over_rev=True,
    fast_mode=False,
    masked=False,
):
    """Checks second derivatives: `gradcheck` of the gradient itself, as a function of inputs and `grad_outputs`.

    Args:
        grad_outputs: what flows into the outputs; random by default.
        gen_non_contig_grad_outputs: draw them with strides.
        check_fwd_over_rev, check_rev_over_rev: by dual numbers, and by gradients of gradients.

    The other arguments are those of `gradcheck`.
    """
    from . import grad

    if not (check_fwd_over_rev or check_rev_over_rev):
        raise AssertionError("Expected at least one of check_fwd_over_rev or check_rev_over_rev to be True")
    args = _as_tuple(inputs)
    if grad_outputs is None:
        outputs = _differentiable(_as_tuple(func(*args)))
        seeds = tuple(_random_seed(o, gen_non_contig_grad_outputs) for o in outputs)
    else:
        seeds = _as_tuple(grad_outputs)

    def first_order(*both):
        values, upstream = both[: len(args)], both[len(args) :]
        with enable_grad():
            results = _differentiable(_as_tuple(func(*values)))
            grads = grad(results, _differentiable(values), upstream, create_graph=True, allow_unused=True)
        return tuple(g for g in grads if g is not None)

    return gradcheck(
        first_order,
        (*args, *seeds),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad,
        check_forward_ad=check_fwd_over_rev,
        check_backward_ad=check_rev_over_rev,
        fast_mode=fast_mode,
        masked=masked,
    )


def _random_seed(output, strided):
    shape = tuple(output.shape)
    seed = _core.ops.rand((*shape, 2) if strided else shape, dtype=output.dtype, device=output.device) * 2 - 1
    return (seed[..., 0] if strided else seed).detach().requires_grad_()
