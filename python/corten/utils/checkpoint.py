"""Checkpointing: values are computed again in the backward pass instead of being kept (Chen et al. 2016)."""

import contextlib
import enum
import sys
import warnings
import weakref
from collections import namedtuple

import corten

from .. import _autocast, _core
from ..amp import autocast
from ..autograd import Function
from ..autograd.graph import saved_tensors_hooks
from ..autograd.passes import is_selective

__all__ = [
    "CheckpointError",
    "CheckpointFunction",
    "CheckpointPolicy",
    "DefaultDeviceType",
    "GraphExecGroup",
    "SAC_IGNORED_OPS",
    "SelectiveCheckpointContext",
    "check_backward_validity",
    "checkpoint",
    "checkpoint_sequential",
    "create_selective_checkpoint_contexts",
    "detach_variable",
    "get_device_states",
    "noop_context_fn",
    "set_checkpoint_debug_enabled",
    "set_checkpoint_early_stop",
    "set_device_states",
]

Tensor = corten.Tensor


class CheckpointError(RuntimeError):
    """What is computed again in the backward pass is not what the forward pass computed."""


class DefaultDeviceType:
    """The kind of device whose random state and autocast are restored where no argument lies on a GPU."""

    _default_device_type = "cuda"

    @staticmethod
    def set_device_type(device="cuda"):
        """Sets the kind of device."""
        DefaultDeviceType._default_device_type = device

    @staticmethod
    def get_device_type():
        """The kind of device."""
        return DefaultDeviceType._default_device_type


class GraphExecGroup:
    """A block that joins several backward passes: values that are computed again serve all of them."""

    _open = None

    def __enter__(self):
        if GraphExecGroup._open is not None:
            raise RuntimeError(
                f"GraphExecGroup contexts cannot be nested. An existing group {GraphExecGroup._open} is already active."
            )
        GraphExecGroup._open = self

    def __exit__(self, *error):
        GraphExecGroup._open = None


class CheckpointPolicy(enum.Enum):
    """What selective checkpointing may do with an operator's results."""

    MUST_SAVE = 0
    PREFER_SAVE = 1
    MUST_RECOMPUTE = 2
    PREFER_RECOMPUTE = 3
    MUST_CPU_OFFLOAD = 4
    PREFER_CPU_OFFLOAD = 5


class SelectiveCheckpointContext:
    """What a policy of selective checkpointing is given: whether the call is one of the backward pass."""

    def __init__(self, *, is_recompute):
        self.is_recompute = is_recompute


# Operators that selective checkpointing leaves alone.
SAC_IGNORED_OPS: set = set()


def create_selective_checkpoint_contexts(policy_fn_or_list, allow_cache_entry_mutation=False):
    """What `checkpoint` takes as ``context_fn`` to keep the results of some operators and compute others again.

    Args:
        policy_fn_or_list: ``policy(ctx, op, *args, **kwargs)``, which returns a `CheckpointPolicy` for a call of the
            first run; or a list of the operators whose results are kept. Operators are named as PyTorch's dispatcher
            sees them: ``corten.ops.aten.mm.default`` for every product of matrices, `nn.functional.linear` without a
            bias included.
        allow_cache_entry_mutation: whether kept results may have been written to since.

    Returns:
        Two contexts, around the first and the second run. Views, conversions of dtypes and devices, and arguments that
        were written are never kept.

    Raises:
        ValueError, TypeError: it is no list of operators or function.
        RuntimeError: in the backward pass, where a kept result was written to, or for a second pass.

    Example:
        >>> keep = functools.partial(create_selective_checkpoint_contexts, [corten.ops.aten.mm.default])
        >>> y = checkpoint(function, x, use_reentrant=False, context_fn=keep)
    """
    from . import _selective

    save = (CheckpointPolicy.MUST_SAVE, CheckpointPolicy.PREFER_SAVE)
    offload = (CheckpointPolicy.MUST_CPU_OFFLOAD, CheckpointPolicy.PREFER_CPU_OFFLOAD)
    context = SelectiveCheckpointContext(is_recompute=False)
    otherwise = CheckpointPolicy.PREFER_RECOMPUTE
    return _selective.contexts(policy_fn_or_list, allow_cache_entry_mutation, save, offload, context, otherwise)


def noop_context_fn():
    """Two blocks that do nothing: the default of ``context_fn``."""
    return contextlib.nullcontext(), contextlib.nullcontext()


_early_stop = None
_debug = None


@contextlib.contextmanager
def set_checkpoint_early_stop(enable):
    """Inside the block, says for all checkpoints whether a recomputation stops at the last value that is needed."""
    global _early_stop
    before, _early_stop = _early_stop, enable
    try:
        yield
    finally:
        _early_stop = before


