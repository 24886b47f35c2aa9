"""Random numbers of a GPU: its bits are Philox's, its numbers have their distributions, its generators their states."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator

import corten
import numpy as np
import pytest
from scipy import stats

from op_table.row import only_on

os.environ.setdefault("CORTEN_GPU_SOFTWARE", "1")

pytestmark = pytest.mark.skipif(not corten.gpu.is_available(), reason="no GPU adapter; llvmpipe is one")

FLOATS = ["float32", "float16", "bfloat16"]
INTEGERS = ["int64", "int32", "int16", "int8", "uint8"]
MANY = 100_000
# Seeds are fixed, so a test either always passes or never; this is how unlikely a number may look.
LUCK = 1e-3


@pytest.fixture(autouse=True)
def only_the_gpu() -> Iterator[None]:
    """Work on the CPU raises; what has come back is looked at with numpy."""
    with only_on("gpu"):
        yield


def values(x: corten.Tensor) -> np.ndarray:
    """Floats as float64."""
    if x.is_floating_point():
        return x.to(corten.float32).cpu().numpy().astype(np.float64)
    return x.cpu().numpy()


def on_gpu(numbers: object, dtype: str = "float32") -> corten.Tensor:
    return corten.from_numpy(np.asarray(numbers, np.float32)).to("gpu").to(getattr(corten, dtype))


def empty(*shape: int, dtype: str = "float32") -> corten.Tensor:
    return corten.empty(shape, dtype=getattr(corten, dtype), device="gpu")


def philox4x32(counter: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """Ten rounds of Philox 4x32 (Salmon et al. 2011) on an array (N, 4) of words."""
    c = [counter[:, i].astype(np.uint64) for i in range(4)]
    low, mask = np.uint64(32), np.uint64(0xFFFFFFFF)
    k0, k1 = key
    for _ in range(10):
        p0, p1 = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(p1 >> low) ^ c[1] ^ np.uint64(k0), p1 & mask, (p0 >> low) ^ c[3] ^ np.uint64(k1), p0 & mask]
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return np.stack(c, axis=1).astype(np.uint32)


def stream(seed: int, call: int, words: np.ndarray) -> np.ndarray:
    """The words at these positions of the stream of the call-th draw."""
    block = words.astype(np.uint64) // np.uint64(4)
    counter = np.stack([block % 2**32, block >> np.uint64(32), np.full_like(block, call), np.zeros_like(block)], axis=1)
    rows = philox4x32(counter.astype(np.uint32), (seed % 2**32, seed >> 32))
    return rows[np.arange(len(words)), words % 4]


def uniform(seed: int, call: int, count: int) -> np.ndarray:
    return (stream(seed, call, np.arange(count)) >> 8).astype(np.float32) * np.float32(2**-24)


def integers(seed: int, call: int, elements: np.ndarray, range_: int) -> list[int]:
    """The high halves of the products of 64 bits an element with the range."""
    low, high = (stream(seed, call, 2 * elements + i) for i in (0, 1))
    return [(int(a) | int(b) << 32) * range_ >> 64 for a, b in zip(low, high)]


@pytest.mark.parametrize(
    ("counter", "key", "want"),
    [
        ([0] * 4, (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ([0xFFFFFFFF] * 4, (0xFFFFFFFF, 0xFFFFFFFF), "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            (0xA4093822, 0x299F31D0),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_the_reference_gives_the_published_answers(counter: list[int], key: tuple[int, int], want: str) -> None:
    """The known answers of Random123 for ten rounds."""
    got = philox4x32(np.array([counter], np.uint64), key)
    assert " ".join(f"{w:08x}" for w in got[0]) == want


@pytest.mark.parametrize("seed", [0, 42, 2**53 + 1, 2**64 - 1])
def test_uniform_numbers_have_philoxs_bits(seed: int) -> None:
    corten.manual_seed(seed)
    for call, shape in enumerate([(1,), (7,), (3, 5), (1025,), (2, 3, 1000)]):
        count = int(np.prod(shape))
        assert np.array_equal(corten.rand(shape, device="gpu").cpu().numpy().ravel(), uniform(seed, call, count))
    x = corten.rand_like(empty(4, 5).t())
    assert x.stride() == (1, 5)
    assert np.array_equal(x.t().cpu().numpy().ravel(), uniform(seed, 5, 20))


@pytest.mark.parametrize("bounds", [(0, 7), (-5, 5), (0, 2**31 - 1), (-(2**40), 2**40), (-(2**63), 2**63 - 1), (3, 4)])
def test_integers_are_philoxs_bits_brought_into_their_range(bounds: tuple[int, int]) -> None:
    low, high = bounds
    corten.manual_seed(5)
    got = corten.randint(low, high, (300,), device="gpu")
    assert got.dtype == corten.int64
    assert got.tolist() == [v + low for v in integers(5, 0, np.arange(300), high - low)]


def test_whole_ranges_of_int64() -> None:
    corten.manual_seed(5)
    got = empty(100, dtype="int64").random_(-(2**63), None)
    assert [v + 2**63 for v in got.tolist()] == integers(5, 0, np.arange(100), 2**64)
    got = empty(100, dtype="int64").random_()
    assert got.tolist() == integers(5, 1, np.arange(100), 2**63)


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS, "bool"])
def test_random_fills_what_the_dtype_represents(dtype: str) -> None:
    ends = {"float32": 2**24 + 1, "float16": 2**11 + 1, "bfloat16": 2**8 + 1, "uint8": 256, "bool": 2}
    end = ends.get(dtype) or 2 ** (8 * empty(0, dtype=dtype).element_size() - 1)
    got = values(empty(20_000, dtype=dtype).random_()).astype(np.float64)
    assert got.min() >= 0 and got.max() < end and np.array_equal(got, np.floor(got))
    assert abs(got.mean() / (end - 1) - 0.5) < 0.012
    got = values(empty(20_000, dtype=dtype).random_(0, 2)).astype(np.float64)
    assert set(got) == {0, 1} and abs(got.mean() - 0.5) < 0.015


@pytest.mark.parametrize(
    ("dtype", "arguments", "message"),
    [
        ("int8", (0, 300), "to - 1 is out of bounds for signed char"),
        ("uint8", (-1, 3), "from is out of bounds for unsigned char"),
        ("float16", (0, 70000), "to - 1 is out of bounds for c10::Half"),
        ("int32", (3, 3), "'from' to be less than 'to'"),
    ],
)
def test_ranges_are_pytorchs(dtype: str, arguments: tuple[int, int], message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        empty(3, dtype=dtype).random_(*arguments)


CONTINUOUS = {
    "uniform_": [((), stats.uniform()), ((-2.0, 3.0), stats.uniform(-2, 5))],
    "normal_": [((), stats.norm()), ((1.0, 2.0), stats.norm(1, 2))],
    "exponential_": [((), stats.expon()), ((2.5,), stats.expon(scale=0.4))],
    "cauchy_": [((), stats.cauchy()), ((1.0, 0.5), stats.cauchy(1, 0.5))],
    "log_normal_": [((0.5, 0.25), stats.lognorm(0.25, scale=np.exp(0.5)))],
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous_numbers_have_their_distribution(name: str, dtype: str) -> None:
    for arguments, distribution in CONTINUOUS[name]:
        x = values(getattr(empty(MANY, dtype=dtype), name)(*arguments))
        if dtype == "float32":
            assert stats.kstest(x, distribution.cdf).pvalue > LUCK
            continue
        # Rounded numbers are compared at quantiles; their grid is 2^-8 wide at worst.
        q = np.linspace(0.05, 0.95, 19)
        scale = np.diff(distribution.ppf([0.25, 0.75]))[0]
        np.testing.assert_allclose(np.quantile(x, q), distribution.ppf(q), rtol=0.02, atol=0.03 * scale)


def agrees(x: np.ndarray, distribution: object) -> bool:
    """Pearson's test of counts, in the cells that expect enough."""
    low, high = int(distribution.ppf(1e-6)), int(distribution.ppf(1 - 1e-6))
    cells = np.arange(low, high + 1)
    expected = distribution.pmf(cells)
    expected[0] += distribution.cdf(low - 1)
    expected[-1] += distribution.sf(high)
    seen = np.bincount(np.clip(x.astype(int), low, high) - low, minlength=len(cells))
    expected *= len(x) / expected.sum()
    rare = expected < 10
    seen, expected = np.append(seen[~rare], seen[rare].sum()), np.append(expected[~rare], expected[rare].sum())
    if expected[-1] < 10:
        seen, expected = np.append(seen[:-2], seen[-2:].sum()), np.append(expected[:-2], expected[-2:].sum())
    return bool(stats.chisquare(seen, expected).pvalue > LUCK)


