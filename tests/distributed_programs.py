"""What `test_distributed.py` runs in several processes: `python -m corten.distributed.run ... this_file.py NAME`.

Each function runs in every process of the group and asserts what holds there.
"""

from __future__ import annotations

import datetime
import os
import sys

import corten
import corten.distributed as dist
import numpy as np
import pytest
from corten import nn
from corten.nn.parallel import DistributedDataParallel

FLOATS = (corten.float32, corten.float64, corten.float16, corten.bfloat16)
INTEGERS = (corten.int64, corten.int32, corten.int16, corten.int8, corten.uint8)
OPS = {
    dist.ReduceOp.SUM: lambda all: sum(all),
    dist.ReduceOp.PRODUCT: lambda all: np.prod(all, axis=0),
    dist.ReduceOp.MIN: lambda all: np.min(all, axis=0),
    dist.ReduceOp.MAX: lambda all: np.max(all, axis=0),
    dist.ReduceOp.AVG: lambda all: sum(all) / len(all),
    dist.ReduceOp.BAND: lambda all: np.bitwise_and.reduce(all),
    dist.ReduceOp.BOR: lambda all: np.bitwise_or.reduce(all),
    dist.ReduceOp.BXOR: lambda all: np.bitwise_xor.reduce(all),
}
BITWISE = (dist.ReduceOp.BAND, dist.ReduceOp.BOR, dist.ReduceOp.BXOR)


def values(rank: int, dtype: corten.dtype, count: int = 6) -> corten.Tensor:
    """Numbers that differ from process to process and are exact in every dtype."""
    return (corten.arange(count) + 2 * rank + 1).to(dtype)


def reductions(rank: int, size: int) -> None:
    for dtype in (*FLOATS, *INTEGERS):
        everyone = [values(r, dtype).double().numpy() for r in range(size)]
        for op, reference in OPS.items():
            whole = dtype in INTEGERS
            if op in BITWISE and not whole:
                with pytest.raises(RuntimeError, match=f"Cannot use ReduceOp.{op.name} with non-integral dtype"):
                    dist.all_reduce(values(rank, dtype), op)
                continue
            expected = reference([v.astype(np.int64) for v in everyone] if whole else everyone)
            # Rounded to the dtype once; integers wrap, and their means are cut off.
            expected = corten.from_numpy(expected).to(dtype).double().numpy()
            x = values(rank, dtype)
            assert dist.all_reduce(x, op) is None
            assert x.dtype == dtype
            assert np.array_equal(x.double().numpy(), expected), (dtype, op)
            y = values(rank, dtype)
            dist.reduce(y, dst=size - 1, op=op)
            assert np.array_equal(y.double().numpy(), expected if rank == size - 1 else everyone[rank])
    bits = corten.tensor([rank == 0, True, False])
    for op, wanted in (
        (dist.ReduceOp.SUM, [True, True, False]),
        (dist.ReduceOp.MIN, [False, True, False]),
        (dist.ReduceOp.BXOR, [True, size % 2 == 1, False]),
    ):
        x = bits.clone()
        dist.all_reduce(x, op)
        assert x.dtype == corten.bool and x.tolist() == wanted
    negative = corten.tensor([-3, 3]) if rank == 0 else corten.tensor([0, 0])
    dist.all_reduce(negative, dist.ReduceOp.AVG)
    assert negative.tolist() == [int(-3 / size), int(3 / size)]


def layouts(rank: int, size: int) -> None:
    """Views are written in place, and what lies beside them is left alone; 0-d and empty tensors travel too."""
    base = corten.zeros(4, 6)
    view = base[:, ::2].t()
    view.copy_(corten.arange(12.0).view(3, 4) + rank)
    dist.all_reduce(view)
    assert corten.equal(view, size * corten.arange(12.0).view(3, 4) + sum(range(size)))
    assert corten.equal(base[:, 1::2], corten.zeros(4, 3))
    images = corten.full((2, 3, 4, 5), float(rank)).to(memory_format=corten.channels_last)
    dist.broadcast(images, src=1)
    assert images.is_contiguous(memory_format=corten.channels_last) and corten.equal(images, corten.ones(2, 3, 4, 5))
    number = corten.tensor(float(rank))
    dist.all_reduce(number)
    assert number.shape == () and number.item() == sum(range(size))
    nothing = corten.empty(0, 3)
    dist.all_reduce(nothing)
    dist.broadcast(nothing, 0)
    assert nothing.shape == (0, 3)
    # An alias of a tensor's old value keeps it, and parameters are written although they require grad.
    x = corten.ones(3)
    kept, doubled = x.clone(), x * 2
    dist.all_reduce(x)
    assert x.tolist() == [size] * 3 and kept.tolist() == [1] * 3 and doubled.tolist() == [2] * 3
    parameter = nn.Parameter(corten.full((2,), float(rank)))
    dist.broadcast(parameter, 0)
    assert parameter.tolist() == [0, 0] and parameter.requires_grad and parameter.is_leaf