@contextlib.contextmanager
def set_checkpoint_debug_enabled(enabled):
    """Inside the block, says for all checkpoints whether errors list what was saved; None leaves it to each."""
    global _debug
    before, _debug = _debug, enabled
    try:
        yield
    finally:
        _debug = before


def detach_variable(inputs):
    """The tensors of a tuple detached from their graph, with their ``requires_grad``; other things as they are.

    Raises:
        RuntimeError: for anything but a tuple.
    """
    if not isinstance(inputs, tuple):
        raise RuntimeError(f"Only tuple of tensors is supported. Got Unsupported input type: {type(inputs).__name__}")
    return tuple(
        item.detach().requires_grad_(item.requires_grad) if isinstance(item, Tensor) else item for item in inputs
    )


def check_backward_validity(inputs):
    """Warns where no tensor among the inputs requires grad."""
    if not any(isinstance(item, Tensor) and item.requires_grad for item in inputs):
        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2)


def get_device_states(*args):
    """The numbers of the GPUs on which tensors among the arguments lie, and the states of their generators."""
    devices = sorted({item.device.index or 0 for item in _tensors(args) if item.device.type != "cpu"})
    return devices, [corten.gpu.get_rng_state(device) for device in devices]


def set_device_states(devices, states, *, device_type=None):
    """Sets the generators of GPUs to what `get_device_states` told.

    Args:
        device_type: there for programs that pass it.
    """
    for device, state in zip(devices, states, strict=True):
        corten.gpu.set_rng_state(state, device)


