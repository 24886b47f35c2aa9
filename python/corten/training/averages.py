"""Means over the batches of an epoch, kept where the values are, so that no step waits for a number."""

import corten

__all__ = ["Averages"]


class Averages:
    """Weighted means of scalars by name. Tensors are added up on their device and read by `values` alone.

    Example:
        >>> import corten
        >>> averages = corten.training.Averages()
        >>> averages.add({"loss": corten.tensor(2.0)}, weight=3)
        >>> averages.add({"loss": corten.tensor(6.0)}, weight=1)
        >>> averages.values()
        {'loss': 3.0}
    """

    def __init__(self):
        self._sums = {}
        self._weights = {}

    def add(self, values, weight=1):
        """Takes in a value of each name.

        Args:
            values: numbers or tensors of one element, by name.
            weight: how much they count, usually the batch's size.

        Raises:
            ValueError: for a tensor of several elements.
        """
        for name, value in values.items():
            if isinstance(value, corten.Tensor):
                value = _scalar(name, value)
            # The first value is copied by the product, so that in-place sums never write into the caller's tensor.
            if name in self._sums:
                self._sums[name] += value * weight
            else:
                self._sums[name] = value * weight
                self._weights[name] = 0
            self._weights[name] += weight

    def values(self):
        """The means as numbers; this reads what was added."""
        return {name: float(total) / self._weights[name] for name, total in self._sums.items() if self._weights[name]}

    def clear(self):
        """Forgets everything."""
        self._sums.clear()
        self._weights.clear()

    def state_dict(self):
        """The sums and weights, to go on from."""
        return {"sums": dict(self._sums), "weights": dict(self._weights)}

    def load_state_dict(self, state, device=None):
        """Goes on from what `state_dict` told, with sums on `device`."""
        moved = {
            name: total.to(device) if isinstance(total, corten.Tensor) else total
            for name, total in state["sums"].items()
        }
        self._sums, self._weights = moved, dict(state["weights"])


def _scalar(name, value):
    if value.numel() != 1:
        raise ValueError(
            f"fit: {name!r} has to be a number or a tensor of one element, but got shape {tuple(value.shape)}"
        )
    # Sums of an epoch in float64 where the device has it.
    wide = corten.float64 if value.device.type == "cpu" else corten.float32
    return value.detach().reshape(()).to(wide)
