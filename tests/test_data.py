"""Datasets, samplers, collation, and loading in this process and in workers: order, errors, deaths, and shutdown."""

from __future__ import annotations

import collections
import os
import random
import signal
import subprocess
import sys
import time

import corten
import numpy as np
import pytest
from corten.utils import data

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")

METHODS = ["fork", "spawn", "forkserver"] if sys.platform == "linux" else ["spawn"]


class Squares(data.Dataset):
    """Sample i is the tensor (i, i*i) and the number i."""

    def __init__(self, length=23):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return corten.tensor([float(index), float(index**2)]), index


class Count(data.IterableDataset):
    """The numbers below a limit; each worker takes its share."""

    def __init__(self, limit=20):
        self.limit = limit

    def __iter__(self):
        info = data.get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        return iter(range(first, self.limit, step))


class Failing(Squares):
    """Does something bad at index 5."""

    def __init__(self, what):
        super().__init__(12)
        self.what = what

    def __getitem__(self, index):
        if index == 5:
            self.what()
        return index


class Large(Squares):
    """Batches of a megabyte and more, which travel through shared memory."""

    def __getitem__(self, index):
        return corten.full((300, 300), float(index))


class Numbers(Squares):
    """What each generator of the process gives, and which worker this is."""

    def __getitem__(self, index):
        info = data.get_worker_info()
        return random.random(), corten.rand(1).item(), np.random.rand(), info.id, info.seed


def identity(batch):
    return batch


def shared_files():
    return [name for name in os.listdir("/dev/shm") if name.startswith(f"corten-{os.getpid()}-")]


def numbers(loader):
    return [int(value) for _, batch in loader for value in batch.tolist()]


# -- datasets --------------------------------------------------------------------------------------------------------


def test_tensor_datasets_give_rows():
    dataset = data.TensorDataset(corten.arange(6).reshape(3, 2), corten.tensor([5, 6, 7]))
    assert len(dataset) == 3
    row, label = dataset[1]
    assert row.tolist() == [2, 3] and label.item() == 6
    with pytest.raises(AssertionError, match="Size mismatch between tensors"):
        data.TensorDataset(corten.ones(3), corten.ones(4))


def test_datasets_follow_each_other():
    dataset = Squares(3) + Squares(4)
    assert len(dataset) == 7 and dataset.cumulative_sizes == [3, 7]
    assert [dataset[index][1] for index in (0, 2, 3, 6, -1, -7)] == [0, 2, 0, 3, 3, 0]
    with pytest.raises(ValueError, match="absolute value of index"):
        dataset[-8]
    with pytest.raises(AssertionError, match="does not support IterableDataset"):
        data.ConcatDataset([Count()])
    with pytest.raises(AssertionError, match="empty iterable"):
        data.ConcatDataset([])


def test_datasets_stand_side_by_side():
    both = data.StackDataset(Squares(3), list("abc"))
    assert both[1][0][1] == 1 and both[1][1] == "b" and len(both) == 3
    named = data.StackDataset(number=Squares(3), letter=list("abc"))
    assert [row["letter"] for row in named.__getitems__([2, 0])] == ["c", "a"]
    for arguments in ((), (Squares(3), Squares(4))):
        with pytest.raises(ValueError):
            data.StackDataset(*arguments)


def test_streams_follow_each_other():
    chain = Count(2) + Count(3)
    assert list(chain) == [0, 1, 0, 1, 2]
    with pytest.raises(AssertionError, match="only supports IterableDataset"):
        list(data.ChainDataset([Count(2), Squares(2)]))


def test_subsets_choose_samples():
    subset = data.Subset(Squares(), [4, 2, 9])
    assert [subset[index][1] for index in range(len(subset))] == [4, 2, 9]
    assert [sample[1] for sample in subset.__getitems__([2, 0])] == [9, 4]

    class Partial(data.Subset):
        def __getitem__(self, idx):
            return 0

    with pytest.raises(NotImplementedError, match="overrides __getitem__ but not __getitems__"):
        Partial(Squares(), [1])


def test_random_splits_are_whole_and_seeded():
    def split(lengths):
        return [part.indices for part in data.random_split(Squares(10), lengths, corten.Generator().manual_seed(3))]

    parts = split([0.55, 0.25, 0.2])
    assert [len(part) for part in parts] == [6, 2, 2]
    assert sorted(index for part in parts for index in part) == list(range(10))
    assert parts == split([6, 2, 2])
    with pytest.raises(ValueError, match="Sum of input lengths"):
        split([5, 4])
    with pytest.warns(UserWarning, match="Length of split at index 1 is 0"):
        split([1.0, 0.0])


