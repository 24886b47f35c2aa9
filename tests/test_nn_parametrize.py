"""Parametrizations and pruning: what a module's tensors are computed from, its state, and how they come back."""

from __future__ import annotations

import copy
import pickle

import corten
import pytest
from corten import nn
from corten.nn.utils import parametrizations, parametrize, prune


class Symmetric(nn.Module):
    def forward(self, x):
        return x.triu() + x.triu(1).mT

    def right_inverse(self, a):
        return a.triu()


class Doubled(nn.Module):
    def forward(self, x):
        return 2 * x

    def right_inverse(self, y):
        return y / 2


class Product(nn.Module):
    """A matrix as a product of two, of rank one."""

    def forward(self, a, b):
        return a @ b

    def right_inverse(self, w):
        return w[:, :1].clone(), w[:1].clone()


class Widened(nn.Module):
    def forward(self, x):
        return corten.cat([x, x])


def orthonormal(w):
    w = w if w.shape[-2] >= w.shape[-1] else w.mT
    return corten.allclose(w.mT @ w, corten.eye(w.shape[-1]), atol=1e-5)


def test_a_parametrized_weight_is_computed_from_what_is_trained():
    layer = nn.Linear(3, 3)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    assert corten.equal(layer.weight, layer.weight.mT)
    assert list(layer.state_dict()) == ["bias", "parametrizations.weight.original"]
    assert [name for name, _ in layer.named_parameters()] == ["bias", "parametrizations.weight.original"]
    assert type(layer).__name__ == "ParametrizedLinear" and isinstance(layer, nn.Linear)
    assert parametrize.type_before_parametrizations(layer) is nn.Linear
    layer(corten.ones(2, 3)).sum().backward()
    assert layer.parametrizations.weight.original.grad.tril(-1).abs().sum() == 0
    assert parametrize.is_parametrized(layer) and parametrize.is_parametrized(layer, "weight")
    assert not parametrize.is_parametrized(layer, "bias") and not parametrize.is_parametrized(nn.ReLU())


def test_assigning_goes_through_the_inverses_of_all_functions():
    layer = nn.Linear(2, 2)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    parametrize.register_parametrization(layer, "weight", Doubled())
    value = corten.tensor([[2.0, 4.0], [4.0, 6.0]])
    layer.weight = value
    assert corten.equal(layer.weight, value)
    assert layer.parametrizations.weight.original.tolist() == [[1.0, 2.0], [0.0, 3.0]]
    layer.parametrizations.weight.original.requires_grad_()
    assert layer.weight.requires_grad


def test_registering_keeps_the_value_where_functions_have_inverses():
    layer = nn.Linear(3, 3)
    before = layer.weight.detach().clone()
    parametrize.register_parametrization(layer, "weight", Doubled())
    assert corten.allclose(layer.weight, before)
    assert layer.parametrizations.weight.original.requires_grad


def test_one_tensor_may_come_from_several():
    layer = nn.Linear(3, 2, bias=False)
    parametrize.register_parametrization(layer, "weight", Product())
    assert list(layer.state_dict()) == ["parametrizations.weight.original0", "parametrizations.weight.original1"]
    assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in layer.parameters())
    with pytest.raises(ValueError, match="Cannot leave unparametrized"):
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    value = layer.weight.detach()
    parametrize.remove_parametrizations(layer, "weight")
    assert isinstance(layer.weight, nn.Parameter) and corten.equal(layer.weight, value)


def test_buffers_are_parametrized_too():
    norm = nn.BatchNorm1d(3)
    parametrize.register_parametrization(norm, "running_var", Doubled())
    assert norm.running_var.tolist() == [1.0, 1.0, 1.0]
    assert "parametrizations.running_var.original" in dict(norm.named_buffers())


@pytest.mark.parametrize("kept", [True, False])
def test_removing_leaves_the_value_or_the_original(kept):
    layer = nn.Linear(3, 3)
    original = layer.weight
    parametrize.register_parametrization(layer, "weight", Symmetric())
    value = layer.weight if kept else original.detach().clone()
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=kept)
    assert type(layer) is nn.Linear and layer.weight is original and corten.equal(layer.weight, value)
    assert not hasattr(layer, "parametrizations")
    with pytest.raises(ValueError, match="does not have a parametrization on weight"):
        parametrize.remove_parametrizations(layer, "weight")


def test_a_block_computes_each_tensor_once():
    calls = []

    class Counted(nn.Module):
        def forward(self, x):
            calls.append(1)
            return x * 1

    layer = nn.Linear(2, 2)
    parametrize.register_parametrization(layer, "weight", Counted())
    calls.clear()
    with parametrize.cached():
        assert layer.weight is layer.weight
        layer(corten.ones(1, 2))
    assert len(calls) == 1
    assert layer.weight is not layer.weight and len(calls) == 3