def gathers(rank: int, size: int) -> None:
    for dtype in (*FLOATS, *INTEGERS, corten.bool):
        own = values(rank, dtype).view(2, 3)
        wanted = [values(r, dtype).view(2, 3) for r in range(size)]
        outputs = [corten.empty(2, 3, dtype=dtype) for _ in range(size)]
        dist.all_gather(outputs, own.t().contiguous().t())
        assert all(corten.equal(a, b) for a, b in zip(outputs, wanted))
        for shape in ((2 * size, 3), (size, 2, 3)):
            whole = corten.empty(shape, dtype=dtype)
            dist.all_gather_into_tensor(whole, own)
            assert corten.equal(whole.view(-1), corten.cat(wanted).view(-1))
        outputs = [corten.empty(2, 3, dtype=dtype) for _ in range(size)] if rank == 1 else None
        dist.gather(own, outputs, dst=1)
        assert rank != 1 or all(corten.equal(a, b) for a, b in zip(outputs, wanted))
        taken = corten.empty(2, 3, dtype=dtype)
        dist.scatter(taken, wanted if rank == 0 else None, src=0)
        assert corten.equal(taken, wanted[rank])
    parts = [corten.full((r + 1,), float(rank)) for r in range(size)]
    mine = corten.empty(rank + 1)
    dist.reduce_scatter(mine, parts)
    assert mine.tolist() == [sum(range(size))] * (rank + 1)
    mine = corten.empty(2, dtype=corten.bfloat16)
    dist.reduce_scatter_tensor(mine, values(rank, corten.bfloat16, 2 * size), dist.ReduceOp.MAX)
    assert corten.equal(mine, values(size - 1, corten.bfloat16, 2 * size)[2 * rank : 2 * rank + 2])


def exchanges(rank: int, size: int) -> None:
    taken = corten.empty(size, dtype=corten.int32)
    dist.all_to_all_single(taken, corten.arange(size, dtype=corten.int32) + 10 * rank)
    assert taken.tolist() == [10 * r + rank for r in range(size)]
    # Rank r sends r + 1 rows to each process.
    given = corten.full(((rank + 1) * size, 2), float(rank))
    taken = corten.empty(sum(range(1, size + 1)), 2)
    dist.all_to_all_single(taken, given, [r + 1 for r in range(size)], [rank + 1] * size)
    assert taken[:, 1].tolist() == [float(r) for r in range(size) for _ in range(r + 1)]
    outputs = [corten.empty(r + 1) for r in range(size)]
    dist.all_to_all(outputs, [corten.full((rank + 1,), 10.0 * rank + r) for r in range(size)])
    assert [t.tolist() for t in outputs] == [[10.0 * r + rank] * (r + 1) for r in range(size)]
    after, before = (rank + 1) % size, (rank - 1) % size
    sending = dist.isend(corten.full((3,), float(rank)), after, tag=5)
    other = dist.isend(corten.full((3,), -1.0), after, tag=6)
    second, first = corten.empty(3), corten.empty(3)
    work = dist.irecv(second, before, tag=6)
    assert work.wait() and second.tolist() == [-1.0] * 3 and work.source_rank() == before
    assert dist.recv(first, tag=5) == before and first.tolist() == [float(before)] * 3
    sending.wait(), other.wait()
    large = corten.empty(300_000, dtype=corten.float64)
    operations = [
        dist.P2POp(dist.isend, corten.full((300_000,), float(rank), dtype=corten.float64), after),
        dist.P2POp(dist.irecv, large, before),
    ]
    for work in dist.batch_isend_irecv(operations):
        work.wait()
    assert large.unique().tolist() == [before]


