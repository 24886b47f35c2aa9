"""Random numbers inside ``vmap``: refused, the same for all examples, or different ones."""

from .... import _core
from ..batched import Tensor, ops
from ..dispatch import bind, rule

FACTORIES = frozenset(
    (
        "rand",
        "randn",
        "randint",
        "randperm",
        "normal",
    )
)
FROM_TENSORS = frozenset(
    (
        "rand_like",
        "randn_like",
        "randint_like",
        "bernoulli",
        "binomial",
        "poisson",
        "multinomial",
        "normal",
        "_standard_gamma",
        "rrelu",
        "dropout",
        "native_dropout",
        "alpha_dropout",
        "feature_dropout",
        "feature_alpha_dropout",
    )
)
IN_PLACE = frozenset(
    (
        "uniform_",
        "normal_",
        "bernoulli_",
        "exponential_",
        "random_",
        "cauchy_",
        "geometric_",
        "log_normal_",
        "dropout_",
        "alpha_dropout_",
        "feature_dropout_",
        "feature_alpha_dropout_",
        "rrelu_",
    )
)
NAMES = FACTORIES | FROM_TENSORS | IN_PLACE
_SHAPES_ONLY = ("rand_like", "randn_like", "randint_like")
_FILLS = frozenset(
    (
        "uniform_",
        "normal_",
        "exponential_",
        "random_",
        "cauchy_",
        "geometric_",
        "log_normal_",
    )
)


class Randomness:
    """The mode that random operators ask while a ``vmap`` runs."""

    _is_partial = True

    def __init__(self, level):
        self.level = level

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name, kwargs = func.__name__, dict(kwargs or {})
        style = "function" if type(func).__name__ == "builtin_function_or_method" else "method"
        call = bind(name, style, self.level, args, {k: v for k, v in kwargs.items() if k != "out"})
        if _draws_nothing(call):
            return _plain(call)
        if self.level.randomness == "error":
            raise RuntimeError(
                "vmap: called random operation while in randomness error mode. Please either use the 'same' or "
                "'different' randomness flags on vmap or perform the randomness operation out of vmap"
            )
        if kwargs.get("out") is not None:
            raise NotImplementedError(f"vmap: there is no rule for {name}() with out=")
        different = self.level.randomness == "different"
        if name in IN_PLACE:
            return _in_place(call, different)
        if not any(isinstance(v, Tensor) for v in call.given.values()):
            return _factory(call) if different else call.run()
        return _of_tensors(call, different)


def _draws_nothing(call):
    name = "training" if call.name.startswith("rrelu") else "train"
    return any(p.name == name for p in call.parameters) and not call.get(name)


def _plain(call):
    """An operator that draws nothing this time, on whole batches."""
    level, x = call.level, call.first
    if not level.holds(x):
        return call.run()
    result = call.run_first(x.value)
    return x if call.name in IN_PLACE else level.wrap(result)


def _factory(call):
    level = call.level
    if call.name == "randperm":
        count = call.get("n")
        kept = {k: v for k, v in call.given.items() if k in ("generator", "device")}
        order = ops.rand(level.size, count, **kept).argsort(-1)
        return level.wrap(order.to(call.given.get("dtype") or _core.int64))
    size = call.get("size")
    size = tuple(size) if isinstance(size, (tuple, list)) else (size,)
    return level.wrap(call.run(size=(level.size, *size)))


def _of_tensors(call, different):
    names = [n for n, v in call.given.items() if isinstance(v, Tensor)]
    if different:
        return _different(call, names)
    if not call.batched_names():
        return call.run()
    if call.name in _SHAPES_ONLY:
        return call.run_first(ops.empty(tuple(call.first.shape), dtype=call.first.dtype, device=call.first.device))
    if call.name in ("dropout", "feature_dropout"):
        x = call.first
        return x * call.run_first(ops.ones(tuple(x.shape), dtype=x.dtype, device=x.device))
    if call.name == "normal":
        shape = next(call.given[n] for n in names).shape
        noise = ops.randn(tuple(shape), generator=call.given.get("generator"))
        mean, std = (v.detach() if isinstance(v, Tensor) else v for v in (call.get("mean"), call.get("std")))
        return mean + noise * std
    if call.name in ("alpha_dropout", "feature_alpha_dropout"):
        return _alpha_dropout(call)
    raise RuntimeError(
        f"vmap: Vmap does not currently support same randomness with a batched tensor input to {call.name}(). "
        "Please use randomness='different' or draw outside of vmap"
    )


# The value that an element which is dropped takes, minus the product of SELU's scale and slope.
_DROPPED = -1.7580993408473766


def _alpha_dropout(call):
    """Dropout that keeps mean and variance (Klambauer et al. 2017), with one choice for all examples."""
    x, p = call.first, call.get("p")
    if p == 1:
        return x * 0
    ones = ops.ones(tuple(x.shape), dtype=x.dtype, device=x.device)
    draw = ops.feature_dropout if call.name.startswith("feature") else ops.dropout
    kept = draw(ones, p, True) != 0
    scale = ((1 - p) * (1 + p * _DROPPED**2)) ** -0.5
    return ops.where(kept, x, _DROPPED) * scale - scale * _DROPPED * p


def _different(call, names):
    level = call.level
    if call.name == "multinomial":
        x = call.first
        rows = level.physical(x)
        if x.dim() == 2:
            drawn = call.run_first(rows.flatten(0, 1)).unflatten(0, (level.size, x.shape[0]))
        else:
            drawn = call.run_first(rows)
        return level.wrap(drawn)
    if call.name.startswith("feature_"):
        x = call.first
        rows = level.physical(x)
        if x.dim() >= 2:
            return level.wrap(call.run_first(rows.flatten(0, 1)).unflatten(0, (level.size, x.shape[0])))
        return level.wrap(call.run_first(rows))
    rank = max(call.given[n].dim() for n in names)
    given = {n: level.padded(level.wrap(level.physical(call.given[n])), rank) for n in names}
    return level.wrap(call.run(**given))


def _in_place(call, different):
    level, x = call.level, call.first
    batched = call.batched_names()
    if different and not level.holds(x):
        raise RuntimeError(
            "vmap: Cannot ask for different inplace randomness on an unbatched tensor. This will appear like same "
            "randomness. Draw into a tensor with a batch dim, or out of place."
        )
    if not batched:
        return call.run()
    if not level.holds(x):
        raise RuntimeError(f"vmap: {call.name}() cannot write what has a batch dim into a tensor that has none")
    if different:
        if call.name in _FILLS or call.name == "bernoulli_":
            given = {n: level.padded(level.wrap(level.physical(call.given[n])), x.dim()) for n in batched[1:]}
            call.run_first(x.value, **given)
        else:
            call.name = call.name[:-1]
            x.value.copy_(_different(call, [n for n, v in call.given.items() if isinstance(v, Tensor)]).value)
        return x
    if len(batched) > 1:
        raise RuntimeError(f"vmap: {call.name}() with a batched argument cannot draw the same for all examples")
    if call.name in _FILLS or call.name == "bernoulli_":
        drawn = call.run_first(ops.empty(tuple(x.shape), dtype=x.dtype, device=x.device))
        x.value.copy_(drawn)
    else:
        call.name = call.name[:-1]
        x.value.copy_(_of_tensors(call, False).value)
    return x


@rule("rrelu", "dropout")
def drawn(call):
    return Randomness(call.level).__torch_function__(getattr(ops, call.name), (), (), call.given)
