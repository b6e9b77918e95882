"""Results of the report and of the studies to tables in the terminal."""

import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from inflib.report.summary import shorten
from inflib.report.trust import in_words

_SHOWN = 20
"""Groups that are listed."""

_TRAIT_HEADERS = {
    "longer": "longer chosen",
    "model": "model agrees",
    "others": "others agree",
    "first": "first chosen",
}


def console() -> Console:
    """The terminal at its width; 160 characters where the output goes elsewhere."""
    return Console(width=None if sys.stdout.isatty() else 160)


def printable(text: str, width: int = 2000) -> str:
    """Text from data without characters that a terminal would act on (escape sequences,
    changes of direction), with its line ends; at most `width` characters."""
    kept = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
    return kept if len(kept) <= width else kept[: width - 1] + "…"


def show(summary: dict[str, Any], console: Console) -> None:
    """Print the report.

    summary: of inflib.report.summary.summarize.
    """
    console.print(
        f"\n{summary['labels']} labels on {summary['comparisons']} comparisons; "
        "reward-model accuracy "
        + ", ".join(f"{k} {v:.3f}" for k, v in summary["accuracy"].items()),
        markup=False,
    )
    left_out = {
        f"training labels with {k}": v for k, v in summary["not_counted"].items()
    }
    for pairs, reasons in summary["excluded"].items():
        left_out |= {f"{pairs} rows, {why}": n for why, n in reasons.items()}
    if left_out:
        rows = [{"left out": why, "count": n} for why, n in left_out.items()]
        console.print(_table(rows, "not in any figure"))
    for name in summary["no_such_column"]:
        console.print(
            f"No column {name!r} in the data: labels are not compared by it "
            "(report.groups, or prepare.train.columns for the labeler)",
            markup=False,
        )
    verdicts = {query: facts["verdict"] for query, facts in summary["queries"].items()}
    console.print(f"\n{in_words(verdicts)}", markup=False)
    for query, facts in summary["queries"].items():
        differ = facts["distinguishable_from_zero"]
        console.print(
            f"\nQuery set {query} ({summary['curvature']}): "
            f"{facts['harmful_share']:.1%} of the labels are harmful; "
            + (
                "which differ from zero cannot be estimated: nearly all query labels "
                "are in one query group"
                if differ is None
                else f"the influence of {differ} differs from zero"
            ),
            markup=False,
        )
        for kind, choice in facts["damping"].items():
            rows = [
                row | {"": "chosen" if row["damping"] == choice["damping"] else ""}
                for row in choice["sweep"]
            ]
            title = f"damping of {kind}"
            if not choice["reliable"]:
                title += ": none is reliable, the largest is taken"
            console.print(_table(rows, title))
        title = "most harmful labels (*: differs from zero)"
        console.print(_table([_top_row(row) for row in facts["top"]], title))
        for column, rows in facts["groups"].items():
            title = (
                f"{column}: harm over all others, shrunk by its error, 95% interval "
                "(*: discovered)"
            )
            preferences = summary["preferences"][column]
            shown = [_group_row(row, preferences[row["name"]]) for row in rows[:_SHOWN]]
            console.print(_table(shown, title))
            left = [
                f"{count:,} {what}"
                for count, what in (
                    (len(rows) - len(shown), "more in summary.json"),
                    (
                        summary["small_groups"][column],
                        "with fewer labels than report.min_labels",
                    ),
                )
                if count > 0
            ]
            if left:
                console.print(f"and {', '.join(left)}", markup=False)
        if "detection" in facts:
            rows = [
                {"detector": name, **(metrics or {})}
                for name, metrics in facts["detection"].items()
            ]
            console.print(_table(rows, "finding the labels known to be wrong"))
    rows = [
        {
            "stage": stage,
            "seconds": done["seconds"],
            "pairs": done["pairs"],
            "pairs/s": done["pairs"] / done["seconds"],
            "bytes": done["bytes"],
        }
        for stage, done in summary["stages"].items()
    ]
    console.print(_table(rows, "stages (the run that completed each)"))


def show_predictions(rows: list[dict[str, Any]], console: Console) -> None:
    """Print what edits of labels would do.

    rows: of inflib.scores.what_if.predict.
    """
    title = "predicted change of the mean query loss (negative: better)"
    console.print(_table(rows, title))


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
    console.print(_table(shown, f"training labels behind {shorten(pair_id)}"))


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
                    metric.replace("_", " "): _interval(row[metric])
                    for metric in ("accuracy", "change_of_accuracy", "change_of_loss")
                },
                "predicted": row["predicted_change_of_loss"],
            }
            for row in facts["arms"]
        ]
        console.print(_table(rows, f"query set {name}: mean (95% over seeds)"))
        for test in ("leave_group_out", "lds"):
            if facts[test]:
                console.print(
                    f"{name}: rank correlation of predicted and actual change of loss, "
                    f"{test.replace('_', ' ')}: {facts[test]['spearman']:.2f}"
                )


def _interval(values: dict[str, float | None]) -> str:
    """A mean with its 95% interval (Student's t), if it has one."""
    if values["low"] is None:
        return f"{values['mean']:.3g}"
    return f"{values['mean']:.3g} ({values['low']:.2g} to {values['high']:.2g})"


def _top_row(row: dict[str, Any]) -> dict[str, Any]:
    star = "*" if row["differs_from_zero"] else ""
    return {
        "pair_id": shorten(row["pair_id"], 30),
        "labeler": row["labeler"],
        "influence": f"{row['influence']:.3g} ± {row['error']:.2g} {star}",
        **{name: shorten(row[name], 30) for name in ("prompt", "chosen", "rejected")},
    }


def _group_row(row: dict[str, Any], traits: dict[str, Any]) -> dict[str, Any]:
    star = " *" if row["harmful"] else ""
    return {
        "": shorten(row["name"], 24),
        "labels": row["labels"],
        "harm": f"{_short(row['shrunk'])} ({_short(row['low'])} to "
        f"{_short(row['high'])}){star}",
        **{
            _TRAIT_HEADERS[trait]: "-"
            if test["share"] is None
            else f"{test['share']:.0%}{' *' if test['unusual'] else ''}"
            for trait, test in traits.items()
        },
        "suspicious": row["because"] if row["suspicious"] else "",
    }


def _short(value: float) -> str:
    """Two digits, and no sign before a zero."""
    return f"{value:.2g}" if value else "0"


def _table(rows: list[dict[str, Any]], title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for name in rows[0] if rows else ():
        number = isinstance(rows[0][name], int | float)
        table.add_column(
            name,
            justify="right" if number else "left",
            no_wrap=True,
            overflow="ellipsis",
            min_width=10 if number else 6,
        )
    for row in rows:
        table.add_row(*[_cell(value) for value in row.values()])
    return table


def _cell(value: Any) -> Any:
    from rich.text import Text

    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return Text(str(value))  # Text: preference text is never markup


def show_bias(
    about: dict[str, Any], metrics: dict[str, dict[str, Any]], console: Console
) -> None:
    """Print the bias study's table of each query set, the best detector first.

    about, metrics: about.json and metrics.json of bias/.
    """
    accuracies = ", ".join(
        f"{name} {value:.3f}" for name, value in about["accuracy"].items()
    )
    console.print(
        f"\n{about['planted_wrong']} of {about['labels']} labels were planted wrong; "
        f"reward-model accuracy {accuracies}",
        markup=False,
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
        console.print(_table(rows, title))


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
    console.print(_table(rows, f"updates of labelers, means over {labelers}"))
