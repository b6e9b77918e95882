"""Groups of labels in the scores table, and traits of what each label prefers."""

from typing import Any

import numpy as np
import pyarrow as pa

from inflib.config.score import ReportConfig
from inflib.data.output_columns import PARTS
from inflib.numerics.group_tests import harm, preferences, suspect

_SHARES = 10
"""Groups that a time column is cut into."""

_PARTS = 4
"""Of the groups that look odd, a quarter at a time is left out: those that look oddest
(the right ones may look odd beside them)."""


def group_columns(config: ReportConfig, table: pa.Table) -> dict[str, list[str]]:
    """{column: group of each label} of the columns asked for that the data has.

    Raises ValueError for a time column that the data lacks.
    """
    found = {
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
        found[config.time] = time_buckets(table[config.time].to_pylist())
    return found


def time_buckets(times: list[Any]) -> list[str]:
    """A name for each label's bucket: ten equal shares, in order of time.

    Equal times share a bucket; labels without a time are in "-".
    """
    known = sorted(time for time in times if time is not None)
    cuts = sorted(
        {known[len(known) * i // _SHARES] for i in range(_SHARES)} if known else []
    )
    ends = [known[np.searchsorted(known, cut) - 1] for cut in cuts[1:]] + known[-1:]
    names = [f"{a} to {b}" for a, b in zip(cuts, ends, strict=True)]
    return [
        "-" if time is None else names[int(np.searchsorted(cuts, time, "right")) - 1]
        for time in times
    ]


def traits(
    config: ReportConfig, table: pa.Table, trusted: np.ndarray
) -> dict[str, np.ndarray]:
    """1 or 0 for each label, NaN where a trait does not apply.

    longer: the chosen response has more tokens; model: the reward model agrees; others:
    most other trusted labels on the same comparison agree; first: the chosen response
    was shown first (report.position).
    """
    length = table["length_difference"].to_numpy().astype(float)
    margin = table["margin"].to_numpy()
    found = {
        "longer": np.where(length == 0, np.nan, length > 0),
        "model": np.where(margin == 0, np.nan, margin > 0),
    }
    comparison = table["comparison_id"].combine_chunks().dictionary_encode().indices
    sign = table["sign"].to_numpy().astype(float)
    said = sign * trusted
    others = np.bincount(comparison, said)[comparison.to_numpy()] - said
    if (others != 0).any():
        found["others"] = np.where(others == 0, np.nan, others * sign > 0)
    if config.position is not None:
        if config.position not in table.column_names:
            raise ValueError(
                f"report.position {config.position!r} is no column of the data; it has "
                f"{table.column_names}"
            )
        shown = table[config.position].cast(pa.float64())
        found["first"] = shown.to_numpy(zero_copy_only=False)
    return found


def audit_preferences(
    config: ReportConfig, table: pa.Table
) -> dict[str, dict[str, dict[str, Any]]]:
    """{grouping column: inflib.numerics.group_tests.preferences} of the labels.

    Groups with an unusual trait are not among the others that groups are compared with,
    nor in the majority that they should agree with: a few biased labelers would make
    the right ones look odd. At most half of the groups are left out so.
    """
    return {
        name: _preferences(config, table, np.array(groups))
        for name, groups in group_columns(config, table).items()
    }


def _preferences(
    config: ReportConfig, table: pa.Table, groups: np.ndarray
) -> dict[str, dict[str, Any]]:
    left_out: list[str] = []
    while True:
        trusted = ~np.isin(groups, left_out)
        found = preferences(
            groups.tolist(), traits(config, table, trusted), trusted, config.fdr
        )
        odd = {
            name: min(p_values)
            for name, own in found.items()
            if (p_values := [t["p_value"] for t in own.values() if t["unusual"]])
            and name not in left_out
        }
        most = sorted(odd, key=lambda name: odd[name])[: -(-len(odd) // _PARTS)]
        if not most or 2 * len(left_out + most) > len(found):
            return found
        left_out += most


def audit_groups(
    config: ReportConfig,
    table: pa.Table,
    score: str,
    shares: np.ndarray,
    seen: dict[str, dict[str, dict[str, Any]]],
) -> dict[str, list[dict[str, Any]]]:
    """{grouping column: rows of group_tests.suspect} by one score.

    seen: `audit_preferences` of the same table.
    """
    parts = table[PARTS.of(score)].combine_chunks()
    values = parts.flatten().to_numpy().astype(float).reshape(-1, len(shares))
    return {
        name: suspect(harm(groups, values, shares, config.fdr), seen[name], config.fdr)
        for name, groups in group_columns(config, table).items()
    }
