"""Write the dataset that decisions on labels leave, in TRL's preference format.

    inflib export --run runs/demo --decisions decisions.csv --to clean.jsonl
    inflib export --run runs/demo --to clean.parquet --drop "rank <= 1%"
    inflib export --run runs/demo --to clean --flip "labeler == 'dev' and significant"

Labels are flipped, dropped and made ties as a file of decisions says, or rules: columns
of influence.parquet compared by < <= > >= == != in, joined by and, or, not; rank,
influence, flip_effect and significant (surely harmful) are of the reported curvature
and --query. A file wins over rules; of rules, --drop before --flip before --tie. The
target's name says the format: .jsonl, .parquet, a folder for datasets.load_from_disk,
hub:owner/name. Beside it <target>.decisions.csv says what was done to which label, and
<target>.counts.json counts. docs/export.md has all columns.
"""

import json
from collections.abc import Sequence
from typing import Any, Literal

from inflib.audited_run import AuditedRun
from inflib.config.recipe import Recipe
from inflib.export.change_log import beside, counts_of, write_change_log
from inflib.export.dataset_files import check_target, write_dataset
from inflib.export.dataset_rows import Dataset
from inflib.export.label_weights import label_weights
from inflib.export.rules import Rule
from inflib.export.selection import check_verdicts, select
from inflib.report.tables import console, say
from inflib.report.verdict import headline
from inflib.storage.folder import open_filesystem


def job(
    recipe: Recipe,
    to: str,
    decisions: str | None,
    flip: Sequence[str],
    drop: Sequence[str],
    tie: Sequence[str],
    query: str | None,
    ties: Literal["drop", "both"],
    weights: bool,
    anyway: bool,
) -> dict[str, Any]:
    """Write a dataset; returns its counts, see `counts_of`.

    Raises ValueError for rules, decisions or a target that cannot be used.
    """
    check_target(to)
    run = AuditedRun(recipe)
    say(console(), headline(run.verdicts))
    name = _query(run, query)
    rules = {
        action: [Rule(text, f"--{action}", name) for text in texts]
        for action, texts in (("flip", flip), ("drop", drop), ("tie", tie))
    }
    if weights and name is None:
        raise ValueError(f"--weights: add --query {' or '.join(run.queries)}")
    if not anyway:
        by_weight = [Rule("influence", "--weights", name)] if weights else []
        check_verdicts(run, [*by_weight, *(x for some in rules.values() for x in some)])
    chosen, notes = select(run, decisions, rules)
    for note in notes:
        say(console(), note)
    values = label_weights(run, name) if weights and name is not None else None
    rows = write_dataset(Dataset(run, chosen, ties, values), to)
    log, counts = write_change_log(to, chosen), counts_of(run, chosen, rows)
    fs, path = open_filesystem(beside(to, ".counts.json"))
    fs.pipe_file(path, json.dumps(counts, indent=1).encode())
    actions = ", ".join(f"{n:,} {action}" for action, n in counts["actions"].items())
    say(
        console(),
        f"{to}: {rows:,} rows of {counts['labels']:,} labels "
        f"({actions or 'no changes'})\n{log}: what was done to which label",
    )
    return counts


def _query(run: AuditedRun, query: str | None) -> str | None:
    """The query set that is named, or the only one; None where there are several."""
    if query is None:
        return run.queries[0] if len(run.queries) == 1 else None
    if query not in run.queries:
        raise ValueError(f"--query {query!r} is none of {', '.join(run.queries)}")
    return query


if __name__ == "__main__":
    from ray_jobs.cli import main

    main("export")
