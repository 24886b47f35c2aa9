"""Transfer learning: a network that knows ImageNet learns to tell eleven photos by small grey tiles of them.

EfficientNet-Lite0 comes with its published weights. The photos, those of scikit-learn and scikit-image, are cut into
tiles of 64 × 64 pixels that do not overlap and lose their colours. Of each photo eight tiles are for training, eight
for validation, and up to forty of the others for the test. Six ways to learn from so few are compared:

- from scratch: the same network with fresh weights;
- feature extraction: a linear layer on what the network says of each tile, which is computed once;
- new head: the body frozen, a fresh last layer, tiles zoomed, mirrored and brightened at random;
- fine-tuning: all weights, at one rate;
- discriminative rates: all weights, at rates that fall towards the input (Howard and Ruder 2018);
- LoRA: adapters of rank 8 beside the pointwise convolutions (Hu et al. 2021).

The way that is best on the validation tiles is the one whose accuracy on the test tiles is the result.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

import corten
import corten.nn.functional as F
from corten import lora, nn
from corten.models.efficientnet import EfficientNet
from corten.training import Batches, History, freeze, parameter_groups, replace_head

from common import (
    accuracy,
    arguments,
    draw_curves,
    draw_samples,
    parse,
    part,
    predict,
    print_result,
    sized,
    total_steps,
    train,
)
from datasets import SKIMAGE_PHOTOS, SKLEARN_PHOTOS, efficientnet_lite0_weights, photo

TARGET = 0.9
CLASSES = SKLEARN_PHOTOS + SKIMAGE_PHOTOS
TILE = 64
SIZE = 128  # to which tiles are enlarged for the network
BATCH = 22


# -- the tiles -------------------------------------------------------------------------------------------------------


class Tiles(NamedTuple):
    """Tiles of bytes `(N, 1, 64, 64)` and the photos that they are from, `(N,)`."""

    images: corten.Tensor
    labels: corten.Tensor


def grey(image: corten.Tensor) -> corten.Tensor:
    """Luminance by ITU-R BT.601 of bytes `(3, H, W)`, as bytes `(H, W)`."""
    return (image * corten.tensor([0.299, 0.587, 0.114]).reshape(3, 1, 1)).sum(0).round().to(corten.uint8)


def tiles_of(name: str, each: int, tested: int) -> tuple[corten.Tensor, ...]:
    """A photo's tiles in a random order: those for training, for validation and for the test."""
    cut = grey(photo(name)).unfold(0, TILE, TILE).unfold(1, TILE, TILE).flatten(0, 1).unsqueeze(1)
    cut = cut[corten.randperm(len(cut))]
    return cut[:each], cut[each : 2 * each], cut[2 * each : 2 * each + tested]


def read(args: argparse.Namespace) -> list[Tiles]:
    """Tiles for training, validation and test."""
    each, tested = sized(args, 8, 8, 2), sized(args, 40, 40, 2)
    parts = zip(*(tiles_of(name, each, tested) for name in CLASSES), strict=True)
    found = []
    for split in parts:
        labels = corten.arange(len(CLASSES)).repeat_interleave(corten.tensor([len(tiles) for tiles in split]))
        found.append(Tiles(corten.cat(split).to(args.device), labels.to(args.device)))
    return found


def prepared(images: corten.Tensor, size: int = SIZE) -> corten.Tensor:
    """Tiles as the weights want them: three equal channels of (x - 127) / 128."""
    enlarged = F.interpolate(images.float(), (size, size), mode="bilinear", align_corners=False)
    return ((enlarged - 127) / 128).expand(-1, 3, -1, -1)


def augmented(images: corten.Tensor, size: int = SIZE) -> corten.Tensor:
    """Prepared tiles, each zoomed up to 1.4 times, half of them mirrored, with other brightness and contrast."""
    count, device = len(images), images.device
    extent = 1 / (1 + 0.4 * corten.rand(count))
    shift = (2 * corten.rand(count, 2) - 1) * (1 - extent)[:, None]
    mirror = (corten.rand(count) < 0.5) * 2.0 - 1
    nothing = corten.zeros(count)
    rows = [corten.stack([extent * mirror, nothing, shift[:, 0]], 1), corten.stack([nothing, extent, shift[:, 1]], 1)]
    grid = F.affine_grid(corten.stack(rows, 1).to(device), [count, 1, size, size], align_corners=False)
    seen = (F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False) - 127) / 128
    contrast, brightness = 0.7 + 0.6 * corten.rand(count, 1, 1, 1), 0.4 * corten.rand(count, 1, 1, 1) - 0.2
    return (seen * contrast.to(device) + brightness.to(device)).expand(-1, 3, -1, -1)


# -- six ways to learn -----------------------------------------------------------------------------------------------


class Way(NamedTuple):
    """A way to learn.

    Attributes:
        pretrained: whether it starts from the weights.
        adapt: readies the network and returns the groups of parameters that learn.
        augment: whether tiles vary from pass to pass.
    """

    pretrained: bool
    adapt: Callable[[nn.Module, float], list[dict]]
    lr: float
    augment: bool = True


def all_weights(model: nn.Module, lr: float) -> list[dict]:
    return parameter_groups(model, lr, weight_decay=0.01)


def head_alone(model: nn.Module, lr: float) -> list[dict]:
    freeze(model, lambda name, parameter: not name.startswith("_fc"))
    return parameter_groups(model, lr, weight_decay=0.01)


def falling_rates(model: nn.Module, lr: float) -> list[dict]:
    return parameter_groups(model, lr, weight_decay=0.01, layer_decay=0.8)


