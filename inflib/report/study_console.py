"""Results of explaining, retraining and the studies to tables in the terminal."""

from typing import Any

from rich.console import Console

from inflib.report.tables import say, table, with_interval
from inflib.report.verdict import headline
from inflib.storage.folder import Folder
from inflib.storage.plain_text import shorten


def show_verdicts(run: Folder, console: Console) -> None:
    """Print whether the run's audit can be acted on, if it has a report."""
    if (run / "report").exists("summary.json"):
        queries = (run / "report").read_json("summary.json")["queries"]
        say(console, headline({name: x["verdict"] for name, x in queries.items()}))


_MUCH = 0.5
"""Leverage from which predictions may be off by their own size."""


def show_predictions(rows: list[dict[str, Any]], console: Console) -> None:
    """Print what edits of labels would do.

    rows: of inflib.scores.what_if.predict.
    """
    say(
        console,
        "To first order, and on the query labels that the scores were made with: edits "
        "picked by those scores always look good here. `inflib verify` retrains.",
    )
    if any(row["factor"] for row in rows):
        say(
            console,
            "Sizes are multiplied by a factor: what all labels together did to the "
            "query labels in training, over what is predicted of all of them.",
        )
    if any("expected" in row for row in rows):
        say(
            console,
            "expected, low, high: what one retraining with these edits changes, with a "
            "95% interval, by what `inflib verify` found when it retrained.",
        )
    title = "predicted change of the mean query loss (negative: better)"
    console.print(table(rows, title))
    if any((row["leverage"] or 0) >= _MUCH for row in rows):
        say(
            console,
            f"A leverage of {_MUCH:g} or more: these edits change the curvature so far "
            "that first order may be far off in size. `inflib verify` retrains.",
        )


def show_explanation(
    pair_id: str,
    rows: list[dict[str, Any]],
    texts: dict[str, dict[str, str]],
    console: Console,
) -> None:
    """Print the training labels behind one query label.

    rows: the query label's, as in inflib.scores.explain.ROWS; texts: {comparison_id:
    prompt and responses}.
    """
    shown = [
        {
            "role": f"{row['role']} {row['rank']}",
            "pair_id": shorten(row["pair_id"], 30),
            "influence": row["influence"],
            "cosine": row["cosine"],
            **{k: shorten(v, 30) for k, v in texts[row["comparison_id"]].items()},
        }
        for row in rows
    ]
    console.print(table(shown, f"training labels behind {shorten(pair_id)}"))


def show_verification(summary: dict[str, Any], console: Console) -> None:
    """Print what retraining with changed labels did, beside what was predicted.

    summary: verify.json.
    """
    for name, facts in summary["sets"].items():
        rows = [
            {
                "training labels": row["arm"],
                "changed": row["labels"],
                **{
                    metric.replace("_", " "): with_interval(**row[metric])
                    for metric in (
                        "accuracy",
                        "change_of_accuracy",
                        "change_of_refined_loss",
                        "change_of_loss",
                    )
                },
                "predicted": row["predicted_change_of_loss"],
            }
            for row in facts["arms"]
        ]
        console.print(table(rows, f"query set {name}: mean (95% over seeds)"))
        if against := facts["against_random"]:
            changes = ", ".join(
                f"{metric.replace('_', ' ')} {with_interval(**difference)}"
                for metric, difference in against.items()
            )
            say(
                console, f"{name}: decisions minus the same on random labels: {changes}"
            )
        for test in ("leave_group_out", "lds"):
            if facts[test]:
                say(
                    console,
                    f"{name}: rank correlation of predicted and actual change of loss, "
                    f"{test.replace('_', ' ')}: {facts[test]['spearman']:.2f}",
                )
        if size := facts.get("size"):
            slope = with_interval(size["slope"], size["low"], size["high"])
            say(
                console,
                f"{name}: changes of loss are {slope} times the predicted ones; "
                "`inflib what-if` says what to expect by that",
            )
        if facts.get("left_out"):
            say(
                console,
                f"{name}: of the changes of loss, {foretold(facts['left_out'])}",
            )


def foretold(others: dict[str, int]) -> str:
    """How well that size holds for other edits; others: fields of LeftOut."""
    inside = f"{others['inside']} of {others['trainings']}"
    signs = f"{others['sign']} of {others['clear']}"
    return (
        f"{inside} are in the 95% interval that those with other edits give; where it "
        f"says which way, {signs} went that way"
    )


def show_bias(
    about: dict[str, Any], metrics: dict[str, dict[str, Any]], console: Console
) -> None:
    """Print the bias study's table of each query set, the best detector first.

    about, metrics: about.json and metrics.json of bias/.
    """
    accuracies = ", ".join(
        f"{name} {value:.3f}" for name, value in about["accuracy"].items()
    )
    say(
        console,
        f"\n{about['planted_wrong']} of {about['labels']} labels were planted wrong; "
        f"reward-model accuracy {accuracies}",
    )
    for query, detectors in metrics.items():
        rows = [
            {
                "detector": name.replace("_", " "),
                "auc": row["auc"],
                "95%": f"{row['auc_low']:.3f} to {row['auc_high']:.3f}",
                "ap": row["ap"],
                "tnr80": row["tnr80"],
                "p": row.get("below_reference", {}).get("p", ""),
            }
            for name, row in detectors.items()
        ]
        rows.sort(key=lambda row: -row["auc"])
        title = f"query set {query} (p: AUC differs from {about['reference']}'s)"
        console.print(table(rows, title))


def show_oversight(metrics: dict[str, dict[str, Any]], console: Console) -> None:
    """Print metrics before and after the update by each method, means over labelers.

    metrics: metrics.json of oversight/.
    """
    rows = []
    for method, means in metrics.items():
        row: dict[str, Any] = {"method": method.replace("_", " ")}
        for metric in ("label_accuracy", "rm_accuracy", "cosine"):
            for when in ("before", "after"):
                value = means.get(f"{metric}_{when}")
                header = f"{metric.replace('_', ' ')} {when}"
                row[header] = "-" if value is None else f"{value:.3f}"
        rows.append(row)
    labelers = len(next(iter(metrics.values()))["labelers"])
    console.print(table(rows, f"updates of labelers, means over {labelers}"))
