"""Verification on Fashion-MNIST: are two images of one class, when training has seen neither image nor class?

Networks that learn to tell eight classes forget what does not matter for those eight, and that is what would tell two
others. So nothing here is a class. EfficientNet-Lite0, whose weights are frozen and know photos of ImageNet, looks at
an image in two sizes, dark and light; its maps and the outline of the clothes are nine views of it. In each view an
image is described by which images of known classes it is like: its profile, a softmax over its nearness to them, as in
matching networks (Vinyals et al. 2016). Even what was never seen has its own mixture of known things.

What is near is learned from the known classes. In closed form, directions that vary within a class are shrunk (within-
class covariance normalisation, Hatch et al. 2006). Then episodes go on from there: in each two known classes play
unseen, the images of the other six are those that they are compared with, and images of the two are to be told apart.
Metric learning places images, and the nearness of two is the verdict (supervised contrastive loss). A siamese network
learns the verdict itself, from how alike two images are in each view. What does the work is EfficientNet's maps, the
whitening and the profiles. The episodes weigh them and add little: a network starts near where it ends.

Training sees eight of the ten classes of Fashion-MNIST, the test is about the other two: every pair of their 2,000 test
images is judged, and the area under the ROC curve says how well pairs of one class are told from pairs of two. Five
networks of each kind, side by side, leave out two classes each, so that every class is unseen once, and the result is
the mean of the five. ImageNet has photos of clothes among its thousand classes; what the two classes look like in
Fashion-MNIST is in no training. The curves while training are about test images of the classes that are known.
"""

from __future__ import annotations

from statistics import fmean

import corten
import corten.nn.functional as F
from corten import metrics, models, nn
from corten.models.efficientnet import EfficientNet
from corten.training import Batches
from matplotlib import pyplot

from common import arguments, draw_history, draw_images, parse, print_result, sized, total_steps, train
from datasets import efficientnet_lite0_weights, fashion_mnist
from fashion_mnist import tensors

TARGET = 0.95
KINDS = ("metric", "siamese")
UNSEEN = {"01": (0, 1), "23": (2, 3), "45": (4, 5), "67": (6, 7), "89": (8, 9)}
SIZES = (96, 160)  # to which images are enlarged for EfficientNet
RATE = 2e-3


# -- views of an image ----------------------------------------------------------------------------------------------


def outline(images: corten.Tensor) -> corten.Tensor:
    """Where there are clothes at all, blurred: bytes `(N, 1, 28, 28)` to `(N, 784)`."""
    row = corten.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=images.device) / 16
    return F.conv2d((images > 15).float(), (row[:, None] * row)[None, None], padding=2).flatten(1)


def photo_views(network: EfficientNet, images: corten.Tensor, size: int) -> list[corten.Tensor]:
    """The maps of a 16th of the size as means of 3 × 3 fields, and the means of the last maps."""
    enlarged = F.interpolate(images.float(), (size, size), mode="bilinear", align_corners=False)
    maps = network.extract_endpoints(((enlarged - 127) / 128).expand(-1, 3, -1, -1))
    return [F.adaptive_avg_pool2d(maps["reduction_4"], 3).flatten(1), maps["reduction_6"].mean((2, 3))]


def views(args, images: corten.Tensor) -> list[corten.Tensor]:
    """Views `(N, features)` of images of bytes: the outline, and both of EfficientNet's for each size, dark and light.

    A network that is narrow and without weights looks with `--smoke`.
    """
    network = EfficientNet(0.25, 0.1, lite=True) if args.smoke else models.efficientnet_lite0()
    if not args.smoke:
        network.load_state_dict(efficientnet_lite0_weights())
    network.to(args.device).eval()
    sizes, rows = sized(args, SIZES, SIZES[:1], (64,)), []
    with corten.no_grad():
        for part in images.split(100):
            photos = [photo_views(network, seen, size) for size in sizes for seen in (part, 255 - part)]
            rows.append([outline(part), *(view for pair in photos for view in pair)])
            corten.stack([view.sum() for view in rows[-1]]).tolist()  # so that a part's work is done before the next's
    return [corten.cat(view) for view in zip(*rows, strict=True)]


