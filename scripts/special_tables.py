"""Writes python/corten/_special/tables.py: Chebyshev coefficients of special functions, computed with mpmath.

Each function is sampled at the Chebyshev nodes of its interval in 40 digits. Coefficients below a tenth of float64's
rounding, relative to the largest, are cut off. mpmath comes with PyTorch; corten itself does not need it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mpmath import mp, mpf

TARGET = Path(__file__).resolve().parent.parent / "python" / "corten" / "_special" / "tables.py"
NODES = 72
# The smallest positive float64 is exp(−y² / 2) for y = 38.6.
DEEPEST_TAIL = mpf("38.7")
HEADER = '''"""Chebyshev coefficients of special functions, lowest order first. Written by scripts/special_tables.py."""

'''


def coefficients(function: Callable[[Any], Any]) -> list[str]:
    """Of a function on [−1, 1], the first one halved as sums want it."""
    nodes = [mp.cos(mp.pi * (k + mpf(1) / 2) / NODES) for k in range(NODES)]
    values = [function(node) for node in nodes]
    found = []
    for j in range(NODES):
        terms = (v * mp.cos(mp.pi * j * (k + mpf(1) / 2) / NODES) for k, v in enumerate(values))
        found.append(2 * mp.fsum(terms) / NODES)
    found[0] /= 2
    largest = max(map(abs, found))
    last = max(j for j, c in enumerate(found) if abs(c) > largest * mpf("1e-17"))
    return [mp.nstr(c, 18) for c in found[: last + 1]]


def near(f: Callable[[Any], Any], end: float) -> Callable[[Any], Any]:
    """f(x) for x from 0 to the end, over t = 2 x / end − 1."""
    return lambda t: f(end * (t + 1) / 2)


def near_squared(f: Callable[[Any], Any], end: float) -> Callable[[Any], Any]:
    """f(x) for x from 0 to the end, over t = 2 (x / end)² − 1."""
    return lambda t: f(end * mp.sqrt((t + 1) / 2))


def far(f: Callable[[Any], Any], start: float) -> Callable[[Any], Any]:
    """f(x) for x from the start to infinity, over t = 2 start / x − 1."""
    return lambda t: f(2 * start / (t + 1))


def far_squared(f: Callable[[Any], Any], start: float) -> Callable[[Any], Any]:
    """f(x) for x from the start to infinity, over t = 2 (start / x)² − 1."""
    return lambda t: f(start / mp.sqrt((t + 1) / 2))


def phase(order: int, part: str) -> Callable[[Any], Any]:
    """The slowly varying factors P and x · Q of J and Y of an order (Abramowitz & Stegun 9.2.5)."""

    def value(x: Any) -> Any:
        angle, scale = x - (2 * order + 1) * mp.pi / 4, mp.sqrt(mp.pi * x / 2)
        j, y = mp.besselj(order, x), mp.bessely(order, x)
        if part == "p":
            return scale * (j * mp.cos(angle) + y * mp.sin(angle))
        return scale * x * (y * mp.cos(angle) - j * mp.sin(angle))

    return value


def airy_phase(part: str) -> Callable[[Any], Any]:
    """The slowly varying factors of Ai(−x) over ζ = 2/3 x^(3/2) (Abramowitz & Stegun 10.4.60)."""

    def value(zeta: Any) -> Any:
        x = (3 * zeta / 2) ** (mpf(2) / 3)
        angle, scale = zeta + mp.pi / 4, mp.sqrt(mp.pi) * x ** (mpf(1) / 4)
        a, b = mp.airyai(-x), mp.airybi(-x)
        if part == "f":
            return scale * (a * mp.sin(angle) + b * mp.cos(angle))
        return scale * zeta * (b * mp.sin(angle) - a * mp.cos(angle))

    return value


def airy_decay(zeta: Any) -> Any:
    """2 √π x^(1/4) e^ζ Ai(x)."""
    x = (3 * zeta / 2) ** (mpf(2) / 3)
    return 2 * mp.sqrt(mp.pi) * x ** (mpf(1) / 4) * mp.exp(zeta) * mp.airyai(x)


def scaled_erfc(t: Any) -> Any:
    """(1 + 2 x) e^(x²) erfc(x) over t = (x − 3.75) / (x + 3.75) (Shepherd & Laframboise 1981)."""
    x = mpf("3.75") * (1 + t) / (1 - t)
    return (1 + 2 * x) * mp.exp(x * x) * mp.erfc(x)


def normal_tail(t: Any) -> Any:
    """(y − x) y − log y, where the normal distribution's tail beyond x is exp(−y² / 2), over 1 / y."""
    low, high = 1 / DEEPEST_TAIL, mpf(1) / 2
    y = 1 / (low + (high - low) * (t + 1) / 2)
    x = y - (mp.log(y) + mp.log(2 * mp.pi) / 2) / y
    for _ in range(60):
        step = (mp.log(mp.erfc(x / mp.sqrt(2)) / 2) + y * y / 2) * mp.erfc(x / mp.sqrt(2)) / 2
        step *= mp.sqrt(2 * mp.pi) * mp.exp(x * x / 2)
        x += step
        if abs(step) < mpf("1e-30"):
            break
    return (y - x) * y - mp.log(y)


