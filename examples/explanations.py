"""What two trained networks look at, drawn over their inputs, and whether such explanations can be trusted.

EfficientNet-Lite0 with its published weights sees photos, a small ViT sees clothes of Fashion-MNIST's test images; the
ViT is the one that examples/vit.py has trained where --vit names its folder, else it is trained here. Saliency,
SmoothGrad, integrated gradients, gradient SHAP and occlusion explain both, Grad-CAM the convolutional network and
attention rollout the ViT; activation maximisation draws what classes of the convolutional network respond to.

The result is about completeness (Sundararajan et al. 2017): integrated gradients have to sum to what the input changes
of the explained score, and the mean gap is told in parts of that change. To compare methods, the tenth of the pixels
that each marks most is covered, and the share of inputs is told whose score falls by more than with the same cover
moved to elsewhere, which is a half by chance.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import corten
import corten.nn.functional as F
from corten import nn
from corten.explain import (
    GradientShap,
    IntegratedGradients,
    LayerGradCam,
    Occlusion,
    Saliency,
    SmoothGrad,
    activation_maximization,
    attention_rollout,
    overlay,
)
from corten.models import ViT
from corten.models.efficientnet import EfficientNet
from corten.training import Batches
from corten.vision.transforms import functional as image

from common import accuracy, arguments, draw_history, draw_images, parse, print_result, sized, total_steps, train
from datasets import efficientnet_lite0_weights, fashion_mnist, photo
from vit import PATCH, augmented, network, normalised

GAP_TARGET = 0.05
PHOTOS = ("chelsea", "coffee", "rocket", "china")
# Of ImageNet's classes those that are shown.
NAMES = {
    1: "goldfish",
    130: "flamingo",
    285: "Egyptian cat",
    442: "bell cote",
    540: "drilling platform",
    657: "missile",
    698: "palace",
    779: "school bus",
    967: "espresso",
    985: "daisy",
}
DRAWN = (285, 967, 985, 130, 1, 779)  # by activation maximisation
COVERED = 0.1  # share of the pixels


class Explained(NamedTuple):
    """A network and the inputs that are explained to it.

    Attributes:
        name: of the pictures.
        model: images to scores `(N, classes)`, in evaluation mode.
        images: `(N, C, H, W)`, as the network takes them.
        targets: the classes whose scores are explained, `(N,)`.
        baselines: images that stand for nothing to see, `(B, C, H, W)`.
        titles: what the network says.
        window: side of what occlusion covers, in pixels.
        maps: further explanations by the network's own kind: images and classes to maps.
    """

    name: str
    model: nn.Module
    images: corten.Tensor
    targets: corten.Tensor
    baselines: corten.Tensor
    titles: list[str]
    window: int
    maps: dict[str, Callable]


# -- the two networks ------------------------------------------------------------------------------------------------


def photo_network(args: argparse.Namespace) -> Explained:
    """EfficientNet-Lite0 with four photos; a narrow network without weights and two photos with `--smoke`."""
    size, names = sized(args, (224, PHOTOS), (160, PHOTOS), (32, PHOTOS[:2]))
    model = EfficientNet(0.25, 0.1, lite=True) if args.smoke else EfficientNet(1.0, 1.0, lite=True)
    if not args.smoke:
        model.load_state_dict(efficientnet_lite0_weights())
    model = model.to(args.device).eval()
    cut = [image.center_crop(image.resize(photo(name), size, antialias=True), [size, size]) for name in names]
    images = ((corten.stack(cut).float() - 127) / 128).to(args.device)
    with corten.no_grad():
        shares, targets = model(images).softmax(1).max(1)
    found = zip(targets.tolist(), shares.tolist(), strict=True)
    titles = [f"{NAMES.get(number, f'class {number}')} {share:.0%}" for number, share in found]
    cam = LayerGradCam(model, model._bn1)
    maps = {"Grad-CAM": lambda images, targets: cam.attribute(images, targets, relu_attributions=True)}
    grey = images.new_tensor([0.0, -0.5, 0.5]).reshape(3, 1, 1, 1).expand(3, *images.shape[1:])
    return Explained("photos", model, images, targets, grey, titles, size // 7, maps)


def clothes_network(args: argparse.Namespace) -> Explained:
    """A ViT with test images of Fashion-MNIST, one of each of the first classes."""
    test = fashion_mnist(train=False)
    model = network(args).to(args.device)
    if args.vit is None:
        train_vit(model, args)
    else:
        model.load_state_dict(corten.load(args.vit / "model.pt"))
    model.eval()
    count = sized(args, 6, 6, 2)
    first = [int((test.targets == number).nonzero()[0, 0]) for number in range(count)]
    images = normalised(test.data[first].unsqueeze(1)).to(args.device)
    with corten.no_grad():
        shares, targets = model(images).softmax(1).max(1)
    found = zip(targets.tolist(), shares.tolist(), strict=True)
    titles = [f"{test.classes[number]} {share:.0%}" for number, share in found]
    black = normalised(corten.zeros(1, 1, 28, 28)).to(args.device)
    grey = black + images.new_tensor([0.0, 0.3]).reshape(2, 1, 1, 1)
    maps = {"rollout": lambda images, targets: rollout(model, images)}
    return Explained("clothes", model, images, targets, grey, titles, PATCH, maps)


def train_vit(model: ViT, args: argparse.Namespace) -> None:
    """Trains the ViT as examples/vit.py does, for fewer epochs."""
    data = fashion_mnist(train=True)
    count = sized(args, len(data), 6000, 128)
    images, labels = data.data[:count].unsqueeze(1).to(args.device), data.targets[:count].to(args.device)
    batches = Batches(
        images,
        labels,
        batch_size=128,
        drop_last=True,
        transform=lambda images, labels: (augmented(images), labels),
    )
    optimizer = corten.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = corten.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps(args, len(batches)))
    history = train(
        args, model, batches, F.cross_entropy, optimizer, metrics={"accuracy": accuracy}, step_scheduler=schedule
    )
    draw_history(args.out / "curves.png", history)


def rollout(model: ViT, images: corten.Tensor) -> corten.Tensor:
    """How much of each patch reaches the class token, `(N, 1, side, side)`."""
    with corten.no_grad():
        mixed = attention_rollout(model.attentions(images))[:, 0, 1:]
    side = images.shape[-1] // PATCH
    return (mixed - mixed.amin(1, keepdim=True)).reshape(-1, 1, side, side)


# -- the explanations ------------------------------------------------------------------------------------------------


def explanations(case: Explained, args: argparse.Namespace) -> tuple[dict[str, corten.Tensor], list[float]]:
    """Maps `(N, C, h, w)` by method, and by how much integrated gradients miss completeness, in parts of the change."""
    model, images, targets = case.model, case.images, case.targets
    steps, samples = sized(args, 160, 64, 4), sized(args, 32, 6, 2)
    generator = corten.Generator(images.device).manual_seed(args.seed)
    found = {"saliency": Saliency(model).attribute(images, target=targets)}
    found["SmoothGrad"] = corten.cat(
        [
            SmoothGrad(model).attribute(
                one, target=target, n_samples=samples, stdevs=0.15, abs=True, generator=generator
            )
            for one, target in zip(images.split(1), targets.split(1), strict=True)
        ]
    )
    # Of each image alone: its points of the line fill a batch.
    baseline, gaps, integrated = case.baselines[:1], [], []
    for one, target in zip(images.split(1), targets.split(1), strict=True):
        maps, miss = IntegratedGradients(model).attribute(
            one,
            baselines=baseline,
            target=target,
            n_steps=steps,
            internal_batch_size=16,
            return_convergence_delta=True,
        )
        integrated.append(maps)
        gaps.append((miss.abs() / (maps.sum() - miss).abs().clamp(min=1e-3)).item())
    found["integrated gradients"] = corten.cat(integrated)
    found["gradient SHAP"] = corten.cat(
        [
            GradientShap(model).attribute(
                one, case.baselines, n_samples=samples, stdevs=0.05, target=target, generator=generator
            )
            for one, target in zip(images.split(1), targets.split(1), strict=True)
        ]
    )
    stride = sized(args, case.window // 2, case.window, case.window)
    channels = images.shape[1]
    found["occlusion"] = Occlusion(model).attribute(
        images,
        (channels, case.window, case.window),
        strides=(channels, stride, stride),
        baselines=baseline,
        target=targets,
        perturbations_per_eval=4,
    )
    for name, method in case.maps.items():
        found[name] = method(images, targets)
    return found, gaps


def places(maps: corten.Tensor, size: int) -> corten.Tensor:
    """What speaks for the class at each pixel, summed over channels: `(N, size, size)`."""
    summed = maps.sum(1, keepdim=True)
    if summed.shape[-1] != size:
        summed = F.interpolate(summed, (size, size), mode="bilinear", align_corners=False)
    return summed[:, 0]


def scores(case: Explained, images: corten.Tensor) -> corten.Tensor:
    """The explained scores, `(N,)`."""
    with corten.no_grad():
        return case.model(images).gather(1, case.targets[:, None])[:, 0]


def marked(maps: corten.Tensor, size: int) -> corten.Tensor:
    """The tenth of the pixels that a map marks most, bools `(N, 1, size, size)`."""
    flat = places(maps, size).flatten(1)
    limit = flat.topk(int(COVERED * flat.shape[1]), dim=1).values[:, -1:]
    return (flat >= limit).reshape(-1, 1, size, size)


def sensitivity(case: Explained, found: dict[str, corten.Tensor]) -> dict[str, float]:
    """By method, the share of inputs that lose more when what is marked is covered than with the cover elsewhere."""
    size = case.images.shape[-1]
    rng = random.Random(0)
    shifts = [(rng.randrange(size), rng.randrange(size)) for _ in range(8)]

    def left(mask: corten.Tensor) -> corten.Tensor:
        return scores(case, corten.where(mask, case.baselines[:1], case.images))

    shares = {}
    for name, maps in found.items():
        mask = marked(maps, size)
        elsewhere = corten.stack([left(mask.roll(shift, (2, 3))) for shift in shifts]).mean(0)
        shares[name] = (left(mask) < elsewhere).float().mean().item()
    return shares


# -- the pictures ----------------------------------------------------------------------------------------------------


def draw_explanations(path: Path, case: Explained, found: dict[str, corten.Tensor]) -> None:
    """Draws a row for each input: the image, and each method's map over it."""
    panels, titles = [], []
    for index, title in enumerate(case.titles):
        image = case.images[index].cpu()
        low, high = image.min(), image.max()
        panels.append(((image - low) / (high - low)).expand(3, -1, -1))
        titles.append(title)
        for name, maps in found.items():
            panels.append(overlay(image, maps[index].cpu(), sign="positive", alpha=0.7) / 255)
            titles.append(name)
    draw_images(path, corten.stack(panels), titles, columns=1 + len(found))


