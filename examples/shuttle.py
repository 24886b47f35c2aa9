"""Rare faults in the Space Shuttle's sensors: two networks that were shown faults, and one that was not.

The data are the 49,097 readings of nine sensors of NASA's Statlog set, of the package river; 7.15 % are anomalies. 30 %
are held out, with as many anomalies among them as elsewhere; 7 % decide which epoch's weights are kept. An MLP counts
each anomaly as often as makes both kinds weigh the same, an FT-Transformer dwells on what it still gets wrong (focal
loss): both are measured by the average precision on the held-out readings. An autoencoder learns what readings look
like from the same rows, anomalies among them, and is never told which those are: it is measured by how well its errors
part the two kinds, the area under the ROC curve.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

import corten
import corten.nn.functional as F
from corten import metrics, models, nn
from corten.data import stratified_split
from corten.training import Batches, History, seed_everything
from matplotlib.figure import Figure

from common import arguments, draw_history, parse, part, predict, print_result, sized, total_steps, train
from datasets import shuttle

TARGET_PRECISION, TARGET_AREA = 0.99, 0.95
SENSORS = 9
UNUSUAL = 0.15  # of all readings, at most: what the autoencoder is told of the data in place of labels


class Part(NamedTuple):
    """Readings `(N, 9)` and whether each is an anomaly `(N,)`."""

    readings: corten.Tensor
    anomalies: corten.Tensor


# -- data ----------------------------------------------------------------------------------------------------------


def split(args: argparse.Namespace) -> tuple[Part, Part, Part]:
    """Parts to learn from, to choose the epoch with, and to measure with; the same ones whatever the seed."""
    readings, anomalies = shuttle()
    count = sized(args, len(readings), len(readings), 1000)
    readings, anomalies = readings[:count], anomalies[:count]
    parts = stratified_split(anomalies, [0.63, 0.07, 0.3], generator=corten.Generator().manual_seed(0))
    scaled = squeezed(readings, readings[parts[0]])
    return tuple(Part(scaled[rows].to(args.device), anomalies[rows].to(args.device)) for rows in parts)


def squeezed(readings: corten.Tensor, like: corten.Tensor) -> corten.Tensor:
    """Columns around the median of those of `like`, in units of their mean distance from it, far ones by logarithm.

    Some sensors are 0 nearly always and at times thousands, which would drown everything else.
    """
    median = like.median(0).values
    return ((readings - median) / (like - median).abs().mean(0)).asinh()


# -- three trainings -----------------------------------------------------------------------------------------------


def stage(args: argparse.Namespace, name: str) -> argparse.Namespace:
    """The arguments of one of the trainings, in a folder of its own; resuming begins those that have no checkpoint."""
    seed_everything(args.seed)
    return part(args, name)


def learn(
    args: argparse.Namespace, model: nn.Module, batches: Batches, loss: Callable, lr: float, **options
) -> History:
    """Trains with a rate that rises to `lr` and falls; ends with the weights of the epoch that did best."""
    optimizer = corten.optim.AdamW(model.parameters(), lr=lr, weight_decay=1e-4)
    schedule = corten.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=lr, total_steps=total_steps(args, len(batches)), pct_start=0.2
    )
    return train(args, model, batches, loss, optimizer, step_scheduler=schedule, restore_best=True, **options)


def learn_classifier(args, name: str, model: nn.Module, loss: Callable, learned: Part, chosen: Part, lr: float) -> None:
    """Trains a network `(N, 9)` to logits `(N,)`; the epoch with the best average precision on `chosen` is kept."""
    own = stage(args, name)
    history = learn(
        own,
        model.to(args.device),
        Batches(*learned, batch_size=256, drop_last=True),
        loss,
        lr,
        validation=Batches(*chosen, batch_size=2048, shuffle=False),
        metrics={"average_precision": metrics.AveragePrecision()},
        monitor="val_average_precision",
        mode="max",
    )
    draw_history(args.out / f"curves_{name}.png", history)


def trimmed_error(given: corten.Tensor, readings: corten.Tensor) -> corten.Tensor:
    """The mean squared error of the rows `(N, 9)` that come back best (least trimmed squares, Rousseeuw 1984).

    With a loss of all rows the network would learn to give anomalies back as well: they are alike, and far away.
    """
    errors = (given - readings).square().mean(1)
    return errors.topk(round(len(errors) * (1 - UNUSUAL)), largest=False).values.mean()


def learn_autoencoder(args, model: nn.Module, learned: corten.Tensor, chosen: corten.Tensor) -> None:
    """Trains a network to give readings `(N, 9)` back; the epoch with the least error on `chosen` is kept."""
    own = stage(args, "autoencoder")
    batches = Batches(learned, learned, batch_size=256, drop_last=True)
    validation = Batches(chosen, chosen, batch_size=2048, shuffle=False)
    history = learn(own, model.to(args.device), batches, trimmed_error, 3e-3, validation=validation)
    draw_history(args.out / "curves_autoencoder.png", history)


# -- what there is to see ------------------------------------------------------------------------------------------


def draw(path, test: Part, scores: dict[str, corten.Tensor], errors: corten.Tensor) -> None:
    """Precision by recall of the networks that were shown anomalies, and the other one's errors for both kinds."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    curves, bars = figure.subplots(1, 2)
    for name, values in scores.items():
        precision, recall, _ = metrics.precision_recall_curve(values, test.anomalies)
        curves.plot(recall.cpu().numpy(), precision.cpu().numpy(), label=name)
    curves.set(xlabel="recall", ylabel="precision", title="anomalies found, by networks that were shown some")
    curves.grid(alpha=0.3)
    curves.legend()
    logarithms = errors.clamp(min=1e-6).log10()
    for name, rows in (("usual", ~test.anomalies), ("anomalies", test.anomalies)):
        bars.hist(logarithms[rows].cpu().numpy(), bins=60, alpha=0.6, density=True, label=name)
    bars.set(
        xlabel="log10 of the autoencoder's error",
        ylabel="density",
        title="readings that came back badly, no label shown",
    )
    bars.legend()
    figure.savefig(path, dpi=100)
    print("wrote", path)


