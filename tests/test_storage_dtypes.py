"""uint16, uint32, uint64 and the float8 dtypes: conversions by definition, moves beside integers of the same width,
what is refused, gradients, files, and products with scales."""

from __future__ import annotations

import copy
import io
import json
import pickle
import struct

import corten
import numpy as np
import pytest
from corten.nn import functional as F

UNSIGNED = ["uint16", "uint32", "uint64"]
FLOAT8 = ["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"]
SIGNED8 = FLOAT8[:4]
ALL = UNSIGNED + FLOAT8
CARRIER = {"uint16": "int16", "uint32": "int32", "uint64": "int64"} | dict.fromkeys(FLOAT8, "uint8")
# Mantissa bits, bias and the largest code of the formats with a sign.
FORMATS = {
    "float8_e4m3fn": (3, 7, 0x7E),
    "float8_e5m2": (2, 15, 0x7B),
    "float8_e4m3fnuz": (3, 8, 0x7F),
    "float8_e5m2fnuz": (2, 16, 0x7F),
}


def dtype(name: str) -> corten.dtype:
    return getattr(corten, name)


def carried(values: np.ndarray, name: str) -> corten.Tensor:
    """A tensor of a dtype on these bits."""
    return corten.tensor(values.astype(CARRIER[name])).view(dtype(name))


def bits(t: corten.Tensor) -> np.ndarray:
    """The integers that carry a tensor."""
    return t.detach().cpu().view(dtype(CARRIER[t.dtype._name])).numpy()


def sample(name: str, shape: tuple[int, ...] = (4, 3)) -> corten.Tensor:
    size = np.dtype(CARRIER[name]).itemsize
    random = np.random.default_rng(size).integers(0, 256, (*shape, size), np.uint8)
    return carried(random.view(CARRIER[name]).reshape(shape), name)


def number_of(name: str, code: int) -> float:
    """The number of a code, by the formats' definitions."""
    if name == "float8_e8m0fnu":
        return float("nan") if code == 255 else 2.0 ** (code - 127)
    mantissa, bias, largest = FORMATS[name]
    sign, a = (-1.0 if code & 0x80 else 1.0), code & 0x7F
    if name.endswith("fnuz") and code == 0x80:
        return float("nan")
    if a > largest:
        return sign * float("inf") if name == "float8_e5m2" and a == 0x7C else float("nan")
    exponent, fraction = a >> mantissa, (a & ((1 << mantissa) - 1)) / (1 << mantissa)
    return sign * (2.0 ** (1 - bias) * fraction if exponent == 0 else 2.0 ** (exponent - bias) * (1 + fraction))


def rounded(name: str, x: np.ndarray) -> np.ndarray:
    """The codes of float32 numbers: those of the nearest number in a table, the even one where two are as near."""
    largest = FORMATS[name][2]
    table = np.array([number_of(name, code) for code in range(largest + 1)])
    # One more step of the largest number's exponent: what rounds to it is beyond.
    table = np.append(table, 2 * table[-1] - table[-2])
    size = np.minimum(np.abs(x.astype(np.float64)), table[-1])
    above = np.searchsorted(table, np.nan_to_num(size))
    below = np.maximum(above - 1, 0)
    middle = (table[above] + table[below]) / 2
    up = (size > middle) | ((size == middle) & (above % 2 == 0))
    code = np.where(up, above, below)
    sign = np.where(np.signbit(x), 0x80, 0)
    if name.endswith("fnuz"):
        return np.where(np.isnan(x) | (code > largest), 0x80, np.where(code == 0, 0, code | sign))
    end = 0x7C if name == "float8_e5m2" else largest
    return np.where(np.isnan(x), 0x7F, np.minimum(code, end)) | sign


def float32_samples() -> np.ndarray:
    """All float16 numbers, those halfway between, and random bits of float32."""
    halves = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32)
    random = np.random.default_rng(0)
    anything = random.integers(0, 2**32, 200_000, np.uint32).view(np.float32)
    exponents = random.integers(127 - 20, 127 + 20, 100_000).astype(np.uint32) << 23
    near = (exponents | random.integers(0, 2**23, 100_000, np.uint32)).view(np.float32)
    ties = np.nextafter(halves[np.isfinite(halves)], np.float32(np.inf))
    edges = np.array([448, 464, 465, 480, 57344, 61439.99, 61440, 240, 247.9, 248, np.inf, -np.inf], np.float32)
    return np.concatenate([halves, ties, anything, near, -near, edges])


