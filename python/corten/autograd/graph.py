"""The gradient graph for its users: nodes and edges, hooks on several gradients, and hooks on what operators save."""

import abc
import contextlib
import threading
from typing import NamedTuple

from .. import _core
from .function import FunctionCtx


class Node(abc.ABC):
    """A step of the gradient graph, as `tensor.grad_fn` shows it.

    The step of an `autograd.Function` is its context. Every step has `name()`, `next_functions`, `metadata`,
    `register_hook(hook)` and `register_prehook(hook)`.
    """

    @abc.abstractmethod
    def name(self):
        """The step's name, such as `MulBackward0`."""

    @property
    @abc.abstractmethod
    def next_functions(self):
        """The steps that gradients go to from here, as pairs of step and number of its output."""


Node.register(_core.Node)
Node.register(FunctionCtx)


class GradientEdge(NamedTuple):
    """Where a gradient arrives: a step of the graph, and which of its outputs the gradient belongs to."""

    node: Node
    output_nr: int
    ownership_token: Node | None = None


def get_gradient_edge(tensor):
    """The `GradientEdge` at which the gradient of `tensor` arrives.

    Raises:
        RuntimeError: `tensor` does not require grad.
    """
    if not tensor.requires_grad:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    node, number = _core.gradient_edge(tensor)
    return GradientEdge(node, number)


def increment_version(tensor):
    """Counts a write to `tensor`, or to each of several, that autograd did not see.

    What was saved of them for a backward pass is stale from now on.
    """
    _core.increment_version([tensor] if isinstance(tensor, _core.Tensor) else list(tensor))


class _OpenHooks(threading.local):
    """How many pairs of hooks on what operators save are in place in this thread."""

    count = 0


_open_hooks = _OpenHooks()


@contextlib.contextmanager
def without_saved_hooks():
    """Inside the block, operators save their values as they are."""
    if not _open_hooks.count:
        yield
        return
    with saved_tensors_hooks(_as_it_is, _as_it_is):
        yield


def _as_it_is(tensor):
    return tensor


class saved_tensors_hooks:
    """Inside the block, everything that operators save for their gradients goes through a pair of functions.

    `pack_hook(tensor)` is called when a value is saved; what it returns is kept in the value's place. When the value is
    needed, `unpack_hook(packed)` gives it back as a tensor of the same content. Values that were packed are not checked
    for having been written in place. Blocks nest, and the innermost pair is used.

    >>> with corten.autograd.graph.saved_tensors_hooks(lambda t: t.bfloat16(), lambda t: t.float()):
    ...     y = x.exp()
    """

    def __init__(self, pack_hook, unpack_hook):
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook

    def __enter__(self):
        _core.push_saved_hooks(self.pack_hook, self.unpack_hook)
        _open_hooks.count += 1

    def __exit__(self, *error):
        _open_hooks.count -= 1
        _core.pop_saved_hooks()


class save_on_cpu(saved_tensors_hooks):
    """Inside the block, what operators save is kept in the CPU's memory until the backward pass needs it.

    Args:
        pin_memory: accepted; the CPU is the only device, so there is no memory to be pinned for transfers.
        device_type: accepted.
    """

    def __init__(self, pin_memory=False, device_type="cuda"):
        super().__init__(lambda t: (t.device, t.cpu()), lambda packed: packed[1].to(packed[0]))


@contextlib.contextmanager
def disable_saved_tensors_hooks(error_message):
    """Inside the block, hooks on what operators save are refused with a `RuntimeError` of this text."""
    before = _core.refuse_saved_hooks(error_message)
    try:
        yield
    finally:
        _core.refuse_saved_hooks(before)


class _AllowMutation:
    """What `allow_mutation_on_saved_tensors` hands out: whether its block is still open."""

    def __init__(self):
        self.open = True

    def clear(self):
        """Nothing to be done: what is kept goes with the graph."""

    def unpack(self, tensor):
        if not self.open:
            raise AssertionError(
                "Trying to backward outside of the 'allow_mutation_on_saved_tensors' context in which the graph was "
                "originally recorded."
            )
        return tensor


_mutation = threading.local()


@contextlib.contextmanager
def allow_mutation_on_saved_tensors():
    """Inside the block, tensors that operators have saved may be written in place before the backward pass.

    The gradients are those of the values of before. A value is copied only if it is in fact written. The backward pass
    has to run inside the block as well.
    """
    if getattr(_mutation, "active", False):
        raise RuntimeError("allow_mutation_on_saved_tensors contexts cannot be nested")
    context = _AllowMutation()
    _mutation.active = True
    try:
        with saved_tensors_hooks(_core.snapshot, context.unpack):
            yield context
    finally:
        context.open = _mutation.active = False


class _Handles:
    """Removes several hooks at once; also a context manager."""

    def __init__(self, handles):
        self.handles = handles

    def remove(self):
        for handle in self.handles:
            handle.remove()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.remove()


def register_multi_grad_hook(tensors, fn, *, mode="all"):
    """Calls `fn` in every backward pass that computes gradients of `tensors`.

    Args:
        mode: `"all"` calls `fn(grads)` when the last of the gradients is there, with `None` for the tensors that the
            pass does not reach; `"any"` calls `fn(grad)` with the first of them.

    Returns:
        A handle whose `remove()` takes the hook away.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    tensors = tuple(tensors)
    if mode == "all":
        return _Handles(_register_all(tensors, fn))
    lock, last = threading.Lock(), None

    def first(grad):
        nonlocal last
        task = _core.backward_pass()
        with lock:
            known, last = last == task, task
        if not known:
            fn(grad)

    return _Handles([t.register_hook(first) for t in tensors])


def _register_all(tensors, fn):
    lock, passes = threading.Lock(), {}

    def hook(i, grad):
        task = _core.backward_pass()
        with lock:
            if task not in passes:
                passes[task] = [sum(map(_core.backward_pass_reaches, tensors)), [None] * len(tensors)]
            state = passes[task]
            state[0] -= 1
            state[1][i] = grad
            done = state[0] == 0
            if done:
                del passes[task]
        if done:
            fn(state[1])

    return [t.register_hook(lambda grad, i=i: hook(i, grad)) for i, t in enumerate(tensors)]


def set_warn_on_accumulate_grad_stream_mismatch(enabled):
    """Accepted: a GPU has one queue, so gradients cannot arrive on another stream than their parameter's."""


def set_override_stale_capture_stream(enabled):
    """Accepted: there are no captured streams; see :func:`corten.compile`."""


@contextlib.contextmanager
def region_activation_memory_budget(budget):
    """Accepted: what a backward pass reads is kept, whatever share of it is asked for.

    Args:
        budget: a number in [0, 1].

    Raises:
        ValueError: it is outside.
    """
    if not 0 <= budget <= 1:
        raise ValueError(f"region_activation_memory_budget: budget must be in [0, 1], got {budget}")
    yield


__all__ = [
    "GradientEdge",
    "Node",
    "allow_mutation_on_saved_tensors",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "increment_version",
    "region_activation_memory_budget",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
    "set_override_stale_capture_stream",
    "set_warn_on_accumulate_grad_stream_mismatch",
]
