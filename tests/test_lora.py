"""LoRA: what each layer with an adapter computes, merging, saving, and that only adapters learn."""

from __future__ import annotations

import copy
import pickle

import corten
import numpy as np
import pytest
from corten import lora, nn
from corten.models.efficientnet import EfficientNet
from corten.nn import functional as F


class Attention(nn.Module):
    """Attends to itself, or to keys and values of other sizes."""

    def __init__(self, **options) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True, **options)
        self.sizes = options.get("kdim", 8), options.get("vdim", 8)

    def forward(self, query):
        if self.sizes == (8, 8):
            return self.attention(query, query, query, need_weights=False)[0]
        return self.attention(query, query[..., : self.sizes[0]], query[..., : self.sizes[1]])[0]


MODELS = {
    "linear": (lambda: nn.Linear(6, 5), (3, 6)),
    "linear without bias": (lambda: nn.Linear(6, 5, bias=False), (2, 3, 6)),
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, padding=1), (2, 4, 9)),
    "conv 1x1": (lambda: nn.Conv2d(4, 6, 1), (2, 4, 5, 5)),
    "conv 3x3": (lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1, dilation=2), (2, 4, 9, 9)),
    "conv in groups": (lambda: nn.Conv2d(4, 6, (3, 2), groups=2), (2, 4, 6, 6)),
    "depthwise": (lambda: nn.Conv2d(4, 4, 3, groups=4, padding="same", padding_mode="reflect"), (2, 4, 6, 6)),
    "conv3d": (lambda: nn.Conv3d(2, 3, 2), (1, 2, 4, 4, 4)),
    "embedding": (lambda: nn.Embedding(10, 6, padding_idx=2), None),
    "attention": (Attention, (2, 4, 8)),
    "attention of other sizes": (lambda: Attention(kdim=5, vdim=3), (2, 4, 8)),
}


def example(shape) -> corten.Tensor:
    return corten.randint(0, 10, (3, 4)) if shape is None else corten.randn(shape)


def trained(model: nn.Module, **options) -> nn.Module:
    """The model with adapters that are no longer zero."""
    lora.apply(model, **{"rank": 2, "alpha": 3.0, **options})
    with corten.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_" in f".{name}":
                parameter.copy_(corten.randn(parameter.shape))
    return model


