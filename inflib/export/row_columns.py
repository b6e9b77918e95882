"""Names of the columns of an export: the user's own, and those that say where a row is
from."""

from inflib.audited_run import AuditedRun
from inflib.data.output_columns import COLUMNS, INFLUENCE, KEPT_AS
from inflib.data.pairs_folder import LABELS

PREFIX = "inflib_"
"""Of the columns that say where a row is from and what was done to it."""


def own_columns(run: AuditedRun) -> list[str]:
    """Names of the columns of the user's data in influence.parquet."""
    return [
        name
        for name in run.labels.column_names
        if name not in LABELS.names and not any(c.matches(name) for c in COLUMNS)
    ]


def names_of_own(own: list[str], taken: set[str]) -> dict[str, str]:
    """{own column: its name in the export}: its original name where that is free."""
    names: dict[str, str] = {}
    for column in own:
        name = column.removeprefix(KEPT_AS)
        if name != column and name in own:
            name = column
        while name in taken or name in names.values():
            name = KEPT_AS + name
        names[column] = name
    return names


def influence_columns(run: AuditedRun) -> dict[str, str]:
    """{influence on a query set, by the reported curvature: its name in the export}."""
    return {
        INFLUENCE.of(run.score(query)): f"{PREFIX}influence_{query}"
        for query in run.queries
    }