@pytest.mark.parametrize("rate", [0.3, 4.0, 9.9, 10.0, 25.0, 1000.0])
def test_poisson_counts(rate: float) -> None:
    x = corten.poisson(corten.full((MANY,), rate, device="gpu"))
    assert agrees(values(x), stats.poisson(float(np.float32(rate))))


def test_poisson_rates_may_be_large_or_wrong() -> None:
    x = values(corten.poisson(corten.full((MANY,), 1e6, device="gpu")))
    assert abs(x.mean() - 1e6) < 15 and abs(x.var() / 1e6 - 1) < 0.02
    x = values(corten.poisson(on_gpu([0, -1, np.nan, 3])))
    assert x[0] == 0 and np.isnan(x[1:3]).all() and x[3] >= 0


@pytest.mark.parametrize(("count", "p"), [(5, 0.25), (20, 0.5), (40, 0.9), (1000, 0.75), (100_000, 0.0001)])
def test_binomial_counts(count: int, p: float) -> None:
    n = corten.full((MANY,), float(count), device="gpu")
    x = corten.binomial(n, corten.full((1,), p, device="gpu"))
    assert agrees(values(x), stats.binom(count, float(np.float32(p))))


def test_binomial_at_its_ends() -> None:
    assert values(corten.binomial(on_gpu([7, 7, 0]), on_gpu([0, 1, 0.5]))).tolist() == [0, 7, 0]


