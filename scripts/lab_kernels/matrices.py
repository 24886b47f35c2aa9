"""Decompositions of matrices and triangular systems."""

from __future__ import annotations

import numpy as np

from shader_text import Kernel, alike, kernel, strides_of

BATCH = 3
SHAPES = {"tall": (1, 2), "square": (1, 1), "broad": (2, 1)}
SIDES = 16


class Qr:
    """QR decompositions of a batch: the work, which holds R and the vectors of the reflections, and their factors."""

    def __init__(self, k: Kernel, size: int, shape: str) -> None:
        by_rows, by_columns = SHAPES[shape]
        self.k, self.m, self.n = k, size // by_rows, size // by_columns
        self.a = k.values(np.float32, BATCH, self.m, self.n)
        raw = [np.linalg.qr(a.astype(np.float64), mode="raw") for a in self.a]
        self.work = np.stack([h for h, _ in raw]).astype(np.float32)
        self.factors = np.stack([tau for _, tau in raw]).astype(np.float32)
        self.q, self.r = np.linalg.qr(self.a.astype(np.float64), mode="reduced")

    def begin(self, stage: int, work: np.ndarray | None = None, factors: np.ndarray | None = None) -> None:
        k = self.k
        k.line(f"const STAGE = {stage}u;")
        k.result("work", "f32", self.work, self.work if work is None else work, 1e-4)
        k.result("factors", "f32", self.factors, self.factors if factors is None else factors, 1e-4)
        name = "work" if stage == 0 else "result"
        k.function("fetch(i: u32) -> f32", f"{name}[i]")
        k.line(f"fn store(i: u32, v: f32) {{ {name}[i] = v; }}")
        k.launch(BATCH)

    def words(self, y: np.ndarray | None) -> None:
        k = self.k
        k.words(BATCH, self.m, self.n, 0, min(self.m, self.n), 0, [0] * 4 if y is None else strides_of(y)[1:])
        if y is not None:
            k.words(y.shape[1:])
        k.place(5, y, slice(1))

    def into(self, want: np.ndarray, start: np.ndarray | None = None) -> None:
        want = self.k.strided(want.astype(np.float32), fill=0)
        start = None if start is None else alike(want, start)
        self.k.result("result", "f32", want, start, 1e-4)
        self.words(want)


@kernel("householder", "qr", name="qr reflects", shape=SHAPES)
def qr_reflects(k: Kernel, size: int, shape: str) -> None:
    qr = Qr(k, size, shape)
    qr.begin(0, np.ascontiguousarray(qr.a.swapaxes(1, 2)), np.zeros_like(qr.factors))
    qr.words(None)


@kernel("householder", "qr", name="qr forms Q", shape=SHAPES)
def qr_forms(k: Kernel, size: int, shape: str) -> None:
    qr = Qr(k, size, shape)
    qr.begin(1)
    qr.into(qr.q, np.broadcast_to(np.eye(*qr.q.shape[1:]), qr.q.shape))


@kernel("householder", "qr", name="qr writes R", shape=SHAPES)
def qr_writes(k: Kernel, size: int, shape: str) -> None:
    qr = Qr(k, size, shape)
    qr.begin(2)
    qr.into(qr.r)


@kernel("householder", "qr", name="qr turns Q")
def qr_turns(k: Kernel, size: int) -> None:
    qr = Qr(k, size, "tall")
    qr.begin(3)
    signs = np.where(np.diagonal(qr.r, axis1=1, axis2=2) < 0, -1, 1)
    qr.into(qr.q * signs[:, None, :], qr.q)


