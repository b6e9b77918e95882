"""Scored labels to the reasons to look at them, each with its rule in words.

n  labels
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from inflib.audited_run import AuditedRun
from inflib.data.output_columns import LENGTH_DIFFERENCE, MARGIN, SIGN, TARGET

_LOW, _LONG = 0.05, 0.95
_MOST = 31
"""Flags that fit into the bits of a column."""


@dataclass(frozen=True)
class Flag:
    """One reason, and the labels that it holds for."""

    label: str
    meaning: str
    """The rule, in a sentence with its numbers."""

    raised: np.ndarray
    """[n]"""


def label_flags(run: AuditedRun) -> list[Flag]:
    """All reasons; those that cannot be told of this run are left out."""
    return [*_flags(run)][:_MOST]


def bits(flags: list[Flag], num_labels: int) -> np.ndarray:
    """[n] bit i of each label is set where flag i is raised."""
    total = np.zeros(num_labels, np.uint32)
    for bit, flag in enumerate(flags):
        total |= flag.raised.astype(np.uint32) << np.uint32(bit)
    return total


def _flags(run: AuditedRun) -> Iterator[Flag]:
    sign, counted = run.labels[SIGN.name].to_numpy(), run.counted
    for query in run.queries:
        harmful = run.surely_harmful(query)
        if harmful is not None:
            yield Flag(
                "surely harmful" + (f": {query}" if len(run.queries) > 1 else ""),
                f"the label surely raises the loss on {query}: of the labels that are "
                f"flagged so, about {run.recipe.report.fdr:.0%} may be harmless "
                "(report.fdr)",
                harmful,
            )
    margin = run.labels[MARGIN.name].to_numpy(zero_copy_only=False)
    if counted.any():
        low = min(0.0, float(np.quantile(margin[counted], _LOW)))
        yield Flag(
            "low margin",
            f"the reward model prefers the rejected response, with a margin below "
            f"{low:.3g} (0, or lower where more than {_LOW:.0%} of the labels are "
            "below 0)",
            counted & (np.nan_to_num(margin) < low),
        )
    numbers = run.comparison_numbers
    votes = sign * np.sign(run.labels[TARGET.name].to_numpy() - 0.5)  # ties: none
    others = np.bincount(numbers, votes)[numbers] - votes
    if (np.bincount(numbers) > 1).any():
        yield Flag(
            "others disagree",
            "most of the other labels on the same comparison choose the other response",
            others * votes < 0,
        )
    length = run.labels[LENGTH_DIFFERENCE.name].to_numpy().astype(float)
    longest = float(np.quantile(np.abs(length), _LONG)) if len(length) else 0.0
    yield Flag(
        "much longer chosen",
        f"the chosen response has over {longest:,.0f} tokens more than the rejected "
        f"one; {_LONG:.0%} of all labels differ by no more",
        length > longest,
    )
    yield from _judges(run, numbers, sign)


def _judges(run: AuditedRun, numbers: np.ndarray, sign: np.ndarray) -> Iterator[Flag]:
    if not run.judges:
        return
    ids = run.labels["comparison_id"].to_pylist()
    for name, results in run.judges.items():
        prefers = np.array([results.get(i, 0) for i in ids])
        if any(i in results for i in ids):
            yield Flag(
                f"judge disagrees: {name}",
                f"the judge {name} prefers the rejected response",
                prefers * sign < 0,
            )
