"""What stands around the layers of nn: attention's switches, one device for several, grouped products, leftovers."""

from __future__ import annotations

import importlib

import corten
import numpy as np
import pytest
from corten import nn
from corten.backends import cuda as switches
from corten.nn import functional as F
from corten.nn.attention import SDPBackend, sdpa_kernel


def values(tensor):
    return tensor.detach().cpu().numpy()


def close(result, expected, rtol=2e-5, atol=2e-6):
    np.testing.assert_allclose(values(result), expected, rtol, atol)


def test_attention_is_the_same_whatever_kernels_are_allowed():
    q, k, v = corten.randn(3, 1, 2, 5, 4).unbind()
    expected = F.scaled_dot_product_attention(q, k, v)
    with sdpa_kernel([SDPBackend.MATH, SDPBackend.FLASH_ATTENTION], set_priority=True):
        close(F.scaled_dot_product_attention(q, k, v), values(expected))
        chosen = nn.attention._cur_sdpa_kernel_backends(with_priority=True)
        assert chosen == [SDPBackend.MATH, SDPBackend.FLASH_ATTENTION]
        with sdpa_kernel(SDPBackend.MATH):
            assert nn.attention._cur_sdpa_kernel_backends() == [SDPBackend.MATH]
            assert switches.math_sdp_enabled() and not switches.flash_sdp_enabled()
    assert len(nn.attention._cur_sdpa_kernel_backends()) == 5 and switches.flash_sdp_enabled()
    switches.enable_math_sdp(False)
    assert SDPBackend.MATH not in nn.attention._cur_sdpa_kernel_backends()
    switches.enable_math_sdp(True)
    with pytest.raises(AssertionError, match="SDPBackend"), sdpa_kernel("math"):
        pass


def test_implementations_of_attention_are_called_when_they_are_activated():
    called = []
    nn.attention.register_flash_attention_impl("own", register_fn=lambda: called.append(1))
    assert nn.attention.list_flash_attention_impls() == ["own"] and nn.attention.current_flash_attention_impl() is None
    nn.attention.activate_flash_attention_impl("own")
    assert called == [1] and nn.attention.current_flash_attention_impl() == "own"
    nn.attention.restore_flash_attention_impl()
    assert nn.attention.current_flash_attention_impl() is None
    with pytest.raises(ValueError, match="Unknown flash attention impl 'other'"):
        nn.attention.activate_flash_attention_impl("other")


def test_a_module_in_data_parallel_is_the_module():
    layer = nn.Linear(2, 3)
    wrapped = nn.DataParallel(layer)
    x = corten.randn(4, 2)
    assert list(wrapped.state_dict()) == ["module.weight", "module.bias"] and wrapped.device_ids == []
    close(wrapped(x), values(layer(x)))
    close(nn.parallel.data_parallel(layer, x), values(layer(x)))
    with pytest.raises(NotImplementedError, match="runs on one device"):
        nn.DataParallel(layer, device_ids=[0, 1])


def test_batch_norms_are_converted_with_their_state():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Sequential(nn.BatchNorm1d(2, affine=False), nn.ReLU()))
    model[0](corten.randn(4, 3, 2, 2))
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert isinstance(converted[0], nn.SyncBatchNorm) and isinstance(converted[1][0], nn.SyncBatchNorm)
    assert converted[0].weight is model[0].weight
    x = corten.randn(5, 3, 4)
    plain = nn.BatchNorm1d(3)
    plain.load_state_dict(converted[0].state_dict())
    close(converted[0](x), values(plain(x)))
    with pytest.raises(ValueError, match="at least 2D input"):
        converted[0](corten.ones(3))


def test_rows_are_multiplied_with_the_matrix_of_their_group():
    a, b, ends = corten.randn(7, 4), corten.randn(2, 4, 3), corten.tensor([2, 5], dtype=corten.int32)
    x, w = values(a), values(b)
    expected = np.concatenate([x[:2] @ w[0], x[2:5] @ w[1], np.zeros((2, 3))])
    close(F.grouped_mm(a, b, offs=ends), expected)
    close(F.grouped_mm(b.mT, a.T, offs=ends), expected.T)
    close(F.grouped_mm(a.T, a, offs=ends), np.stack([x[:2].T @ x[:2], x[2:5].T @ x[2:5]]))
    close(F.grouped_mm(b.mT, b, bias=corten.ones(3)), w.transpose(0, 2, 1) @ w + 1)
    assert F.grouped_mm(a, b, offs=ends, out_dtype=corten.bfloat16).dtype == corten.bfloat16
    for wrong, text in [
        (lambda: F.grouped_mm(a, b), "offs, which is not given"),
        (lambda: F.grouped_mm(a, b, offs=corten.tensor([5, 9])), "ascend up to the size 7"),
        (lambda: F.grouped_mm(b.mT, b, offs=ends), "must not be given"),
        (lambda: F.grouped_mm(a, a, offs=ends), "got"),
    ]:
        with pytest.raises(RuntimeError, match=text):
            wrong()