def test_a_dataset_without_items_says_so():
    with pytest.raises(NotImplementedError, match="should implement __getitem__"):
        data.Dataset()[0]


# -- samplers --------------------------------------------------------------------------------------------------------

# Drawn with PyTorch 2.13 from the same seeds; `tests/torch_parity` compares many more.
PERMUTATION_OF_10_SEED_0 = [4, 1, 7, 5, 3, 9, 0, 8, 6, 2]


def test_shuffled_order_is_the_published_one():
    generator = corten.Generator().manual_seed(0)
    assert list(data.RandomSampler(range(10), generator=generator)) == PERMUTATION_OF_10_SEED_0


def test_random_samplers_draw_as_many_as_asked():
    assert sorted(data.RandomSampler(range(7))) == list(range(7))
    more = list(data.RandomSampler(range(7), num_samples=17))
    assert len(more) == 17 and sorted(more[:7]) == sorted(more[7:14]) == list(range(7))
    drawn = list(data.RandomSampler(range(3), replacement=True, num_samples=70))
    assert len(drawn) == 70 and set(drawn) == {0, 1, 2}
    assert sorted(data.SubsetRandomSampler([5, 6, 9])) == [5, 6, 9]


def test_weights_decide_how_often_an_index_is_drawn():
    drawn = collections.Counter(data.WeightedRandomSampler([1.0, 0.0, 3.0], 2000))
    assert drawn[1] == 0 and 1350 < drawn[2] < 1650
    assert sorted(data.WeightedRandomSampler([1.0, 2.0, 3.0], 3, replacement=False)) == [0, 1, 2]


@pytest.mark.parametrize("drop_last", [False, True])
def test_batch_samplers_cut_the_order(drop_last):
    batches = data.BatchSampler(data.SequentialSampler(range(7)), 3, drop_last)
    assert list(batches) == [[0, 1, 2], [3, 4, 5]] + ([] if drop_last else [[6]])
    assert len(batches) == len(list(batches))


def test_distributed_samplers_share_the_dataset():
    shares = [list(data.DistributedSampler(range(10), 4, rank, shuffle=False)) for rank in range(4)]
    assert shares == [[0, 4, 8], [1, 5, 9], [2, 6, 0], [3, 7, 1]]
    short = [list(data.DistributedSampler(range(10), 4, rank, shuffle=False, drop_last=True)) for rank in range(4)]
    assert [len(share) for share in short] == [2] * 4
    sampler = data.DistributedSampler(range(10), 2, 1, seed=5)
    first = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != first and len(sampler) == 5
    with pytest.raises(ValueError, match="Invalid rank 4"):
        data.DistributedSampler(range(10), 4, 4)


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (lambda: data.RandomSampler(range(3), replacement=1), TypeError, "replacement should be a boolean"),
        (lambda: data.RandomSampler(range(0)), ValueError, "num_samples should be a positive integer"),
        (lambda: data.WeightedRandomSampler([1.0], True), ValueError, "num_samples should be a positive integer"),
        (lambda: data.WeightedRandomSampler([[1.0]], 1), ValueError, "weights should be a 1d sequence"),
        (lambda: data.BatchSampler([1], 0, False), ValueError, "batch_size should be a positive integer"),
        (lambda: data.BatchSampler([1], 1, 0), ValueError, "drop_last should be a boolean"),
    ],
)
def test_wrong_samplers_raise(use, error, message):
    with pytest.raises(error, match=message):
        use()


# -- collation -------------------------------------------------------------------------------------------------------

Point = collections.namedtuple("Point", "x y")


def test_samples_of_every_kind_become_batches():
    batch = data.default_collate(
        [
            {"t": corten.ones(2), "a": np.ones(3, np.float32), "f": 1.5, "i": 2, "b": True, "s": "x"},
            {"t": corten.zeros(2), "a": np.zeros(3, np.float32), "f": 2.5, "i": 3, "b": False, "s": "y"},
        ]
    )
    assert batch["t"].shape == (2, 2) and batch["a"].dtype == corten.float32 and batch["a"].shape == (2, 3)
    assert batch["f"].dtype == corten.float64 and batch["i"].dtype == corten.int64 and batch["b"].dtype == corten.bool
    assert batch["s"] == ["x", "y"]
    assert data.default_collate([np.float32(1), np.float32(2)]).dtype == corten.float32


