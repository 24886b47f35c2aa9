"""Fashion-MNIST with two convolutions and batch norm; a killed run resumes from its checkpoint to the bit.

The data are the four IDX files of Debian's package dataset-fashion-mnist, or of the folder that --data names. The
accuracy is that of the network after the last epoch on the 10,000 test images, which training never sees.
"""

from __future__ import annotations

import time
from pathlib import Path

import corten
import corten.nn.functional as F
from corten import nn
from corten.vision.datasets import FashionMNIST
from tqdm import tqdm

from common import arguments, draw_curves, draw_samples, positive, print_result, save

TARGET = 0.925
MEAN, STD = 0.286, 0.353  # of the training pixels, which are 0 to 1
TEST_BATCH = 1000


def network() -> nn.Sequential:
    """Two convolutions with batch norm, two linear layers: images `(N, 1, 28, 28)` to scores `(N, 10)`."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(64 * 7 * 7, 256),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(256, 10),
    )


def normalised(pixels: corten.Tensor) -> corten.Tensor:
    return (pixels.float() / 255 - MEAN) / STD


def flipped(images: corten.Tensor) -> corten.Tensor:
    """Half of the images, chosen at random, mirrored left to right."""
    mirrored = corten.rand(len(images), 1, 1, 1).to(images.device) < 0.5
    return corten.where(mirrored, images.flip(-1), images)


class Batches:
    """Shuffled batches of indices without end, whose position can be saved: one permutation for every epoch."""

    def __init__(self, count: int, batch_size: int) -> None:
        self.count, self.batch_size = count, batch_size
        self.order = corten.empty(0, dtype=corten.int64)
        self.position = 0

    def __len__(self) -> int:
        """Whole batches in an epoch; the images that are left over wait for another permutation."""
        return self.count // self.batch_size

    def next(self) -> corten.Tensor:
        if self.position % len(self) == 0:
            self.order = corten.randperm(self.count)
            self.position = 0
        first = self.position * self.batch_size
        self.position += 1
        return self.order[first : first + self.batch_size]

    def state_dict(self) -> dict[str, object]:
        return {"order": self.order, "position": self.position}

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.order, self.position = state["order"], state["position"]


class Training:
    """A run: everything that a step reads or changes, so that all of it is in a checkpoint."""

    def __init__(self, data: FashionMNIST, args) -> None:
        self.args = args
        self.images, self.labels = data.data.unsqueeze(1).to(args.device), data.targets.to(args.device)
        self.batches = Batches(len(data), args.batch_size)
        if not len(self.batches):
            raise SystemExit(f"--batch-size {args.batch_size} is more than the {len(data)} training images")
        self.steps = args.epochs * len(self.batches)
        self.step = 0
        self.model = network().to(args.device)
        self.optimizer = corten.optim.AdamW(self.model.parameters(), lr=args.lr, weight_decay=0.05)
        self.scheduler = corten.optim.lr_scheduler.OneCycleLR(
            self.optimizer, max_lr=args.lr, total_steps=self.steps, pct_start=0.25
        )
        self.loss = corten.zeros((), device=args.device)  # summed over the steps of this epoch
        self.history: dict[str, list[float]] = {"loss": [], "accuracy": []}

    @property
    def settings(self) -> dict[str, object]:
        """The arguments that a checkpoint must have been made with."""
        names = ("batch_size", "device", "epochs", "lr", "seed")
        return {name: getattr(self.args, name) for name in names} | {"images": len(self.images)}

    def advance(self) -> None:
        """One step: a batch, its gradients, an update."""
        chosen = self.batches.next().to(self.args.device)
        images = flipped(normalised(self.images[chosen]))
        loss = F.cross_entropy(self.model(images), self.labels[chosen])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.scheduler.step()
        self.loss += loss.detach()
        self.step += 1

    def end_epoch(self, accuracy: float) -> None:
        self.history["loss"].append(self.loss.item() / len(self.batches))
        self.history["accuracy"].append(accuracy)
        self.loss.zero_()

    def save(self, path: Path) -> None:
        state = {
            "settings": self.settings,
            "step": self.step,
            "loss": self.loss,
            "history": self.history,
            "random": corten.get_rng_state(),
            "batches": self.batches.state_dict(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
        }
        save(state, path)

    def resume(self, path: Path) -> None:
        state = corten.load(path, map_location="cpu")
        if state["settings"] != self.settings:
            raise SystemExit(f"{path} is of a run with {state['settings']}, this one has {self.settings}")
        self.step, self.history = state["step"], state["history"]
        self.loss = state["loss"].to(self.args.device)
        self.batches.load_state_dict(state["batches"])
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        corten.set_rng_state(state["random"])


def predict(model: nn.Module, pixels: corten.Tensor, device: str) -> corten.Tensor:
    """The classes `(N,)` of uint8 images `(N, 28, 28)`."""
    model.eval()
    with corten.no_grad():
        parts = pixels.unsqueeze(1).split(TEST_BATCH)
        return corten.cat([model(normalised(part.to(device))).argmax(1).cpu() for part in parts])


def train(run: Training, test: FashionMNIST, checkpoint: Path, args) -> None:
    """Runs to the last step, with a checkpoint every `--checkpoint-every` steps and after every epoch."""
    steps_per_epoch = len(run.batches)
    started = time.perf_counter()
    with tqdm(total=run.steps, initial=run.step, desc="training", unit="step", mininterval=0.5) as progress:
        while run.step < run.steps:
            run.model.train()
            run.advance()
            progress.update()
            ends_epoch = run.step % steps_per_epoch == 0
            if ends_epoch:
                guesses = predict(run.model, test.data, args.device)
                run.end_epoch((guesses == test.targets).float().mean().item())
                loss, accuracy = run.history["loss"][-1], run.history["accuracy"][-1]
                seconds = time.perf_counter() - started
                epoch = len(run.history["loss"])
                progress.write(f"epoch {epoch}: loss {loss:.4f}, test accuracy {accuracy:.4f}, {seconds:.0f} s")
            if ends_epoch or run.step % args.checkpoint_every == 0:
                run.save(checkpoint)


def parse_arguments():
    parser = arguments(__doc__.splitlines()[0], epochs=8, out="fashion_mnist")
    parser.add_argument("--data", default="data", help="folder of the IDX files, before the one of Debian's package")
    parser.add_argument("--batch-size", type=positive, default=64)
    parser.add_argument("--lr", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--checkpoint-every", type=positive, default=500, metavar="STEPS")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    try:
        data, test = FashionMNIST(args.data, train=True), FashionMNIST(args.data, train=False)
    except RuntimeError as error:
        raise SystemExit(str(error)) from None
    args.out.mkdir(parents=True, exist_ok=True)
    checkpoint = args.out / "checkpoint.pt"

    corten.manual_seed(args.seed)
    run = Training(data, args)
    if args.resume:
        if not checkpoint.exists():
            raise SystemExit(f"there is no {checkpoint} to resume from")
        run.resume(checkpoint)
        print(f"resumed after step {run.step} of {run.steps}")
    train(run, test, checkpoint, args)

    save(run.model.state_dict(), args.out / "model.pt")
    print("wrote", args.out / "model.pt")
    shown = slice(0, 32)
    guesses = predict(run.model, test.data[shown], args.device).tolist()
    draw_samples(
        args.out / "predictions.png",
        test.data[shown].unsqueeze(1),
        [test.classes[guess] for guess in guesses],
        [test.classes[label] for label in test.targets[shown].tolist()],
    )
    draw_curves(
        args.out / "curves.png",
        {"loss": {"training": run.history["loss"]}, "accuracy": {"test": run.history["accuracy"]}},
    )
    print_result("fashion_mnist", run.history["accuracy"][-1], TARGET)


if __name__ == "__main__":
    main()
