"""Handwritten digits with a small convolutional network: train, save, load, predict, draw; under a minute on two cores.

The data are the 1,797 images of 8 x 8 pixels that come with scikit-learn. A stratified five-fold run trains five
networks, each judged on the fifth of the images that it has not seen.
"""

from __future__ import annotations

import corten
import corten.nn.functional as F
from corten import nn
from corten.training import save_whole
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold
from tqdm import tqdm

from common import accuracy, arguments, draw_curves, draw_samples, parse, positive, predict, print_result, sized

FOLDS = 5
SIZE = 8  # pixels a side
TARGET = 0.98


def network() -> nn.Sequential:
    """Two convolutions and two linear layers: images `(N, 1, 8, 8)` to scores `(N, 10)`."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(32 * 4 * 4, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def shifted(images: corten.Tensor) -> corten.Tensor:
    """The images of a batch moved together by at most one pixel each way, with empty pixels at the edge."""
    down, right = corten.randint(0, 3, (2,)).tolist()
    return F.pad(images, (1, 1, 1, 1))[:, :, down : down + SIZE, right : right + SIZE]


def train(model, images, labels, test_images, test_labels, args, progress) -> dict[str, list[float]]:
    """Trains `model` in place; returns the loss and the accuracy on the test images after every epoch."""
    batches = -(-len(images) // args.batch_size)
    optimizer = corten.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.02)
    scheduler = corten.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=args.lr, total_steps=args.epochs * batches)
    history: dict[str, list[float]] = {"loss": [], "accuracy": []}
    for _ in range(args.epochs):
        model.train()
        total = corten.zeros((), device=args.device)
        for chosen in corten.randperm(len(images)).to(args.device).split(args.batch_size):
            loss = F.cross_entropy(model(shifted(images[chosen])), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            total += loss.detach() * len(chosen)
        history["loss"].append(total.item() / len(images))
        history["accuracy"].append(accuracy(predict(model, test_images), test_labels.cpu()).item())
        progress.set_postfix(loss=f"{history['loss'][-1]:.3f}", accuracy=f"{history['accuracy'][-1]:.3f}")
        progress.update()
    return history


def reload(model: nn.Module, images: corten.Tensor, args) -> nn.Module:
    """Saves the trained network, loads it into a new one, and checks that both say the same about `images`."""
    path = args.out / "digits.pt"
    save_whole(model.state_dict(), path)
    copy = network().to(args.device)
    copy.load_state_dict(corten.load(path))
    model.eval(), copy.eval()
    with corten.no_grad():
        if not corten.equal(model(images), copy(images)):
            raise RuntimeError(f"the network loaded from {path} predicts something else than the saved one")
    print("wrote", path)
    return copy


def parse_arguments():
    parser = arguments(__doc__, epochs=20, out="quickstart", resumes=False)
    parser.add_argument("--batch-size", type=positive, default=64)
    parser.add_argument("--lr", type=float, default=5e-3, help="peak learning rate")
    return parse(parser)


def main() -> None:
    args = parse_arguments()
    digits = load_digits()
    count = sized(args, len(digits.target), len(digits.target), 300)
    pixels, targets = digits.images[:count], digits.target[:count]
    images = corten.from_numpy(pixels).to(args.device, corten.float32).unsqueeze(1) / 16  # pixels are 0 to 16
    labels = corten.from_numpy(targets).to(args.device, corten.int64)

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=args.seed).split(pixels, targets)
    histories = []
    with tqdm(total=FOLDS * args.epochs, desc="training", unit="epoch") as progress:
        for fold, (seen, unseen) in enumerate(folds):
            corten.manual_seed(args.seed + fold)
            model = network().to(args.device)
            test_images, test_labels = images[unseen], labels[unseen]
            histories.append(train(model, images[seen], labels[seen], test_images, test_labels, args, progress))

    scores = [history["accuracy"][-1] for history in histories]
    print("accuracy of each fold:", " ".join(f"{score:.4f}" for score in scores))
    model = reload(model, test_images, args)
    with corten.no_grad():
        predicted = model(test_images).argmax(1)
    shown = slice(0, 32)
    draw_samples(
        args.out / "predictions.png",
        test_images[shown],
        [str(digit) for digit in predicted[shown].tolist()],
        [str(digit) for digit in test_labels[shown].tolist()],
    )
    draw_curves(
        args.out / "curves.png",
        {
            quantity: {f"fold {fold}": history[quantity] for fold, history in enumerate(histories, 1)}
            for quantity in ("loss", "accuracy")
        },
    )
    print_result("quickstart", "accuracy", sum(scores) / FOLDS, TARGET)


if __name__ == "__main__":
    main()
