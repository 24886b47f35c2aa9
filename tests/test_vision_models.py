"""The networks of `corten.vision.models`: torchvision's keys, sizes, arguments and weights."""

from __future__ import annotations

import corten as torch
import pytest
from corten import nn
from corten.vision import models

# Numbers of parameters, as torchvision documents them.
PARAMETERS = {
    "alexnet": 61100840,
    "resnet18": 11689512,
    "resnet50": 25557032,
    "resnext50_32x4d": 25028904,
    "squeezenet1_0": 1248424,
    "squeezenet1_1": 1235496,
    "vgg11_bn": 132868840,
    "wide_resnet50_2": 68883240,
}


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_a_network_has_the_parameters_that_are_documented_and_scores_images(name):
    model = models.get_model(name).eval()
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]
    with torch.no_grad():
        assert model(torch.rand(2, 3, 64, 64)).shape == (2, 1000)


def test_keys_are_torchvisions():
    keys = set(models.resnet50().state_dict())
    assert {"conv1.weight", "layer1.0.downsample.1.running_var", "layer3.5.bn3.num_batches_tracked", "fc.bias"} <= keys
    assert set(models.vgg11(num_classes=2).state_dict()) >= {"features.18.weight", "classifier.6.bias"}
    assert set(models.squeezenet1_1().state_dict()) >= {"features.12.expand3x3.bias", "classifier.1.weight"}


def test_every_parameter_learns():
    model = models.resnet18(num_classes=3, zero_init_residual=True)
    assert model.layer2[1].bn2.weight.abs().sum() == 0 and model.layer2[1].bn1.weight.sum() == 128
    model(torch.rand(2, 3, 32, 32)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_dilated_network_keeps_the_size_of_its_features():
    model = models.resnet50(replace_stride_with_dilation=[False, True, True])
    model.avgpool, model.fc = nn.Identity(), nn.Identity()
    assert model.eval()(torch.rand(1, 3, 64, 64)).shape == (1, 2048 * 8 * 8)
    with pytest.raises(ValueError, match="a 3-element tuple, got"):
        models.resnet50(replace_stride_with_dilation=[True])
    with pytest.raises(NotImplementedError, match="Dilation > 1"):
        models.resnet18(replace_stride_with_dilation=[False, True, True])
    with pytest.raises(ValueError, match="only supports groups=1"):
        models.resnet18(groups=2)


def test_weights_are_read_from_where_they_lie(tmp_path, monkeypatch):
    trained = models.squeezenet1_1()
    (tmp_path / "checkpoints").mkdir()
    torch.save(trained.state_dict(), tmp_path / "checkpoints" / "squeezenet1_1-b8a52dc0.pth")
    monkeypatch.setattr("corten.hub._folder", str(tmp_path))
    for weights in (
        models.SqueezeNet1_1_Weights.DEFAULT,
        "DEFAULT",
        models.get_weight("SqueezeNet1_1_Weights.DEFAULT"),
    ):
        model = models.squeezenet1_1(weights=weights)
        assert torch.equal(model.classifier[1].weight, trained.classifier[1].weight)
    with pytest.warns(UserWarning, match="'pretrained' is deprecated"):
        model = models.squeezenet1_1(pretrained=True)
    assert torch.equal(model.features[0].weight, trained.features[0].weight)
    with pytest.raises(ValueError, match="expected value 1000 but got 5"):
        models.squeezenet1_1(weights="DEFAULT", num_classes=5)
    with pytest.raises(TypeError, match="expected ResNet18_Weights but received"):
        models.resnet18(weights=models.SqueezeNet1_1_Weights.DEFAULT)


def test_weights_tell_how_images_are_prepared():
    weights = models.get_model_weights("resnet50")
    assert weights.DEFAULT is weights.IMAGENET1K_V2 and weights.DEFAULT.url.endswith("resnet50-11ad3fa6.pth")
    prepared = weights.DEFAULT.transforms()(torch.full((3, 300, 400), 255, dtype=torch.uint8))
    assert prepared.shape == (3, 224, 224)
    torch.testing.assert_close(
        prepared[:, 5, 5], (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    )


def test_networks_are_found_by_name():
    assert models.list_models(include="*squeeze*") == ["squeezenet1_0", "squeezenet1_1"]
    assert "vgg11" in models.list_models(module=models.vgg, exclude="*_bn")
    assert models.get_model_builder("ResNet18") is models.resnet18
    with pytest.raises(ValueError, match="Unknown model resnet7; there are alexnet"):
        models.get_model("resnet7")
    with pytest.raises(AttributeError, match=r"swin_t.*there are AlexNet, ConvNeXt"):
        models.swin_t  # noqa: B018