def adapters(model: nn.Module, lr: float) -> list[dict]:
    pointwise = ["*._expand_conv", "*._project_conv", "_conv_head"]
    lora.apply(model, rank=8, alpha=16.0, targets=pointwise, trainable="_fc")
    return parameter_groups(model, lr, weight_decay=0.01)


WAYS = {
    "from scratch": Way(False, all_weights, 3e-3),
    "feature extraction": Way(True, head_alone, 1e-2, augment=False),
    "new head": Way(True, head_alone, 1e-2),
    "fine-tuning": Way(True, all_weights, 1e-3),
    "discriminative rates": Way(True, falling_rates, 3e-3),
    "LoRA": Way(True, adapters, 3e-3),
}


def network(args: argparse.Namespace, pretrained: bool) -> EfficientNet:
    """EfficientNet-Lite0 with a fresh last layer for the photos; a narrow one without weights with `--smoke`."""
    if args.smoke:
        model = EfficientNet(0.25, 0.1, lite=True)
    else:
        model = EfficientNet(1.0, 1.0, lite=True, drop_connect=0.0)
    if pretrained and not args.smoke:
        model.load_state_dict(efficientnet_lite0_weights())
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1  # the published 0.01 is for runs of 100,000 steps
    replace_head(model, len(CLASSES))
    return model.to(args.device)


class Features(nn.Module):
    """The last layer behind features `(N, C)` that were computed once."""

    def __init__(self, model: EfficientNet) -> None:
        super().__init__()
        self._dropout, self._fc = model._dropout, model._fc

    def forward(self, features: corten.Tensor) -> corten.Tensor:
        return self._fc(self._dropout(features))


def features(model: EfficientNet, images: corten.Tensor, size: int) -> corten.Tensor:
    """What a network says of tiles before its last layer, `(N, C)`."""
    model.eval()
    with corten.no_grad():
        parts = [model.extract_features(prepared(part, size)).mean((2, 3)) for part in images.split(64)]
    return corten.cat(parts)


def learn(name: str, args: argparse.Namespace, data: list[Tiles]) -> tuple[History, corten.Tensor]:
    """Trains in one way; returns the history and the scores of the test tiles."""
    way, size, (training, validation, test) = WAYS[name], sized(args, SIZE, SIZE, 32), data
    corten.manual_seed(args.seed)
    model = network(args, way.pretrained)
    groups = way.adapt(model, way.lr)
    learning = sum(parameter.numel() for group in groups for _, parameter in group["params"])
    print(f"{name}: {learning:,} parameters learn")

    def seen(images: corten.Tensor) -> corten.Tensor:
        return prepared(images, size)

    if way.augment:
        batches = Batches(
            *training, batch_size=BATCH, transform=lambda images, labels: (augmented(images, size), labels)
        )
        held_out = Batches(
            *validation, batch_size=88, shuffle=False, transform=lambda images, labels: (seen(images), labels)
        )
    else:
        known = [(features(model, part.images, size), part.labels) for part in data]
        model = Features(model)
        batches, held_out = Batches(*known[0], batch_size=BATCH), Batches(*known[1], batch_size=88, shuffle=False)

    # Each way has a folder for its checkpoint and weights.
    own = part(args, name.replace(" ", "_"))
    optimizer = corten.optim.AdamW(groups)
    history = train(
        own,
        model,
        batches,
        lambda scores, labels: F.cross_entropy(scores, labels, label_smoothing=0.1),
        optimizer,
        validation=held_out,
        metrics={"accuracy": accuracy},
        step_scheduler=corten.optim.lr_scheduler.OneCycleLR(
            optimizer,
            [group["lr"] for group in optimizer.param_groups],
            total_steps(args, len(batches)),
            pct_start=0.2,
        ),
        validate_every=sized(args, 4, 4, 1),
    )
    inputs = test.images if way.augment else known[2][0]
    return history, predict(model, inputs, 64, seen if way.augment else None)


def main() -> None:
    parser = arguments(__doc__, epochs=40, quick_epochs=2, out="transfer_learning")
    args = parse(parser)
    if args.resume and not any(args.out.glob("*/checkpoint.pt")):
        raise SystemExit(f"there is no checkpoint in {args.out} to resume from")
    data = read(args)
    test = data[2]
    print("tiles:", ", ".join(f"{len(part.labels)} {use}" for part, use in zip(data, ("train", "validate", "test"))))

    curves, validated, scores = {}, {}, {}
    for name in WAYS:
        history, scores[name] = learn(name, args, data)
        curves[name] = history["val_accuracy"]
        validated[name] = history["val_accuracy"][-1], -history["val_loss"][-1]

    labels = test.labels.cpu()
    tested = {name: accuracy(found, labels).item() for name, found in scores.items()}
    for name in WAYS:
        print(f"{name:>20}: validation {validated[name][0]:.3f}, test {tested[name]:.3f}")
    best = max(WAYS, key=validated.get)
    print(f"best on the validation tiles: {best}")

    draw_curves(args.out / "curves.png", {"accuracy of validation": curves}, f"{sized(args, 4, 4, 1)} epochs")
    shown = corten.linspace(0, len(labels) - 1, 32).long()
    guesses = scores[best].argmax(1)[shown].tolist()
    draw_samples(
        args.out / "predictions.png",
        255 - test.images.cpu()[shown],
        [CLASSES[guess] for guess in guesses],
        [CLASSES[label] for label in labels[shown].tolist()],
    )
    print_result("transfer_learning", "accuracy", tested[best], TARGET)


if __name__ == "__main__":
    main()
