"""Scored labels to groups of labels, what each group prefers and how much it harms.

n  labels that count     g  query groups
"""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from inflib.config.score import ReportConfig
from inflib.data.output_columns import PARTS, is_reserved
from inflib.numerics.group_tests import harm, suspect
from inflib.numerics.trait_tests import preferences
from inflib.shapes.cells import number
from inflib.shapes.pairs import prompt_of

_BUCKETS = 10
"""Buckets that a time column is cut into."""

_ONE_IN = 4
"""Of the unusual groups, one in so many is left out in each step, the most unusual:
the others may look unusual only beside these."""


def group_columns(config: ReportConfig, table: pa.Table) -> dict[str, list[str]]:
    """{column: name of each label's group, "-" without a value}, of the columns of
    report.groups that the data has and of time buckets by report.time.

    Raises ValueError for a time column that the data lacks.
    """
    columns = {
        name: [
            "-" if value is None else str(value) for value in table[name].to_pylist()
        ]
        for name in config.groups
        if name in table.column_names
    }
    if config.time is not None:
        _check_column(table, config.time, "report.time")
        columns[config.time] = time_buckets(table[config.time].to_pylist())
    return columns


def missing_groups(config: ReportConfig, table: pa.Table) -> list[str]:
    """A line for each column of report.groups that was asked for and is not there, and
    one where no column says who gave a label."""
    usual = ReportConfig.model_fields["groups"].default
    notes = [
        f"report.groups: the data has no column {name!r}; it has {own_columns(table)}"
        for name in config.groups
        if name not in table.column_names and name not in usual
    ]
    if not notes and not any(name in table.column_names for name in config.groups):
        notes.append(
            "No column says who gave a label, so labelers are not compared: name it by "
            f"report.groups; the data has {own_columns(table)}"
        )
    return notes


def own_columns(table: pa.Table) -> str:
    """The user's own columns in the table of scores, at most ten by name."""
    names = [repr(name) for name in table.column_names if not is_reserved(name)]
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return (", ".join(names[:10]) + more) or "no columns of its own"


def small_groups(config: ReportConfig, table: pa.Table) -> dict[str, dict[str, int]]:
    """{grouping column: {groups, labels}} of those with fewer than report.min_labels
    labels, which are neither tested nor listed."""
    small = {}
    for name, groups in group_columns(config, table).items():
        counts = [n for n in Counter(groups).values() if n < config.min_labels]
        small[name] = {"groups": len(counts), "labels": sum(counts)}
    return small


def _check_column(table: pa.Table, name: str, option: str) -> None:
    if name not in table.column_names:
        raise ValueError(
            f"{option} {name!r} is no column of the data; it has {own_columns(table)}"
        )


