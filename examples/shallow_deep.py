"""Shallow against deep on Fashion-MNIST: networks of one to eight layers with equally many parameters.

What does depth alone do? Four convolutional networks (50,000 parameters each) and four of linear layers (200,000 each)
of 1, 2, 4 and 8 layers learn side by side, from the same batches in the same order. Deeper ones are narrower, so that
none has more parameters than another of its kind.

Of the 60,000 training images 5,000 are the validation part, which says which depth is best. The gap is the accuracy of
the convolutional network of that depth less the accuracy of the one with one layer, in points, on the 10,000 test
images, which are looked at once, at the end.

The last pictures show what each layer of the deepest networks responds to: images that make one of its units respond
most, climbed from grey noise (activation maximisation), and how strongly.
"""

from __future__ import annotations

import corten
import corten.nn.functional as F
from corten import explain, models, nn
from corten.data import stratified_split
from corten.training import Batches
from matplotlib import pyplot

from common import (
    accuracy,
    arguments,
    draw_curves,
    draw_images,
    parse,
    predict,
    print_result,
    sized,
    total_steps,
    train,
)
from datasets import fashion_mnist
from fashion_mnist import flipped, normalised, tensors

TARGET = 2.0  # points
DEPTHS = (1, 2, 4, 8)
VALIDATION = 1 / 12  # of the training images
BLACK, WHITE = normalised(corten.tensor([0, 255])).tolist()


def networks(args) -> nn.ModuleDict:
    """The networks by kind and depth, as `cnn_4`; they share no weight."""
    kinds = {"cnn": (models.cnn, sized(args, 50_000, 50_000, 4000)), "mlp": (models.mlp, 200_000)}
    return nn.ModuleDict(
        {f"{kind}_{depth}": make(depth, parameters) for kind, (make, parameters) in kinds.items() for depth in DEPTHS}
    )


def losses(model: nn.ModuleDict, batch) -> dict[str, corten.Tensor]:
    """The loss of each network on a batch, and the sum, whose gradients do not mix as no weight is shared."""
    images, labels = batch
    parts = {name: F.cross_entropy(network(images), labels) for name, network in model.items()}
    return {"loss": sum(parts.values()), **{name: part.detach() for name, part in parts.items()}}


def accuracies(model: nn.ModuleDict, images: corten.Tensor, labels: corten.Tensor) -> dict[str, float]:
    """The accuracy of each network on images of bytes."""
    scores = {name: predict(network, images, 500, normalised) for name, network in model.items()}
    return {name: accuracy(score, labels.cpu()).item() for name, score in scores.items()}


def draw_gap(path, model: nn.ModuleDict, tested: dict[str, float]) -> None:
    """Draws the accuracy by depth, a line for each kind of network, with its number of parameters."""
    figure, panel = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for kind, title, beside in (("cnn", "convolutions", 7), ("mlp", "linear layers", -14)):
        values = [100 * tested[f"{kind}_{depth}"] for depth in DEPTHS]
        sizes = [models.count_parameters(model[f"{kind}_{depth}"]) for depth in DEPTHS]
        panel.plot(DEPTHS, values, marker="o", label=f"{title}, {min(sizes):,} to {max(sizes):,} parameters")
        for depth, value in zip(DEPTHS, values, strict=True):
            panel.annotate(f"{value - values[0]:+.1f}", (depth, value), xytext=(0, beside), textcoords="offset points")
    panel.set(xlabel="layers", ylabel="test accuracy, %", xscale="log", xticks=DEPTHS, xticklabels=DEPTHS)
    panel.minorticks_off()
    panel.margins(y=0.15)
    panel.grid(alpha=0.3)
    panel.legend()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    print("wrote", path)


def units(network: nn.Module, layer: nn.Module, count: int, image: corten.Tensor) -> list:
    """The first channels of a layer, each at the middle of its map; a linear layer has no map."""
    shape = explain.LayerActivation(network, layer).attribute(image).shape[2:]
    return [(channel, *(size // 2 for size in shape)) for channel in range(count)]


def draw_responses(path, network: nn.Module, kind: type, layers: int, count: int, steps: int) -> None:
    """Draws what units of the first layers respond to: a row for each layer, and how strongly.

    What a unit does not see stays grey, so the rows show how much of the image each layer looks at.
    """
    network.eval()
    device = next(network.parameters()).device
    rows, titles = [], []
    for number, layer in enumerate([module for module in network if isinstance(module, kind)][:layers], 1):
        start = 0.02 * corten.randn(count, 1, 28, 28, device=device) + (BLACK + WHITE) / 2
        images, responses = explain.activation_maximization(
            network,
            start,
            units(network, layer, count, start[:1]),
            layer=layer,
            steps=steps,
            jitter=0,
            value_range=(BLACK, WHITE),
        )
        rows.append(images)
        titles += [f"layer {number}: {response:.1f}" for response in responses.tolist()]
    draw_images(path, corten.cat(rows), titles, columns=count)


def draw_training(path, history) -> None:
    """Draws the accuracy on the validation part while training, a panel for each kind of network."""

    def lines(kind: str) -> dict[str, list[float]]:
        return {f"{depth} layers": history[f"val_{kind}_{depth}"] for depth in DEPTHS}

    draw_curves(path, {f"validation accuracy of {kind}s": lines(kind) for kind in ("cnn", "mlp")})


def main() -> None:
    args = parse(arguments(__doc__, epochs=15, quick_epochs=1, out="shallow_deep"))
    test = fashion_mnist(train=False)
    images, labels = tensors(test if args.smoke else fashion_mnist(), args)
    # A split of its own seed: the same whatever --seed is.
    split = corten.Generator().manual_seed(0)
    chosen, held_out = stratified_split(labels.cpu(), [1 - VALIDATION, VALIDATION], generator=split)
    chosen = chosen[: sized(args, len(chosen), 15_000, 64)]
    validation = images[held_out], labels[held_out]
    batches = Batches(
        images[chosen],
        labels[chosen],
        batch_size=sized(args, 128, 128, 32),
        drop_last=True,
        transform=lambda images, labels: (flipped(normalised(images)), labels),
    )

    model = networks(args).to(args.device)
    optimizer = corten.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = corten.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=2e-3, total_steps=total_steps(args, len(batches)), pct_start=0.25
    )
    history = train(
        args,
        model,
        batches,
        optimizer=optimizer,
        step=lambda batch: losses(model, batch),
        step_scheduler=schedule,
        validation=lambda model: accuracies(model, *validation),
    )

    best = max(DEPTHS, key=lambda depth: history[f"val_cnn_{depth}"][-1])
    tested = accuracies(model, *tensors(test, args))
    for name, value in tested.items():
        print(f"{name}: {models.count_parameters(model[name]):,} parameters, test accuracy {value:.4f}")
    draw_training(args.out / "curves.png", history)
    draw_gap(args.out / "gap.png", model, tested)
    # In a small run the picture has the first layers only.
    size = {"layers": sized(args, 8, 8, 2), "count": sized(args, 8, 8, 2), "steps": sized(args, 256, 64, 2)}
    draw_responses(args.out / "responses_cnn.png", model["cnn_8"], nn.Conv2d, **size)
    draw_responses(args.out / "responses_mlp.png", model["mlp_8"], nn.Linear, **size)
    print(f"the validation part chose {best} convolutions")
    print_result("shallow_deep", "lead_points", 100 * (tested[f"cnn_{best}"] - tested["cnn_1"]), TARGET)


if __name__ == "__main__":
    main()
