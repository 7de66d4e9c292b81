"""Kernel: the price levels of one side: a tree of 64-way nodes with one bit per occupied child.

The best price is found by counting trailing zeros on the way down. A leaf is a page of 64 price
levels. Nodes and leaves come from pools when a page is first used and go back when it empties:
memory follows the occupied prices. Keys are what shm_exchange.book says: the smaller, the better.
"""

import numpy as np

from ringbuf.bits import at, shift_left, trailing_zeros
from ringbuf.jit import cold_kernel, kernel
from shm_exchange.market import BOUGH_SHIFT, BRANCH_SHIFT, BRANCHES, NO_KEY


@kernel
def has_pages(market):
    """1 when a new price page can be made, whatever its key: inner nodes are never short."""
    return 1 if market.scalars[0]["pages"] < len(market.leaf_words) else 0


@kernel
def _take_node(market):
    """An empty inner node from the pool; `has_pages` was asked before."""
    scalars = market.scalars[0]
    node = scalars["node_free"] + 0
    if node:
        scalars["node_free"] = market.node_children[at(64 * node)]
        market.node_children[at(64 * node)] = 0
        return node
    node = scalars["node_next"] + 0
    assert node < len(market.node_words)
    scalars["node_next"] = node + 1
    return node


@kernel
def _free_node(market, node):
    """Give an inner node without children back to the pool."""
    market.node_children[at(64 * node)] = market.scalars[0]["node_free"]
    market.scalars[0]["node_free"] = node


@kernel
def _take_leaf(market):
    """An empty leaf from the pool; `has_pages` was asked before."""
    scalars = market.scalars[0]
    scalars["pages"] += 1
    leaf = scalars["leaf_free"] + 0
    if leaf:
        scalars["leaf_free"] = market.leaf_words[at(leaf)]
        market.leaf_words[at(leaf)] = 0
        return leaf
    leaf = scalars["leaf_next"] + 0
    assert leaf < len(market.leaf_words)
    scalars["leaf_next"] = leaf + 1
    return leaf


@kernel
def _free_leaf(market, leaf):
    """Give an empty leaf back to the pool."""
    scalars = market.scalars[0]
    scalars["pages"] -= 1
    market.leaf_words[at(leaf)] = scalars["leaf_free"]
    scalars["leaf_free"] = leaf


@kernel
def _place_of(number, key, shift):
    """Where a side remembers the inner node that has all keys which agree above `shift`."""
    upper = BRANCHES if shift == BOUGH_SHIFT else 0
    return 2 * BRANCHES * number + upper + ((key >> shift) & (BRANCHES - 1))


@kernel
def _recall(market, number, key, shift):
    """That node, if it is remembered; else 0.

    shift: BRANCH_SHIFT: a lowest one, which has 4,096 keys; BOUGH_SHIFT: one above.
    """
    branch = market.branches[at(_place_of(number, key, shift))]
    return np.int64(branch["node"]) if branch["upper"] == 1 + (key >> shift) else 0


@kernel
def _remember(market, number, key, shift, node):
    branch = market.branches[at(_place_of(number, key, shift))]
    branch["upper"] = 1 + (key >> shift)
    branch["node"] = node


@kernel
def _forget(market, number, key, shift):
    branch = market.branches[at(_place_of(number, key, shift))]
    branch["upper"] = branch["node"] = 0


@kernel
def _child(market, node, digit):
    """The inner node below `node`, made if need be."""
    place = 64 * node + digit
    child = np.int64(market.node_children[at(place)])
    if child == 0:
        child = np.int64(_take_node(market))
        market.node_children[at(place)] = child
        market.node_words[at(node)] |= shift_left(1, digit)
    return child


@kernel
def _branch_of(market, number, key):
    """The lowest inner node above `key`, made with its path if need be.

    A side remembers some, and some of the next level: prices are hardly ever far from all of them.
    """
    branch = _recall(market, number, key, BRANCH_SHIFT)
    if branch:
        return branch
    bough = _recall(market, number, key, BOUGH_SHIFT)
    if not bough:
        return np.int64(_branch_from_root(market, number, key))
    branch = _child(market, bough, (key >> BRANCH_SHIFT) & 63)
    _remember(market, number, key, BRANCH_SHIFT, branch)
    return branch


@cold_kernel
def _branch_from_root(market, number, key):
    side = market.sides[at(number)]
    node = np.int64(side["root"])
    shift = side["top_shift"] + 0
    while shift > 6:
        if shift == BRANCH_SHIFT:
            _remember(market, number, key, BOUGH_SHIFT, node)
        node = _child(market, node, (key >> shift) & 63)
        shift -= 6
    _remember(market, number, key, BRANCH_SHIFT, node)
    return node