def time_buckets(times: list[Any]) -> list[str]:
    """Name, "<first time> to <last time>", of each label's bucket: ten of about equally
    many labels, in order of time.

    Equal times share a bucket; labels without a time are in "-".
    """
    times = [None if time != time else time for time in times]  # NaN is none
    if numbers := _as_numbers(times):
        times = numbers
    known = sorted(time for time in times if time is not None)
    cuts = sorted(
        {known[len(known) * i // _BUCKETS] for i in range(_BUCKETS)} if known else []
    )
    ends = [known[np.searchsorted(known, cut) - 1] for cut in cuts[1:]] + known[-1:]
    names = [f"{_shown(a)} to {_shown(b)}" for a, b in zip(cuts, ends, strict=True)]
    return [
        "-" if time is None else names[int(np.searchsorted(cuts, time, "right")) - 1]
        for time in times
    ]


def _shown(time: Any) -> str:
    """A time, whole numbers without a decimal point."""
    whole = isinstance(time, float) and time.is_integer()
    return str(int(time)) if whole else str(time)


def _as_numbers(times: list[Any]) -> list[float | None] | None:
    """Times as numbers, where all are numbers, or texts of them as in CSV files."""
    numbers = [None if time is None else number(time) for time in times]
    if [n is None for n in numbers] != [time is None for time in times]:
        return None
    return numbers


def traits(
    config: ReportConfig, table: pa.Table, reference: np.ndarray
) -> dict[str, np.ndarray]:
    """{trait: [n] whether each label has it, 1 or 0, NaN where it does not apply}.

    longer: the chosen response has more tokens; model: the reward model agrees; others:
    most other reference labels on the same comparison agree; first: the chosen response
    was shown first (report.position).

    reference: [n] which labels the others may be compared with. Raises ValueError when
    the data lacks the column report.position.
    """
    length = table["length_difference"].to_numpy().astype(float)
    margin = table["margin"].to_numpy()
    values = {
        "longer": np.where(length == 0, np.nan, length > 0),
        "model": np.where(margin == 0, np.nan, margin > 0),
    }
    comparison = table["comparison_id"].combine_chunks().dictionary_encode().indices
    sign = table["sign"].to_numpy().astype(float)
    votes = sign * reference
    others = np.bincount(comparison, votes)[comparison.to_numpy()] - votes
    if (others != 0).any():
        values["others"] = np.where(others == 0, np.nan, others * sign > 0)
    if config.position is not None:
        _check_column(table, config.position, "report.position")
        first = table[config.position].cast(pa.float64())
        values["first"] = first.to_numpy(zero_copy_only=False)
    return values


def audit_preferences(
    config: ReportConfig, table: pa.Table
) -> dict[str, dict[str, dict[str, Any]]]:
    """{grouping column: numerics.trait_tests.preferences of its groups}.

    Groups are compared with all other labels but those of groups with an unusual trait,
    which do not count in the majority that labels should agree with, either: beside a
    few biased labelers, the right ones would look unusual. One that no longer looks
    unusual beside the others is taken back. At most half of the groups are left out so.
    """
    return {
        name: _preferences(config, table, np.array(groups))
        for name, groups in group_columns(config, table).items()
    }


def _preferences(
    config: ReportConfig, table: pa.Table, groups: np.ndarray
) -> dict[str, dict[str, Any]]:
    """Preferences of the groups in one column, once the same groups stay left out."""
    left_out, seen = set[str](), list[set[str]]()
    while True:
        reference = ~np.isin(groups, sorted(left_out))
        tests = preferences(
            groups.tolist(),
            traits(config, table, reference),
            reference,
            config.fdr,
            config.min_labels,
        )
        odd = {
            name: min(p_values)
            for name, by_trait in tests.items()
            if (p_values := [t["p_value"] for t in by_trait.values() if t["unusual"]])
        }
        seen.append(left_out)
        new = sorted(odd.keys() - left_out, key=lambda name: odd[name])
        changed = (left_out & odd.keys()) | {*new[: -(-len(new) // _ONE_IN)]}
        if changed in seen or 2 * len(changed) > len(tests):
            return tests
        left_out = changed


def audit_groups(
    config: ReportConfig,
    table: pa.Table,
    score: str,
    shares: np.ndarray,
    trait_tests: dict[str, dict[str, dict[str, Any]]],
    quality: dict[str, dict[str, dict[str, Any]]],
) -> dict[str, dict[str, Any]]:
    """{"groups": {grouping column: rows of numerics.group_tests.suspect, by one score},
    "spread": {grouping column: how much its groups differ, see group_tests.harm}}.

    score: e.g. gauss_newton_expert; shares: [g] of the query labels in each query
    group; trait_tests: `audit_preferences` of the same table; quality:
    `labeler_quality.audit_quality` of it.
    """
    parts = table[PARTS.of(score)].combine_chunks()
    values = parts.flatten().to_numpy().astype(float).reshape(-1, len(shares))
    ids = table["comparison_id"].to_pylist()
    _, prompts = np.unique([prompt_of(x) for x in ids], return_inverse=True)
    facts: dict[str, dict[str, Any]] = {"groups": {}, "spread": {}}
    for name, groups in group_columns(config, table).items():
        rows, facts["spread"][name] = harm(
            groups, values, shares, config.fdr, config.min_labels, prompts
        )
        facts["groups"][name] = suspect(
            rows, trait_tests[name], quality[name], config.fdr
        )
    return facts