def test_structures_keep_their_type():
    point = data.default_collate([Point(1, 2.0), Point(3, 4.0)])
    assert isinstance(point, Point) and point.x.tolist() == [1, 3]
    pairs = data.default_collate([(1, [2, 3]), (4, [5, 6])])
    assert isinstance(pairs, list) and pairs[0].tolist() == [1, 4] and pairs[1][1].tolist() == [3, 6]
    table = data.default_collate([collections.defaultdict(list, a=1), collections.defaultdict(list, a=2)])
    assert isinstance(table, collections.defaultdict) and table.default_factory is list


def test_what_cannot_be_collated_raises():
    with pytest.raises(TypeError, match="batch must contain tensors, numpy arrays, numbers, dicts or lists"):
        data.default_collate([object()])
    with pytest.raises(TypeError, match="found <U1"):
        data.default_collate([np.array(["x"])])
    with pytest.raises(RuntimeError, match="of equal size"):
        data.default_collate([[1], [1, 2]])


def test_single_samples_are_converted():
    converted = data.default_convert({"a": np.arange(3), "p": Point(np.float32(1), 2), "t": (np.int64(3), "x")})
    assert isinstance(converted["a"], corten.Tensor) and converted["p"].x.item() == 1.0
    assert isinstance(converted["t"], list) and converted["t"][0].item() == 3 and converted["t"][1] == "x"
    text = np.array(["x"])
    assert data.default_convert(text) is text


# -- loading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_order(workers):
    loader = data.DataLoader(Squares(), batch_size=5, num_workers=workers)
    assert len(loader) == 5
    batches = list(loader)
    assert [len(labels) for _, labels in batches] == [5, 5, 5, 5, 3]
    assert numbers(batches) == list(range(23))
    assert batches[1][0][2].tolist() == [7.0, 49.0]
    short = data.DataLoader(Squares(), batch_size=5, num_workers=workers, drop_last=True)
    assert len(list(short)) == len(short) == 4


def test_shuffling_is_seeded_and_does_not_depend_on_workers():
    orders = []
    for workers in (0, 2):
        corten.manual_seed(7)
        loader = data.DataLoader(Squares(), batch_size=4, shuffle=True, num_workers=workers)
        orders.append((numbers(loader), numbers(loader), corten.rand(1).item()))
    assert orders[0] == orders[1]
    assert orders[0][0] != orders[0][1] and sorted(orders[0][0]) == list(range(23))


def test_a_generator_decides_the_order():
    def order():
        return numbers(data.DataLoader(Squares(), shuffle=True, generator=corten.Generator().manual_seed(5)))

    assert order() == order()


@pytest.mark.parametrize("workers", [0, 2])
def test_without_batches_samples_are_converted(workers):
    loader = data.DataLoader(Squares(3), batch_size=None, num_workers=workers)
    assert [label for _, label in loader] == [0, 1, 2]


def test_own_samplers_and_collation():
    loader = data.DataLoader(Squares(), batch_sampler=[[3, 1], [2]], collate_fn=identity)
    assert [[label for _, label in batch] for batch in loader] == [[3, 1], [2]]
    assert numbers(data.DataLoader(Squares(), sampler=[5, 6], batch_size=2)) == [5, 6]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("persistent", [False, True])
def test_streams_are_shared_between_workers(workers, persistent):
    if persistent and not workers:
        return
    loader = data.DataLoader(Count(), batch_size=3, num_workers=workers, persistent_workers=persistent)
    for _ in range(2):
        assert sorted(value for batch in loader for value in batch.tolist()) == list(range(20))


def test_a_stream_longer_than_promised_warns():
    class Liar(Count):
        def __len__(self):
            return 2

    loader = data.DataLoader(Liar(5), batch_size=None)
    assert len(loader) == 2
    with pytest.warns(UserWarning, match="reported to be 2"):
        assert len(list(loader)) == 5


@pytest.mark.parametrize("method", METHODS)
def test_every_start_method_gives_the_same_batches(method):
    loader = data.DataLoader(Squares(9), batch_size=2, num_workers=2, multiprocessing_context=method)
    assert numbers(loader) == list(range(9))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64", "bool"])
