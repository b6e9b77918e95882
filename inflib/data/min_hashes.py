"""Texts to MinHash signatures of their shingles of three words.

h  hashes of a signature
"""

import re
from collections import Counter
from collections.abc import Iterable

import numpy as np
import xxhash
from jaxtyping import UInt32

HASHES = 64
_SHINGLE = 3
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+|[^\w\s]")
"""Words, single characters of scripts without spaces, and signs."""

_COMMON, _FEW = 0.1, 20
"""Share of prompts with a shingle above which it is common, such as that of a system
text or a chat template; of fewer prompts than _FEW, nothing is called common."""


def signatures(
    texts: Iterable[str], ignored: frozenset[bytes] = frozenset()
) -> UInt32[np.ndarray, "n h"]:
    """MinHash signature of each text.

    ignored: shingles that do not count, unless a text has no others.
    """
    from datasketch import MinHash  # imports scipy's integrators, which are slow

    sets = []
    for text in texts:
        shingles = shingles_of(text)
        sets.append(shingles - ignored or shingles)
    hashes = MinHash.generator(sets, num_perm=HASHES, seed=1, hashfunc=_hash)
    rows = [each.hashvalues for each in hashes]
    return np.stack(rows) if rows else np.empty((0, HASHES), np.uint32)


def common_shingles(prompts: Iterable[str]) -> frozenset[bytes]:
    """Shingles that many of some distinct prompts have."""
    counts, total = Counter[bytes](), 0
    for prompt in prompts:
        counts.update(shingles_of(prompt))
        total += 1
    if total < _FEW:
        return frozenset()
    return frozenset(s for s, count in counts.items() if count > _COMMON * total)


def shingles_of(text: str) -> set[bytes]:
    """Sequences of three words of the text, in lower case; shorter texts are one."""
    words = _WORD.findall(text.lower())
    starts = range(max(1, len(words) - _SHINGLE + 1))
    return {" ".join(words[i : i + _SHINGLE]).encode() for i in starts}


def _hash(shingle: bytes) -> int:
    return xxhash.xxh32_intdigest(shingle)
