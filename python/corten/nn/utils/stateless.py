"""Calling a module with other parameters and buffers than its own."""

import contextlib
import warnings

import corten

__all__ = ["functional_call"]

_ABSENT = object()


def _owner(module, path):
    prefix, _, name = path.rpartition(".")
    return module.get_submodule(prefix), name


def _swap(module, path, value):
    """Puts the value in the tensor's place and returns what was there, or a mark for nothing."""
    owner, name = _owner(module, path)
    for registry in (owner._parameters, owner._buffers):
        if name in registry:
            old = registry[name]
            if value is _ABSENT:
                del registry[name]
            else:
                registry[name] = value
            return old
    old = getattr(owner, name, _ABSENT)
    if value is _ABSENT:
        delattr(owner, name)
    else:
        setattr(owner, name, value)
    return old


def _with_ties(module, values):
    """The values, also under every other name of the tensors that they replace.

    Raises:
        ValueError: two names of one tensor have different values.
    """
    groups = {}
    for named in (module.named_parameters, module.named_buffers):
        for name, tensor in named(remove_duplicate=False):
            groups.setdefault(id(tensor), []).append(name)
    tied = dict(values)
    for names in groups.values():
        given = [name for name in names if name in values]
        if len({id(values[name]) for name in given}) > 1:
            raise ValueError(
                f"functional_call got multiple values for keys {sorted(given)}, which are tied. Consider using "
                "tie_weights=False"
            )
        if given:
            tied.update(dict.fromkeys(names, values[given[0]]))
    return tied


def _check_names(module, values):
    """Strict mode: the values are those of all parameters and buffers.

    Raises:
        RuntimeError: some are missing or unknown.
    """
    names = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    names |= {name for name, _ in module.named_buffers(remove_duplicate=False)}
    problems = []
    if unexpected := sorted(set(values) - names):
        problems.append(f"Unexpected key(s): {', '.join(unexpected)}.")
    if missing := sorted(names - set(values)):
        problems.append(f"Missing key(s): {', '.join(missing)}.")
    if problems:
        text = "\n\t".join(problems)
        raise RuntimeError(f"Error(s) in reparametrizing for {module._get_name()}:\n\t{text}")


@contextlib.contextmanager
def _reparametrize_module(module, parameters_and_buffers, *, tie_weights=False, strict=False):
    """The module has the given tensors inside the block; what it put in their place afterwards goes to the dict."""
    values = _with_ties(module, parameters_and_buffers) if tie_weights else dict(parameters_and_buffers)
    if strict:
        _check_names(module, values)
    for name, value in values.items():
        if value is not None and not isinstance(value, corten.Tensor):
            raise TypeError(f"functional_call: {name} has to be a tensor, got {type(value).__name__}")
    corten._core.bump_rebinds()
    former = {}
    try:
        for name, value in values.items():
            former[name] = _swap(module, name, value)
        yield
    finally:
        # Last swapped first: a name may be there twice, as an attribute and inside what it names.
        left = {name: _swap(module, name, old) for name, old in reversed(former.items())}
        parameters_and_buffers.update({name: left[name] for name in parameters_and_buffers if name in left})
        corten._core.bump_rebinds()


def _call(module, values, args, kwargs, tie_weights, strict):
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    with _reparametrize_module(module, values, tie_weights=tie_weights, strict=strict):
        return module(*args, **({} if kwargs is None else kwargs))


def functional_call(module, parameters_and_buffers, args=None, kwargs=None, *, tie_weights=True, strict=False):
    """Deprecated, as in PyTorch; use :func:`corten.func.functional_call`, which does the same."""
    warnings.warn(
        "`torch.nn.utils.stateless.functional_call` is deprecated as of PyTorch 2.0 and will be removed in a future "
        "version of PyTorch. Please use `torch.func.functional_call` instead which is a drop-in replacement.",
        FutureWarning,
        stacklevel=2,
    )
    return _call(module, parameters_and_buffers, args, kwargs, tie_weights, strict)
