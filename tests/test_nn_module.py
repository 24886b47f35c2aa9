"""nn.Module: registration, hooks, state, conversions, printing, copies, and the errors of wrong use."""

from __future__ import annotations

import copy
import io
import pickle
import re
from collections import OrderedDict

import corten
import numpy as np
import pytest
from corten import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 3)
        self.scale = nn.Parameter(corten.ones(3))
        self.register_buffer("offset", corten.zeros(3))
        self.register_buffer("scratch", corten.zeros(1), persistent=False)
        self.tail = nn.Sequential(nn.ReLU(), nn.Linear(3, 1))

    def forward(self, x, *, shift=0.0):
        return self.tail(self.layer(x) * self.scale + self.offset + shift)


def values(tensor):
    return tensor.detach().cpu().numpy()


def test_assignment_registers_parameters_buffers_and_modules():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == [
        "scale",
        "layer.weight",
        "layer.bias",
        "tail.1.weight",
        "tail.1.bias",
    ]
    assert [name for name, _ in net.named_buffers()] == ["offset", "scratch"]
    assert [name for name, _ in net.named_modules()] == ["", "layer", "tail", "tail.0", "tail.1"]
    assert [name for name, _ in net.named_children()] == ["layer", "tail"]
    assert list(net.state_dict()) == [
        "scale",
        "offset",
        "layer.weight",
        "layer.bias",
        "tail.1.weight",
        "tail.1.bias",
    ]
    net.offset = corten.ones(3)
    assert dict(net.named_buffers())["offset"] is net.offset
    net.extra = nn.Buffer(corten.ones(1), persistent=False)
    assert isinstance(net.extra, nn.Buffer) and "extra" not in net.state_dict()
    net.layer = None
    assert net.layer is None and "layer.weight" not in net.state_dict()
    del net.scale
    assert not hasattr(net, "scale")
    assert {"offset", "tail", "training"} <= set(dir(net))


def test_a_shared_parameter_is_listed_once_unless_asked():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    every = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    assert every == ["0.weight", "0.bias", "1.weight", "1.bias"]
    shared = nn.Linear(1, 1)
    twice = nn.ModuleList([shared, shared])
    assert len(list(twice.modules())) == 2 and len(list(twice.named_modules(remove_duplicate=False))) == 3


REGISTRATION_ERRORS = [
    (lambda m: m.register_buffer(3, corten.ones(1)), TypeError, "buffer name should be a string. Got int"),
    (lambda m: m.register_buffer("a.b", corten.ones(1)), KeyError, 'buffer name can\'t contain "."'),
    (lambda m: m.register_buffer("", corten.ones(1)), KeyError, "buffer name can't be empty string"),
    (lambda m: m.register_buffer("weight", corten.ones(1)), KeyError, "attribute 'weight' already exists"),
    (lambda m: m.register_buffer("q", 3), TypeError, "cannot assign 'int' object to buffer 'q'"),
    (lambda m: m.register_parameter("a.b", None), KeyError, 'parameter name can\'t contain "."'),
    (lambda m: m.register_parameter("training", None), KeyError, "attribute 'training' already exists"),
    (lambda m: m.register_parameter("q", corten.ones(1)), TypeError, "object to parameter 'q'"),
    (lambda m: m.add_module("a.b", nn.ReLU()), KeyError, "got: a.b"),
    (lambda m: m.add_module("q", 3), TypeError, "int is not a Module subclass"),
    (lambda m: setattr(m, "weight", corten.ones(1)), TypeError, "as parameter 'weight'"),
    (lambda m: m.foo, AttributeError, "'Linear' object has no attribute 'foo'"),
    (lambda m: delattr(m, "foo"), AttributeError, "'Linear' object has no attribute 'foo'"),
    (lambda m: nn.Sequential(m).get_submodule("0.x"), AttributeError, "Linear has no attribute `x`"),
    (lambda m: nn.Sequential(m).get_submodule("0.weight"), AttributeError, "`weight` is not an nn.Module"),
    (lambda m: m.get_parameter("in_features"), AttributeError, "`in_features` is not an nn.Parameter"),
    (lambda m: m.get_buffer("weight"), AttributeError, "`weight` is not a buffer"),
    (lambda m: m.set_submodule("", nn.ReLU()), ValueError, "without a target name"),
    (lambda m: m.set_submodule("in_features", nn.ReLU()), AttributeError, "`in_features` is not an nn.Module"),
    (lambda m: m.train(3), ValueError, "training mode is expected to be boolean"),
    (lambda m: m.to(corten.int32), TypeError, "only accepts floating point or complex dtypes"),
    (lambda m: nn.Module()(1), NotImplementedError, 'Module [Module] is missing the required "forward" function'),
    (lambda m: nn.Module(1), TypeError, "takes 1 positional argument but 2 were given"),
    (lambda m: nn.Module(a=1), TypeError, "unexpected keyword argument 'a'"),
    (lambda m: m.load_state_dict(3), TypeError, "Expected state_dict to be dict-like, got <class 'int'>."),
    (lambda m: nn.Parameter(corten.ones(1, dtype=corten.int64)), RuntimeError, "Only Tensors of floating point"),
]


