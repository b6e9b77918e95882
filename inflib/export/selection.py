"""Decisions on the labels of a run, from a file of decisions, rules and weights.

A label that the file names has the file's decision, whatever the rules say. Where
several rules match a label, drop goes before tie, and tie before flip: the more careful
one. Labels that nobody decided on keep their own weight, or get one of their influence.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from inflib.audited_run import AuditedRun
from inflib.data.decisions import Decision, Decisions
from inflib.data.label_edits import DROP, FLIP, KEEP, TIE
from inflib.data.output_columns import PAIR_ID
from inflib.export.rule_columns import RuleColumns
from inflib.export.rules import matching

REVIEW = "review"
"""What is done by a rule that only selects labels: nothing."""

ORDER = (DROP, TIE, FLIP, REVIEW)
"""Rules by action, those that win first."""

LABELER = "labeler"


@dataclass(frozen=True)
class Rule:
    """What is done to the labels that a text matches."""

    action: str
    text: str

    @property
    def option(self) -> str:
        """As it is typed."""
        return f"--{self.action}"

    @property
    def reason(self) -> str:
        return f'{self.option} "{self.text}"'


@dataclass
class Selection:
    """What was decided on the labels of a run, and by what."""

    decisions: Decisions
    """{pair_id: decision} of the labels that were decided on or selected."""

    matched: dict[str, int] = field(default_factory=dict)
    """{a rule as it is typed: how many labels it matches}."""

    notes: list[str] = field(default_factory=list)
    """Lines to show: what rules overlap, and which match nothing."""

    used: set[str] = field(default_factory=set)
    """Query sets whose scores the decisions depend on."""


def select(
    run: AuditedRun,
    decisions: Decisions,
    rules: Iterable[Rule],
    query: str | None,
    decided_at: str,
) -> Selection:
    """The decisions on a run's labels.

    decisions: of a file, or none; query: what short names in rules stand for;
    decided_at: of the rules' decisions, ISO 8601. Raises ValueError naming the rule
    that is wrong.
    """
    columns = RuleColumns(run, query)
    selection = Selection(dict(decisions))
    winner = np.full(len(run.labels), -1)
    ordered = sorted(rules, key=lambda rule: ORDER.index(rule.action))
    actions = np.array([ORDER.index(rule.action) for rule in ordered])
    overlaps, overruled = 0, 0
    in_file = among(run, decisions)
    for number, rule in enumerate(ordered):
        found = matching(rule.text, rule.option, columns)
        selection.matched[rule.reason] = int(found.sum())
        if not found.any():
            selection.notes.append(f"{rule.reason} matches no label")
        taken = winner >= 0
        others = taken & (actions[winner] != actions[number])
        overlaps += int((found & others & ~in_file).sum())
        overruled += int((found & in_file).sum())
        winner[found & ~taken] = number
    if overlaps:
        selection.notes.append(
            f"{overlaps} labels match rules of several actions: drop goes before tie, "
            "tie before flip"
        )
    if overruled:
        selection.notes.append(
            f"{overruled} labels that rules match keep the decision of the file"
        )
    rows = np.flatnonzero((winner >= 0) & ~in_file)
    ids, labelers = names_of(run, rows)
    for row, pair_id, labeler in zip(rows, ids, labelers, strict=True):
        rule = ordered[winner[row]]
        action = KEEP if rule.action == REVIEW else rule.action
        selection.decisions[pair_id] = decided(
            pair_id, labeler, action, None, rule.reason, decided_at
        )
    selection.used = columns.used
    return selection


def decided(
    pair_id: str,
    labeler: str,
    action: str,
    value: float | None,
    reason: str,
    decided_at: str,
) -> Decision:
    """A decision that was made here, not by a person."""
    return Decision(
        pair_id, labeler, action, value, reason, "", "inflib export", decided_at
    )


def among(run: AuditedRun, decisions: Decisions) -> np.ndarray:
    """[n] which labels have a decision."""
    ids = run.labels[PAIR_ID.name].to_pylist()
    return np.array([pair_id in decisions for pair_id in ids], bool)


def names_of(run: AuditedRun, rows: np.ndarray) -> tuple[list[str], list[str]]:
    """(pair_ids, labelers) of some labels; empty labelers where the data have none."""
    table = run.labels.take(pa.array(rows))
    ids = table[PAIR_ID.name].to_pylist()
    if LABELER not in table.column_names:
        return ids, [""] * len(ids)
    return ids, ["" if x is None else str(x) for x in table[LABELER].to_pylist()]
