"""Shapes, strides and aliasing of views against numpy, on random chains of views and random indices."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import corten
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from op_table.row import dtypes_on

checked = settings(
    max_examples=200, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)  # fmt: skip

Pair = tuple[np.ndarray, Any]
shapes = hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)
full_shapes = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=5)


def pair_of(shape: tuple[int, ...], dtype: str = "float32") -> Pair:
    """The same values in numpy and here, in memory of their own."""
    array = np.arange(math.prod(shape), dtype=dtype).reshape(shape)
    return array, corten.tensor(array)


def sliced(draw: st.DrawFn, pair: Pair) -> Pair:
    array, tensor = pair
    key: list[Any] = []
    for size in array.shape[: draw(st.integers(0, array.ndim))]:
        choice = draw(st.integers(0, 3 if size else 2))
        if choice == 3:
            key.append(draw(st.integers(-size, size - 1)))
        else:
            bounds = st.none() | st.integers(-size - 2, size + 2)
            key.append(slice(draw(bounds), draw(bounds), draw(st.none() | st.integers(1, 3))))
    if draw(st.booleans()):
        key.insert(draw(st.integers(0, len(key))), None)
    if draw(st.booleans()):
        return array[(*key, ...)], tensor[(*key, ...)]
    # With an Ellipsis numpy gives a view where it would give a number.
    return array[(*key, ...)], tensor[tuple(key)]


def permuted(draw: st.DrawFn, pair: Pair) -> Pair:
    order = draw(st.permutations(range(pair[0].ndim)))
    return pair[0].transpose(order), pair[1].permute(*order) if order else pair[1].permute(())


def transposed(draw: st.DrawFn, pair: Pair) -> Pair:
    array, tensor = pair
    if not array.ndim:
        return pair
    a, b = (draw(st.integers(-array.ndim, array.ndim - 1)) for _ in range(2))
    return array.swapaxes(a, b), tensor.transpose(a, b)


def expanded(draw: st.DrawFn, pair: Pair) -> Pair:
    array, tensor = pair
    sizes = [draw(st.integers(0, 3)) if n == 1 else n for n in array.shape]
    sizes = draw(st.lists(st.integers(1, 2), max_size=1)) + sizes
    return np.broadcast_to(array, sizes), tensor.expand(*sizes) if sizes else tensor.expand(())


def unsqueezed(draw: st.DrawFn, pair: Pair) -> Pair:
    dim = draw(st.integers(-pair[0].ndim - 1, pair[0].ndim))
    return np.expand_dims(pair[0], dim), pair[1].unsqueeze(dim)


def squeezed(draw: st.DrawFn, pair: Pair) -> Pair:
    return pair[0].squeeze(), pair[1].squeeze()


def narrowed(draw: st.DrawFn, pair: Pair) -> Pair:
    array, tensor = pair
    if not array.ndim:
        return pair
    dim = draw(st.integers(0, array.ndim - 1))
    start = draw(st.integers(0, array.shape[dim]))
    length = draw(st.integers(0, array.shape[dim] - start))
    cut = (slice(None),) * dim + (slice(start, start + length),)
    return array[cut], tensor.narrow(dim, start, length)


def on_the_diagonal(draw: st.DrawFn, pair: Pair) -> Pair:
    array, tensor = pair
    if array.ndim < 2:
        return pair
    a, b = draw(st.permutations(range(array.ndim)))[:2]
    offset = draw(st.integers(-array.shape[a], array.shape[b]))
    diagonal = np.diagonal(array, offset, a, b)
    if array.flags.writeable:
        # numpy hands diagonals out read-only, unlike every other view.
        diagonal.flags.writeable = True
    return diagonal, tensor.diagonal(offset, a, b)


def unfolded(draw: st.DrawFn, pair: Pair) -> Pair:
    array, tensor = pair
    if not array.ndim or 0 in array.shape:
        return pair
    dim = draw(st.integers(0, array.ndim - 1))
    size, step = draw(st.integers(1, array.shape[dim])), draw(st.integers(1, 3))
    windows = np.lib.stride_tricks.sliding_window_view(array, size, dim)
    return windows[(slice(None),) * dim + (slice(None, None, step),)], tensor.unfold(dim, size, step)


def chunk(draw: st.DrawFn, pair: Pair) -> Pair:
    array, tensor = pair
    if not array.ndim or not array.shape[0]:
        return pair
    size = draw(st.integers(1, array.shape[0]))
    place = draw(st.integers(0, (array.shape[0] - 1) // size))
    return array[place * size : (place + 1) * size], tensor.split(size)[place]


LINKS = (sliced, permuted, transposed, expanded, unsqueezed, squeezed, narrowed, on_the_diagonal, unfolded, chunk)


@st.composite
def chains(draw: st.DrawFn, links: tuple[Callable, ...] = LINKS, base_shapes: Any = shapes) -> tuple[Pair, Pair]:
    """A base and a view of a view of … of it, in numpy and here."""
    base = pair_of(
        draw(base_shapes),
        draw(st.sampled_from(dtypes_on(corten.get_default_device().type, ("float32", "int64", "float64")))),
    )
    view = base
    for _ in range(draw(st.integers(1, 5))):
        link = draw(st.sampled_from(links))
        if view[0].size > 2000 or view[0].ndim > 6:
            break
        view = link(draw, view)
    return base, view


def strides_that_matter(strides: Any, shape: tuple[int, ...], unit: int = 1) -> list[int]:
    """Strides of dimensions that are stepped over; an empty tensor steps over none."""
    return [] if 0 in shape else [s // unit for s, n in zip(strides, shape, strict=True) if n > 1]


def assert_same(pair: Pair) -> None:
    array, tensor = pair
    assert tuple(tensor.shape) == array.shape
    np.testing.assert_array_equal(tensor.cpu().numpy(), array)


@given(chains())
@checked
def test_view_has_the_shape_and_values_of_numpy(case: tuple[Pair, Pair]) -> None:
    _, view = case
    assert_same(view)


@given(chains())
@checked
def test_view_has_the_strides_and_offset_of_numpy(case: tuple[Pair, Pair]) -> None:
    (base, _), (array, tensor) = case
    unit = array.itemsize
    assert strides_that_matter(tensor.stride(), array.shape) == strides_that_matter(array.strides, array.shape, unit)
    if array.size:
        offset = (array.__array_interface__["data"][0] - base.__array_interface__["data"][0]) // unit
        assert tensor.storage_offset() == offset
        assert tensor.is_contiguous() == array.flags.c_contiguous


# A write through a view whose elements overlap raises in PyTorch: those links are left out.
DISJOINT = tuple(link for link in LINKS if link not in (expanded, unfolded))


@given(chains(DISJOINT))
@checked
def test_write_through_a_view_reaches_the_base(case: tuple[Pair, Pair]) -> None:
    (base, base_tensor), (array, tensor) = case
    array += 100
    tensor.add_(100)
    assert_same((base, base_tensor))
    array[...] = -1
    tensor[...] = -1
    assert_same((base, base_tensor))


@given(chains())
@checked
def test_write_to_the_base_shows_in_every_view(case: tuple[Pair, Pair]) -> None:
    (base, base_tensor), view = case
    base *= 3
    base_tensor.mul_(3)
    assert_same(view)


@given(chains(DISJOINT), st.data())
@checked
def test_two_views_of_one_base(case: tuple[Pair, Pair], data: st.DataObject) -> None:
    """A write through one view shows in another view of the same base."""
    base, (array, tensor) = case
    other = base
    for _ in range(3):
        other = data.draw(st.sampled_from(DISJOINT))(data.draw, other)
    array[...] = 7
    tensor.fill_(7)
    assert_same(other)


@given(chains(), st.data())
@checked
def test_reshape_copies_exactly_when_numpy_does(case: tuple[Pair, Pair], data: st.DataObject) -> None:
    _, (array, tensor) = case
    sizes = data.draw(st.permutations([n for n in array.shape if n != 1] or [1]))
    expected, result = array.reshape(sizes), tensor.reshape(sizes)
    assert_same((expected, result))
    if array.size:
        shared = np.shares_memory(expected, array)
        assert (result.data_ptr() == tensor.data_ptr()) == shared
        if shared:
            assert_same((expected, tensor.view(sizes)))
        else:
            with pytest.raises(RuntimeError, match="view"):
                tensor.view(sizes)


@given(chains())
@checked
def test_contiguous_and_clone_leave_values_alone(case: tuple[Pair, Pair]) -> None:
    _, (array, tensor) = case
    result = tensor.contiguous()
    assert_same((array, result))
    assert result.is_contiguous()
    assert (result is tensor) == tensor.is_contiguous()
    copy = tensor.clone()
    copy.zero_()
    assert_same((array, tensor))


@given(chains(), st.sampled_from([0.5, 2.0, -1.0]))
@checked
def test_elementwise_work_on_views(case: tuple[Pair, Pair], factor: float) -> None:
    _, (array, tensor) = case
    expected = array.astype(np.float64) * factor + 1
    wide = dtypes_on(corten.get_default_device().type, ("float32", "float64"))[-1]
    tensor = tensor.to(getattr(corten, wide))
    np.testing.assert_allclose((tensor * factor + 1).cpu().numpy(), expected)
    np.testing.assert_allclose(tensor.sum().item(), array.astype(np.float64).sum())


@given(chains())
@checked
def test_result_of_an_operator_keeps_the_order_of_a_dense_operand(case: tuple[Pair, Pair]) -> None:
    """The result of x * 2 is laid out like x where x fills its memory without gaps."""
    _, (array, tensor) = case
    sizes = sorted((s, n) for s, n in zip(array.strides, array.shape, strict=True) if n > 1)
    step, dense = array.itemsize, array.size > 0
    for stride, size in sizes:
        dense, step = dense and stride == step, step * size
    if dense:
        assert strides_that_matter((tensor * 2).stride(), array.shape) == strides_that_matter(
            tensor.stride(), array.shape
        )
    else:
        assert_same((array * 2, tensor * 2))


@st.composite
def advanced_keys(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[tuple, tuple]:
    """An index of integers, slices, None and integer or boolean arrays, for numpy and here."""
    common = draw(hnp.array_shapes(min_dims=1, max_dims=2, min_side=1, max_side=3))
    numpy_key: list[Any] = []
    tensor_key: list[Any] = []
    for size in shape[: draw(st.integers(1, len(shape)))]:
        kind = draw(st.sampled_from(["array", "array", "int", "slice", "column"]))
        if kind == "int":
            part = draw(st.integers(-size, size - 1))
            numpy_key.append(part), tensor_key.append(part)
        elif kind == "slice":
            part = slice(draw(st.none() | st.integers(-size, size)), None, draw(st.sampled_from([None, 1, 2])))
            numpy_key.append(part), tensor_key.append(part)
        else:
            array_shape = common if kind == "array" else (1,) * len(common)
            array = draw(hnp.arrays(np.int64, array_shape, elements=st.integers(-size, size - 1)))
            numpy_key.append(array), tensor_key.append(corten.tensor(array))
    return tuple(numpy_key), tuple(tensor_key)


@given(full_shapes, st.data())
@checked
def test_advanced_indexing_reads_what_numpy_reads(shape: tuple[int, ...], data: st.DataObject) -> None:
    array, tensor = pair_of(shape)
    numpy_key, tensor_key = data.draw(advanced_keys(shape))
    if mixes_integers(numpy_key):
        # numpy counts an integer among the arrays when it decides where their dimensions go; PyTorch selects it first.
        numpy_key, array = without_integers(numpy_key, array)
    assert_same((np.asarray(array[numpy_key]), tensor[tensor_key]))


def mixes_integers(key: tuple) -> bool:
    return any(isinstance(k, int) for k in key) and any(isinstance(k, np.ndarray) for k in key)


def without_integers(key: tuple, array: np.ndarray) -> tuple[tuple, np.ndarray]:
    """The key's integers applied first, the rest of the key for what is left."""
    first = tuple(k if isinstance(k, int) else slice(None) for k in key)
    return tuple(k for k in key if not isinstance(k, int)), array[first]


