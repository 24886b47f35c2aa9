"""Names that packages written for PyTorch import or call: each does what it says, or names what does."""

from __future__ import annotations

import math
import pickle

import corten as torch
import pytest
from corten import nn
from corten.nn.attention import flex_attention as flex
from corten.nn.parallel.scatter_gather import gather, scatter, scatter_kwargs
from corten.utils import _pytree


def test_conditions_are_checked_by_functions():
    torch._check(True)
    torch._assert(torch.tensor(1), "fine")
    torch._assert_async(torch.tensor(2.0))
    for check, error in (
        (lambda: torch._check(False, lambda: "told"), RuntimeError),
        (lambda: torch._check_index(False, lambda: "told"), IndexError),
        (lambda: torch._check_value(False, lambda: "told"), ValueError),
        (lambda: torch._check_type(False, lambda: "told"), TypeError),
        (lambda: torch._check_not_implemented(False, lambda: "told"), NotImplementedError),
        (lambda: torch._check_is_size(-1, lambda: "told"), RuntimeError),
        (lambda: torch._check_tensor_all(torch.tensor([True, False]), lambda: "told"), RuntimeError),
        (lambda: torch._assert(torch.tensor(0), "told"), AssertionError),
        (lambda: torch._assert_async(torch.tensor(0), "told"), RuntimeError),
        (lambda: torch._check(1), TypeError),
        (lambda: torch._check(False, "text"), TypeError),
    ):
        with pytest.raises(error, match=r"told|must be a"):
            check()


def test_sizes_are_numbers():
    assert (torch.sym_int(2.7), torch.sym_float(2), torch.sym_not(0), torch.sym_sum([1, 2])) == (2, 2.0, True, 3)
    assert torch.sym_ite(True, 1, 2) == 1 and isinstance(torch.sym_max(3, 2.0), float) and torch.sym_min(3, 2) == 2
    with pytest.raises(AssertionError, match="two numbers"):
        torch.sym_max("a", 1)


def test_operators_on_lists_do_each_tensor():
    a, b = [torch.tensor([1.0, 4.0]), torch.tensor(9.0)], [torch.tensor([2.0, 2.0]), torch.tensor(3.0)]
    assert [t.tolist() for t in torch._foreach_add(a, b, alpha=2)] == [[5.0, 8.0], 15.0]
    assert [t.tolist() for t in torch._foreach_mul(a, [2.0, 3.0])] == [[2.0, 8.0], 27.0]
    assert [t.tolist() for t in torch._foreach_mul(a, scalar=2.0)] == [[2.0, 8.0], 18.0]
    assert [t.tolist() for t in torch._foreach_sqrt(a)] == [[1.0, 2.0], 3.0]
    assert [t.tolist() for t in torch._foreach_maximum(a, 3.0)] == [[3.0, 4.0], 9.0]
    assert [t.tolist() for t in torch._foreach_clamp_max(a, b)] == [[1.0, 2.0], 3.0]
    assert [t.tolist() for t in torch._foreach_pow(2.0, b)] == [[4.0, 4.0], 8.0]
    assert [t.item() for t in torch._foreach_norm(a, math.inf)] == [4.0, 9.0]
    assert [t.tolist() for t in torch._foreach_lerp(a, b, 0.5)] == [[1.5, 3.0], 6.0]
    assert [t.tolist() for t in torch._foreach_addcdiv(a, a, b, value=2.0)] == [[2.0, 8.0], 15.0]
    written = torch._foreach_sub_(a, b)
    assert written[0] is a[0] and a[0].tolist() == [-1.0, 2.0] and isinstance(torch._foreach_neg(a), tuple)
    torch._foreach_lerp_(a, b, 1.0)
    torch._foreach_copy_(b, [torch.zeros(2), torch.ones(())])
    assert a[1].item() == 3.0 and b[0].tolist() == [0.0, 0.0]
    torch._foreach_zero_(a)
    assert a[0].abs().sum() == 0
    with pytest.raises(RuntimeError, match="at least one tensor"):
        torch._foreach_add([], 1)
    with pytest.raises(RuntimeError, match="_foreach_add: lists must have the same number of elements, got 2 and 1"):
        torch._foreach_add(a, [1.0])
    with pytest.raises(TypeError, match="_foreach_exp: a list or tuple of tensors expected"):
        torch._foreach_exp(torch.ones(2))
    assert not hasattr(torch, "_foreach_nothing")


