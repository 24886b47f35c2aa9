"""Verification on Fashion-MNIST: are two images of one class, when training has seen neither image nor class?

Two ways to learn what belongs together. Metric learning places images of a class near each other and others farther
away (supervised contrastive loss), and the nearness of two images is the verdict. A siamese network learns the verdict
itself, from the differences of the two vectors that one network gives.

Training sees eight of the ten classes of the 60,000 training images, the test is about the other two: every pair of
their 2,000 test images is judged, and the area under the ROC curve says how well pairs of one class are told from pairs
of two. Five networks of each kind, side by side, leave out two classes each, so that every class is unseen once, and
the result is the mean of the five. The curves while training are about test images of the classes that are known.
"""

from __future__ import annotations

from statistics import fmean

import corten
import corten.nn.functional as F
from corten import metrics, models, nn
from corten.training import Batches
from matplotlib import pyplot

from common import arguments, draw_history, draw_images, parse, print_result, sized, total_steps, train
from datasets import fashion_mnist
from fashion_mnist import flipped, normalised, tensors

TARGET = 0.95
KINDS = ("metric", "siamese")
UNSEEN = {"01": (0, 1), "23": (2, 3), "45": (4, 5), "67": (6, 7), "89": (8, 9)}
# Of 8 known classes each is 1/8 of a batch, so 7 pairs of two classes come to one of the same.
PAIRS_OF_TWO = 7.0


def networks(args) -> nn.ModuleDict:
    """The networks by what they leave out, in a folder for each kind; they share no weight."""
    width, folds = sized(args, 16, 16, 4), list(UNSEEN)[: sized(args, 5, 5, 1)]
    return nn.ModuleDict(
        {
            "metric": nn.ModuleDict({fold: models.embedding_net(width=width) for fold in folds}),
            "siamese": nn.ModuleDict({fold: models.siamese_network(width=width) for fold in folds}),
        }
    )


def of_fold(fold: str, unseen: bool, images: corten.Tensor, labels: corten.Tensor):
    """The images and labels of the classes that a fold leaves out, or of those that it trains on."""
    chosen = corten.isin(labels, corten.tensor(UNSEEN[fold], device=labels.device)) == unseen
    return images[chosen], labels[chosen]


def same_class(labels: corten.Tensor) -> corten.Tensor:
    """Whether two images are of one class, for all pairs: `(N, N)`."""
    return labels[:, None] == labels


def pair_loss(network: nn.Module, images: corten.Tensor, labels: corten.Tensor) -> corten.Tensor:
    """The siamese network's loss on all pairs of a batch, in which pairs of one class count as much as the others."""
    vectors = network.encoder(images)
    first, second = corten.triu_indices(len(labels), len(labels), 1, device=labels.device)
    verdicts = network.compare(vectors[first], vectors[second])
    weight = corten.tensor(PAIRS_OF_TWO, device=labels.device)
    return F.binary_cross_entropy_with_logits(verdicts, (labels[first] == labels[second]).float(), pos_weight=weight)


def losses(model: nn.ModuleDict, batch) -> dict[str, corten.Tensor]:
    """The mean loss of each kind, and the sum of all networks', whose gradients do not mix."""
    images, labels = batch
    found = {kind: corten.zeros((), device=images.device) for kind in KINDS}
    for fold in model["metric"]:
        known, names = of_fold(fold, False, images, labels)
        found["metric"] += models.supervised_contrastive_loss(model["metric"][fold](known), names)
        found["siamese"] += pair_loss(model["siamese"][fold], known, names)
    means = {kind: value.detach() / len(model["metric"]) for kind, value in found.items()}
    return {"loss": found["metric"] + found["siamese"], **means}


def similarities(model: nn.ModuleDict, kind: str, fold: str, images: corten.Tensor) -> corten.Tensor:
    """How alike all images of bytes are to each other in the eyes of a network, `(N, N)`, on the CPU."""
    network = model[kind][fold]
    network.eval()
    encoder = network if kind == "metric" else network.encoder
    with corten.no_grad():
        vectors = corten.cat([encoder(normalised(part)) for part in images.split(500)])
        if kind == "metric":
            return (vectors @ vectors.T).cpu()
        return corten.cat([network.compare(rows[:, None], vectors).cpu() for rows in vectors.split(50)])


def judged(scores: corten.Tensor, labels: corten.Tensor) -> tuple[corten.Tensor, corten.Tensor]:
    """The scores of all pairs of two different images, each pair once, and whether they are of one class."""
    first, second = corten.triu_indices(len(labels), len(labels), 1)
    return scores[first, second], same_class(labels.cpu())[first, second].long()