def asynchronous(rank: int, size: int) -> None:
    """Several collectives are under way at once and end in any order."""
    tensors = [corten.full((1000,), float(index + rank)) for index in range(5)]
    works = [dist.all_reduce(tensor, async_op=True) for tensor in tensors]
    future = works[0].get_future().then(lambda f: f.value()[0] / size)
    for work in reversed(works):
        assert work.wait() is True and work.is_completed() and work.is_success() and work.exception() is None
    for index, tensor in enumerate(tensors):
        assert tensor.unique().tolist() == [size * index + sum(range(size))]
    assert future.wait().unique().tolist() == [sum(range(size)) / size]
    assert works[1].result()[0] is tensors[1]
    late = corten.full((4,), float(rank))
    work = dist.all_reduce(late, async_op=True)
    while not work.is_completed():
        pass
    assert late.tolist() == [sum(range(size))] * 4
    dist.barrier(async_op=True).wait()
    dist.monitored_barrier(timeout=datetime.timedelta(seconds=20))


def objects(rank: int, size: int) -> None:
    own = {"rank": rank, "tensor": corten.arange(rank + 1), "text": "x" * 1000 * rank}
    everyone: list = [None] * size
    dist.all_gather_object(everyone, own)
    assert [one["rank"] for one in everyone] == list(range(size))
    assert [one["tensor"].tolist() for one in everyone] == [list(range(r + 1)) for r in range(size)]
    gathered: list | None = [None] * size if rank == 1 else None
    dist.gather_object((rank, None), gathered, dst=1)
    assert rank != 1 or gathered == [(r, None) for r in range(size)]
    shared = ["from 0", {"a": [1, 2]}, None] if rank == 0 else [None] * 3
    dist.broadcast_object_list(shared, src=0)
    assert shared == ["from 0", {"a": [1, 2]}, None]
    mine: list = [None]
    dist.scatter_object_list(mine, ["y" * (r + 1) for r in range(size)] if rank == 0 else None, src=0)
    assert mine == ["y" * (rank + 1)]
    if rank == 0:
        dist.send_object_list(["sent", 3], 1)
    elif rank == 1:
        received: list = [None, None]
        assert dist.recv_object_list(received) == 0 and received == ["sent", 3]


def groups(rank: int, size: int) -> None:
    """Run with three processes."""
    assert (
        (dist.get_rank(), dist.get_world_size()) == (rank, size) == (dist.group.WORLD.rank(), dist.group.WORLD.size())
    )
    assert dist.get_process_group_ranks(dist.group.WORLD) == list(range(size))
    pair = dist.new_group([2, 0])
    if rank == 1:
        assert pair == dist.GroupMember.NON_GROUP_MEMBER
        assert dist.get_rank(pair) == dist.get_world_size(pair) == -1
        with pytest.warns(UserWarning, match="Running all_reduce on global rank 1 which does not belong"):
            assert dist.all_reduce(corten.ones(1), group=pair) is None
    else:
        assert dist.get_rank(pair) == (1 if rank == 2 else 0) and dist.get_world_size(pair) == 2
        assert dist.get_global_rank(pair, 1) == 2 and dist.get_group_rank(pair, 2) == 1
        x = corten.full((2,), float(rank))
        dist.all_reduce(x, group=pair)
        assert x.tolist() == [2.0, 2.0]
        x = corten.full((2,), float(rank))
        dist.broadcast(x, src=2, group=pair)
        assert x.tolist() == [2.0, 2.0]
        dist.broadcast(x.zero_().add_(rank), group=pair, group_src=0)
        assert x.tolist() == [0.0, 0.0]
        with pytest.raises(ValueError, match="Global rank 1 is not part of group"):
            dist.broadcast(x, src=1, group=pair)
        assert dist.new_group([2, 0], sort_ranks=False).rank() == (0 if rank == 2 else 1)
        dist.destroy_process_group(pair)
        with pytest.raises(ValueError, match="is not registered"):
            dist.get_rank(pair)
    own, made = dist.new_subgroups(1)
    assert own.size() == 1 and made[rank] is own and dist.get_process_group_ranks(own) == [rank]