@pytest.mark.parametrize("name", FLOAT8)
def test_every_code_is_its_number(name: str) -> None:
    expected = np.array([number_of(name, code) for code in range(256)], np.float64)
    x = carried(np.arange(256), name)
    got = x.float().cpu().numpy()
    np.testing.assert_array_equal(got, expected.astype(np.float32))
    number = ~np.isnan(expected)
    assert np.array_equal(np.signbit(got)[number], np.signbit(expected)[number])
    np.testing.assert_array_equal(x.cpu().tolist(), expected)
    assert np.array_equal(bits(x.float().to(dtype(name)))[number], np.arange(256)[number])


@pytest.mark.parametrize("name", SIGNED8)
def test_rounding_to_float8_is_to_the_nearest_code(name: str) -> None:
    x = float32_samples()
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(bits(corten.tensor(x).to(dtype(name))), rounded(name, x))


def test_rounding_to_a_power_of_two_drops_the_sign_and_lets_halves_go_up() -> None:
    x = corten.tensor([1.0, -1.49, 1.5, 3.0, 2.0**-127, 1.4 * 2.0**-126, 0.0, 3e38, float("inf"), float("nan")])
    codes = bits(x.to(corten.float8_e8m0fnu))
    assert codes.tolist() == [127, 127, 128, 129, 0, 1, 0, 255, 255, 255]


