"""The report's tables for the terminal."""

from typing import Any

from rich.console import Console
from rich.table import Table

from inflib.report.summary import shorten

_TOO_SURE = 0.9
"""Best scale of a query set's margins below which the report warns."""

_TRAITS = {
    "longer": "longer chosen",
    "model": "model agrees",
    "others": "others agree",
    "first": "first chosen",
}


def show(summary: dict[str, Any], console: Console) -> None:
    """Print the summary."""
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
    for query, found in summary["queries"].items():
        console.print(
            f"\nQuery set {query} ({summary['curvature']}): "
            f"{found['harmful_share']:.1%} of the labels are harmful; the influence of "
            f"{found['distinguishable_from_zero']} differs from zero",
            markup=False,
        )
        if found["best_scale"] < _TOO_SURE:
            console.print(
                f"The reward model is too sure of itself on {query}: its loss would be "
                f"least with margins {found['best_scale']:.2f} times as large, and "
                "influence says first of all what shrinks them. Train less (epochs, "
                "learning rate) before acting on these scores.",
                markup=False,
            )
        for kind, facts in found["damping"].items():
            rows = [
                row | {"": "chosen" if row["damping"] == facts["damping"] else ""}
                for row in facts["sweep"]
            ]
            title = f"damping of {kind}"
            if not facts["reliable"]:
                title += ": none is reliable, the largest is taken"
            console.print(_table(rows, title))
        title = "most harmful labels (*: differs from zero)"
        console.print(_table([_top_row(row) for row in found["top"]], title))
        for column, rows in found["groups"].items():
            title = f"{column}: harm over all others, 95% interval (*: discovered)"
            about = summary["preferences"][column]
            rows = [_group_row(row, about[row["name"]]) for row in rows[:20]]
            console.print(_table(rows, title))
        if "detection" in found:
            rows = [
                {"detector": name, **(figures or {})}
                for name, figures in found["detection"].items()
            ]
            console.print(_table(rows, "finding the labels known to be wrong"))
    rows = [
        {
            "stage": stage,
            "seconds": facts["seconds"],
            "pairs": facts["pairs"],
            "pairs/s": facts["pairs"] / facts["seconds"],
            "bytes": facts["bytes"],
        }
        for stage, facts in summary["stages"].items()
    ]
    console.print(_table(rows, "stages (the run that completed each)"))


def show_predictions(rows: list[dict[str, Any]], console: Console) -> None:
    """Print inflib.scores.what_if.predict's rows."""
    title = "predicted change of the mean query loss (negative: better)"
    console.print(_table(rows, title))


def show_explanation(
    pair_id: str,
    rows: list[dict[str, Any]],
    texts: dict[str, dict[str, str]],
    console: Console,
) -> None:
    """Print what ray_jobs.explain found for one query label.

    rows: of inflib.scores.explain.ROWS; texts: prompt and responses by comparison_id.
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
    """Print what ray_jobs.verify found."""
    for name, found in summary["sets"].items():
        rows = [
            {
                "training labels": row["arm"],
                "changed": row["labels"],
                **{
                    figure.replace("_", " "): _interval(row[figure])
                    for figure in ("accuracy", "change_of_accuracy", "change_of_loss")
                },
                "predicted": row["predicted_change_of_loss"],
            }
            for row in found["arms"]
        ]
        console.print(_table(rows, f"query set {name}: mean (95% over seeds)"))
        for what in ("leave_group_out", "lds"):
            if found[what]:
                console.print(
                    f"{name}: rank correlation of predicted and actual change of loss, "
                    f"{what.replace('_', ' ')}: {found[what]['spearman']:.2f}"
                )


def _interval(found: dict[str, float | None]) -> str:
    if found["low"] is None:
        return f"{found['mean']:.3g}"
    return f"{found['mean']:.3g} ({found['low']:.2g} to {found['high']:.2g})"


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
        "harm": f"{row['shrunk']:.3g} ({row['low']:.2g} to {row['high']:.2g}){star}",
        **{
            _TRAITS[trait]: "-"
            if found["share"] is None
            else f"{found['share']:.0%}{' *' if found['unusual'] else ''}"
            for trait, found in traits.items()
        },
        "suspicious": row["because"] if row["suspicious"] else "",
    }


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
    about: dict[str, Any], found: dict[str, dict[str, Any]], console: Console
) -> None:
    """Print the bias study's table of each query set, the best detector first."""
    said = ", ".join(f"{name} {value:.3f}" for name, value in about["accuracy"].items())
    console.print(
        f"\n{about['planted_wrong']} of {about['labels']} labels were planted wrong; "
        f"reward-model accuracy {said}",
        markup=False,
    )
    for query, detectors in found.items():
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
    """Print what the updates by each method are worth, as means over labelers."""
    rows = []
    for method, found in metrics.items():
        row: dict[str, Any] = {"method": method.replace("_", " ")}
        for figure in ("label_accuracy", "rm_accuracy", "cosine"):
            for when in ("before", "after"):
                value = found.get(f"{figure}_{when}")
                said = f"{figure.replace('_', ' ')} {when}"
                row[said] = "-" if value is None else f"{value:.3f}"
        rows.append(row)
    labelers = len(next(iter(metrics.values()))["labelers"])
    console.print(_table(rows, f"updates of labelers, means over {labelers}"))
