"""Quasirandom numbers, ``torch.quasirandom``: points that fill a cube more evenly than random ones do.

A Sobol sequence is made from direction numbers: for each dimension a primitive polynomial over GF(2) and as many
initial numbers as its degree, chosen by S. Joe and F. Y. Kuo, "Constructing Sobol sequences with better two-dimensional
projections", SIAM J. Sci. Comput. 30, 2635-2654 (2008), for 21201 dimensions. The initial numbers are bits without a
pattern, 352 kB for all dimensions however they are packed, which few programs need. The package has those of the first
1111 dimensions in 10 kB (`_sobol_table.py`); where more are asked for, they are read from the file that scipy ships.
"""

from functools import cache

from . import Generator, arange, cat, float32, float64, from_numpy, get_default_dtype, int64, matmul, randint, zeros

__all__ = ["SobolEngine"]


def _unpacked(text):
    """The bits of a table as an array of 0 and 1."""
    import base64

    import numpy as np

    return np.unpackbits(np.frombuffer(base64.b85decode(text), np.uint8))


@cache
def _package_numbers():
    """The polynomials, as the integers of their bits, and the initial numbers (dimensions, degree) of the package."""
    import numpy as np

    from . import _sobol_table as table

    primitive = 1 + 2 * np.flatnonzero(_unpacked(table.POLYNOMIALS))
    polynomials = np.concatenate(([1], primitive)).astype(np.int64)
    initial = np.zeros((len(polynomials), table.DEGREE), np.int64)
    initial[:, 0] = 1
    bits, at = _unpacked(table.NUMBERS).astype(np.int64), 0
    for i in range(2, table.DEGREE + 1):
        rows = np.flatnonzero(polynomials >= 1 << i)
        block = bits[at : at + len(rows) * (i - 1)].reshape(len(rows), i - 1)
        initial[rows, i - 1] = 1 + block @ (2 << np.arange(i - 1))
        at += block.size
    return polynomials, initial


def scipy_numbers():
    """The polynomials, as the integers of their bits, and the initial numbers (21201, 18), from scipy's file.

    Raises:
        ImportError: scipy is not installed, or has no such file.
    """
    from importlib.util import find_spec
    from pathlib import Path

    import numpy as np

    spec = find_spec("scipy")
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder, "stats", "_sobol_direction_numbers.npz")
        if path.is_file():
            with np.load(path) as file:
                return file["poly"].astype(np.int64), file["vinit"].astype(np.int64)
    raise ImportError(
        "SobolEngine: direction numbers of more than 1111 dimensions are read from a file of scipy, which is not "
        "installed; `pip install scipy` brings it"
    )


def _directions(dimension, bits):
    """The direction numbers (dimension, bits) as integers below 2^bits, int64.

    The numbers m_i of a polynomial x^s + c_1 x^(s-1) + ... + 1 go on by
    m_i = 2 c_1 m_(i-1) ^ ... ^ 2^(s-1) c_(s-1) m_(i-s+1) ^ 2^s m_(i-s) ^ m_(i-s).
    """
    import numpy as np

    polynomials, initial = _package_numbers()
    if dimension > len(polynomials):
        polynomials, initial = scipy_numbers()
    polynomials, initial = polynomials[:dimension], initial[:dimension]
    m = np.ones((dimension, bits), np.int64)
    degrees = np.frexp(polynomials)[1] - 1
    for s in range(1, int(degrees.max()) + 1):
        rows = np.flatnonzero(degrees == s)
        taken = [(k, (polynomials[rows] >> (s - k)) & 1) for k in range(1, s)]
        block = m[rows]
        block[:, :s] = initial[rows, :s]
        for i in range(s, bits):
            block[:, i] = block[:, i - s] ^ (block[:, i - s] << s)
            for k, coefficient in taken:
                block[:, i] ^= coefficient * (block[:, i - k] << k)
        m[rows] = block
    return m << np.arange(bits - 1, -1, -1)


