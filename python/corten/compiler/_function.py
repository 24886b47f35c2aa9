"""A compiled function: recorded when it meets something new, replayed otherwise."""

import contextlib
import functools
import gc
import logging
import types
from dataclasses import dataclass, field

import corten

from ._guards import Guards
from ._structure import Unguardable, flatten, rebuild

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

    def __init__(self, function, fullgraph=False, on=True):
        self._function = function
        self._fullgraph = fullgraph
        self._on = on
        self.settings = {"fullgraph": fullgraph, "on": on}
        self.statistics = Statistics()
        self.reset()
        with contextlib.suppress(AttributeError):
            functools.update_wrapper(self, function)
        self._torchdynamo_orig_callable = function

    def reset(self):
        """Forgets every recording."""
        self._recordings = {}
        self._warm_ups = 0
        self._count = 0
        self._refusal = None
        self._warned = set()

    def __get__(self, instance, owner=None):
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self):
        return f"<compiled {self._function!r}>"

    def __call__(self, *args, **kwargs):
        core = corten._core
        # Inside another compiled function the outer one records.
        if self._refusal is not None or not self._on or self.forced_eager or core.capturing():
            return self._run(args, kwargs)
        tensors, objects = [], []
        try:
            shape = (flatten(args, tensors, objects), flatten(kwargs, tensors, objects) if kwargs else None)
        except Unguardable as unguardable:
            return self._fall_back(str(unguardable), args, kwargs)
        key = (
            shape,
            core.is_grad_enabled(),
            core.is_inference_mode_enabled(),
            core.get_default_dtype(),
            core.get_default_device(),
        )
        try:
            known = self._recordings.get(key)
        except TypeError:
            return self._fall_back("an argument cannot be hashed", args, kwargs)
        for recording in known or ():
            if recording.guards.hold():
                outputs = recording.trace.replay(tensors)
                if outputs is not None:
                    self.statistics.replays += 1
                    return rebuild(recording.result, iter(outputs))
        return self._record(key, tensors, objects, args, kwargs)

    def _run(self, args, kwargs):
        self.statistics.eager += 1
        return self._function(*args, **kwargs)

    def _fall_back(self, reason, args, kwargs):
        self._give_up(reason)
        return self._run(args, kwargs)

    def _give_up(self, reason):
        name = getattr(self._function, "__qualname__", type(self._function).__name__)
        if self._fullgraph:
            raise RuntimeError(f"{name} cannot be compiled with fullgraph=True: {reason}")
        self._refusal = reason
        self._recordings.clear()
        self.statistics.reasons.append(reason)
        logger.warning("%s runs in Python: %s", name, reason)

    def _explain(self, known, count):
        """Notes why another recording is made."""
        if not known:
            reason = "other arguments or modes" if count else None
        else:
            reason = known[-1].guards.difference() or "arguments of another shape, dtype, layout or device"
        if reason is not None:
            self.statistics.reasons.append(reason)
            logger.info("%s is recorded anew: %s", getattr(self._function, "__qualname__", self._function), reason)

    def _record(self, key, tensors, objects, args, kwargs):
        known = self._recordings.setdefault(key, [])
        if self._count >= RECORDINGS:
            if "many" not in self._warned:
                self._warned.add("many")
                logger.warning("%s was recorded %d times; further variants run in Python", self, self._count)
            return self._run(args, kwargs)
        guards = Guards(self._function, objects)
        if guards.refusal is not None:
            return self._fall_back(guards.refusal, args, kwargs)
        self._explain(known, self._count)
        core = corten._core
        core.capture_begin(tensors)
        try:
            result = self._function(*args, **kwargs)
            outputs, others = [], []
            shape = flatten(result, outputs, others)
            if self._warm_ups:
                gc.collect()
        except BaseException as error:
            core.capture_abandon()
            if isinstance(error, Unguardable):
                self._give_up("its result holds an iterator or an array of numpy")
                self.statistics.eager += 1
                return result
            raise
        trace = core.capture_finish(outputs)
        if isinstance(trace, str):
            self.statistics.eager += 1
            if trace == _KEPT and self._warm_ups < WARM_UPS:
                self._warm_ups += 1
            else:
                self._give_up(trace)
            return result
        self._keep(key, known, _Recording(guards, trace, shape))
        return result

    def _keep(self, key, known, recording):
        if not recording.guards.hold():
            for words in recording.guards.forget_changed_contents():
                logger.warning("%s changes %s; calls that are replayed do not", self, words)
            difference = recording.guards.difference()
            if difference is not None:
                self.statistics.eager += 1
                self._give_up(f"it changes what it depends on: {difference}")
                return
            recording.guards.hold()
        self.statistics.recordings += 1
        self._count += 1
        known.append(recording)
        del known[:-VARIANTS]
