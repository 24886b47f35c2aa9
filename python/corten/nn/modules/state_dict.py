"""Saving and restoring the state of one module and of its tree: the mechanics behind Module.state_dict."""

import warnings
from collections import OrderedDict, namedtuple

import corten

from ..parameter import Parameter

_EXTRA_STATE_KEY_SUFFIX = "_extra_state"


class _IncompatibleKeys(namedtuple("IncompatibleKeys", ("missing_keys", "unexpected_keys"))):
    """What ``load_state_dict`` found missing in the checkpoint and what it could not place."""

    __slots__ = ()

    def __repr__(self):
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys!r}, unexpected_keys={self.unexpected_keys!r})"

    __str__ = __repr__


def has_extra_state(module, base):
    return type(module).get_extra_state is not base.get_extra_state


def collect(module, destination, prefix, keep_vars):
    """Fills ``destination`` with the module tree's state, depth first, running the hooks of every module."""
    metadata = {"version": module._version}
    if hasattr(destination, "_metadata"):
        destination._metadata[prefix[:-1]] = metadata
    for hook in module._state_dict_pre_hooks.values():
        hook(module, prefix, keep_vars)
    module._save_to_state_dict(destination, prefix, keep_vars)
    for name, child in module._modules.items():
        if child is not None:
            child.state_dict(destination=destination, prefix=prefix + name + ".", keep_vars=keep_vars)
    for hook in module._state_dict_hooks.values():
        result = hook(module, destination, prefix, metadata)
        if getattr(hook, "_from_public_api", False):
            if result is not None:
                raise RuntimeError("state_dict post-hook must return None")
        elif result is not None:
            destination = result
    return destination


def load_tree(module, state_dict, strict, assign):
    """Loads ``state_dict`` into the module tree; returns the incompatible keys or raises every error at once."""
    missing_keys, unexpected_keys, error_msgs = [], [], []
    metadata = getattr(state_dict, "_metadata", None)
    state_dict = OrderedDict(state_dict)
    if metadata is not None:
        state_dict._metadata = metadata

    def load(target, local_state, prefix):
        local_metadata = {} if metadata is None else metadata.get(prefix[:-1], {})
        if assign:
            local_metadata["assign_to_params_buffers"] = assign
        target._load_from_state_dict(
            local_state, prefix, local_metadata, True, missing_keys, unexpected_keys, error_msgs
        )
        for name, child in target._modules.items():
            if child is not None:
                child_prefix = prefix + name + "."
                child_state = {key: value for key, value in local_state.items() if key.startswith(child_prefix)}
                load(child, child_state, child_prefix)
        incompatible_keys = _IncompatibleKeys(missing_keys, unexpected_keys)
        for hook in target._load_state_dict_post_hooks.values():
            if hook(target, incompatible_keys) is not None:
                raise AssertionError(
                    "Hooks registered with ``register_load_state_dict_post_hook`` are not expected to return new "
                    "values, if incompatible_keys need to be modified, it should be done inplace."
                )

    load(module, state_dict, "")
    if strict:
        if unexpected_keys:
            error_msgs.insert(0, f"Unexpected key(s) in state_dict: {_quoted(unexpected_keys)}. ")
        if missing_keys:
            error_msgs.insert(0, f"Missing key(s) in state_dict: {_quoted(missing_keys)}. ")
    if error_msgs:
        details = "\n\t".join(error_msgs)
        raise RuntimeError(f"Error(s) in loading state_dict for {type(module).__name__}:\n\t{details}")
    return _IncompatibleKeys(missing_keys, unexpected_keys)


def _quoted(keys):
    return ", ".join(f'"{key}"' for key in keys)


def load_one(module, base, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs):
    """Loads the parameters, persistent buffers and extra state of ``module`` alone, collecting what goes wrong."""
    for hook, with_module in module._load_state_dict_pre_hooks.values():
        leading = (module,) if with_module else ()
        hook(*leading, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)

    local = dict(module._parameters)
    for name, buffer in module._buffers.items():
        if name not in module._non_persistent_buffers_set:
            local[name] = buffer
    local = {name: tensor for name, tensor in local.items() if tensor is not None}

    assign = local_metadata.get("assign_to_params_buffers", False)
    for name, tensor in local.items():
        key = prefix + name
        if key in state_dict:
            _load_tensor(module, name, key, tensor, state_dict[key], assign, error_msgs)
        elif strict:
            missing_keys.append(key)

    extra_key = prefix + _EXTRA_STATE_KEY_SUFFIX
    if type(module).set_extra_state is not base.set_extra_state:
        if extra_key in state_dict:
            module.set_extra_state(state_dict[extra_key])
        elif strict:
            missing_keys.append(extra_key)
    elif strict and extra_key in state_dict:
        unexpected_keys.append(extra_key)

    if strict:
        for key in state_dict:
            if key.startswith(prefix) and key != extra_key:
                head, dot, _ = key[len(prefix) :].partition(".")
                if head not in (module._modules if dot else local):
                    unexpected_keys.append(key)


def _load_tensor(module, name, key, tensor, loaded, assign, error_msgs):
    if not isinstance(loaded, corten.Tensor):
        error_msgs.append(
            f'While copying the parameter named "{key}", expected corten.Tensor or Tensor-like object from '
            f"checkpoint but received {type(loaded)}"
        )
        return
    lazy = getattr(tensor, "is_uninitialized_tensor", False)
    if not lazy:
        if tensor.dim() == 0 and loaded.dim() == 1 and loaded.shape[0] == 1:
            # Scalars were once saved as one-element vectors.
            loaded = loaded[0]
        if tensor.shape != loaded.shape:
            error_msgs.append(
                f"size mismatch for {key}: copying a param with shape {loaded.shape} from checkpoint, "
                f"the shape in current model is {tensor.shape}."
            )
            return
    if tensor.is_meta and not loaded.is_meta and not assign:
        warnings.warn(
            f"for {key}: copying from a non-meta parameter in the checkpoint to a meta parameter in the current model, "
            "which is a no-op. (Did you mean to pass `assign=True` to assign items in the state dictionary to their "
            "corresponding key in the module instead of copying them in place?)",
            stacklevel=2,
        )
    try:
        with corten.no_grad():
            if not assign:
                tensor.copy_(loaded)
                return
            if isinstance(tensor, Parameter):
                if isinstance(loaded, Parameter):
                    loaded.requires_grad_(tensor.requires_grad)
                else:
                    loaded = Parameter(loaded, requires_grad=tensor.requires_grad)
            setattr(module, name, loaded)
    except Exception as error:
        error_msgs.append(
            f'While copying the parameter named "{key}", whose dimensions in the model are {tensor.shape} and whose '
            f"dimensions in the checkpoint are {loaded.shape}, an exception occurred : {error.args}."
        )