@kernel
def leaf_of(market, number, key):
    """The leaf of `key` on side `number`, made with its path if need be."""
    node = _branch_of(market, number, key)
    digit = (key >> 6) & 63
    leaf = np.int64(market.node_children[at(64 * node + digit)])
    if leaf == 0:
        leaf = _take_leaf(market)
        market.node_children[at(64 * node + digit)] = leaf
        market.node_words[at(node)] |= shift_left(1, digit)
    return leaf


@kernel
def give_back(market, number, key):
    """Free the empty leaf of `key` and every inner node that has nothing else.

    Returns the pages that are left in its lowest inner node, as a word, and that node.
    """
    node = _branch_of(market, number, key)
    digit = (key >> 6) & 63
    left = market.node_words[at(node)] & ~shift_left(1, digit)
    if left != 0:
        _give_back_leaf(market, node, digit, left)
    elif _take_out(market, number, key):
        _give_back_leaf(market, node, digit, left)
        _free_node(market, node)
    else:
        _give_back_path(market, number, key)
    return left, node


@kernel
def _give_back_leaf(market, node, digit, left):
    place = 64 * node + digit
    leaf = np.int64(market.node_children[at(place)])
    market.node_children[at(place)] = 0
    market.node_words[at(node)] = left
    _free_leaf(market, leaf)


@kernel
def _take_out(market, number, key):
    """Take the lowest inner node above `key` out of the one above, if that is known and has others.

    Returns 0 when it is not, or has not.
    """
    bough = _recall(market, number, key, BOUGH_SHIFT)
    if not bough:
        return 0
    digit = (key >> BRANCH_SHIFT) & 63
    left = market.node_words[at(bough)] & ~shift_left(1, digit)
    if left == 0:
        return 0
    market.node_words[at(bough)] = left
    market.node_children[at(64 * bough + digit)] = 0
    _forget(market, number, key, BRANCH_SHIFT)
    return 1


@cold_kernel
def _give_back_path(market, number, key):
    side = market.sides[at(number)]
    # First way down: the last node that keeps another child. What hangs below it goes.
    node = keep = side["root"] + 0
    shift = keep_shift = side["top_shift"] + 0
    while shift > 6:
        digit = (key >> shift) & 63
        if market.node_words[at(node)] & ~shift_left(1, digit):
            keep = node
            keep_shift = shift
        node = market.node_children[at(64 * node + digit)] + 0
        shift -= 6
    if market.node_words[at(node)] & ~shift_left(1, (key >> 6) & 63):
        keep = node
        keep_shift = 6
    node = keep
    shift = keep_shift
    while True:
        digit = (key >> shift) & 63
        place = 64 * node + digit
        child = market.node_children[at(place)] + 0
        market.node_children[at(place)] = 0
        market.node_words[at(node)] &= ~shift_left(1, digit)
        if node != keep:
            _free_node(market, node)
            if shift + 6 <= BOUGH_SHIFT:
                _forget(market, number, key, shift + 6)
        if shift == 6:
            _free_leaf(market, child)
            return
        node = child
        shift -= 6


@kernel
def best_in(market, number, key, left, node):
    """Set `best` and `best_level` of a side when the page of its best price has been given back.

    key: in that page. left, node: what `give_back` returned. Every other price is worse, so the
    best one is in the same inner node, if that has any page, or in the next one of those above.
    """
    if left == 0:
        bough = _recall(market, number, key, BOUGH_SHIFT)
        if not bough or market.node_words[at(bough)] == 0:
            _best_from_root(market, number)
            return
        branch = trailing_zeros(market.node_words[at(bough)])
        node = np.int64(market.node_children[at(64 * bough + branch)])
        left = market.node_words[at(node)] + 0
        key = (key >> BOUGH_SHIFT << BOUGH_SHIFT) | (branch << BRANCH_SHIFT)
    digit = trailing_zeros(left)
    leaf = np.int64(market.node_children[at(64 * node + digit)])
    level = trailing_zeros(market.leaf_words[at(leaf)])
    side = market.sides[at(number)]
    side["best"] = (key >> BRANCH_SHIFT << BRANCH_SHIFT) | (digit << 6) | level
    side["best_level"] = 64 * leaf + level


@cold_kernel
def _best_from_root(market, number):
    """Set `best` and `best_level` of a side by the leftmost way down its tree."""
    side = market.sides[at(number)]
    node = side["root"] + 0
    shift = side["top_shift"] + 0
    if market.node_words[at(node)] == 0:
        side["best"] = NO_KEY
        side["best_level"] = 0
        return
    key = 0
    while True:
        digit = trailing_zeros(market.node_words[at(node)])
        key |= digit << shift
        node = market.node_children[at(64 * node + digit)] + 0
        if shift == 6:
            break
        shift -= 6
    digit = trailing_zeros(market.leaf_words[at(node)])
    side["best"] = key | digit
    side["best_level"] = 64 * node + digit