@pytest.mark.parametrize("action, error, message", REGISTRATION_ERRORS)
def test_wrong_use_names_what_is_wrong(action, error, message):
    with pytest.raises(error) as caught:
        action(nn.Linear(1, 1))
    # str() of a KeyError is the repr of its message.
    assert message in caught.value.args[0]


@pytest.mark.parametrize(
    "value, kind",
    [(nn.Linear, "module"), (lambda *a: nn.Parameter(corten.ones(1)), "parameters")],
)
def test_assignment_before_init_is_refused(value, kind):
    class Early(nn.Module):
        def __init__(self):
            self.part = value(1, 1)

    with pytest.raises(AttributeError, match=re.escape(f"cannot assign {kind} before Module.__init__() call")):
        Early()


def test_state_is_loaded_back_and_every_difference_is_listed():
    first, second = Net(), Net()
    assert repr(second.load_state_dict(first.state_dict())) == "<All keys matched successfully>"
    for mine, other in zip(first.parameters(), second.parameters()):
        np.testing.assert_array_equal(values(mine), values(other))
    assert first.state_dict()._metadata["tail"] == {"version": 1}

    state = OrderedDict(first.state_dict())
    del state["scale"]
    state["layer.weight"] = corten.ones(1, 2)
    state["foo.bar"] = corten.ones(1)
    with pytest.raises(RuntimeError) as caught:
        second.load_state_dict(state)
    size = type(corten.ones(1).shape)
    assert str(caught.value) == (
        "Error(s) in loading state_dict for Net:\n"
        '\tMissing key(s) in state_dict: "scale". \n'
        '\tUnexpected key(s) in state_dict: "foo.bar". \n'
        f"\tsize mismatch for layer.weight: copying a param with shape {size([1, 2])} from checkpoint, "
        f"the shape in current model is {size([3, 2])}."
    )
    state["layer.weight"] = first.layer.weight
    incompatible = second.load_state_dict(state, strict=False)
    assert incompatible.missing_keys == ["scale"] and incompatible.unexpected_keys == ["foo.bar"]
    with pytest.raises(RuntimeError, match='While copying the parameter named "scale", expected'):
        second.load_state_dict({**first.state_dict(), "scale": 3})


def test_assign_takes_the_tensors_themselves():
    net = nn.Linear(2, 3)
    state = {"weight": corten.ones(3, 2, dtype=corten.float16), "bias": corten.zeros(3, dtype=corten.float16)}
    net.load_state_dict(state, assign=True)
    assert isinstance(net.weight, nn.Parameter) and net.weight.dtype == corten.float16
    state["weight"][0, 0] = 5.0
    assert net.weight[0, 0].item() == 5.0


def test_the_state_shares_memory_and_keep_vars_keeps_the_parameters():
    net = nn.Linear(2, 3)
    net.state_dict()["weight"].zero_()
    assert not values(net.weight).any()
    assert net.state_dict(keep_vars=True)["weight"] is net.weight
    assert not net.state_dict()["weight"].requires_grad
    assert list(net.state_dict(prefix="a.")) == ["a.weight", "a.bias"]


