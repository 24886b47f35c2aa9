"""`opcheck`: whether an operator of a program does what its schema and its registrations say."""

import warnings

import corten

from .. import _core
from ..autograd import grad as _grad
from .binding import bind
from .operators import OpOverload, OpOverloadPacket, tensors_of
from .schema import Tensor

_TESTS = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic")


class OpCheckError(Exception):
    """What :func:`opcheck` found wrong."""


def _copied(value):
    if isinstance(value, Tensor):
        made = value.detach().clone()
        return made.requires_grad_(value.requires_grad)
    return [_copied(v) for v in value] if isinstance(value, list) else value


def _results(value):
    return list(tensors_of(value if isinstance(value, tuple) else (value,)))


def _same(a, b):
    return a.shape == b.shape and a.dtype == b.dtype and bool(corten.isclose(a, b, equal_nan=True).all())


def _test_schema(op, args, by_name, tolerance):
    """Only arguments that the schema marks are written, and results share memory with none unless it says so."""
    schema = op._schema
    args, by_name = _copied(list(args)), {k: _copied(v) for k, v in by_name.items()}
    values = dict(zip((a.name for a in schema._positional), args, strict=True)) | by_name
    before = {name: [t.detach().clone() for t in tensors_of((v,))] for name, v in values.items()}
    previous = _core.set_grad_enabled(False)
    try:
        result = op.run(tuple(args), by_name)
    finally:
        _core.set_grad_enabled(previous)
    for argument in schema.arguments:
        now = list(tensors_of((values[argument.name],)))
        changed = not all(_same(x, y) for x, y in zip(before[argument.name], now, strict=True))
        if changed and not argument.is_write:
            raise OpCheckError(
                f"Argument {argument.name} is not defined as mutable but was mutated by {schema._qualified_name}"
            )
    op._check_aliases(result, list(tensors_of(values.values())))


def _test_autograd_registration(op, args, by_name, tolerance):
    """With arguments that require grad there is a formula, unless the kernel's own operators are recorded."""
    tensors = list(tensors_of((*args, *by_name.values())))
    if any(t.requires_grad for t in tensors) and op.opaque and op.backward is None:
        raise OpCheckError(
            f"The operator {op.name()} got arguments that require grad, and no formula is registered for it; "
            "corten.library.register_autograd gives it one"
        )


def _test_faketensor(op, args, by_name, tolerance):
    """The function of ``register_fake`` makes results of the same shapes, dtypes and devices as the kernel."""
    if op.fake is None:
        raise OpCheckError(
            f"There was no fake impl registered for {op.name()}. This is necessary for PyTorch's torch.compile to "
            "work. Please use `register_fake` to add an fake impl."
        )
    previous = _core.set_grad_enabled(False)
    try:
        real = op.run(tuple(_copied(list(args))), {k: _copied(v) for k, v in by_name.items()})
        fake = op.fake(*_copied(list(args)), **{k: _copied(v) for k, v in by_name.items()})
    finally:
        _core.set_grad_enabled(previous)
    real, fake = _results(real), _results(fake)
    if len(real) != len(fake):
        raise OpCheckError(f"{op.name()}: the kernel made {len(real)} tensors and the fake impl {len(fake)}")
    for i, (x, y) in enumerate(zip(real, fake, strict=True)):
        for fact in ("shape", "dtype", "device"):
            if getattr(x, fact) != getattr(y, fact):
                raise OpCheckError(
                    f"{op.name()}: result {i} has {fact} {getattr(x, fact)}, and of the fake impl {getattr(y, fact)}"
                )
        if x.stride() != y.stride():
            raise OpCheckError(f"{op.name()}: result {i} has stride {x.stride()}, and of the fake impl {y.stride()}")