@given(full_shapes, st.data())
@checked
def test_advanced_indexing_writes_where_numpy_writes(shape: tuple[int, ...], data: st.DataObject) -> None:
    array, tensor = pair_of(shape)
    numpy_key, tensor_key = data.draw(advanced_keys(shape))
    array[numpy_key] = -1
    tensor[tensor_key] = -1
    assert_same((array, tensor))


@given(full_shapes, st.data())
@checked
def test_masks_read_and_write_like_numpy(shape: tuple[int, ...], data: st.DataObject) -> None:
    array, tensor = pair_of(shape)
    dims = data.draw(st.integers(1, len(shape)))
    mask = data.draw(hnp.arrays(bool, shape[:dims]))
    assert_same((array[mask], tensor[corten.tensor(mask)]))
    array[mask] += 10
    tensor[corten.tensor(mask)] += 10
    assert_same((array, tensor))
    array[mask] = np.arange(mask.sum()).reshape(-1, *(1,) * (len(shape) - dims))
    tensor[corten.tensor(mask)] = corten.arange(int(mask.sum()), dtype=tensor.dtype).reshape(
        -1, *(1,) * (len(shape) - dims)
    )
    assert_same((array, tensor))


@given(chains(DISJOINT, full_shapes), st.data())
@checked
def test_advanced_write_through_a_view(case: tuple[Pair, Pair], data: st.DataObject) -> None:
    (base, base_tensor), (array, tensor) = case
    if not array.ndim or 0 in array.shape:
        return
    rows = data.draw(st.lists(st.integers(0, array.shape[0] - 1), min_size=1, max_size=4, unique=True))
    array[rows] = 5
    tensor[corten.tensor(rows)] = 5
    assert_same((base, base_tensor))
    array[rows] *= 2
    tensor[rows] *= 2
    assert_same((base, base_tensor))