def test_futures_are_collected():
    first, second = torch.futures.Future(), torch.futures.Future()
    whole = torch.futures.collect_all([first, second])
    first.set_result(1)
    assert not whole.done()
    second.set_result(2)
    assert [f.value() for f in whole.wait()] == torch.futures.wait_all([first, second]) == [1, 2]
    assert torch.futures.collect_all([]).wait() == [] and torch.futures.Future[int] is not None


def test_what_no_program_here_does_can_be_asked_for_and_refuses():
    from corten._subclasses.fake_tensor import is_fake
    from corten.fx.experimental.proxy_tensor import get_proxy_mode

    assert get_proxy_mode() is None and not is_fake(torch.ones(1)) and not torch.onnx.is_in_onnx_export()
    with pytest.raises(NotImplementedError, match="DistributedDataParallel"):
        from corten.distributed.optim import ZeroRedundancyOptimizer

        ZeroRedundancyOptimizer([], torch.optim.SGD)
    assert (torch.cuda.CUDAGraph | None) is not None
    with pytest.raises(NotImplementedError, match="fused"):
        torch.cuda.CUDAGraph()


def test_modules_spread_over_processes_can_be_asked_for_and_are_refused():
    from corten.distributed import _composable, _tensor, fsdp, tensor
    from corten.distributed._composable.fsdp import FSDPModule
    from corten.distributed._tensor.experimental import implicit_replication

    assert FSDPModule is fsdp.FSDPModule and not isinstance(nn.Linear(1, 1), FSDPModule)
    assert _tensor.DTensor is tensor.DTensor and _composable.fsdp.fully_shard is fsdp.fully_shard
    layer = nn.Linear(1, 1)
    for refused in (
        lambda: fsdp.fully_shard(layer),
        lambda: fsdp.FullyShardedDataParallel(layer),
        lambda: FSDPModule(),
        lambda: fsdp.MixedPrecisionPolicy(),
        lambda: fsdp.ShardingStrategy,
        implicit_replication,
    ):
        with pytest.raises(NotImplementedError, match="DistributedDataParallel"):
            refused()


def test_lists_of_tensors_are_put_into_groups():
    from corten.utils import _foreach_utils as lists

    a, b, c = torch.ones(1), torch.ones(1, dtype=torch.float16), torch.ones(2)
    groups = lists._group_tensors_by_device_and_dtype([[a, b, c], [None, a, b], []], with_indices=True)
    device = a.device
    assert set(groups) == {(device, torch.float32), (device, torch.float16)}
    (first, second, empty), places = groups[device, torch.float32]
    assert first[0] is a and first[1] is c and second[0] is None and second[1] is b and empty == []
    assert places == [0, 2] and groups[device, torch.float16][1] == [1]
    assert lists._group_tensors_by_device_and_dtype([[a]])[device, torch.float32] == ([[a]], [])
    assert lists._has_foreach_support([a, None], device) and not lists._has_foreach_support([1.0], device)
    assert all(lists._device_has_foreach_support(torch.device(name)) for name in ("cpu", "cuda", "gpu:0"))
    assert not lists._device_has_foreach_support(torch.device("meta"))
    assert device.type in lists._get_fused_kernels_supported_devices()
    for wrong, told in (([[]], "at least one"), ([[a, b], [a]], "first one's 2 tensors"), ([[None]], "0 of the first")):
        with pytest.raises(RuntimeError, match=told):
            lists._group_tensors_by_device_and_dtype(wrong)


def test_the_types_of_a_loaders_arguments_can_be_written():
    from corten.utils.data.dataloader import _collate_fn_t, _worker_init_fn_t

    assert (_collate_fn_t | None) is not None and (_worker_init_fn_t | None) is not None


def test_the_compiled_modules_names_tell_what_is_true():
    assert torch._C._TensorMeta is type(torch.Tensor) and not torch._C._are_functorch_transforms_active()
    assert torch.vmap(lambda x: x + torch._C._are_functorch_transforms_active())(torch.zeros(2)).tolist() == [1, 1]
    assert torch.torch is torch and torch.ScriptModule is torch.jit.ScriptModule
    compiled = torch.compile(nn.Linear(1, 1))
    assert isinstance(compiled, torch._dynamo.eval_frame.OptimizedModule)
    with torch._dynamo.config.patch(verbose=True, other=3), torch._dynamo.config.patch("verbose", 2):
        assert torch._dynamo.config.verbose == 2 and torch._dynamo.config.other == 3
    assert torch._dynamo.config.verbose is False and not hasattr(torch._dynamo.config, "other")


