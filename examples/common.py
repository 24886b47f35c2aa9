"""What the examples share: arguments, the training run with its checkpoint, pictures, and the last line.

A program brings its data, network, loss and metric:

    parser = arguments(__doc__, epochs=8, quick_epochs=1, out="name")
    args = parse(parser)                                      # seeds, makes the folder
    model = network().to(args.device)
    history = train(args, model, batches, F.cross_entropy, optimizer, validation=..., metrics={"accuracy": ...})
    draw_history(args.out / "curves.png", history)
    print_result("name", "accuracy", history["val_accuracy"][-1], TARGET)
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import corten
import matplotlib
from corten.training import History, load_checkpoint, save_whole, seed_everything

matplotlib.use("Agg")  # a file is drawn, so no screen is needed
from matplotlib import pyplot

SMOKE_STEPS = 2
# Arguments that may differ between a run and the one that resumes it.
_FREE = {"out", "resume", "checkpoint_every", "data"}

T = TypeVar("T")


# -- arguments -----------------------------------------------------------------------------------------------------


def arguments(
    description: str, epochs: int, out: str, quick_epochs: int | None = None, resumes: bool = True
) -> argparse.ArgumentParser:
    """A parser with the options that every example has.

    Args:
        description: the program's docstring, whose first line is shown.
        epochs, quick_epochs: where `--epochs` is not given, without and with `--quick`.
        out: name of the folder that is written to.
        resumes: whether the program has checkpoints.
    """
    quick = quick_epochs or -(-epochs // 2)
    parser = argparse.ArgumentParser(
        description=description.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--device", default="cpu", help="where the network is trained")
    parser.add_argument("--seed", type=int, default=0, help="of weights, shuffling, augmentation and dropout")
    parser.add_argument(
        "--epochs",
        type=positive,
        default=argparse.SUPPRESS,
        help=f"passes over the training data (default: {epochs}, with --quick {quick})",
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="a shorter training, of a minute at most")
    size.add_argument("--smoke", action="store_true", help="two steps at toy size, to see that all runs")
    parser.add_argument("--out", type=Path, default=Path("out") / out, help="folder of the model and the pictures")
    if resumes:
        parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
        parser.add_argument("--checkpoint-every", type=positive, default=500, metavar="STEPS")
    parser.set_defaults(_epochs=(epochs, quick))
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments, after their seed was set and their folder was made."""
    args = parser.parse_args()
    full, quick = vars(args).pop("_epochs")
    if not hasattr(args, "epochs"):
        args.epochs = sized(args, full, quick, 1)
    args.out.mkdir(parents=True, exist_ok=True)
    seed_everything(args.seed)
    return args


def sized(args: argparse.Namespace, full: T, quick: T, smoke: T) -> T:
    """The value for the size of run that was asked for."""
    return smoke if args.smoke else quick if args.quick else full


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not positive")
    return number


# -- training ------------------------------------------------------------------------------------------------------


def total_steps(args: argparse.Namespace, steps_per_epoch: int) -> int:
    """Steps of the whole run, for schedules."""
    return SMOKE_STEPS if args.smoke else args.epochs * steps_per_epoch


def train(args: argparse.Namespace, model: corten.nn.Module, data, loss=None, optimizer=None, **options) -> History:
    """`corten.fit` with the program's arguments: its checkpoint is `checkpoint.pt` in `--out`, its weights `model.pt`.

    A checkpoint is refused where it was made with other arguments; the program ends with one line that says so.
    """
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()}
    common = {
        "epochs": args.epochs,
        "max_steps": SMOKE_STEPS if args.smoke else None,
        "checkpoint": args.out / "checkpoint.pt",
        "checkpoint_every": args.checkpoint_every,
        "resume": args.resume,
        "config": {name: value for name, value in settings.items() if name not in _FREE},
    }
    if args.resume:
        try:
            load_checkpoint(common["checkpoint"], common["config"])
        except (FileNotFoundError, ValueError) as error:
            raise SystemExit(str(error)) from None
    history = corten.fit(model, data, loss, optimizer, **(common | options))
    save_whole(model.state_dict(), args.out / "model.pt")
    print("wrote", args.out / "model.pt")
    return history


def part(args: argparse.Namespace, name: str) -> argparse.Namespace:
    """The arguments of one of several trainings of a program, with a folder of its own in `--out`.

    With `--resume` those that ended are read from their checkpoints, and the first that has none begins anew.
    """
    out = args.out / name
    out.mkdir(exist_ok=True)
    if args.resume and not any(args.out.glob("*/checkpoint.pt")):
        raise SystemExit(f"no checkpoint in the folders of {args.out}")
    resume = args.resume and (out / "checkpoint.pt").exists()
    return argparse.Namespace(**vars(args) | {"out": out, "resume": resume})


