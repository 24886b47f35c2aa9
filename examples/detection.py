"""FCOS, a detector without anchors, finds and names the clothes in a scene.

A scene is 64 × 64 pixels: one to four coloured items of Fashion-MNIST, of ten kinds, on a piece of a photo. Test
scenes are made of test images on photos that no training scene shows. What is measured is mAP@.5, the mean over the
ten classes of average precision where a box counts that overlaps a true one by half; how it goes during training is
measured on scenes of training images that are neither trained on nor tested on.
"""

from __future__ import annotations

import corten
from corten.metrics import mean_average_precision
from corten.models import fcos_small
from corten.training import Batches
from matplotlib import pyplot
from matplotlib.patches import Rectangle

from common import arguments, draw_history, parse, positive, print_result, sized, total_steps, train
from datasets import ITEMS, Missing, Scenes, scenes

TARGET = 0.85
SIZE = 64
Boxes = list[dict[str, corten.Tensor]]


def normalised(images: corten.Tensor) -> corten.Tensor:
    """Bytes `(N, 3, H, W)` as numbers around 0."""
    return images.float() / 127.5 - 1


def targets(boxes: corten.Tensor, labels: corten.Tensor) -> Boxes:
    """Of boxes `(N, 4, 4)` and labels `(N, 4)`, -1 where there is none: for each image a dict of those there are."""
    present = [int(count) for count in (labels >= 0).sum(1)]
    return [
        {"boxes": boxes[image, :count], "labels": labels[image, :count]} for image, count in enumerate(present)
    ]  # items stand in the first places


def augmented(images: corten.Tensor, boxes: corten.Tensor, labels: corten.Tensor) -> tuple:
    """Half of the scenes mirrored left to right, and the order of red, green and blue drawn for the batch."""
    mirrored = (corten.rand(len(images), 1, 1) < 0.5).to(images.device)
    images = corten.where(mirrored[:, None], images.flip(-1), images)[:, corten.randperm(3).to(images.device)]
    left, top, right, bottom = boxes.unbind(-1)
    boxes = corten.where(mirrored, corten.stack([SIZE - right, top, SIZE - left, bottom], -1), boxes)
    return normalised(images), targets(boxes, labels)


def made(args, count: int, seed: int, training: bool = True) -> tuple[corten.Tensor, corten.Tensor, corten.Tensor]:
    """Scenes as bytes `(N, 3, 64, 64)`, boxes `(N, 4, 4)` and labels `(N, 4)`, on the device."""
    try:
        found: Scenes = scenes(count, seed, SIZE, training, range(len(ITEMS)), questions=0)
    except Missing as missing:
        raise SystemExit(str(missing)) from None
    return found.images.to(args.device), found.boxes.to(args.device), found.labels.to(args.device)


def detect(model: corten.nn.Module, images: corten.Tensor, batch_size: int = 100) -> Boxes:
    """What the model finds in images, on the CPU."""
    model.eval()
    with corten.no_grad():
        found = [result for part in images.split(batch_size) for result in model(normalised(part))]
    return [{name: value.cpu() for name, value in result.items()} for result in found]


def precision(model: corten.nn.Module, data: tuple[corten.Tensor, ...]) -> dict[str, corten.Tensor]:
    """`mean_average_precision` at an overlap of a half."""
    images, boxes, labels = data
    return mean_average_precision(detect(model, images), targets(boxes.cpu(), labels.cpu()), iou_thresholds=(0.5,))


def draw_detections(path, images: corten.Tensor, found: Boxes, sure: float = 0.4) -> None:
    """Draws scenes with the boxes, classes and scores that were found with a score of at least `sure`."""
    figure, panels = pyplot.subplots(2, 4, figsize=(11, 5.8))
    for panel, image, result in zip(panels.flat, images.cpu().numpy(), found):
        panel.axis("off")
        panel.imshow(image.transpose(1, 2, 0))
        rows = zip(result["boxes"].tolist(), result["labels"].tolist(), result["scores"].tolist())
        for (left, top, right, bottom), label, score in rows:
            if score >= sure:
                corner = (left - 0.5, top - 0.5)
                panel.add_patch(Rectangle(corner, right - left, bottom - top, fill=False, color="lime", lw=1.5))
                box = {"facecolor": "black", "alpha": 0.6, "pad": 1, "lw": 0}
                panel.text(left, top, f"{ITEMS[label]} {score:.2f}", color="white", fontsize=7, va="bottom", bbox=box)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    print("wrote", path)


def main() -> None:
    parser = arguments(__doc__, epochs=7, quick_epochs=2, out="detection")
    parser.add_argument("--batch-size", type=positive, default=32)
    parser.add_argument("--lr", type=float, default=2e-3, help="peak learning rate")
    args = parse(parser)
    count, watched = sized(args, (20_000, 500), (2000, 200), (8, 4))
    data = made(args, count + watched, seed=args.seed)
    batch_size = sized(args, args.batch_size, args.batch_size, 4)
    batches = Batches(*(part[:count] for part in data), batch_size=batch_size, drop_last=True, transform=augmented)
    held_out = tuple(part[count:] for part in data)

    model = fcos_small(len(ITEMS), *sized(args, (24, 64), (24, 64), (8, 32)), score_threshold=0.1, candidates=100).to(
        args.device
    )
    optimizer = corten.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.05)
    schedule = corten.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=args.lr, total_steps=total_steps(args, len(batches)), pct_start=0.25
    )

    def step(batch) -> dict[str, corten.Tensor]:
        losses = model(*batch)
        return {"loss": sum(losses.values()), **losses}

    history = train(
        args,
        model,
        batches,
        step=step,
        optimizer=optimizer,
        step_scheduler=schedule,
        clip_norm=10.0,
        validation=lambda model: {"map_50": precision(model, held_out)["map_50"]},
    )

    test = made(args, sized(args, 2000, 500, 8), seed=args.seed, training=False)
    result = precision(model, test)
    for label, value in zip(result["classes"].tolist(), result["map_per_class"].tolist(), strict=True):
        print(f"{ITEMS[label]:<10} {value:.3f}")
    draw_detections(args.out / "detections.png", test[0][:8], detect(model, test[0][:8]))
    draw_history(args.out / "curves.png", history)
    print_result("detection", "map_50", float(result["map_50"]), TARGET)


if __name__ == "__main__":
    main()
