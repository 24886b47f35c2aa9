"""L-BFGS with an optional strong-Wolfe line search."""

import functools

import corten

from .optimizer import Optimizer, check_lr, to_scalar

__all__ = ["LBFGS"]


def _parts(x):
    """A complex tensor as pairs of real numbers."""
    return corten.view_as_real(x) if x.is_complex() else x


class LBFGS(Optimizer):
    """Limited-memory BFGS (Nocedal and Wright, "Numerical Optimization", 2nd edition, algorithms 7.4 and 7.5).

    Needs a closure that clears the gradients, computes the loss, calls ``backward`` and returns the loss, because one
    step evaluates the model many times. Only one parameter group is possible. Keeps ``history_size + 1`` copies of all
    parameters.

    Args:
        params: parameters.
        lr: length of the step, or first length that the line search tries.
        max_iter: iterations a step.
        max_eval: evaluations of the closure a step, ``max_iter * 1.25`` where not given.
        tolerance_grad: stops when no gradient component is larger.
        tolerance_change: stops when neither loss nor parameters change more.
        history_size: number of past updates remembered.
        line_search_fn: ``'strong_wolfe'`` or None.

    Raises:
        ValueError: for a negative learning rate and for more than one group.
        RuntimeError: for an unknown line search.
    """

    def __init__(
        self,
        params,
        lr=1,
        max_iter=20,
        max_eval=None,
        tolerance_grad=1e-7,
        tolerance_change=1e-9,
        history_size=100,
        line_search_fn=None,
    ):
        check_lr(lr)
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._params = self.param_groups[0]["params"]

    def __setstate__(self, state):
        super().__setstate__(state)
        self._params = self.param_groups[0]["params"]

    def _flat_grad(self):
        """All gradients in one vector, complex ones as pairs; parameters without one count as zero."""
        pieces = [
            _parts(corten.zeros_like(param) if param.grad is None else param.grad).reshape(-1) for param in self._params
        ]
        return corten.cat(pieces, 0)

    def _move(self, length, direction):
        offset = 0
        for param in self._params:
            param = _parts(param)
            count = param.numel()
            param.add_(direction[offset : offset + count].view_as(param), alpha=_number(length))
            offset += count

    def _evaluate_at(self, closure, origin, direction, length):
        """Loss and gradient at ``origin + length * direction``; the parameters are put back."""
        self._move(length, direction)
        loss = float(_number(closure()))
        flat_grad = self._flat_grad()
        for param, value in zip(self._params, origin):
            param.copy_(value)
        return loss, flat_grad

    def step(self, closure):
        """Runs up to ``max_iter`` iterations and returns the loss of the first evaluation."""
        with corten.no_grad():
            return self._minimize(corten.enable_grad()(closure))

    def _minimize(self, closure):
        group = self.param_groups[0]
        lr = to_scalar(group["lr"])
        max_iter, max_eval, tolerance_change = group["max_iter"], group["max_eval"], group["tolerance_change"]
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss = closure()
        loss = float(_number(first_loss))
        evaluations = 1
        state["func_evals"] += 1
        flat_grad = self._flat_grad()
        if flat_grad.abs().max() <= group["tolerance_grad"]:
            return first_loss
        memory = _Memory(state, group["history_size"])
        iteration = 0
        while iteration < max_iter:
            iteration += 1
            state["n_iter"] += 1
            direction = memory.direction(flat_grad, first=state["n_iter"] == 1)
            memory.remember(flat_grad, loss)
            previous_loss = loss
            length = min(1.0, 1.0 / flat_grad.abs().sum()) * lr if state["n_iter"] == 1 else lr
            memory.length = length
            slope = flat_grad.dot(direction)
            if slope > -tolerance_change:
                break
            used = 0
            if group["line_search_fn"] is not None:
                if group["line_search_fn"] != "strong_wolfe":
                    raise RuntimeError("only 'strong_wolfe' is supported")
                origin = [param.clone(memory_format=corten.contiguous_format) for param in self._params]
                loss, flat_grad, length, used = strong_wolfe(
                    functools.partial(self._evaluate_at, closure, origin, direction),
                    length,
                    direction,
                    loss,
                    flat_grad,
                    slope,
                    max_steps=max_eval - evaluations,
                )
                memory.length = length
                self._move(length, direction)
            else:
                self._move(length, direction)
                if iteration != max_iter:
                    loss = float(_number(closure()))
                    flat_grad = self._flat_grad()
                    used = 1
            evaluations += used
            state["func_evals"] += used
            if iteration == max_iter or evaluations >= max_eval:
                break
            if flat_grad.abs().max() <= group["tolerance_grad"]:
                break
            if direction.mul(length).abs().max() <= tolerance_change:
                break
            if abs(loss - previous_loss) < tolerance_change:
                break
        memory.save()
        return first_loss


