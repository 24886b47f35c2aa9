"""Numerical checks of gradients: `gradcheck` and `gradgradcheck`."""

import warnings

from .. import _core


class GradcheckError(RuntimeError):
    """Numerical and analytical gradients differ."""


def _tensors(args):
    return [a for a in args if isinstance(a, _core.Tensor)]


def _differentiable(args):
    found = [a for a in _tensors(args) if a.requires_grad]
    if not found:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of the them have requires_grad=True."  # noqa: E501
        )
    for i, a in enumerate(found):
        if a.dtype != _core.float64:
            warnings.warn(
                f"Input #{i} requires gradient and is not a double precision floating point or complex. This check will "  # noqa: E501
                "likely fail if all the inputs are not of double precision floating point or complex. ",
                stacklevel=3,
            )
    return found


def _outputs(function, args):
    result = function(*args)
    outputs = _tensors(result) if isinstance(result, (tuple, list)) else [result]
    return [o for o in outputs if o.is_floating_point() and o.requires_grad]


def _numerical(function, args, target, eps):
    """d outputs / d target by central differences, one numpy-like nested column per element of `target`."""
    flat_count = target.numel()
    columns = []
    previous = _core.set_grad_enabled(False)
    try:
        base = target.detach().clone()
        for i in range(flat_count):
            sides = []
            for sign in (eps, -eps):
                moved = base.clone().reshape(-1)
                moved[i] = moved[i].item() + sign
                replaced = [moved.reshape(base.shape) if a is target else a for a in args]
                sides.append([o.detach().clone() for o in _plain(function(*replaced))])
            columns.append(
                [((p.double() - m.double()) / (2 * eps)).reshape(-1).tolist() for p, m in zip(*sides, strict=True)]
            )
    finally:
        _core.set_grad_enabled(previous)
    return columns


def _plain(result):
    outputs = _tensors(result) if isinstance(result, (tuple, list)) else [result]
    return [o for o in outputs if o.is_floating_point()]


def _analytical(output, target):
    """The Jacobian of one output, row by row, through the graph."""
    from . import grad

    rows = []
    for i in range(output.numel()):
        seed = _core.ops.zeros(tuple(output.shape), dtype=output.dtype)
        seed.reshape(-1)[i] = 1.0
        (g,) = grad(output, target, seed, retain_graph=True, allow_unused=True)
        rows.append([0.0] * target.numel() if g is None else g.double().reshape(-1).tolist())
    return rows


def _close(a, b, atol, rtol):
    return abs(a - b) <= atol + rtol * abs(b) or (a != a and b != b)


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
    """Compares the gradients of `func(*inputs)` with central differences, for every float64 input that requires grad.

    Returns True, or raises `GradcheckError` (returns False if `raise_exception` is off). Arguments as in
    `torch.autograd.gradcheck`; forward mode and batched gradients are refused until they exist.
    """
    if check_forward_ad or check_batched_grad or check_batched_forward_grad:
        raise NotImplementedError(
            "gradcheck: forward mode and batched gradients are not supported; check backward mode"
        )
    args = (inputs,) if isinstance(inputs, _core.Tensor) else tuple(inputs)
    try:
        targets = _differentiable(args)
        outputs = _outputs(func, args)
        if not outputs:
            _check_no_gradient(func, args, targets, eps, atol)
            return True
        indices = [k for k, o in enumerate(_plain(func(*args))) if o.requires_grad]
        for j, target in enumerate(targets):
            numerical = _numerical(func, args, target, eps)
            for k, output in zip(indices, outputs, strict=True):
                analytical = _analytical(output, target)
                _compare(analytical, numerical, k, j, atol, rtol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _compare(analytical, numerical, k, j, atol, rtol):
    for row, values in enumerate(analytical):
        for column, value in enumerate(values):
            expected = numerical[column][k][row]
            if not _close(value, expected, atol, rtol):
                raise GradcheckError(
                    f"Jacobian mismatch for output {k} with respect to input {j},\n"
                    f"at element ({row}, {column}): numerical {expected}, analytical {value}"
                )


def _check_no_gradient(func, args, targets, eps, atol):
    for j, target in enumerate(targets):
        for column in _numerical(func, args, target, eps):
            for output in column:
                if any(abs(v) > atol for v in output):
                    raise GradcheckError(
                        f"Numerical gradient for input {j} is not zero although no output requires grad"
                    )


def gradgradcheck(func, inputs, grad_outputs=None, *, eps=1e-6, atol=1e-5, rtol=1e-3, raise_exception=True, **options):
    """Checks second derivatives: `gradcheck` of the gradient itself."""
    from . import grad

    args = (inputs,) if isinstance(inputs, _core.Tensor) else tuple(inputs)
    outputs = _outputs(func, args)
    if grad_outputs is None:
        seeds = [_core.ops.rand_like(o, dtype=o.dtype).requires_grad_() for o in outputs]
    else:
        seeds = [grad_outputs] if isinstance(grad_outputs, _core.Tensor) else list(grad_outputs)
    count = len(args)
    places = [i for i, a in enumerate(args) if isinstance(a, _core.Tensor) and a.requires_grad]

    def first_order(*both):
        values, upstream = both[:count], both[count:]
        previous = _core.set_grad_enabled(True)
        try:
            targets = []
            values = list(values)
            for i in places:
                if not values[i].requires_grad:
                    values[i] = values[i].detach().requires_grad_()
                targets.append(values[i])
            results = [o for o in _plain(func(*values)) if o.requires_grad]
            grads = grad(results, targets, list(upstream), create_graph=True, allow_unused=True)
        finally:
            _core.set_grad_enabled(previous)
        return tuple(g for g in grads if g is not None)

    options.pop("gen_non_contig_grad_outputs", None)
    options.pop("nondet_tol", None)
    return gradcheck(first_order, (*args, *seeds), eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception)