@pytest.mark.parametrize("p", [0.001, 0.25, 0.9])
@pytest.mark.parametrize("dtype", ["float32", "int32", "int64"])
def test_geometric_counts(p: float, dtype: str) -> None:
    assert agrees(values(empty(MANY, dtype=dtype).geometric_(p)), stats.geom(p))


@pytest.mark.parametrize("concentration", [0.5, 1.0, 3.0, 1000.0])
def test_gamma_numbers(concentration: float) -> None:
    x = corten._core.ops._standard_gamma(corten.full((MANY,), concentration, device="gpu"))
    assert stats.kstest(values(x), stats.gamma(concentration).cdf).pvalue > LUCK


@pytest.mark.parametrize("dtype", [*FLOATS, "int64", "uint8", "bool"])
def test_bernoulli_with_a_number(dtype: str) -> None:
    x = values(empty(MANY, dtype=dtype).bernoulli_(0.3)).astype(np.float64)
    assert set(x) == {0, 1} and abs(x.mean() - 0.3) < 0.005
    assert values(empty(1000, dtype=dtype).bernoulli_(0.0)).sum() == 0
    assert values(empty(1000, dtype=dtype).bernoulli_(1.0)).sum() == 1000


@pytest.mark.parametrize("dtype", FLOATS)
def test_bernoulli_with_probabilities(dtype: str) -> None:
    p = on_gpu([0, 0.25, 0.5, 1], dtype)
    x = corten.bernoulli(p.expand(20_000, 4).contiguous())
    assert x.dtype == p.dtype
    np.testing.assert_allclose(values(x).mean(0), [0, 0.25, 0.5, 1], atol=0.01)
    x = values(empty(20_000, 4, dtype="int32").bernoulli_(p))
    np.testing.assert_allclose(x.mean(0), [0, 0.25, 0.5, 1], atol=0.01)
    assert np.isnan(values(corten.bernoulli(on_gpu([-0.5, 1.5, np.nan], dtype)))).all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_ends_of_intervals(dtype: str) -> None:
    """[0, 1) stays half open after rounding, exponential numbers are never 0, and normal ones are finite."""
    x = values(empty(1 << 20, dtype=dtype).uniform_())
    assert x.min() >= 0 and x.max() < 1
    x = values(empty(1 << 16, dtype=dtype).uniform_(3, 3.0625))
    assert x.min() >= 3 and x.max() < 3.0625
    x = values(empty(1 << 20, dtype=dtype).exponential_(100.0))
    assert x.min() > 0 and np.isfinite(x).all()
    assert np.isfinite(values(empty(1 << 20, dtype=dtype).normal_())).all()


