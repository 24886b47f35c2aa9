"""Products of matrices and vectors: one batched product, whatever has a batch dim."""

import math

from .... import _core
from ..batched import ops
from ..dispatch import rule

_RANKS = {"mm": (2, 2), "bmm": (3, 3), "mv": (2, 1), "dot": (1, 1)}


@rule("matmul", "mm", "bmm", "mv", "dot")
def matmul(call):
    level = call.level
    a, b = (call.given[p.name] for p in call.parameters[:2])
    ranks = _RANKS.get(call.name, (a.dim(), b.dim()))
    if (a.dim(), b.dim()) != ranks:
        raise RuntimeError(
            f"{call.name}: expected tensors of {ranks[0]} and {ranks[1]} dims, but got {a.dim()}-D and {b.dim()}-D"
        )
    if not a.dim() or not b.dim():
        raise RuntimeError(f"matmul: both arguments need at least 1 dim, but they are {a.dim()}D and {b.dim()}D")
    rows, columns = a.dim() == 1, b.dim() == 1
    a, b = (a.unsqueeze(0) if rows else a), (b.unsqueeze(1) if columns else b)
    rank = max(a.dim(), b.dim())
    left, right = (level.padded(x, rank) if level.holds(x) else x for x in (a, b))
    result = level.wrap(left @ right)
    result = result.squeeze(-1) if columns else result
    return result.squeeze(-1 if columns else -2) if rows else result


@rule("linear")
def linear(call):
    level = call.level
    x, weight, bias = call.given["input"], call.given["weight"], call.given.get("bias")
    if level.holds(x) and not level.holds(weight) and not level.holds(bias):
        return level.wrap(call.run(input=x.value))
    product = x @ (weight.t() if weight.dim() == 2 else weight)
    return product if bias is None else product + bias


def _weighted(call, product):
    x, beta, alpha = call.first, call.get("beta"), call.get("alpha")
    if product.dtype == _core.bool:
        return (product & bool(alpha)) | (x & bool(beta))
    if not product.is_floating_point() and not product.is_complex():
        alpha, beta = int(alpha), int(beta)
    product = product if alpha == 1 else product * alpha
    if beta == 0:
        return product
    return product + (x if beta == 1 else x * beta)


@rule("addmm")
def addmm(call):
    return _weighted(call, ops.mm(call.given["mat1"], call.given["mat2"]))


@rule("addmv")
def addmv(call):
    return _weighted(call, ops.mv(call.given["mat"], call.given["vec"]))


@rule("addr")
def addr(call):
    return _weighted(call, ops.outer(call.given["vec1"], call.given["vec2"]))


@rule("baddbmm")
def baddbmm(call):
    return _weighted(call, ops.bmm(call.given["batch1"], call.given["batch2"]))


@rule("addbmm")
def addbmm(call):
    return _weighted(call, ops.bmm(call.given["batch1"], call.given["batch2"]).sum(0))


@rule("outer")
def outer(call):
    a, b = (call.given[p.name] for p in call.parameters[:2])
    if (a.dim(), b.dim()) != (1, 1):
        raise RuntimeError(f"outer: Expected 1-D arguments, but got {a.dim()}-D and {b.dim()}-D")
    return a.unsqueeze(1) * b


@rule("inner")
def inner(call):
    a, b = (call.given[p.name] for p in call.parameters[:2])
    if not a.dim() or not b.dim():
        return a * b
    product = a.reshape(-1, a.shape[-1]) @ b.reshape(-1, b.shape[-1]).t()
    return product.reshape((*a.shape[:-1], *b.shape[:-1]))


@rule("_int_mm")
def int_mm(call):
    return call.given["self"].int() @ call.given["mat2"].int()


@rule("bilinear")
def bilinear(call):
    first, second = call.given["input1"], call.given["input2"]
    weight, bias = call.given["weight"], call.given.get("bias")
    # (..., i) and (o, i, j) and (..., j) to (..., o)
    halves = first.unsqueeze(-2).unsqueeze(-2) @ weight
    product = (halves.squeeze(-2) * second.unsqueeze(-2)).sum(-1)
    return product if bias is None else product + bias


@rule("scaled_dot_product_attention")
def attention(call):
    level = call.level
    if call.get("dropout_p"):
        return _attention_with_dropout(call)
    names = [n for n in ("query", "key", "value", "attn_mask") if call.given.get(n) is not None]
    rank = max(call.given[n].dim() for n in names if n != "attn_mask")
    given = {}
    for name in names:
        x = call.given[name]
        if name == "attn_mask" and not level.holds(x):
            given[name] = x
            continue
        given[name] = level.padded(level.wrap(level.physical(x)), rank)
    return level.wrap(call.run(**given))


def _attention_with_dropout(call):
    """Attention by products, so that the weights that are dropped are drawn as the level says."""
    query, key, value, mask = (call.given.get(n) for n in ("query", "key", "value", "attn_mask"))
    if call.get("enable_gqa"):
        key, value = (t.repeat_interleave(query.size(-3) // t.size(-3), -3) for t in (key, value))
    scale = call.get("scale")
    scale = 1 / math.sqrt(query.size(-1)) if scale is None else scale
    scores = (query * scale) @ key.transpose(-2, -1)
    if call.get("is_causal"):
        mask = ops.ones(scores.shape[-2:], dtype=_core.bool, device=scores.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == _core.bool else scores + mask
    # Rows without any key are zero.
    weights = scores.softmax(-1).masked_fill((scores == -math.inf).all(-1, keepdim=True), 0.0)
    return ops.dropout(weights, call.get("dropout_p"), True) @ value


@rule(
    "_linalg_qr",
    "_linalg_svd",
    "_linalg_svdvals",
    "_linalg_cholesky_ex",
    "_linalg_lu_factor_ex",
    "_linalg_eig",
    "_linalg_eigh",
    "_linalg_geqrf",
    "_linalg_ldl_factor_ex",
)
def of_matrices(call):
    if call.first.dim() < 2:
        call.run_first(ops.empty((), dtype=call.first.dtype).expand(call.first.shape))  # raises what an example raises
    result = call.run_first(call.first.value)
    if call.get("mode") == "r":
        # There is no Q: an empty vector stands for it.
        result = (result[0].expand(call.level.size, 0), *result[1:])
    return call.level.wrap(result)


@rule("_linalg_solve_triangular")
def solve_triangular(call):
    level, (a, b) = call.level, (call.given[n] for n in ("self", "B"))
    rank = max(a.dim(), b.dim())
    a, b = (level.padded(level.wrap(level.physical(x)), rank) for x in (a, b))
    return level.wrap(call.run(self=a, B=b))


@rule("_lu_permutation")
def of_vectors(call):
    return call.level.wrap(call.run_first(call.first.value))


@rule("_linalg_solve_ex", "_linalg_lu_solve", "_linalg_ldl_solve")
def solve(call):
    level = call.level
    rank = max(call.given[name].dim() for name in ("self", "B"))
    given = {"self": rank, "pivots": rank - 1, "B": rank}
    padded = {
        name: level.padded(level.wrap(level.physical(call.given[name])), dims)
        for name, dims in given.items()
        if name in call.given
    }
    return level.wrap(call.run(**padded))