def numpy_of(tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().copy()


def close(one, other) -> None:
    np.testing.assert_allclose(numpy_of(one), numpy_of(other), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("name", MODELS)
def test_at_first_the_network_computes_the_same(name):
    make, shape = MODELS[name]
    model, input = make(), example(shape)
    before = numpy_of(model(input))
    assert lora.apply(model, rank=2) is model
    np.testing.assert_array_equal(numpy_of(model(input)), before)


@pytest.mark.parametrize("name", MODELS)
def test_merged_adapters_compute_what_unmerged_ones_do(name):
    make, shape = MODELS[name]
    model, input = make(), example(shape)
    plain = model(input)
    weights = {key: numpy_of(value) for key, value in model.state_dict().items()}
    trained(model)
    adapted = model(input)
    assert (adapted - plain).abs().max().item() > 0.1
    lora.merge(lora.merge(model))
    close(model(input), adapted)
    lora.unmerge(model)
    close(model(input), adapted)
    for key, value in weights.items():
        np.testing.assert_allclose(numpy_of(model.state_dict()[key]), value, rtol=1e-4, atol=1e-5)
    # Merged and removed it is an ordinary layer that computes the same.
    lora.remove(lora.merge(model))
    close(model(input), adapted)
    assert list(model.state_dict()) == list(weights) and "lora" not in repr(model)
    assert [type(module) for module in model.modules()] == [type(module) for module in make().modules()]


def test_the_linear_layer_is_the_papers_formula():
    model, input = nn.Linear(6, 5), corten.randn(3, 6)
    weight, bias = model.weight.detach().clone(), model.bias.detach().clone()
    trained(model, rank=2, alpha=3.0)
    change = 3.0 / 2 * model.lora_B @ model.lora_A
    assert model.lora_A.shape == (2, 6) and model.lora_B.shape == (5, 2)
    close(model(input), F.linear(input, weight + change, bias))


@pytest.mark.parametrize("name", MODELS)
def test_only_adapters_learn_and_all_of_them_do(name):
    make, shape = MODELS[name]
    model, input = trained(make(), dropout=0.25), example(shape)
    model(input).square().sum().backward()
    for key, parameter in model.named_parameters():
        learns = ".lora_" in f".{key}"
        assert parameter.requires_grad == learns == (parameter.grad is not None), key
        if learns:
            assert parameter.grad.abs().max().item() > 0, key


def test_gradients_of_factors_are_those_of_the_sum():
    model, input = trained(nn.Conv2d(4, 6, 3, groups=2)), corten.randn(2, 4, 5, 5)
    model(input).square().sum().backward()
    copies = [model.lora_A.detach().clone().requires_grad_(), model.lora_B.detach().clone().requires_grad_()]
    change = (copies[1].reshape(2, 3, 2) @ copies[0].reshape(2, 2, -1)).reshape(model.weight.shape) * 1.5
    F.conv2d(input, model.weight + change, model.bias, groups=2).square().sum().backward()
    np.testing.assert_allclose(numpy_of(model.lora_A.grad), numpy_of(copies[0].grad), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(numpy_of(model.lora_B.grad), numpy_of(copies[1].grad), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["linear", "conv 3x3", "embedding", "attention"])
def test_dropout_is_of_the_adapter_and_of_training(name):
    make, shape = MODELS[name]
    model, input = trained(make(), dropout=0.5), example(shape)
    one, other = model(input), model(input)
    assert not corten.equal(one, other)
    model.eval()
    assert corten.equal(model(input), model(input))
    model.train()
    lora.merge(model)
    assert corten.equal(model(input), model(input))


def test_attention_adapts_the_projections_that_are_asked_for():
    model = Attention()
    lora.apply(model, rank=2, projections="qv")
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    inputs = [f"attention.lora_{factor}_{letter}" for letter in "qv" for factor in "AB"]
    assert names == [*inputs, "attention.out_proj.lora_A", "attention.out_proj.lora_B"]
    with corten.no_grad():
        model.attention.lora_B_q.fill_(1.0)
    change = model.attention.in_proj_weight - model.attention._parameters["in_proj_weight"]
    assert change[:8].abs().max().item() > 0 and change[8:].abs().max().item() == 0
    only = lora.apply(Attention(), targets="*out_proj")
    assert set(lora.state_dict(only)) == {"attention.out_proj.lora_A", "attention.out_proj.lora_B"}


@pytest.mark.parametrize("targets, chosen", [("0", [0]), (["0", "2"], [0, 2]), (lambda name, module: name == "2", [2])])
def test_targets_are_patterns_or_a_function(targets, chosen):
    model = lora.apply(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4)), rank=1, targets=targets)
    assert [i for i, module in enumerate(model) if type(module) is lora.LoraLinear] == chosen


def test_a_head_goes_on_learning():
    model = lora.apply(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4)), rank=1, targets="0", trainable="1")
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learning == {"0.lora_A", "0.lora_B", "1.weight", "1.bias"}


