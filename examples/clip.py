"""CLIP learns images and captions in one space, and finds among 100 captions the one that belongs to an image.

A scene is 64 × 64 pixels: one to four coloured items of Fashion-MNIST on a piece of a photo, and a caption of class,
number, colour and places, such as "two red bags" or "a red bag at the top left and a blue boot at the bottom right".
Test scenes are made of test images on photos that no training scene shows. What is measured is recall@1: the share of
test images whose own caption is the nearest among 100 that differ, as a mean over groups of 100 such scenes.
"""

from __future__ import annotations

import corten
from corten.models import CLIP
from corten.models.clip import ImageTower, TextTower, info_nce
from corten.training import Batches
from matplotlib import pyplot

from common import arguments, draw_history, parse, positive, print_result, sized, total_steps, train
from datasets import Missing, encode, scenes, vocabulary

TARGET = 0.70
GROUP = 100
SIZE, PATCH = 64, 8
WORDS = 16  # of the longest caption, with its end
END = len(vocabulary())  # the largest token, at which the text's vector is taken


def normalised(images: corten.Tensor) -> corten.Tensor:
    """Bytes `(N, 3, H, W)` as numbers around 0."""
    return images.float() / 127.5 - 1


def tokens(captions: list[str]) -> corten.Tensor:
    """Words of captions and an end behind them `(N, 16)`."""
    ids = encode(captions, WORDS)
    return ids.scatter(1, (ids != 0).sum(1, keepdim=True), END)


def made(args, count: int, seed: int, training: bool = True) -> tuple[corten.Tensor, list[str]]:
    """Scenes as bytes `(N, 3, 64, 64)` on the device, and their captions."""
    try:
        found = scenes(count, seed, SIZE, training, questions=0)
    except Missing as missing:
        raise SystemExit(str(missing)) from None
    return found.images.to(args.device), found.captions


def distinct(captions: list[str], size: int) -> list[list[int]]:
    """Groups of `size` places in `captions`, within each of which all captions differ; those left over are in none."""
    groups: list[dict[str, int]] = []
    for place, caption in enumerate(captions):
        group = next((group for group in groups if len(group) < size and caption not in group), None)
        if group is None:
            groups.append(group := {})
        group[caption] = place
    return [list(group.values()) for group in groups if len(group) == size]


def vectors(model: CLIP, images: corten.Tensor, ids: corten.Tensor) -> tuple[corten.Tensor, corten.Tensor]:
    """Unit vectors of images and of texts, on the CPU."""
    model.eval()
    with corten.no_grad():
        seen = [model.encode_image(normalised(part)).cpu() for part in images.split(250)]
        read = [model.encode_text(part).cpu() for part in ids.split(250)]
    return corten.cat(seen), corten.cat(read)


def recall(seen: corten.Tensor, read: corten.Tensor, groups: list[list[int]]) -> float:
    """The share of images to which, within their group, their own text is nearest."""
    nearest = [(seen[group] @ read[group].T).argmax(1) == corten.arange(len(group)) for group in groups]
    return float(corten.cat(nearest).float().mean())


def draw_retrieval(path, images: corten.Tensor, captions: list[str], seen: corten.Tensor, read: corten.Tensor) -> None:
    """Draws how near each of eight images is to each of their captions."""
    near = (seen[:8] @ read[:8].T).numpy()
    figure, axes = pyplot.subplots(figsize=(11, 6.5))
    axes.imshow(near, cmap="viridis")
    for row, values in enumerate(near):
        for column, value in enumerate(values):
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color="white", fontsize=8)
        inset = axes.inset_axes((-0.13, 1 - (row + 1) / len(near), 0.12, 1 / len(near)))
        inset.imshow(images[row].cpu().numpy().transpose(1, 2, 0))
        inset.axis("off")
    axes.set_xticks(range(len(near)), captions[: len(near)], rotation=35, ha="right", fontsize=8)
    axes.set_yticks([])
    figure.savefig(path, dpi=110, bbox_inches="tight")
    pyplot.close(figure)
    print("wrote", path)


def network(args) -> CLIP:
    """Towers for 64 patches and 16 words; their vectors have 128 numbers."""
    width, layers = sized(args, (128, 4), (128, 4), (32, 1))
    towers = ImageTower(128, SIZE, PATCH, 3, width, layers, 4), TextTower(128, END + 1, WORDS, width, layers, 4)
    return CLIP(*towers).to(args.device)


def main() -> None:
    parser = arguments(__doc__, epochs=8, quick_epochs=4, out="clip")
    parser.add_argument("--batch-size", type=positive, default=128)
    parser.add_argument("--lr", type=float, default=1e-3, help="peak learning rate")
    args = parse(parser)
    count, watched, group = sized(args, (20_000, 500, GROUP), (4000, 200, GROUP), (32, 32, 8))
    images, captions = made(args, count + watched, seed=args.seed)
    ids = tokens(captions).to(args.device)
    groups = distinct(captions[count:], group)
    batches = Batches(
        images[:count],
        ids[:count],
        batch_size=sized(args, args.batch_size, args.batch_size, 8),
        drop_last=True,
        transform=lambda images, ids: (normalised(images), ids),
    )

    model = network(args)
    optimizer = corten.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.1)
    schedule = corten.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=args.lr, total_steps=total_steps(args, len(batches)), pct_start=0.2
    )
    history = train(
        args,
        model,
        batches,
        step=lambda batch: info_nce(model(*batch)),
        optimizer=optimizer,
        step_scheduler=schedule,
        clip_norm=1.0,
        validation=lambda model: {"recall": recall(*vectors(model, images[count:], ids[count:]), groups)},
    )

    shown, texts = made(args, sized(args, 2500, 500, 32), seed=args.seed, training=False)
    seen, read = vectors(model, shown, tokens(texts).to(args.device))
    groups = distinct(texts, group)
    print(f"{len(groups)} groups of {group} different captions")
    first = groups[0]
    draw_retrieval(args.out / "retrieval.png", shown[first], [texts[i] for i in first], seen[first], read[first])
    draw_history(args.out / "curves.png", history)
    print_result("clip", "recall_at_1", recall(seen, read, groups), TARGET)


if __name__ == "__main__":
    main()
