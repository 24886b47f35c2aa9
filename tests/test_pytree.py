"""Trees of containers: leaves, descriptions, paths, and trees of ones own classes."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque, namedtuple

import corten
import pytest
from corten.utils import _pytree as pytree

Point = namedtuple("Point", "x y")
TREES = [
    1,
    None,
    [1, (2, 3), {"b": 4, "a": [5, None]}],
    Point(1, [2]),
    OrderedDict(z=1, y=(2,)),
    defaultdict(list, {"q": [1]}),
    deque([1, 2], maxlen=3),
    (),
    [[], {}],
]


@pytest.mark.parametrize("tree", TREES, ids=str)
def test_a_tree_comes_apart_and_together(tree):
    leaves, spec = pytree.tree_flatten(tree)
    again = pytree.tree_unflatten(leaves, spec)
    assert again == tree and type(again) is type(tree)
    assert spec.num_leaves == len(leaves) and spec == pytree.tree_structure(again)
    assert hash(spec) == hash(pytree.tree_structure(again))
    for path, leaf in pytree.tree_leaves_with_path(tree):
        assert pytree.key_get(tree, path) is leaf


@pytest.mark.parametrize("tree", [t for t in TREES if not isinstance(t, Point)], ids=str)
def test_a_description_is_written_and_read(tree):
    spec = pytree.tree_structure(tree)
    assert pytree.treespec_loads(pytree.treespec_dumps(spec)) == spec


def test_text_names_no_factory_but_containers():
    text = pytree.treespec_dumps(pytree.tree_structure(defaultdict(list, a=1))).replace('"list"', '"eval"')
    with pytest.raises(NotImplementedError, match="eval"):
        pytree.treespec_loads(text)


def test_functions_are_mapped_over_leaves_and_over_several_trees():
    tree = {"a": 1, "b": [2, (3,)]}
    assert pytree.tree_map(lambda x, y: x * y, tree, {"b": [5, (6,)], "a": 4}) == {"a": 4, "b": [10, (18,)]}
    assert pytree.tree_map_only(int, lambda x: -x, [1, "t", 2]) == [-1, "t", -2]
    seen = []
    assert pytree.tree_map_(seen.append, tree) is tree and seen == [1, 2, 3]
    assert pytree.tree_all(lambda x: x > 0, tree) and not pytree.tree_any(lambda x: x > 3, tree)
    assert pytree.tree_map(len, [(1, 2), (3,)], is_leaf=lambda x: isinstance(x, tuple)) == [2, 1]
    assert pytree.tree_map_with_path(lambda p, x: pytree.keystr(p), tree)["b"][1] == ("['b'][1][0]",)


def test_named_results_of_operators_are_nodes():
    result = corten.tensor([3.0, 1.0]).sort()
    doubled = pytree.tree_map(lambda t: t * 2, result)
    assert type(doubled) is type(result) and doubled.values.tolist() == [2.0, 6.0]
    assert pytree.is_structseq(result) and not pytree.is_namedtuple(result) and pytree.is_namedtuple(Point(1, 2))


@pytest.mark.parametrize(
    "call, error, text",
    [
        (lambda: pytree.tree_map(max, [1, 2], [1]), ValueError, "arity mismatch; expected 2, but got 1"),
        (lambda: pytree.tree_map(max, [1, 2], (1, 2)), ValueError, "type mismatch"),
        (lambda: pytree.tree_map(max, {"a": 1}, {"b": 1}), ValueError, "keys mismatch"),
        (lambda: pytree.tree_unflatten([1], pytree.tree_structure([1, 2])), ValueError, "holds 2 items"),
        (lambda: pytree.tree_unflatten([1], 3), TypeError, "int"),
        (lambda: pytree.register_pytree_node(list, None, None), ValueError, "already registered"),
        (lambda: pytree.treespec_dumps(pytree.tree_structure(Point(1, 2))), NotImplementedError, "serialization name"),
    ],
)
def test_what_does_not_fit_is_refused(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_classes_of_ones_own_become_nodes():
    class Pair:
        def __init__(self, left, right):
            self.left, self.right = left, right

    pytree.register_pytree_node(Pair, lambda p: ([p.left, p.right], None), lambda c, _: Pair(*c))
    doubled = pytree.tree_map(lambda x: 2 * x, [Pair(1, (2, 3))])
    assert (doubled[0].left, doubled[0].right) == (2, (4, 6))
    with pytest.raises(ValueError, match="flatten_with_keys_fn"):
        pytree.tree_leaves_with_path(Pair(1, 2))