def _run_with_gradients(function, args, by_name):
    args, by_name = _copied(list(args)), {k: _copied(v) for k, v in by_name.items()}
    leaves = [t for t in tensors_of((*args, *by_name.values())) if t.requires_grad]
    outputs = _results(function(*args, **by_name))
    roots = [t for t in outputs if t.requires_grad]
    found = []
    if roots and leaves:
        seeds = [corten.ones_like(t) for t in roots]
        found = [g for g in _grad(roots, leaves, seeds, allow_unused=True) if g is not None]
    written = [t.detach() for t in tensors_of((*args, *by_name.values()))]
    return [t.detach() for t in outputs], found, written


def _test_aot_dispatch_dynamic(op, args, by_name, tolerance):
    """Results, gradients and what is written are the same when `corten.compile` runs the operator."""
    if op.fake is None:
        _test_faketensor(op, args, by_name, tolerance)
    if op.backward is None and op.opaque:
        args = [_without_grad(v) for v in args]
        by_name = {k: _without_grad(v) for k, v in by_name.items()}
    plain = _run_with_gradients(op, args, by_name)
    with warnings.catch_warnings():
        # An operator that reads values runs in Python, which is said in a warning.
        warnings.simplefilter("ignore")
        compiled = _run_with_gradients(corten.compile(lambda *a, **k: op(*a, **k)), args, by_name)
    for expected, found in zip(plain, compiled, strict=True):
        corten.testing.assert_close(found, expected, equal_nan=True, **tolerance)


def _without_grad(value):
    if isinstance(value, Tensor):
        return value.detach()
    return [_without_grad(v) for v in value] if isinstance(value, list) else value


_RUN = {
    "test_schema": _test_schema,
    "test_autograd_registration": _test_autograd_registration,
    "test_faketensor": _test_faketensor,
    "test_aot_dispatch_dynamic": _test_aot_dispatch_dynamic,
}


def opcheck(op, args, kwargs=None, *, test_utils=_TESTS, raise_exception=True, rtol=None, atol=None):
    """Whether an operator does what its schema and its registrations say, for some arguments.

    * ``test_schema``: it writes to marked arguments only, and its results are fresh.
    * ``test_autograd_registration``: there is a formula where arguments require grad.
    * ``test_faketensor``: the function of ``register_fake`` makes results of the same facts.
    * ``test_aot_dispatch_dynamic``: `corten.compile` changes neither results nor gradients.

    Whether gradients are right is what `autograd.gradcheck` tests.

    Args:
        op: a custom operator, or one of `corten.ops`.
        test_utils: the names of those to run, one or several.
        raise_exception: raise what is found first; with False it stands in the result.

    Returns:
        For each test "SUCCESS", or the exception.

    Raises:
        OpCheckError: a test failed.
    """
    names = (test_utils,) if isinstance(test_utils, str) else tuple(test_utils)
    if unknown := set(names) - set(_RUN):
        raise ValueError(f"opcheck: no such test {sorted(unknown)}; there are {', '.join(_RUN)}")
    if (rtol is None) != (atol is None):
        raise ValueError("opcheck: rtol and atol are given together or not at all")
    op = getattr(op, "_opoverload", op)
    if isinstance(op, OpOverloadPacket):
        overloads = op.overloads()
        if len(overloads) != 1:
            raise ValueError(f"opcheck: {op} has several overloads, {overloads}; give one of them")
        op = getattr(op, overloads[0])
    if not isinstance(op, OpOverload):
        raise ValueError(f"opcheck(op, ...): op must be a custom operator or one of corten.ops, got {type(op)}")
    bound, by_name = bind(op._schema, tuple(args), dict(kwargs or {}))
    tolerance = {} if rtol is None else {"rtol": rtol, "atol": atol}
    results = {}
    for name in names:
        try:
            _RUN[name](op, bound, by_name, tolerance)
            results[name] = "SUCCESS"
        except Exception as error:
            if raise_exception:
                raise OpCheckError(
                    f"opcheck(op, ...): {name} failed with {error} (scroll up for stack trace)"
                ) from error
            results[name] = error
    return results
