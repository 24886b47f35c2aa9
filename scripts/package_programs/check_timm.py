"""Networks of timm, of several families, with fresh weights."""

import pytest
import timm
import torch
from timm.models import FeatureGraphNet, create_feature_extractor, get_graph_node_names
from timm.optim import create_optimizer_v2

NAMES = [
    "resnet18",
    "resnext50_32x4d",
    "vgg11",
    "densenet121",
    "mobilenetv3_small_100",
    "efficientnet_b0",
    "regnety_002",
    "convnext_atto",
    "vit_tiny_patch16_224",
    "deit_tiny_patch16_224",
    "swin_tiny_patch4_window7_224",
    "mixer_s16_224",
    "ghostnet_100",
    "repvgg_a0",
    "maxvit_nano_rw_256",
    "tf_efficientnetv2_b0",
    "hrnet_w18_small",
    "eva02_tiny_patch14_224",
]


@pytest.mark.parametrize("name", NAMES)
def test_network(name):
    model = timm.create_model(name, num_classes=5)
    size = model.default_cfg["input_size"][1]
    output = model(torch.rand(2, 3, size, size))
    assert output.shape == (2, 5) and output.isfinite().all()
    output.square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_features():
    model = timm.create_model("resnet18", features_only=True)
    assert [tuple(f.shape[1:]) for f in model(torch.rand(1, 3, 64, 64))][-1] == (512, 2, 2)


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "regnety_002", "convnext_atto"])
def test_features_of_a_traced_network(name):
    torch.manual_seed(0)
    traced = timm.create_model(name, features_only=True, feature_cls="fx")
    assert isinstance(traced, FeatureGraphNet) and isinstance(traced.graph_module, torch.fx.GraphModule)
    plain = timm.create_model(name, features_only=True)
    kept = plain.state_dict()
    # Names of the traced network have its module in front and, for some of its kind, dots instead of underscores.
    given = {key.removeprefix("graph_module."): value for key, value in traced.state_dict().items()}
    kept.update({key: given[key.replace("stages_", "stages.").replace("stem_", "stem.")] for key in kept})
    plain.load_state_dict(kept)
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        found, wanted = traced.eval()(x), plain.eval()(x)
    assert [f.shape[1] for f in found] == traced.feature_info.channels() == plain.feature_info.channels()
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    sum(f.square().mean() for f in traced.train()(x.expand(2, -1, -1, -1))).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in traced.parameters())


def test_nodes_of_a_traced_vision_transformer():
    model = timm.create_model("vit_tiny_patch16_224", num_classes=5).eval()
    assert "blocks.3.mlp.fc2" in get_graph_node_names(model)[0]
    extractor = create_feature_extractor(model, {"blocks.3": "middle", "head": "logits"})
    x = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        found = extractor(x)
        torch.testing.assert_close(found["logits"], model(x), atol=1e-5, rtol=1e-5)
    assert found["middle"].shape == (1, 197, 192)


@pytest.mark.parametrize("name", ["sgd", "adamw", "lamb", "lion", "adopt", "nadamw", "adafactorbv", "muon"])
def test_optimizer(name):
    layer = torch.nn.Linear(4, 4)
    optimizer = create_optimizer_v2(layer, opt=name, lr=1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        layer(torch.ones(2, 4)).square().sum().backward()
        optimizer.step()
    assert layer.weight.isfinite().all()
