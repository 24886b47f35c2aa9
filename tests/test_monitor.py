"""`corten.monitor`: events, their handlers, and statistics of windows of time."""

from __future__ import annotations

import datetime
import time

import corten
import pytest
from corten import monitor
from corten.monitor import Aggregation, Event, Stat

HOUR = datetime.timedelta(hours=1)
EVERY = list(Aggregation)


@pytest.fixture
def events():
    heard: list[Event] = []
    handle = monitor.register_event_handler(heard.append)
    yield heard
    monitor.unregister_event_handler(handle)


def test_handlers_hear_of_events_until_they_are_unregistered(events):
    more: list[Event] = []
    handle = monitor.register_event_handler(more.append)
    event = Event("epoch", datetime.datetime(2020, 1, 2), {"loss": 0.5, "step": 3, "best": True, "note": "x"})
    monitor.log_event(event)
    monitor.unregister_event_handler(handle)
    monitor.unregister_event_handler(handle)
    monitor.log_event(event)
    assert (len(events), len(more)) == (2, 1) and events[0] is event
    assert event.data == {"loss": 0.5, "step": 3, "best": True, "note": "x"}
    event.data["loss"] = 9.0
    assert event.data["loss"] == 0.5


def test_an_error_of_a_handler_is_raised(events):
    def refuse(event):
        raise ValueError("no room")

    handle = monitor.register_event_handler(refuse)
    with pytest.raises(ValueError, match="no room"):
        monitor.log_event(Event("a", datetime.datetime.now(), {}))
    monitor.unregister_event_handler(handle)
    assert len(events) == 1


def test_a_full_window_is_logged_and_leaves_further_values_out(events):
    stat = Stat("loss", EVERY, HOUR, max_samples=3)
    assert set(stat.get().values()) == {0.0}
    for value in (1, 2.5, corten.tensor(-3.0)):
        stat.add(value)
    stat.add(100.0)
    assert stat.count == 0
    expected = {"value": -3.0, "mean": 0.5 / 3, "count": 3.0, "sum": 0.5, "max": 2.5, "min": -3.0}
    assert [event.name for event in events] == ["torch.monitor.Stat"]
    assert events[0].data == {f"loss.{name}": value for name, value in expected.items()}
    assert {kind.name.lower(): value for kind, value in stat.get().items()} == expected


def test_a_window_ends_with_the_first_value_after_it(events):
    stat = Stat("loss", [Aggregation.SUM], datetime.timedelta(milliseconds=200))
    stat.add(1.0)
    stat.add(2.0)
    time.sleep(0.25)
    assert (stat.count, len(events)) == (2, 0)
    stat.add(4.0)
    assert (stat.count, events[0].data, stat.get()) == (1, {"loss.sum": 3.0}, {Aggregation.SUM: 3.0})


def test_what_is_left_is_logged_when_a_statistic_goes(events):
    stat = Stat("loss", [Aggregation.MEAN], HOUR)
    del stat
    assert events == []
    stat = Stat("loss", [Aggregation.MEAN], HOUR)
    stat.add(4)
    del stat
    assert [event.data for event in events] == [{"loss.mean": 4.0}]


def test_statistics_are_written_as_scalars():
    written = []

    class Writer:
        def add_scalar(self, *args, **kwargs):
            written.append((args, kwargs))

    handler = monitor.TensorboardEventHandler(Writer())
    stamp = datetime.datetime(2020, 1, 2)
    handler(Event("torch.monitor.Stat", stamp, {"loss.sum": 3.0}))
    handler(Event("other", stamp, {"loss.sum": 3.0}))
    assert written == [(("loss.sum", 3.0), {"walltime": stamp.timestamp()})]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: Stat(1, EVERY, HOUR), "name must be str, not int"),
        (lambda: Stat("x", [1], HOUR), "an aggregation must be Aggregation, not int"),
        (lambda: Stat("x", Aggregation.SUM, HOUR), "aggregations must be Sequence"),
        (lambda: Stat("x", EVERY, "1 h"), "window_size must be timedelta, not str"),
        (lambda: Stat("x", EVERY, HOUR, 1.5), "max_samples must be int, not float"),
        (lambda: Stat("x", EVERY, HOUR).add("a"), "v must be a number, not str"),
        (lambda: Stat("x", EVERY, HOUR).add(None), "NoneType"),
        (lambda: Event(1, datetime.datetime.now(), {}), "name must be str"),
        (lambda: Event("e", 5, {}), "timestamp must be datetime, not int"),
        (lambda: Event("e", datetime.datetime.now(), {1: 2}), "a name of data must be str"),
        (lambda: Event("e", datetime.datetime.now(), {"a": [1]}), "the value of 'a' must be str or float or int"),
        (lambda: monitor.log_event("e"), "event must be Event"),
        (lambda: monitor.register_event_handler(3), "callback must be a function"),
        (lambda: monitor.unregister_event_handler(3), "handler must be EventHandlerHandle"),
        (lambda: monitor.EventHandlerHandle(), "register_event_handler makes them"),
    ],
)
def test_other_classes_are_refused(call, text):
    with pytest.raises(TypeError, match=text):
        call()