def draw_classes(path: Path, case: Explained, args: argparse.Namespace) -> None:
    """Draws inputs that make single classes of the network respond most, found by gradient ascent."""
    classes = list(DRAWN[: sized(args, 6, 3, 2)])
    side = case.images.shape[-1]
    generator = corten.Generator(case.images.device).manual_seed(args.seed)
    start = 0.05 * corten.randn(len(classes), 3, side, side, generator=generator, device=case.images.device)
    found, responses = activation_maximization(
        case.model,
        start,
        classes,
        steps=sized(args, 160, 16, 2),
        lr=0.03,
        total_variation=sized(args, 20.0, 20.0, 1.0),
        jitter=sized(args, 16, 16, 2),
        value_range=(-1, 1),
        generator=generator,
    )
    titles = [f"{NAMES[number]} {response:.0f}" for number, response in zip(classes, responses.tolist(), strict=True)]
    draw_images(path, (found.cpu() + 1) / 2, titles, columns=len(classes))


def main() -> None:
    parser = arguments(__doc__, epochs=2, quick_epochs=1, out="explanations")
    parser.add_argument("--vit", type=Path, help="folder of examples/vit.py's results, whose network is explained")
    args = parse(parser)
    gaps = []
    for case in (photo_network(args), clothes_network(args)):
        print(f"{case.name}: {', '.join(case.titles)}")
        found, missed = explanations(case, args)
        falls = sensitivity(case, found)
        for name, share in falls.items():
            print(f"  {name:>20}: covering what it marks lowers the score of {share:.0%} of the inputs")
        print(f"  integrated gradients miss completeness by {', '.join(f'{gap:.2%}' for gap in missed)}")
        draw_explanations(args.out / f"{case.name}.png", case, found)
        if case.name == "photos":
            draw_classes(args.out / "classes.png", case, args)
        gaps += missed
    print_result("explanations", "completeness_gap", sum(gaps) / len(gaps), GAP_TARGET)


if __name__ == "__main__":
    main()