class _Memory:
    """The past updates that approximate the inverse Hessian, with the names they have in the optimizer's state."""

    _names = ("d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad", "prev_loss")

    def __init__(self, state, size):
        self.state = state
        self.size = size
        self.latest, self.length, self.old_dirs, self.old_steps, self.ro, self.scale, self.grad, self.loss = (
            state.get(name) for name in self._names
        )

    def save(self):
        values = (
            self.latest,
            self.length,
            self.old_dirs,
            self.old_steps,
            self.ro,
            self.scale,
            self.grad,
            self.loss,
        )
        self.state.update(zip(self._names, values))

    def remember(self, flat_grad, loss):
        if self.grad is None:
            self.grad = flat_grad.clone(memory_format=corten.contiguous_format)
        else:
            self.grad.copy_(flat_grad)
        self.loss = loss

    def direction(self, flat_grad, first):
        """The descent direction by the two-loop recursion; the negative gradient at the first iteration."""
        if first:
            self.latest = flat_grad.neg()
            self.old_dirs, self.old_steps, self.ro, self.scale = [], [], [], 1
            return self.latest
        change = flat_grad.sub(self.grad)
        step = self.latest.mul(self.length)
        curvature = change.dot(step)
        if curvature > 1e-10:
            if len(self.old_dirs) == self.size:
                for history in (self.old_dirs, self.old_steps, self.ro):
                    history.pop(0)
            self.old_dirs.append(change)
            self.old_steps.append(step)
            self.ro.append(1.0 / curvature)
            self.scale = curvature / change.dot(change)
        # Factors stay tensors here: reading each would wait for the engine twice per remembered update.
        count = len(self.old_dirs)
        factors = self.state.setdefault("al", [None] * self.size)
        result = flat_grad.neg()
        for i in range(count - 1, -1, -1):
            factors[i] = self.old_steps[i].dot(result) * self.ro[i]
            result.addcmul_(self.old_dirs[i], factors[i], value=-1)
        result = result * self.scale
        for i in range(count):
            back = self.old_dirs[i].dot(result) * self.ro[i]
            result.addcmul_(self.old_steps[i], factors[i] - back)
        self.latest = result
        return result


def _number(value):
    return value.item() if isinstance(value, corten.Tensor) else value


def cubic_minimum(x1, f1, g1, x2, f2, g2, bounds=None):
    """The minimum, inside ``bounds``, of the cubic with values ``f`` and slopes ``g`` at ``x1`` and ``x2``.

    Nocedal and Wright, equation 3.59; the middle of the bounds where the cubic has no minimum.
    """
    low, high = bounds if bounds is not None else (min(x1, x2), max(x1, x2))
    d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2)
    square = d1**2 - g1 * g2
    if square < 0:
        return (low + high) / 2.0
    d2 = square**0.5
    if x1 <= x2:
        position = x2 - (x2 - x1) * ((g2 + d2 - d1) / (g2 - g1 + 2 * d2))
    else:
        position = x1 - (x1 - x2) * ((g1 + d2 - d1) / (g1 - g2 + 2 * d2))
    return min(max(position, low), high)


