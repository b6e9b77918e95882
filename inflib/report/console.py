"""The summary of a run to the report in the terminal."""

from typing import Any

from rich.console import Console

from inflib.report.tables import error_rate, say, table, with_interval
from inflib.report.verdict import headline
from inflib.storage.plain_text import shorten

_GROUPS = 20
"""Groups of labels that are listed."""

_TRAIT_HEADERS = {
    "longer": "longer chosen",
    "model": "model agrees",
    "others": "others agree",
    "first": "first chosen",
}


def show(summary: dict[str, Any], console: Console) -> None:
    """Print the report.

    summary: of inflib.report.summary.summarize.
    """
    say(
        console,
        f"\n{summary['labels']} labels on {summary['comparisons']} comparisons; "
        "reward-model accuracy "
        + ", ".join(f"{k} {v:.3f}" for k, v in summary["accuracy"].items()),
    )
    verdicts = {query: x["verdict"] for query, x in summary["queries"].items()}
    say(console, headline(verdicts))
    left_out = {
        f"training labels with {k}": v for k, v in summary["not_counted"].items()
    }
    for pairs, reasons in summary["excluded"].items():
        left_out |= {f"{pairs} rows, {why}": n for why, n in reasons.items()}
    if left_out:
        rows = [{"left out": why, "count": n} for why, n in left_out.items()]
        console.print(table(rows, "not in any figure"))
    for note in [*summary["notes"], *summary["data"]]:
        say(console, note)
    for query, facts in summary["queries"].items():
        _show_query_set(query, facts, summary, console)
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
    console.print(table(rows, "stages (the run that completed each)"))


def _show_query_set(
    query: str, facts: dict[str, Any], summary: dict[str, Any], console: Console
) -> None:
    verdict, differ = facts["verdict"], facts["distinguishable_from_zero"]
    reasons = "".join(f"\n  - {reason}" for reason in verdict["reasons"])
    say(console, f"\nQuery set {query}: {verdict['status']}{reasons}")
    say(
        console,
        "which influences differ from zero cannot be estimated: fewer than two query "
        "groups hold labels (score.query_groups)"
        if differ is None
        else f"{facts['surely_harmful']:,} labels are harmful for sure and "
        f"{differ - facts['surely_harmful']:,} helpful; the influence of the other "
        f"{summary['labels'] - differ:,} cannot be told from zero "
        f"({summary['curvature']}, false discovery rate {summary['fdr']:g})",
    )
    for kind, choice in facts["damping"].items():
        rows = [
            row | {"": "chosen" if row["damping"] == choice["damping"] else ""}
            for row in choice["sweep"]
        ]
        title = f"damping of {kind}"
        if not choice["reliable"]:
            title += ": none is reliable, the largest is taken"
        console.print(table(rows, title))
    title = "most harmful labels, with standard errors (*: surely not zero, see above)"
    console.print(table([_top_row(row) for row in facts["top"]], title))
    for column in facts["groups"]:
        _show_groups(column, facts, summary, console)
    if "detection" in facts:
        rows = [
            {"detector": name, **(metrics or {})}
            for name, metrics in facts["detection"].items()
        ]
        console.print(table(rows, "finding the labels known to be wrong"))


def _show_groups(
    column: str, facts: dict[str, Any], summary: dict[str, Any], console: Console
) -> None:
    """The groups that surely harm most, and how many are not listed, and why."""
    rows, spread = facts["groups"][column], facts["spread"][column]
    few, least = summary["small_groups"][column], summary["min_labels"]
    hidden = [f"{len(rows) - _GROUPS:,} more"] if len(rows) > _GROUPS else []
    if few["groups"]:
        fewer = f"{few['groups']:,} with fewer than {least} labels"
        hidden.append(f"{fewer} (report.min_labels)")
    if rows:
        title = (
            f"{column}: mean influence over that of all others, 95% interval, by its "
            f"lower end (*: harmful for sure); shrunk towards the average {column}, "
            "most where labels are few"
        )
        traits, quality = summary["preferences"][column], summary["quality"][column]
        shown = [
            _group_row(row, traits[row["name"]], quality[row["name"]])
            for row in rows[:_GROUPS]
        ]
        console.print(table(shown, title))
        if hidden:
            say(console, f"and {', and '.join(hidden)}")
        differ = with_interval(spread["sd"], spread["low"], spread["high"])
        say(console, f"true harm differs from {column} to {column} by {differ}, s.d.")
    elif hidden:
        say(console, f"{column}: none is listed; {hidden[0]}")
    else:
        say(console, f"{column}: all labels have the same, so none can be compared")


def _top_row(row: dict[str, Any]) -> dict[str, Any]:
    star = "*" if row["differs_from_zero"] else ""
    return {
        "pair_id": shorten(row["pair_id"], 30),
        "labeler": None if row["labeler"] is None else shorten(str(row["labeler"]), 24),
        "influence": f"{row['influence']:.3g} ± {row['error']:.2g} {star}",
        **{name: shorten(row[name], 30) for name in ("prompt", "chosen", "rejected")},
    }


def _group_row(
    row: dict[str, Any], traits: dict[str, Any], quality: dict[str, Any]
) -> dict[str, Any]:
    star = " *" if row["harmful"] else ""
    errs = {} if quality["error_rate"] is None else {"errs": error_rate(quality)}
    given = quality["given_quality"] or {}
    return {
        "": shorten(row["name"], 24),
        "labels": row["labels"],
        "harm": with_interval(row["shrunk"], row["low"], row["high"]) + star,
        **errs,
        **{
            _TRAIT_HEADERS[trait]: "-"
            if test["share"] is None
            else f"{test['share']:.0%}{' *' if test['unusual'] else ''}"
            for trait, test in traits.items()
        },
        **{
            f"{trait}, given quality": with_interval(
                test["weight"], test["low"], test["high"]
            )
            + (" *" if test["unusual"] else "")
            for trait, test in given.items()
        },
        "suspicious": row["because"] if row["suspicious"] else "",
    }