def known_areas(model: nn.ModuleDict, images: corten.Tensor, labels: corten.Tensor) -> dict[str, float]:
    """The areas under the ROC curves over pairs of known classes, the mean of the networks of a kind."""
    areas: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for fold in model["metric"]:
        known, names = of_fold(fold, False, images, labels)
        for kind in KINDS:
            areas[kind].append(metrics.roc_auc(*judged(similarities(model, kind, fold, known), names)).item())
    return {f"{kind}_auc": fmean(values) for kind, values in areas.items()}


def draw_curves_of(path, curves: dict[str, dict[str, tuple]], names: list[str]) -> None:
    """Draws the ROC curves of pairs of unseen classes, a panel for each kind of network."""
    figure, panels = pyplot.subplots(1, len(curves), figsize=(6 * len(curves), 5), layout="constrained")
    for panel, (kind, folds) in zip(panels, curves.items(), strict=True):
        for fold, (false, true, area) in folds.items():
            unseen = " and ".join(names[label] for label in UNSEEN[fold])
            panel.plot(false.numpy(), true.numpy(), label=f"{unseen}: {area:.4f}")
        panel.set(title=kind, xlabel="pairs of two classes taken for one", ylabel="pairs of one class found")
        panel.legend(title="unseen, and the area", loc="lower right")
        panel.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    print("wrote", path)


def draw_nearest(path, model: nn.ModuleDict, images: corten.Tensor, labels: corten.Tensor, names: list[str]) -> None:
    """Draws an image of each class for a network that never saw it, and at its right the seven that are most like it.

    They are the nearest of all images, of known and unseen classes. Red are those of other classes.
    """
    rows = []
    for fold in model["metric"]:
        scores = similarities(model, "metric", fold, images)
        for label in UNSEEN[fold]:
            asked = (labels == label).nonzero()[:1, 0].cpu()
            others = scores[asked].index_fill(1, asked, float("-inf")).topk(min(7, len(labels) - 1)).indices[0]
            rows.append(corten.cat([asked, others]))
    flat, columns = corten.cat(rows), len(rows[0])
    shown = [names[label] for label in labels.cpu()[flat].tolist()]
    colors = ["black" if name == shown[place - place % columns] else "red" for place, name in enumerate(shown)]
    draw_images(path, images.cpu()[flat], shown, colors, columns)


def verify(args, model: nn.ModuleDict, images: corten.Tensor, labels: corten.Tensor, names: list[str]):
    """Judges all pairs of unseen classes, draws the curves, and returns the mean area of each kind."""
    curves: dict[str, dict[str, tuple]] = {kind: {} for kind in KINDS}
    for fold in model["metric"]:
        unseen, own = of_fold(fold, True, images, labels)
        for kind in KINDS:
            false, true, _ = metrics.roc_curve(*judged(similarities(model, kind, fold, unseen), own))
            curves[kind][fold] = (false, true, metrics.auc(false, true).item())
        areas = ", ".join(f"{kind} {curves[kind][fold][2]:.4f}" for kind in KINDS)
        print(f"unseen {' and '.join(names[label] for label in UNSEEN[fold])}: {areas}")
    draw_curves_of(args.out / "roc.png", curves, names)
    return {kind: fmean(area for *_, area in folds.values()) for kind, folds in curves.items()}


def main() -> None:
    args = parse(arguments(__doc__, epochs=4, quick_epochs=1, out="verification"))
    test = fashion_mnist(train=False)
    images, labels = tensors(test if args.smoke else fashion_mnist(), args)
    unseen = tensors(test, args)
    if args.quick:
        images, labels = images[:10_000], labels[:10_000]
    batches = Batches(
        images,
        labels,
        batch_size=sized(args, 160, 160, 32),
        drop_last=True,
        transform=lambda images, labels: (flipped(normalised(images)), labels),
    )

    model = networks(args).to(args.device)
    optimizer = corten.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    schedule = corten.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=3e-3, total_steps=total_steps(args, len(batches)), pct_start=0.2
    )
    history = train(
        args,
        model,
        batches,
        optimizer=optimizer,
        step=lambda batch: losses(model, batch),
        step_scheduler=schedule,
        validation=lambda model: known_areas(model, *(part[-500:] for part in unseen)),
    )

    draw_history(args.out / "curves.png", history)
    some = sized(args, 2000, 2000, 40)
    draw_nearest(args.out / "nearest.png", model, unseen[0][:some], unseen[1][:some], test.classes)
    for kind, area in verify(args, model, *unseen, test.classes).items():
        print_result(f"verification_{kind}", "roc_auc", area, TARGET)


if __name__ == "__main__":
    main()
