"""Pair sets to what should be known before money is spent on them.

Duplicates and near-duplicates with equal or opposite labels, query labels that are
nearly training ones, comparisons that truncation made equal, labels of each labeler.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from inflib.data.min_hashes import HASHES, signatures
from inflib.data.pairs_folder import PairsFolder, Shard
from inflib.numerics.near_duplicates import Links, link_comparisons, link_texts
from inflib.shapes.pairs import prompt_of

NEAR = pa.schema(
    [
        ("pairs", pa.string()),
        ("comparison_id", pa.string()),
        ("other_pairs", pa.string()),
        ("other_comparison_id", pa.string()),
        ("similarity", pa.float32()),
        ("labels", pa.string()),
    ]
)
"""Two near-duplicate comparisons. labels: "equal" when they prefer like responses,
"opposite", or "unclear" where one of them is undecided or the responses are alike."""

TEXTS = ("prompt", "response_a", "response_b")
EQUAL, OPPOSITE, UNCLEAR = "equal", "opposite", "unclear"


@dataclass(frozen=True)
class Looked:
    """What a look at some comparisons of a pair set found, one entry for each."""

    comparison_id: list[str]
    texts: np.ndarray
    """[c 3 h] signatures of prompt and responses a and b, uint32."""

    tokens: np.ndarray
    """[c] hash of the token ids, uint64."""

    labels: np.ndarray
    """[c] number of labels."""

    prefers_a: np.ndarray
    """[c] sum of sign times 2p - 1 of the labels: above 0, a is preferred."""

    contradicted: np.ndarray
    """[c] whether labels prefer both."""

    groups: dict[str, Counter[str]]
    """{column: {group: its labels}}."""


def look(
    pairs: PairsFolder, shard: Shard, ignored: frozenset[bytes], columns: list[str]
) -> Looked:
    """A look at one shard. ignored: shingles of prompts that do not count; columns: of
    the labels, to count groups by; those that are not there are left out."""
    comparisons = pairs.comparisons(shard)
    labels = pairs.labels(shard)
    rows, count = labels["row"].to_numpy(), len(comparisons)
    votes = labels["sign"].to_numpy() * (2 * labels["target"].to_numpy() - 1)
    texts = [signatures(comparisons["prompt"].to_pylist(), ignored)]
    texts += [signatures(comparisons[name].to_pylist()) for name in TEXTS[1:]]
    for_a = np.bincount(rows, votes > 0, count) > 0
    for_b = np.bincount(rows, votes < 0, count) > 0
    ids = zip(*(comparisons[n].to_pylist() for n in ("prefix", "a", "b")), strict=True)
    return Looked(
        comparisons["comparison_id"].to_pylist(),
        np.stack(texts, axis=1),
        np.array([xxhash.xxh3_64_intdigest(repr(x).encode()) for x in ids], np.uint64),
        np.bincount(rows, minlength=count),
        np.bincount(rows, votes, count),
        for_a & for_b,
        {
            name: Counter(str(v) for v in labels[name].to_pylist() if v is not None)
            for name in columns
            if name in labels.column_names
        },
    )


def joined(looks: list[Looked]) -> Looked:
    """The looks at all shards of a pair set as one."""
    groups: dict[str, Counter[str]] = {}
    for each in looks:
        for column, counts in each.groups.items():
            groups.setdefault(column, Counter()).update(counts)
    none = np.empty((0, len(TEXTS), HASHES), np.uint32)
    return Looked(
        [name for each in looks for name in each.comparison_id],
        np.concatenate([none, *(each.texts for each in looks)]),
        np.concatenate([each.tokens for each in looks]),
        np.concatenate([each.labels for each in looks]),
        np.concatenate([each.prefers_a for each in looks]),
        np.concatenate([each.contradicted for each in looks]),
        groups,
    )


def preflight(
    looked: dict[str, Looked], min_labels: int
) -> tuple[dict[str, dict[str, Any]], pa.Table]:
    """({pair set: facts for its data report}, table NEAR of near-duplicates).

    looked: train and the query sets; min_labels: below which a group has few labels.
    """
    facts = {pairs: _own_facts(each, min_labels) for pairs, each in looked.items()}
    sets = np.repeat(
        np.arange(len(looked)), [len(each.comparison_id) for each in looked.values()]
    )
    together = joined([*looked.values()])
    links = link_comparisons(*together.texts.transpose(1, 0, 2))
    groups = links.groups(len(sets))
    preferences = _preferences(links, together.prefers_a)
    opposite = np.isin(groups, groups[links.first[preferences == OPPOSITE]])
    train = [*looked].index("train")
    in_train = np.isin(groups, groups[sets == train])
    known = set(looked["train"].comparison_id)
    same = np.array([name in known for name in together.comparison_id], dtype=bool)
    near_prompt = _near_prompts(together, sets == train)
    for number, pairs in enumerate(looked):
        mine = sets == number
        facts[pairs]["near_duplicates"] = _near_facts(groups[mine], opposite[mine])
        if number != train:
            for name, mask in (
                ("near_in_train", in_train & ~same),
                ("prompts_near_train", near_prompt),
            ):
                facts[pairs][name] = int(together.labels[mine & mask].sum())
    names = np.array([*looked], dtype=object)
    ids = np.array([*together.comparison_id, ""], dtype=object)
    columns = [
        names[sets[links.first]],
        ids[links.first],
        names[sets[links.second]],
        ids[links.second],
        links.similarity.astype(np.float32),
        preferences,
    ]
    return facts, pa.table([pa.array(c) for c in columns], names=NEAR.names).cast(NEAR)


def _own_facts(looked: Looked, min_labels: int) -> dict[str, Any]:
    """Facts on one pair set that need no other comparison than its own."""
    _, places, counts = np.unique(
        looked.tokens, return_inverse=True, return_counts=True
    )
    by_group = {}
    for column, groups in looked.groups.items():
        sizes = np.array([*groups.values()])
        if len(sizes):
            by_group[column] = {
                "groups": len(sizes),
                "fewest": int(sizes.min()),
                "median": float(np.median(sizes)),
                "most": int(sizes.max()),
                "few": int((sizes < min_labels).sum()),
            }
    return {
        "several_labels": int((looked.labels > 1).sum()),
        "contradicted": int(looked.contradicted.sum()),
        "same_tokens": int((counts[places] > 1).sum()),
        "labels_by_group": by_group,
    }


def _near_facts(groups: np.ndarray, opposite: np.ndarray) -> dict[str, int]:
    """Comparisons of one pair set that are near-duplicates of each other, the groups
    that they form, and how many of these hold opposite labels."""
    _, places, counts = np.unique(groups, return_inverse=True, return_counts=True)
    near = counts[places] > 1
    return {
        "comparisons": int(near.sum()),
        "groups": len(np.unique(groups[near])),
        "opposite": len(np.unique(groups[near & opposite])),
    }


def _preferences(links: Links, prefers_a: np.ndarray) -> np.ndarray:
    """EQUAL, OPPOSITE or UNCLEAR of each pair of near-duplicates."""
    product = links.order * prefers_a[links.first] * prefers_a[links.second]
    labels = np.full(len(product), UNCLEAR, dtype=object)
    labels[product > 0], labels[product < 0] = EQUAL, OPPOSITE
    return labels


def _near_prompts(looked: Looked, in_train: np.ndarray) -> np.ndarray:
    """Whether the prompt of each comparison is that of a training one, or near it."""
    prompts = np.array([prompt_of(name) for name in looked.comparison_id], dtype=str)
    _, firsts, places = np.unique(prompts, return_index=True, return_inverse=True)
    groups = link_texts(looked.texts[firsts, 0]).groups(len(firsts))[places]
    return np.isin(groups, groups[in_train])