def refusals(rank: int, size: int) -> None:
    with pytest.raises(ValueError, match="trying to initialize the default process group twice!"):
        dist.init_process_group("gloo")
    with pytest.raises(ValueError, match="ranks list must not contain duplicate entries"):
        dist.new_group([0, 0])
    with pytest.raises(ValueError, match="rank should be within the world_size"):
        dist.new_group([size])
    x = corten.zeros(2)
    for call, kind, text in (
        (lambda: dist.all_reduce(3), TypeError, "Expected parameter `tensor` of type torch.Tensor"),
        (lambda: dist.all_gather(x, x), TypeError, "Expected parameter `tensor_list` of type List"),
        (lambda: dist.all_gather([x], x), RuntimeError, "expected length 2"),
        (lambda: dist.all_gather([x, corten.zeros(3)], x), RuntimeError, "invalid tensor size at index 1"),
        (lambda: dist.all_gather([x, x.int()], x), ValueError, "tensors with different dtypes"),
        (lambda: dist.all_gather_into_tensor(corten.zeros(3), x), ValueError, "equal to world_size times"),
        (lambda: dist.all_gather_into_tensor(corten.zeros(4).int(), x), TypeError, "same type"),
        (lambda: dist.reduce_scatter(x, [x]), RuntimeError, "must be world size"),
        (lambda: dist.all_to_all_single(x, x, [1, 2], [1, 1]), RuntimeError, "Split sizes doesn't match"),
        (lambda: dist.all_to_all_single(corten.zeros(3), corten.zeros(3)), RuntimeError, "does not divide equally"),
        (lambda: dist.send(x, rank), ValueError, "destination rank should not be the same"),
        (lambda: dist.broadcast(x, 7), ValueError, "Global rank 7 is not part of group"),
        (lambda: dist.broadcast(x), ValueError, "Must specify global_rank or group_rank"),
        (lambda: dist.gather(x, [x, x] if rank else None), ValueError, "Argument ``gather_list`` must"),
        (lambda: dist.all_reduce(x, dist.ReduceOp.PREMUL_SUM), NotImplementedError, "use ReduceOp.SUM"),
        (lambda: dist.P2POp(dist.send, x, 1 - rank), ValueError, "Expected ``op`` to be of type"),
        (lambda: dist.get_rank(3), ValueError, "Group 3 is not registered"),
        (lambda: dist.TCPStore, NotImplementedError, "init_method"),
    ):
        with pytest.raises(kind, match=text):
            call()
    # Nothing of this has reached the other process.
    dist.all_reduce(x.fill_(rank))
    assert x.tolist() == [1.0, 1.0]
    if rank == 0:
        with pytest.raises(dist.DistBackendError, match="barrier: rank 0 has waited 300ms"):
            dist.barrier(timeout=datetime.timedelta(seconds=0.3))


def again(rank: int, size: int) -> None:
    """The group can be left and joined again."""
    dist.destroy_process_group()
    assert not dist.is_initialized()
    with pytest.raises(ValueError, match="Default process group has not been initialized, please make sure to call"):
        dist.all_reduce(corten.ones(1))
    dist.init_process_group(backend="cpu:gloo,cuda:nccl", rank=size - 1 - rank, world_size=size)
    assert dist.get_rank() == size - 1 - rank and dist.get_backend() == "mpi"
    x = corten.ones(1)
    dist.all_reduce(x)
    assert x.item() == size


def network(seed: int = 3) -> nn.Module:
    corten.manual_seed(seed)
    return nn.Sequential(nn.Linear(10, 64), nn.GELU(), nn.Linear(64, 64), nn.LayerNorm(64), nn.Tanh(), nn.Linear(64, 3))