def test_a_device_is_a_context_for_what_is_made_inside():
    before = torch.get_default_device()
    with torch.device("cpu") as device:
        assert torch.ones(1).device == device == torch.get_default_device()
        with torch.device("cpu"):
            pass
    assert torch.get_default_device() == before


@pytest.mark.cpu
def test_batches_are_cut_up_and_put_together():
    batch = {"x": torch.arange(6.0).reshape(3, 2), "y": [torch.arange(3), "same"]}
    first, second = scatter(batch, ["cpu", "cpu"])
    assert first["x"].shape == (2, 2) and second["y"][0].tolist() == [2] and second["y"][1] == "same"
    whole = gather([{"x": first["x"]}, {"x": second["x"]}], "cpu")
    assert torch.equal(whole["x"], batch["x"]) and gather([torch.tensor(1), torch.tensor(2)], -1).tolist() == [1, 2]
    inputs, keywords = scatter_kwargs((torch.ones(2),), {}, ["cpu", "cpu"])
    assert len(inputs) == len(keywords) == 2 and keywords == ({}, {})
    with pytest.raises(ValueError, match="same number of keys"):
        gather([{"x": torch.ones(1)}, {"y": torch.ones(1)}], "cpu")


def test_dicts_come_apart_by_functions_with_names():
    tree = {"b": 1, "a": 2}
    values, context = _pytree._dict_flatten(tree)
    assert (values, context) == ([1, 2], ["b", "a"]) and _pytree._dict_unflatten(values, context) == tree
    assert [key.key for key, _ in _pytree._dict_flatten_with_keys(tree)[0]] == ["b", "a"]
    assert _pytree._get_node_type(tree) is dict and _pytree._get_node_type(3) is int


def test_attention_with_functions_of_places_is_attention():
    torch.manual_seed(0)
    query, key = torch.randn(2, 4, 5, 8, requires_grad=True), torch.randn(2, 2, 6, 8)
    value, bias, lengths = torch.randn(2, 2, 6, 3), torch.randn(4), torch.tensor([3, 6])
    mask = flex.create_block_mask(lambda b, h, q, k: (k < lengths[b]) & (q > 0), 2, None, 5, 6, BLOCK_SIZE=(2, 3))
    assert mask.to_dense().tolist() == [[[[1, 0]] * 3], [[[1, 1]] * 3]] and mask.shape == (2, 1, 5, 6)
    assert mask.sparsity() == pytest.approx(10) and "sparsity=10.00%" in repr(mask)
    output, total = flex.flex_attention(
        query, key, value, lambda s, b, h, q, k: s + bias[h] * (q - k), mask, enable_gqa=True, return_lse=True
    )
    added = bias[:, None, None] * (torch.arange(5)[:, None] - torch.arange(6))
    left_out = torch.arange(6) >= lengths[:, None, None, None]
    scores = (query @ key.repeat_interleave(2, 1).mT / 8**0.5 + added).masked_fill(left_out, -math.inf)
    expected = scores.softmax(-1) @ value.repeat_interleave(2, 1)
    torch.testing.assert_close(output[:, :, 1:], expected[:, :, 1:])
    torch.testing.assert_close(total[:, :, 1:], scores.logsumexp(-1)[:, :, 1:])
    assert output[:, :, 0].abs().sum() == 0 and (total[:, :, 0] == -math.inf).all()
    output.sum().backward()
    assert query.grad.isfinite().all() and query.grad[:, :, 0].abs().sum() == 0
    kept = flex.or_masks(lambda b, h, q, k: q == k, flex.and_masks(flex.noop_mask, lambda b, h, q, k: k == 0))
    assert flex.create_mask(kept, None, None, 3, 3)[0, 0].int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 0, 1]]
    aux = flex.flex_attention(query[:, :2], key, value, return_aux=flex.AuxRequest(max_scores=True))[1]
    assert aux.lse is None and aux.max_scores.shape == (2, 2, 5)


