"""Groups of parameters, frozen layers and new heads."""

from __future__ import annotations

import copy

import corten
import numpy as np
import pytest
from corten import nn
from corten.training import freeze, parameter_groups, replace_head, unfreeze


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU()),
        nn.ModuleDict({"attend": nn.MultiheadAttention(4, 2), "norm": nn.LayerNorm((4, 4))}),
        nn.Embedding(3, 4),
        nn.Linear(4, 2),
    )


def names_of(groups, decayed: bool) -> set[str]:
    return {name for group in groups if (group["weight_decay"] > 0) == decayed for name, _ in group["params"]}


def test_decay_is_for_weights_alone():
    groups = parameter_groups(network(), weight_decay=0.1)
    assert names_of(groups, True) == {
        "0.0.weight", "1.attend.in_proj_weight", "1.attend.out_proj.weight", "2.weight", "3.weight"
    }  # fmt: skip
    # The norm's weight is a matrix here, and is left out for what it belongs to.
    assert {"1.norm.weight", "0.1.weight", "3.bias"} < names_of(groups, False)
    assert sum(len(group["params"]) for group in groups) == len(list(network().parameters()))
    assert "2.weight" in names_of(parameter_groups(network(), weight_decay=0.1, no_decay="2"), False)
    bias = parameter_groups(network(), weight_decay=0.1, no_decay=lambda name, value: value.shape[0] == 12)
    assert "1.attend.in_proj_weight" in names_of(bias, False)


def test_an_optimizer_takes_the_groups_with_names():
    model = network()
    optimizer = corten.optim.AdamW(parameter_groups(model, lr=0.5, weight_decay=0.1), lr=9.0)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
    assert {group["lr"] for group in optimizer.param_groups} == {0.5}
    named = {name: p for group in optimizer.param_groups for name, p in zip(group["param_names"], group["params"])}
    assert all(named[name] is parameter for name, parameter in model.named_parameters())


def test_rates_fall_towards_the_input():
    groups = parameter_groups(network(), lr=1.0, layer_decay=0.5)
    rates = {name: group["lr"] for group in groups for name, _ in group["params"]}
    # Layers: the convolution, its norm, attention, its norm, the embedding, the head.
    assert rates["0.0.weight"] == rates["0.0.bias"] == 0.5**5 and rates["0.1.weight"] == 0.5**4
    assert rates["1.attend.in_proj_weight"] == rates["1.attend.out_proj.bias"] == 0.5**3
    assert rates["2.weight"] == 0.5 and rates["3.weight"] == rates["3.bias"] == 1.0
    named = parameter_groups(network(), lr=1.0, layer_decay=0.5, layers=["0", ["1", "2"], "3"])
    rates = {name: group["lr"] for group in named for name, _ in group["params"]}
    assert (rates["0.1.bias"], rates["2.weight"], rates["3.bias"]) == (0.25, 0.5, 1.0)


def test_groups_leave_out_what_is_frozen():
    model = network()
    freeze(model, ["0", "1", "2"])
    assert [name for group in parameter_groups(model) for name, _ in group["params"]] == ["3.weight", "3.bias"]


def test_wrong_groups_are_told():
    model = network()
    with pytest.raises(ValueError, match="layer_decay needs lr"):
        parameter_groups(model, layer_decay=0.5)
    with pytest.raises(ValueError, match=r"none of the layers \['0'\] has the parameter '1\.attend\.in_proj_weight'"):
        parameter_groups(model, lr=1.0, layer_decay=0.5, layers=["0"])
    freeze(model)
    with pytest.raises(ValueError, match="no parameter of the model requires a gradient"):
        parameter_groups(model)


def statistics(model) -> np.ndarray:
    return model[0][1].running_mean.cpu().numpy().copy()


def test_frozen_layers_and_their_statistics_stand_still_until_unfrozen():
    model = network()
    assert freeze(model, "0") == ["0.0.weight", "0.0.bias", "0.1.weight", "0.1.bias"]
    assert not any(parameter.requires_grad for parameter in model[0].parameters()) and model[3].weight.requires_grad
    for one in (model, copy.deepcopy(model)):
        one.train()
        one[0](corten.randn(8, 1, 4, 4) + 3)
        assert not statistics(one).any()
    unfreeze(model)
    model[0](corten.randn(8, 1, 4, 4) + 3)
    assert statistics(model).any() and all(parameter.requires_grad for parameter in model.parameters())


def test_patterns_name_parameters_modules_or_ask_a_function():
    model = network()
    assert freeze(model, "*.bias") == [name for name, _ in model.named_parameters() if name.endswith(".bias")]
    unfreeze(model)
    assert freeze(model, "[0-2]") == [name for name, _ in model.named_parameters() if name[0] != "3"]
    unfreeze(model)
    assert freeze(model, lambda name, value: value.dim() == 4) == ["0.0.weight"]
    with pytest.raises(ValueError, match=r"freeze: no parameter matches 'tail'; there are \['0\.0\.weight'"):
        freeze(model, "tail")
    with pytest.raises(TypeError, match="a pattern is a string"):
        unfreeze(model, [3])


def test_a_norm_that_learns_goes_on_counting():
    model = network()
    freeze(model, "0.0")
    model[0](corten.randn(8, 1, 4, 4) + 3)
    assert statistics(model).any()


def test_a_new_head_has_the_old_ones_inputs():
    model = network()
    old = model[3]
    head = replace_head(model, 7)
    assert model[3] is head and head is not old and head.weight.shape == (7, 4) and head.bias is not None
    nested = nn.ModuleDict({"features": nn.Conv2d(1, 8, 3), "end": nn.Sequential(nn.Conv2d(8, 5, 1, bias=False))})
    head = replace_head(nested.eval(), 3)
    assert nested["end"][0] is head and head.weight.shape == (3, 8, 1, 1) and head.bias is None and not head.training
    two = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))
    assert replace_head(two, 9, name="0").weight.shape == (9, 2)
    with pytest.raises(ValueError, match=r"'features' is no Linear and no convolution .*; there are \['end\.0'\]"):
        replace_head(nested, 3, name="features")
