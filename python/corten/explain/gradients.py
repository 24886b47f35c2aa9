"""Attributions from gradients: saliency, integrated gradients, gradient SHAP, and means over noise."""

import corten
import numpy as np

from ._attribution import Attribution, like_inputs, repeated, repeated_target

__all__ = ["Saliency", "InputXGradient", "IntegratedGradients", "GradientShap", "NoiseTunnel", "SmoothGrad"]


class Saliency(Attribution):
    """The gradient of an output by the input (Simonyan et al. 2013).

    Args:
        forward_func: a module or a function of the inputs.

    Example::

        >>> saliency = corten.explain.Saliency(lambda x: x[:, 0] * 2 - x[:, 1])
        >>> saliency.attribute(corten.ones(1, 2), abs=False).tolist()
        [[2.0, -1.0]]
    """

    def attribute(self, inputs, target=None, abs=True, additional_forward_args=None):
        """The gradients, or their sizes.

        Args:
            inputs: ``(N, ...)``, or a tuple of several.
            target: which output; see `corten.explain`.
            abs: whether the sign is dropped.
            additional_forward_args: what else the model takes, not explained.

        Returns:
            Of the inputs' shape.

        Raises:
            TypeError: inputs that are no floating tensors.
            ValueError: a target that does not fit the output.
            RuntimeError: an output without a gradient.
        """
        values = self.as_inputs(inputs)
        gradients = self.gradients(values, target, additional_forward_args)
        return like_inputs([g.abs() if abs else g for g in gradients], inputs)


class InputXGradient(Attribution):
    """The input times the gradient: what a linear model of the neighbourhood adds up (Shrikumar et al. 2016)."""

    def attribute(self, inputs, target=None, additional_forward_args=None):
        """Arguments and errors are those of `Saliency.attribute`."""
        values = self.as_inputs(inputs)
        gradients = self.gradients(values, target, additional_forward_args)
        return like_inputs([value * g for value, g in zip(values, gradients)], inputs)


def _riemann(shift):
    return lambda n: ((np.arange(n) + shift) / n, np.full(n, 1 / n))


def _gauss_legendre(n):
    points, weights = np.polynomial.legendre.leggauss(n)
    return (points + 1) / 2, weights / 2


def _trapezoid(n):
    weights = np.full(n, 1 / max(n - 1, 1))
    weights[[0, -1]] /= 2
    return np.linspace(0, 1, n), weights


# Points between 0 and 1 and weights that approximate an integral.
_RULES = {
    "gausslegendre": _gauss_legendre,
    "riemann_left": _riemann(0.0),
    "riemann_middle": _riemann(0.5),
    "riemann_right": _riemann(1.0),
    "riemann_trapezoid": _trapezoid,
}


