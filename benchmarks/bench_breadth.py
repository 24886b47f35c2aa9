"""Every function beside PyTorch's at moderate sizes on one thread, results and gradients; the slowest come first."""

from __future__ import annotations

import statistics
import warnings
from types import CodeType, ModuleType

from breadth_cases import CALLS, operands
from harness import measured_in_turn, seconds_within, shown, table

BUDGET = 0.05  # seconds for a case


def first_tensor(result):
    return result[0] if isinstance(result, tuple | list) else result


def with_gradients(m: ModuleType, code: CodeType, names: dict[str, object]):
    """The call and its backward pass, where it has one."""
    leaves = {
        name: value.clone().requires_grad_() if value.is_floating_point() else value
        for name, value in names.items()
        if isinstance(value, m.Tensor) and name in code.co_names
    }
    names = {**names, **leaves}
    try:
        out = first_tensor(eval(code, names))
        if not isinstance(out, m.Tensor) or not out.requires_grad:
            return None
        ones = m.ones_like(out)
        out.backward(ones)
    except RuntimeError:
        return None  # has no derivative

    def call():
        first_tensor(eval(code, names)).backward(ones)
        m.cpu.synchronize()

    return call


def cases(m: ModuleType) -> dict[str, float]:
    """Seconds of each call, and of each with its gradients."""
    warnings.simplefilter("ignore")
    m.set_num_threads(1)
    m.manual_seed(0)
    names = {**operands(m), "m": m, "F": m.nn.functional}
    found = {}
    for text in CALLS:
        code = compile(text, text, "eval")

        def call(code=code):
            kept = eval(code, names)
            m.cpu.synchronize()
            return kept

        with m.no_grad():
            call()
            found[text] = statistics.median(seconds_within(call, BUDGET))
        if (both := with_gradients(m, code, names)) is not None:
            found[f"{text} and gradients"] = statistics.median(seconds_within(both, BUDGET))
    return found


def main() -> None:
    results = measured_in_turn(cases, __file__)
    mine, theirs = results["corten"], results.get("torch", {})
    if not theirs:
        raise SystemExit("this compares with PyTorch, which is not installed")
    ratios = {case: mine[case] / theirs[case] for case in mine if case in theirs}
    rows = [
        [f"`{case}`", shown(mine[case]), shown(theirs[case]), f"{ratio:.2f}"]
        for case, ratio in sorted(ratios.items(), key=lambda item: -item[1])
    ]
    print(table(["call", "corten", "PyTorch", "corten/PyTorch"], rows))
    slower = sum(ratio > 1 for ratio in ratios.values())
    middle = statistics.geometric_mean(ratios.values())
    print(f"\n{len(ratios)} cases, {slower} slower than PyTorch's; geometric mean of the ratios {middle:.2f}")


if __name__ == "__main__":
    main()