def _tensors(value):
    """The tensors in arguments, containers included."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


class _Surroundings:
    """Random states, autocast and devices of a call, to do it again in the same."""

    def __init__(self, args, preserve_rng_state):
        self.preserve = preserve_rng_state
        if preserve_rng_state:
            self.state = corten.get_rng_state()
            self.devices, self.states = get_device_states(*args)
        kinds = {"cpu", _autocast.kind(DefaultDeviceType.get_device_type())}
        cache = _autocast.is_autocast_cache_enabled()
        self.autocast = [
            (kind, _autocast.get_autocast_dtype(kind), _autocast.is_autocast_enabled(kind), cache)
            for kind in sorted(kinds)
        ]

    @contextlib.contextmanager
    def again(self):
        with contextlib.ExitStack() as stack:
            if self.preserve:
                stack.enter_context(corten.random.fork_rng(self.devices))
                corten.set_rng_state(self.state)
                set_device_states(self.devices, self.states)
            for kind, dtype, enabled, cache in self.autocast:
                # Nothing to be switched for kinds of devices that are not there.
                if enabled or _autocast.is_autocast_enabled(kind):
                    stack.enter_context(autocast(kind, dtype=dtype, enabled=enabled, cache_enabled=cache))
            yield


class CheckpointFunction(Function):
    """The variant with a backward pass inside the backward pass: nothing but the inputs is kept."""

    @staticmethod
    def forward(ctx, run_function, preserve_rng_state, *args):
        """The function's results, without a graph."""
        check_backward_validity(args)
        ctx.run_function = run_function
        ctx.surroundings = _Surroundings(args, preserve_rng_state)
        ctx.places = [isinstance(item, Tensor) for item in args]
        ctx.others = [None if isinstance(item, Tensor) else item for item in args]
        ctx.save_for_backward(*[item for item in args if isinstance(item, Tensor)])
        with corten.no_grad():
            return run_function(*args)

    @staticmethod
    def backward(ctx, *grads):
        """Runs the function again, with a graph, and goes back through it."""
        if is_selective():
            raise RuntimeError(
                "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or passing an `inputs` "
                "parameter to .backward(). To resolve this error, you can either set use_reentrant=False, or call "
                ".backward() without passing the `inputs` argument."
            )
        saved = iter(ctx.saved_tensors)
        inputs = [next(saved) if there else other for there, other in zip(ctx.places, ctx.others, strict=True)]
        inputs = detach_variable(tuple(inputs))
        with ctx.surroundings.again(), corten.enable_grad():
            outputs = ctx.run_function(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        pairs = [
            (out, grad)
            for out, grad in zip(outputs, grads, strict=True)
            if isinstance(out, Tensor) and out.requires_grad
        ]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        corten.autograd.backward([out for out, _ in pairs], [grad for _, grad in pairs])
        return (None, None, *[item.grad if isinstance(item, Tensor) else None for item in inputs])


# -- the variant that computes again what an operator's gradient asks for --------------------------------------------

_Description = namedtuple("_Description", "shape dtype device")


def _describe(tensor):
    return _Description(tuple(tensor.shape), tensor.dtype, tensor.device)


class _Stop(Exception):
    """Ends a recomputation: all that is needed is there."""


class _Holder:
    """Stands for a saved tensor; its index is the number of values that the part saved before."""

    __slots__ = ("__weakref__", "description", "index", "value")

    def __init__(self, index, description):
        self.index, self.description, self.value = index, description, None


class _KeptInputs(Function):
    """Keeps a call's tensors in the graph, where a checkpoint around this one sees them and lets them go too."""

    @staticmethod
    def forward(ctx, mark, *tensors):
        ctx.save_for_backward(*tensors)
        mark.append(ctx)
        return corten.empty(0)

    @staticmethod
    def backward(ctx, *grads):
        raise AssertionError("this step of the graph is never gone through")


class _Frame:
    """One call of a checkpointed function: its inputs, and what stands for the values it saved."""

    def __init__(self, function, args, kwargs, options):
        self.function = function
        self.early_stop, self.check, self.debug, self.context = options
        self.holders = []
        self.saved = []
        self.held = self.stopped = False
        self._keep(args, kwargs)

    def _keep(self, args, kwargs):
        """Takes the tensors that need a gradient, or may be results of others that do, out of the arguments."""
        self.tensors, mark = [], []

        def out(value):
            if isinstance(value, Tensor):
                self.tensors.append(value)
                return _Place(len(self.tensors) - 1)
            return value

        self.args = tuple(map(out, args))
        self.kwargs = {name: out(value) for name, value in kwargs.items()}
        # A step of the graph is needed for hooks on what it saves.
        dummy = corten.empty(0, requires_grad=True)
        self.anchor = _KeptInputs.apply(mark, dummy, *self.tensors)
        self.kept, self.tensors = mark[0], None

    def arguments(self):
        tensors = self.kept.saved_tensors[1:]

        def back(value):
            return tensors[value.index] if isinstance(value, _Place) else value

        return [back(item) for item in self.args], {name: back(item) for name, item in self.kwargs.items()}

    # In the forward pass.

    def pack(self, tensor):
        holder = _Holder(len(self.holders), _describe(tensor))
        self.holders.append(weakref.ref(holder))
        if self.debug:
            self.saved.append(holder.description)
        return holder

    # In the backward pass.

    def unpack(self, holder):
        if holder.value is None:
            self.compute_again()
        value = holder.value
        if value is None:
            raise CheckpointError(
                "torch.utils.checkpoint: A different number of tensors was saved during the original forward and "
                f"recomputation.\nNumber of tensors saved during forward: {len(self.holders)}\nNumber of tensors saved "
                f"during recomputation: {self.count}.{self._report()}"
            )
        # A second pass through the graph computes it again, unless both belong together.
        if GraphExecGroup._open is None:
            holder.value = None
        self._compare(holder, value)
        return value

    def _compare(self, holder, value):
        found = _describe(value)
        if self.check and found != holder.description:
            expected = holder.description._asdict()
            raise CheckpointError(
                "torch.utils.checkpoint: Recomputed values for the following tensors have different metadata than "
                f"during the forward pass.\ntensor at position {holder.index}:\nsaved metadata: {expected}\n"
                f"recomputed metadata: {found._asdict()}\n.{self._report()}"
            )

    def _report(self):
        if not self.debug:
            return (
                "\n\nTip: with `debug=True`, or inside `set_checkpoint_debug_enabled(True)`, the error lists what was "
                "saved."
            )

        def lines(descriptions):
            return "\n".join(f"  {i}: {tuple(d.shape)} {d.dtype} {d.device}" for i, d in enumerate(descriptions))

        return f"\n\nSaved by the forward pass:\n{lines(self.saved)}\nSaved again:\n{lines(self.again)}"

    def compute_again(self):
        """Runs the function and gives every holder that is still alive its value."""
        self.count, self.again = 0, []
        needed = sum(ref() is not None for ref in self.holders)

        def pack(tensor):
            nonlocal needed
            if self.debug:
                self.again.append(_describe(tensor))
            index, self.count = self.count, self.count + 1
            if index >= len(self.holders):
                if not self.early_stop:
                    raise CheckpointError(
                        "torch.utils.checkpoint: trying to save more tensors during recomputation than during the "
                        f"original forward pass.{self._report()}"
                    )
                raise _Stop
            holder = self.holders[index]()
            if holder is not None:
                holder.value = tensor.detach()
                needed -= 1
            if needed == 0 and self.early_stop:
                if not self.held:
                    raise _Stop
                self.stopped = True
            return tensor.detach()

        args, kwargs = self.arguments()
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.suppress(_Stop))
            stack.enter_context(self.surroundings.again())
            stack.enter_context(corten.enable_grad())
            # Selective checkpointing puts results of the first run in the place of new ones.
            self.held = self.stopped = False
            if hasattr(self.context[1], "frame"):
                self.context[1].frame = self
            stack.enter_context(self.context[1])
            # What is unpacked in the function itself, by a gradient within, is what was just packed.
            stack.enter_context(saved_tensors_hooks(pack, lambda value: value))
            self.function(*args, **kwargs)

    # What selective checkpointing does around an operator of the second run.

    def hold(self):
        """Lets an operator end that saves the last value that is needed; the number of values saved before it."""
        self.held = True
        return self.count

    def replace(self, begin, found, kept):
        """Puts kept tensors in the place of found ones among the values that were saved since ``begin``."""
        places = {_core.storage_id(tensor): other for tensor, other in zip(found, kept, strict=True)}
        for ref in self.holders[begin : self.count]:
            holder = ref()
            if holder is not None and holder.value is not None:
                holder.value = places.get(_core.storage_id(holder.value), holder.value)

    def release(self):
        """Ends the second run where an operator saved the last value that is needed."""
        self.held = False
        if self.stopped:
            raise _Stop