class IntegratedGradients(Attribution):
    """Gradients integrated along the straight line from a baseline to the input (Sundararajan et al. 2017).

    Attributions sum to the difference of the outputs of input and baseline (completeness); two networks that compute
    the same get the same (implementation invariance).
    """

    def attribute(
        self,
        inputs,
        baselines=None,
        target=None,
        additional_forward_args=None,
        n_steps=50,
        method="gausslegendre",
        internal_batch_size=None,
        return_convergence_delta=False,
    ):
        """The integral (x − x′) ∫ ∂F(x′ + α (x − x′)) / ∂x dα.

        Args:
            inputs: ``(N, ...)``, or a tuple of several.
            baselines: 0, a number, or a tensor ``(1, ...)`` or of the inputs' shape; a tuple of such for several.
            target: which output; see `corten.explain`.
            additional_forward_args: what else the model takes; tensors have a row for each example.
            n_steps: at how many points of the line the gradient is taken.
            method: ``"gausslegendre"``, ``"riemann_left"``, ``"riemann_middle"``, ``"riemann_right"`` or
                ``"riemann_trapezoid"``.
            internal_batch_size: how many examples the model gets at once, at least one point of the line; by default
                all.
            return_convergence_delta: also returns by how much the sums miss completeness, ``(N,)``.

        Raises:
            TypeError: inputs that are no floating tensors.
            ValueError: baselines or a target that do not fit, fewer than one step, or an unknown method.
        """
        if method not in _RULES:
            raise ValueError(f"{self.name}: method is one of {', '.join(_RULES)}, got {method!r}")
        if n_steps < 1 + (method == "riemann_trapezoid"):
            raise ValueError(f"{self.name}: n_steps is too small for {method}: {n_steps}")
        values = self.as_inputs(inputs)
        starts = self.as_baselines(baselines, values)
        count = len(values[0])
        at_once = n_steps if internal_batch_size is None else max(internal_batch_size // max(count, 1), 1)
        totals = [corten.zeros_like(value) for value in values]
        points, weights = _RULES[method](n_steps)
        for i in range(0, n_steps, at_once):
            alphas, shares = points[i : i + at_once], weights[i : i + at_once]
            steps = len(alphas)
            path = tuple(_along(start, value, alphas) for start, value in zip(starts, values))
            gradients = self.gradients(path, repeated_target(target, steps), repeated(additional_forward_args, steps))
            for total, gradient, value in zip(totals, gradients, values):
                total += (_column(shares, value) * gradient.reshape(steps, *value.shape)).sum(0)
        found = [total * (value - start) for total, value, start in zip(totals, values, starts)]
        if not return_convergence_delta:
            return like_inputs(found, inputs)
        with corten.no_grad():
            ends = [self.output(side, target, additional_forward_args) for side in (values, starts)]
        return like_inputs(found, inputs), _summed(found) - (ends[0] - ends[1])


def _column(numbers, like):
    return corten.tensor(numbers, dtype=like.dtype, device=like.device).reshape(-1, *(1,) * like.dim())


def _along(start, end, alphas):
    """Points of the line for every example, ``(len(alphas) · N, ...)``."""
    return (start + _column(alphas, end) * (end - start)).flatten(0, 1)


def _summed(attributions):
    return sum(a.flatten(1).sum(1) if a.dim() > 1 else a for a in attributions)


class GradientShap(Attribution):
    """SHAP values as expected gradients (Lundberg & Lee 2017; Erion et al. 2019).

    The mean, over baselines drawn from a set, points of the line between baseline and input, and noise, of the
    gradient times the distance to the baseline. In expectation the values of an example sum to its output less the
    baselines' mean output.
    """

    def attribute(
        self,
        inputs,
        baselines,
        n_samples=5,
        stdevs=0.0,
        target=None,
        additional_forward_args=None,
        return_convergence_delta=False,
        generator=None,
    ):
        """The expected gradients.

        Args:
            inputs: ``(N, ...)``, or a tuple of several.
            baselines: the set that is drawn from, ``(B, ...)`` with any B; a tuple of such for several inputs.
            n_samples: how many draws for each example.
            stdevs: the standard deviation of the noise on the inputs, a number or a tuple of them.
            target, additional_forward_args: as in `IntegratedGradients.attribute`.
            return_convergence_delta: also returns by how much the sums miss the difference, ``(N,)``.
            generator: draws the random numbers.

        Raises:
            TypeError: inputs or baselines that are no floating tensors.
            ValueError: baselines or a target that do not fit.
        """
        values = self.as_inputs(inputs)
        pools = self.as_inputs(baselines)
        if len(pools) != len(values) or any(p.shape[1:] != v.shape[1:] for p, v in zip(pools, values)):
            shapes = [[tuple(x.shape) for x in side] for side in (pools, values)]
            raise ValueError(
                f"{self.name}: baselines have shape (B, ...) like the inputs, got {shapes[0]} for {shapes[1]}"
            )
        noisy = [_with_noise(v, stdev, n_samples, generator) for v, stdev in zip(values, _each(stdevs, values))]
        rows, device = n_samples * len(values[0]), values[0].device
        drawn = corten.randint(0, len(pools[0]), (rows,), generator=generator, device=device)
        alpha = corten.rand(rows, generator=generator, device=device)
        starts = [pool[drawn] for pool in pools]
        path = tuple(s + alpha.to(v).reshape(-1, *(1,) * (v.dim() - 1)) * (v - s) for s, v in zip(starts, noisy))
        gradients = self.gradients(
            path, repeated_target(target, n_samples), repeated(additional_forward_args, n_samples)
        )
        found = [
            (g * (v - s)).reshape(n_samples, *value.shape).mean(0)
            for g, v, s, value in zip(gradients, noisy, starts, values)
        ]
        if not return_convergence_delta:
            return like_inputs(found, inputs)
        return like_inputs(found, inputs), _summed(found) - self._differences(
            values, pools, target, additional_forward_args
        )

    def _differences(self, values, pools, target, more):
        """Each example's output less the mean output of the baselines, for the example's own target."""
        count, size = len(values[0]), len(pools[0])
        with corten.no_grad():
            own = self.output(values, target, more)
            # Every baseline beside every example: targets and further arguments are the examples'.
            spread = tuple(pool.repeat_interleave(count, 0) for pool in pools)
            base = self.output(spread, repeated_target(target, size), repeated(more, size))
        return own - base.reshape(size, count).mean(0)


def _each(value, inputs):
    return value if isinstance(value, tuple) else (value,) * len(inputs)


def _with_noise(value, stdev, times, generator):
    copies = repeated(value, times)
    if not stdev:
        return copies
    return copies + stdev * corten.randn(copies.shape, generator=generator, dtype=copies.dtype, device=copies.device)


class NoiseTunnel:
    """Another method's attributions of inputs with noise, averaged: smoother maps.

    Args:
        attribution_method: `Saliency`, `IntegratedGradients` or another method.
    """

    def __init__(self, attribution_method):
        self.method = attribution_method

    def attribute(
        self,
        inputs,
        nt_type="smoothgrad",
        nt_samples=5,
        nt_samples_batch_size=None,
        stdevs=1.0,
        target=None,
        additional_forward_args=None,
        generator=None,
        **options,
    ):
        """Attributions over noise.

        Args:
            inputs: ``(N, ...)``, or a tuple of several.
            nt_type: ``"smoothgrad"`` for the mean (Smilkov et al. 2017), ``"smoothgrad_sq"`` for the mean of squares,
                ``"vargrad"`` for the variance (Adebayo et al. 2018).
            nt_samples: how many draws of noise for each example.
            nt_samples_batch_size: how many of them the model gets at once; by default all.
            stdevs: the standard deviation of the noise, a number or a tuple of them.
            target, additional_forward_args, options: those of the method.
            generator: draws the noise.

        Raises:
            ValueError: an unknown ``nt_type``, or what the method raises.
        """
        if nt_type not in ("smoothgrad", "smoothgrad_sq", "vargrad"):
            raise ValueError(f"NoiseTunnel: nt_type is smoothgrad, smoothgrad_sq or vargrad, got {nt_type!r}")
        values = self.method.as_inputs(inputs)
        firsts = [corten.zeros_like(value) for value in values]
        squares = [corten.zeros_like(value) for value in values]
        # Baselines belong to examples, but for those that are drawn from.
        own = options.get("baselines") is not None and not isinstance(self.method, GradientShap)
        starts = self.method.as_baselines(options["baselines"], values) if own else None
        at_once = nt_samples_batch_size or nt_samples
        for start in range(0, nt_samples, at_once):
            times = min(at_once, nt_samples - start)
            noisy = tuple(_with_noise(v, stdev, times, generator) for v, stdev in zip(values, _each(stdevs, values)))
            if starts is not None:
                options["baselines"] = tuple(repeated(start, times) for start in starts)
            options["target"] = repeated_target(target, times)
            options["additional_forward_args"] = repeated(additional_forward_args, times)
            for first, square, found in zip(firsts, squares, self.method.attribute(noisy, **options)):
                found = found.reshape(times, *first.shape)
                first += found.sum(0) / nt_samples
                square += found.square().sum(0) / nt_samples
        if nt_type == "smoothgrad":
            return like_inputs(firsts, inputs)
        if nt_type == "vargrad":
            squares = [square - first.square() for square, first in zip(squares, firsts)]
        return like_inputs(squares, inputs)


class SmoothGrad(Attribution):
    """The mean gradient of inputs with noise (Smilkov et al. 2017): `NoiseTunnel` on `Saliency`.

    Args:
        forward_func: a module or a function of the inputs.
    """

    def attribute(self, inputs, target=None, n_samples=50, stdevs=0.15, abs=False, generator=None, **options):
        """The mean over ``n_samples`` draws of noise with the standard deviation ``stdevs``.

        Other arguments and errors are those of `Saliency.attribute` and `NoiseTunnel.attribute`.
        """
        tunnel = NoiseTunnel(Saliency(self.forward_func))
        return tunnel.attribute(
            inputs, target=target, nt_samples=n_samples, stdevs=stdevs, abs=abs, generator=generator, **options
        )