def tables() -> dict[str, Callable[[Any], Any]]:
    """Every function with its name."""
    two_over_pi = 2 / mp.pi
    found: dict[str, Callable[[Any], Any]] = {
        "I0E_NEAR": near(lambda x: mp.exp(-x) * mp.besseli(0, x), 8),
        "I0E_FAR": far(lambda x: mp.sqrt(x) * mp.exp(-x) * mp.besseli(0, x), 8),
        "I1E_NEAR": near(lambda x: mp.exp(-x) * mp.besseli(1, x) / x, 8),
        "I1E_FAR": far(lambda x: mp.sqrt(x) * mp.exp(-x) * mp.besseli(1, x), 8),
        "K0_NEAR": near_squared(lambda x: mp.besselk(0, x) + mp.log(x / 2) * mp.besseli(0, x), 2),
        "K0_FAR": far(lambda x: mp.sqrt(x) * mp.exp(x) * mp.besselk(0, x), 2),
        "K1_NEAR": near_squared(lambda x: x * (mp.besselk(1, x) - mp.log(x / 2) * mp.besseli(1, x)), 2),
        "K1_FAR": far(lambda x: mp.sqrt(x) * mp.exp(x) * mp.besselk(1, x), 2),
        "J0_NEAR": near_squared(lambda x: mp.besselj(0, x), 8),
        "J1_NEAR": near_squared(lambda x: mp.besselj(1, x) / x, 8),
        "Y0_NEAR": near_squared(lambda x: mp.bessely(0, x) - two_over_pi * mp.log(x) * mp.besselj(0, x), 8),
        "Y1_NEAR": near_squared(
            lambda x: (mp.bessely(1, x) - two_over_pi * (mp.log(x) * mp.besselj(1, x) - 1 / x)) / x, 8
        ),
        "AIRY_NEAR": lambda t: mp.airyai(3 * t - 2),
        "AIRY_FAR": far(airy_decay, mpf(2) / 3),
        "AIRY_F": far_squared(airy_phase("f"), 7),
        "AIRY_G": far_squared(airy_phase("g"), 7),
        "ERFCX": scaled_erfc,
        "NORMAL_TAIL": normal_tail,
    }
    for order in (0, 1):
        found[f"P{order}"] = far_squared(phase(order, "p"), 8)
        found[f"Q{order}"] = far_squared(phase(order, "q"), 8)
    return found


def main() -> None:
    mp.dps = 40
    lines = []
    for name, function in tables().items():
        lines += [f"{name} = (", *(f"    {number}," for number in coefficients(function)), ")"]
    TARGET.write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"wrote {TARGET.name}")


if __name__ == "__main__":
    main()