@kernel("solve_triangular", upper=[False, True], unit=[False, True])
def solve_triangular(k: Kernel, size: int, upper: bool, unit: bool) -> None:
    a = k.values(np.float32, BATCH, size, size) / np.float32(size) + 2 * np.eye(size, dtype=np.float32)
    b = k.strided(k.values(np.float32, BATCH, size, SIDES + 3))
    # What does not count is no number.
    counts = np.tri(size, k=-1 if unit else 0, dtype=bool)
    counts = counts.T if upper else counts
    whole = np.where(counts, a, np.eye(size)) if unit else np.where(counts, a, 0)
    want = alike(b, np.linalg.solve(whole.astype(np.float64), b.astype(np.float64)))
    a = k.strided(np.where(counts, a, np.nan).astype(np.float32))
    k.input("a", a)
    k.result("x", "f32", want, b, 1e-4)
    k.constants(UPPER=upper, UNIT=unit)
    k.words(BATCH, size, b.shape[2], 0, size, 0, 0, strides_of(a)[1:], strides_of(b)[1:])
    k.place(5, a, slice(1))
    k.place(6, b, slice(1))
    k.launch(BATCH * -(-b.shape[2] // SIDES))


def rotate(a: np.ndarray, v: np.ndarray) -> bool:
    """One sweep of Jacobi rotations over all pairs of columns; whether there was anything to rotate."""
    n, turned = a.shape[1], False
    players = n + n % 2
    for round_ in range(players - 1):
        places = [0, *(1 + (i + round_ - 1) % (players - 1) for i in range(1, players))]
        for p, q in zip(places[: players // 2], reversed(places)):
            if p >= n or q >= n:
                continue
            x, y = a[:, p].copy(), a[:, q].copy()
            if abs(x @ y) <= 1e-6 * np.linalg.norm(x) * np.linalg.norm(y):
                continue
            zeta = (y @ y - x @ x) / (2 * x @ y)
            t = np.where(zeta >= 0, 1, -1) / (abs(zeta) + np.hypot(1, zeta))
            c = 1 / np.sqrt(1 + t * t)
            for w in (a, v):
                w[:, [p, q]] = w[:, [p, q]] @ np.array([[c, c * t], [-c * t, c]])
            turned = True
    return turned


@kernel("svd", vectors=[True, False], columns=[7, 8, 35])
def svd(k: Kernel, size: int, vectors: bool, columns: int) -> None:
    a = k.values(np.float32, 4, size, columns)
    # Columns that are orthogonal already, and a matrix that the sweep before found to be done.
    a[1] = np.eye(size, columns) * np.arange(1, columns + 1)
    state = np.array([[1, 1], [1, 1], [1, 0], [1, 1]], np.uint32)
    done, turns = np.zeros((4, size, columns)), np.zeros((4, columns, columns))
    want_state = state.copy()
    for i in range(4):
        done[i], turns[i] = a[i], np.eye(columns)
        want_state[i] = state[i, 1], state[i, 1] and rotate(done[i], turns[i])
    start, identity = a.swapaxes(1, 2).copy(), np.stack([np.eye(columns, dtype=np.float32)] * 4)
    k.result("work", "f32", done.swapaxes(1, 2).astype(np.float32).copy(), start, 2e-4)
    turns = turns.swapaxes(1, 2).astype(np.float32).copy()
    k.result("v", "f32", turns if vectors else identity, identity, 2e-4)
    k.result("state", "u32", want_state, state)
    k.constants(VECTORS=vectors)
    k.words(4, size, columns, 0, columns + columns % 2 - 1)
    k.launch(4)


@kernel("svd_finish", vectors=[True, False])
def svd_finish(k: Kernel, size: int, vectors: bool) -> None:
    columns = size // 2
    a, v = k.values(np.float32, BATCH, size, columns), k.values(np.float32, BATCH, columns, columns)
    a[0, :, 3] = 0
    a[1, :, 5] = a[1, :, 2]
    a[2] *= np.float32(1e25)
    norms = np.linalg.norm(a.astype(np.float64), axis=1).astype(np.float32)
    order = np.argsort(-norms, 1, kind="stable")
    s = k.strided(np.take_along_axis(norms, order, 1), fill=0)
    turned = np.take_along_axis(v, order[:, None], 2)
    out = k.strided(turned, fill=0)
    k.scratch("work", "f32", a.swapaxes(1, 2).copy())
    k.result("norms", "f32", norms, tolerance=1e-6)
    k.output("s", s, tolerance=1e-6)
    k.constants(VECTORS=vectors)
    if vectors:
        k.input("v", v.swapaxes(1, 2).copy())
        k.output("sorted", np.take_along_axis(a, order[:, None], 2).swapaxes(1, 2).copy())
        k.output("out", out)
    else:
        k.function("v_at(i: u32) -> f32", "0.0")
        k.line("fn sorted_put(i: u32, v: f32) {}\nfn out_put(i: u32, v: f32) {}")
    k.words(BATCH, size, columns, 0, strides_of(s)[1], 0, strides_of(out)[1:])
    k.place(3, s, slice(1))
    k.place(5, out, slice(1))
    k.launch(BATCH)


@kernel("cholesky")
def cholesky(k: Kernel, size: int) -> None:
    x = k.values(np.float32, BATCH, size, size).astype(np.float64) / size
    a = x @ x.swapaxes(1, 2) + np.eye(size)
    # The upper triangle is not read, and becomes zero.
    start = k.strided(np.where(np.tri(size, dtype=bool), a, np.nan).astype(np.float32))
    k.result("l", "f32", alike(start, np.linalg.cholesky(a)), start, 1e-4)
    k.result("info", "i32", np.zeros(BATCH, np.int32), np.zeros(BATCH, np.int32))
    k.words(BATCH, size, 0, size, 0, 0, strides_of(start)[1:])
    k.place(4, start, slice(1))
    k.place(5, np.zeros(BATCH, np.int32), slice(1))
    k.launch(BATCH)


def exchanged(a: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """L and U of a matrix in one, the row that was exchanged with each, from 1, and the order of rows they lead to."""
    a, size = a.astype(np.float64), min(a.shape)
    pivots, order = np.zeros(size, np.int32), np.arange(len(a), dtype=np.int32)
    for j in range(size):
        best = j + int(np.argmax(np.abs(a[j:, j])))
        pivots[j] = best + 1
        a[[j, best]], order[[j, best]] = a[[best, j]], order[[best, j]]
        a[j + 1 :, j] /= a[j, j]
        a[j + 1 :, j + 1 :] -= np.outer(a[j + 1 :, j], a[j, j + 1 :])
    return a, pivots, order


@kernel("lu", shape=SHAPES)
def lu(k: Kernel, size: int, shape: str) -> None:
    by_rows, by_columns = SHAPES[shape]
    m, n = size // by_rows, size // by_columns
    a = k.strided(k.values(np.float32, BATCH, m, n))
    want, pivots, _ = (np.stack(part) for part in zip(*map(exchanged, a), strict=True))
    k.result("x", "f32", alike(a, want), a, 1e-3)
    k.result("pivots", "i32", pivots, np.zeros_like(pivots))
    k.result("info", "i32", np.zeros(BATCH, np.int32), np.zeros(BATCH, np.int32))
    k.words(BATCH, m, n, 0, min(m, n), 0, 0, 0, strides_of(a)[1:], 1)
    k.place(5, a, slice(1))
    k.place(6, pivots, slice(1))
    k.place(7, np.zeros(BATCH, np.int32), slice(1))
    k.launch(BATCH)


@kernel("permutation")
def permutation(k: Kernel, size: int) -> None:
    found = [exchanged(a) for a in k.values(np.float32, BATCH, size, size)]
    pivots, order = np.stack([f[1] for f in found]), np.stack([f[2] for f in found])
    k.scratch("pivots", "i32", pivots)
    k.result("order", "i32", order, np.zeros_like(order))
    k.words(BATCH, size, size, 0, 0, 1, 1)
    k.place(3, pivots, slice(1))
    k.place(4, order, slice(1))
    k.launch(BATCH)