def test_extra_state_travels_with_the_state():
    class Counter(nn.Module):
        count = 3

        def get_extra_state(self):
            return {"count": self.count}

        def set_extra_state(self, state):
            self.count = state["count"]

    model = nn.Sequential(Counter())
    model[0].count = 8
    state = model.state_dict()
    assert state["0._extra_state"] == {"count": 8}
    fresh = nn.Sequential(Counter())
    fresh.load_state_dict(state)
    assert fresh[0].count == 8
    with pytest.raises(RuntimeError, match=r'Missing key.*"0\._extra_state"'):
        fresh.load_state_dict({})


def test_state_dict_hooks_see_and_change_the_state():
    net, seen = nn.Sequential(nn.Linear(1, 1)), []
    net[0].register_state_dict_pre_hook(lambda module, prefix, keep_vars: seen.append((prefix, keep_vars)))
    handle = net.register_state_dict_post_hook(lambda module, state, prefix, metadata: state.update(extra=1))
    assert net.state_dict()["extra"] == 1 and seen == [("0.", False)]
    handle.remove()
    assert "extra" not in net.state_dict()

    def rename(module, state, prefix, metadata, strict, missing, unexpected, errors):
        state[prefix + "weight"] = state.pop(prefix + "old")

    net[0].register_load_state_dict_pre_hook(rename)
    net.register_load_state_dict_post_hook(lambda module, keys: keys.unexpected_keys.clear())
    net.load_state_dict({"0.old": corten.ones(1, 1), "0.bias": corten.ones(1), "foo": 1})
    assert net[0].weight.item() == 1


def test_forward_hooks_run_in_order_and_replace_values():
    net, calls = Net(), []
    x = corten.ones(1, 2)
    plain = values(net(x))
    net.register_forward_pre_hook(lambda module, args: calls.append("pre"))
    net.register_forward_pre_hook(lambda module, args: calls.append("first"), prepend=True)
    kwargs_hook = net.register_forward_pre_hook(
        lambda module, args, kwargs: (args, {**kwargs, "shift": 1.0}), with_kwargs=True
    )
    net.register_forward_hook(lambda module, args, output: calls.append("post"))
    doubled = net.register_forward_hook(
        lambda module, args, kwargs, output: output * kwargs["shift"] * 2, with_kwargs=True
    )
    shifted = values(net(x))
    assert calls == ["first", "pre", "post"]
    doubled.remove()
    np.testing.assert_allclose(values(net(x)) * 2, shifted)
    kwargs_hook.remove()
    np.testing.assert_allclose(values(net(x)), plain)
    with net.register_forward_pre_hook(lambda module, args: args[0] * 0):
        np.testing.assert_allclose(values(net(x)), values(net(x * 0)))
    np.testing.assert_allclose(values(net(x)), plain)
    net.register_forward_pre_hook(lambda module, args, kwargs: 3, with_kwargs=True)
    with pytest.raises(RuntimeError, match=r"must return None or a tuple of \(new_args, new_kwargs\), but got 3"):
        net(x)


def test_an_always_called_hook_runs_after_a_failure():
    net, calls = nn.Linear(2, 2), []
    net.register_forward_hook(lambda module, args, output: calls.append(output), always_call=True)
    with pytest.raises(RuntimeError):
        net(corten.ones(1, 3))
    assert calls == [None]


def test_backward_hooks_see_and_change_gradients():
    net, seen = nn.Linear(2, 3), []
    net.register_full_backward_pre_hook(lambda module, grad_output: (grad_output[0] * 2,))
    net.register_full_backward_hook(lambda module, grad_input, grad_output: seen.append((grad_input, grad_output)))
    net.register_full_backward_hook(lambda module, grad_input, grad_output: (grad_input[0] * 10,))
    x = corten.ones(1, 2, requires_grad=True)
    net(x).sum().backward()
    (grad_input,), (grad_output,) = seen[0]
    np.testing.assert_allclose(values(grad_output), np.full((1, 3), 2.0))
    expected = 2 * values(net.weight).sum(0, keepdims=True)
    np.testing.assert_allclose(values(grad_input), expected, rtol=1e-6)
    np.testing.assert_allclose(values(x.grad), 10 * expected, rtol=1e-6)
    np.testing.assert_allclose(values(net.weight.grad), np.full((3, 2), 2.0))


