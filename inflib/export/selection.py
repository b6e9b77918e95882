"""Decisions in a file and rules to one decision for each label that is not kept."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np

from inflib.audited_run import AuditedRun
from inflib.data.decisions import Decision, Decisions
from inflib.data.label_edits import DROP, FLIP, TIE
from inflib.data.output_columns import PAIR_ID
from inflib.export.rules import Rule
from inflib.report.verdict import NOT_USABLE

_ORDER = (DROP, FLIP, TIE)
"""Of two rules that match one label, the one whose action comes first counts."""


def select(
    run: AuditedRun, path: str | None, rules: Mapping[str, Sequence[Rule]]
) -> tuple[Decisions, list[str]]:
    """(decisions, what to say of them).

    path: a file of decisions, which win over rules; rules: {flip, drop or tie: rules}.
    Raises ValueError for a file or rule that cannot be read, or whose labels or columns
    the run does not have.
    """
    decisions: Decisions = {}
    notes, ids = [], run.labels[PAIR_ID.name]
    labelers = _labelers(run)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    overruled: Counter[str] = Counter()
    for action in _ORDER:
        for rule in rules.get(action, ()):
            rows = np.flatnonzero(rule.matches(run))
            notes.append(f"{rule.option} {rule.text!r} matches {len(rows):,} labels")
            for row in rows.tolist():
                pair_id = ids[row].as_py()
                if pair_id in decisions:
                    overruled[action] += decisions[pair_id].action != action
                    continue
                decisions[pair_id] = Decision(
                    pair_id, labelers[row], action, None, rule.text, "", "rule", now
                )
    for action, count in overruled.items():
        notes.append(
            f"{count:,} labels of --{action} also match a rule that comes before it "
            f"({', '.join('--' + name for name in _ORDER)})"
        )
    if path is not None:
        decided = run.decisions(path)
        replaced = sum(
            decisions.get(k, d).action != d.action for k, d in decided.items()
        )
        if replaced:
            notes.append(f"{replaced:,} labels are decided otherwise in {path}")
        decisions |= decided
    return decisions, notes


def check_verdicts(run: AuditedRun, rules: Sequence[Rule]) -> None:
    """Raise ValueError where a rule uses scores on a query set that they say nothing
    of, by the trust verdict."""
    for rule in rules:
        for query in sorted(rule.queries(run)):
            verdict = run.verdicts[query]
            if verdict["status"] == NOT_USABLE:
                raise rule.error(
                    f"the scores on {query!r} are not usable: {verdict['reasons'][0]}; "
                    "add --anyway to use them all the same"
                )


def _labelers(run: AuditedRun) -> list[str]:
    """The labeler of each label, empty where none is known."""
    if "labeler" not in run.labels.column_names:
        return [""] * len(run.labels)
    return [str(x) if x is not None else "" for x in run.labels["labeler"].to_pylist()]