def test_normal_of_tensors_and_its_error() -> None:
    mean, std = on_gpu([[1.0], [-3.0]]), on_gpu([0.5, 2.0, 0.0])
    wide = corten.normal(mean.expand(2, 3).repeat(1, 5000), std.repeat(5000))
    x = values(wide).reshape(2, 5000, 3)
    np.testing.assert_allclose(x.mean(1), [[1, 1, 1], [-3, -3, -3]], atol=0.1)
    np.testing.assert_allclose(x.std(1), [[0.5, 2, 0]] * 2, rtol=0.05)
    assert values(corten.normal(mean, 0.0)).tolist() == [[1], [-3]]
    with pytest.raises(RuntimeError, match="all elements of std >= 0"):
        corten.normal(mean, on_gpu([-1.0]))


@pytest.mark.parametrize("n", [0, 1, 2, 511, 513, 5000, 70_000])
def test_randperm_is_a_permutation(n: int) -> None:
    x = corten.randperm(n, device="gpu")
    assert x.dtype == corten.int64
    assert np.array_equal(np.sort(values(x)), np.arange(n))
    if n > 500:
        y = corten.randperm(n, device="gpu", dtype=corten.int32)
        assert y.dtype == corten.int32 and not np.array_equal(values(x), values(y))
        assert abs(np.corrcoef(values(x), np.arange(n))[0, 1]) < 4 / np.sqrt(n)


def test_every_permutation_occurs() -> None:
    draws = corten.stack([corten.randperm(4, device="gpu") for _ in range(1200)])
    codes = values(draws) @ np.array([64, 16, 4, 1])
    seen = np.unique(codes, return_counts=True)[1]
    assert len(seen) == 24 and stats.chisquare(seen).pvalue > LUCK


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("replacement", [False, True])
def test_multinomial_draws_by_weight(dtype: str, replacement: bool) -> None:
    weights = on_gpu([0, 1, 2, 0, 5], dtype)
    rows = weights.expand(20_000, 5).contiguous()
    first = values(corten.multinomial(rows, 1))
    several = values(corten.multinomial(rows, 3, replacement=replacement))
    for drawn in (first, several[:, 0]):
        seen = np.bincount(drawn.ravel(), minlength=5)
        assert seen[[0, 3]].sum() == 0
        assert stats.chisquare(seen[[1, 2, 4]], 20_000 * np.array([1, 2, 5]) / 8).pvalue > LUCK
    if replacement:
        seen = np.bincount(several.ravel(), minlength=5)
        assert seen[[0, 3]].sum() == 0
        assert stats.chisquare(seen[[1, 2, 4]], 60_000 * np.array([1, 2, 5]) / 8).pvalue > LUCK
    else:
        assert (np.sort(several, axis=1) == [1, 2, 4]).all()
        # After category 4 the second draw is between weights 1 and 2.
        second = several[several[:, 0] == 4, 1]
        assert stats.binomtest(int((second == 2).sum()), len(second), 2 / 3).pvalue > LUCK


def test_multinomial_of_many_categories() -> None:
    """Weights that float32 could not add up, every second one zero."""
    n = 100_000
    weights = corten.arange(n, device="gpu", dtype=corten.float32) % 2 * 1e-30
    x = values(corten.multinomial(weights, 50_000, replacement=True))
    assert (x % 2 == 1).all() and stats.kstest(x / n, "uniform").pvalue > LUCK
    x = values(corten.multinomial(weights, n // 2))
    assert np.array_equal(np.sort(x), np.arange(1, n, 2))


def test_multinomials_errors() -> None:
    for bad in ([-1, 2], [np.nan, 1], [np.inf, 1]):
        with pytest.raises(RuntimeError, match="contains either `inf`, `nan` or element < 0"):
            corten.multinomial(on_gpu(bad), 1)
    with pytest.raises(RuntimeError, match="sum of probabilities <= 0"):
        corten.multinomial(on_gpu([[1, 2], [0, 0]]), 2, replacement=True)
    with pytest.raises(RuntimeError, match="cannot sample n_sample > "):
        corten.multinomial(on_gpu([1, 2]), 3)


def test_windows_are_filled_in_the_order_of_their_addresses() -> None:
    corten.manual_seed(1)
    x = corten.zeros(6, 10, device="gpu")
    window = x.t()[1:9:3]
    window.uniform_()
    got = x.cpu().numpy()
    assert np.array_equal(got[:, 1:9:3].ravel(), uniform(1, 0, 18))
    assert np.count_nonzero(got) == 18
    x[:, 0].normal_()
    assert np.array_equal(x.cpu().numpy()[:, 1:], got[:, 1:]) and np.count_nonzero(x.cpu().numpy()[:, 0]) == 6
    with pytest.raises(RuntimeError, match="refers to a single memory location"):
        corten.zeros(3, 1, device="gpu").expand(3, 4).normal_()


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS, "bool"])
def test_narrow_windows_leave_their_neighbours_alone(dtype: str) -> None:
    x = corten.ones(7, 9, dtype=getattr(corten, dtype), device="gpu")
    x[1:6, 2:7:2].random_(0, 1)
    want = np.ones((7, 9))
    want[1:6, 2:7:2] = 0
    assert np.array_equal(values(x).astype(float), want)