def test_backward_hooks_of_wrong_shape_are_refused():
    net = nn.Linear(1, 1)
    handle = net.register_full_backward_hook(lambda module, grad_input, grad_output: (None, None))
    with pytest.raises(RuntimeError, match="invalid number of grad_input, got 2, but expected 1"):
        net(corten.ones(1, 1, requires_grad=True)).sum().backward()
    with pytest.raises(RuntimeError, match="Cannot use both regular backward hooks and full backward hooks"):
        net.register_backward_hook(lambda *args: None)
    handle.remove()
    net.register_full_backward_hook(lambda module, grad_input, grad_output: None)
    with pytest.warns(UserWarning, match="no inputs require gradients"):
        net(corten.ones(1, 1)).sum().backward()


def test_global_hooks_apply_to_every_module():
    from corten.nn.modules import module as registry

    names = []
    with registry.register_module_forward_hook(lambda module, args, output: names.append(type(module).__name__)):
        Net()(corten.ones(1, 2))
    assert names == ["Linear", "ReLU", "Linear", "Sequential", "Net"]
    registered = []
    with registry.register_module_parameter_registration_hook(lambda m, name, p: registered.append(name)):
        nn.Linear(1, 1)
    assert registered == ["weight", "bias"]
    names.clear()
    Net()(corten.ones(1, 2))
    assert names == []


def test_modes_gradients_and_apply():
    net = Net()
    assert net.eval() is net and not net.tail[0].training
    net.train()
    assert net.tail[1].training
    net(corten.ones(1, 2)).sum().backward()
    net.zero_grad(set_to_none=False)
    assert not values(net.scale.grad).any()
    net.zero_grad()
    assert net.scale.grad is None
    net.requires_grad_(False)
    assert not any(param.requires_grad for param in net.parameters())
    visited = []
    net.apply(lambda module: visited.append(type(module).__name__))
    assert visited == ["Linear", "ReLU", "Linear", "Sequential", "Net"]


@pytest.mark.cpu
def test_conversions_keep_the_parameter_objects():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    weight = net[0].weight
    net(corten.ones(3, 2)).sum().backward()
    assert net.double() is net
    assert net[0].weight is weight and weight.dtype == corten.float64
    assert weight.grad.dtype == corten.float64 and net[1].running_mean.dtype == corten.float64
    assert net[1].num_batches_tracked.dtype == corten.int64
    assert net.to(corten.float16)[0].bias.dtype == corten.float16
    assert net.to("cpu", corten.float32)[0].bias.dtype == corten.float32
    assert net.to(corten.ones(1, dtype=corten.float64))[0].bias.dtype == corten.float64
    assert net.bfloat16()[0].bias.dtype == corten.bfloat16
    assert net.half()[0].bias.dtype == corten.float16
    assert net.float().cpu()[0].bias.dtype == corten.float32
    assert all(param.is_leaf and param.requires_grad for param in net.parameters())
    with pytest.raises(TypeError, match="unexpected keyword argument 'foo'"):
        net.to(foo=1)


def test_copies_and_pickles_are_independent_and_equal():
    net = Net()
    net.scale.tag = "kept"
    net.layer.weight.requires_grad_(False)
    net.tail[1] = nn.LSTM(3, 1)
    net.tail.append(nn.Identity())
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert list(other.state_dict()) == list(net.state_dict())
        assert isinstance(other.scale, nn.Parameter) and other.scale is not net.scale
        assert not other.layer.weight.requires_grad
        assert other.tail[1]._flat_weights[0] is other.tail[1].weight_ih_l0
        with corten.no_grad():
            other.scale.fill_(7)
        assert net.scale[0].item() == 1


def test_a_parameter_is_a_leaf_that_shares_its_data():
    data = corten.zeros(3)
    param = nn.Parameter(data)
    data[0] = 4.0
    assert float(param[0].detach()) == 4 and param.requires_grad and param.is_leaf
    assert isinstance(param, corten.Tensor) and type(param * 1) is corten.Tensor
    assert repr(param).startswith("Parameter containing:\ntensor([4., 0., 0.]")
    assert nn.Parameter().numel() == 0
    frozen = nn.Parameter(corten.ones(2, dtype=corten.int64), requires_grad=False)
    assert frozen.dtype == corten.int64