# -- training -------------------------------------------------------------------------------------------------------


def networks(args, features: list[corten.Tensor], labels: corten.Tensor) -> nn.ModuleDict:
    """The networks by what they leave out, in a folder for each kind; they share no weight."""
    kinds, folds = (models.MatchingMetric, models.MatchingSiamese), list(UNSEEN)[: sized(args, 5, 5, 1)]
    known = {fold: of_fold(fold, False, features, labels) for fold in folds}
    return nn.ModuleDict(
        {kind: nn.ModuleDict({fold: made(*known[fold]) for fold in folds}) for kind, made in zip(KINDS, kinds)}
    )


def among(labels: corten.Tensor, classes) -> corten.Tensor:
    return corten.isin(labels, corten.tensor(classes, device=labels.device))


def of_fold(fold: str, unseen: bool, features: list[corten.Tensor], labels: corten.Tensor):
    """The features and labels of the classes that a fold leaves out, or of those that it trains on."""
    chosen = among(labels, UNSEEN[fold]) == unseen
    return [view[chosen] for view in features], labels[chosen]


def same_class(labels: corten.Tensor) -> corten.Tensor:
    """Whether two images are of one class, for all pairs: `(N, N)`."""
    return labels[:, None] == labels


def siamese_loss(verdicts: corten.Tensor, labels: corten.Tensor) -> corten.Tensor:
    """Cross-entropy of all pairs `(N, N)`, in which those of one class count as much as the others."""
    same = same_class(labels)
    different = ~same
    same = same & ~corten.eye(len(labels), dtype=corten.bool, device=labels.device)
    wrong = corten.where(same, F.softplus(-verdicts), 0.0).sum() / same.sum().clamp(min=1)
    return (wrong + corten.where(different, F.softplus(verdicts), 0.0).sum() / different.sum().clamp(min=1)) / 2


def episode(fold: str, features: list[corten.Tensor], labels: corten.Tensor):
    """Of a batch the images of two known classes, their labels, and the images of the other known classes."""
    classes = [label for label in range(10) if label not in UNSEEN[fold]]
    playing = [classes[place] for place in corten.randperm(len(classes))[:2].tolist()]
    asked, others = among(labels, playing), among(labels, [label for label in classes if label not in playing])
    return [view[asked] for view in features], labels[asked], [view[others] for view in features]


def losses(model: nn.ModuleDict, batch) -> dict[str, corten.Tensor]:
    """The mean loss of each kind, and the sum of all networks', whose gradients do not mix."""
    *features, labels = batch
    found = {kind: corten.zeros((), device=labels.device) for kind in KINDS}
    for fold in model["metric"]:
        asked, names, known = episode(fold, features, labels)
        found["metric"] += models.supervised_contrastive_loss(model["metric"][fold](asked, known), names)
        found["siamese"] += siamese_loss(model["siamese"][fold](asked, known), names)
    means = {kind: value.detach() / len(model["metric"]) for kind, value in found.items()}
    return {"loss": found["metric"] + found["siamese"], **means}


# -- verdicts -------------------------------------------------------------------------------------------------------


class Judge:
    """Trained networks, and the images of known classes that they compare with.

    Args:
        model: the networks.
        features, labels: views and classes of the training images; a fold's own classes are left out.
    """

    def __init__(self, model: nn.ModuleDict, features: list[corten.Tensor], labels: corten.Tensor) -> None:
        self.model = model
        self.known = {fold: of_fold(fold, False, features, labels)[0] for fold in model["metric"]}

    def scores(self, kind: str, fold: str, features: list[corten.Tensor]) -> corten.Tensor:
        """How alike all images are to each other in the eyes of a network, `(N, N)`, on the CPU."""
        with corten.no_grad():
            return self.model[kind][fold].alike(features, self.known[fold]).cpu()


def judged(scores: corten.Tensor, labels: corten.Tensor) -> tuple[corten.Tensor, corten.Tensor]:
    """The scores of all pairs of two different images, each pair once, and whether they are of one class."""
    first, second = corten.triu_indices(len(labels), len(labels), 1)
    return scores[first, second], same_class(labels.cpu())[first, second].long()


