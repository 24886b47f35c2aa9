"""uint16, uint32, uint64 and the float8 dtypes beside PyTorch's: every code and many numbers bit for bit, what
operators give or refuse, promotion, files both ways, scaled products."""

from __future__ import annotations

import io
import warnings

import corten
import numpy as np
import pytest
import torch

UNSIGNED = ["uint16", "uint32", "uint64"]
FLOAT8 = ["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"]
ALL = UNSIGNED + FLOAT8
PLAIN = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64", "complex64"]


def integers(t):
    """The bits of a tensor of either library, and its shape."""
    t = t.detach().contiguous()
    lib = torch if isinstance(t, torch.Tensor) else corten
    return t.shape, (t.reshape(-1).view(lib.uint8).numpy() if t.numel() else np.zeros(0, np.uint8))


def same(ours, theirs):
    assert str(ours.dtype).split(".")[1] == str(theirs.dtype).split(".")[1]
    if theirs.dtype.is_floating_point and theirs.dtype.itemsize > 1:
        np.testing.assert_array_equal(ours.detach().double().numpy(), theirs.detach().double().numpy())
        return
    (shape, bits), (shape_of_theirs, expected) = integers(ours), integers(theirs)
    assert tuple(shape) == tuple(shape_of_theirs)
    np.testing.assert_array_equal(bits, expected)


def sample(lib, name):
    values = [1, 2, 4, 2]
    d = getattr(lib, name)
    return lib.tensor(values, dtype=d) if name in UNSIGNED else lib.tensor(values).float().to(d)


@pytest.mark.parametrize("name", FLOAT8)
def test_every_code_in_every_dtype(name):
    codes = np.arange(256, dtype=np.uint8)
    ours = corten.from_numpy(codes).view(getattr(corten, name))
    theirs = torch.from_numpy(codes).view(getattr(torch, name))
    np.testing.assert_array_equal(ours.float().view(corten.int32).numpy(), theirs.float().view(torch.int32).numpy())
    number = ~np.isnan(theirs.double().numpy())
    for other in PLAIN + ALL:
        kept = number if other in UNSIGNED + PLAIN[:6] else np.ones(256, bool)
        if other in PLAIN[1:6] + UNSIGNED:  # what is beyond the range is undefined
            limit = 127 if other == "int8" else 255 if other == "uint8" else 32767
            kept = kept & (np.abs(theirs.double().numpy()) <= limit)
        if name == other == "float8_e5m2":
            continue
        at = np.flatnonzero(kept)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            same(ours[at].to(getattr(corten, other)), theirs[at].to(getattr(torch, other)))


@pytest.mark.parametrize("name", FLOAT8)
def test_numbers_round_to_the_same_codes(name):
    random = np.random.default_rng(1)
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    singles = random.integers(0, 2**32, 1_000_000, np.uint32)
    exponents = random.integers(100, 150, 1_000_000).astype(np.uint32) << 23
    near = (
        exponents
        | random.integers(0, 2**23, 1_000_000, np.uint32)
        | (random.integers(0, 2, 1_000_000, np.uint32) << 31)
    )
    upper = np.arange(65536, dtype=np.uint32) << 16
    with np.errstate(invalid="ignore"):
        doubles = halves.astype(np.float64) * (1 + 2.0**-40)
    ours, theirs = getattr(corten, name), getattr(torch, name)
    words = [singles, near, upper, upper + 0x8000, upper + 1, upper - 1]
    for x in [halves, doubles, *(w.astype(np.uint32).view(np.float32) for w in words), np.arange(-600, 600)]:
        with np.errstate(all="ignore"):
            same(corten.from_numpy(x).to(ours), torch.from_numpy(x).to(theirs))
    words = np.arange(65536, dtype=np.uint16).view(np.int16)
    same(
        corten.from_numpy(words).view(corten.bfloat16).to(ours), torch.from_numpy(words).view(torch.bfloat16).to(theirs)
    )