class _Point:
    """A trial of the line search: length, loss, gradient and slope along the direction."""

    __slots__ = ("length", "loss", "grad", "slope")

    def __init__(self, length, loss, grad, slope):
        self.length, self.loss, self.grad, self.slope = length, loss, grad, slope


def strong_wolfe(evaluate, length, direction, loss, grad, slope, c1=1e-4, c2=0.9, tolerance=1e-9, max_steps=25):
    """Finds a length that meets the strong Wolfe conditions (Nocedal and Wright, algorithms 3.5 and 3.6).

    Args:
        evaluate: maps a length to loss and gradient.
        length: first trial.
        direction, loss, grad, slope: search direction and the situation at length zero.
        c1, c2: constants of the sufficient-decrease and of the curvature condition.
        tolerance: stops when the bracket, in units of the largest parameter change, is smaller.
        max_steps: number of trials after the first.

    Returns:
        Loss, gradient, length, and the number of evaluations.
    """
    largest = direction.abs().max()
    start = _Point(0, loss, grad, slope)

    def trial(t):
        new_loss, new_grad = evaluate(t)
        return _Point(t, new_loss, new_grad, new_grad.dot(direction))

    bracket, steps, done = _find_bracket(trial, start, length, c1, c2, max_steps)
    low = 0 if bracket[0].loss <= bracket[-1].loss else 1
    if not done and steps < max_steps:
        low, steps = _zoom(trial, start, bracket, largest, c1, c2, tolerance, steps, max_steps)
    best = bracket[low]
    return best.loss, best.grad, best.length, steps + 1


def _find_bracket(trial, start, length, c1, c2, max_steps):
    """Extends the step until it brackets a minimum; returns the bracket, trials after the first, and if it is final."""
    previous, point = start, trial(length)
    steps = 0
    while steps < max_steps:
        too_high = point.loss > start.loss + c1 * point.length * start.slope
        if too_high or (steps > 1 and point.loss >= previous.loss):
            return [previous, point], steps, False
        if abs(point.slope) <= -c2 * start.slope:
            return [point], steps, True
        if point.slope >= 0:
            return [previous, point], steps, False
        shortest = point.length + 0.01 * (point.length - previous.length)
        longest = point.length * 10
        length = cubic_minimum(
            previous.length,
            previous.loss,
            previous.slope,
            point.length,
            point.loss,
            point.slope,
            bounds=(shortest, longest),
        )
        previous, point = point, trial(length)
        steps += 1
    return [start, point], steps, False


def _zoom(trial, start, bracket, largest, c1, c2, tolerance, steps, max_steps):
    """Shrinks ``bracket`` in place until a trial meets the conditions; returns its better side and all trials."""
    low, high = (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
    stuck = False
    while steps < max_steps:
        left, right = bracket
        if abs(right.length - left.length) * largest < tolerance:
            break
        length = cubic_minimum(left.length, left.loss, left.slope, right.length, right.loss, right.slope)
        length, stuck = _keep_off_the_ends(length, left.length, right.length, stuck)
        point = trial(length)
        steps += 1
        if point.loss > start.loss + c1 * point.length * start.slope or point.loss >= bracket[low].loss:
            bracket[high] = point
            low, high = (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
            continue
        done = abs(point.slope) <= -c2 * start.slope
        if not done and point.slope * (bracket[high].length - bracket[low].length) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = point
        if done:
            break
    return low, steps


def _keep_off_the_ends(length, left, right, stuck):
    """Moves a trial that is outside, or near an end for the second time, a tenth of the bracket inwards."""
    shortest, longest = min(left, right), max(left, right)
    margin = 0.1 * (longest - shortest)
    if min(longest - length, length - shortest) >= margin:
        return length, False
    if not stuck and shortest < length < longest:
        return length, True
    return (longest - margin if abs(length - longest) < abs(length - shortest) else shortest + margin), False
