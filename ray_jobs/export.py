"""Write the dataset that is left after decisions on labels, or labels to review.

    inflib export --run runs/demo --decisions decisions.csv --to clean.jsonl
    inflib export --run runs/demo --flip "rank <= 1%" --drop "margin < -2" --to clean/
    inflib export --run runs/demo --review significant --to review.csv
    inflib export --run runs/demo --review significant --format argilla --to review/

RULE is `significant` (labels that surely harm the query set), or an expression over
the columns of influence.parquet and your own: < <= > >= == != in, and, or, not,
parentheses, numbers, 'texts'. rank, influence, error and flip_effect stand for those of
--query; rank <= 1% is the most harmful 1%. A missing value never matches. The file of
decisions wins over rules; of rules, drop wins over tie, and tie over flip.

Writes TRL's preference format: .jsonl, .parquet, a folder of `datasets` or
hub:owner/name; beside it NAME.decisions.csv, every change that was made, and
NAME.counts.json. docs/export.md says what each column means.
"""

from datetime import UTC, datetime
from typing import Any

from inflib.audited_run import AuditedRun
from inflib.config.recipe import Recipe
from inflib.export.export_run import (
    ExportOptions,
    check_verdicts,
    export_dataset,
    export_review,
)
from inflib.export.label_weights import add_weights
from inflib.export.selection import Rule, select
from inflib.export.targets import REVIEW_KINDS, target_of
from inflib.report.tables import console, say
from inflib.report.verdict import headline


def export(
    recipe: Recipe,
    to: str,
    decisions: str | None = None,
    rules: tuple[Rule, ...] = (),
    query: str | None = None,
    weights: bool = False,
    kind: str | None = None,
    form: str | None = None,
    ties: str = "drop",
    anyway: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a dataset or a review; returns the counts. Raises ValueError for rules,
    decisions or targets that are wrong, and for scores that are not usable."""
    target = target_of(to, kind)
    target.check(overwrite)
    run, now = AuditedRun(recipe), datetime.now(UTC).isoformat(timespec="seconds")
    say(console(), headline(run.verdicts))
    in_file = run.decisions(decisions) if decisions else {}
    selection = select(run, in_file, rules, query, now)
    is_review = target.kind in REVIEW_KINDS
    if weights and is_review:
        raise ValueError("--weights goes with a dataset, not with a review")
    if weights:
        add_weights(run, selection, query, now)
    check_verdicts(run, selection.used, anyway)
    for note in selection.notes:
        say(console(), f"export: {note}")
    if is_review:
        counts = export_review(run, selection, target)
        say(
            console(), f"export: {counts['to_review']} labels to review in {target.url}"
        )
        return counts
    options = ExportOptions(form, ties)  # type: ignore[arg-type]
    counts = export_dataset(run, selection, target, options)
    said = ", ".join(f"{action} {n}" for action, n in sorted(counts["actions"].items()))
    say(console(), f"export: {counts['labels']} labels ({said})")
    say(
        console(),
        f"export: {counts['rows']} rows in {target.url}; changes in "
        f"{target.decisions_file}, counts in {target.counts_file}",
    )
    return counts


def job(
    recipe: Recipe,
    flip: tuple[str, ...],
    drop: tuple[str, ...],
    tie: tuple[str, ...],
    review: tuple[str, ...],
    **options: Any,
) -> Any:
    """export, with a rule for each option; reads the run, and changes nothing in it."""
    given = {"flip": flip, "drop": drop, "tie": tie, "review": review}
    rules = tuple(Rule(action, text) for action in given for text in given[action])
    return export(recipe, rules=rules, **options)


if __name__ == "__main__":
    from ray_jobs.cli import main

    main("export")