def test_modules_print_as_a_tree():
    model = nn.Sequential(
        OrderedDict(conv=nn.Conv2d(1, 2, 3, padding="same"), blocks=nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Tanh()]))
    )
    model.add_module("none", None)
    assert repr(model) == (
        "Sequential(\n"
        "  (conv): Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1), padding=same)\n"
        "  (blocks): ModuleList(\n"
        "    (0-1): 2 x ReLU()\n"
        "    (2): Tanh()\n"
        "  )\n"
        "  (none): None\n"
        ")"
    )
    assert repr(nn.ModuleDict()) == "ModuleDict()"


def test_sequential_behaves_like_a_list():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    assert len(model) == 3 and isinstance(model[-1], nn.Linear) and list(model[:2]) == [model[0], model[1]]
    assert isinstance(model.pop(1), nn.ReLU) and [name for name, _ in model.named_children()] == ["0", "1"]
    model.insert(1, nn.Tanh()).append(nn.Identity())
    model += nn.Sequential(nn.Sigmoid())
    assert [type(module).__name__ for module in model] == ["Linear", "Tanh", "Linear", "Identity", "Sigmoid"]
    del model[-2:]
    assert len(model * 2) == 6 and len(model + model) == 6
    assert tuple(model(corten.ones(4, 2)).shape) == (4, 1)
    for action, error in (
        (lambda: model[9], IndexError),
        (lambda: model["0"], TypeError),
        (lambda: model * 0, ValueError),
        (lambda: model + 3, ValueError),
        (lambda: model.append(3), TypeError),
        (lambda: model.insert(9, nn.ReLU()), IndexError),
    ):
        with pytest.raises(error):
            action()


def test_module_lists_and_dicts():
    modules = nn.ModuleList([nn.ReLU()])
    modules.extend([nn.Tanh(), nn.Sigmoid()])
    modules.insert(0, nn.Identity())
    modules[1] = nn.GELU()
    del modules[-1]
    assert [type(module).__name__ for module in modules] == ["Identity", "GELU", "Tanh"]
    with pytest.raises(NotImplementedError):
        modules(1)
    with pytest.raises(TypeError, match="should be called with an iterable"):
        modules.extend(3)
    named = nn.ModuleDict({"b": nn.ReLU(), "a": nn.Tanh()})
    named.update([("c", nn.Sigmoid())])
    assert list(named) == ["b", "a", "c"] and "a" in named and isinstance(named.pop("a"), nn.Tanh)
    with pytest.raises(KeyError, match="already exists"):
        nn.ModuleDict({"keys": nn.ReLU()})


def test_parameter_lists_and_dicts():
    plain = nn.ParameterList([corten.ones(2), nn.Parameter(corten.zeros(1)), 3])
    assert isinstance(plain[0], nn.Parameter) and plain[2] == 3 and len(plain[:2]) == 2
    assert list(plain.state_dict()) == ["0", "1"]
    plain += [corten.ones(4)]
    assert len(plain) == 4 and len(list(plain.parameters())) == 3
    assert [p.numel() for p in nn.ParameterList(corten.ones(n) for n in (1, 2)).extend(iter([corten.ones(3)]))] == [
        1,
        2,
        3,
    ]
    for wrong in (3, corten.ones(2)):
        with pytest.raises(TypeError, match="should be called with an iterable"):
            nn.ParameterList(wrong)
    with pytest.raises(RuntimeError, match="should not be called"):
        plain(1)
    named = nn.ParameterDict({"b": corten.ones(2), "a": corten.ones(1)})
    assert list(named) == ["a", "b"] and list(named.state_dict()) == ["a", "b"]
    merged = named | {"c": corten.ones(3)}
    assert list(merged) == ["a", "b", "c"] and merged.get("x", 1) == 1
    assert merged.setdefault("d", 5) == 5 and merged.popitem() == ("d", 5)
    with pytest.raises(TypeError, match="cannot be used as a key"):
        named[3] = corten.ones(1)


def test_compile_replaces_the_call(monkeypatch):
    net = nn.Linear(2, 2)
    compiled = []
    monkeypatch.setattr(corten, "compile", lambda fn, **options: compiled.append(options) or fn, raising=False)
    net.compile(dynamic=True)
    assert compiled == [{"dynamic": True}] and tuple(net(corten.ones(1, 2)).shape) == (1, 2)
    assert copy.deepcopy(net)._compiled_call_impl is None