@pytest.mark.cpu
@given(chains(DISJOINT))
@checked
def test_memory_of_numpy_is_shared_both_ways(case: tuple[Pair, Pair]) -> None:
    """from_numpy of a view of an array, and numpy() of a view of a tensor."""
    (base, _), (array, _) = case
    if any(s < 0 for s in array.strides):
        return
    tensor = corten.from_numpy(array)
    before = base.copy()
    doubled = tensor * 2
    expected = array * 2
    tensor.add_(1)
    array += 1
    assert (base != before).sum() == array.size
    np.testing.assert_array_equal(tensor.numpy(), array)
    np.testing.assert_array_equal(doubled.numpy(), expected)
    back = tensor.numpy()
    back[...] = 4
    np.testing.assert_array_equal(array, np.full(array.shape, 4))


@pytest.mark.cpu
def test_value_read_before_numpy_writes_is_kept() -> None:
    """y = from_numpy(a) + 1; a[:] = 5 does not change y."""
    array = np.arange(4.0)
    total = corten.from_numpy(array) + 1
    array[:] = 5
    assert total.tolist() == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.cpu
def test_in_place_operator_is_seen_by_numpy_at_once() -> None:
    tensor = corten.zeros(4)
    array = tensor.numpy()
    tensor[1:3].add_(2)
    assert array.tolist() == [0.0, 2.0, 2.0, 0.0]
    array[0] = 9
    assert (tensor * 2).tolist() == [18.0, 4.0, 4.0, 0.0]