@pytest.mark.parametrize("name", UNSIGNED)
def test_unsigned_integers_in_every_dtype(name):
    random = np.random.default_rng(2)
    x = random.integers(0, 2 ** np.iinfo(name).bits, 5000, np.uint64 if name == "uint64" else np.dtype(name), False)
    x = np.append(x, np.array([0, 1, np.iinfo(name).max, np.iinfo(name).max // 2 + 1], name)).astype(name)
    for other in PLAIN + UNSIGNED + FLOAT8:
        same(corten.from_numpy(x).to(getattr(corten, other)), torch.from_numpy(x).to(getattr(torch, other)))
    whole = random.integers(-(2**62), 2**62, 5000)
    for source in ("int8", "int16", "int32", "int64", "uint8", "bool"):
        y = whole.astype(source)
        same(corten.from_numpy(y).to(getattr(corten, name)), torch.from_numpy(y).to(getattr(torch, name)))
    y = random.uniform(-30000, 60000, 5000).astype(np.float32)
    same(corten.from_numpy(y).to(getattr(corten, name)), torch.from_numpy(y).to(getattr(torch, name)))


INDEX, MASK = [0, 1], [True, False, True, False]
OPERATIONS = {
    "zeros": lambda lib, x: lib.zeros(2, dtype=x.dtype),
    "ones": lambda lib, x: lib.ones(2, dtype=x.dtype),
    "full": lambda lib, x: lib.full((2,), 3, dtype=x.dtype),
    "full negative": lambda lib, x: lib.full((2,), -1, dtype=x.dtype),
    "full float": lambda lib, x: lib.full((2,), 3.5, dtype=x.dtype),
    "tensor": lambda lib, x: lib.tensor([1, 2], dtype=x.dtype),
    "fill_": lambda lib, x: x.fill_(3),
    "zero_": lambda lib, x: x.zero_(),
    "eye": lambda lib, x: lib.eye(2, dtype=x.dtype),
    "arange": lambda lib, x: lib.arange(3, dtype=x.dtype),
    "linspace": lambda lib, x: lib.linspace(0, 1, 3, dtype=x.dtype),
    "zeros_like": lambda lib, x: lib.zeros_like(x),
    "full_like": lambda lib, x: lib.full_like(x, 2),
    "add": lambda lib, x: x + x,
    "sub": lambda lib, x: x - x,
    "mul": lambda lib, x: x * x,
    "div": lambda lib, x: x / x,
    "floor_divide": lambda lib, x: x // x,
    "remainder": lambda lib, x: x % x,
    "pow": lambda lib, x: x**2,
    "neg": lambda lib, x: -x,
    "abs": lambda lib, x: x.abs(),
    "sign": lambda lib, x: x.sign(),
    "add 1": lambda lib, x: x + 1,
    "mul 2": lambda lib, x: x * 2,
    "add 1.5": lambda lib, x: x + 1.5,
    "add int32": lambda lib, x: x + lib.ones(4, dtype=lib.int32),
    "add float32": lambda lib, x: x + lib.ones(4),
    "add float16": lambda lib, x: x + lib.ones(4).half(),
    "add bool": lambda lib, x: x + lib.ones(4).bool(),
    "eq": lambda lib, x: x == x,
    "ne": lambda lib, x: x != x,
    "eq 2": lambda lib, x: x == 2,
    "eq float": lambda lib, x: x == lib.ones(4),
    "eq int64": lambda lib, x: x == lib.ones(4, dtype=lib.int64),
    "lt": lambda lib, x: x < x,
    "ge": lambda lib, x: x >= 2,
    "and": lambda lib, x: x & x,
    "or": lambda lib, x: x | 1,
    "xor": lambda lib, x: x ^ x,
    "not": lambda lib, x: ~x,
    "shift": lambda lib, x: x << 1,
    "logical_and": lambda lib, x: lib.logical_and(x, x),
    "logical_not": lambda lib, x: lib.logical_not(x),
    "sum": lambda lib, x: x.sum(),
    "sum float32": lambda lib, x: x.sum(0, dtype=lib.float32),
    "prod": lambda lib, x: x.prod(),
    "mean": lambda lib, x: x.mean(),
    "max": lambda lib, x: x.max(),
    "max dim": lambda lib, x: x.max(0),
    "argmin": lambda lib, x: x.argmin(),
    "any": lambda lib, x: x.any(),
    "all": lambda lib, x: x.all(0),
    "count_nonzero": lambda lib, x: x.count_nonzero(),
    "nonzero": lambda lib, x: x.nonzero(),
    "var": lambda lib, x: x.var(),
    "sort": lambda lib, x: tuple(x.sort(stable=True)),
    "argsort": lambda lib, x: x.argsort(stable=True),
    "msort": lambda lib, x: x.msort(),
    "topk": lambda lib, x: x.topk(2),
    "unique": lambda lib, x: x.unique(),
    "unique_consecutive": lambda lib, x: lib.unique_consecutive(x),
    "median": lambda lib, x: x.median(),
    "cumsum": lambda lib, x: x.cumsum(0),
    "cumsum float32": lambda lib, x: x.cumsum(0, dtype=lib.float32),
    "cumprod": lambda lib, x: x.cumprod(0),
    "cummax": lambda lib, x: x.cummax(0),
    "nansum": lambda lib, x: x.nansum(),
    "logsumexp": lambda lib, x: x.logsumexp(0),
    "cat": lambda lib, x: lib.cat([x, x]),
    "cat float": lambda lib, x: lib.cat([x, x.float()]),
    "stack": lambda lib, x: lib.stack([x, x]),
    "index": lambda lib, x: x[lib.tensor(INDEX)],
    "mask": lambda lib, x: x[lib.tensor(MASK)],
    "where": lambda lib, x: lib.where(lib.tensor(MASK), x, x),
    "where number": lambda lib, x: lib.where(lib.tensor(MASK), x, 3),
    "roll": lambda lib, x: x.roll(1),
    "repeat": lambda lib, x: x.repeat(2),
    "repeat_interleave": lambda lib, x: x.repeat_interleave(2),
    "diag": lambda lib, x: x.diag(),
    "tril": lambda lib, x: x.reshape(2, 2).tril(),
    "trace": lambda lib, x: x.reshape(2, 2).trace(),
    "clone": lambda lib, x: x.reshape(2, 2).t().contiguous(),
    "copy_": lambda lib, x: x.copy_(lib.ones(4)),
    "scatter_add": lambda lib, x: x.scatter_add(0, lib.tensor(INDEX), x),
    "index_add": lambda lib, x: x.index_add(0, lib.tensor(INDEX), x[:2]),
    "index_put sums": lambda lib, x: x.index_put((lib.tensor(INDEX),), x[:2], accumulate=True),
    "isnan": lambda lib, x: x.isnan(),
    "isinf": lambda lib, x: x.isinf(),
    "isfinite": lambda lib, x: x.isfinite(),
    "clamp": lambda lib, x: x.clamp(0, 2),
    "maximum": lambda lib, x: lib.maximum(x, x),
    "floor": lambda lib, x: x.floor(),
    "round": lambda lib, x: x.round(),
    "exp": lambda lib, x: x.exp(),
    "sqrt": lambda lib, x: x.sqrt(),
    "matmul": lambda lib, x: x.reshape(2, 2) @ x.reshape(2, 2),
    "bmm": lambda lib, x: lib.bmm(x.reshape(1, 2, 2), x.reshape(1, 2, 2)),
    "linear": lambda lib, x: lib.nn.functional.linear(x.reshape(2, 2), x.reshape(2, 2)),
    "rand": lambda lib, x: lib.rand(2, dtype=x.dtype),
    "randn": lambda lib, x: lib.randn(2, dtype=x.dtype),
    "random_": lambda lib, x: x.random_(),
    "bernoulli_": lambda lib, x: x.bernoulli_(),
    "bincount": lambda lib, x: x.bincount(),
    "searchsorted": lambda lib, x: lib.searchsorted(x, x),
    "isin": lambda lib, x: lib.isin(x, x),
    "index with": lambda lib, x: lib.arange(9)[x],
    "lerp": lambda lib, x: lib.lerp(x, x, x),
    "softmax": lambda lib, x: x.softmax(0),
    "softmax float32": lambda lib, x: x.softmax(0, dtype=lib.float32),
    "iadd": lambda lib, x: x.__iadd__(1),
    "imul": lambda lib, x: x.__imul__(2),
    "outer": lambda lib, x: lib.outer(x, x),
    "square": lambda lib, x: x.square(),
    "view": lambda lib, x: x.view(lib.uint8),
    "complex": lambda lib, x: x.to(lib.complex64),
    "from complex": lambda lib, x: lib.tensor([1 + 2j]).to(x.dtype),
    "nan_to_num": lambda lib, x: x.nan_to_num(),
    "signbit": lambda lib, x: x.signbit(),
    "positive": lambda lib, x: +x,
    "copysign": lambda lib, x: lib.copysign(x, x),
    "unfold": lambda lib, x: x.unfold(0, 2, 1),
    "kron": lambda lib, x: lib.kron(x, x),
    "select_scatter": lambda lib, x: x.select_scatter(x[0], 0, 0),
    "equal": lambda lib, x: lib.equal(x, x),
    "item": lambda lib, x: x[1].item(),
    "tolist": lambda lib, x: x.tolist(),
    "bool": lambda lib, x: bool(x[0]),
    "float": lambda lib, x: float(x[2]),
    "index number": lambda lib, x: [1, 2, 3, 4, 5][x[0]],
    "repr": lambda lib, x: repr(x).replace("corten", "torch"),
    "type": lambda lib, x: x.type().replace("corten", "torch"),
    "signed": lambda lib, x: (x.is_signed(), x.is_floating_point(), x.dtype.itemsize),
    "to_complex": lambda lib, x: x.dtype.to_complex(),
    "requires_grad": lambda lib, x: x.requires_grad_().requires_grad,
    "numpy": lambda lib, x: str(x.numpy().dtype),
    "dlpack": lambda lib, x: lib.from_dlpack(x),
    "set_default_dtype": lambda lib, x: lib.set_default_dtype(x.dtype),
    "finfo": lambda lib, x: repr(lib.finfo(x.dtype)),
    "iinfo": lambda lib, x: repr(lib.iinfo(x.dtype)),
    "searches": lambda lib, x: lib.tril_indices(2, 2, dtype=x.dtype),
    "combinations": lambda lib, x: lib.combinations(x, with_replacement=True) if x.is_floating_point() else None,
}
# Where corten says no with another class, or yes: an equality of float8 tensors needs no more than its operators.
OTHERWISE = {("equal", name) for name in FLOAT8}


def attempt(lib, name, call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call(lib, sample(lib, name))
        except Exception as error:
            return type(error)


@pytest.mark.parametrize("what", OPERATIONS)
@pytest.mark.parametrize("name", ALL)
def test_operators_give_or_refuse_the_same(name, what):
    ours, theirs = (attempt(lib, name, OPERATIONS[what]) for lib in (corten, torch))
    if (what, name) in OTHERWISE:
        assert ours is True
        return
    if isinstance(theirs, type):
        assert isinstance(ours, type) and issubclass(ours, theirs), (ours, theirs)
        return
    assert not isinstance(ours, type), (ours, theirs)
    if isinstance(theirs, torch.Tensor):
        theirs, ours = [theirs], [ours]
    if isinstance(theirs, (list, tuple)) and theirs and isinstance(theirs[0], torch.Tensor):
        for got, expected in zip(ours, theirs, strict=True):
            if expected.dtype.is_floating_point and expected.dtype.itemsize > 1:
                np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=1e-6)
            else:
                same(got, expected)
        return
    assert ours == theirs


def test_promotion():
    for a in ALL:
        for b in ALL + PLAIN:
            for left, right in ((a, b), (b, a)):
                results = []
                for lib in (corten, torch):
                    try:
                        results.append(str(lib.promote_types(getattr(lib, left), getattr(lib, right))).split(".")[1])
                    except RuntimeError as error:
                        results.append(str(error))
                assert results[0] == results[1]


@pytest.mark.parametrize("a", ALL)
@pytest.mark.parametrize("b", ALL + PLAIN)
def test_result_types_of_tensors_and_numbers(a, b):
    def results(lib):
        x, y = sample(lib, a), lib.ones(2).to(getattr(lib, b))
        for left, right in ((x[0], y), (x, y[0]), (y, x[0]), (x, True), (x, 1), (x, 1.5), (x, 1j), (x[0], 1.5)):
            try:
                yield str(lib.result_type(left, right)).split(".")[1]
            except RuntimeError as error:
                yield type(error).__name__

    assert list(results(corten)) == list(results(torch))


@pytest.mark.parametrize("name", ALL)
def test_can_cast(name):
    for other in ALL + PLAIN:
        for left, right in ((name, other), (other, name)):
            ours, theirs = (lib.can_cast(getattr(lib, left), getattr(lib, right)) for lib in (corten, torch))
            assert ours == theirs, (left, right)


@pytest.mark.parametrize("name", ALL)
def test_files_interchange(name):
    for source, target in ((corten, torch), (torch, corten)):
        buffer = io.BytesIO()
        x = sample(source, name)
        source.save({"x": x, "part": x[1:3]}, buffer)
        buffer.seek(0)
        loaded = target.load(buffer)
        same(*((loaded["x"], x) if target is corten else (x, loaded["x"])))
        assert loaded["part"].storage_offset() == 1 and loaded["part"].dtype == loaded["x"].dtype


@pytest.mark.parametrize("name", UNSIGNED)
def test_random_integers_are_the_same(name):
    for lib in (corten, torch):
        lib.manual_seed(3)
    same(*(lib.randint(2, 50000, (100,), dtype=getattr(lib, name)) for lib in (corten, torch)))
    same(*(lib.empty(50, dtype=getattr(lib, name)).random_(7) for lib in (corten, torch)))


@pytest.mark.parametrize("name", FLOAT8)
def test_gradients(name):
    def run(lib):
        x = lib.tensor([1.1, 2.3, -0.7], requires_grad=True)
        y = x.to(getattr(lib, name))
        (y.float() * lib.tensor([1.03, 2.0, 0.3])).sum().backward()
        w = y.detach().requires_grad_()
        w.float().sum().backward()
        return x.grad, w.grad

    for ours, theirs in zip(run(corten), run(torch), strict=True):
        same(ours, theirs)


@pytest.mark.parametrize("out", [None, "float32", "bfloat16", "float16", "float8_e5m2"])
@pytest.mark.parametrize("rows", [False, True])
def test_scaled_mm(rows, out):
    random = np.random.default_rng(4)
    a, b = random.standard_normal((6, 96)).astype("float32"), random.standard_normal((10, 96)).astype("float32")
    scales = [random.random((6, 1), "float32"), random.random((1, 10), "float32")]
    bias = random.standard_normal(10).astype("float32")

    def run(lib, call):
        left, right = (lib.from_numpy(x).to(lib.float8_e4m3fn) for x in (a, b))
        of = [lib.from_numpy(s) if rows else lib.tensor(0.25) for s in scales]
        dtype = None if out is None else getattr(lib, out)
        if call == "old":
            return lib._scaled_mm(left, right.t(), *of, out_dtype=dtype)
        kind = lib.nn.functional.ScalingType.RowWise if rows else lib.nn.functional.ScalingType.TensorWise
        with_bias = lib.from_numpy(bias) if call == "bias" else None
        return lib.nn.functional.scaled_mm(
            left, right.t(), of[0], kind, of[1], kind, bias=with_bias, output_dtype=dtype
        )

    for call in ("old", "new", "bias"):
        ours, theirs = run(corten, call), run(torch, call)
        assert str(ours.dtype).split(".")[1] == str(theirs.dtype).split(".")[1]
        step = torch.finfo(theirs.dtype).eps
        np.testing.assert_allclose(ours.float().numpy(), theirs.float().numpy(), rtol=max(step, 1e-5), atol=1e-4)
