"""Stores of keys and values: `HashStore`, which the threads of one process share, and `PrefixStore` within another."""

import datetime
import threading
from collections import deque

from ._errors import DistStoreError, QueueEmptyError

_TIMEOUT = datetime.timedelta(minutes=5)


class Store:
    """The base of key-value stores; keys are texts, values are bytes. A class on top of it writes its methods."""


def _unwritten(name):
    def method(self, *args, **kwargs):
        raise NotImplementedError(f"{type(self).__name__}.{name} is not there")

    method.__name__, method.__qualname__ = name, f"Store.{name}"
    return method


_METHODS = """
    set get wait check add append compare_set delete_key num_keys list_keys multi_get multi_set has_extended_api clone
    queue_push queue_pop queue_len set_timeout
"""
for _name in _METHODS.split():
    setattr(Store, _name, _unwritten(_name))


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


class PrefixStore(Store):
    """
    The keys of another store that begin with a prefix and a slash, which are left out of the keys that are given here.

    Args:
        prefix: what the keys begin with.
        store: the store that has them, which may be a `PrefixStore` too.

    Raises:
        TypeError: another class of one of them.

    >>> store = HashStore()
    >>> PrefixStore("first", store).set("address", "here")
    >>> store.get("first/address")
    b'here'
    """

    def __init__(self, prefix, store):
        if not isinstance(prefix, str):
            raise TypeError(f"PrefixStore: prefix must be a str, not {type(prefix).__name__}")
        if not isinstance(store, Store):
            raise TypeError(f"PrefixStore: store must be a Store, not {type(store).__name__}")
        self._prefix = prefix + "/"
        self._store = store

    @property
    def underlying_store(self):
        """The store that was given."""
        return self._store

    @property
    def _underlying_non_prefix_store(self):
        store = self._store
        while isinstance(store, PrefixStore):
            store = store._store
        return store

    @property
    def timeout(self):
        """How long the other store waits for a key."""
        return self._store.timeout

    def set_timeout(self, timeout):
        """Sets how long the other store waits for a key."""
        self._store.set_timeout(timeout)

    def _key(self, name, key):
        if not isinstance(key, str):
            raise TypeError(f"PrefixStore.{name}: a key is a str, got {type(key).__name__}")
        return self._prefix + key

    def set(self, key, value):
        """Sets the value of a key."""
        self._store.set(self._key("set", key), value)

    def multi_set(self, keys, values):
        """Sets the values of several keys at once."""
        self._store.multi_set([self._key("multi_set", key) for key in keys], values)

    def get(self, key):
        """The value of a key as bytes, once it is there."""
        return self._store.get(self._key("get", key))

    def multi_get(self, keys):
        """The values of several keys, once all are there."""
        return self._store.multi_get([self._key("multi_get", key) for key in keys])

    def wait(self, keys, *timeout):
        """Waits until all keys are there, as the other store does."""
        self._store.wait([self._key("wait", key) for key in keys], *timeout)

    def check(self, keys):
        """Whether all keys are there."""
        return self._store.check([self._key("check", key) for key in keys])

    def add(self, key, amount):
        """Adds to the whole number that a key holds, and returns the sum."""
        return self._store.add(self._key("add", key), amount)

    def append(self, key, value):
        """Adds bytes to the end of a key's value."""
        self._store.append(self._key("append", key), value)

    def compare_set(self, key, expected_value, desired_value):
        """Sets a key to ``desired_value`` where it holds ``expected_value``, and returns what it holds then."""
        return self._store.compare_set(self._key("compare_set", key), expected_value, desired_value)

    def delete_key(self, key):
        """Removes a key; returns whether it was there."""
        return self._store.delete_key(self._key("delete_key", key))

    def num_keys(self):
        """The number of keys of the other store, also of those without the prefix."""
        return self._store.num_keys()

    def list_keys(self):
        """All keys with the prefix, without it."""
        return [key.removeprefix(self._prefix) for key in self._store.list_keys() if key.startswith(self._prefix)]

    def has_extended_api(self):
        """Whether the other store has `append`, `multi_get` and `multi_set`."""
        return self._store.has_extended_api()

    def clone(self):
        """The same prefix of a clone of the other store."""
        return PrefixStore(self._prefix[:-1], self._store.clone())

    def queue_push(self, key, value):
        """Puts a value at the end of a queue."""
        self._store.queue_push(self._key("queue_push", key), value)

    def queue_pop(self, key, block=True):
        """Takes the first value out of a queue, and waits for one where ``block``."""
        return self._store.queue_pop(self._key("queue_pop", key), block)

    def queue_len(self, key):
        """The number of values in a queue."""
        return self._store.queue_len(self._key("queue_len", key))
