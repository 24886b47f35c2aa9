"""Occlusion: what an output loses when a part of the input is covered."""

import corten

from ._attribution import Attribution, like_inputs, repeated, repeated_target

__all__ = ["Occlusion"]


class Occlusion(Attribution):
    """Covers the input with a window at one place after the other (Zeiler & Fergus 2014).

    An element's attribution is the mean, over the windows that cover it, of how much the output falls.
    """

    def attribute(
        self,
        inputs,
        sliding_window_shapes,
        strides=None,
        baselines=None,
        target=None,
        additional_forward_args=None,
        perturbations_per_eval=1,
    ):
        """How much the output falls.

        Args:
            inputs: ``(N, ...)``, or a tuple of several; of several one is covered at a time.
            sliding_window_shapes: the window without the first dim, such as ``(3, 15, 15)``; a tuple of them for
                several inputs.
            strides: how far the window moves, a number or one for each dim, in a tuple for several inputs; 1 by
                default. The last window reaches the end.
            baselines: what covers: 0, a number, or a tensor ``(1, ...)`` or of the inputs' shape.
            target, additional_forward_args: as in `corten.explain.IntegratedGradients.attribute`.
            perturbations_per_eval: how many windows the model gets at once.

        Raises:
            TypeError: inputs that are no floating tensors.
            ValueError: a window, strides or baselines that do not fit, or strides that leave elements uncovered.
        """
        values = self.as_inputs(inputs)
        starts = self.as_baselines(baselines, values)
        windows = sliding_window_shapes if isinstance(inputs, tuple) else (sliding_window_shapes,)
        strides = strides if isinstance(inputs, tuple) and isinstance(strides, tuple) else (strides,) * len(values)
        if len(windows) != len(values) or len(strides) != len(values):
            raise ValueError(f"{self.name}: a window and strides for each of {len(values)} inputs")
        with corten.no_grad():
            before = self.output(values, target, additional_forward_args)
            found = []
            for number, value in enumerate(values):
                masks = self._masks(value, windows[number], strides[number])
                total, cover = corten.zeros_like(value), masks[0].new_zeros(value.shape[1:], dtype=value.dtype)
                for part in masks.split(perturbations_per_eval):
                    times = len(part)
                    covered = corten.where(part[:, None], starts[number], value).flatten(0, 1)
                    given = [repeated(other, times) for other in values]
                    given[number] = covered
                    after = self.output(
                        tuple(given), repeated_target(target, times), repeated(additional_forward_args, times)
                    )
                    fall = (before - after.reshape(times, -1)).reshape(times, -1, *(1,) * (value.dim() - 1))
                    total += (fall * part[:, None]).sum(0)
                    cover += part.sum(0)
                found.append(total / cover)
        return like_inputs(found, inputs)

    def _masks(self, value, window, stride):
        """Every place of the window, ``(places, ...)`` of bools."""
        shape = tuple(value.shape[1:])
        window = (window,) if isinstance(window, int) else tuple(window)
        steps = (stride or 1,) * len(shape) if stride is None or isinstance(stride, int) else tuple(stride)
        if len(window) != len(shape) or any(not 1 <= w <= s for w, s in zip(window, shape)):
            raise ValueError(f"{self.name}: a window has a size for each dim of {shape}, got {window}")
        if len(steps) != len(shape) or any(step < 1 for step in steps):
            raise ValueError(f"{self.name}: strides are positive, one for each dim of {shape}, got {steps}")
        if any(step > w and w < s for step, w, s in zip(steps, window, shape)):
            raise ValueError(f"{self.name}: strides {steps} leave gaps between windows {window}")
        lines = []
        for size, width, step in zip(shape, window, steps):
            first = corten.arange(0, size - width + step, step, device=value.device)[:, None]
            position = corten.arange(size, device=value.device)
            lines.append((position >= first) & (position < first + width))
        mask = corten.ones((), dtype=corten.bool, device=value.device)
        for dim, line in enumerate(lines):
            # (places so far, 1, ..., 1) and (1, places, ..., size): the product of intervals.
            mask = mask.reshape(-1, 1, *mask.shape[1:], 1) & line.reshape(1, len(line), *(1,) * dim, -1)
            mask = mask.flatten(0, 1)
        return mask
