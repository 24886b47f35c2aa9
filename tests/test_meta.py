"""The device `meta`: tensors of which only shape, strides and dtype exist. Operators on them tell what the CPU's would,
nothing is computed or drawn, whoever asks for an element is refused, and modules are built, loaded and moved without
memory."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import re
import threading
import warnings

import corten
import numpy as np
import pytest
from corten import nn
from corten.nn import functional as F

from op_table import ROWS
from op_table.row import Operand, Row, Sample, build, tensors_in

META = corten.device("meta")
NO_DATA = "Cannot copy out of meta tensor; no data!"


def meta(*shape: int, **options) -> corten.Tensor:
    return corten.empty(*shape, device="meta", **options)


# -- tensors ---------------------------------------------------------------------------------------------------------


def test_a_tensor_has_its_facts_and_no_memory() -> None:
    t = meta(2, 3, dtype=corten.float64)
    assert (tuple(t.shape), t.stride(), t.dtype) == ((2, 3), (3, 1), corten.float64)
    assert t.is_meta and t.device == META and t.device.type == "meta" and t.device.index is None
    assert not (t.is_cpu or t.is_cuda) and t.get_device() == -1
    assert t.data_ptr() == 0 and t.t().data_ptr() == 0
    assert (t.nbytes, t.element_size()) == (48, 8)
    assert t.type() == "corten.meta.DoubleTensor"
    assert not corten.ones(2).is_meta


def test_every_way_of_making_tensors_takes_the_device() -> None:
    made = {
        "zeros": corten.zeros(2, 3, device="meta"),
        "full": corten.full((2, 3), 7.0, device="meta"),
        "tensor": corten.tensor([[1.0, 2.0, 3.0]] * 2, device="meta"),
        "as_tensor": corten.as_tensor(np.ones((2, 3), dtype="float32"), device="meta"),
        "array": corten.tensor(np.ones((2, 3), dtype="float32"), device="meta"),
        "rand": corten.rand(2, 3, device="meta"),
        "strided": corten.empty_strided((2, 3), (3, 1), device="meta"),
        "like": corten.zeros_like(corten.ones(2, 3), device="meta"),
        "new": corten.ones(1).new_empty((2, 3), device="meta"),
        "arange": corten.arange(6.0, device="meta").view(2, 3),
        "to": corten.ones(2, 3).to("meta"),
        "to_like": corten.ones(2, 3).to(meta(1)),
        "index": corten.empty(2, 3, device="meta:0"),
    }
    for name, t in made.items():
        assert t.is_meta and tuple(t.shape) == (2, 3) and t.dtype == corten.float32, name
    assert corten.tensor(np.ones(2), dtype=corten.float64, device="meta").dtype == corten.float64
    assert corten.eye(3, device="meta").is_meta and corten.randperm(4, device="meta").dtype == corten.int64
    assert corten.empty_strided((2, 3), (1, 5), device="meta").stride() == (1, 5)
    assert corten.empty(2, 3, 4, 5, device="meta", memory_format=corten.channels_last).stride() == (60, 1, 15, 3)


def test_size_costs_nothing() -> None:
    corten._core.reset_peak()
    before = corten._core.counters()["peak_bytes"]
    t = meta(2**20, 2**20, 2**10)
    assert (t + 1).sum(0).shape == (2**20, 2**10) and (t @ meta(2**10, 7)).shape == (2**20, 2**20, 7)
    assert corten.linspace(0, 1, 2**40, device="meta").shape == (2**40,)
    assert t.untyped_storage().nbytes() == 2**52
    assert corten._core.counters()["peak_bytes"] == before


def test_nothing_is_recorded_or_run() -> None:
    x, w = meta(64, 128, requires_grad=True), meta(10, 128, requires_grad=True)
    before = corten._core.counters()
    F.cross_entropy(F.linear(x, w).relu(), meta(64, dtype=corten.int64)).backward()
    after = corten._core.counters()
    assert w.grad.shape == w.shape and w.grad.is_meta
    assert [after[k] - before[k] for k in ("nodes", "kernels", "flushes")] == [0, 0, 0]


def test_printing() -> None:
    assert repr(meta(2, 3)) == "tensor(..., device='meta', size=(2, 3))"
    assert str(meta(())) == f"{meta(())}" == "tensor(..., device='meta', size=())"
    assert repr(meta(2, dtype=corten.int64)) == "tensor(..., device='meta', size=(2,), dtype=corten.int64)"
    assert repr(meta(2, requires_grad=True)) == "tensor(..., device='meta', size=(2,), requires_grad=True)"
    grown = meta(2, requires_grad=True) * 2
    assert repr(grown) == "tensor(..., device='meta', size=(2,), grad_fn=<MulBackward0>)"
    parameter = "Parameter containing:\ntensor(..., device='meta', size=(2,), requires_grad=True)"
    assert repr(nn.Parameter(meta(2))) == parameter
    assert repr(meta(2000, 2000)) == "tensor(..., device='meta', size=(2000, 2000))"
    with META:
        assert repr(corten.ones(1, device="cpu")) == "tensor([1.])"
    assert repr(meta(3).untyped_storage()) == "...\n[corten.storage.UntypedStorage(device=meta) of size 12]"


def test_storages() -> None:
    t = meta(4, 3)
    storage = t.untyped_storage()
    assert (storage.device, storage.data_ptr(), storage.nbytes()) == (META, 0, 48)
    assert t[1:].untyped_storage() == storage and t.clone().untyped_storage() != storage
    assert storage.resize_(100).nbytes() == t.untyped_storage().nbytes() == 100
    with pytest.raises(NotImplementedError, match=NO_DATA):
        storage.cpu()
    with pytest.raises(NotImplementedError):
        storage[0]
    assert corten.UntypedStorage(8, device="meta").nbytes() == 8


def test_copies() -> None:
    base = meta(4, 6)
    view = base[1:, ::2]
    copied, of_view = copy.deepcopy((base, view))
    assert of_view.stride() == view.stride() and of_view.untyped_storage() == copied.untyped_storage()
    assert copied.is_meta and copied.untyped_storage() != base.untyped_storage()
    assert copy.copy(base).untyped_storage() == base.untyped_storage()
    assert base.t().contiguous().stride() == (4, 1) and base.t().clone().stride() == (1, 6)
    layer = copy.deepcopy(nn.Linear(2, 3, device="meta"))
    assert layer.weight.is_meta and isinstance(layer.weight, nn.Parameter)


# -- the operators' table --------------------------------------------------------------------------------------------

# What only values tell: the size of a result, or where parts of an operand begin; of some rows for a few samples.
BY_VALUES = (
    "bincount", "bincount.weights", "masked_select", "nonzero", "argwhere", "unique", "unique.inverse", "unique.counts",
    "unique.dim", "unique_consecutive", "unique_consecutive.counts", "nn.functional.ctc_loss", "repeat_interleave",
    "nn.functional.one_hot", "Tensor.__getitem__", "Tensor.__setitem__", "index_put",
)  # fmt: skip
REFUSAL = "depends on values|without output_size|no data|cannot be called on meta"


def facts(t: corten.Tensor) -> tuple:
    return tuple(t.shape), t.stride(), t.dtype, t.requires_grad


def run(row: Row, sample: Sample, device: str) -> tuple[list, list]:
    """The results on operands made on the CPU and moved, and the gradients of the differentiable operands."""
    leaves = []

    def convert(operand: Operand) -> corten.Tensor:
        t = build(corten, operand).to(device)
        if row.grad and operand.differentiable and t.is_floating_point() and not row.short_name().endswith("_"):
            leaves.append(t.requires_grad_())
        return t

    args, kwargs = sample.map(convert, corten)
    if row.creates:
        kwargs["device"] = device
    results = tensors_in(row.function(corten)(*args, **kwargs))
    grown = [r for r in results if r.requires_grad]
    if grown:
        corten.autograd.backward(grown, [corten.ones_like(r) for r in grown])
    return results, [leaf.grad for leaf in leaves]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_operators_tell_what_the_cpu_would(row: Row) -> None:
    for sample in row.samples_of("float32" if "float32" in row.dtypes else row.dtypes[0]):
        context = f"{row}{sample}"
        expected, gradients = run(row, sample, "cpu")
        if str(row) in BY_VALUES:
            try:
                actual, told = run(row, sample, "meta")
            except (NotImplementedError, RuntimeError) as error:
                assert re.search(REFUSAL, str(error)), context
                continue
        else:
            actual, told = run(row, sample, "meta")
        assert [facts(t) for t in actual] == [facts(t) for t in expected], context
        assert all(t.is_meta for t in actual), context
        for mine, other in zip(told, gradients, strict=True):
            assert (mine is None) == (other is None), context
            assert mine is None or (mine.is_meta and facts(mine) == facts(other)), context


# -- what has no answer ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error, match, call",
    [
        (RuntimeError, "Tensor.item\\(\\) cannot be called on meta tensors", lambda t: t[0, 0].item()),
        (RuntimeError, "cannot be called on meta", lambda t: bool(t[0, 0])),
        (RuntimeError, "cannot be called on meta", lambda t: float(t[0, 0])),
        (RuntimeError, "cannot be called on meta", lambda t: int(t[0, 0])),
        (RuntimeError, "cannot be called on meta", lambda t: 1.0 in t),
        (RuntimeError, "cannot be called on meta", lambda t: corten.allclose(t, t)),
        (NotImplementedError, NO_DATA, lambda t: t.tolist()),
        (NotImplementedError, NO_DATA, lambda t: t[0, 0].tolist()),
        (NotImplementedError, NO_DATA, lambda t: t.cpu()),
        (NotImplementedError, NO_DATA, lambda t: t.to("cpu")),
        (NotImplementedError, NO_DATA, lambda t: t.to(corten.ones(1))),
        (NotImplementedError, NO_DATA, lambda t: corten.ones(2, 3).copy_(t)),
        (NotImplementedError, NO_DATA, lambda t: corten.ones(2, 3).__setitem__(0, t[0])),
        (TypeError, "can't convert meta device type tensor to numpy", lambda t: t.numpy()),
        (TypeError, "can't convert meta device type tensor to numpy", np.asarray),
        (BufferError, "Cannot pack tensors on meta", lambda t: t.__dlpack__()),
        (ValueError, "Unknown device type meta", lambda t: t.__dlpack_device__()),
        (RuntimeError, "share_memory_", lambda t: t.share_memory_()),
        (RuntimeError, "pin", lambda t: t.pin_memory()),
        (NotImplementedError, "nonzero", lambda t: t.nonzero()),
        (NotImplementedError, "depends on values", lambda t: t[t > 0]),
        (NotImplementedError, "nonzero", lambda t: corten.where(t > 0)),
        (NotImplementedError, "nonzero", lambda t: t.argwhere()),
        (NotImplementedError, "masked_select", lambda t: t.masked_select(t > 0)),
        (NotImplementedError, "unique", lambda t: t.unique()),
        (NotImplementedError, "unique", lambda t: t.unique_consecutive()),
        (NotImplementedError, "bincount", lambda t: t.long().view(6).bincount()),
        (NotImplementedError, "equal", lambda t: corten.equal(t, t)),
        (RuntimeError, "without output_size", lambda t: t.repeat_interleave(corten.ones(3).long().to("meta"), 1)),
        (RuntimeError, "cannot be called on meta", lambda t: F.one_hot(t.long())),
        (RuntimeError, "devices must match", lambda t: t.set_(corten.ones(2, 3))),
        (RuntimeError, "devices must match", lambda t: corten.ones(2, 3).set_(t.untyped_storage())),
        (RuntimeError, "meta", lambda t: corten.Generator("meta")),
        (TypeError, "unsupported format string", lambda t: f"{t[0, 0]:.2f}"),
    ],
)
def test_whoever_asks_for_an_element_is_refused(error, match: str, call) -> None:
    with pytest.raises(error, match=match):
        call(meta(2, 3))


def test_rules_about_values_are_not_checked() -> None:
    index = corten.tensor([0, 99], device="meta")
    assert meta(5, 3)[index].shape == (2, 3)
    assert F.embedding(index, meta(5, 3)).shape == (2, 3)
    assert F.one_hot(index, 4).shape == (2, 4)
    assert F.binary_cross_entropy(meta(3), meta(3)).shape == ()
    assert meta(3).repeat_interleave(index.new_empty(3), output_size=8).shape == (8,)
    assert (meta(3, dtype=corten.int64) // meta(3, dtype=corten.int64)).shape == (3,)
    assert corten.linalg.inv(meta(2, 3, 3)).shape == (2, 3, 3)
    assert corten.multinomial(meta(2, 5), 3).shape == (2, 3)


# -- operators -------------------------------------------------------------------------------------------------------


def test_devices_do_not_mix_but_for_numbers() -> None:
    m, c, number = meta(2, 3), corten.ones(2, 3), corten.tensor(2.0)
    for call in (lambda: m + c, lambda: c + m, lambda: m.add_(c), lambda: c.add_(m), lambda: corten.cat([m, c])):
        with pytest.raises(RuntimeError, match=r"same device.*meta|same device.*cpu"):
            call()
    with pytest.raises(RuntimeError, match="same device"):
        c + meta(())
    assert (m + number).is_meta and (number * m).is_meta and m.add_(number).is_meta
    assert corten.where(m > 0, m, number).is_meta and m.clamp(min=number).is_meta
    assert (c == 1).all()


def test_an_index_of_the_cpu_is_brought_along() -> None:
    t = meta(4, 3)
    assert t[corten.tensor([0, 1])].shape == (2, 3) and t[[0, 3, 1]].shape == (3, 3)
    t[corten.tensor([0, 1])] = 1.0
    with pytest.raises(IndexError):
        t[corten.tensor([7])]


def test_writes_and_views_are_kept_in_the_books() -> None:
    t = meta(4, 6)
    version = t._version
    row = t[1]
    assert row._base is t and row.storage_offset() == 6
    row.fill_(3)
    t.mul_(2).copy_(corten.ones(4, 6))
    t[0] = 1
    t[1] = corten.ones(6)
    t[:, 2:4].zero_()
    assert t._version == row._version > version
    assert t.view(24).stride() == (1,) and t.is_meta
    with pytest.raises(RuntimeError, match="output with shape"):
        meta(3).add_(meta(2, 3))
    with pytest.raises(RuntimeError, match="can't be cast"):
        meta(3, dtype=corten.int64).add_(meta(3))
    assert t.resize_(5, 5).shape == (5, 5)


def test_gradients_are_recorded() -> None:
    x = meta(2, 3, requires_grad=True)
    y = (x * x).sum()
    assert y.grad_fn.name() == "SumBackward0"
    (first,) = corten.autograd.grad(y, x, create_graph=True)
    first.sum().backward()
    assert x.grad.is_meta and x.grad.shape == (2, 3) and x.grad.dtype == corten.float32
    # A write still counts against what a gradient needs.
    z = meta(3, requires_grad=True) * 1
    result = z.exp()
    result.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        result.sum().backward()
    with pytest.raises(RuntimeError, match="device"):
        x.grad = corten.ones(2, 3)


def test_a_gradient_does_not_come_back_from_meta() -> None:
    x = corten.ones(2, requires_grad=True)
    y = x.to("meta").sum()
    with pytest.raises(NotImplementedError, match=NO_DATA):
        y.backward()


def test_nothing_is_drawn() -> None:
    state = corten.get_rng_state()
    t = corten.randn(3, device="meta")
    t.normal_().uniform_().bernoulli_(0.5).exponential_()
    corten.randperm(5, device="meta"), corten.normal(t, t), corten.bernoulli(t), corten.poisson(t)
    F.dropout(t, 0.5), F.rrelu(t, training=True), nn.init.trunc_normal_(meta(3, 3)), nn.init.xavier_uniform_(meta(3, 3))
    q = meta(1, 2, 4, 8)
    F.scaled_dot_product_attention(q, q, q, dropout_p=0.5)
    nn.Linear(3, 4, device="meta"), nn.Conv2d(3, 4, 3, device="meta"), nn.LSTM(3, 4, device="meta")
    assert corten.equal(corten.get_rng_state(), state)
    assert corten.rand(3, device="meta", generator=corten.Generator()).is_meta


# -- blocks ----------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:To copy construct from a tensor")
def test_inside_a_block_tensors_are_made_there() -> None:
    c = corten.ones(2)
    with corten.device("meta") as device:
        assert device == META == corten.get_default_device()
        layer = nn.Linear(2, 3)
        made = corten.ones(2), corten.tensor(3), corten.as_tensor(c), corten.tensor(c), corten.asarray([1.0])
        assert all(t.is_meta for t in made) and layer.weight.is_meta
        elsewhere = corten.ones(1, device="cpu"), corten.Tensor(2), corten.from_numpy(np.ones(2)), corten.zeros_like(c)
        assert not any(t.is_meta for t in elsewhere)
        with corten.device("cpu"):
            assert corten.ones(1).device.type == "cpu"
        assert corten.ones(1).is_meta
    assert corten.ones(1).device.type == "cpu" == corten.get_default_device().type


def test_a_block_ends_with_an_error_and_is_of_one_thread() -> None:
    seen = []
    with pytest.raises(KeyError), META:
        thread = threading.Thread(target=lambda: seen.append(corten.ones(1).device.type))
        thread.start()
        thread.join()
        raise KeyError
    assert seen == ["cpu"] and not corten.ones(1).is_meta


def test_the_default_device_can_be_meta() -> None:
    try:
        corten.set_default_device("meta")
        assert corten.ones(2).is_meta and corten.get_default_device() == META
    finally:
        corten.set_default_device(None)
    assert not corten.ones(2).is_meta


# -- modules ---------------------------------------------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: corten.Tensor) -> corten.Tensor:
        return self.head(self.norm(self.conv(x)).relu().mean((2, 3)))


def test_a_module_is_made_run_and_filled() -> None:
    with META:
        net = Net()
    assert all(t.is_meta for t in (*net.parameters(), *net.buffers()))
    out = net(meta(2, 3, 9, 9))
    assert out.is_meta and out.shape == (2, 5)
    out.sum().backward()
    assert all(p.grad.is_meta and p.grad.shape == p.shape for p in net.parameters())
    net.zero_grad()
    with pytest.raises(NotImplementedError, match="to_empty"):
        net.to("cpu")
    assert net.to_empty(device="cpu") is net
    source = Net()
    net.load_state_dict(source.state_dict())
    x = corten.rand(2, 3, 9, 9)
    corten.testing.assert_close(net.eval()(x), source.eval()(x))


def test_a_module_goes_to_meta() -> None:
    layer = nn.Linear(2, 3).to("meta")
    assert layer.weight.is_meta and isinstance(layer.weight, nn.Parameter) and layer.weight.requires_grad
    assert nn.Linear(2, 3).to(device="meta", dtype=corten.float64).weight.dtype == corten.float64
    assert layer.half().weight.dtype == corten.float16
    assert layer.to_empty(device="meta").weight.is_meta


def test_skip_init_makes_no_numbers() -> None:
    state = corten.get_rng_state()
    layer = nn.utils.skip_init(nn.Linear, 2, 3)
    assert layer.weight.device.type == "cpu" and layer.weight.shape == (3, 2) and layer.weight.requires_grad
    assert corten.equal(corten.get_rng_state(), state)
    assert nn.utils.skip_init(nn.Linear, 2, 3, device="meta").weight.is_meta


def test_loading_into_meta_parameters_needs_assign() -> None:
    source = nn.Linear(2, 3).state_dict()
    layer = nn.Linear(2, 3, device="meta")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        layer.load_state_dict(source)
    texts = [str(warning.message) for warning in seen]
    assert [text.split(": ")[0] for text in texts] == ["for weight", "for bias"] and layer.weight.is_meta
    assert all(re.search("non-meta parameter.*no-op.*assign=True", text) for text in texts)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer.load_state_dict(nn.Linear(2, 3, device="meta").state_dict())
        layer.load_state_dict(source, assign=True)
    assert layer.weight.device.type == "cpu" and layer.weight.requires_grad and isinstance(layer.weight, nn.Parameter)
    assert layer.weight.data_ptr() == source["weight"].data_ptr()
    with pytest.raises(RuntimeError, match="While copying the parameter"):
        nn.Linear(2, 3).load_state_dict(nn.Linear(2, 3, device="meta").state_dict())


@pytest.mark.parametrize(
    "initialize",
    [
        nn.init.normal_, nn.init.kaiming_uniform_, nn.init.orthogonal_, nn.init.eye_, nn.init.trunc_normal_,
        nn.init.zeros_, lambda t: nn.init.sparse_(t, 0.5), lambda t: nn.init.constant_(t, 2.0),
    ],
)  # fmt: skip
def test_initializing_does_nothing(initialize) -> None:
    t = meta(4, 3)
    assert initialize(t) is t and t.is_meta and t.shape == (4, 3)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam", "Adamax", "RAdam"])
def test_optimizers_keep_meta_states(name: str) -> None:
    layer = nn.Linear(2, 3, device="meta")
    optimizer = getattr(corten.optim, name)(layer.parameters(), lr=0.1)
    layer(meta(4, 2)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    for state in optimizer.state_dict()["state"].values():
        for key, value in state.items():
            # Counts of steps, which are of no dims, stay numbers.
            assert not isinstance(value, corten.Tensor) or value.is_meta == (value.dim() > 0), key


def test_ensembles_have_a_meta_base() -> None:
    models = [nn.Linear(3, 2) for _ in range(4)]
    parameters, buffers = corten.func.stack_module_state(models)
    base = copy.deepcopy(models[0]).to("meta")

    def run(p, b, x):
        return corten.func.functional_call(base, (p, b), (x,))

    x = corten.rand(5, 3)
    together = corten.func.vmap(run, (0, 0, None))(parameters, buffers, x)
    corten.testing.assert_close(together, corten.stack([m(x) for m in models]))
    with pytest.raises(RuntimeError):
        base(x)


def test_recurrent_layers_and_transformers_tell_shapes() -> None:
    out, (h, c) = nn.LSTM(3, 4, num_layers=2, bidirectional=True, device="meta")(meta(5, 2, 3))
    assert (tuple(out.shape), tuple(h.shape), tuple(c.shape)) == ((5, 2, 8), (4, 2, 4), (4, 2, 4))
    layer = nn.TransformerEncoderLayer(8, 2, 16, device="meta")
    assert layer(meta(5, 2, 8)).shape == (5, 2, 8) and layer.eval()(meta(5, 2, 8)).is_meta


# -- files -----------------------------------------------------------------------------------------------------------


def saved(value, **options) -> io.BytesIO:
    file = io.BytesIO()
    corten.save(value, file, **options)
    file.seek(0)
    return file


def test_files_keep_the_facts() -> None:
    t = meta(4, 6)
    value = {"t": t, "turned": t.t(), "part": t[1:, ::2], "p": nn.Parameter(t), "i": meta(2, dtype=corten.int64)}
    for options in ({}, {"_use_new_zipfile_serialization": False}):
        loaded = corten.load(saved(value, **options))
        for key, before in value.items():
            after = loaded[key]
            assert after.is_meta and type(after) is type(before) and after.dtype == before.dtype, key
            assert (after.shape, after.stride()) == (before.shape, before.stride()), key
            assert after.requires_grad == before.requires_grad
    # A map changes where memory is: there is none.
    assert corten.load(saved(t), map_location="cpu").is_meta


def test_files_are_loaded_to_meta_without_their_data() -> None:
    a = corten.arange(6.0).view(2, 3)
    file = saved({"a": a, "b": a.t(), "n": 3})
    for place in ("meta", META, {"cpu": "meta"}):
        file.seek(0)
        loaded = corten.load(file, map_location=place)
        assert loaded["a"].is_meta and loaded["b"].stride() == (1, 3) and loaded["n"] == 3
        assert loaded["a"].untyped_storage() == loaded["b"].untyped_storage()
    legacy = saved({"a": a}, _use_new_zipfile_serialization=False)
    assert corten.load(legacy, map_location="meta")["a"].is_meta


def test_pickles_keep_the_facts() -> None:
    t = pickle.loads(pickle.dumps(meta(2, 3).t()))
    assert t.is_meta and t.stride() == (1, 3)
    parameter = pickle.loads(pickle.dumps(nn.Parameter(meta(2))))
    assert isinstance(parameter, nn.Parameter) and parameter.is_meta and parameter.requires_grad
    assert pickle.loads(pickle.dumps(META)) == META


# -- around ----------------------------------------------------------------------------------------------------------


def test_compiled_functions_run_in_python() -> None:
    f = corten.compile(lambda x: (x * 2).sum(0))
    assert f(meta(2, 3)).shape == (3,) and f(meta(2, 3)).is_meta
    assert f(corten.ones(2, 3)).tolist() == [4.0, 4.0, 4.0]


def test_vmap_and_jacobians() -> None:
    assert corten.func.vmap(lambda x: x @ x)(meta(4, 3, 3)).shape == (4, 3, 3)
    assert corten.func.jacrev(lambda x: x.sin())(meta(3)).shape == (3, 3)


def test_tensors_go_away() -> None:
    x = meta(3, requires_grad=True)
    import weakref

    y = (x * 2).exp()
    gone = weakref.ref(y)
    del y
    gc.collect()
    assert gone() is None