@pytest.mark.parametrize("out_features", [(), (2,), (2, 3)])
def test_cross_entropy_of_a_layer_is_that_of_its_outputs(out_features):
    loss = nn.LinearCrossEntropyLoss(5, 4, out_features=out_features, bias=True, options=nn.LinearCrossEntropyOptions())
    x, target = corten.randn(6, 5), corten.randint(4, (6, *out_features))
    logits = loss.linear(x).reshape(6, 4, *out_features)
    close(loss(x, target), values(F.cross_entropy(logits, target)))
    loss(x, target).backward()
    assert loss.linear.weight.grad is not None
    with pytest.raises(ValueError, match="acc_policy"):
        nn.LinearCrossEntropyOptions(acc_policy="exact")


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_gradients_of_convolutions_are_functions(rank):
    grad = importlib.import_module("corten.nn.grad")
    options = {"stride": 2, "padding": 1, "groups": 2}
    x = corten.randn(2, 4, *(6,) * rank, requires_grad=True)
    w = corten.randn(6, 2, *(3,) * rank, requires_grad=True)
    y = getattr(F, f"conv{rank}d")(x, w, **options)
    g = corten.randn(y.shape)
    y.backward(g)
    close(getattr(grad, f"conv{rank}d_input")(x.shape, w, g, **options), values(x.grad))
    close(getattr(grad, f"conv{rank}d_weight")(x, w.shape, g, **options), values(w.grad), atol=1e-5)


def test_modules_are_found_under_the_names_of_pytorchs_files():
    for file, name in [
        ("instancenorm", "InstanceNorm2d"),
        ("channelshuffle", "ChannelShuffle"),
        ("linear_cross_entropy_options", "LinearCrossEntropyOptions"),
        ("batchnorm", "SyncBatchNorm"),
    ]:
        assert getattr(importlib.import_module(f"corten.nn.modules.{file}"), name) is getattr(nn, name)
    assert importlib.import_module("corten.nn.common_types")._size_2_t == int | tuple[int, int]


def test_an_optimizer_works_on_other_parameters_for_a_while():
    layer = nn.Linear(2, 1)
    optimizer = corten.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    layer(corten.ones(1, 2)).sum().backward()
    optimizer.step()
    before, saved = [p.detach().clone() for p in layer.parameters()], optimizer.state_dict()
    others = [corten.zeros(1, 2), corten.zeros(1)]
    for other in others:
        other.grad = corten.ones_like(other)
    buffers = {k: {"momentum_buffer": corten.ones_like(o)} for k, o in enumerate(others)}
    groups = [{**saved["param_groups"][0], "lr": 1.0}]
    swap = corten.optim.swap_in_optimizer_params_and_state
    with swap(optimizer, others, {"state": buffers, "param_groups": groups}):
        optimizer.step()
    assert corten.allclose(others[0], corten.full((1, 2), -1.9))
    assert corten.allclose(buffers[0]["momentum_buffer"], corten.full((1, 2), 1.9))
    assert all(corten.equal(p, b) for p, b in zip(layer.parameters(), before, strict=True))
    assert optimizer.param_groups[0]["params"][0] is layer.weight and optimizer.param_groups[0]["lr"] == 0.1
    with pytest.raises(ValueError, match="has 2 parameters, 1 were given"), swap(optimizer, others[:1], saved):
        pass


