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


def test_inception_has_torchvisions_blocks_and_a_second_classifier_in_training():
    model = models.inception_v3(num_classes=3, init_weights=False)
    keys = set(model.state_dict())
    assert {"Conv2d_1a_3x3.conv.weight", "Mixed_6b.branch7x7dbl_5.bn.running_var", "AuxLogits.conv1.bn.bias"} <= keys
    assert {"Mixed_7c.branch3x3dbl_3b.conv.weight", "AuxLogits.fc.weight", "fc.bias"} <= keys
    found = model(torch.rand(2, 3, 299, 299))
    assert isinstance(found, models.InceptionOutputs) and found.logits.shape == found.aux_logits.shape == (2, 3)
    (found.logits.sum() + 0.4 * found.aux_logits.sum()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert model.eval()(torch.rand(1, 3, 75, 75)).shape == (1, 3)
    assert models.Inception_V3_Weights.DEFAULT.url.endswith("/inception_v3_google-0cc3c7bd.pth")
    assert models.Inception_V3_Weights.DEFAULT.transforms()(torch.rand(3, 400, 350)).shape == (3, 299, 299)
    with pytest.raises(ValueError, match="should be 7 instead of 1"):
        models.inception_v3(inception_blocks=[nn.Conv2d])


def test_blocks_of_inception_widen_as_they_say():
    parts = models.inception
    for block, shape in (
        (parts.InceptionA(8, 32), (256, 7, 9)),
        (parts.InceptionB(8), (488, 3, 4)),
        (parts.InceptionC(8, 16), (768, 7, 9)),
        (parts.InceptionD(8), (520, 3, 4)),
        (parts.InceptionE(8), (2048, 7, 9)),
    ):
        assert block(torch.rand(2, 8, 7, 9)).shape[1:] == shape


def test_an_image_for_inception_is_scaled_to_what_its_weights_expect():
    model = models.inception_v3(num_classes=2, aux_logits=False, init_weights=False, transform_input=True).eval()
    plain = models.inception_v3(num_classes=2, aux_logits=False, init_weights=False).eval()
    plain.load_state_dict(model.state_dict())
    mean, spread = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    image = torch.rand(1, 3, 75, 75)
    usual = (image - mean[:, None, None]) / spread[:, None, None]
    torch.testing.assert_close(model(usual), plain(2 * image - 1), rtol=1e-3, atol=1e-4)


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