@pytest.mark.parametrize(
    ("heads", "options", "error", "message"),
    [
        (2, {}, ValueError, "Hq=2 and Hkv=1"),
        (3, {"embedding": 9}, ValueError, "E=8 and E=9"),
        (1, {"length": 7}, ValueError, r"block_mask.shape=\(1, 1, 7, 7\) but got q_len=5"),
    ],
)
def test_attention_refuses_what_does_not_fit(heads, options, error, message):
    query, key = torch.ones(1, heads, 5, 8), torch.ones(1, 1, 5, options.get("embedding", 8))
    mask = flex.create_block_mask(flex.noop_mask, None, None, 7, 7) if "length" in options else None
    with pytest.raises(error, match=message):
        flex.flex_attention(query, key, key, block_mask=mask)


def test_a_sparse_tensor_is_places_and_values():
    places, values = torch.tensor([[0, 1, 1, 0], [2, 0, 0, 1]]), torch.tensor([3.0, 4.0, 5.0, 1.0], requires_grad=True)
    x = torch.sparse_coo_tensor(places, values, (2, 3))
    dense = torch.tensor([[0.0, 1.0, 3.0], [9.0, 0.0, 0.0]])
    assert torch.equal(x.to_dense(), dense) and x.is_sparse and x.layout is torch.sparse_coo and x._nnz() == 4
    together = x.coalesce()
    assert together.indices().tolist() == [[0, 0, 1], [1, 2, 0]] and together.values().tolist() == [1.0, 3.0, 9.0]
    other = torch.arange(6.0).reshape(3, 2)
    assert torch.equal(torch.sparse.mm(x, other), dense @ other) and torch.equal(x @ other[:, 0], dense @ other[:, 0])
    assert torch.equal(x.t().to_dense(), dense.t()) and torch.equal((x + x * 2).to_dense(), 3 * dense)
    assert torch.equal(x + dense, 2 * dense) and x.sum().item() == 13 and x.sum(0).tolist() == [9.0, 1.0, 3.0]
    assert "nnz=4, layout=corten.sparse_coo" in repr(x) and torch.sparse_coo_tensor(places, values).shape == (2, 3)
    rows = torch.sparse_coo_tensor([[1, 1]], [[1.0, 2.0], [3.0, 4.0]], (3, 2))
    assert rows.to_dense().tolist() == [[0.0, 0.0], [4.0, 6.0], [0.0, 0.0]]
    (x @ other).sum().backward()
    assert values.grad.tolist() == [9.0, 1.0, 1.0, 5.0]


def test_a_sparse_tensor_refuses_what_it_cannot():
    x = torch.sparse_coo_tensor([[0, 1], [1, 0]], [1.0, 2.0], (2, 2))
    for wrong, error, message in (
        (lambda: x.indices(), RuntimeError, "uncoalesced"),
        (lambda: x.exp(), NotImplementedError, r"exp: not for sparse tensors; x.to_dense\(\)"),
        (lambda: x * torch.ones(2, 2), NotImplementedError, "multiplied by numbers"),
        (lambda: torch.sparse.mm(x, torch.ones(3, 2)), RuntimeError, "cannot be multiplied"),
        (lambda: torch.sparse_coo_tensor([[0, 5]], [1.0, 1.0], (2,)), RuntimeError, "lies outside"),
        (lambda: torch.sparse_coo_tensor([[0, 1]], [1.0], (2,)), RuntimeError, "same nnz"),
        (lambda: torch.sparse_coo_tensor([[0, 1]], [1.0, 1.0], (2, 2)), RuntimeError, "sparse_dim = 1"),
    ):
        with pytest.raises(error, match=message):
            wrong()
    assert not hasattr(torch.sparse, "addmm")


def test_dims_of_a_sparse_tensor_are_exchanged():
    dense = torch.arange(24.0).reshape(2, 3, 4)
    for x, dims in ((dense.to_sparse(), (0, 2)), (dense.to_sparse(1), (1, 2)), (dense.to_sparse(2), (-2, -3))):
        assert torch.equal(x.transpose(*dims).to_dense(), dense.transpose(*dims))
    assert torch.equal(dense.to_sparse().mT.coalesce().to_dense(), dense.mT)
    turned = torch.tensor([[0, 1j], [2, 0]]).to_sparse().mH
    assert torch.equal(turned.to_dense(), torch.tensor([[0, 2], [-1j, 0]]))
    with pytest.raises(RuntimeError, match="dims 0 and 1 are of places and of values"):
        dense.to_sparse(1).transpose(0, 1)
    with pytest.raises(IndexError, match="but got 3"):
        dense.to_sparse().transpose(0, 3)


