"""Token ids of two responses to the comparisons of a pair set that have them."""

import hashlib
from collections.abc import Sequence

import numpy as np

from inflib.data.pairs_folder import PairsFolder

Found = list[tuple[int, int]]
"""(place, sign) of comparisons: the place counts them in plan order; sign: +1 where the
first response is response a, -1 where it is b."""


class ComparisonLookup:
    """The comparisons of a pair set, by the token ids of their full sequences."""

    def __init__(self, pairs: PairsFolder) -> None:
        self._found: dict[bytes, Found] = {}
        self._labels = set[tuple[int, int, float]]()
        self.count = 0
        for shard in pairs.plan():
            labels = pairs.labels(shard, ["row", "sign", "required_margin"])
            for row, sign, margin in zip(*labels.to_pydict().values(), strict=True):
                self._labels.add((self.count + row, sign, round(margin, 6)))
            table = pairs.comparisons(shard, ["prefix", "a", "b"])
            for row in table.to_pylist():
                key, sign = _key(row["prefix"] + row["a"], row["prefix"] + row["b"])
                self._found.setdefault(key, []).append((self.count, sign))
                self.count += 1

    def find(self, first: Sequence[int], second: Sequence[int]) -> Found:
        """The comparisons of two sequences, in either order; none: an empty list."""
        key, sign = _key(first, second)
        return [(place, sign * own) for place, own in self._found.get(key, [])]

    def has_label(
        self, chosen: Sequence[int], rejected: Sequence[int], margin: float
    ) -> bool:
        """Whether there is such a label, with that required margin."""
        return any(
            (place, sign, round(margin, 6)) in self._labels
            for place, sign in self.find(chosen, rejected)
        )


def _key(first: Sequence[int], second: Sequence[int]) -> tuple[bytes, int]:
    """(what both sequences are found by, in either order; which order it is)."""
    digests = [
        hashlib.blake2b(np.array(ids, np.int64).tobytes(), digest_size=16).digest()
        for ids in (first, second)
    ]
    return b"".join(sorted(digests)), (1 if digests[0] <= digests[1] else -1)