def accuracy(output: corten.Tensor, target: corten.Tensor) -> corten.Tensor:
    """The share of rows of scores `(N, C)` whose largest is that of the class in `target` `(N,)`."""
    return (output.argmax(1) == target).float().mean()


def predict(
    model: corten.nn.Module, inputs: corten.Tensor, batch_size: int = 1000, prepare: Callable | None = None
) -> corten.Tensor:
    """What the model says of all inputs, in evaluation mode, on the CPU; `prepare` is applied to each batch first."""
    device = next(model.parameters()).device
    model.eval()
    with corten.no_grad():
        parts = (part.to(device) for part in inputs.split(batch_size))
        return corten.cat([model(part if prepare is None else prepare(part)).cpu() for part in parts])


# -- pictures ------------------------------------------------------------------------------------------------------


def draw_history(path: Path, history: History) -> None:
    """Draws the curves of a training run, a panel for each quantity."""
    history.plot(path)
    print("wrote", path)


def draw_curves(path: Path, curves: dict[str, dict[str, Sequence[float]]], x_label: str = "epoch") -> None:
    """Draws one panel per entry of `curves`, which maps the panel's quantity to its named lines."""
    figure, panels = pyplot.subplots(1, len(curves), figsize=(5 * len(curves), 4), squeeze=False)
    for panel, (quantity, lines) in zip(panels[0], curves.items(), strict=True):
        for name, values in lines.items():
            panel.plot(range(1, len(values) + 1), values, marker=".", label=name)
        panel.set(xlabel=x_label, ylabel=quantity)
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.grid(alpha=0.3)
        panel.legend()
    _write(figure, path)


def draw_images(
    path: Path, images: corten.Tensor, titles: Sequence[str] = (), colors: Sequence[str] = (), columns: int = 8
) -> None:
    """Draws a grid of images `(N, 1, H, W)`, dark where they are large, or `(N, 3, H, W)` in 0 to 1, with titles."""
    rows = -(-len(images) // columns)
    figure, panels = pyplot.subplots(rows, columns, figsize=(1.4 * columns, 1.7 * rows), squeeze=False)
    for panel in panels.flat:
        panel.axis("off")
    for index, (panel, image) in enumerate(zip(panels.flat, images.cpu().numpy(), strict=False)):
        if len(image) == 1:
            panel.imshow(image[0], cmap="gray_r")
        else:
            panel.imshow(image.transpose(1, 2, 0).clip(0, 1))
        if index < len(titles):
            panel.set_title(titles[index], fontsize=8, color=colors[index] if index < len(colors) else "black")
    _write(figure, path)


def draw_texts(path: Path, texts: dict[str, Sequence[tuple[str, float]]], columns: int = 100) -> None:
    """Draws texts below their titles, each as pieces with weights: above 0 on red, below on blue, up to 1 and -1."""
    placed, row = [], 0
    for title, pieces in texts.items():
        placed.append((row, 0, title, None))
        row, column = row + 1, 0
        for piece, weight in pieces:
            if piece == "\n" or column + len(piece) > columns:
                row, column = row + 1, 0
            if piece != "\n":
                placed.append((row, column, piece.replace("$", r"\$"), weight))
                column += len(piece)
        row += 2
    width, height = 0.078, 0.19  # inches of a character
    figure = pyplot.figure(figsize=(width * columns, height * row))
    panel = figure.add_axes((0, 0, 1, 1), xlim=(-1, columns + 1), ylim=(row - 0.5, -1))
    panel.axis("off")
    shades = pyplot.get_cmap("bwr")
    for row, column, piece, weight in placed:
        bold = {"weight": "bold"} if weight is None else {}
        if weight:
            panel.add_patch(
                pyplot.Rectangle((column, row - 0.5), len(piece), 1, color=shades(0.5 + weight / 2.5), linewidth=0)
            )
        panel.text(column, row, piece, family="monospace", fontsize=9, verticalalignment="center", **bold)
    _write(figure, path, tight=False)


def draw_samples(path: Path, images: corten.Tensor, predicted: list[str], actual: list[str], columns: int = 8) -> None:
    """Draws images `(N, C, H, W)` with the class that was predicted, red and with the right one where it was wrong."""
    pairs = list(zip(predicted, actual, strict=True))
    titles = [guess if guess == truth else f"{guess}, not {truth}" for guess, truth in pairs]
    draw_images(path, images, titles, ["black" if guess == truth else "red" for guess, truth in pairs], columns)


def _write(figure: pyplot.Figure, path: Path, tight: bool = True) -> None:
    if tight:
        figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    print("wrote", path)


# -- the last line -------------------------------------------------------------------------------------------------


def print_result(name: str, metric: str, value: float, target: float) -> None:
    """The line that other programs read."""
    print(f"RESULT {name} {metric}={value:.4f} target={target}", flush=True)