class SobolEngine:
    """
    A Sobol sequence of points in the unit cube [0, 1)^d, plain or scrambled.

    The points are PyTorch's, also scrambled ones of a seed. Every stretch of 2^m points that begins at a multiple of
    2^m has as many points in each of 2^m equal slices of every axis. They are computed in Gray code's order: I. A.
    Antonov and V. M. Saleev, "An economic method of computing LP-tau sequences", 1979. Scrambling multiplies the bits
    of every axis with a random lower triangular matrix and shifts them: J. Matoušek, "On the L2-discrepancy for
    anchored boxes", Journal of Complexity 14, 1998. A sequence has 2^30 points.

    Args:
        dimension: d, from 1 to 21201; above 1111 scipy must be installed.
        scramble: whether the sequence is scrambled.
        seed: of the scrambling; without it the numbers come from the default generator.

    Raises:
        ValueError: a dimension out of that range.
        TypeError: a dimension that is no int.
        ImportError: more than 1111 dimensions without scipy.

    >>> SobolEngine(dimension=2).draw(3)
    tensor([[0.0000, 0.0000],
            [0.5000, 0.5000],
            [0.7500, 0.2500]])
    """

    MAXBIT = 30
    MAXDIM = 21201

    def __init__(self, dimension, scramble=False, seed=None):
        if isinstance(dimension, bool) or not isinstance(dimension, int):
            raise TypeError(f"SobolEngine: dimension must be an int, not {type(dimension).__name__}")
        if not 1 <= dimension <= self.MAXDIM:
            raise ValueError(f"Supported range of dimensionality for SobolEngine is [1, {self.MAXDIM}]")
        self.seed = seed
        self.scramble = scramble
        self.dimension = dimension
        self.sobolstate = from_numpy(_directions(dimension, self.MAXBIT))
        self.shift = zeros(dimension, dtype=int64, device="cpu")
        if scramble:
            self._scramble()
        self.reset()
        # PyTorch rounds the first point to the default dtype, whichever dtype is drawn later.
        self._first_point = self._cube(self.quasi.unsqueeze(0), get_default_dtype())

    def _scramble(self):
        """Draws the shift and the triangular matrices, and multiplies the direction numbers' bits with them."""
        bits, generator = self.MAXBIT, None
        if self.seed is not None:
            generator = Generator()
            generator.manual_seed(self.seed)
        drawn = {"generator": generator, "device": "cpu"}
        powers = 2 ** arange(bits, device="cpu")
        self.shift = (randint(2, (self.dimension, bits), **drawn) * powers).sum(1)
        matrices = randint(2, (self.dimension, bits, bits), **drawn).tril()
        matrices.diagonal(dim1=1, dim2=2).fill_(1)
        # The matrices' first row and column stand for the most significant bit.
        digits = powers.flip(0)
        columns = ((self.sobolstate.unsqueeze(1) & digits.unsqueeze(1)) != 0).to(float32)
        product = matmul(matrices.to(float32), columns).to(int64) & 1
        self.sobolstate = (product * digits.unsqueeze(1)).sum(1)

    def _points(self, first, count):
        """Points ``first`` to ``first + count - 1`` as integers (count, d).

        A point is the sum modulo 2 of the direction numbers that its index's Gray code chooses, so the point of an
        index is the sum of those of the index's upper and lower digits.
        """
        low = (count.bit_length() + 1) // 2
        high = first >> low
        upper = self._sums(high << low, ((first + count - 1) >> low) - high + 1, 1 << low)
        lower = self._sums(0, 1 << low, 1)
        grid = (upper.unsqueeze(1) ^ lower ^ self.shift).reshape(-1, self.dimension)
        return grid[first - (high << low) :][:count]

    def _sums(self, first, count, step):
        """The sums modulo 2 of the direction numbers that choose first, first + step, ..., (count, d)."""
        index = first + step * arange(count, device="cpu")
        code = (index ^ (index >> 1)).unsqueeze(1)
        sums = zeros((count, self.dimension), dtype=int64, device="cpu")
        for bit in range((first + step * count).bit_length()):
            if bit < self.MAXBIT:
                sums = sums ^ ((code >> bit) & 1) * self.sobolstate[:, bit]
        return sums

    def _cube(self, points, dtype):
        return points.to(dtype) * 2.0**-self.MAXBIT

    def draw(self, n=1, out=None, dtype=None):
        """
        The next points of the sequence.

        Args:
            n: how many.
            out: a tensor that the points are written to, made as large as they are.
            dtype: float32 or float64, `get_default_dtype()` where not given.

        Returns:
            (n, d), or ``out``.

        Raises:
            TypeError: ``n`` is no int.
            RuntimeError: ``n`` is negative, or 0 before the first point.
            NotImplementedError: another dtype.
            ValueError: the sequence has not as many points left.
        """
        dtype = get_default_dtype() if dtype is None else dtype
        self._check_count("draw", n)
        fresh = self.num_generated == 0
        if n < 0 or (fresh and n == 0):
            raise RuntimeError(f"SobolEngine.draw: n must be {'positive' if fresh else 'at least 0'}, got {n}")
        if fresh and n == 1:
            points = self._first_point.to(dtype)
        else:
            if dtype not in (float32, float64):
                raise NotImplementedError(f"SobolEngine.draw: dtype must be float32 or float64, got {dtype}")
            whole = self._points(self.num_generated, n)
            points = self._cube(whole, dtype)
            if fresh:
                points = cat((self._first_point.to(dtype), points[1:]))
            if n:
                self.quasi = whole[-1].clone()
        self.num_generated += n
        return points if out is None else out.resize_as_(points).copy_(points)

    def draw_base2(self, m, out=None, dtype=None):
        """
        The next 2^m points of the sequence, so that as many as a power of 2 have been drawn.

        Args:
            m: the number of points is 2^m.
            out: as for `draw`.
            dtype: as for `draw`.

        Returns:
            (2^m, d), or ``out``.

        Raises:
            TypeError: ``m`` is no int at least 0.
            ValueError: with these points, the number of points drawn is no power of 2.
        """
        if isinstance(m, bool) or not isinstance(m, int) or m < 0:
            raise TypeError(f"SobolEngine.draw_base2: m must be an int at least 0, got {m!r}")
        n = 2**m
        total = self.num_generated + n
        if total & (total - 1):
            raise ValueError(
                "The balance properties of Sobol' points require n to be a power of 2. "
                f"{self.num_generated} points have been previously generated, then: n={self.num_generated}+2**{m}="
                f"{total}. If you still want to do this, please use 'SobolEngine.draw()' instead."
            )
        return self.draw(n=n, out=out, dtype=dtype)

    def reset(self):
        """Goes back to the first point; returns itself."""
        self.quasi = self.shift.clone()
        self.num_generated = 0
        return self

    def fast_forward(self, n):
        """
        Leaves out the next n points; returns itself.

        Raises:
            TypeError: ``n`` is no int.
            ValueError: ``n`` is negative, or the sequence has not as many points left.
        """
        self._check_count("fast_forward", n)
        if n < 0:
            raise ValueError(f"SobolEngine.fast_forward: n must be at least 0, got {n}")
        self.num_generated += n
        if n:
            self.quasi = self._points(self.num_generated - 1, 1)[0].clone()
        return self

    def _check_count(self, name, n):
        if isinstance(n, bool) or not isinstance(n, int):
            raise TypeError(f"SobolEngine.{name}: n must be an int, not {type(n).__name__}")
        if self.num_generated + n > 2**self.MAXBIT:
            raise ValueError(
                f"SobolEngine.{name}: a sequence has 2**{self.MAXBIT} points; "
                f"{self.num_generated} of them have been drawn, {n} more are asked for"
            )

    def __repr__(self):
        told = [f"dimension={self.dimension}"]
        if self.scramble:
            told.append("scramble=True")
        if self.seed is not None:
            told.append(f"seed={self.seed}")
        return f"{type(self).__name__}({', '.join(told)})"