def test_functions_may_not_change_shape_or_dtype_unless_told():
    with pytest.raises(ValueError, match="may not change the shape"):
        parametrize.register_parametrization(nn.Linear(2, 2), "weight", Widened())
    layer = nn.Linear(2, 2)
    parametrize.register_parametrization(layer, "weight", Widened(), unsafe=True)
    assert layer.weight.shape == (4, 2)
    with pytest.raises(ValueError, match="does not have a parameter, a buffer, or a parametrized element"):
        parametrize.register_parametrization(nn.Linear(2, 2), "gain", Doubled())
    layer = nn.Linear(2, 2)
    parametrize.register_parametrization(layer, "weight", nn.Identity())
    with pytest.raises(ValueError, match="may not change the shape"):
        parametrize.register_parametrization(layer, "weight", Widened())
    with pytest.raises(RuntimeError, match="Identity does not implement right_inverse"):
        layer.weight = corten.ones(2, 2)


def test_copies_have_parameters_of_their_own_and_pickles_are_refused():
    layer = nn.Linear(3, 3)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    copied = copy.deepcopy(layer)
    with corten.no_grad():
        copied.parametrizations.weight.original.zero_()
    assert copied.weight.abs().sum() == 0 and layer.weight.abs().sum() > 0
    with pytest.raises(RuntimeError, match="only supported through state_dict"):
        pickle.dumps(layer)


def test_functions_and_originals_move_to_another_module():
    source, target = nn.Linear(3, 3), nn.Linear(3, 3)
    parametrize.register_parametrization(source, "weight", Symmetric())
    parametrize.transfer_parametrizations_and_params(source, target)
    assert corten.equal(source.weight, target.weight)
    assert target.parametrizations.weight.original is source.parametrizations.weight.original


# -- ready ones ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5)])
@pytest.mark.parametrize("trivial", [True, False])
@pytest.mark.parametrize("name", ["matrix_exp", "cayley", "householder"])
def test_orthogonal_weights_stay_orthogonal_while_they_are_trained(name, trivial, shape):
    layer = nn.Linear(*shape)
    parametrizations.orthogonal(layer, orthogonal_map=name, use_trivialization=trivial)
    optimizer = corten.optim.SGD(layer.parameters(), lr=0.3)
    before = layer.weight.detach()
    for _ in range(3):
        optimizer.zero_grad()
        layer(corten.randn(6, shape[0])).square().sum().backward()
        (layer.weight * corten.randn(shape[::-1])).sum().backward()
        optimizer.step()
        assert orthonormal(layer.weight)
    assert not corten.allclose(layer.weight, before, atol=1e-3)


@pytest.mark.parametrize("name, trivial", [("matrix_exp", True), ("cayley", True), ("householder", False)])
def test_an_orthogonal_matrix_that_is_assigned_is_the_weight(name, trivial):
    for shape in ((4, 4), (5, 3), (3, 5)):
        layer = nn.Linear(*shape)
        parametrizations.orthogonal(layer, orthogonal_map=name, use_trivialization=trivial)
        value = nn.init.orthogonal_(corten.empty(shape[::-1]))
        layer.weight = value
        assert corten.allclose(layer.weight, value, atol=1e-6)
    with pytest.raises(ValueError, match="Expected a matrix or batch of matrices of shape"):
        layer.weight = corten.ones(2, 2)


def test_orthogonal_says_what_it_cannot_do():
    layer = nn.Linear(3, 4)
    with pytest.raises(ValueError, match="has no parameter or buffer"):
        parametrizations.orthogonal(layer, "gain")
    with pytest.raises(ValueError, match="Got a tensor of 1 dimensions"):
        parametrizations.orthogonal(layer, "bias")
    with pytest.raises(ValueError, match="orthogonal_map has to be one of"):
        parametrizations.orthogonal(layer, orthogonal_map="polar")
    parametrizations.orthogonal(layer, orthogonal_map="cayley", use_trivialization=False)
    with pytest.raises(NotImplementedError, match="use_trivialization=False"):
        layer.weight = corten.ones(4, 3)


def test_spectral_norms_are_one_and_refined_in_training_only():
    layer = parametrizations.spectral_norm(nn.Conv2d(2, 4, 3), n_power_iterations=30)
    layer(corten.ones(1, 2, 3, 3))
    assert corten.linalg.svdvals(layer.weight.flatten(1))[0].item() == pytest.approx(1, abs=1e-4)
    layer.eval()
    vector = layer.parametrizations.weight[0]._u.clone()
    layer(corten.ones(1, 2, 3, 3))
    assert corten.equal(layer.parametrizations.weight[0]._u, vector)
    assert parametrizations.spectral_norm(nn.ConvTranspose1d(2, 4, 3)).parametrizations.weight[0].dim == 1
    with pytest.raises(ValueError, match="n_power_iterations to be positive"):
        parametrizations.spectral_norm(nn.Linear(2, 2), n_power_iterations=0)


def test_states_of_the_old_weight_norm_are_read():
    with pytest.warns(FutureWarning):
        old = nn.utils.weight_norm(nn.Linear(3, 2))
    new = parametrizations.weight_norm(nn.Linear(3, 2))
    new.load_state_dict(old.state_dict())
    x = corten.randn(4, 3)
    assert corten.allclose(new(x), old(x))
    whole = parametrizations.weight_norm(nn.Linear(3, 2), dim=None)
    assert whole.parametrizations.weight.original0.shape == ()