def test_large_tensors_arrive_whole(dtype):
    class Typed(Large):
        def __getitem__(self, index):
            return (super().__getitem__(index) + index).to(getattr(corten, dtype))

    loader = data.DataLoader(Typed(9), batch_size=4, num_workers=2, multiprocessing_context="fork")
    for step, batch in enumerate(loader):
        assert batch.dtype == getattr(corten, dtype)
        wanted = (corten.arange(4 * step, min(4 * step + 4, 9)) * 2.0).to(batch.dtype)
        assert (batch[:, 7, 11] == wanted).all() and (batch[0] == wanted[0]).all()
    assert shared_files() == []


def test_persistent_workers_stay_the_same():
    loader = data.DataLoader(Numbers(4), num_workers=2, persistent_workers=True, collate_fn=identity)
    list(loader)
    pids = [worker.process.pid for worker in loader._iterator._workers]
    for index, _ in enumerate(loader):
        if index == 1:
            break
    assert len(list(loader)) == 4
    assert [worker.process.pid for worker in loader._iterator._workers] == pids


def test_each_worker_has_its_own_seed():
    def run():
        corten.manual_seed(3)
        loader = data.DataLoader(Numbers(4), batch_size=2, num_workers=2, collate_fn=identity)
        return [sample for batch in loader for sample in batch]

    first = run()
    assert first == run()
    assert len({sample[:3] for sample in first}) == 4
    assert [sample[3] for sample in first] == [0, 0, 1, 1]
    assert first[2][4] == first[0][4] + 1


def test_worker_init_runs_in_every_worker():
    def prepare(worker):
        data.get_worker_info().dataset.length = 100 + worker

    class Length(Squares):
        def __getitem__(self, index):
            return self.length

    loader = data.DataLoader(Length(4), num_workers=2, worker_init_fn=prepare, multiprocessing_context="fork")
    assert [batch.item() for batch in loader] == [100, 101, 100, 101]
    assert data.get_worker_info() is None


def test_batches_may_come_as_they_are_ready():
    class Slow(Squares):
        def __getitem__(self, index):
            if index == 0:
                time.sleep(0.5)
            return index

    loader = data.DataLoader(Slow(6), num_workers=2, in_order=False)
    order = [batch.item() for batch in loader]
    assert sorted(order) == list(range(6)) and order[0] != 0


# -- trouble ---------------------------------------------------------------------------------------------------------


def fail_value():
    raise ValueError("five is bad")


def fail_key():
    raise KeyError("five")


class Two(Exception):
    def __init__(self, first, second):
        super().__init__(first, second)


def fail_two():
    raise Two(1, 2)


def fail_stop():
    raise StopIteration