def trained(model: nn.Module, share: slice, steps: int = 20, pieces: int = 1) -> list[corten.Tensor]:
    """The parameters after some steps on this share of each batch of 16, in so many accumulated pieces."""
    optimizer = corten.optim.AdamW(model.parameters(), lr=1e-2)
    numbers = corten.Generator().manual_seed(1)
    for _ in range(steps):
        x, y = corten.randn(16, 10, generator=numbers), corten.randint(0, 3, (16,), generator=numbers)
        optimizer.zero_grad()
        parts = list(zip(x[share].chunk(pieces), y[share].chunk(pieces)))
        for index, (inputs, targets) in enumerate(parts):
            waits = index < len(parts) - 1 and isinstance(model, DistributedDataParallel)
            with model.no_sync() if waits else corten.enable_grad():
                (nn.functional.cross_entropy(model(inputs), targets) / pieces).backward()
        optimizer.step()
    return [parameter.detach() for parameter in model.parameters()]


def double_batch(rank: int, size: int) -> None:
    """Two processes end where one ends that has both of their batches."""
    alone = trained(network(), slice(None))
    own = slice(8 * rank, 8 * rank + 8)
    for options in (
        {},
        {"bucket_cap_mb": 0.005},
        {"find_unused_parameters": True},
        {"static_graph": True, "gradient_as_bucket_view": True},
    ):
        model = DistributedDataParallel(network(seed=3 + rank), **options)
        assert len(model.reducer.buckets) == (3 if "bucket_cap_mb" in options else 1)
        for ours, reference in zip(trained(model, own), alone):
            corten.testing.assert_close(ours, reference, rtol=1e-5, atol=2e-6)
    accumulated = trained(DistributedDataParallel(network()), own, pieces=2)
    for ours, reference in zip(accumulated, alone):
        corten.testing.assert_close(ours, reference, rtol=1e-5, atol=2e-6)


def samplers(rank: int, size: int) -> None:
    """Programs for several processes take their shares of a dataset by the group's rank and size."""
    from corten.utils.data import DataLoader, DistributedSampler, TensorDataset

    data = TensorDataset(corten.arange(11))
    sampler = DistributedSampler(data, seed=4)
    for epoch in range(2):
        sampler.set_epoch(epoch)
        order = corten.randperm(11, generator=corten.Generator().manual_seed(4 + epoch)).tolist()
        order += order[:1]
        seen = [int(x) for (batch,) in DataLoader(data, batch_size=4, sampler=sampler) for x in batch]
        assert seen == order[rank::size]


def state(rank: int, size: int) -> None:
    """Parameters and buffers are those of rank 0, and state_dict names begin with module."""
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    with corten.no_grad():
        for tensor in model.state_dict().values():
            tensor.fill_(rank + 1)
    ddp = DistributedDataParallel(model)
    assert list(ddp.state_dict()) == ["module." + name for name in model.state_dict()]
    assert all((tensor == 1).all() for tensor in ddp.state_dict().values())
    model[1].running_mean.fill_(5.0 + rank)
    ddp.eval()(corten.ones(3, 2))
    assert model[1].running_mean.tolist() == [5.0, 5.0]
    free = nn.BatchNorm1d(2)
    free.running_mean.fill_(rank)
    apart = DistributedDataParallel(free, broadcast_buffers=False)
    apart.eval()(corten.ones(3, 2))
    assert free.running_mean.tolist() == [rank, rank]
    copied = __import__("copy").deepcopy(ddp)
    copied(corten.randn(4, 2)).sum().backward()
    assert copied.module[0].weight.grad is not None and model[0].weight.grad is None