def known_areas(judge: Judge, features: list[corten.Tensor], labels: corten.Tensor) -> dict[str, float]:
    """The areas under the ROC curves over pairs of known classes, the mean of the networks of a kind."""
    areas: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for fold in judge.known:
        known, names = of_fold(fold, False, features, labels)
        for kind in KINDS:
            areas[kind].append(metrics.roc_auc(*judged(judge.scores(kind, fold, known), names)).item())
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


def draw_nearest(
    path, judge: Judge, images: corten.Tensor, features: list[corten.Tensor], labels: corten.Tensor, names: list[str]
) -> None:
    """Draws an image of each class for a network that never saw it, and at its right the seven that are most like it.

    They are the nearest of all images, of known and unseen classes. Red are those of other classes.
    """
    rows = []
    for fold in judge.known:
        scores = judge.scores("metric", fold, features)
        for label in UNSEEN[fold]:
            asked = (labels == label).nonzero()[:1, 0].cpu()
            others = scores[asked].index_fill(1, asked, float("-inf")).topk(min(7, len(labels) - 1)).indices[0]
            rows.append(corten.cat([asked, others]))
    flat, columns = corten.cat(rows), len(rows[0])
    shown = [names[label] for label in labels.cpu()[flat].tolist()]
    colors = ["black" if name == shown[place - place % columns] else "red" for place, name in enumerate(shown)]
    draw_images(path, images.cpu()[flat], shown, colors, columns)


def verify(args, judge: Judge, features: list[corten.Tensor], labels: corten.Tensor, names: list[str]):
    """Judges all pairs of unseen classes, draws the curves, and returns the mean area of each kind."""
    curves: dict[str, dict[str, tuple]] = {kind: {} for kind in KINDS}
    for fold in judge.known:
        unseen, own = of_fold(fold, True, features, labels)
        for kind in KINDS:
            false, true, _ = metrics.roc_curve(*judged(judge.scores(kind, fold, unseen), own))
            curves[kind][fold] = (false, true, metrics.auc(false, true).item())
        areas = ", ".join(f"{kind} {curves[kind][fold][2]:.4f}" for kind in KINDS)
        print(f"unseen {' and '.join(names[label] for label in UNSEEN[fold])}: {areas}")
    draw_curves_of(args.out / "roc.png", curves, names)
    return {kind: fmean(area for *_, area in folds.values()) for kind, folds in curves.items()}


def main() -> None:
    args = parse(arguments(__doc__, epochs=5, quick_epochs=2, out="verification"))
    test = fashion_mnist(train=False)
    images, labels = tensors(test if args.smoke else fashion_mnist(), args)
    count = sized(args, 8000, 2000, 128)
    labels, features = labels[:count], views(args, images[:count])
    asked, own = tensors(test, args)
    asked, own = (part[: sized(args, 10_000, 2000, 128)] for part in (asked, own))
    seen = views(args, asked)

    model = networks(args, features, labels).to(args.device)
    judge = Judge(model, features, labels)
    batches = Batches(*features, labels, batch_size=sized(args, 400, 400, 100), drop_last=True)
    optimizer = corten.optim.Adam(model.parameters(), lr=RATE)
    schedule = corten.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps(args, len(batches)), pct_start=0.2)
    some = sized(args, 2000, 1000, 128)
    history = train(
        args,
        model,
        batches,
        optimizer=optimizer,
        step=lambda batch: losses(model, batch),
        step_scheduler=schedule,
        validation=lambda model: known_areas(judge, [view[-500:] for view in seen], own[-500:]),
    )

    draw_history(args.out / "curves.png", history)
    near = [view[:some] for view in seen]
    draw_nearest(args.out / "nearest.png", judge, asked[:some], near, own[:some], test.classes)
    for kind, area in verify(args, judge, seen, own, test.classes).items():
        print_result(f"verification_{kind}", "roc_auc", area, TARGET)


if __name__ == "__main__":
    main()
