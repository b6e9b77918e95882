"""How many labels an export has, before and after, by action, labeler and rule."""

from collections import Counter
from typing import Any

from inflib.audited_run import AuditedRun
from inflib.data.label_edits import KEEP
from inflib.data.output_columns import PAIR_ID
from inflib.export.row_verdicts import NOT_DECIDED, is_left_out
from inflib.export.selection import LABELER, Selection
from inflib.export.trl_rows import RowFormat


def about_run(run: AuditedRun, selection: Selection) -> dict[str, Any]:
    return {
        "run": run.folder.url,
        "digest": run.digest,
        "verdicts": run.verdicts,
        "rules": selection.matched,
    }


def counts_of(run: AuditedRun, selection: Selection, fmt: RowFormat) -> dict[str, Any]:
    """How many labels there are before and after, by action and by labeler."""
    table, decisions = run.labels, selection.decisions
    actions: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    labelers: dict[str, Counter[str]] = {}
    names = [None] * len(table)
    if LABELER in table.column_names:
        names = table[LABELER].to_pylist()
    columns = [table[n].to_pylist() for n in (PAIR_ID.name, "target", "weight")]
    rows = 0
    for pair_id, target, weight, labeler in zip(*columns, names, strict=True):
        decision = decisions.get(pair_id, NOT_DECIDED)
        why = is_left_out(decision, target, weight, fmt.ties)
        of_label = 0 if why else 1
        if not why and (decision.action == "tie" or target == 0.5):
            of_label = 2
        rows += of_label
        actions[decision.action] += 1
        left_out[why] += bool(why)
        if labeler is not None:
            counts = labelers.setdefault(str(labeler), Counter())
            counts["labels"] += 1
            counts["rows"] += of_label
            if decision.action != KEEP:
                counts[decision.action] += 1
    return about_run(run, selection) | {
        "labels": len(table),
        "rows": rows,
        "actions": dict(actions),
        "left_out": {why: n for why, n in left_out.items() if n},
        "labelers": {name: dict(labelers[name]) for name in sorted(labelers)},
    }
