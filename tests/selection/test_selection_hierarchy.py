"""Trees against the authors' trees and a recursive NumPy reference."""

import jax
import numpy as np
import pytest
from random_points import points
from scipy.spatial.distance import cdist

from jaxpr.core import InputError
from jaxpr.selection import (
    children,
    farthest_tree,
    hierarchy,
    priority_tree,
    to_newick,
    uniformization,
    uniformization_hierarchy,
)

KEY = jax.random.key(0)


def parse(text):
    """Children of every node, in their order, of a Newick string; the top is -1."""
    below, stack, position = {}, [[]], 0
    text = text.rstrip(";")
    while position < len(text):
        if text[position] == "(":
            stack.append([])
        elif text[position] == ")":
            closed = stack.pop()
            end = position + 1
            while end < len(text) and text[end].isdigit():
                end += 1
            node = int(text[position + 1 : end]) if end > position + 1 else -1
            below[node] = closed
            stack[-1].append(node)
            position = end - 1
        elif text[position].isdigit():
            end = position
            while text[end].isdigit():
                end += 1
            stack[-1].append(int(text[position:end]))
            position = end - 1
        position += 1
    return below


def descendants(below, node):
    return [d for child in below.get(node, []) for d in (child, *descendants(below, child))]


def depths(below):
    found, level, nodes = {}, 0, below[-1]
    while nodes:
        found.update(dict.fromkeys(nodes, level))
        level, nodes = level + 1, [child for node in nodes for child in below.get(node, [])]
    return found


def as_sets(below):
    return {node: set(found) for node, found in below.items()}


def reference(x, priority, count, farthest):
    """The recursion, in float64."""
    table = cdist(x.astype(np.float64), x.astype(np.float64))
    below = {}

    def grow(node, members):
        chosen = [max(members, key=lambda m: priority[m])]
        while len(chosen) < min(count, len(members)):
            left = [m for m in members if m not in chosen]
            score = (lambda m: table[m, chosen].min()) if farthest else (lambda m: priority[m])
            chosen.append(max(left, key=score))
        below[node] = chosen
        nearest = {m: chosen[int(table[m, chosen].argmin())] for m in members if m not in chosen}
        for c in chosen:
            under = [m for m, n in nearest.items() if n == c]
            if under:
                grow(c, under)

    grow(-1, list(range(len(x))))
    return below


def test_the_authors_tree_of_farthest_points(golden, golden_trees):
    expected = parse(golden_trees["fps_hard"])
    # The starts that the authors' generator drew come first, the higher the earlier.
    depth = depths(expected)
    starts = [found[0] for found in expected.values()]
    priority = np.full(60, -100, np.float32)
    priority[starts] = [-depth[start] for start in starts]
    tree = farthest_tree(golden["feat_A"], priority, count=4)
    found = parse(to_newick(tree))
    assert as_sets(found) == as_sets(expected)
    for node, below in expected.items():
        if len(descendants(expected, node)) > 4:  # fewer are listed by index
            assert found[node] == below


def test_the_authors_tree_of_uniformization(golden, golden_trees):
    expected = parse(golden_trees["uniformization_hard"])
    # Any priority that falls with the depth and with the order among siblings draws what they drew.
    depth, priority = depths(expected), np.zeros(60, np.float32)
    for found in expected.values():
        priority[found] = [-10 * depth[node] - order for order, node in enumerate(found)]
    found = parse(to_newick(priority_tree(golden["feat_A"], priority, count=4)))
    assert found == expected


@pytest.mark.thorough
@pytest.mark.parametrize("farthest", [True, False])
@pytest.mark.parametrize(("n", "d", "count"), [(60, 4, 5), (33, 1, 2), (5, 2, 5), (9, 3, 7)])
def test_the_recursion_gives_the_same(n, d, count, farthest):
    x, priority = points(n, n, d), np.random.default_rng(1).permutation(n).astype(np.float32)
    tree = (farthest_tree if farthest else priority_tree)(x, priority, count=count)
    assert parse(to_newick(tree)) == reference(x, priority, count, farthest)