class Branches(nn.Module):
    """Uses one of two layers, and never the third."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(2, 1, bias=False) for _ in range(3))

    def forward(self, x: corten.Tensor, which: int) -> dict:
        return {"out": [self.layers[which](x)]}


def unused(rank: int, size: int) -> None:
    corten.manual_seed(0)
    model = DistributedDataParallel(Branches(), find_unused_parameters=True)
    for _ in range(2):
        model.zero_grad()
        model(corten.ones(1, 2), rank)["out"][0].sum().backward()
        # Each layer was used by one of two processes, so the mean is a half.
        first, second, third = (layer.weight.grad for layer in model.module.layers)
        assert first.tolist() == second.tolist() == [[0.5, 0.5]] and third is None
    plain = DistributedDataParallel(Branches())
    plain(corten.ones(1, 2), 0)["out"][0].sum().backward()
    with pytest.raises(RuntimeError, match=r"finished reduction in the prior iteration.*find_unused_parameters"):
        plain(corten.ones(1, 2), 0)


def hooks(rank: int, size: int) -> None:
    from corten.distributed.algorithms.ddp_comm_hooks import default_hooks

    x = corten.ones(4, 10) * (rank + 1)

    def hooked(hook) -> list[corten.Tensor]:
        model = DistributedDataParallel(network(), bucket_cap_mb=0.005)
        if hook is not None:
            model.register_comm_hook(None, hook)
            with pytest.raises(RuntimeError, match="can only be called once"):
                model.register_comm_hook(None, hook)
        model(x).square().sum().backward()
        return [parameter.grad for parameter in model.parameters()]

    plain = hooked(None)
    for hook, tolerance in (
        (default_hooks.allreduce_hook, 1e-6),
        (default_hooks.fp16_compress_hook, 4e-3),
        (default_hooks.bf16_compress_hook, 3e-2),
        (default_hooks.bf16_compress_wrapper(default_hooks.allreduce_hook), 3e-2),
    ):
        for ours, wanted in zip(hooked(hook), plain):
            scale = wanted.abs().max().item()
            corten.testing.assert_close(ours, wanted, rtol=tolerance, atol=tolerance * scale)
    seen = []

    def counting(state, bucket):
        seen.append((bucket.index(), bucket.is_last(), [tuple(g.shape) for g in bucket.gradients()]))
        future = corten.Future()
        future.set_result(bucket.buffer() * 0)
        return future

    assert all((gradient == 0).all() for gradient in hooked(counting))
    assert [index for index, _, _ in seen] == [0, 1, 2] and [last for _, last, _ in seen] == [False, False, True]
    # From the last parameter to the first.
    assert [shape for _, _, shapes in seen for shape in shapes] == [
        tuple(p.shape) for p in reversed(list(network().parameters()))
    ]


def ddp_refusals(rank: int, size: int) -> None:
    with pytest.raises(RuntimeError, match="doesn't have any parameter that requires a gradient"):
        DistributedDataParallel(nn.ReLU())
    with pytest.raises(ValueError, match="device_ids and output_device arguments only work with"):
        DistributedDataParallel(nn.Linear(2, 2), device_ids=[0])
    with pytest.raises(RuntimeError, match="uninitialized parameters"):
        DistributedDataParallel(nn.LazyLinear(2))
    with pytest.raises(NotImplementedError, match="mixed_precision"):
        DistributedDataParallel(nn.Linear(2, 2), mixed_precision=True)
    with pytest.raises(RuntimeError, match=r"params\[0\] has shape \[2, 3\].*on rank 1, and shape \[2, 2\]"):
        DistributedDataParallel(nn.Linear(2 + rank, 2))
    with pytest.raises(RuntimeError, match="Rank 0 has 2 params, while rank 1 has inconsistent 1 params"):
        DistributedDataParallel(nn.Linear(2, 2, bias=rank == 0))
    with pytest.raises(NotImplementedError, match="DistributedSampler"):
        DistributedDataParallel(nn.Linear(2, 2)).join()


def halves(rank: int, size: int) -> None:
    """Gradients of several dtypes have buckets of their own, and halves are added up in float32."""
    model = nn.ModuleDict(
        {"a": nn.Linear(3, 3, dtype=corten.bfloat16), "b": nn.Linear(3, 3), "c": nn.Linear(3, 3).half()}
    )
    ddp = DistributedDataParallel(nn.Sequential(*model.values()))
    assert len(ddp.reducer.buckets) == 3
    for layer in model.values():
        for parameter in layer.parameters():
            parameter.grad = corten.full_like(parameter, 1.0 if rank == 0 else 2.0**-10)
    output = sum(p.float().sum() * 0 for p in model.parameters())
    ddp.reducer.prepare([output])
    output.backward()
    for layer in model.values():
        mean = corten.tensor((1 + 2.0**-10) / 2, dtype=corten.float64).to(layer.weight.dtype)
        assert (layer.weight.grad == mean).all()


def gradients(rank: int, size: int) -> None:
    """Collectives with gradients: those of the sum of what the processes compute."""
    from corten.distributed.distributed_c10d import _get_default_group
    from corten.distributed.nn import functional as F

    assert _get_default_group() is dist.group.WORLD
    weights = [corten.arange(3.0) + 1 + r for r in range(size)]
    total = sum(weights)

    def check(call, wanted: corten.Tensor) -> None:
        x = corten.ones(3, requires_grad=True)
        call(x).backward()
        corten.testing.assert_close(x.grad, wanted)

    check(lambda x: (F.all_reduce(x) * weights[rank]).sum(), total)
    check(lambda x: (F.all_reduce(x, dist.ReduceOp.AVG) * weights[rank]).sum(), total / size)
    check(lambda x: (F.broadcast(x, 1) * weights[rank]).sum(), total if rank == 1 else corten.zeros(3))
    check(lambda x: (F.reduce(x, 1) * weights[rank]).sum(), weights[1])
    # The gathered tensor of rank r has the weight r + 1 on every process.
    gathered = corten.full((3,), size * (rank + 1.0))
    check(lambda x: sum((r + 1) * y.sum() for r, y in enumerate(F.all_gather(x))), gathered)
    scattered = sum((r + 1) * weights[r] for r in range(size))
    check(lambda x: (F.reduce_scatter(x, [x * (r + 1) for r in range(size)]) * weights[rank]).sum(), scattered)
    rows = corten.ones(size, requires_grad=True)
    taken = F.all_to_all_single(corten.empty(size), rows * (rank + 1))
    assert taken.tolist() == [r + 1.0 for r in range(size)]
    (taken * (rank + 10)).sum().backward()
    assert rows.grad.tolist() == [(rank + 1.0) * (r + 10) for r in range(size)]
    with pytest.raises(NotImplementedError, match="only SUM and AVG have gradients"):
        F.all_reduce(rows, dist.ReduceOp.MAX)


def sync_batch_norm(rank: int, size: int) -> None:
    """Statistics and gradients are those of the batches together, shares of different size included."""
    share = slice(0, 3) if rank == 0 else slice(3, 8)
    for shape, plain in (((8, 3), nn.BatchNorm1d), ((8, 3, 4, 2), nn.BatchNorm2d)):
        for options in ({}, {"affine": False}, {"momentum": None}, {"track_running_stats": False}):
            x, weights = corten.randn(*shape) * 3 + 5, corten.randn(*shape)
            reference = plain(3, **options)
            if reference.affine:
                reference.weight.data, reference.bias.data = corten.tensor([1.0, 2, -3]), corten.tensor([0.1, 0.2, 0.3])
            ours = nn.SyncBatchNorm.convert_sync_batchnorm(__import__("copy").deepcopy(reference))
            mine, all = x[share].clone().requires_grad_(), x.clone().requires_grad_()
            output, expected = ours(mine), reference(all)
            corten.testing.assert_close(output, expected[share], rtol=1e-5, atol=1e-5)
            (output * weights[share]).sum().backward()
            (expected * weights).sum().backward()
            corten.testing.assert_close(mine.grad, all.grad[share], rtol=1e-4, atol=1e-5)
            for a, b in zip(ours.parameters(), reference.parameters()):
                dist.all_reduce(a.grad)
                corten.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-4)
            for name, tensor in reference.state_dict().items():
                corten.testing.assert_close(ours.state_dict()[name], tensor)
            corten.testing.assert_close(ours.eval()(x), reference.eval()(x))


def on_gpu(rank: int, size: int) -> None:
    """Tensors of a GPU travel through the CPU's memory and stay on it."""
    x = corten.arange(6.0, device="gpu").view(2, 3).t() + rank
    dist.all_reduce(x)
    assert x.device.type == "gpu" and corten.equal(x.cpu(), size * corten.arange(6.0).view(2, 3).t() + 1)
    model = DistributedDataParallel(nn.Linear(3, 2).to("gpu"), device_ids=[0])
    model(corten.ones(4, 3) * (rank + 1)).sum().backward()
    assert model.module.weight.grad.cpu().tolist() == [[6.0] * 3] * 2


def main() -> None:
    dist.init_process_group(os.environ.get("BACKEND", "gloo"))
    corten.manual_seed(0)
    globals()[sys.argv[1]](dist.get_rank(), dist.get_world_size())
    if sys.argv[1] != "refusals":  # whose last barrier one of the processes has not called
        dist.barrier()
    print("passed", flush=True)


if __name__ == "__main__":
    main()
