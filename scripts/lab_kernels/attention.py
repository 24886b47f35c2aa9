"""Attention and its gradients in tiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shader_text import Kernel, boolean, float32, kernel, offset_of, strides_of

BLOCK = SLAB = 64
MOST_SLABS = 2
DROPOUT, SEED, OFFSET = 0.25, 0x123456789A, 3
VARIANTS = ["plain", "causal", "bool mask", "float mask", "dropout", "wide"]
LOW = np.uint64(0xFFFFFFFF)


def philox(elements: np.ndarray) -> np.ndarray:
    """Philox 4×32-10 (Salmon et al., 2011): element e takes word e mod 4 of the block with number e / 4."""
    c = [elements.astype(np.uint64) // np.uint64(4), *(np.full(elements.shape, n, np.uint64) for n in (0, OFFSET, 0))]
    key = [SEED & 0xFFFFFFFF, SEED >> 32]
    for _ in range(10):
        p, q = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        high = [(q >> np.uint64(32)) ^ c[1] ^ np.uint64(key[0]), (p >> np.uint64(32)) ^ c[3] ^ np.uint64(key[1])]
        c = [high[0], q & LOW, high[1], p & LOW]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return np.choose(elements % 4, c).astype(np.uint32)


@dataclass
class Call:
    """One call and what becomes of it, in float64: q (B, H, L, E), k (B, Hkv, S, E), v (B, Hkv, S, Ev)."""

    k: Kernel
    size: int
    variant: str
    dtype: type

    def __post_init__(self) -> None:
        k, wide = self.k, self.variant == "wide"
        self.group, heads, batch = 2, 4, 2
        queries, keys, e, ev = 2 * self.size + 1, 2 * self.size + 16, 19, 130 if wide else 21
        self.query = k.strided(k.values(self.dtype, batch, heads, queries, e))
        self.key = k.strided(k.values(self.dtype, batch, heads // self.group, keys, e))
        self.value = k.strided(k.values(self.dtype, batch, heads // self.group, keys, ev))
        self.mask, self.scale, self.causal = None, 0.3, self.variant in ("causal", "wide")
        if "mask" in self.variant:
            mask = k.values(np.bool_ if self.variant == "bool mask" else np.float32, 1, heads, queries, keys)
            if mask.dtype == boolean:
                mask[:, 1, 3] = False
            self.mask = np.broadcast_to(k.strided(mask), (batch, *mask.shape[1:]))
        self.compute()

    def over_keys(self, a: np.ndarray) -> np.ndarray:
        """Of each query head what belongs to its key head."""
        return np.repeat(a.astype(np.float64), self.group, axis=1)

    def compute(self) -> None:
        scores = self.query.astype(np.float64) @ self.over_keys(self.key).swapaxes(-1, -2) * self.scale
        if self.mask is not None:
            scores = np.where(self.mask, scores, -np.inf) if self.mask.dtype == boolean else scores + self.mask
        if self.causal:
            scores = np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)
        top = np.maximum(scores.max(-1, keepdims=True), -1e300)
        with np.errstate(divide="ignore"):
            lse = top + np.log(np.exp(scores - top).sum(-1, keepdims=True))
        self.lse = lse[..., 0].astype(np.float32)
        self.p = np.where(np.isinf(scores), 0, np.exp(scores - np.maximum(lse, -1e300)))
        self.factor = np.ones(scores.shape)
        if self.variant == "dropout":
            uniform = (philox(np.arange(scores.size)) >> 8) * 2.0**-24
            self.factor = np.where(uniform < 1 - DROPOUT, 1 / (1 - DROPOUT), 0).reshape(scores.shape)
        self.out = (self.p * self.factor) @ self.over_keys(self.value)

    def gradients(self, dout: np.ndarray) -> tuple[np.ndarray, ...]:
        """Those of query, key, value and scores."""
        dot = (dout * self.out).sum(-1, keepdims=True)
        self.stats = np.stack([self.lse, dot[..., 0].astype(np.float32)], -1)
        by_p = dout @ self.over_keys(self.value).swapaxes(-1, -2)
        ds = self.p * (by_p * self.factor - dot)
        dq = self.scale * ds @ self.over_keys(self.key)
        dk = self.scale * ds.swapaxes(-1, -2) @ self.query.astype(np.float64)
        dv = (self.p * self.factor).swapaxes(-1, -2) @ dout
        batch, heads, keys, _ = self.key.shape
        return dq, *(a.reshape(batch, heads, self.group, keys, -1).sum(2) for a in (dk, dv)), ds

    def begin(self) -> None:
        k = self.k
        for name, a in (("q", self.query), ("k", self.key), ("v", self.value)):
            k.input(name, a, float32)
        value = "s"
        if self.mask is not None:
            k.input("mask", self.mask)
            value = "select(-f_inf(), s, mask_at(at))" if self.mask.dtype == boolean else "s + mask_at(at)"
        k.function("masked(s: f32, at: u32) -> f32", value)

    def operands(self, left: str, right: str) -> None:
        """The functions through which tiles read the operands of their two products."""
        for name, (a, b) in (("left_at", left), ("right_at", right)):
            text = f"if (which == 0u) {{ return {a}_at(i); }}\n    return {b}_at(i);"
            self.k.line(f"fn {name}(which: u32, i: u32) -> f32 {{\n    {text.replace('d_at', 'dout_at')}\n}}")

    def launch(self, rows: int, columns: int, heads: int, *others: np.ndarray | None) -> None:
        """Parameters: `rows` in blocks, results of `columns`, and the windows of words 36, 41 and 46."""
        k, (batch, query_heads, queries, e) = self.k, self.query.shape
        slabs = min(max(-(-columns // SLAB), 1), MOST_SLABS)
        blocks, groups = -(-rows // BLOCK), max(-(-columns // (SLAB * slabs)), 1)
        keys, ev = self.value.shape[2:]
        k.line(f"const SLABS = {slabs}u;")
        k.constants(CAUSAL=self.causal, DROPOUT=self.variant == "dropout")
        k.words(blocks, groups, query_heads, self.group, batch * heads, queries, keys, e, ev)
        k.words(self.scale, 1 - DROPOUT, 1 / (1 - DROPOUT), SEED, SEED >> 32, OFFSET, 0)
        for a in (self.query, self.key, self.value, self.mask, *others):
            k.words([0] * 5 if a is None else [offset_of(a), strides_of(a)])
        k.launch(blocks * groups * batch * heads)


def written(k: Kernel, name: str, a: np.ndarray | None, dtype) -> np.ndarray | None:
    """A result that may not be wanted."""
    if a is None:
        return k.line(f"fn {name}_put(i: u32, v: f32) {{}}")
    want = k.strided(a.astype(dtype), fill=0)
    k.output(name, want, float32, tolerance=4e-3 if want.itemsize == 2 else 1e-4)
    return want


@kernel("attention_tiles", "attention", variant=VARIANTS, dtype=[np.float32, np.float16])
def attention(k: Kernel, size: int, variant: str, dtype) -> None:
    call = Call(k, size, variant, dtype)
    call.begin()
    out = written(k, "out", call.out, dtype)
    k.output("lse", call.lse, tolerance=1e-5)
    call.operands("qq", "kv")
    call.launch(call.query.shape[2], call.value.shape[3], call.query.shape[1], out, None, None)


def begin_gradient(k: Kernel, size: int, variant: str) -> tuple[Call, np.ndarray, tuple]:
    call = Call(k, size, variant, np.float32)
    dout = k.strided(k.values(np.float32, *call.out.shape))
    gradients = call.gradients(dout.astype(np.float64))
    call.begin()
    k.input("dout", dout)
    k.scratch("stats", "vec2<f32>", call.stats)
    return call, dout, gradients


@kernel("attention_tiles", "attention_grad_query", variant=VARIANTS, query=[True, False])
def attention_grad_query(k: Kernel, size: int, variant: str, query: bool) -> None:
    call, dout, (dq, _, _, ds) = begin_gradient(k, size, variant)
    of_mask = "mask" in variant or not query
    dq = written(k, "dq", dq if query else None, np.float32)
    ds = written(k, "dmask", ds if of_mask else None, np.float32)
    k.constants(WANT_QUERY=query, WANT_MASK=of_mask)
    call.operands("qd", "kv")
    call.launch(call.query.shape[2], call.query.shape[3] if query else 0, call.query.shape[1], dout, dq, ds)


@kernel("attention_tiles", "attention_grad_key", variant=VARIANTS, wanted=["both", "key", "value"])
def attention_grad_key(k: Kernel, size: int, variant: str, wanted: str) -> None:
    call, dout, (_, dk, dv, _) = begin_gradient(k, size, variant)
    dk = written(k, "dk", dk if wanted != "value" else None, np.float32)
    dv = written(k, "dv", dv if wanted != "key" else None, np.float32)
    k.constants(WANT_KEY=dk is not None, WANT_VALUE=dv is not None)
    call.operands("kv", "qd")
    call.launch(call.key.shape[2], max(call.query.shape[3], call.value.shape[3]), call.key.shape[1], dout, dk, dv)