@pytest.mark.parametrize(
    ("what", "error"),
    [(fail_value, ValueError), (fail_key, KeyError), (fail_two, RuntimeError), (fail_stop, RuntimeError)],
)
def test_errors_keep_class_and_traceback_and_loading_goes_on(what, error):
    batches = iter(data.DataLoader(Failing(what), batch_size=2, num_workers=2))
    assert [next(batches).tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(error) as caught:
        next(batches)
    text = str(caught.value)
    assert "in DataLoader worker process 0" in text and f"in {what.__name__}" in text
    assert [batch.tolist() for batch in batches] == [[6, 7], [8, 9], [10, 11]]


def test_errors_in_this_process_are_raised_as_they_are():
    with pytest.raises(ValueError, match=r"^five is bad$"):
        list(data.DataLoader(Failing(fail_value)))


def test_errors_while_a_worker_starts_are_raised():
    def prepare(worker):
        raise OSError("no data")

    with pytest.raises(OSError, match="Caught OSError in DataLoader worker process"):
        list(data.DataLoader(Squares(), num_workers=1, worker_init_fn=prepare, multiprocessing_context="fork"))


def test_samples_that_cannot_travel_are_errors():
    loader = data.DataLoader(Failing(lambda: None), collate_fn=lambda batch: lambda: 0, num_workers=1)
    with pytest.raises(Exception, match=r"Can't (pickle|get) local object"):
        list(loader)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_killed_worker_is_noticed_at_once():
    start = time.monotonic()
    with pytest.raises(RuntimeError, match=r"exited unexpectedly: killed by signal: Killed"):
        list(data.DataLoader(Failing(lambda: os.kill(os.getpid(), signal.SIGKILL)), num_workers=2))
    assert time.monotonic() - start < 4
    assert shared_files() == []


def test_a_worker_that_exits_is_noticed():
    with pytest.raises(RuntimeError, match="exited unexpectedly with exit code 3"):
        list(data.DataLoader(Failing(lambda: os._exit(3)), num_workers=2))


def test_waiting_ends_with_the_timeout():
    loader = data.DataLoader(Failing(lambda: time.sleep(3)), num_workers=1, timeout=0.5)
    with pytest.raises(RuntimeError, match=r"DataLoader timed out after 0.5 seconds"):
        list(loader)


def test_leaving_a_loop_early_ends_the_workers():
    start = time.monotonic()
    for _ in range(3):
        batches = iter(data.DataLoader(Large(40), batch_size=4, num_workers=2, prefetch_factor=4))
        next(batches)
        processes = [worker.process for worker in batches._workers]
        del batches
        assert not any(process.is_alive() for process in processes)
    # Workers that write when nobody reads any more have to notice, not to be ended by force after a wait.
    assert time.monotonic() - start < 8
    assert shared_files() == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_workers_end_when_the_main_process_is_killed():
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        batches = iter(data.DataLoader(Squares(50), num_workers=2))
        next(batches)
        os.write(write, " ".join(str(worker.process.pid) for worker in batches._workers).encode())
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(write)
    os.waitpid(child, 0)
    workers = [int(pid) for pid in os.read(read, 100).split()]
    os.close(read)
    assert len(workers) == 2
    deadline = time.monotonic() + 10
    while any(map(is_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, workers))


INTERRUPTED = """
import time, corten
from corten.utils import data

class Slow(data.Dataset):
    def __len__(self):
        return 1000
    def __getitem__(self, index):
        time.sleep(0.02)
        return index

try:
    for batch in data.DataLoader(Slow(), num_workers=2):
        print("batch", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
def test_ctrl_c_ends_the_loop_and_the_workers():
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", INTERRUPTED],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # A background job ignores the signal, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout.readline() == "batch\n"
    os.killpg(process.pid, signal.SIGINT)
    rest = process.communicate(timeout=20)[0]
    assert process.returncode == 0
    # The signal may come between a line and its end.
    assert rest.replace("batch", "").replace("\n", "") == "interrupted"


def is_running(pid):
    """Whether a process exists and is not only waiting to be collected."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# -- arguments -------------------------------------------------------------------------------------------------------

LOADER_ERRORS = [
    (dict(num_workers=-1), ValueError, "num_workers option should be non-negative"),
    (dict(timeout=-1), ValueError, "timeout option should be non-negative"),
    (dict(prefetch_factor=2), ValueError, "could only be specified in multiprocessing"),
    (dict(persistent_workers=True), ValueError, "needs num_workers > 0"),
    (dict(shuffle=True, sampler=[1]), ValueError, "mutually exclusive with shuffle"),
    (dict(batch_sampler=[[1]], batch_size=2), ValueError, "batch_sampler option is mutually exclusive"),
    (dict(batch_size=None, drop_last=True), ValueError, "disables auto-batching"),
    (dict(batch_size=0), ValueError, "batch_size should be a positive integer"),
    (dict(multiprocessing_context="fork"), ValueError, "can only be used with multi-process loading"),
    (dict(num_workers=1, multiprocessing_context="thread"), ValueError, "valid start method"),
    (dict(num_workers=1, multiprocessing_context=3), TypeError, "valid context object"),
]


@pytest.mark.parametrize(("options", "error", "message"), LOADER_ERRORS)
def test_wrong_arguments_raise(options, error, message):
    with pytest.raises(error, match=message):
        data.DataLoader(Squares(), **options)


@pytest.mark.parametrize("options", [dict(shuffle=True), dict(sampler=[1]), dict(batch_sampler=[[1]])])
def test_streams_take_no_order(options):
    with pytest.raises(ValueError, match="DataLoader with IterableDataset: expected unspecified"):
        data.DataLoader(Count(), **options)


def test_a_loader_is_fixed_once_made():
    loader = data.DataLoader(Squares(), pin_memory=True, pin_memory_device="")
    with pytest.raises(ValueError, match="batch_size attribute should not be set after DataLoader is initialized"):
        loader.batch_size = 3
    with pytest.raises(NotImplementedError, match="cannot be pickled"):
        iter(loader).__getstate__()


def test_more_workers_than_processors_warn():
    with pytest.warns(UserWarning, match="will create 1000 worker processes in total"):
        data.DataLoader(Squares(), num_workers=1000)
