"""Einstein summation: the equation is read into labels per dim, then operands are contracted two at a time."""

from .. import _core
from ._arguments import typed

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# Dims under an ellipsis are counted from the right: the last one has this label, the one before it one more.
_ELLIPSIS = len(_LETTERS)
_Tensor = _core.Tensor


def _name(label):
    return _LETTERS[label] if label < _ELLIPSIS else "..."


@typed("einsum")
def einsum(*args):
    """The sum of products that an equation such as ``"ij,jk->ik"`` describes.

    Args:
        args: an equation and its operands, or operands each followed by a list of labels from 0 to 51 (``...`` for
            the rest) and, at the end, optionally the labels of the result.

    Letters that appear on both sides of ``->`` are kept, the others are summed; a letter that is repeated in one
    operand takes its diagonal. Without ``->`` the result has the dims of the ellipsis and then, in alphabetical
    order, the letters that appear once.

    Raises:
        RuntimeError: where the equation and the operands do not agree.

    Example:
        >>> corten.einsum("ij,jk->ik", corten.ones(2, 3), corten.ones(3, 4)).shape
        corten.Size([2, 4])
    """
    if len(args) < 2:
        raise ValueError(
            "einsum(): must specify the equation string and at least one operand, or at least one operand and its "
            "subscripts list"
        )
    if isinstance(args[0], _Tensor):
        subscripts, output, operands = _from_lists(args)
    else:
        equation, *operands = args
        if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
            operands = list(operands[0])
        subscripts, output = _parse(equation)
    if len(operands) < len(subscripts):
        raise RuntimeError("einsum(): fewer operands were provided than specified in the equation")
    if len(operands) > len(subscripts):
        raise RuntimeError("einsum(): more operands were provided than specified in the equation")
    labels = [_cover(i, parsed, x.dim()) for i, (parsed, x) in enumerate(zip(subscripts, operands, strict=True))]
    kept = _result_labels(labels, output, subscripts)
    terms = [_diagonal(i, x, names) for i, (x, names) in enumerate(zip(operands, labels, strict=True))]
    _check_sizes(terms)
    return _contract(terms, kept)


def _from_lists(args):
    operands, subscripts = list(args[0 : len(args) - len(args) % 2 : 2]), []
    for i, labels in enumerate(args[1::2]):
        subscripts.append([_list_label(entry, f"for operand {i}") for entry in labels])
    output = None
    if len(args) % 2:
        output = [_list_label(entry, "in the output") for entry in args[-1]]
    return subscripts, output, operands


def _list_label(entry, place):
    if entry is Ellipsis:
        return None
    if not 0 <= entry < _ELLIPSIS:
        raise ValueError(f"einsum(): subscripts must be in the range [0, {_ELLIPSIS}), but got {entry} {place}")
    return int(entry)


def _parse(equation):
    """The labels of every operand and of the output (None where it is not given); None stands for an ellipsis."""
    left, arrow, right = equation.partition("->")
    subscripts, position = [], 0
    for i, text in enumerate(left.split(",")):
        subscripts.append(_parse_term(text, position, f"for operand {i}"))
        position += len(text) + 1
    return subscripts, _parse_term(right, len(left) + 2, "in the output") if arrow else None


def _parse_term(text, position, place):
    labels, i = [], 0
    while i < len(text):
        character = text[i]
        if character == ".":
            if None in labels:
                raise RuntimeError(f"einsum(): found '.' {place} for which an ellipsis was already found")
            if text[i : i + 3] != "...":
                raise RuntimeError(f"einsum(): found '.' {place} that is not part of any ellipsis")
            labels.append(None)
            i += 3
            continue
        if character != " ":
            if character not in _LETTERS:
                raise RuntimeError(
                    f"einsum(): invalid subscript given at index {position + i} in the equation string, subscripts "
                    "must be in [a-zA-Z]"
                )
            labels.append(_LETTERS.index(character))
        i += 1
    return labels


def _cover(operand, parsed, rank):
    """A label for every dim: the ellipsis takes those that are left."""
    count = sum(label is not None for label in parsed)
    if None not in parsed:
        if count != rank:
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({count}) does not match the number of dimensions "
                f"({rank}) for operand {operand} and no ellipsis was given"
            )
        return list(parsed)
    if count > rank:
        raise RuntimeError(
            f"einsum(): the number of subscripts in the equation ({count}) is more than the number of dimensions "
            f"({rank}) for operand {operand}"
        )
    at = parsed.index(None)
    covered = [_ELLIPSIS + k for k in reversed(range(rank - count))]
    return [*parsed[:at], *covered, *parsed[at + 1 :]]


def _result_labels(labels, output, subscripts):
    seen = [label for names in labels for label in names]
    hidden = sorted({label for label in seen if label >= _ELLIPSIS}, reverse=True)
    if output is None:
        letters = sorted(label for label in set(seen) if label < _ELLIPSIS and seen.count(label) == 1)
        return hidden + letters
    kept = []
    for label in output:
        if label is None:
            kept += hidden
            continue
        if label in kept:
            raise RuntimeError(f"einsum(): output subscript {_name(label)} appears more than once in the output")
        if label not in seen:
            raise RuntimeError(
                f"einsum(): output subscript {_name(label)} does not appear in the equation for any input operand"
            )
        kept.append(label)
    return kept