def test_a_sparse_tensor_is_made_of_a_dense_one():
    dense = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 2.0]], requires_grad=True)
    x = dense.to_sparse()
    assert x.is_coalesced() and x.indices().tolist() == [[0, 1], [1, 2]] and x.values().tolist() == [1.0, 2.0]
    (x @ torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert dense.grad.tolist() == [[0.0, 2.0, 0.0], [0.0, 0.0, 3.0]]
    rows = dense.detach()[[0, 1, 1]].where(torch.tensor([[True], [False], [True]]), 0).to_sparse(1)
    assert rows.indices().tolist() == [[0, 2]] and rows.values().tolist() == [[0.0, 1.0, 0.0], [0.0, 0.0, 2.0]]
    assert torch.zeros(2, 2).to_sparse()._nnz() == 0 and torch.tensor(2.0).to_sparse().to_dense().item() == 2.0
    for count in (0, 3):
        with pytest.raises(RuntimeError, match=rf"\[1,2\] range, but {count} is given"):
            dense.to_sparse(count)
    with pytest.raises(NotImplementedError, match="layout sparse_coo"):
        dense.to_sparse(layout=torch.strided)


def test_a_sparse_tensor_has_no_memory_of_its_elements():
    x = torch.eye(2).to_sparse()
    for read, error in (
        (lambda: x.numpy(), TypeError),
        (lambda: x.tolist(), RuntimeError),
        (lambda: x.data_ptr(), RuntimeError),
        (lambda: x.storage(), NotImplementedError),
        (lambda: x.resize_(3, 3), NotImplementedError),
        (lambda: x.add_(1), RuntimeError),
    ):
        with pytest.raises(error, match="to_dense"):
            read()
    assert torch.equal(x.data.to_dense(), torch.eye(2)) and x.half().dtype == torch.float16
    assert x.cpu().double().dtype == torch.float64


def test_gradients_of_a_sparse_leaf_lie_at_its_places():
    x = torch.sparse_coo_tensor([[0, 1], [1, 0]], [1.0, 2.0], (2, 2)).requires_grad_()
    (x.to_dense() * torch.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    assert x.is_leaf and x.grad.is_sparse and x.grad.to_dense().tolist() == [[0.0, 2.0], [3.0, 0.0]]
    x.grad = None
    assert x.grad is None
    with pytest.raises(NotImplementedError, match="that of its values"):
        x.grad = torch.ones(2, 2)


@pytest.mark.cpu
@pytest.mark.filterwarnings("ignore:torch.sparse.FloatTensor is deprecated")
def test_older_constructors_make_sparse_tensors():
    kind, places, values = torch.sparse.FloatTensor, torch.tensor([[0, 1]]), torch.tensor([1.0, 2.0])
    x = kind(places, values, torch.Size([3]))
    assert x.to_dense().tolist() == [1.0, 2.0, 0.0] and kind(places, values).shape == (2,)
    assert isinstance(x, kind) and not isinstance(x, torch.FloatTensor) and not isinstance(values, kind)
    assert kind(places, values.double()).dtype == torch.float64 and not isinstance(x.double(), kind)
    assert kind(2, 3).shape == kind(torch.Size([2, 3])).shape == (2, 3) and kind().shape == (0,)
    assert x.type() == "corten.sparse.FloatTensor" and getattr(torch.sparse, x.type().split(".")[-1]) is kind
    with pytest.raises(TypeError, match="indices, values and a size"):
        kind([1.0, 2.0])
    with pytest.warns(UserWarning, match="use torch.sparse_coo_tensor"):
        torch.sparse.LongTensor(2)


def test_layouts_that_no_tensor_has_can_be_compared_with():
    others = [torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc]
    assert not {torch.ones(1).layout, torch.ones(1).to_sparse().layout} & set(others)
    assert repr(others) == "[corten.sparse_csr, corten.sparse_csc, corten.sparse_bsr, corten.sparse_bsc]"
    assert pickle.loads(pickle.dumps(others)) == others
    x = torch.sparse_coo_tensor([[1, 0]], [1.0, 2.0], (2,))
    assert x._coalesced_(True) is x and x.indices().tolist() == [[1, 0]] and not x._coalesced_(False).is_coalesced()


def test_elements_are_printed_apart_from_what_follows():
    from corten import _tensor_str as parts

    x, long = torch.arange(4.0).reshape(2, 2), torch.arange(2000)
    assert parts._tensor_str(x, 3) == "[[0., 1.],\n    [2., 3.]]"
    assert parts._str_intern(x, tensor_contents="here") == "tensor(here)" and repr(x) == parts._str_intern(x)
    assert parts._add_suffixes("f(1", ["a=2", "b=3"], 2, False) == "f(1, a=2, b=3)"
    assert parts._add_suffixes("f(1", ["a=2", "b=3"], 2, True) == "f(1,\n  a=2, b=3)"
    written = torch.ones(2)
    written[0] = torch.ones((), requires_grad=True)
    assert repr(written) == "tensor([1., 1.], grad_fn=<CopySlices>)"
    before = parts.PRINT_OPTS.threshold
    try:
        parts.PRINT_OPTS.threshold = 5000
        assert "..." not in repr(long)
        torch.set_printoptions(threshold=10)
        assert parts.PRINT_OPTS.threshold == 10 and "..." in repr(long[:20])
    finally:
        torch.set_printoptions(threshold=before)


def test_names_that_only_have_to_be_there():
    from corten.distributed import rpc
    from corten.utils.data._utils.collate import np_str_obj_array_pattern

    assert rpc.is_available() is False
    with pytest.raises(NotImplementedError, match="call nothing in each other"):
        rpc.init_rpc("worker")
    held = [kind for kind in ("<f4", "<U3", "|S2", "|O", "<i8") if np_str_obj_array_pattern.search(kind)]
    assert held == ["<U3", "|S2", "|O"]
    assert torch.backends.flags_frozen() is False
    with getattr(torch.backends, "__allow_nonbracketed_mutation")():
        torch.backends.cudnn.benchmark = False
    aten = torch.ops.aten
    for name in ("alias.default", "detach.default", "sort.stable", "squeeze.dim", "_pin_memory.default"):
        packet, _, overload = name.partition(".")
        assert str(getattr(getattr(aten, packet), overload)) == f"aten.{name}"


def test_the_last_definition_is_called_where_types_were_declared():
    @torch.jit._overload
    def double(x):
        raise AssertionError

    def double(x):  # noqa: F811
        return 2 * x

    class Doubler:
        @torch.jit._overload_method
        def __call__(self, x):
            raise AssertionError

        def __call__(self, x):  # noqa: F811
            return 2 * x

    assert double(2) == Doubler()(2) == 4


def test_a_replica_shares_parameters_in_a_table_of_its_own():
    module = nn.Sequential(nn.Linear(2, 2))
    replica = module._replicate_for_data_parallel()
    replica._modules["1"] = nn.ReLU()
    assert replica[0] is module[0] and len(module) == 1 and isinstance(module[0], nn.modules.linear.Linear)
    assert nn.modules.instancenorm._InstanceNorm is nn.InstanceNorm1d.__mro__[1]


def test_tensors_are_not_spread_over_devices():
    from corten.distributed.device_mesh import DeviceMesh, init_device_mesh
    from corten.distributed.tensor import DTensor, Replicate, Shard

    assert not isinstance(torch.ones(1), DTensor)
    for refused in (DeviceMesh, init_device_mesh, DTensor, Replicate, Shard):
        with pytest.raises(NotImplementedError, match="a tensor lies on one device"):
            refused("cpu", (1,))
    assert torch._C._nn._parse_to("cpu", torch.float64)[:2] == (torch.device("cpu"), torch.float64)
    assert torch.sparse_coo_tensor(size=(2, 3)).to_dense().tolist() == [[0.0] * 3] * 2


def test_a_variable_is_a_tensor():
    x = torch.ones(2)
    y = torch.autograd.Variable(x, requires_grad=True)
    assert y.requires_grad and not x.requires_grad and y.data_ptr() == x.data_ptr()
    assert isinstance(x, torch.autograd.Variable) and not isinstance(1, torch.autograd.Variable)
    assert not torch.autograd.Variable(y * 2).requires_grad