def test_fields_agree_with_each_other():
    x = points(3)
    for tree in (hierarchy(KEY, x, count=4), uniformization_hierarchy(KEY, x, count=4, k=6)):
        parent, depth, rank = (np.asarray(leaf) for leaf in tree[1:])
        assert children(tree, -1) == tree.indices.tolist()
        assert (parent[np.asarray(tree.indices)] == -1).all()
        inner = parent >= 0
        np.testing.assert_array_equal(depth[inner], depth[parent[inner]] + 1)
        assert (depth[~inner] == 0).all()
        for node in range(-1, 60):
            assert sorted(rank[children(tree, node)]) == list(range(len(children(tree, node))))
        assert sorted(descendants(parse(to_newick(tree)), -1)) == list(range(60))


def test_the_top_is_the_selection():
    x = points(4)
    drawn = uniformization(KEY, x, count=5, k=6, keep=1.0)
    assert uniformization_hierarchy(KEY, x, count=5, k=6).indices.tolist() == drawn.indices.tolist()


def test_newick_by_hand():
    x = np.array([[0.0], [10.0], [1.0], [12.0], [14.0], [10.5]], np.float32)
    tree = farthest_tree(x, np.array([5, 0, 0, 0, 0, 0], np.float32), count=2)
    assert to_newick(tree) == "((2)0,((5)1,3)4);"  # 4 is farthest from 0; then 1 is first of equals, and 3 farthest
    assert children(tree, 4) == [1, 3]


def test_copies_end():
    x = np.ones((7, 2), np.float32)
    for tree in (hierarchy(KEY, x, count=2), uniformization_hierarchy(KEY, x, count=2, k=3)):
        assert sorted(descendants(parse(to_newick(tree)), -1)) == list(range(7))


def test_translation_and_permutation():
    x, priority = points(5), np.random.default_rng(2).permutation(60).astype(np.float32)
    order = np.random.default_rng(3).permutation(60)
    base = parse(to_newick(farthest_tree(x, priority, count=5)))
    assert parse(to_newick(farthest_tree(x + 2, priority, count=5))) == base
    permuted = parse(to_newick(farthest_tree(x[order], priority[order], count=5)))
    names = {-1: -1, **dict(enumerate(order.tolist()))}
    assert {names[n]: [names[c] for c in below] for n, below in permuted.items()} == base


@pytest.mark.thorough
def test_jit_and_vmap_change_nothing():
    batch, keys = np.stack([points(s) for s in range(3)]), jax.random.split(KEY, 3)
    for select in (
        lambda key, x: hierarchy(key, x, count=5),
        lambda key, x: uniformization_hierarchy(key, x, count=5, k=6),
    ):
        loop = [select(keys[0], batch[0]), *(jax.jit(select)(keys[i], batch[i]) for i in (1, 2))]
        for name, leaf in jax.vmap(jax.jit(select))(keys, batch)._asdict().items():
            np.testing.assert_array_equal(leaf, [getattr(tree, name) for tree in loop])


X = points(0, n=6, d=2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hierarchy(KEY, X * np.nan, count=2), "features: found NaN"),
        (lambda: hierarchy(KEY, X, count=1), "count: found 1, expected an integer of at least 2"),
        (lambda: hierarchy(KEY, X, count=7), "count: found 7, expected at most"),
        (lambda: hierarchy(jax.random.PRNGKey(0), X, count=2), "key: found uint32"),
        (lambda: uniformization_hierarchy(KEY, X, count=2, k=6), "k: found 6"),
        (lambda: farthest_tree(X, X[:, :1], count=2), "priority: found shape (6, 1), expected (6,)"),
        (lambda: farthest_tree(X, X[:, 0] * np.nan, count=2), "priority: found NaN"),
        (lambda: to_newick(jax.tree.map(lambda a: a[None], hierarchy(KEY, X, count=2))), "tree: found a batch"),
    ],
)
def test_mistakes_are_named_in_one_line(call, message):
    with pytest.raises(InputError) as error:
        call()
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