# -- the program ---------------------------------------------------------------------------------------------------


def main() -> None:
    args = parse(arguments(__doc__, epochs=12, quick_epochs=1, out="shuttle"))
    learned, chosen, test = split(args)
    counts = [len(part.readings) for part in (learned, chosen, test)]
    print("{} readings to learn from, {} to choose with, {} held out".format(*counts))

    mlp = nn.Sequential(models.TabularMLP(SENSORS, hidden=sized(args, (128, 64), (128, 64), (16,))), nn.Flatten(0))
    weight = models.positive_weight(learned.anomalies)
    learn_classifier(
        args,
        "mlp",
        mlp,
        lambda logits, labels: F.binary_cross_entropy_with_logits(logits, labels.float(), pos_weight=weight),
        learned,
        chosen,
        2e-3,
    )
    transformer = nn.Sequential(
        models.FTTransformer(SENSORS, dim=sized(args, 64, 64, 8), blocks=sized(args, 2, 2, 1)), nn.Flatten(0)
    )
    learn_classifier(args, "ft_transformer", transformer, models.focal_loss, learned, chosen, 1e-3)
    autoencoder = models.AnomalyAutoencoder(SENSORS)
    learn_autoencoder(args, autoencoder, learned.readings, chosen.readings)

    scores = {
        "MLP": predict(mlp, test.readings),
        "FT-Transformer": predict(transformer, test.readings),
    }
    errors = autoencoder.eval().score(test.readings).cpu()
    test = Part(test.readings.cpu(), test.anomalies.cpu())
    draw(args.out / "anomalies.png", test, scores, errors)
    for name, values in (("shuttle_mlp", scores["MLP"]), ("shuttle_ft_transformer", scores["FT-Transformer"])):
        precision = metrics.average_precision(values, test.anomalies).item()
        print_result(name, "average_precision", precision, TARGET_PRECISION)
    print_result("shuttle_autoencoder", "roc_auc", metrics.roc_auc(errors, test.anomalies).item(), TARGET_AREA)


if __name__ == "__main__":
    main()
