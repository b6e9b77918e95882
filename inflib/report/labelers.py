"""Scored labels to groups of labels, what each group prefers and how much it harms.

n  labels that count     g  query groups
"""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from inflib.config.score import ReportConfig
from inflib.data.output_columns import PARTS
from inflib.numerics.group_tests import harm, preferences, suspect

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
        if config.time not in table.column_names:
            raise ValueError(
                f"report.time {config.time!r} is no column of the data; it has "
                f"{table.column_names}"
            )
        columns[config.time] = time_buckets(table[config.time].to_pylist())
    return columns


def time_buckets(times: list[Any]) -> list[str]:
    """Name, "<first time> to <last time>", of each label's bucket: ten of about equally
    many labels, in order of time.

    Equal times share a bucket; labels without a time are in "-".
    """
    known = sorted(time for time in times if time is not None)
    cuts = sorted(
        {known[len(known) * i // _BUCKETS] for i in range(_BUCKETS)} if known else []
    )
    ends = [known[np.searchsorted(known, cut) - 1] for cut in cuts[1:]] + known[-1:]
    names = [f"{a} to {b}" for a, b in zip(cuts, ends, strict=True)]
    return [
        "-" if time is None else names[int(np.searchsorted(cuts, time, "right")) - 1]
        for time in times
    ]


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
        if config.position not in table.column_names:
            raise ValueError(
                f"report.position {config.position!r} is no column of the data; it has "
                f"{table.column_names}"
            )
        first = table[config.position].cast(pa.float64())
        values["first"] = first.to_numpy(zero_copy_only=False)
    return values


def audit_preferences(
    config: ReportConfig, table: pa.Table
) -> dict[str, dict[str, dict[str, Any]]]:
    """{grouping column: numerics.group_tests.preferences of its groups}.

    Groups are compared with all other labels but those of groups with an unusual trait,
    which do not count in the majority that labels should agree with, either: beside a
    few biased labelers, the right ones would look unusual. At most half of the groups
    are left out so.
    """
    return {
        name: _preferences(config, table, np.array(groups))
        for name, groups in group_columns(config, table).items()
    }


def _preferences(
    config: ReportConfig, table: pa.Table, groups: np.ndarray
) -> dict[str, dict[str, Any]]:
    """Preferences of the groups in one column, once no more groups are left out, and
    those are back that are not unusual beside the others after all."""
    left_out: list[str] = []
    while True:
        tests = _tests(config, table, groups, left_out)
        odd = {
            name: p_value
            for name, p_value in _unusual(tests).items()
            if name not in left_out
        }
        oddest = sorted(odd, key=lambda name: odd[name])[: -(-len(odd) // _ONE_IN)]
        if not oddest or 2 * len(left_out + oddest) > len(tests):
            break
        left_out += oddest
    while back := set(left_out) - _unusual(tests).keys():
        left_out = [name for name in left_out if name not in back]
        tests = _tests(config, table, groups, left_out)
    return tests


def _tests(
    config: ReportConfig, table: pa.Table, groups: np.ndarray, left_out: list[str]
) -> dict[str, dict[str, Any]]:
    """Preferences of the groups beside labels of others than those left out."""
    reference = ~np.isin(groups, left_out)
    return preferences(
        groups.tolist(),
        traits(config, table, reference),
        reference,
        config.fdr,
        config.min_labels,
    )


def _unusual(tests: dict[str, dict[str, Any]]) -> dict[str, float]:
    """{group with an unusual trait: its smallest p-value of one}."""
    p_values = {
        name: [test["p_value"] for test in by_trait.values() if test["unusual"]]
        for name, by_trait in tests.items()
    }
    return {name: min(values) for name, values in p_values.items() if values}


def small_groups(config: ReportConfig, table: pa.Table) -> dict[str, int]:
    """{grouping column: number of its groups with fewer labels than
    report.min_labels}."""
    return {
        name: sum(count < config.min_labels for count in Counter(groups).values())
        for name, groups in group_columns(config, table).items()
    }


def audit_groups(
    config: ReportConfig,
    table: pa.Table,
    score: str,
    shares: np.ndarray,
    trait_tests: dict[str, dict[str, dict[str, Any]]],
) -> dict[str, list[dict[str, Any]]]:
    """{grouping column: rows of numerics.group_tests.suspect, by one score}.

    score: e.g. gauss_newton_expert; shares: [g] of the query labels in each query
    group; trait_tests: `audit_preferences` of the same table.
    """
    parts = table[PARTS.of(score)].combine_chunks()
    values = parts.flatten().to_numpy().astype(float).reshape(-1, len(shares))
    return {
        name: suspect(
            harm(groups, values, shares, config.fdr, config.min_labels),
            trait_tests[name],
            config.fdr,
        )
        for name, groups in group_columns(config, table).items()
    }
