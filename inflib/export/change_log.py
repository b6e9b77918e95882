"""What an export changed: decisions.csv of it, and counts."""

from collections import Counter
from typing import Any

from inflib.audited_run import AuditedRun
from inflib.data.decisions import Decisions, decisions_csv
from inflib.data.label_edits import KEEP
from inflib.storage.folder import open_filesystem

_SUFFIXES = (".jsonl", ".parquet", ".csv", ".json")


def beside(target: str, ending: str) -> str:
    """The name of a file beside an export: clean.jsonl gives clean<ending>."""
    stem = target.removeprefix("hub:").rstrip("/")
    for suffix in _SUFFIXES:
        stem = stem.removesuffix(suffix)
    if target.startswith("hub:"):
        stem = stem.replace("/", "-")
    return stem + ending


def write_change_log(target: str, decisions: Decisions) -> str:
    """Write the decisions beside the target, as `what-if` and `verify` read them;
    returns the file's name."""
    path = beside(target, ".decisions.csv")
    fs, local = open_filesystem(path)
    fs.pipe_file(local, decisions_csv(decisions.values()).encode())
    return path


def counts_of(run: AuditedRun, decisions: Decisions, rows: int) -> dict[str, Any]:
    """Facts on an export: {run, digest, verdicts, labels, rows, actions, labelers}.

    labels: before; rows: written; labelers: {labeler: {action: labels}} of those whose
    labels were changed.
    """
    changed = [x for x in decisions.values() if x.action != KEEP]
    labelers: dict[str, Counter[str]] = {}
    for decision in changed:
        labelers.setdefault(decision.labeler, Counter())[decision.action] += 1
    return {
        "run": run.recipe.run,
        "digest": run.digest,
        "verdicts": {k: verdict["status"] for k, verdict in run.verdicts.items()},
        "labels": len(run.labels),
        "rows": rows,
        "actions": dict(Counter(decision.action for decision in decisions.values())),
        "labelers": {name: dict(counts) for name, counts in sorted(labelers.items())},
    }
