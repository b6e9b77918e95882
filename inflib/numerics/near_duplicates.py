"""MinHash signatures of texts to pairs of near-duplicates and groups of them.

    n  items     h  hashes of a signature

The share of equal hashes estimates the Jaccard similarity of two texts' sets of
shingles (Broder, "On the resemblance and containment of documents", 1997), with a
standard error of at most 0.5 / sqrt(h). Candidates are the items that agree in a band
of some hashes (Leskovec, Rajaraman & Ullman, "Mining of Massive Datasets", section
3.4); each is compared with the first and the last one before it in its band, so that
the work grows with the items and not with their square, and groups are joined through
them.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt32, UInt64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SIMILAR = 0.8
"""Jaccard similarity from which texts are called near-duplicates."""

_CLEAR = 0.1
"""Difference of similarities from which the order of two responses is known."""

_TEXT_ROWS, _COMPARISON_ROWS = 4, 2
"""Hashes of a band. With 64 hashes, a pair of similarity 0.8 is found with probability
0.9998: 1 - (1 - 0.8^4)^16, and for comparisons, whose three texts must agree,
1 - (1 - 0.8^6)^32."""


@dataclass(frozen=True)
class Links:
    """Pairs of near-duplicates among items; arrays with one entry for each pair."""

    first: Int[np.ndarray, " p"]
    second: Int[np.ndarray, " p"]
    """Items, first < second."""

    similarity: Float[np.ndarray, " p"]
    """Estimated Jaccard similarity; of comparisons, that of the least similar texts."""

    order: Int[np.ndarray, " p"]
    """+1: response a of one is like a of the other; -1: like b; 0: like both, or items
    are no comparisons."""

    def groups(self, count: int) -> Int[np.ndarray, " n"]:
        """Number of each item's group; linked items are in one. count: of items, n."""
        ones = np.ones(len(self.first))
        graph = coo_array((ones, (self.first, self.second)), shape=(count, count))
        return connected_components(graph, directed=False)[1].astype(np.int64)


def link_texts(signatures: UInt32[np.ndarray, "n h"]) -> Links:
    """Near-duplicates among texts."""
    bands = _bands(signatures, _TEXT_ROWS)
    first, second = _candidates(bands)
    similarity = _similarity(signatures, first, signatures, second)
    near = similarity >= SIMILAR
    none = np.zeros(int(near.sum()), np.int64)
    return Links(first[near], second[near], similarity[near], none)


def link_comparisons(
    prompts: UInt32[np.ndarray, "n h"],
    a: UInt32[np.ndarray, "n h"],
    b: UInt32[np.ndarray, "n h"],
) -> Links:
    """Near-duplicates among comparisons: like prompts, and two pairs of like responses,
    in either order. prompts, a, b: signatures of their texts."""
    bands = [_bands(signatures, _COMPARISON_ROWS) for signatures in (prompts, a, b)]
    low, high = np.minimum(bands[1], bands[2]), np.maximum(bands[1], bands[2])
    first, second = _candidates(_mixed(_mixed(bands[0]) ^ _mixed(low)) ^ high)
    same = _similarity(prompts, first, prompts, second)
    straight = np.minimum(
        _similarity(a, first, a, second), _similarity(b, first, b, second)
    )
    crossed = np.minimum(
        _similarity(a, first, b, second), _similarity(b, first, a, second)
    )
    similarity = np.minimum(same, np.maximum(straight, crossed))
    order = np.sign(straight - crossed).astype(np.int64)
    order[np.abs(straight - crossed) < _CLEAR] = 0
    near = similarity >= SIMILAR
    return Links(first[near], second[near], similarity[near], order[near])


def _bands(
    signatures: UInt32[np.ndarray, "n h"], rows: int
) -> UInt64[np.ndarray, "n _"]:
    """A number for each band of each signature, equal where all its hashes are."""
    shape = len(signatures), signatures.shape[1] // rows, rows
    by_band = signatures.astype(np.uint64).reshape(shape)
    keys = by_band[:, :, 0]
    for row in range(1, rows):
        keys = _mixed(keys) ^ by_band[:, :, row]
    return _mixed(keys)


def _mixed(keys: UInt64[np.ndarray, "n _"]) -> UInt64[np.ndarray, "n _"]:
    """Each number to one that looks random: the finalizer of SplitMix64 (Steele, Lea &
    Flood, OOPSLA 2014)."""
    keys = keys + np.uint64(0x9E3779B97F4A7C15)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


def _candidates(
    bands: UInt64[np.ndarray, "n _"],
) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]]:
    """Pairs of items that are first or next to each other among those with an equal
    band, each pair once, as (first, second) with first < second."""
    count, pairs = len(bands), np.empty(0, np.int64)
    if count == 0:
        return pairs, pairs
    for keys in bands.T:
        order = np.argsort(keys, kind="stable")
        equal = keys[order[1:]] == keys[order[:-1]]
        starts = np.flatnonzero(np.concatenate([[True], ~equal]))
        sizes = np.diff(np.concatenate([starts, [count]]))
        heads = np.repeat(order[starts], sizes)[1:][equal]
        before, after = order[:-1][equal], order[1:][equal]
        found = [before * count + after, heads * count + after]
        pairs = np.unique(np.concatenate([pairs, *found]))
    return pairs // count, pairs % count


def _similarity(
    left: UInt32[np.ndarray, "n h"],
    first: Int[np.ndarray, " p"],
    right: UInt32[np.ndarray, "n h"],
    second: Int[np.ndarray, " p"],
) -> Float[np.ndarray, " p"]:
    """Share of equal hashes of rows `first` of one array and `second` of the other."""
    parts = [np.empty(0)]
    for start in range(0, len(first), 2**16):  # no copy of all of them
        rows = slice(start, start + 2**16)
        parts.append((left[first[rows]] == right[second[rows]]).mean(1))
    return np.concatenate(parts)
