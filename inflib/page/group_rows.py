"""Audited groups of labels (labelers, sources, ...) to what the page says of each."""

from typing import Any

from inflib.audited_run import AuditedRun
from inflib.report.tables import error_rate, with_interval

_HEADERS = {
    "longer": "longer chosen",
    "model": "model agrees",
    "others": "others agree",
    "first": "first chosen",
}
_TRAITS = {
    "longer": "chooses the longer response",
    "model": "agrees with the reward model",
    "others": "agrees with the others on a comparison",
    "first": "chooses the response shown first",
}
_BECAUSE = {
    "harm": "harm by all query sets together",
    "longer": "how often the longer response is chosen",
    "model": "how rarely the reward model agrees",
    "others": "how rarely the others agree",
    "first": "how often the response shown first is chosen",
}


def group_rows(run: AuditedRun) -> dict[str, list[dict[str, Any]]]:
    """{grouping column: its groups, as facts.js has them}, in the order of the first
    query set: those that surely harm it most come first.

    harm, low, high, harmful, suspicious, because: of the first query set; by_query: of
    all of them.
    """
    columns: dict[str, list[dict[str, Any]]] = {}
    for query, facts in run.summary["queries"].items():
        for column, rows in facts["groups"].items():
            known = columns.setdefault(column, [])
            by_name = {row["name"]: row for row in known}
            for row in rows:
                found = {
                    "harm": row["shrunk"],
                    "low": row["low"],
                    "high": row["high"],
                    "harmful": row["harmful"],
                    "suspicious": row["suspicious"],
                    "because": _BECAUSE.get(row["because"], row["because"]),
                    "text": with_interval(row["shrunk"], row["low"], row["high"]),
                }
                if row["name"] in by_name:
                    by_name[row["name"]]["by_query"][query] = found
                    continue
                first = {"name": row["name"], "labels": row["labels"], **found}
                traits = run.summary["preferences"][column][row["name"]]
                known_traits = _traits(traits)
                quality = run.summary["quality"][column][row["name"]]
                first["index"] = len(known)
                known.append(
                    first
                    | {
                        "errs": None
                        if quality["error_rate"] is None
                        else error_rate(quality),
                        "prefers": [_in_words(trait) for trait in known_traits]
                        + _given_quality(quality["given_quality"] or {}),
                        "given": _given_quality(quality["given_quality"] or {}),
                        "traits": known_traits,
                        "by_query": {query: found},
                    }
                )
    return columns


def labelers_tab(
    run: AuditedRun, groups: dict[str, list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """What templates/labelers.html.j2 shows, by grouping column."""
    few = run.summary["small_groups"]
    return [
        {
            "column": column,
            "rows": [row | {"suspected": _suspected(row)} for row in rows],
            "traits": [trait["header"] for trait in rows[0]["traits"]] if rows else [],
            "errs": any(row["errs"] for row in rows),
            "given": any(row["given"] for row in rows),
            "small": few[column],
            "linked": column in run.labels.column_names
            and column != run.recipe.report.time,
            "spread": {
                query: with_interval(
                    *(facts["spread"][column][k] for k in ("sd", "low", "high"))
                )
                for query, facts in run.summary["queries"].items()
                if facts["spread"][column] is not None
            },
        }
        for column, rows in groups.items()
    ]


def _suspected(row: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """(why a group is suspicious, by which query sets), in their order."""
    found: dict[str, list[str]] = {}
    for query, of_query in row["by_query"].items():
        if of_query["suspicious"]:
            found.setdefault(of_query["because"], []).append(query)
    return [*found.items()]


def _in_words(trait: dict[str, Any]) -> str:
    """How often a group's labels have a trait, beside all others'."""
    if trait["share"] is None:
        return f"{trait['label']}: nothing to say"
    others = "" if trait["others"] is None else f" (others {trait['others']:.0%})"
    unusual = ", unusual for sure" if trait["unusual"] else ""
    return f"{trait['label']}: {trait['share']:.0%}{others}{unusual}"


def _given_quality(tests: dict[str, Any]) -> list[str]:
    """What a group prefers given quality, in log-odds beside the typical group's."""
    return [
        f"{_HEADERS[trait]}, given quality: "
        + with_interval(test["weight"], test["low"], test["high"])
        + f" (typical {test['typical']:.2f})"
        + (", unusual for sure" if test["unusual"] else "")
        for trait, test in tests.items()
    ]


def _traits(traits: dict[str, Any]) -> list[dict[str, Any]]:
    """Each trait in words, with the group's share and that of all others."""
    return [
        {
            "label": _TRAITS.get(trait, trait),
            "header": _HEADERS.get(trait, trait),
            "share": test["share"],
            "others": test["others"],
            "unusual": test["unusual"],
        }
        for trait, test in traits.items()
    ]