def _diagonal(operand, x, labels):
    """The operand with every label once."""
    labels = list(labels)
    for label in set(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            if x.size(first) != x.size(second):
                raise RuntimeError(
                    f"einsum(): subscript {_name(label)} is repeated for operand {operand} but the sizes don't match, "
                    f"{x.size(second)} != {x.size(first)}"
                )
            x = x.diagonal(0, first, second)
            labels = [name for d, name in enumerate(labels) if d not in (first, second)] + [label]
    return x, labels


def _check_sizes(terms):
    sizes = {}
    for i, (x, labels) in enumerate(terms):
        for label, size in zip(labels, x.shape, strict=True):
            known = sizes.get(label, 1)
            if size != 1 and known not in (1, size):
                raise RuntimeError(
                    f"einsum(): subscript {_name(label)} has size {size} for operand {i} which does not broadcast with "
                    f"previously seen size {known}"
                )
            sizes[label] = size if known == 1 else known


def _contract(terms, kept):
    terms = [_sum_out(x, labels, kept, terms, i) for i, (x, labels) in enumerate(terms)]
    while len(terms) > 1:
        i, j = _cheapest(terms, kept) if len(terms) > 2 else (0, 1)
        others = [term for k, term in enumerate(terms) if k not in (i, j)]
        needed = set(kept).union(*(labels for _, labels in others))
        terms = [*others, _pair(terms[i], terms[j], needed, kept)]
    x, labels = terms[0]
    missing = [label for label in labels if label not in kept]
    if missing:
        x = x.sum([labels.index(label) for label in missing])
        labels = [label for label in labels if label in kept]
    return x.permute([labels.index(label) for label in kept])


def _sum_out(x, labels, kept, terms, i):
    """The operand without the labels that nobody else has."""
    others = set(kept).union(*(names for k, (_, names) in enumerate(terms) if k != i))
    lonely = [d for d, label in enumerate(labels) if label not in others]
    if not lonely:
        return x, labels
    return x.sum(lonely), [label for d, label in enumerate(labels) if d not in lonely]


def _cheapest(terms, kept):
    """The pair whose product grows the least over its factors."""
    best = None
    for i in range(len(terms)):
        for j in range(i + 1, len(terms)):
            needed = set(kept).union(*(labels for k, (_, labels) in enumerate(terms) if k not in (i, j)))
            sizes = {}
            for x, labels in (terms[i], terms[j]):
                for label, size in zip(labels, x.shape, strict=True):
                    sizes[label] = max(size, sizes.get(label, 1))
            result = 1
            for label, size in sizes.items():
                result *= size if label in needed else 1
            growth = result - terms[i][0].numel() - terms[j][0].numel()
            if best is None or growth < best[0]:
                best = (growth, i, j)
    return best[1:]


def _pair(first, second, needed, kept):
    """The product of two terms, summed over their common labels that nobody needs any more.

    Labels stand in the order of the result's, as far as it has them, so that the strides are PyTorch's.
    """
    (a, labels_a), (b, labels_b) = _drop_ones(first, second, needed), _drop_ones(second, first, needed)

    def place(label):
        return kept.index(label) if label in kept else len(kept)

    common = [label for label in labels_a if label in labels_b]
    batch = sorted((label for label in common if label in needed), key=place)
    summed = [label for label in common if label not in needed]
    rows = sorted((label for label in labels_a if label not in common), key=place)
    columns = sorted((label for label in labels_b if label not in common), key=place)
    if not summed:
        labels = sorted(batch + rows + columns, key=place)
        return _aligned(a, labels_a, labels) * _aligned(b, labels_b, labels), labels
    if rows and columns and place(columns[-1]) < place(rows[0]):
        a, labels_a, rows, b, labels_b, columns = b, labels_b, columns, a, labels_a, rows
    labels = batch + rows + columns

    def matrix(x, names, groups):
        x = x.permute([names.index(label) for group in groups for label in group])
        sizes, at = [], 0
        for group in groups:
            size = 1
            for _ in group:
                size *= x.size(at)
                at += 1
            sizes.append(size)
        return x.reshape(sizes)

    shape = [a.size(labels_a.index(label)) for label in batch + rows] + [
        b.size(labels_b.index(label)) for label in columns
    ]
    if batch:
        product = matrix(a, labels_a, (batch, rows, summed)).bmm(matrix(b, labels_b, (batch, summed, columns)))
    else:
        product = matrix(a, labels_a, (rows, summed)).mm(matrix(b, labels_b, (summed, columns)))
    return product.reshape(shape), labels


def _aligned(x, names, labels):
    """The tensor with a dim for every label, of size 1 for those it lacks."""
    x = x.permute([names.index(label) for label in labels if label in names])
    for d, label in enumerate(labels):
        if label not in names:
            x = x.unsqueeze(d)
    return x


def _drop_ones(term, other, needed):
    """A label of size 1 that the other term has with a larger size belongs to the other alone."""
    (x, labels), (y, others) = term, other
    ones = [
        d for d, label in enumerate(labels) if x.size(d) == 1 and label in others and (y.size(others.index(label)) != 1)
    ]
    if not ones:
        return x, labels
    return x.squeeze(ones), [label for d, label in enumerate(labels) if d not in ones]