def test_tensors_beyond_the_groups_of_one_dimension() -> None:
    count = 65_536 * 1024 + 77
    corten.manual_seed(9)
    x = empty(count, dtype="int8").random_(0, 100)
    far = np.concatenate([np.arange(50), np.arange(count - 50, count)])
    assert x[-50:].tolist() == integers(9, 0, far, 100)[50:]
    counts = np.bincount(x.cpu().numpy().view(np.uint8), minlength=100)
    assert len(counts) == 100 and stats.chisquare(counts).pvalue > LUCK


def test_draws_are_recorded_not_run() -> None:
    x = corten.ones(1000, device="gpu")
    before = corten._core.counters()["flushes"]
    y = x * corten.randn(1000, device="gpu") + corten.rand_like(x)
    z = corten.bernoulli(y.sigmoid())
    x.normal_().exponential_()
    perm = corten.randperm(1000, device="gpu")
    assert corten._core.counters()["flushes"] == before
    corten.gpu.synchronize()
    assert set(values(z)) == {0, 1} and values(perm).sum() == 499_500


def test_equal_seeds_give_equal_numbers() -> None:
    def draw() -> list[list]:
        x = empty(50)
        made = [corten.rand(9, device="gpu"), x.normal_().clone(), corten.randperm(20, device="gpu")]
        made += [corten.poisson(corten.full((9,), 20.0, device="gpu")), corten.nn.functional.dropout(x, 0.5)]
        return [m.tolist() for m in made]

    corten.manual_seed(3)
    first, second = draw(), draw()
    assert all(a != b for a, b in zip(first, second))
    corten.manual_seed(3)
    assert draw() == first and draw() == second
    corten.cuda.manual_seed(3)
    assert draw() == first
    corten.gpu.manual_seed_all(3)
    assert draw() == first
    corten.manual_seed(4)
    assert draw() != first


def test_the_cpus_generator_is_another() -> None:
    corten.manual_seed(3)
    here = corten.rand(5, device="cpu").tolist()
    corten.manual_seed(3)
    corten.rand(5, device="gpu")
    assert corten.rand(5, device="cpu").tolist() == here
    corten.cuda.manual_seed(8)
    assert corten.initial_seed() == 3 and corten.cuda.initial_seed() == 8
    assert corten.seed() == corten.initial_seed() == corten.cuda.initial_seed()
    corten.cuda.seed()
    assert corten.cuda.initial_seed() != corten.initial_seed()


def test_states_continue_where_they_were_taken() -> None:
    corten.cuda.manual_seed(7)
    corten.rand(3, device="gpu")
    state = corten.cuda.get_rng_state()
    assert (state.dtype, state.shape, state.device.type) == (corten.uint8, (16,), "cpu")
    assert state.numpy().view(np.uint64).tolist() == [7, 4]
    wanted = corten.randn(5, device="gpu").tolist()
    corten.cuda.set_rng_state(state)
    assert corten.randn(5, device="gpu").tolist() == wanted
    corten.gpu.set_rng_state_all([state])
    assert len(corten.gpu.get_rng_state_all()) == corten.gpu.device_count()
    assert corten.randn(5, device="gpu").tolist() == wanted
    with pytest.raises(RuntimeError, match="RNG state is wrong size"):
        corten.cuda.set_rng_state(corten.get_rng_state())
    with pytest.raises(TypeError, match="ByteTensor"):
        corten.cuda.set_rng_state(corten.zeros(16, device="gpu"))


