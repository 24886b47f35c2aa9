"""`HashStore`: keys and values that the threads of one process share."""

import datetime
import threading
from collections import deque

from ._errors import DistStoreError, QueueEmptyError

_TIMEOUT = datetime.timedelta(minutes=5)


class Store:
    """The base of key-value stores; keys are texts, values are bytes."""


def _key(name, key):
    if not isinstance(key, str):
        raise TypeError(f"HashStore.{name}: a key is a str, got {type(key).__name__}")
    return key


def _bytes(name, value):
    if isinstance(value, str):
        return value.encode()
    if not isinstance(value, bytes):
        raise TypeError(f"HashStore.{name}: a value is a str or bytes, got {type(value).__name__}")
    return value


class HashStore(Store):
    """Keys and values in the memory of this process; every method may be called by any thread.

    `get`, `wait` and their kin wait for keys that are not there for ``timeout``, 5 minutes unless `set_timeout` says
    otherwise, and raise `DistStoreError` after it.

    >>> store = HashStore()
    >>> store.set("address", "here")
    >>> store.get("address")
    b'here'
    """

    def __init__(self):
        self._values: dict = {}
        self._queues: dict = {}
        self._timeout = _TIMEOUT
        self._changed = threading.Condition()

    @property
    def timeout(self):
        """How long is waited for a key, a `datetime.timedelta`."""
        return self._timeout

    def set_timeout(self, timeout):
        """Sets how long is waited for a key."""
        self._timeout = timeout

    def set(self, key, value):
        """Sets the value of a key."""
        key, value = _key("set", key), _bytes("set", value)
        with self._changed:
            self._values[key] = value
            self._changed.notify_all()

    def multi_set(self, keys, values):
        """Sets the values of several keys at once."""
        with self._changed:
            for key, value in zip(keys, values):
                self.set(key, value)

    def get(self, key):
        """The value of a key as bytes, once it is there.

        Raises:
            DistStoreError: it was not set in time.
        """
        return self.multi_get([_key("get", key)])[0]

    def multi_get(self, keys):
        """The values of several keys, once all are there.

        Raises:
            DistStoreError: one was not set in time.
        """
        with self._changed:
            self.wait(keys)
            return [self._values[key] for key in keys]

    def wait(self, keys, timeout=None):
        """Waits until all keys are there.

        Raises:
            DistStoreError: one was not set in time.
        """
        limit = (self._timeout if timeout is None else timeout).total_seconds()
        with self._changed:
            if not self._changed.wait_for(lambda: self.check(keys), limit):
                missing = [key for key in keys if key not in self._values]
                raise DistStoreError(f"Wait timeout: {missing} not set after {limit * 1000:.0f}ms")

    def check(self, keys):
        """Whether all keys are there."""
        with self._changed:
            return all(key in self._values for key in keys)

    def add(self, key, amount):
        """Adds to the whole number that a key holds, 0 where it is not there, and returns the sum.

        Raises:
            ValueError: the key holds something else.
        """
        with self._changed:
            try:
                total = int(self._values.get(_key("add", key), b"0")) + amount
            except ValueError:
                raise ValueError(f"HashStore.add: {key!r} holds {self._values[key]!r}, which is no number") from None
            self.set(key, str(total))
            return total

    def append(self, key, value):
        """Adds bytes to the end of a key's value."""
        with self._changed:
            self.set(key, self._values.get(_key("append", key), b"") + _bytes("append", value))

    def compare_set(self, key, expected_value, desired_value):
        """Sets a key to ``desired_value`` where it holds ``expected_value``, and returns what it holds then.

        Of a key that is not there that is ``desired_value`` where ``expected_value`` is empty; otherwise it stays away,
        and the result is ``expected_value``.
        """
        expected, desired = _bytes("compare_set", expected_value), _bytes("compare_set", desired_value)
        with self._changed:
            held = self._values.get(_key("compare_set", key))
            if held == expected or (held is None and not expected):
                self.set(key, desired)
                return desired
            return expected if held is None else held

    def delete_key(self, key):
        """Removes a key; returns whether it was there."""
        with self._changed:
            return self._values.pop(_key("delete_key", key), None) is not None

    def num_keys(self):
        """The number of keys."""
        with self._changed:
            return len(self._values)

    def list_keys(self):
        """All keys."""
        with self._changed:
            return list(self._values)

    def has_extended_api(self):
        """True: `append`, `multi_get` and `multi_set` are there."""
        return True

    def clone(self):
        """The store itself, which all threads may use."""
        return self

    def queue_push(self, key, value):
        """Puts a value at the end of a queue."""
        value = _bytes("queue_push", value)
        with self._changed:
            self._queues.setdefault(_key("queue_push", key), deque()).append(value)
            self._changed.notify_all()

    def queue_pop(self, key, block=True):
        """Takes the first value out of a queue, and waits for one where ``block``.

        Raises:
            QueueEmptyError: there is none.
            DistStoreError: none came in time.
        """
        with self._changed:
            if not block and not self.queue_len(key):
                raise QueueEmptyError("queue is empty")
            if not self._changed.wait_for(lambda: self.queue_len(key), self._timeout.total_seconds()):
                raise DistStoreError(f"Wait timeout: nothing in the queue {key!r}")
            return self._queues[key].popleft()

    def queue_len(self, key):
        """The number of values in a queue."""
        with self._changed:
            return len(self._queues.get(key, ()))