class _Place:
    """Where a tensor belongs among the arguments."""

    def __init__(self, index):
        self.index = index


def _run_checkpointed(function, args, kwargs, preserve_rng_state, options):
    frame = _Frame(function, args, kwargs, options)
    frame.surroundings = _Surroundings((args, kwargs), preserve_rng_state)
    with saved_tensors_hooks(frame.pack, frame.unpack), frame.context[0]:
        return function(*args, **kwargs)


def _moves(args, kwargs):
    """Whether an argument is a dual number: tangents move as the function runs, and nothing waits to be computed."""
    duals = sys.modules.get("corten.autograd._duals")
    return duals is not None and duals.state.level is not None and bool(duals.duals_of((args, kwargs)))


def checkpoint(
    function,
    *args,
    use_reentrant=None,
    context_fn=noop_context_fn,
    determinism_check="default",
    debug=False,
    early_stop=True,
    **kwargs,
):
    """``function(*args, **kwargs)``, whose inner values are not kept for the backward pass but computed again there.

    Args:
        function: it must do the same in both runs; random numbers are the same (see ``preserve_rng_state``).
        use_reentrant: True for the older variant, which goes back through the second run inside the backward pass and
            needs `backward` without ``inputs``, tensors as arguments and one of them with ``requires_grad``. False is
            recommended: it works with `autograd.grad`, keyword arguments, containers and second derivatives.
        context_fn: returns two context managers, around the first and the second run.
        determinism_check: ``"default"`` compares shape, dtype and device of saved values with those computed again,
            ``"none"`` does not.
        debug: errors list what was saved in both runs.
        early_stop: the second run ends at the last value that is needed.
        preserve_rng_state: among ``kwargs``; whether the second run draws the same random numbers, True by default.

    Raises:
        ValueError: for arguments that the variant does not take.
        CheckpointError: in the backward pass, where the second run saves something else.
    """
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint: the use_reentrant parameter should be passed explicitly. use_reentrant=False is "
            "recommended, but if you need to preserve the current default behavior, you can pass use_reentrant=True.",
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if _moves(args, kwargs):
        return function(*args, **kwargs)
    if kwargs and use_reentrant:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    if use_reentrant:
        if context_fn is not noop_context_fn or debug is not False:
            raise ValueError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
        return CheckpointFunction.apply(function, preserve, *args)
    if determinism_check not in ("default", "none"):
        raise ValueError(f"determinism_check should be one of ['default', 'none'], but got {determinism_check}")
    contexts = context_fn()
    if not _core.is_grad_enabled():
        with contexts[0]:
            return function(*args, **kwargs)
    stop = early_stop if _early_stop is None else _early_stop
    options = (stop, determinism_check == "default", debug if _debug is None else _debug, contexts)
    return _run_checkpointed(function, args, kwargs, preserve, options)


def checkpoint_sequential(functions, segments, input, use_reentrant=None, **kwargs):
    """The functions one after the other, in segments that are each checkpointed but the last.

    Args:
        functions: modules or functions of one argument, or a `corten.nn.Sequential`.
        segments: how many segments.
        input: of the first function.
        use_reentrant: as for `checkpoint`.
        preserve_rng_state: among ``kwargs``, as for `checkpoint`.

    Raises:
        ValueError: for other keyword arguments, and for more segments than functions.
    """
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint.checkpoint_sequential: the use_reentrant parameter should be passed explicitly. "
            "use_reentrant=False is recommended, but if you need to preserve the current default behavior, you can "
            "pass use_reentrant=True.",
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    functions = list(functions.children()) if isinstance(functions, corten.nn.Sequential) else list(functions)
    size = len(functions) // segments
    if size == 0:
        raise ValueError(f"{segments} segments need at least as many functions, but there are {len(functions)}")

    def run(first, last):
        def segment(x):
            for function in functions[first:last]:
                x = function(x)
            return x

        return segment

    last = size * (segments - 1)
    for first in range(0, last, size):
        input = checkpoint(run(first, first + size), input, use_reentrant=use_reentrant, preserve_rng_state=preserve)
    return run(last, len(functions))(input)
