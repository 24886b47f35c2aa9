"""Transforms, networks, losses and windows of MONAI."""

import numpy as np
import pytest
import torch
from monai import data, inferers, losses, metrics, networks, transforms
from monai.utils import set_determinism


def balls(n=2, size=16):
    """Volumes of a ball in noise ``(n, 1, size, size, size)``, and its mask of the same shape."""
    generator = torch.Generator().manual_seed(0)
    places = torch.stack(torch.meshgrid(*[torch.arange(size)] * 3, indexing="ij"))
    middle = 5 + 6 * torch.rand(n, 3, 1, 1, 1, generator=generator)
    mask = ((places - middle).square().sum(1, keepdim=True) < 16).float()
    return mask + 0.2 * torch.randn(mask.shape, generator=generator), mask


def test_volumes_are_segmented():
    torch.manual_seed(0)
    model = networks.nets.UNet(3, 1, 2, channels=(4, 8, 16), strides=(2, 2), num_res_units=1)
    loss, (x, mask) = losses.DiceCELoss(to_onehot_y=True, softmax=True), balls()
    optimizer, found = torch.optim.Adam(model.parameters(), lr=1e-2), []
    for _ in range(12):
        value = loss(model(x), mask)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        found.append(value.item())
    # PyTorch 2.13 computes this.
    assert found[-1] < 0.8 * found[0] and found[-1] == pytest.approx(0.315970, rel=1e-3)
    model.eval()
    with torch.no_grad():
        parts = inferers.sliding_window_inference(x, (16, 16, 16), 1, model, overlap=0.5)
        torch.testing.assert_close(parts, model(x), rtol=1e-4, atol=1e-4)
    score = metrics.DiceMetric(include_background=False)
    score(networks.utils.one_hot(mask, 2), networks.utils.one_hot(mask, 2))
    assert score.aggregate().item() == 1.0


def test_pictures_are_moved_and_moved_back():
    set_determinism(0)
    names = ["image", "label"]
    steps = transforms.Compose(
        [
            transforms.EnsureChannelFirstd(names, channel_dim="no_channel"),
            transforms.ScaleIntensityd("image"),
            transforms.Spacingd(names, pixdim=(2.0, 1.0), mode=("bilinear", "nearest")),
            transforms.RandFlipd(names, prob=1.0, spatial_axis=0),
            transforms.RandRotate90d(names, prob=1.0),
            transforms.Resized(names, (8, 8), mode=("area", "nearest")),
            transforms.RandGaussianNoised("image", prob=1.0),
            transforms.ToTensord(names),
        ]
    )
    picture = np.arange(192, dtype=np.float32).reshape(16, 12)
    found = steps({"image": picture, "label": (picture > 90).astype(np.uint8)})
    assert found["image"].shape == (1, 8, 8) and isinstance(found["image"], data.MetaTensor)
    flip = transforms.Flip(0)
    moved = flip(data.MetaTensor(torch.from_numpy(picture)[None]))
    assert torch.equal(flip.inverse(moved).as_tensor(), torch.from_numpy(picture)[None])


def test_affine_and_elastic_moves():
    x = balls()[0][0]
    turned = transforms.Affine(rotate_params=(np.pi, 0.0, 0.0), padding_mode="border", image_only=True)(x)
    torch.testing.assert_close(torch.as_tensor(turned), x.flip((2, 3)), rtol=1e-3, atol=1e-3)
    elastic = transforms.Rand3DElastic((2, 3), (1, 2), prob=1.0).set_random_state(0)
    assert elastic(x).shape == x.shape


def test_batches_of_a_data_set():
    items = [{"x": torch.full((1, 4), float(i))} for i in range(6)]
    kept = data.CacheDataset(items, transforms.ScaleIntensityRanged("x", 0, 5, 0, 1), progress=False)
    found = [batch["x"] for batch in data.DataLoader(kept, batch_size=3)]
    torch.testing.assert_close(torch.cat(found)[:, 0, 0].as_subclass(torch.Tensor), torch.arange(6) / 5)


def test_networks_of_several_kinds():
    x = balls()[0]
    nets = networks.nets
    for model in (
        nets.DenseNet121(3, 1, 3, init_features=8, growth_rate=4, block_config=(2, 2)),
        nets.SegResNet(3, 8, out_channels=2, blocks_down=(1, 1), blocks_up=(1,)),
        nets.ViT(1, (16, 16, 16), (8, 8, 8), hidden_size=24, mlp_dim=24, num_layers=1, num_heads=2),
        nets.UNETR(1, 2, (16, 16, 16), feature_size=4, hidden_size=24, mlp_dim=24, num_heads=2),
        nets.VNet(out_channels=2),
    ):
        found = model(x)
        (found[0] if isinstance(found, tuple) else found).square().mean().backward()
