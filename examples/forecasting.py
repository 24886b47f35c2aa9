"""Forecasting: LSTM, TCN, N-BEATS and PatchTST say tomorrow's electricity demand and temperatures, with intervals.

Two series. The demand of England and Wales by the half-hour (Taylor 2003): from each half-hour of the last two weeks
the 48 that follow, against what was one week before them. Seattle's temperatures of 2010 by the hour: from each hour of
the last eight weeks the 24 that follow, against the day before and against the last value, whichever is nearer.

A network sees how far the past was from the season before it, a week or a day, and says how far the future will be:
zeros are the naive forecast, a hard one to beat. It says three quantiles, of which the middle one is the forecast and
the outer two should hold 90 % of what comes. As many weeks before those of the test are for validation: they choose the
epoch of each network and which networks, by the mean of what they say, make the forecast that is measured. At each
origin its intervals are widened or narrowed by what would have held 90 % of the last weeks, as far as they are known
by then (conformalised quantile regression, Romano et al. 2019, on the move).
"""

from __future__ import annotations

from typing import NamedTuple

import corten
from corten import models
from corten.metrics import interval_coverage, mean_absolute_error, mean_absolute_percentage_error
from corten.models import pinball_loss
from corten.training import Batches, seed_everything
from matplotlib import pyplot

from common import arguments, parse, part, predict, print_result, sized, total_steps, train
from datasets import taylor, temperatures

QUANTILES = (0.05, 0.5, 0.95)
COVERAGE, COVERAGE_SLACK = 0.90, 0.05


class Task(NamedTuple):
    """A series to forecast.

    Attributes:
        name, unit: for pictures and the result.
        series: `(T,)` of float32.
        season: steps after which it nearly repeats.
        past: steps that a network sees, after their season before was taken away.
        horizon: steps that it says.
        held_out, tested: steps for validation, and those after them, at the series' end, for the test.
        recalled: origins whose forecasts adjust the intervals of the present one.
        error: what is measured.
    """

    name: str
    unit: str
    series: corten.Tensor
    season: int
    past: int
    horizon: int
    held_out: int
    tested: int
    recalled: int
    error: str


ERRORS = {"mape": mean_absolute_percentage_error, "mae": mean_absolute_error}


def tasks(args) -> list[Task]:
    demand = Task("demand", "MW", taylor(), 336, 336, 48, 672, 672, 624, "mape")
    heat = Task("temperature", "°F", temperatures()[1], 24, 168, 24, 56 * 24, 56 * 24, 336, "mae")
    if args.smoke:
        demand = demand._replace(series=demand.series[-1100:], past=48, held_out=72, tested=72, recalled=20)
        heat = heat._replace(series=heat.series[-300:], past=48, held_out=48, tested=48, recalled=20)
    return [demand, heat]


# -- windows ---------------------------------------------------------------------------------------------------------


class Windows(NamedTuple):
    """Origins of a series, and what is before and after them: changes from the season before in units of `scale`.

    Attributes:
        past: `(N, past)`.
        future: `(N, horizon)`.
        naive: the season before the future, in the series' own unit, `(N, horizon)`.
        actual: the future in that unit.
        last: the value at each origin, `(N, 1)`.
    """

    past: corten.Tensor
    future: corten.Tensor
    naive: corten.Tensor
    actual: corten.Tensor
    last: corten.Tensor


def windows(task: Task, first: int, end: int, scale: float) -> Windows:
    """All origins whose futures lie in `first` to `end`, places in the series."""
    change = (task.series[task.season :] - task.series[: -task.season]) / scale
    change = change[first - task.past - task.season : end - task.season].unfold(0, task.past + task.horizon, 1)
    after = task.series[first:end].unfold(0, task.horizon, 1)
    before = task.series[first - task.season : end - task.season].unfold(0, task.horizon, 1)
    last = task.series[first - 1 : end - task.horizon][:, None]
    return Windows(change[:, : task.past], change[:, task.past :], before, after, last)


def split(task: Task) -> tuple[Windows, Windows, float]:
    """Origins to learn from, later ones for validation and test, and the scale of changes among the first."""
    end = len(task.series) - task.held_out - task.tested
    scale = (task.series[task.season : end] - task.series[: end - task.season]).std().item()
    later = windows(task, end, len(task.series), scale)
    return windows(task, task.season + task.past, end, scale), later, scale