def test_pointwise_convolutions_of_an_efficientnet_take_adapters():
    model = EfficientNet(0.25, 0.1, num_classes=3, lite=True)
    lora.apply(model, rank=2, targets=["*._expand_conv", "*._project_conv", "_conv_head"], trainable="_fc")
    learning = {name.rpartition(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    # The first block has no expansion.
    blocks = len(model._blocks)
    expected = {f"_blocks.{i}._expand_conv" for i in range(1, blocks)}
    expected |= {f"_blocks.{i}._project_conv" for i in range(blocks)}
    assert learning == expected | {"_conv_head", "_fc"}


def test_adapters_are_saved_alone_and_loaded_into_the_same_network(tmp_path):
    corten.manual_seed(1)
    make = lambda: nn.Sequential(nn.Linear(6, 5), nn.Sequential(nn.Embedding(4, 3)), Attention())  # noqa: E731
    plain = make()
    weights = plain.state_dict()
    first = trained(copy.deepcopy(plain))
    state = lora.state_dict(first)
    assert all(name.rpartition(".")[2].startswith("lora_") for name in state)
    assert len(state) == 2 + 2 + 6 + 2
    corten.save(state, tmp_path / "adapters.pt")
    second = make()
    second.load_state_dict(weights)  # those of the network without adapters
    lora.apply(second, rank=2, alpha=3.0)
    second.load_state_dict(weights, strict=False)
    lora.load_state_dict(second, corten.load(tmp_path / "adapters.pt"))
    input = corten.randn(2, 4, 8)
    assert corten.equal(first[2](input), second[2](input))
    assert corten.equal(first[0](input[..., :6]), second[0](input[..., :6]))
    with pytest.raises(RuntimeError, match=r"missing adapters \['0\.lora_A'\], unexpected ones \['x'\]"):
        lora.load_state_dict(second, {"x": 1, **{k: v for k, v in state.items() if k != "0.lora_A"}})
    with pytest.raises(RuntimeError, match="adapters are merged; unmerge"):
        lora.load_state_dict(lora.merge(second), state)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
@pytest.mark.parametrize("name", ["linear", "attention", "embedding"])
def test_adapted_layers_are_copied_and_pickled(name, duplicate):
    make, shape = MODELS[name]
    model, input = trained(make()), example(shape)
    assert corten.equal(duplicate(model)(input), model(input))


@pytest.mark.cpu
@pytest.mark.parametrize("name", ["linear", "attention"])
def test_adapters_follow_the_layers_dtype(name):
    make, shape = MODELS[name]
    model = trained(make()).double()
    assert model(example(shape).double()).dtype == corten.float64
    assert {value.dtype for value in lora.state_dict(model).values()} == {corten.float64}
    assert {p.dtype for p in lora.apply(make().bfloat16()).parameters()} == {corten.bfloat16}


def test_statistics_of_frozen_norms_stand_still():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    lora.apply(model, rank=1)
    model.train()
    model(corten.randn(4, 1, 3, 3))
    assert model[1].running_mean.abs().max().item() == 0 and model[1].num_batches_tracked.item() == 0


def test_fit_trains_adapters_and_leaves_the_weights():
    model = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1))
    inputs = corten.randn(64, 3)
    target = inputs.sum(1, keepdim=True)
    lora.apply(model, rank=4)
    before = numpy_of(model[0].weight)
    optimizer = corten.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.02)
    history = corten.fit(model, (inputs, target), nn.MSELoss(), optimizer, epochs=30, progress=False)
    assert history["loss"][-1] < history["loss"][0] / 5
    np.testing.assert_array_equal(numpy_of(model[0].weight), before)


def test_a_weight_of_two_layers_is_not_merged():
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 5, bias=False))
    model[1].weight = model[0].weight
    trained(model, targets="0")
    with pytest.raises(RuntimeError, match="a weight of LoraEmbedding is that of another layer"):
        lora.merge(model)


def test_what_is_wrong_is_told():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    for options, words in (
        ({"rank": 0}, "rank has to be a positive integer, but got 0"),
        ({"dropout": 1.0}, r"dropout has to be in \[0, 1\), but got 1.0"),
        ({"targets": "9"}, r"'9' is none of the layers that take an adapter: \['0'\]"),
        ({"projections": "qx"}, "of the letters q, k and v, but got 'qx'"),
    ):
        with pytest.raises(ValueError, match=words):
            lora.apply(model, **options)
    with pytest.raises(TypeError, match="a pattern is a string"):
        lora.apply(model, targets=[3])
    with pytest.raises(ValueError, match="max_norm changes its weights itself"):
        lora.apply(nn.Embedding(3, 2, max_norm=1.0))
    for function in (lora.merge, lora.unmerge, lora.remove):
        with pytest.raises(RuntimeError, match="the model has no adapters"):
            function(model)
    lora.apply(model)
    with pytest.raises(RuntimeError, match="has adapters already"):
        lora.apply(model)