def test_an_empty_copy_is_made_without_drawing():
    state = corten.get_rng_state()
    module = nn.utils.skip_init(nn.Linear, 3, 2)
    assert state.tolist() == corten.get_rng_state().tolist() and tuple(module.weight.shape) == (2, 3)
    # As in PyTorch: on the CPU, whatever the default device is.
    assert module.weight.device.type == "cpu" and isinstance(module.weight, nn.Parameter)


# -- parameters without a shape --------------------------------------------------------------------------------------

USES = {
    "+": lambda p: p + 1,
    "1 +": lambda p: 1 + p,
    "==": lambda p: p == 0,
    "@": lambda p: p @ p,
    "-": lambda p: -p,
    "[0]": lambda p: p[0],
    "[0] =": lambda p: p.__setitem__(0, 1.0),
    "iter": list,
    "bool": bool,
    "float": float,
    "detach": lambda p: p.detach(),
    "clone": lambda p: p.clone(),
    "view": lambda p: p.view(-1),
    "add_": lambda p: p.add_(1),
    "sum": lambda p: p.sum(),
    "dim": lambda p: p.dim(),
    "numel": lambda p: p.numel(),
    "stride": lambda p: p.stride(),
    "item": lambda p: p.item(),
    "tolist": lambda p: p.tolist(),
    "numpy": lambda p: p.numpy(),
    "storage": lambda p: p.untyped_storage(),
    "backward": lambda p: p.backward(),
    "register_hook": lambda p: p.register_hook(print),
    "requires_grad_": lambda p: p.requires_grad_(False),
    "function": lambda p: corten.mm(p, p),
    "list": lambda p: corten.cat([corten.ones(1), p]),
    "like": lambda p: corten.zeros_like(p),
    "linear": lambda p: nn.functional.linear(corten.ones(1, 2), p),
    "composite": lambda p: nn.functional.dropout(p),
    "equal": lambda p: corten.equal(p, p),
    "init": lambda p: nn.init.xavier_uniform_(p),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("kind", [nn.UninitializedParameter, nn.UninitializedBuffer])
def test_what_needs_a_shape_raises_before_there_is_one(use, kind):
    with pytest.raises(ValueError, match="Attempted to use an uninitialized parameter in"):
        USES[use](kind())
    filled = kind()
    filled.materialize((1,))
    assert type(filled) is kind.cls_to_become and (filled.detach() * 0 + 1).tolist() == [1]


def test_what_needs_no_shape_works_before_there_is_one():
    parameter = nn.UninitializedParameter(dtype=corten.float16)
    assert parameter.dtype == corten.float16 and parameter.device.type == corten.ones(1).device.type
    assert parameter.requires_grad and parameter.is_leaf and parameter.grad is None and parameter.is_floating_point()
    for copied in (copy.copy(parameter), copy.deepcopy(parameter), pickle.loads(pickle.dumps(parameter))):
        assert type(copied) is nn.UninitializedParameter and copied.dtype == corten.float16 and copied is not parameter
    model = nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d()).half().float()
    corten.optim.SGD(model.parameters(), lr=0.1)
    assert all(nn.parameter.is_lazy(value) for value in model[0].state_dict().values())
    other = nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d())
    other.load_state_dict(model.state_dict())
    assert nn.parameter.is_lazy(other[1].running_mean)
    other.load_state_dict(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).state_dict())
    assert other[0].weight.shape == (3, 2) and other(corten.ones(2, 2)).shape == (2, 3)
    assert model(corten.ones(4, 5)).shape == (4, 3) and model[0].weight.dtype == corten.float32


def test_files_hold_parameters_without_a_shape():
    buffer = io.BytesIO()
    corten.save(nn.LazyBatchNorm1d(dtype=corten.float16).state_dict(), buffer)
    buffer.seek(0)
    found = corten.load(buffer, weights_only=False)
    assert type(found["weight"]) is nn.UninitializedParameter and found["weight"].dtype == corten.float16
    assert type(found["running_mean"]) is nn.UninitializedBuffer