@pytest.mark.parametrize("write", [lambda x: x.zero_(), lambda x: x.fill_(2)], ids=["zero_", "fill_"])
def test_one_value_can_be_written_through_an_expanded_tensor(write: Callable) -> None:
    base = corten.ones(2, 4)
    other = corten.ones(4)
    assert write(base[:, 1:3].unsqueeze(1).expand(2, 5, 2)).shape == (2, 5, 2)
    write(other.expand(3, 4))
    value = other[0].item()
    assert value != 1 and other.tolist() == [value] * 4
    assert base.tolist() == [[1, value, value, 1]] * 2


@pytest.mark.parametrize(
    ("expected", "warns", "write"),
    [
        ([9, 9, 9], True, lambda x: x.masked_fill_(corten.eye(3) > 0, 9)),
        ([0, 1, 2], True, lambda x: x.masked_fill_(corten.eye(3) > 5, 9)),
        ([9, 1, 9], True, lambda x: x.index_fill_(0, corten.tensor([0, 2]), 9)),
        ([9, 9, 9], True, lambda x: x.index_fill_(1, corten.tensor([0, 2]), corten.tensor(9.0))),
        ([9, 1, 9], True, lambda x: x.index_put_((corten.tensor([0, 2]),), corten.tensor(9.0))),
        ([3, 1, 5], True, lambda x: x.index_put_((corten.tensor([0, 2]),), corten.tensor(1.0), accumulate=True)),
        ([9, 1, 9], True, lambda x: x.__setitem__(corten.tensor([0, 2]), 9 * corten.ones(2, 3))),
        ([9, 9, 9], True, lambda x: x.__setitem__(corten.eye(3) > 0, 9.0)),
        ([9, 9, 9], False, lambda x: x.fill_diagonal_(9)),
        ([0, 0, 2], False, lambda x: x.tril_()),
        ([0, 0, 0], False, lambda x: x.triu_()),
    ],
)
def test_writes_to_single_elements_of_an_expanded_tensor_reach_all_at_one_place(expected, warns, write) -> None:
    base = corten.arange(3.0)
    with pytest.warns(UserWarning, match="on expanded tensors is deprecated") if warns else nullcontext():
        write(base.unsqueeze(1).expand(3, 3))
    assert base.tolist() == expected


