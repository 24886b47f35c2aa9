"""What the programs share: where weights, batches and noise come from, and how losses and the metric are told.

    python program.py                    learns with random numbers of its own, from seed 0
    python program.py --seed 3           the same from another seed
    python program.py --write FILE       writes data, weights and noise to a file and ends
    python program.py --read FILE        learns with those alone, so that two packages do the same

It prints one line of JSON with the losses in order and the metric at the end.
"""

import argparse
import json

import numpy as np
import torch


class Noise:
    """Random numbers by name: those of a file, in order, or fresh ones of the package."""

    def __init__(self, stored=None):
        self._stored = stored
        self._next = {}

    def _draw(self, name, shape, fresh):
        if self._stored is None:
            return fresh(shape)
        first = self._next.get(name, 0)
        self._next[name] = last = first + int(np.prod(shape))
        values = self._stored[name]
        if last > len(values):
            raise ValueError(f"{last} numbers are needed of {name}, but the file has {len(values)}")
        return values[first:last].reshape(shape)

    def normal(self, *shape):
        return self._draw("normal", shape, torch.randn)

    def uniform(self, *shape):
        return self._draw("uniform", shape, torch.rand)

    def permutation(self, n):
        if self._stored is None:
            return torch.randperm(n)
        # Ranks of uniform numbers: the same on every package.
        return torch.argsort(self.uniform(n))


class Report:
    """Collects the losses."""

    def __init__(self):
        self.losses = []

    def __call__(self, loss):
        self.losses.append(loss.item() if hasattr(loss, "item") else float(loss))


def main(make_data, build, train, normals=0, uniforms=0):
    """Runs a program.

    Args:
        make_data: of a numpy generator; returns a dictionary of tensors.
        build: returns a dictionary of modules.
        train: of modules, data, noise and report; returns the metric.
        normals, uniforms: how many random numbers of each kind a run with a file takes.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write")
    parser.add_argument("--read")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    models = build()
    noise = Noise()
    if options.read:
        stored = torch.load(options.read)
        for name, model in models.items():
            model.load_state_dict(stored["weights"][name])
        data, noise = stored["data"], Noise(stored["noise"])
    else:
        data = make_data(np.random.default_rng(0))
    if options.write:
        weights = {name: model.state_dict() for name, model in models.items()}
        numbers = {"normal": torch.randn(normals), "uniform": torch.rand(uniforms)}
        torch.save({"data": data, "weights": weights, "noise": numbers}, options.write)
        return
    report = Report()
    metric = train(models, data, noise, report)
    print(json.dumps({"losses": report.losses, "metric": float(metric)}))


def digits(rng):
    """The 1797 handwritten digits of scikit-learn, shuffled: images ``(N, 1, 8, 8)`` in 0 … 1, and labels."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = rng.permutation(len(images))
    images = torch.tensor(images[order], dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    return images, torch.tensor(labels[order], dtype=torch.int64)


def text(length):
    """English text of that many characters, as numbers, and how many different ones there are."""
    from pydoc_data.topics import topics

    joined = "\n".join(topics[name] for name in sorted(topics) if isinstance(topics[name], str))
    joined = "".join(c for c in joined.lower() if c.isascii())[:length]
    letters = {c: i for i, c in enumerate(sorted(set(joined)))}
    return torch.tensor([letters[c] for c in joined]), len(letters)
