"""Explanations by the axioms that define them, on networks small enough to know the answer."""

from __future__ import annotations

import doctest
import importlib

import corten
import numpy as np
import pytest
from corten import explain, nn

t = corten.tensor


def network():
    """A small convolutional classifier without parameters' gradients in the way."""
    layers = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(6 * 16, 3),
    )  # fmt: skip
    return layers.eval()


def smooth(x):
    """Nonlinear and smooth, with products of inputs."""
    return x[:, 0] ** 3 + corten.sin(2 * x[:, 1]) * x[:, 2] + x[:, 2]


WEIGHTS = [[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]]


def linear(x):
    return x @ t(WEIGHTS, device=x.device).T


# Methods that give weight times distance from the baseline 0 of a linear model, and what each takes besides.
LINEAR = {
    "InputXGradient": (explain.InputXGradient, {}),
    "IntegratedGradients": (explain.IntegratedGradients, {}),
    "GradientShap": (explain.GradientShap, {"baselines": corten.zeros(1, 3)}),
    "Occlusion": (explain.Occlusion, {"sliding_window_shapes": (1,)}),
}


@pytest.mark.parametrize("name", LINEAR)
def test_linear_models_are_explained_exactly(name):
    method, options = LINEAR[name]
    x = corten.randn(4, 3)
    found = method(linear).attribute(x, target=1, **options)
    np.testing.assert_allclose(found.tolist(), (x * t(WEIGHTS[1])).tolist(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", LINEAR)
def test_attributions_are_linear_in_the_model(name):
    method, options = LINEAR[name]
    x = corten.randn(3, 3)

    def explained(function):
        corten.manual_seed(1)
        return method(function).attribute(x, **options)

    both = explained(lambda x: 2 * smooth(x) - 3 * linear(x)[:, 0])
    apart = 2 * explained(smooth) - 3 * explained(lambda x: linear(x)[:, 0])
    np.testing.assert_allclose(both.tolist(), apart.tolist(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", LINEAR)
def test_inputs_that_do_not_matter_get_nothing_and_those_that_do_get_something(name):
    method, options = LINEAR[name]
    x = corten.rand(3, 3) + 0.5
    found = method(lambda x: x[:, 0] * x[:, 1]).attribute(x, **options)
    assert found[:, 2].abs().max().item() == 0
    assert found[:, :2].abs().min().item() > 0.01


@pytest.mark.parametrize("form", ["int", "tuple", "list", "tensor"])
def test_targets_choose_outputs_in_every_form(form):
    target = {"int": 1, "tuple": (1,), "list": [1, 1], "tensor": t([1, 1])}[form]
    assert explain.Saliency(linear).attribute(corten.ones(2, 3), target, abs=False).tolist() == [WEIGHTS[1]] * 2
    mixed = explain.IntegratedGradients(linear).attribute(corten.ones(2, 3), target=[0, 1])
    np.testing.assert_allclose(mixed.tolist(), WEIGHTS, rtol=1e-5)
    places = explain.Saliency(lambda x: linear(x)[:, None, :].repeat(1, 2, 1)).attribute(corten.ones(2, 3), (1, 0))
    assert places.tolist() == [[1.0, 2.0, 0.5]] * 2


def test_saliency_is_the_gradient_and_leaves_parameters_alone():
    model, x = network(), corten.randn(2, 1, 8, 8)
    leaf = x.clone().requires_grad_()
    model(leaf)[:, 2].sum().backward()
    model.zero_grad(set_to_none=True)
    with corten.no_grad():
        found = explain.Saliency(model).attribute(x, target=2)
    assert corten.allclose(found, leaf.grad.abs())
    assert all(parameter.grad is None for parameter in model.parameters()) and not found.requires_grad


METHODS = ["gausslegendre", "riemann_left", "riemann_middle", "riemann_right", "riemann_trapezoid"]


@pytest.mark.parametrize("method", METHODS)
def test_integrated_gradients_are_complete(method):
    x, baseline = corten.randn(5, 3), corten.randn(1, 3)
    steps = 50 if method == "gausslegendre" else 1000
    found, delta = explain.IntegratedGradients(smooth).attribute(
        x, baseline, n_steps=steps, method=method, return_convergence_delta=True
    )
    difference = smooth(x) - smooth(baseline)
    tolerance = 1e-4 if method not in ("riemann_left", "riemann_right") else 3e-2
    np.testing.assert_allclose(found.sum(1).tolist(), difference.tolist(), atol=tolerance, rtol=tolerance)
    np.testing.assert_allclose(delta.tolist(), (found.sum(1) - difference).tolist(), atol=1e-5)


def test_integrated_gradients_of_a_network_with_kinks_are_complete_and_in_batches_the_same():
    model, x = network(), corten.randn(2, 1, 8, 8)
    method = explain.IntegratedGradients(model)
    found, delta = method.attribute(
        x, target=t([0, 2]), n_steps=200, method="riemann_middle", return_convergence_delta=True
    )
    assert delta.abs().max().item() < 1e-2
    parts = method.attribute(x, target=t([0, 2]), n_steps=200, method="riemann_middle", internal_batch_size=10)
    np.testing.assert_allclose(parts.tolist(), found.tolist(), atol=1e-5)


def test_integrated_gradients_see_what_gradients_miss():
    # Flat at the input: the gradient is 0, though the output has changed since the baseline (sensitivity).
    def step(x):
        return 1 - (1 - x[:, 0]).relu()

    x = t([[2.0]])
    assert explain.Saliency(step).attribute(x).item() == 0
    assert explain.IntegratedGradients(step).attribute(x, n_steps=200).item() == pytest.approx(1, abs=0.02)


def test_networks_that_compute_the_same_get_the_same_integrated_gradients():
    one, other = (lambda x: (x[:, 0] * x[:, 1]).exp()), (lambda x: x[:, 0].mul(x[:, 1]).exp().log().exp())
    x = corten.rand(4, 2)
    pair = [explain.IntegratedGradients(f).attribute(x) for f in (one, other)]
    np.testing.assert_allclose(pair[0].tolist(), pair[1].tolist(), rtol=1e-4)
    # x y e^(xy): both factors are alike, so each gets half.
    np.testing.assert_allclose(pair[0][:, 0].tolist(), ((one(x) - 1) / 2).tolist(), rtol=1e-4)


def test_several_inputs_and_further_arguments_are_explained_together():
    def model(a, b, scale):
        return (a * b.mean(1, keepdim=True)).sum(1) * scale

    a, b, scale = corten.rand(3, 2), corten.rand(3, 4), t([1.0, 2.0, 3.0])
    found, delta = explain.IntegratedGradients(model).attribute(
        (a, b), additional_forward_args=scale, return_convergence_delta=True
    )
    assert found[0].shape == a.shape and found[1].shape == b.shape
    assert delta.abs().max().item() < 1e-4
    np.testing.assert_allclose(found[0].sum(1).tolist(), found[1].sum(1).tolist(), rtol=1e-4)
    occluded = explain.Occlusion(model).attribute((a, b), ((2,), (4,)), additional_forward_args=scale)
    np.testing.assert_allclose(occluded[0][:, 0].tolist(), model(a, b, scale).tolist(), rtol=1e-5)


def test_networks_that_write_into_their_inputs_are_explained_and_inputs_stay():
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 1)).eval()
    x = corten.randn(4, 3)
    before, expected = x.clone(), (x > 0) * model[1].weight.detach()
    found = explain.Saliency(model).attribute(x, abs=False)
    np.testing.assert_allclose(found.tolist(), expected.tolist(), rtol=1e-5)
    lost = explain.Occlusion(model).attribute(x, (1,))
    np.testing.assert_allclose(lost.tolist(), (expected * x).tolist(), rtol=1e-4, atol=1e-6)
    assert corten.equal(x, before)


def test_gradient_shap_sums_to_the_difference_from_the_baselines():
    x, baselines = corten.randn(2, 3), corten.randn(4, 3)
    found, delta = explain.GradientShap(smooth).attribute(x, baselines, n_samples=20000, return_convergence_delta=True)
    difference = smooth(x) - smooth(baselines).mean()
    np.testing.assert_allclose(delta.tolist(), (found.sum(1) - difference).tolist(), atol=1e-4)
    np.testing.assert_allclose(found.sum(1).tolist(), difference.tolist(), atol=0.1)
    # Each example's own target, with baselines that give other outputs.
    _, delta = explain.GradientShap(linear).attribute(
        x, baselines, n_samples=2000, target=[0, 1], return_convergence_delta=True
    )
    assert delta.abs().max().item() < 0.3


def test_gradient_shap_with_one_baseline_nears_integrated_gradients():
    x, baseline = corten.randn(2, 3), corten.randn(1, 3)
    shap = explain.GradientShap(smooth).attribute(x, baseline, n_samples=20000)
    exact = explain.IntegratedGradients(smooth).attribute(x, baseline)
    np.testing.assert_allclose(shap.tolist(), exact.tolist(), atol=0.1)


def test_noise_leaves_linear_models_alone_and_smooths_others():
    x = corten.randn(3, 3)
    smoothed = explain.SmoothGrad(linear).attribute(x, target=0, n_samples=4)
    np.testing.assert_allclose(smoothed.tolist(), [WEIGHTS[0]] * 3, rtol=1e-5)
    # The mean of 3 (x + ε)² is 3 x² + 3 σ².
    cube = explain.SmoothGrad(lambda x: x[:, 0] ** 3).attribute(t([[1.0]]), n_samples=20000, stdevs=0.5)
    assert cube.item() == pytest.approx(3.75, abs=0.1)


def test_noise_tunnels_give_means_squares_and_variances_of_any_method():
    tunnel = explain.NoiseTunnel(explain.Saliency(lambda x: x[:, 0] ** 2))
    x = t([[1.0], [3.0]])
    results = {}
    for kind in ("smoothgrad", "smoothgrad_sq", "vargrad"):
        corten.manual_seed(0)
        results[kind] = tunnel.attribute(
            x, kind, nt_samples=4000, nt_samples_batch_size=1500, stdevs=0.5, abs=False
        ).flatten()
    # The gradient 2 (x + ε) has the variance 4 σ² = 1.
    assert results["smoothgrad"].tolist() == pytest.approx([2, 6], abs=0.1)
    assert results["vargrad"].tolist() == pytest.approx([1, 1], abs=0.15)
    expected = (results["smoothgrad_sq"] - results["smoothgrad"].square()).tolist()
    assert results["vargrad"].tolist() == pytest.approx(expected, abs=1e-3)
    integrated = explain.NoiseTunnel(explain.IntegratedGradients(linear))
    found = integrated.attribute(x.repeat(1, 3), nt_samples=3, stdevs=0.0, target=[0, 1], baselines=x.repeat(1, 3) / 2)
    np.testing.assert_allclose(found.tolist(), (x / 2 * t(WEIGHTS)).tolist(), rtol=1e-5)


def test_occlusion_is_what_the_output_loses_window_by_window():
    model, x = network(), corten.randn(2, 1, 8, 8)
    whole = explain.Occlusion(model).attribute(x, (1, 8, 8), target=1)
    lost = (model(x) - model(corten.zeros(1, 1, 8, 8)))[:, 1]
    np.testing.assert_allclose(whole[:, 0, 3, 4].tolist(), lost.tolist(), rtol=1e-4)
    found = explain.Occlusion(model).attribute(x, (1, 4, 4), strides=(1, 4, 4), target=1, baselines=0.5)
    for row, column in ((0, 0), (0, 4), (4, 0), (4, 4)):
        covered = x.clone()
        covered[:, :, row : row + 4, column : column + 4] = 0.5
        expected = (model(x) - model(covered))[:, 1]
        for place in ((row, column), (row + 3, column + 3)):
            np.testing.assert_allclose(
                found[:, 0, place[0], place[1]].tolist(), expected.tolist(), rtol=1e-3, atol=1e-5
            )
    at_once = explain.Occlusion(model).attribute(
        x, (1, 4, 4), strides=(1, 4, 4), target=1, baselines=0.5, perturbations_per_eval=3
    )
    np.testing.assert_allclose(at_once.tolist(), found.tolist(), atol=1e-5)


def test_windows_that_overlap_or_do_not_fit_cover_every_element():
    # Windows at 0, 2 and 4 of six, the last cut off: means over the windows of each element.
    found = explain.Occlusion(lambda x: x.sum(1)).attribute(t([[1.0, 2, 4, 8, 16]]), (3,), strides=2)
    assert found.tolist() == [[7, 7, (7 + 28) / 2, 28, 28]]


def test_grad_cam_is_the_channels_weighted_by_their_mean_gradients():
    model, x = network(), corten.randn(2, 1, 8, 8)
    found = explain.LayerGradCam(model, model[3]).attribute(x, target=2)
    inner = model[:4](x).detach().requires_grad_()
    # In place of the ReLU that follows: a copy.
    model[4:](inner.clone())[:, 2].sum().backward()
    expected = (inner * inner.grad.mean((2, 3), keepdim=True)).sum(1, keepdim=True)
    np.testing.assert_allclose(found.tolist(), expected.tolist(), rtol=1e-3, atol=1e-6)
    positive = explain.LayerGradCam(model, model[3]).attribute(x, target=2, relu_attributions=True)
    assert corten.equal(positive, found.relu())
    assert explain.LayerGradCam.interpolate(found, (8, 8)).shape == (2, 1, 8, 8)
    assert not model[3]._forward_hooks


def test_grad_cam_of_pooled_channels_sums_to_the_output():
    # Mean pooling and a linear layer: the map is the class's evidence, place by place (Zhou et al. 2016).
    features, head = nn.Conv2d(1, 3, 3, padding=1), nn.Linear(3, 2, bias=False)
    model = nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    x = corten.randn(2, 1, 6, 6)
    found = explain.LayerGradCam(model, features).attribute(x, target=1)
    np.testing.assert_allclose(found.sum((1, 2, 3)).tolist(), model(x)[:, 1].tolist(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("inplace", [False, True])
def test_guided_gradients_pass_what_is_positive_through_every_relu(inplace):
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace), nn.Linear(4, 2))
    x = corten.randn(5, 3)
    hidden = model[0](x)
    behind = model[2].weight[1].expand(5, 4)
    expected = (behind.relu() * (hidden > 0)) @ model[0].weight
    found = explain.GuidedBackprop(model).attribute(x, target=1)
    np.testing.assert_allclose(found.tolist(), expected.tolist(), rtol=1e-4, atol=1e-6)
    assert model[1].inplace is inplace and not model[1]._backward_hooks


def test_guided_grad_cam_is_the_product_of_its_factors():
    model, x = network(), corten.randn(2, 1, 8, 8)
    found = explain.GuidedGradCam(model, model[3]).attribute(x, target=0)
    guided = explain.GuidedBackprop(model).attribute(x, target=0)
    cam = explain.LayerGradCam(model, model[3]).attribute(x, target=0, relu_attributions=True)
    expected = guided * cam.repeat_interleave(2, 2).repeat_interleave(2, 3)
    np.testing.assert_allclose(found.tolist(), expected.tolist(), rtol=1e-4, atol=1e-6)


def test_rollout_multiplies_the_layers_and_keeps_rows_that_sum_to_one():
    first, second = (corten.rand(2, 3, 4, 4).softmax(-1) for _ in range(2))
    rollout = explain.attention_rollout([first, second])
    mixed = [(a.mean(1) + corten.eye(4)) / 2 for a in (first, second)]
    np.testing.assert_allclose(rollout.tolist(), (mixed[1] @ mixed[0]).tolist(), rtol=1e-4)
    for options in ({}, {"head_fusion": "max"}, {"head_fusion": "min"}, {"discard_ratio": 0.5}, {"residual": 0.0}):
        rows = explain.attention_rollout([first, second], **options).sum(-1)
        np.testing.assert_allclose(rows.tolist(), corten.ones(2, 4).tolist(), rtol=1e-5)
    # A layer that attends to itself alone changes nothing.
    still = explain.attention_rollout([first, corten.eye(4).expand(2, 3, 4, 4)])
    np.testing.assert_allclose(still.tolist(), mixed[0].tolist(), rtol=1e-4)
    sharp = explain.attention_rollout([t([[[0.6, 0.3, 0.1]] * 3])], residual=0.0, discard_ratio=0.4)
    np.testing.assert_allclose(sharp[0, 0].tolist(), [2 / 3, 1 / 3, 0], rtol=1e-5)


def test_attention_of_every_layer_is_recorded_and_nothing_else_changes():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
    model = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).eval()
    x = corten.randn(2, 5, 8)
    before = model(x)
    with explain.record_attention(model) as attentions:
        inside = model(x)
    assert [tuple(a.shape) for a in attentions] == [(2, 2, 5, 5)] * 3
    np.testing.assert_allclose(inside.tolist(), before.tolist(), atol=1e-5)
    np.testing.assert_allclose(explain.attention_rollout(attentions).sum(-1).tolist(), [[1.0] * 5] * 2, rtol=1e-5)
    model(x)
    assert len(attentions) == 3
    attention = model.layers[0].self_attn
    values, weights = attention(x, x, x)
    with explain.record_attention(attention):
        again = attention(x, x, x)
    assert tuple(again[1].shape) == tuple(weights.shape) == (2, 5, 5)
    np.testing.assert_allclose(again[0].tolist(), values.tolist(), atol=1e-5)


def test_activations_of_layers_are_what_they_returned():
    model, x = network(), corten.randn(2, 1, 8, 8)
    seen = explain.layer_activations(model, x)
    assert list(seen) == ["0", "1", "2", "3", "4", "5", "6"]
    assert corten.equal(seen["3"], model[:4](x)) and not seen["3"].requires_grad
    assert corten.equal(explain.LayerActivation(model, model[6]).attribute(x), model(x))
    # In-place operators behind a layer do not reach what was kept, and layers that run twice have two outputs.
    relu = nn.ReLU(inplace=True)
    twice = nn.Sequential(nn.Linear(3, 3), relu, relu)
    seen = explain.layer_activations(twice, corten.randn(4, 3), ["0", "1"])
    assert seen["0"].min().item() < 0 and len(seen["1"]) == 2
    with pytest.raises(ValueError, match="no layer 9"):
        explain.layer_activations(twice, corten.randn(4, 3), ["9"])


def test_inputs_that_maximise_a_unit_are_those_it_is_made_for():
    # A unit that is a template: the best input in a range is the template's sign.
    template = t([[1.0, -1.0, 1.0, -1.0]])
    model = nn.Linear(4, 1, bias=False)
    model.weight.data.copy_(template)
    found, said = explain.activation_maximization(model, (2, 4), 0, steps=60, value_range=(-1, 1))
    assert found.tolist() == template.repeat(2, 1).tolist()
    assert said.tolist() == pytest.approx([4, 4])


def test_noise_and_jitter_come_from_a_generator_of_any_device(device):
    model = nn.Conv2d(1, 2, 3).to(device)
    options = {"target": 0, "steps": 3, "jitter": 2}
    first, again = (
        explain.activation_maximization(
            model, (1, 1, 8, 8), generator=corten.Generator(device).manual_seed(1), **options
        )[0]
        for _ in range(2)
    )
    assert first.device.type == corten.device(device).type and corten.equal(first, again)


def test_units_of_networks_respond_more_to_inputs_made_for_them_than_to_noise():
    model = network()
    start = 0.1 * corten.randn(4, 1, 8, 8)
    options = {"layer": model[3], "steps": 40, "value_range": (-1, 1)}
    found, said = explain.activation_maximization(model, start, [0, 1, 2, 3], **options)
    channels = explain.layer_activations(model, found, ["3"])["3"].mean((2, 3))
    np.testing.assert_allclose(said.tolist(), channels.diagonal().tolist(), rtol=1e-4)
    before = explain.layer_activations(model, start, ["3"])["3"].mean((2, 3)).diagonal()
    assert (said > before + 0.005).all() and found.abs().max().item() <= 1
    assert all(parameter.grad is None for parameter in model.parameters())
    # More regularisation, smoother images.
    rough, _ = explain.activation_maximization(model, start, 0, total_variation=0.0, **options)
    fine, _ = explain.activation_maximization(model, start, 0, total_variation=1.0, **options)
    assert fine.diff(dim=3).abs().mean().item() < rough.diff(dim=3).abs().mean().item()
    _, layer = explain.activation_maximization(model, start, None, **options)
    assert (layer > explain.layer_activations(model, start, ["3"])["3"].square().mean((1, 2, 3))).all()
    _, neuron = explain.activation_maximization(model, start, (2, 3, 3), jitter=0, **options)
    assert (neuron > explain.layer_activations(model, start, ["3"])["3"][:, 2, 3, 3]).all()
    # A position for each of the inputs.
    places = [(0, 1, 1), (1, 2, 3), (2, 3, 3), (3, 0, 2)]
    found, each = explain.activation_maximization(model, start, places, jitter=0, **options)
    maps = explain.layer_activations(model, found, ["3"])["3"]
    np.testing.assert_allclose(each.tolist(), [maps[n, *place].item() for n, place in enumerate(places)], rtol=1e-4)
    np.testing.assert_allclose(each[2].item(), neuron[2].item(), rtol=1e-4)


def test_attributions_are_drawn_in_colours_over_the_image(tmp_path):
    pytest.importorskip("PIL", reason="needs Pillow")
    from corten.vision.io import read_image

    image = corten.zeros(3, 4, 4)
    attribution = corten.zeros(1, 4, 4)
    attribution[0, 0, 0], attribution[0, 3, 3] = 1.0, -1.0
    picture = explain.overlay(image, attribution, tmp_path / "map.png", alpha=1.0, percentile=100.0)
    assert picture.dtype == corten.uint8 and picture.shape == (3, 4, 4)
    red, blue, nothing = picture[:, 0, 0].tolist(), picture[:, 3, 3].tolist(), picture[:, 1, 1].tolist()
    assert red[0] > red[2] and blue[2] > blue[0] and nothing == [0, 0, 0]
    assert read_image(tmp_path / "map.png").tolist() == picture.tolist()


def test_maps_of_other_sizes_and_batches_are_drawn_too():
    image = corten.linspace(0, 1, 64).reshape(8, 8)
    assert explain.overlay(image, corten.ones(2, 2)).shape == (3, 8, 8)
    # Without colours the image is left, in gray; 8-bit images keep their brightness.
    gray = explain.overlay(image, corten.ones(8, 8), alpha=0.0)
    assert (gray.float() - 255 * image).abs().max().item() <= 0.5
    dark = explain.overlay(corten.full((3, 4, 4), 51, dtype=corten.uint8), corten.zeros(4, 4), alpha=0.0)
    assert dark.unique().tolist() == [51]
    grid = explain.overlay(corten.rand(3, 1, 8, 8), corten.rand(3, 1, 8, 8), sign="absolute_value")
    assert grid.shape[0] == 3 and grid.shape[2] > 24
    positive = explain.overlay(0 * image, -corten.ones(8, 8), sign="positive", alpha=1.0)
    assert positive.max().item() == 0


def first(x):
    return x[:, 0]


WRONG = {
    "tokens": (lambda: explain.Saliency(first).attribute(t([[1, 2]])), TypeError, "embeddings"),
    "no_tensor": (lambda: explain.Saliency(first).attribute([[1.0]]), TypeError, "got list"),
    "no_model": (lambda: explain.Saliency(3), TypeError, "forward_func"),
    "no_target": (lambda: explain.Saliency(linear).attribute(corten.ones(2, 3)), ValueError, "needs a target"),
    "high_target": (lambda: explain.Saliency(linear).attribute(corten.ones(2, 3), 2), ValueError, "does not fit"),
    "targets": (lambda: explain.Saliency(linear).attribute(corten.ones(2, 3), [1]), ValueError, "each of 2 examples"),
    "slices": (lambda: explain.Saliency(lambda x: x[:, None] * x).attribute(corten.ones(3, 3), 1), ValueError, "dims"),
    "no_gradient": (
        lambda: explain.Saliency(lambda x: corten.ones(len(x))).attribute(corten.ones(2, 3)),
        RuntimeError,
        "does not depend",
    ),
    "baselines": (
        lambda: explain.IntegratedGradients(first).attribute(corten.ones(2, 3), corten.ones(3, 3)),
        ValueError,
        "a baseline is",
    ),
    "method": (
        lambda: explain.IntegratedGradients(first).attribute(corten.ones(2, 3), method="simpson"),
        ValueError,
        "method is one of",
    ),
    "pool": (
        lambda: explain.GradientShap(first).attribute(corten.ones(2, 3), corten.ones(2, 4)),
        ValueError,
        "baselines have shape",
    ),
    "window": (lambda: explain.Occlusion(first).attribute(corten.ones(2, 3), (4,)), ValueError, "window has a size"),
    "gaps": (
        lambda: explain.Occlusion(first).attribute(corten.ones(2, 3), (1,), strides=2),
        ValueError,
        "leave gaps",
    ),
    "layer": (lambda: explain.LayerGradCam(nn.ReLU(), "relu"), TypeError, "layer is a module"),
    "flat_layer": (
        lambda: explain.LayerGradCam(m := nn.Sequential(nn.Linear(3, 2)), m[0]).attribute(corten.ones(1, 3), 0),
        ValueError,
        r"\(N, C, ...\)",
    ),
    "unused_layer": (
        lambda: explain.LayerGradCam(nn.Linear(3, 1), nn.ReLU()).attribute(corten.ones(1, 3)),
        RuntimeError,
        "here 0 times",
    ),
    "no_relu": (lambda: explain.GuidedBackprop(nn.Linear(3, 1)), ValueError, "no nn.ReLU"),
    "no_layers": (lambda: explain.attention_rollout([]), ValueError, "at least one layer"),
    "rectangular": (lambda: explain.attention_rollout([corten.ones(1, 2, 3)]), ValueError, r"\(N, T, T\)"),
    "drawing": (lambda: explain.overlay(corten.ones(2, 4, 4), corten.ones(4, 4)), ValueError, "one or three channels"),
    "sign": (lambda: explain.overlay(corten.ones(4, 4), corten.ones(4, 4), sign="both"), ValueError, "sign is"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_inputs_are_told(name):
    call, error, words = WRONG[name]
    with pytest.raises(error, match=words):
        call()


def test_attention_is_recorded_where_there_is_some():
    with pytest.raises(ValueError, match=r"no nn\.MultiheadAttention"), explain.record_attention(nn.Linear(1, 1)):
        pass


@pytest.mark.parametrize("name", ["activations", "attention", "gradients"])
def test_examples_of_docstrings_give_what_they_show(name):
    module = importlib.import_module(f"corten.explain.{name}")
    assert doctest.testmod(module, extraglobs={"corten": corten}).failed == 0