# -- pruning ---------------------------------------------------------------------------------------------------------


def test_pruned_elements_are_the_least_and_get_no_gradient():
    layer = nn.Linear(3, 2, bias=False)
    layer.weight.data = corten.tensor([[1.0, -2.0, 3.0], [-4.0, 5.0, -6.0]])
    original = layer.weight
    prune.l1_unstructured(layer, "weight", 2)
    assert layer.weight.tolist() == [[0, 0, 3], [-4, 5, -6]]
    assert list(layer.state_dict()) == ["weight_orig", "weight_mask"] and layer.weight_orig is original
    layer(corten.ones(1, 3)).sum().backward()
    assert original.grad.tolist() == [[0, 0, 1], [1, 1, 1]]
    prune.l1_unstructured(layer, "weight", amount=0.5)  # half of the four that are left
    assert layer.weight.tolist() == [[0, 0, 0], [0, 5, -6]]
    assert prune.is_pruned(nn.Sequential(layer))
    prune.remove(layer, "weight")
    assert layer.weight is original and original.tolist() == [[0, 0, 0], [0, 5, -6]]
    assert not prune.is_pruned(layer) and list(layer.state_dict()) == ["weight"]


def test_whole_slices_go_by_their_norm():
    layer = nn.Linear(2, 3, bias=False)
    layer.weight.data = corten.tensor([[3.0, 3.0], [1.0, 1.0], [2.0, 9.0]])
    prune.ln_structured(layer, "weight", amount=1, n=2, dim=0)
    assert layer.weight.tolist() == [[3, 3], [0, 0], [2, 9]]
    prune.ln_structured(layer, "weight", amount=1, n=1, dim=0)  # of those that are left
    assert layer.weight.tolist() == [[0, 0], [0, 0], [2, 9]]
    (hook,) = layer._forward_pre_hooks.values()
    assert isinstance(hook, prune.PruningContainer) and len(hook) == 2


def test_random_pruning_takes_as_many_as_it_is_told():
    layer = nn.Linear(10, 8)
    prune.random_unstructured(layer, "weight", 0.25)
    assert int(layer.weight_mask.sum()) == 60
    prune.random_structured(nn.Linear(10, 8), "weight", amount=3, dim=1)
    other = prune.random_structured(nn.Linear(10, 8), "weight", amount=3, dim=1)
    assert int(other.weight_mask.any(0).sum()) == 7


def test_masks_scores_and_identities_are_used_as_they_are_given():
    layer = nn.Linear(2, 2, bias=False)
    prune.identity(layer, "weight")
    assert layer.weight_mask.all()
    prune.custom_from_mask(layer, "weight", corten.tensor([[0, 1], [1, 1]]))
    assert layer.weight_mask.tolist() == [[0, 1], [1, 1]]
    scored = nn.Linear(2, 2, bias=False)
    prune.l1_unstructured(scored, "weight", 1, importance_scores=corten.tensor([[4.0, 3.0], [2.0, 1.0]]))
    assert scored.weight_mask.tolist() == [[1, 1], [1, 0]]


def test_several_parameters_are_pruned_as_one():
    small, large = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
    small.weight.data.fill_(0.1)
    large.weight.data.fill_(3.0)
    pairs = [(small, "weight"), (large, "weight")]
    prune.global_unstructured(pairs, prune.L1Unstructured, amount=0.5)
    assert not small.weight.any() and large.weight.all()
    with pytest.raises(TypeError, match='Only "unstructured" PRUNING_TYPE'):
        prune.global_unstructured(pairs, prune.RandomStructured, amount=0.5)


def test_pruning_refuses_amounts_that_cannot_be():
    layer = nn.Linear(2, 2)
    for amount, error in [("half", TypeError), (-1, ValueError), (1.5, ValueError), (9, ValueError)]:
        with pytest.raises(error, match="amount"):
            prune.l1_unstructured(layer, "weight", amount)
        assert isinstance(layer.weight, nn.Parameter) and set(layer.state_dict()) == {"weight", "bias"}
    with pytest.raises(ValueError, match="multidimensional tensors"):
        prune.ln_structured(layer, "bias", 1, 2, 0)
    with pytest.raises(ValueError, match="has to be pruned before pruning can be removed"):
        prune.remove(layer, "weight")


def test_a_method_of_ones_own_prunes():
    class EverySecond(prune.BasePruningMethod):
        PRUNING_TYPE = "unstructured"

        def compute_mask(self, t, default_mask):
            mask = default_mask.clone()
            mask.view(-1)[::2] = 0
            return mask

    layer = nn.Linear(4, 1, bias=False)
    EverySecond.apply(layer, "weight")
    assert layer.weight_mask.tolist() == [[0, 1, 0, 1]]
    method = prune.L1Unstructured(2)
    assert method.prune(corten.tensor([1.0, -3.0, 2.0])).tolist() == [0, -3, 0]


def test_a_window_set_on_a_parameter_leaves_it_trained():
    parameter = nn.Parameter(corten.ones(2))
    with corten.no_grad():
        parameter.set_(corten.zeros(3))
    assert parameter.requires_grad and parameter.shape == (3,)
