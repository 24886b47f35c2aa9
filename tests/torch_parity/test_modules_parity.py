"""`monitor`, `utils.weak` and `distributed.PrefixStore`: calls give what they give in PyTorch, or its errors."""

from __future__ import annotations

import copy
import datetime
import gc
from typing import Any

import corten
import corten.distributed
import corten.monitor
import corten.utils.weak
import pytest
import torch
import torch.distributed
import torch.monitor
import torch.utils.weak

FRAMEWORKS = (corten, torch)
HOUR = datetime.timedelta(hours=1)


def outcomes(calls: Any) -> list[Any]:
    """What each call gives, or the class of its error."""
    found = []
    for call in calls:
        try:
            found.append(call())
        except Exception as error:
            found.append(type(error).__name__)
    return found


def events(f: Any) -> list[Any]:
    heard: list[Any] = []
    handle = f.monitor.register_event_handler(lambda event: heard.append((event.name, event.data)))
    kinds = f.monitor.Aggregation
    stat = f.monitor.Stat("loss", [kinds.MEAN, kinds.COUNT, kinds.SUM, kinds.MAX, kinds.MIN], HOUR, 3)
    seen = []
    for value in (1, 2.5, -3.0, 7.0):
        stat.add(value)
        seen.append((stat.count, {kind.name: told for kind, told in stat.get().items()}))
    del stat
    left = f.monitor.Stat(name="left", aggregations=[kinds.SUM], window_size=HOUR)
    left.add(4)
    del left
    f.monitor.Stat("empty", [kinds.SUM], HOUR)
    gc.collect()
    f.monitor.log_event(f.monitor.Event("own", datetime.datetime(2020, 1, 2), {"s": "x", "f": 1.5, "i": 2}))
    f.monitor.unregister_event_handler(handle)
    f.monitor.log_event(f.monitor.Event("unheard", datetime.datetime(2020, 1, 2), {}))
    return [heard, seen, [kind.name for kind in kinds.__members__.values()], int(kinds.MEAN)]


def wrong_events(f: Any) -> list[Any]:
    m, now = f.monitor, datetime.datetime(2020, 1, 2)
    stat = m.Stat("x", [m.Aggregation.SUM], HOUR)
    return outcomes(
        [
            lambda: m.Stat("x", [1], HOUR),
            lambda: m.Stat("x", m.Aggregation.SUM, HOUR),
            lambda: m.Stat("x", [m.Aggregation.SUM]),
            lambda: m.Stat(1, [m.Aggregation.SUM], HOUR),
            lambda: m.Stat("x", [m.Aggregation.SUM], HOUR, 1.5),
            lambda: stat.add("a"),
            lambda: stat.add(None),
            lambda: setattr(stat, "name", "y"),
            lambda: m.Event("e", now, {"a": [1]}),
            lambda: m.Event("e", 5, {}),
            lambda: m.Event("e", now, {1: 2}),
            lambda: m.Event(),
            lambda: setattr(m.Event("e", now, {}), "timestamp", 3),
            lambda: m.log_event("e"),
            lambda: m.register_event_handler(3),
            lambda: m.unregister_event_handler(3),
            lambda: m.EventHandlerHandle(),
        ]
    )


def weak_keys(f: Any) -> list[Any]:
    weak = f.utils.weak
    x, y, gone = f.ones(1), f.ones(1), f.ones(1)
    notes = weak.WeakTensorKeyDictionary({x: 1})
    notes[gone] = 2
    before = len(notes)
    del gone
    gc.collect()
    deep = copy.deepcopy(notes)
    return [
        before,
        len(notes),
        weak.WeakTensorKeyDictionary is weak.WeakIdKeyDictionary,
        *outcomes(
            [
                lambda: notes[x],
                lambda: notes[y],
                lambda: notes[3],
                lambda: notes.__setitem__(3, 4),
                lambda: (x in notes, y in notes, 3 in notes),
                lambda: (notes.get(y), notes.get(y, 5), notes.pop(y, 9), notes.setdefault(y, 7), notes.pop(y)),
                lambda: notes.pop(y),
                lambda: (notes == deep, notes == {x: 1}, notes == {y: 1}, notes == 3),
                lambda: len(notes | {y: 3}) + len({y: 3} | notes),
                lambda: [value for _, value in notes.items()],
                lambda: notes.popitem()[1],
                lambda: notes.popitem(),
                lambda: hash(notes),
                lambda: weak.WeakIdKeyDictionary([(x, 2)]) and None,
                lambda: weak.TensorWeakRef(3),
                lambda: weak.TensorWeakRef(x)() is x,
                lambda: weak.WeakIdRef(x) == weak.WeakIdRef(x),
                lambda: hash(weak.WeakIdRef(x)) == id(x),
                lambda: weak.WeakIdRef(x) == weak.WeakIdRef(y),
            ]
        ),
    ]


def prefixes(f: Any) -> list[Any]:
    d = f.distributed
    store = d.HashStore()
    first = d.PrefixStore("a", store)
    inner, bare = d.PrefixStore(prefix="b", store=first), d.PrefixStore("", store)
    first.set_timeout(datetime.timedelta(milliseconds=30))
    return outcomes(
        [
            lambda: (first.set("k", "v"), inner.set("k", "w"), bare.set("k", "x")),
            lambda: (store.get("a/k"), store.get("a/b/k"), store.get("/k")),
            lambda: (sorted(first.list_keys()), inner.list_keys(), first.num_keys()),
            lambda: (inner.underlying_store is first, inner._underlying_non_prefix_store is not first),
            lambda: (first.add("n", 3), first.append("k", "w"), first.get("k"), first.check(["k"]), inner.check(["n"])),
            lambda: (first.compare_set("k", "vw", "z"), first.compare_set("k", "vw", "y"), first.delete_key("k")),
            lambda: (first.multi_set(["p", "q"], ["1", "2"]), first.multi_get(["p", "q"]), first.has_extended_api()),
            lambda: (first.queue_push("Q", "1"), store.queue_len("a/Q"), first.queue_pop("Q"), first.queue_len("Q")),
            lambda: first.queue_pop("Q", False),
            lambda: first.get("none"),
            lambda: first.wait(["none"], datetime.timedelta(milliseconds=1)),
            lambda: first.clone().get("p"),
            lambda: (first.timeout, store.timeout),
            lambda: d.PrefixStore("a", 3),
            lambda: d.PrefixStore(3, store),
            lambda: d.PrefixStore("a"),
            lambda: first.set(1, "x"),
            lambda: first.set("a", 3),
        ]
    )


@pytest.mark.parametrize("run", [events, wrong_events, weak_keys, prefixes])
def test_answers_are_pytorchs(run: Any) -> None:
    mine, other = (run(framework) for framework in FRAMEWORKS)
    assert mine == other