def test_forks_leave_no_traces() -> None:
    for devices in (None, [0]):
        corten.manual_seed(7)
        corten.rand(3, device="gpu")
        with corten.random.fork_rng(devices=devices):
            wanted = corten.randn(5, device="gpu").tolist()
            corten.manual_seed(1)
        assert corten.randn(5, device="gpu").tolist() == wanted
    corten.manual_seed(7)
    with corten.random.fork_rng(devices=[]):
        wanted = corten.randn(5, device="gpu").tolist()
    assert corten.randn(5, device="gpu").tolist() != wanted


def test_generator_objects() -> None:
    g = corten.Generator(device="gpu")
    assert g.device.type in ("gpu", "cuda") and g.device.index == 0
    assert g.initial_seed() == corten.Generator().initial_seed() and g.get_offset() == 0
    assert g.manual_seed(11) is g
    before = corten.cuda.get_rng_state().tolist()
    got = corten.rand(6, device="gpu", generator=g)
    assert np.array_equal(got.cpu().numpy(), uniform(11, 0, 6))
    assert g.get_offset() == 4 and corten.cuda.get_rng_state().tolist() == before
    copies = [g.clone_state(), pickle.loads(pickle.dumps(g))]
    wanted = empty(5).normal_(generator=g).tolist()
    for other in copies:
        assert other.get_offset() == 4 and empty(5).normal_(generator=other).tolist() == wanted
    g.set_offset(4)
    assert empty(5).normal_(generator=g).tolist() == wanted
    g.set_state(copies[0].get_state())
    assert (g.get_offset(), g.initial_seed()) == (8, 11)
    with pytest.raises(RuntimeError, match="multiple of 4"):
        g.set_offset(3)
    with pytest.raises(RuntimeError, match="CPU Generator does not use offset"):
        corten.Generator().get_offset()
    for module in (corten.cuda, corten.gpu):
        assert len(module.default_generators) == corten.gpu.device_count()
        assert module.default_generators[0].get_state().tolist() == before


def test_generators_are_of_their_device() -> None:
    there, here = corten.Generator(device="cuda"), corten.Generator()
    for call in (
        lambda: corten.rand(3, device="gpu", generator=here),
        lambda: empty(3).normal_(generator=here),
        lambda: corten.multinomial(on_gpu([1, 2]), 1, generator=here),
        lambda: corten.bernoulli(on_gpu([0.5]), generator=here),
        lambda: corten.randperm(4, device="gpu", generator=here),
    ):
        with pytest.raises(RuntimeError, match="Expected a 'cuda' device type for generator but found 'cpu'"):
            call()
    with pytest.raises(RuntimeError, match="Expected a 'cpu' device type for generator but found 'cuda'"):
        corten.rand(3, device="cpu", generator=there)


def test_numbers_are_made_where_they_are_asked_for() -> None:
    x = empty(4)
    assert corten.rand_like(x).device == corten.randint_like(x, 5).device == corten.randn_like(x).device == x.device
    assert corten.rand_like(x, device="cpu").device.type == "cpu"
    corten.manual_seed(2)
    out = empty(0)
    assert np.array_equal(corten.rand(5, out=out).cpu().numpy(), uniform(2, 0, 5))
    with pytest.raises(TypeError, match="float64"):
        corten.rand(3, dtype=corten.float64, device="gpu")


def test_nothing_is_drawn_for_empty_tensors() -> None:
    corten.manual_seed(2)
    assert corten.rand(0, 3, device="gpu").shape == (0, 3)
    assert corten.cuda.default_generators[0].get_offset() == 0


def test_initialisers_work_there() -> None:
    init = corten.nn.init
    w = empty(300, 200)
    bound = np.sqrt(6 / 500)
    assert stats.kstest(values(init.xavier_uniform_(w)).ravel(), stats.uniform(-bound, 2 * bound).cdf).pvalue > LUCK
    x = values(init.kaiming_normal_(w, nonlinearity="relu")).ravel()
    assert stats.kstest(x, stats.norm(0, np.sqrt(2 / 200)).cdf).pvalue > LUCK
    x = values(init.trunc_normal_(w, std=2.0, a=-1.0, b=3.0)).ravel()
    assert stats.kstest(x, stats.truncnorm(-0.5, 1.5, scale=2).cdf).pvalue > LUCK
    q = values(init.orthogonal_(empty(8, 5)))
    np.testing.assert_allclose(q.T @ q, np.eye(5), atol=1e-5)