def test_switches_of_backward_passes_are_accepted():
    x = corten.ones(2, requires_grad=True)
    with corten.autograd.set_multithreading_enabled(False), corten.autograd.enforce_grad_layout_policy(False):
        (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
    assert corten.autograd.grad_mode.no_grad is corten.no_grad
    assert isinstance(x, corten.autograd.variable.Variable)
    with corten.autograd.graph.region_activation_memory_budget(0.5):
        pass
    with pytest.raises(ValueError, match=r"in \[0, 1\]"), corten.autograd.graph.region_activation_memory_budget(2):
        pass
    with pytest.raises(NotImplementedError, match="one by one"):
        _ = corten.autograd.NestedIOFunction


def test_chunks_are_lists_that_print_as_their_items():
    chunk = corten.utils.data.DataChunk(iter([1, "b"]))
    assert chunk == [1, "b"] and chunk.as_str(" ") == " [1, b]" and list(chunk.raw_iterator()) == [1, "b"]


def test_hooks_without_the_mark_are_warned_about():
    from corten.utils.hooks import unserializable_hook, warn_if_has_hooks

    class Hooked:
        _backward_hooks = {0: unserializable_hook(lambda g: g)}

    warn_if_has_hooks(Hooked())
    Hooked._backward_hooks = {0: lambda g: g}
    with pytest.warns(UserWarning, match="will not be serialized"):
        warn_if_has_hooks(Hooked())


def test_namespaces_of_pytorchs_packages_hold_the_same_things():
    assert corten.functional.einsum is corten.einsum
    assert isinstance(corten.ones(2, 3), corten.types._TensorOrTensors) and isinstance(2.0, corten.types._Number)
    assert type(corten.ones(2).sort()) is corten.return_types.sort
    assert corten.utils.dlpack.from_dlpack is corten.from_dlpack
    collate = importlib.import_module("corten.utils.data._utils.collate")
    assert collate.default_collate is corten.utils.data.default_collate
    assert importlib.import_module("corten.autograd.anomaly_mode").detect_anomaly is corten.autograd.detect_anomaly


@pytest.mark.cpu
def test_ways_to_collate_are_registered_by_type():
    collate = importlib.import_module("corten.utils.data._utils.collate")

    class Box:
        def __init__(self, value):
            self.value = value

    registry = {**collate.default_collate_fn_map, Box: lambda batch, *, collate_fn_map: [b.value for b in batch]}
    merged = collate.collate([(Box(1), 2.0), (Box(3), 4.0)], collate_fn_map=registry)
    assert merged[0] == [1, 3] and merged[1].tolist() == [2.0, 4.0]


def test_masks_of_attention_are_merged():
    layer, query = nn.MultiheadAttention(4, 2), corten.zeros(2, 3, 4)
    pairs, keys = corten.arange(9.0).reshape(3, 3), corten.arange(6.0).reshape(2, 3)
    assert layer.merge_masks(None, None, query) == (None, None) and layer.merge_masks(None, keys, query)[1] == 1
    merged, kind = layer.merge_masks(pairs, keys, query)
    assert kind == 2 and merged.shape == (2, 2, 3, 3)
    close(merged[1, 0], values(pairs) + values(keys)[1])


def test_a_recurrent_layer_checks_its_arguments():
    layer = nn.GRU(2, 3)
    layer.check_forward_args(corten.ones(4, 1, 2), corten.ones(1, 1, 3), None)
    with pytest.raises(RuntimeError, match="Expected hidden size"):
        layer.check_forward_args(corten.ones(4, 1, 2), corten.ones(1, 2, 3), None)


def test_a_function_may_call_its_rule_vjp():
    class Double(corten.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def vjp(ctx, grad):
            return grad * 2

    x = corten.ones(2, requires_grad=True)
    Double.apply(x).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]

    class Both(Double):
        @staticmethod
        def backward(ctx, grad):
            return grad

    with pytest.raises(RuntimeError, match="only implement one of them"):
        Both.apply(x).sum().backward()


@pytest.mark.parametrize("size, shape", [(3, (4,)), ((3, None), (1, 2, 3, 4, 5, 6)), (-1, (1, 2, 4, 4))])
def test_adaptive_pooling_refuses_dims_and_sizes_as_pytorch_does(size, shape):
    with pytest.raises(RuntimeError):
        nn.AdaptiveMaxPool2d(size)(corten.ones(shape))
    with pytest.raises(ValueError, match="at least 3"):
        nn.AdaptiveMaxPool2d((3, 3))(corten.ones(2, 2))
    assert nn.AdaptiveAvgPool2d((3, None))(corten.ones(2, 4, 5)).shape == (2, 3, 5)
