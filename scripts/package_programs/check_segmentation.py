"""Networks of segmentation_models_pytorch with fresh weights, losses and scores of masks."""

import pytest
import segmentation_models_pytorch as smp
import torch


def discs(n=4, size=64):
    """Pictures of a disc in noise, ``(n, 3, size, size)``, and its mask ``(n, 1, size, size)``."""
    generator = torch.Generator().manual_seed(0)
    middle = size * (0.25 + 0.5 * torch.rand(n, 2, 1, 1, generator=generator))
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    mask = ((rows - middle[:, :1]) ** 2 + (columns - middle[:, 1:]) ** 2 < (0.2 * size) ** 2).float()
    return mask + 0.3 * torch.randn(n, 3, size, size, generator=generator), mask


@pytest.mark.parametrize("name", ["Unet", "UnetPlusPlus", "FPN", "DeepLabV3Plus", "Linknet", "MAnet", "PSPNet", "PAN"])
def test_discs_are_found(name):
    torch.manual_seed(0)
    model = smp.create_model(name, "resnet18", encoder_weights=None)
    loss, (x, mask) = smp.losses.DiceLoss("binary"), discs(size=128 if name == "PAN" else 64)
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=1e-3), []
    for _ in range(6):
        value = loss(model(x), mask)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    "encoder", ["mobilenet_v2", "vgg11", "densenet121", "efficientnet-b0", "mit_b0", "tu-resnet10t"]
)
def test_encoders(encoder):
    model = smp.Unet(encoder, encoder_weights=None, classes=3)
    x = discs(2)[0]
    found = model(x)
    assert found.shape == (2, 3, 64, 64)
    found.square().mean().backward()


@pytest.mark.parametrize("name", ["JaccardLoss", "TverskyLoss", "FocalLoss", "LovaszLoss", "MCCLoss"])
def test_losses_are_least_for_what_is_right(name):
    mask = discs()[1]
    loss = getattr(smp.losses, name)(*(() if name == "MCCLoss" else ("binary",)))
    right, wrong = (40 * mask - 20).requires_grad_(), (20 - 40 * mask).requires_grad_()
    if name == "MCCLoss":
        right, wrong = mask.clone().requires_grad_(), (1 - mask).requires_grad_()
    loss(wrong, mask).backward()
    assert wrong.grad.isfinite().all() and loss(right, mask) < loss(wrong, mask)


def test_scores():
    mask = discs()[1].long()
    counts = smp.metrics.get_stats(mask, mask, mode="binary")
    assert smp.metrics.iou_score(*counts, reduction="micro").item() == 1.0