def test_gradients_follow_writes_to_expanded_tensors() -> None:
    x, value = corten.ones(3, requires_grad=True), corten.tensor(5.0, requires_grad=True)
    y = x * 2
    with pytest.warns(UserWarning, match="deprecated"):
        y.unsqueeze(1).expand(3, 2).index_put_((corten.tensor([0, 2]),), value)
    (y * corten.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert y.tolist() == [5, 2, 5] and x.grad.tolist() == [0, 20, 0] and value.grad.item() == 101


def test_expanded_tensor_refuses_a_write_in_place() -> None:
    with pytest.raises(RuntimeError, match="clone"):
        corten.ones(3, 1).expand(3, 4).mul_(2)


@pytest.mark.parametrize("make", [
    lambda x: x[1:], lambda x: x.t(), lambda x: x.view(-1), lambda x: x.detach(), lambda x: x.expand(2, 3, 4),
    lambda x: x.data,
    lambda x: x.diagonal(), lambda x: x.unbind()[1], lambda x: x.chunk(2)[0], lambda x: x[None],
    lambda x: x.as_strided((2,), (1,)),
])  # fmt: skip
def test_views_share_a_version_counter(make: Callable) -> None:
    """detach shares it, `.data` has its own."""
    base = corten.ones(3, 4)
    view = make(base)
    before = view._version
    base.add_(1)
    is_data = view._version == before
    assert is_data == (make.__code__.co_names == ("data",))
    assert view.reshape(-1)[0].item() == 2.0