@pytest.mark.parametrize("name", UNSIGNED)
def test_unsigned_integers_convert_by_their_value(name: str) -> None:
    top = 2 ** (8 * dtype(name).itemsize)
    values = [0, 1, 2, 1000, top // 2 - 1, top // 2, top // 2 + 1, top - 2, top - 1]
    x = corten.tensor(np.array(values, name))
    assert x.dtype == dtype(name) and x.tolist() == values
    same = np.array(values, name)
    for other in ("float32", "int64", "int32", "int16", "uint8", "bool", "float16"):
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(x.to(dtype(other)).cpu().numpy(), same.astype(other))
    for other in UNSIGNED:
        np.testing.assert_array_equal(x.to(dtype(other)).cpu().numpy(), same.astype(other))
    assert x.to(corten.float8_e5m2).float().tolist()[1:3] == [1, 2]
    whole = corten.tensor([-1, 7, -top // 2]).to(dtype(name))
    assert whole.tolist() == [top - 1, 7, top // 2]


@pytest.mark.cpu
def test_large_integers_round_once_on_their_way_to_floats() -> None:
    odd = np.array([2**63 + 1025, 2**63 + 1024, 2**64 - 1, 2**53 + 1, 2**40 + 2**16 + 1, 2**63 + 2**39 + 1], np.uint64)
    x = corten.tensor(odd)
    np.testing.assert_array_equal(x.double().numpy(), odd.astype(np.float64))
    np.testing.assert_array_equal(x.float().numpy(), odd.astype(np.float32))
    back = corten.tensor([2.0**63, 1.5e19, 2.0**63 - 1024, 5.5, -1.0], dtype=corten.float64).to(corten.uint64)
    assert back.tolist() == [2**63, int(1.5e19), 2**63 - 1024, 5, 2**64 - 1]


def test_the_last_bits_of_float32_decide_ties_of_half_types() -> None:
    above = corten.tensor([1 + 2.0**-8 + 2.0**-23, 1 + 2.0**-8])
    assert above.bfloat16().float().tolist() == [1 + 2.0**-7, 1]
    above = corten.tensor([1 + 2.0**-11 + 2.0**-23, 1 + 2.0**-11])
    assert above.half().float().tolist() == [1 + 2.0**-10, 1]


def test_floats_as_large_as_uint64() -> None:
    x = corten.tensor([2.0**63, 2.0**63 + 2.0**40, 2.0**62, 0.0])
    assert x.to(corten.uint64).tolist() == [2**63, 2**63 + 2**40, 2**62, 0]


MASK = [[True, False, True], [False, False, True], [True, True, False], [False, True, True]]
MOVES = {
    "clone": lambda x: x.clone(),
    "transposed": lambda x: x.t().contiguous(),
    "cat": lambda x: corten.cat([x, x.flip(0)], 1),
    "stack": lambda x: corten.stack([x, x]),
    "index": lambda x: x[corten.tensor([2, 0, 0])],
    "mask": lambda x: x[corten.tensor(MASK)],
    "index_select": lambda x: x.index_select(1, corten.tensor([2, 1])),
    "gather": lambda x: x.gather(1, corten.tensor([[0, 2], [1, 1], [2, 0], [0, 0]])),
    "take": lambda x: x.take(corten.tensor([5, 11, 0])),
    "scatter": lambda x: x.scatter(0, corten.tensor([[3, 2, 1]]), x[:1]),
    "index_put": lambda x: x.index_put((corten.tensor([0, 3]), corten.tensor([1, 1])), x[1, :2]),
    "index_copy": lambda x: x.index_copy(0, corten.tensor([3, 0]), x[1:3]),
    "where": lambda x: corten.where(corten.tensor(MASK), x, x.flip(0)),
    "flip": lambda x: x.flip(0, 1),
    "roll": lambda x: x.roll(2, 0),
    "masked_select": lambda x: x.masked_select(corten.tensor(MASK)),
    "masked_scatter": lambda x: x.masked_scatter(corten.tensor(MASK), x.flip(0)),
    "repeat": lambda x: x.repeat(2, 1),
    "repeat_interleave": lambda x: x.repeat_interleave(2, 0),
    "diagonal": lambda x: x.diagonal().diag_embed(),
    "unfold": lambda x: x.unfold(0, 2, 1).clone(),
    "pad": lambda x: F.pad(x, (1, 2)),
    "slice": lambda x: x[::2, 1:].clone(),
    "select_scatter": lambda x: x.select_scatter(x[0], 0, 2),
}


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("name", ALL)
def test_moves_take_the_bits_along(name: str, move: str) -> None:
    x = sample(name)
    got = MOVES[move](x)
    expected = MOVES[move](x.view(dtype(CARRIER[name])))
    assert got.dtype == x.dtype and got.shape == expected.shape and got.stride() == expected.stride()
    np.testing.assert_array_equal(bits(got), expected.cpu().numpy())


@pytest.mark.parametrize("name", ALL)
def test_writes_reach_every_view(name: str) -> None:
    x = sample(name, (6, 4))
    whole = x.view(-1)
    x[1] = x[0]
    x[2, 1:3] = 2
    x.t()[3].copy_(corten.full((6,), 4.0))
    x[5].fill_(1)
    x[4, 0] = corten.tensor(3)
    x[3].zero_()
    seen = whole.reshape(6, 4)
    np.testing.assert_array_equal(bits(seen), bits(x))
    three = 4 if name == "float8_e8m0fnu" else 3
    zero = 2.0**-127 if name == "float8_e8m0fnu" else 0
    assert seen[2].tolist()[1:] == [2, 2, 4] and seen[5].tolist() == [1] * 4 and seen[4, 0].item() == three
    assert seen[3].tolist() == [zero] * 4 and seen[1].view(dtype(CARRIER[name])).tolist()[:3] == bits(x)[0].tolist()[:3]
    assert x._version > 0 and whole._version == x._version
    other = x.view(corten.uint8)
    other.fill_(0)
    assert x.tolist() == [[zero] * 4] * 6


@pytest.mark.parametrize("name", UNSIGNED)
def test_arithmetic_of_unsigned_integers_wraps(name: str) -> None:
    a = np.array([3, 2 ** (8 * dtype(name).itemsize) - 1, 2 ** (8 * dtype(name).itemsize - 1), 77], name)
    b = np.array([5, 3, 2, 1], name)
    x, y = corten.tensor(a), corten.tensor(b)
    for got, expected in [
        (x * y, a * b),
        (x * 7, a * np.array(7, name)),
        (x & y, a & b),
        (x | 6, a | np.array(6, name)),
        (x ^ y, a ^ b),
        (x == y, a == b),
        (x != x, a != a),
        (x == int(a[1]), a == a[1]),
        (x.sort().values, np.sort(a)),
        (x.sort(descending=True).values, np.sort(a)[::-1]),
        (x.argsort(), np.argsort(a)),
        (corten.cat([x, x]).unique(), np.unique(a)),
        (x.floor(), a),
        (x.isnan(), np.zeros(4, bool)),
        (x.isfinite(), np.ones(4, bool)),
        (x.any(), np.any(a)),
        (x.all(0), np.all(a)),
        (x / y, a.astype(np.float32) / b.astype(np.float32)),
        (x + 1.5, a.astype(np.float32) + np.float32(1.5)),
        (y * corten.ones(4).half(), b.astype(np.float16)),
        (y.sum(), b.sum().astype(np.int64)),
        (y.cumsum(0), b.cumsum().astype(np.int64)),
        (y.prod(), np.array(30, np.int64)),
        (y.float().sum(dtype=corten.float32), np.array(11, np.float32)),
        (y.exp(), np.exp(b.astype(np.float32))),
    ]:
        array = got.cpu().numpy()
        assert array.dtype == np.asarray(expected).dtype
        np.testing.assert_allclose(array, expected, rtol=3e-6)
    x *= 2
    assert x.tolist() == (a * np.array(2, name)).tolist()
    assert x[3].item() == 154 and int(x[3]) == 154 and [*range(9)][y[1]] == 3


@pytest.mark.parametrize("name", SIGNED8)
def test_what_float8_can_do(name: str) -> None:
    values = [1.5, -2.0, 0.0, float("nan"), 0.25]
    x = corten.tensor(values, dtype=dtype(name))
    assert (x * x).dtype == x.dtype and (x * x).float().tolist()[1:3] == [4, 0]
    assert x.abs().float().tolist()[:3] == [1.5, 2, 0]
    assert (x == x).tolist() == [True, True, True, False, True] and (x != 1.5).tolist() == [False] + [True] * 4
    assert x.isnan().tolist() == [False] * 3 + [True, False] and x.any().item() and not x.all().item()
    assert x.bool().tolist() == [True, True, False, True, True] and x.long().tolist()[:3] == [1, -2, 0]
    assert corten.where(x == 0, 3, x).float().tolist()[2] == 3
    assert x.to(corten.complex64).real.tolist()[:2] == [1.5, -2] and x[1].item() == -2.0
    a = corten.randn(5, 7).to(x.dtype)
    b = corten.randn(7, 3).to(x.dtype)
    assert np.array_equal(bits(a @ b), bits((a.float() @ b.float()).to(x.dtype)))
    assert np.array_equal(bits(F.linear(a, b.t())), bits(a @ b))
    added = x.index_put((corten.tensor([0, 0, 2]),), x[:3], accumulate=True)
    assert added.float().tolist()[:3] == [1, -2, 0]


def test_zeros_of_both_signs_are_equal() -> None:
    x = corten.tensor([0.0, -0.0]).to(corten.float8_e5m2)
    assert bits(x).tolist() == [0, 0x80] and (x[:1] == x[1:]).item()


def test_infinities_are_those_of_the_format_that_has_them() -> None:
    x = corten.tensor([float("inf"), 1.0, float("nan")]).to(corten.float8_e5m2)
    assert x.isinf().tolist() == [True, False, False] and x.isfinite().tolist() == [False, True, False]
    with pytest.raises(NotImplementedError, match=r"isinf.*Float8_e4m3fn"):
        x.to(corten.float8_e4m3fn).isinf()


REFUSED = {
    "add": lambda x: x + x,
    "add number": lambda x: x + 1,
    "sub": lambda x: x - x,
    "neg": lambda x: -x,
    "lt": lambda x: x < x,
    "pow": lambda x: x**2,
    "remainder": lambda x: x % x,
    "floor_divide": lambda x: x // x,
    "amax": lambda x: x.amax(),
    "argmax": lambda x: x.argmax(),
    "max": lambda x: x.max(0),
    "topk": lambda x: x.topk(1),
    "clamp": lambda x: x.clamp(0, 1),
    "logical_and": lambda x: corten.logical_and(x, x),
    "logical_not": lambda x: x.logical_not(),
    "count_nonzero": lambda x: x.count_nonzero(),
    "scatter_add": lambda x: x.scatter_add(0, corten.tensor([0]), x),
    "put_": lambda x: x.clone().put_(corten.tensor([0]), x[:1], accumulate=True),
    "tril": lambda x: x.reshape(1, -1).tril(),
    "softmax": lambda x: x.softmax(0),
    "arange": lambda x: corten.arange(3, dtype=x.dtype),
    "uniform": lambda x: corten.rand(3, dtype=x.dtype),
    "normal": lambda x: corten.randn(3, dtype=x.dtype),
    "bmm": lambda x: corten.bmm(x.reshape(1, 1, -1), x.reshape(1, -1, 1)),
    "isin": lambda x: corten.isin(x, x),
    "cummax": lambda x: x.cummax(0),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("name", ALL)
def test_what_is_refused_names_the_dtype(name: str, what: str) -> None:
    x = sample(name, (4,))
    with pytest.raises(NotImplementedError, match=f"not implemented for '{corten._composites._common.scalar_name(x)}'"):
        REFUSED[what](x)


@pytest.mark.parametrize("name", FLOAT8)
def test_what_float8_alone_refuses(name: str) -> None:
    x = sample(name, (4,))
    for call in (x.sum, x.sort, x.cumprod, lambda: x * 2, lambda: x / x, x.exp, x.floor, lambda: x & x, x.unique):
        with pytest.raises((NotImplementedError, TypeError)):
            call(0) if call == x.cumprod else call()
    with pytest.raises(TypeError, match="only floating-point types"):
        corten.set_default_dtype(dtype(name))


def test_promotion_is_refused_as_in_pytorch() -> None:
    u, f = corten.ones(2, dtype=corten.uint16), corten.ones(2).to(corten.float8_e5m2)
    for call, text in [
        (lambda: u + corten.ones(2, dtype=corten.int32), "uint16, uint32, uint64 types.*UInt16 and Int"),
        (lambda: u * u.to(corten.uint32), "UInt16 and UInt32"),
        (lambda: f * corten.ones(2), "Float8 Types.*Float8_e5m2 and Float"),
        (lambda: corten.cat([f, f.half()]), "Float8_e5m2 and Half"),
        (lambda: f * f.to(corten.float8_e4m3fn), "Float8_e5m2 and Float8_e4m3fn"),
        (lambda: corten.promote_types(corten.uint16, corten.complex64), "UInt16 and ComplexFloat"),
        (lambda: corten.promote_types(corten.float8_e5m2, corten.bool), "Float8_e5m2 and Bool"),
        (lambda: corten.result_type(f, 1j), "Unknown Complex ScalarType for Float8_e5m2"),
        (lambda: corten.zeros(2, dtype=corten.bool) == u[0], "Bool and UInt16"),
    ]:
        with pytest.raises(RuntimeError, match=text):
            call()
    assert corten.promote_types(corten.uint64, corten.bfloat16) == corten.bfloat16
    assert corten.result_type(u, 2.5) == corten.float32 and corten.result_type(u, 3) == corten.uint16
    assert corten.result_type(f, 2.5) == corten.float8_e5m2
    assert corten.result_type(corten.ones(2, dtype=corten.int32), u[0]) == corten.int32


def test_facts_of_the_dtypes() -> None:
    for name in ALL:
        d = dtype(name)
        assert repr(d) == f"corten.{name}" and d.itemsize == np.dtype(CARRIER[name]).itemsize
        assert d.is_floating_point == name.startswith("float8") and not d.is_complex
        assert d.is_signed == (name in SIGNED8) and d.to_real() == d and pickle.loads(pickle.dumps(d)) is d
        assert sample(name).element_size() == d.itemsize and sample(name).is_floating_point() == d.is_floating_point
        with pytest.raises(RuntimeError, match="Unknown Complex"):
            d.to_complex()
    assert corten.iinfo(corten.uint64).max == 2**64 - 1 and corten.iinfo(corten.uint16).min == 0
    for name in FLOAT8:
        info, codes = corten.finfo(dtype(name)), [number_of(name, code) for code in range(256)]
        finite = [c for c in codes if np.isfinite(c)]
        assert (info.max, info.min, info.bits, info.dtype) == (max(finite), min(finite), 8, name)
    assert corten.finfo(corten.float8_e4m3fn).eps == 0.125 and corten.finfo(corten.float8_e5m2).tiny == 2.0**-14
    assert sample("uint16").cpu().type() == "corten.UInt16Tensor"


def test_printing() -> None:
    assert repr(corten.tensor([1, 65535], dtype=corten.uint16)) == "tensor([    1, 65535], dtype=corten.uint16)"
    x = corten.tensor([1.5, float("nan"), 448], dtype=corten.float8_e4m3fn)
    assert repr(x) == "tensor([  1.5000,      nan, 448.0000], dtype=corten.float8_e4m3fn)"
    assert repr(corten.tensor(2**64 - 1, dtype=corten.uint64)) == "tensor(18446744073709551615, dtype=corten.uint64)"


@pytest.mark.parametrize("name", ALL)
def test_copies_files_and_views_of_bytes_keep_the_bits(name: str) -> None:
    x = sample(name)
    for other in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x), x.clone().cpu()):
        assert other.dtype == x.dtype and np.array_equal(bits(other), bits(x))
    for legacy in (False, True):
        buffer = io.BytesIO()
        corten.save({"x": x, "part": x[1:]}, buffer, _use_new_zipfile_serialization=not legacy)
        buffer.seek(0)
        loaded = corten.load(buffer)
        assert loaded["x"].dtype == x.dtype and np.array_equal(bits(loaded["x"]), bits(x))
        loaded["part"].zero_()
        assert bits(loaded["x"])[1:].sum() == 0
    assert np.array_equal(x.view(corten.uint8).cpu().numpy().reshape(-1), bits(x).reshape(-1).view(np.uint8))
    wide = corten.zeros(4, dtype=corten.int64).view(x.dtype)
    assert wide.shape == (4 * 8 // x.element_size(),)


@pytest.mark.cpu
@pytest.mark.parametrize("name", UNSIGNED)
def test_numpy_and_dlpack_share_the_memory(name: str) -> None:
    array = np.array([1, 2, 3], name)
    x = corten.from_numpy(array)
    x[1] = 65535
    assert array[1] == 65535 and x.numpy().dtype == np.dtype(name)
    y = corten.from_dlpack(np.from_dlpack(x))
    y[0] = 9
    assert x.dtype == y.dtype == dtype(name) and x.tolist() == [9, 65535, 3]
    assert corten.tensor([array.dtype.type(3)]).dtype == dtype(name)


@pytest.mark.cpu
def test_numpy_has_no_float8() -> None:
    x = corten.zeros(3, dtype=corten.float8_e5m2)
    with pytest.raises(TypeError, match="unsupported ScalarType Float8_e5m2"):
        x.numpy()
    assert corten.from_dlpack(x).dtype == x.dtype


@pytest.mark.cpu
def test_safetensors(tmp_path) -> None:
    names = {"U16": "uint16", "U32": "uint32", "U64": "uint64", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"}
    header, data = {}, b""
    for kind, name in names.items():
        part = bits(sample(name)).tobytes()
        header[name] = {"dtype": kind, "shape": [4, 3], "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    text = json.dumps(header).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    for name, x in corten.load(path).items():
        assert x.dtype == dtype(name) and np.array_equal(bits(x), bits(sample(name)))


def test_gradients_are_converted_back() -> None:
    x = corten.tensor([1.1, 2.3], requires_grad=True)
    y = x.to(corten.float8_e4m3fn)
    assert y.requires_grad and type(y.grad_fn).__name__.startswith("ToCopy")
    (y.float() * corten.tensor([1.03, 2.0])).sum().backward()
    assert x.grad.tolist() == [1, 2]  # 1.03 rounded to float8 on its way
    w = corten.tensor([1.5, 3.0], dtype=corten.float8_e5m2).requires_grad_()
    w.float().sum().backward()
    assert w.grad.dtype == w.dtype and w.grad.float().tolist() == [1, 1]
    with pytest.raises(NotImplementedError, match=r"add.*Float8_e5m2"):
        w.float().sum().backward()
    v = corten.tensor([1.0, 2.0, 3.0], requires_grad=True)
    (v.to(corten.float8_e5m2)[1:].float() * 4).sum().backward()
    assert v.grad.tolist() == [0, 4, 4]
    v.grad = None
    (v.to(corten.float8_e5m2)[corten.tensor([0, 0, 2])].float() * 4).sum().backward()
    assert v.grad.tolist() == [8, 0, 4]
    assert isinstance(corten.nn.Parameter(w.detach()), corten.nn.Parameter)
    with pytest.raises(RuntimeError, match="floating point"):
        corten.zeros(2, dtype=corten.uint16).requires_grad_()


def test_conversions_are_part_of_the_kernel_around_them() -> None:
    x, scale = corten.randn(64, 64), corten.tensor(0.5)
    corten.flush()
    before = corten._core.counters()
    y = (x * scale).to(corten.float8_e4m3fn)
    corten.flush()
    middle = corten._core.counters()
    z = y.float() * 2 + 1
    corten.flush()
    after = corten._core.counters()
    assert middle["kernels"] - before["kernels"] == 1 and after["kernels"] - middle["kernels"] == 1
    np.testing.assert_array_equal(bits(y), rounded("float8_e4m3fn", (x * scale).cpu().numpy()))
    assert z.dtype == corten.float32


def test_compiled_functions_take_them() -> None:
    @corten.compile
    def quantized(x):
        return (x * 2).to(corten.float8_e5m2).float() + 1

    for _ in range(3):
        x = corten.randn(8)
        np.testing.assert_array_equal(
            quantized(x).cpu().numpy(), ((x * 2).to(corten.float8_e5m2).float() + 1).cpu().numpy()
        )


def test_random_integers() -> None:
    for name in UNSIGNED:
        x = corten.randint(3, 60000, (1000,), dtype=dtype(name))
        assert x.dtype == dtype(name) and 3 <= min(x.tolist()) and 50000 < max(x.tolist()) < 60000
        y = corten.empty(100, dtype=dtype(name)).random_(5)
        assert sorted(set(y.tolist())) == [0, 1, 2, 3, 4]


def test_what_tests_are_made_of() -> None:
    for name in UNSIGNED + SIGNED8:
        x = corten.testing.make_tensor((200,), dtype=dtype(name), device=corten.get_default_device())
        values = x.cpu().tolist()
        assert x.dtype == dtype(name) and max(values) <= 9 and min(values) == (0 if name in UNSIGNED else min(values))
        corten.testing.assert_close(x, x.clone())
    with pytest.raises(TypeError, match="float8_e8m0fnu"):
        corten.testing.make_tensor((2,), dtype=corten.float8_e8m0fnu, device="cpu")
    a, b = (corten.tensor(v).to(corten.float8_e5m2) for v in ([1.0, 2.0], [1.0, 2.5]))
    with pytest.raises(AssertionError, match=r"1 / 2 \(50.0%\)\nThe first mismatched element is at index \(1,\)"):
        corten.testing.assert_close(a, b)
    with pytest.raises(AssertionError, match="bitwise comparison"):
        corten.testing.assert_close(a, b, rtol=1, atol=1)


def f8(*shape: int) -> corten.Tensor:
    return corten.randn(*shape).to(corten.float8_e4m3fn)


def array64(t: corten.Tensor) -> np.ndarray:
    return t.float().cpu().numpy().astype(np.float64)


def close(got: corten.Tensor, expected: np.ndarray) -> None:
    rtol = 2**-8 if got.dtype == corten.bfloat16 else 2e-5
    np.testing.assert_allclose(array64(got), expected, rtol=rtol, atol=1e-4 * np.abs(expected).max())


def spread(scale: np.ndarray, rows: int, columns: int, shape: tuple[int, int]) -> np.ndarray:
    return np.repeat(np.repeat(scale, rows, 0), columns, 1)[: shape[0], : shape[1]]


def test_scaled_mm_by_tensor_and_row() -> None:
    a, b = f8(5, 40), f8(9, 40).t()
    one, two, bias = corten.tensor(0.5), corten.tensor([3.0]), corten.randn(9)
    rows, columns = corten.rand(5, 1), corten.rand(1, 9)
    plain = array64(a) @ array64(b)
    S = F.ScalingType
    close(F.scaled_mm(a, b, one, S.TensorWise, two, S.TensorWise), plain * 1.5)
    wide = F.scaled_mm(a, b, [rows], [S.RowWise], [columns], [S.RowWise], bias=bias, output_dtype=corten.float32)
    close(wide, plain * array64(rows) * array64(columns) + array64(bias))
    close(F.scaled_mm(a, b.t(), one, S.TensorWise, two, S.TensorWise, contraction_dim=(1, 1)), plain * 1.5)
    assert corten._scaled_mm(a, b, one, two).dtype == a.dtype
    close(corten._scaled_mm(a, b, rows, columns, out_dtype=corten.float32), plain * array64(rows) * array64(columns))
    divided = corten._scaled_mm(a, b, one, two, scale_result=corten.tensor(8.0))
    exact = (F.scaled_mm(a, b, one, S.TensorWise, two, S.TensorWise, output_dtype=corten.float32) / 8).to(a.dtype)
    assert np.array_equal(bits(divided), bits(exact))


def test_scaled_mm_by_block() -> None:
    a, b = f8(130, 256), f8(140, 256).t()
    S, W = F.ScalingType, F.SwizzleType
    of_a, of_b = corten.rand(130, 2) + 0.5, corten.rand(2, 140) + 0.5
    wide_a, wide_b = spread(array64(of_a), 1, 128, (130, 256)), spread(array64(of_b), 128, 1, (256, 140))
    got = F.scaled_mm(a, b, of_a, S.BlockWise1x128, of_b, S.BlockWise1x128, output_dtype=corten.float32)
    close(got, (array64(a) * wide_a) @ (array64(b) * wide_b))
    close(corten._scaled_mm(a, b, of_a, of_b, out_dtype=corten.float32), (array64(a) * wide_a) @ (array64(b) * wide_b))
    tiles = corten.rand(2, 2) + 0.5
    got = F.scaled_mm(a, b, of_a, S.BlockWise1x128, tiles, S.BlockWise128x128, output_dtype=corten.float32)
    close(got, (array64(a) * wide_a) @ (array64(b) * spread(array64(tiles), 128, 128, (256, 140))))
    powers = [corten.randint(120, 134, (n, 8)).to(corten.uint8).view(corten.float8_e8m0fnu) for n in (130, 140)]
    scaled = [
        array64(x) * spread(array64(p), 1, 32, (n, 256)) for x, p, n in zip((a, b.t()), powers, (130, 140), strict=True)
    ]
    expected = scaled[0] @ scaled[1].T
    kinds = S.BlockWise1x32
    close(F.scaled_mm(a, b, powers[0], kinds, powers[1], kinds, output_dtype=corten.float32), expected)
    order = W.SWIZZLE_32_4_4
    got = F.scaled_mm(
        a, b, swizzled(powers[0]), kinds, swizzled(powers[1]), kinds, order, order, output_dtype=corten.float32
    )
    close(got, expected)


def swizzled(scale: corten.Tensor) -> corten.Tensor:
    """The scales in tiles of 128 rows and 4 columns, byte by byte as the layout is described."""
    codes = bits(scale)
    rows, columns = codes.shape
    down, across = -(-rows // 128), -(-columns // 4)
    out = np.zeros(down * across * 512, np.uint8)
    for r in range(rows):
        for c in range(columns):
            tile, row = (r // 128) * across + c // 4, r % 128
            out[tile * 512 + (row % 32) * 16 + (row // 32) * 4 + c % 4] = codes[r, c]
    return carried(out, "float8_e8m0fnu")


def test_scaled_grouped_mm() -> None:
    S, row = F.ScalingType, F.ScalingType.RowWise
    ends = corten.tensor([3, 8], dtype=corten.int32)
    matrix, batch = f8(8, 16), f8(2, 16, 6)
    of_rows, of_columns = corten.rand(8) + 0.5, corten.rand(2, 6) + 0.5
    left, right = array64(matrix) * array64(of_rows)[:, None], array64(batch) * array64(of_columns)[:, None, :]
    got = F.scaled_grouped_mm(matrix, batch, of_rows, row, of_columns, row, offs=ends, output_dtype=corten.float32)
    close(got, np.concatenate([left[:3] @ right[0], left[3:] @ right[1]]))
    stacked = f8(2, 5, 16)
    of_stack = corten.rand(2, 5) + 0.5
    got = F.scaled_grouped_mm(stacked, batch, of_stack, row, of_columns, row, output_dtype=corten.float32)
    close(got, (array64(stacked) * array64(of_stack)[..., None]) @ right)
    x, y = f8(5, 8), f8(8, 6)
    sx, sy = corten.rand(10) + 0.5, corten.rand(12) + 0.5
    got = F.scaled_grouped_mm(x, y, sx, row, sy, row, offs=ends, output_dtype=corten.float32)
    parts = [
        (array64(x)[:, i:j] * array64(sx)[5 * g : 5 * g + 5, None]) @ (array64(y)[i:j] * array64(sy)[6 * g : 6 * g + 6])
        for g, (i, j) in enumerate([(0, 3), (3, 8)])
    ]
    close(got, np.stack(parts))
    with pytest.raises(NotImplementedError, match="RowWise scales are there, got TensorWise"):
        F.scaled_grouped_mm(matrix, batch, of_rows, S.TensorWise, of_columns, row, offs=ends)


def test_scaled_products_refuse_what_does_not_fit() -> None:
    a, b, one = f8(4, 32), f8(6, 32).t(), corten.tensor(1.0)
    S = F.ScalingType
    tensor = S.TensorWise
    for call, error, text in [
        (lambda: F.scaled_mm(a.float(), b, one, tensor, one, tensor), ValueError, "should be float8, got Float and"),
        (lambda: F.scaled_mm(a, b.t(), one, tensor, one, tensor), RuntimeError, "4x32 and 6x32"),
        (lambda: F.scaled_mm(a, b, corten.ones(4), S.RowWise, one, tensor), ValueError, "scale_a of RowWise.*4 x 1"),
        (lambda: F.scaled_mm(a, b, one.half(), tensor, one, tensor), ValueError, "1 element of float32"),
        (lambda: F.scaled_mm(a, b, one, S.BlockWise1x128, one, tensor), ValueError, "shape 4 x 1 of float32"),
        (lambda: F.scaled_mm(a, b, one, S.BlockWise1x32, one, tensor), ValueError, "4 elements of float8_e8m0fnu"),
        (lambda: F.scaled_mm(a, b, one, S.BlockWise1x16, one, tensor), NotImplementedError, "float4"),
        (lambda: F.scaled_mm(a, b, [one, one], tensor, one, tensor), NotImplementedError, "2 scales"),
        (lambda: corten._scaled_mm(a, b, one, one, bias=corten.ones(5)), RuntimeError, "size 6 but got 5"),
        (
            lambda: F.scaled_mm(a, b, one, tensor, one, tensor, F.SwizzleType.SWIZZLE_32_4_4),
            ValueError,
            "not swizzled",
        ),
    ]:
        with pytest.raises(error, match=text):
            call()
