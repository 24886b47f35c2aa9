"""Networks of timm, of several families, with fresh weights."""

import pytest
import timm
import torch
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


@pytest.mark.parametrize("name", ["sgd", "adamw", "lamb", "lion", "adopt", "nadamw", "adafactorbv", "muon"])
def test_optimizer(name):
    layer = torch.nn.Linear(4, 4)
    optimizer = create_optimizer_v2(layer, opt=name, lr=1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        layer(torch.ones(2, 4)).square().sum().backward()
        optimizer.step()
    assert layer.weight.isfinite().all()
