"""`corten.utils.weak`: dictionaries and references that hold no tensor."""

from __future__ import annotations

import copy
import gc

import corten
import pytest
from corten.utils.weak import TensorWeakRef, WeakIdKeyDictionary, WeakIdRef, WeakTensorKeyDictionary


class Thing:
    """Anything that a weak reference may be to."""


def test_keys_are_told_apart_by_identity():
    first, second = corten.ones(2), corten.ones(2)
    notes = WeakTensorKeyDictionary({first: "first"})
    assert first in notes and second not in notes and 3 not in notes
    notes[second] = "second"
    assert (notes[first], notes[second], len(notes)) == ("first", "second", 2)
    assert [key is known for key, known in zip(notes, (first, second))] == [True, True]
    assert list(notes.values()) == ["first", "second"]
    assert notes.pop(second) == "second" and notes.pop(second, 4) == 4 and notes.get(second) is None
    assert notes.setdefault(second, 5) == 5
    del notes[first]
    with pytest.raises(KeyError):
        notes[first]
    key, value = notes.popitem()
    assert key is second and value == 5
    with pytest.raises(KeyError):
        notes.popitem()


def test_keys_that_nobody_has_leave():
    notes = WeakIdKeyDictionary()
    kept, gone = corten.ones(2), Thing()
    notes[kept], notes[gone] = 1, 2
    del gone
    gc.collect()
    assert len(notes) == 1 and len(notes.keyrefs()) == 1 and list(notes) == [kept]


def test_keys_may_go_while_they_are_iterated_over():
    things = [Thing() for _ in range(4)]
    notes = WeakIdKeyDictionary({thing: place for place, thing in enumerate(things)})
    seen = []
    for _, value in notes.items():
        seen.append(value)
        things.clear()
    gc.collect()
    assert seen[0] == 0 and len(seen) < 4 and len(notes.keyrefs()) <= 1


def test_a_dictionary_that_is_gone_is_not_told_of_its_keys():
    thing = Thing()
    notes = WeakIdKeyDictionary({thing: 1})
    del notes
    gc.collect()
    del thing


def test_copies_share_keys():
    x, y = corten.ones(1), corten.zeros(1)
    notes = WeakTensorKeyDictionary({x: [1]})
    same, deep = notes.copy(), copy.deepcopy(notes)
    assert same == notes == {x: [1]} and same[x] is notes[x]
    assert deep == notes and deep[x] is not notes[x]
    assert notes != {y: [1]} and notes != 3
    joined, turned = notes | {y: 2}, {y: 2} | notes
    assert joined[x] == [1] and joined[y] == 2 and turned == joined and len(notes) == 1
    notes |= {y: 3}
    assert notes[y] == 3


def test_references_are_equal_while_their_object_lives():
    x, y = corten.ones(2), corten.ones(2)
    assert WeakIdRef(x) == WeakIdRef(x) != WeakIdRef(y)
    assert hash(WeakIdRef(x)) == id(x) and WeakIdRef(x)() is x
    gone = WeakIdRef(Thing())
    assert gone() is None and gone == gone and gone != WeakIdRef(x) and gone != 3


def test_a_reference_to_a_tensor_gives_it_while_it_lives():
    x = corten.ones(2)
    reference = TensorWeakRef(x)
    assert reference() is x
    del x
    gc.collect()
    assert reference() is None


def test_what_cannot_be_referred_to_is_refused():
    with pytest.raises(TypeError, match="weak reference"):
        WeakIdKeyDictionary()[3] = 1
    with pytest.raises(TypeError):
        hash(WeakIdKeyDictionary())
    with pytest.raises(AssertionError, match="expected a tensor, got int"):
        TensorWeakRef(3)
