"""A compiled function: recorded when it meets something new, replayed otherwise."""

import contextlib
import functools
import gc
import logging
import types
import weakref
from dataclasses import dataclass, field

import corten

from .. import _settings
from .._autocast import state as autocast
from ._effects import watch
from ._guards import NEW, Guards, is_library
from ._structure import Parts, Unguardable, flatten, outline, rebuild

logger = logging.getLogger("corten.compiler")

# Recordings of one function; what comes after them runs as it is written.
RECORDINGS = 64
# Recordings for one kind of arguments while only the surroundings change.
VARIANTS = 8
# Calls that may make something for later ones, such as a buffer made on first use.
WARM_UPS = 3
_KEPT = "a tensor that the function makes is kept outside of it"


@dataclass
class Statistics:
    """How the calls of a compiled function were served.

    Attributes:
        recordings: calls that ran in Python and were recorded.
        replays: calls that ran without Python.
        eager: calls that ran in Python and were not recorded.
        reasons: why, and why a recording did not serve a later call.
    """

    recordings: int = 0
    replays: int = 0
    eager: int = 0
    reasons: list = field(default_factory=list)


@dataclass
class _Recording:
    guards: Guards
    trace: object
    result: object


class CompiledFunction:
    """Calls ``function``, whose tensor operations are recorded once and replayed without Python.

    Made by :func:`corten.compile`.
    """

    # Set by `corten.compiler.set_stance`.
    forced_eager = False
    # Those that live, for `corten.compiler.reset`.
    instances: weakref.WeakSet = weakref.WeakSet()

    def __init__(self, function, fullgraph=False, on=True):
        self._function = function
        self._fullgraph = fullgraph
        self._on = on
        self.statistics = Statistics()
        self.instances.add(self)
        self.reset()
        with contextlib.suppress(AttributeError):
            functools.update_wrapper(self, function)

    def reset(self):
        """Forgets every recording."""
        self._recordings = {}
        self._warm_ups = 0
        self._count = 0
        self._refusal = None
        self._refused = set()
        self._warned = set()

    @property
    def settings(self):
        """What :meth:`__init__` was given besides the function."""
        return {"fullgraph": self._fullgraph, "on": self._on}

    def __get__(self, instance, owner=None):
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self):
        return f"<compiled {self._function!r}>"

    def __call__(self, *args, **kwargs):
        core = corten._core
        # Inside another compiled function the outer one records; what runs beside a recording is not recorded.
        if self._refusal is not None or not self._on or self.forced_eager or core.capture_open():
            return self._run(args, kwargs)
        if any(not getattr(mode, "_is_idle", False) for mode in core.function_modes()):
            self._tell("a TorchFunctionMode is active, which sees what Python calls")
            return self._run(args, kwargs)
        parts = Parts()
        try:
            key = (self._describe(args, kwargs, parts), *_modes())
        except Unguardable as unguardable:
            self._tell(str(unguardable))
            return self._run(args, kwargs)
        if key in self._refused:
            return self._run(args, kwargs)
        for recording in tuple(self._recordings.get(key, ())):
            if recording.guards.difference() is None:
                outputs = recording.trace.replay(parts.tensors)
                if outputs is not None:
                    self.statistics.replays += 1
                    return rebuild(recording.result, iter(outputs))
        return self._record(key, parts, args, kwargs)

    @staticmethod
    def _describe(args, kwargs, parts):
        return flatten(args, parts), flatten(kwargs, parts) if kwargs else None

    @property
    def _name(self):
        return getattr(self._function, "__qualname__", type(self._function).__name__)

    def _run(self, args, kwargs):
        self.statistics.eager += 1
        return self._function(*args, **kwargs)

    def _tell(self, reason):
        """Says, once, why Python runs.

        Raises:
            RuntimeError: where it must not.
        """
        if self._fullgraph:
            from .._dynamo.exc import Unsupported

            raise Unsupported(f"{self._name} cannot be compiled with fullgraph=True: {reason}")
        if reason not in self._warned:
            self._warned.add(reason)
            self.statistics.reasons.append(reason)
            logger.warning("%s runs in Python: %s", self._name, reason)

    def _give_up(self, reason, key=None):
        """Runs the function in Python from now on, or only for one kind of arguments."""
        self._tell(reason)
        if key is None or len(self._refused) >= RECORDINGS:
            self._refusal = reason
            self._recordings.clear()
        else:
            self._refused.add(key)
            self._recordings.pop(key, None)

    def _explain(self, known):
        """Notes why another recording is made."""
        if known:
            reason = known[-1].guards.difference() or "other shapes, dtypes, layouts, devices or gradients"
        elif self._count:
            reason = "other arguments or modes"
        else:
            return
        self.statistics.reasons.append(reason)
        logger.info("%s is recorded anew: %s", self._name, reason)

    def _record(self, key, parts, args, kwargs):
        known = self._recordings.setdefault(key, [])
        if self._count >= RECORDINGS:
            if "many" not in self._warned:
                self._warned.add("many")
                logger.warning("%s was recorded %d times; further variants run in Python", self._name, self._count)
            return self._run(args, kwargs)
        guards = Guards(self._function, parts.objects)
        if guards.refusal is not None:
            self._give_up(guards.refusal)
            return self._run(args, kwargs)
        if guards.shares_storage(parts.tensors):
            self._tell("an argument is, or shares memory with, a tensor that it uses otherwise")
            return self._run(args, kwargs)
        self._explain(known)
        core, modes, results, reached = corten._core, _modes(), Parts(), []
        core.capture_begin(parts.tensors)
        try:
            with watch(guards.watched, functools.partial(self._reach, reached)):
                result = self._function(*args, **kwargs)
            plan = outline(result, results)
            if self._warm_ups:
                gc.collect()
        except BaseException:
            core.capture_abandon()
            raise
        trace = core.capture_finish(results.tensors)
        if reached:
            reason = reached[0]
        elif isinstance(trace, str):
            reason = trace
        else:
            reason = self._why_not(key, parts, args, kwargs, guards, modes, results)
        if reason is None:
            self.statistics.recordings += 1
            self._count += 1
            known.append(_Recording(guards, trace, plan))
            del known[:-VARIANTS]
            return result
        self.statistics.eager += 1
        if (reason == _KEPT or reason.endswith(NEW)) and self._warm_ups < WARM_UPS:
            self._warm_ups += 1
        else:
            self._give_up(reason, key)
        return result

    def _reach(self, reached, name, module):
        """Notes that the function has come to a call that a replay would leave out.

        Raises:
            RuntimeError: before the call, where Python must not run.
        """
        if is_library(module):
            return
        reached.append(f"it calls {name}()")
        if self._fullgraph:
            self._tell(reached[0])

    def _why_not(self, key, parts, args, kwargs, guards, modes, results):
        """What the call did that a replay could not do, or None."""
        again = Parts()
        try:
            described = self._describe(args, kwargs, again)
        except Unguardable as unguardable:
            return str(unguardable)
        if described != key[0] or list(map(id, again.tensors)) != list(map(id, parts.tensors)):
            return "it changes an argument that is a container"
        if _modes() != modes:
            return "it leaves another gradient mode or default behind"
        if results.containers & (parts.containers | guards.known.keys()):
            return "it returns a container that was there before"
        strange = [value for value in results.objects if not (isinstance(value, type) or id(value) in guards.known)]
        if strange:
            return f"it returns a {type(strange[0]).__name__}"
        for words in guards.forget_effects():
            logger.warning("%s changes %s; calls that are replayed do not", self._name, words)
        difference = guards.difference()
        return None if difference is None else f"it changes what it depends on: {difference}"


def _modes():
    """The settings that decide what a call does."""
    core = corten._core
    return (
        core.is_grad_enabled(),
        core.is_inference_mode_enabled(),
        core.anomaly_mode(),
        core.get_default_dtype(),
        core.get_default_device(),
        core.get_num_threads(),
        *_settings._state.values(),
        *autocast.casts.items(),
    )
