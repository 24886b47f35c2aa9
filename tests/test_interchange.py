"""Memory shared with numpy and through DLPack: nothing is copied, and writes are seen on both sides."""

from __future__ import annotations

import corten
import numpy as np
import pytest


def test_numpy_may_write_what_it_got_through_dlpack() -> None:
    t = corten.zeros(3)
    array = np.from_dlpack(t)
    assert array.flags.writeable
    array[1] = 5
    assert t.tolist() == [0, 5, 0]


@pytest.mark.parametrize("version", [None, (0, 8), (1, 0), (1, 1)])
def test_capsules_of_both_versions_are_read(version: tuple[int, int] | None) -> None:
    t = corten.arange(6).reshape(2, 3).t()
    capsule = t.__dlpack__(max_version=version)
    assert ("versioned" in repr(capsule)) == (version is not None and version[0] >= 1)
    back = corten.from_dlpack(capsule)
    back[0, 0] = 9
    assert t[0, 0].item() == 9
    assert back.stride() == (1, 3)


def test_a_capsule_is_used_up() -> None:
    capsule = corten.ones(2).__dlpack__()
    corten.from_dlpack(capsule)
    with pytest.raises(RuntimeError, match="consumed only once"):
        corten.from_dlpack(capsule)


def test_arrays_of_numpy_come_back_whole() -> None:
    array = np.arange(12.0).reshape(3, 4)[:, ::2]
    t = corten.from_dlpack(array)
    assert t.stride() == (4, 2)
    t[2, 1] = -1
    assert array[2, 1] == -1


def test_what_numpy_does_to_shared_memory_comes_after_what_was_recorded() -> None:
    array = np.ones(3)
    t = corten.from_numpy(array)
    y = t + 1
    array[:] = 5
    assert y.tolist() == [2, 2, 2]
    assert (t + 1).tolist() == [6, 6, 6]


def test_a_tensor_that_requires_grad_is_not_exported() -> None:
    with pytest.raises(BufferError, match="detach"):
        corten.ones(2, requires_grad=True).__dlpack__()


def test_a_number_tells_tensors_apart_while_they_live():
    x = corten.zeros(2)
    y = x.detach()
    assert x._cdata == x._cdata != y._cdata


def test_arrays_of_what_requires_grad_are_given_where_nothing_is_recorded():
    x = corten.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="requires grad"):
        x.numpy()
    with corten.no_grad():
        assert x.numpy().tolist() == [1.0, 1.0]