def first(origins: Windows, count: int) -> Windows:
    return Windows(*(part[:count] for part in origins))


def last(origins: Windows, count: int) -> Windows:
    return Windows(*(part[-count:] for part in origins))


def networks(task: Task, args) -> dict[str, corten.nn.Module]:
    """Each reads `(N, past)` and says `(N, horizon, 3)`."""
    width, ahead = sized(args, 64, 64, 8), {"horizon": task.horizon, "quantiles": QUANTILES}
    patch = sized(args, 16, 16, 12)
    return {
        "LSTM": models.LSTMForecaster(hidden=width, **ahead),
        "TCN": models.TCNForecaster(num_channels=(width // 2,) * sized(args, 6, 6, 2), **ahead),
        "N-BEATS": models.NBeats(length=task.past, width=2 * width, **ahead),
        "PatchTST": models.PatchTST(
            length=task.past, patch=patch, stride=patch // 2, d_model=width, heads=4, layers=2, d_ff=2 * width, **ahead
        ),
    }


# -- training and its judgement --------------------------------------------------------------------------------------


def train_one(args, task: Task, name: str, learned: Windows, validation: Windows):
    """Trains a network in a folder of its own, so that a run that is resumed finds the networks that are done."""
    own = part(args, f"{task.name}-{name.lower()}")
    seed_everything(args.seed)
    model = networks(task, args)[name].to(args.device)
    batches = Batches(learned.past.to(args.device), learned.future.to(args.device), batch_size=64)
    optimizer = corten.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    schedule = corten.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1e-3, total_steps=total_steps(args, len(batches)), pct_start=0.2
    )
    held_out = Batches(
        validation.past.to(args.device), validation.future.to(args.device), batch_size=500, shuffle=False
    )
    print(f"\n{task.name}, {name}")
    history = train(
        own,
        model,
        batches,
        lambda forecast, actual: pinball_loss(forecast, actual, QUANTILES),
        optimizer,
        step_scheduler=schedule,
        validation=held_out,
        clip_norm=1.0,
        monitor="val_loss",
        restore_best=True,
    )
    return model, history


def say(model, origins: Windows, scale: float) -> corten.Tensor:
    """Three quantiles in the series' own unit, in their order, `(N, horizon, 3)`."""
    changes = predict(model, origins.past).sort(dim=2).values
    return origins.naive[..., None] + scale * changes


def widened(forecast: corten.Tensor, origins: Windows, task: Task) -> corten.Tensor:
    """Forecasts of the origins of the test, `(N, horizon, 3)`, whose intervals were made to hold 90 % until then.

    At an origin the futures of those at least a horizon before it are known. By how far intervals missed the last
    `task.recalled` of them, step by step ahead, is what is added at both ends; it is less than nothing where intervals
    held too much.
    """
    low, middle, high = forecast.unbind(2)
    outside = corten.maximum(low - origins.actual, origins.actual - high)
    tested = task.tested - task.horizon + 1
    known = outside[-tested - task.horizon - task.recalled + 1 : -task.horizon].unfold(0, task.recalled, 1)
    by = corten.quantile(known, COVERAGE, dim=2)
    low, middle, high = (part[-tested:] for part in (low, middle, high))
    return corten.stack([(low - by).minimum(middle), middle, (high + by).maximum(middle)], dim=2)


def best_mix(error, said: dict[str, corten.Tensor], origins: Windows) -> list[str]:
    """The networks that are best for the origins, as many as together are better than fewer or more of them."""
    order = sorted(said, key=lambda name: float(error(said[name][..., 1], origins.actual)))
    mixes = [order[:count] for count in range(1, len(order) + 1)]
    return min(mixes, key=lambda names: float(error(mean([said[name] for name in names])[..., 1], origins.actual)))


def mean(parts: list[corten.Tensor]) -> corten.Tensor:
    return corten.stack(parts).mean(0)


# -- pictures --------------------------------------------------------------------------------------------------------


def draw_training(path, histories) -> None:
    figure, panels = pyplot.subplots(1, len(histories), figsize=(6 * len(histories), 4), squeeze=False)
    for panel, (task, runs) in zip(panels[0], histories.items()):
        for color, (name, history) in enumerate(runs.items()):
            panel.plot(history["epoch"], history["loss"], color=f"C{color}", alpha=0.4)
            panel.plot(history["epoch"], history["val_loss"], color=f"C{color}", label=name)
        panel.set(xlabel="epoch", ylabel="pinball loss (pale: training)", yscale="log", title=task)
        panel.legend()
    save(figure, path)


def draw_forecasts(path, task: Task, test: Windows, forecast: corten.Tensor) -> None:
    """Forecasts from three origins with their intervals, and the error by how far ahead it is."""
    figure, panels = pyplot.subplots(1, 4, figsize=(18, 4))
    ahead = range(1, task.horizon + 1)
    for panel, origin in zip(panels, (0, len(test.actual) // 2, len(test.actual) - 1)):
        low, middle, high = forecast[origin].unbind(1)
        panel.fill_between(ahead, low.numpy(), high.numpy(), alpha=0.3, label="90 %")
        panel.plot(ahead, middle.numpy(), label="forecast")
        panel.plot(ahead, test.naive[origin].numpy(), ":", label="a season before")
        panel.plot(ahead, test.actual[origin].numpy(), "k", label="actual", linewidth=1)
        panel.set(xlabel=f"steps after origin {origin}", ylabel=task.unit)
        panel.legend(fontsize=8)
    for name, said in (("forecast", forecast[..., 1]), ("a season before", test.naive)):
        panels[3].plot(ahead, (said - test.actual).abs().mean(0).numpy(), label=name)
    panels[3].set(xlabel="steps ahead", ylabel=f"mean absolute error in {task.unit}", ylim=(0, None))
    panels[3].legend(fontsize=8)
    save(figure, path)


def save(figure: pyplot.Figure, path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    print("wrote", path)


# -- the program -----------------------------------------------------------------------------------------------------


def forecast_task(args, task: Task):
    """Trains all networks for a task; returns their histories, the error, the naive one's, and the coverage."""
    learned, later, scale = split(task)
    validation, test = first(later, task.held_out - task.horizon + 1), last(later, task.tested - task.horizon + 1)
    error = ERRORS[task.error]
    histories, said = {}, {}
    for name in networks(task, args):
        model, histories[name] = train_one(args, task, name, learned, validation)
        said[name] = say(model, later, scale)

    naive = {"a season before": test.naive, "the last value": test.last.expand_as(test.actual)}
    print(f"\n{task.name}: {len(test.actual)} origins of {len(task.series)} steps")
    print(f"{'':40} {task.error:>8} coverage")
    for name, forecast in naive.items():
        print(f"{name:40} {float(error(forecast, test.actual)):8.4f}")
    for name, forecast in said.items():
        print(told(name, error, widened(forecast, later, task), test.actual))
    chosen = best_mix(error, {name: forecast[: len(validation.actual)] for name, forecast in said.items()}, validation)
    forecast = widened(mean([said[name] for name in chosen]), later, task)
    print(told(" + ".join(chosen), error, forecast, test.actual))
    draw_forecasts(args.out / f"{task.name}.png", task, test, forecast)
    target = min(float(error(forecast, test.actual)) for forecast in naive.values())
    covered = float(interval_coverage(forecast[..., 0], forecast[..., 2], test.actual))
    return histories, float(error(forecast[..., 1], test.actual)), target, covered


def told(name: str, error, forecast: corten.Tensor, actual: corten.Tensor) -> str:
    covered = float(interval_coverage(forecast[..., 0], forecast[..., 2], actual))
    return f"{name:40} {float(error(forecast[..., 1], actual)):8.4f} {covered:8.3f}"


def main() -> None:
    args = parse(arguments(__doc__, epochs=20, quick_epochs=2, out="forecasting"))
    found = [(task, *forecast_task(args, task)) for task in tasks(args)]
    draw_training(args.out / "curves.png", {task.name: histories for task, histories, *_ in found})
    for task, _, error, target, covered in found:
        print_result("forecasting", f"{task.name}_{task.error}", error, round(target, 4))
        print_result("forecasting", f"{task.name}_coverage_error", abs(covered - COVERAGE), COVERAGE_SLACK)


if __name__ == "__main__":
    main()
