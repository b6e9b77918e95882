"""The names that a rule may use: columns of influence.parquet, own columns, and short
names for those of the reported curvature and the query set.

    rank, influence, error, flip_effect   of the reported curvature and the query set
    significant                           surely harmful for the query set, report.fdr
"""

import difflib
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from inflib.audited_run import AuditedRun
from inflib.data.output_columns import (
    ERROR,
    FLIP_EFFECT,
    FLIP_PARTS,
    INFLUENCE,
    PARTS,
    RANK,
)

SIGNIFICANT = "significant"
SHORT = {
    "rank": RANK,
    "influence": INFLUENCE,
    "error": ERROR,
    "flip_effect": FLIP_EFFECT,
}
"""{short name: the column it stands for}."""

_SCORES = (INFLUENCE, ERROR, FLIP_EFFECT, RANK, PARTS, FLIP_PARTS)


class RuleColumns:
    """Columns of a run's labels by the names that rules use; remembers which query
    sets' scores were asked for."""

    def __init__(self, run: AuditedRun, query: str | None) -> None:
        """query: name of a query set, or None. Raises ValueError for an unknown one."""
        if query is not None and query not in run.queries:
            near = difflib.get_close_matches(query, run.queries, 1)
            hint = (
                f"did you mean {near[0]}?" if near else "it has " + _listed(run.queries)
            )
            raise ValueError(f"--query {query}: no such query set; {hint}")
        self.run, self._query = run, query
        self.used: set[str] = set()
        """Query sets whose scores were used."""

    @property
    def query(self) -> str:
        """The query set that short names stand for. Raises ValueError where there are
        several and none was chosen."""
        if self._query is not None:
            return self._query
        if len(self.run.queries) == 1:
            return self.run.queries[0]
        raise ValueError(
            "there are several query sets: add --query, one of "
            f"{_listed(self.run.queries)}"
        )

    def named(self, name: str) -> tuple[str, pa.Array]:
        """(name of the column, its values) of a name in a rule. Raises ValueError for
        names that there are not, with those that are near."""
        own = name in self.run.labels.column_names
        if name == SIGNIFICANT or name in SHORT:
            if own:
                long = "" if name == SIGNIFICANT else f" or {SHORT[name].stem}..."
                raise ValueError(
                    f"{name} is a column of your data, too: write col('{name}') for it"
                    f"{long}"
                )
            if name == SIGNIFICANT:
                return name, self.significant
            return self.exactly(SHORT[name].of(self.run.score(self.query)))
        return self.exactly(name)

    def exactly(self, name: str) -> tuple[str, pa.Array]:
        """(name, values) of the column with exactly this name."""
        columns = self.run.labels.column_names
        if name not in columns:
            known = [*columns, *SHORT, SIGNIFICANT]
            near = difflib.get_close_matches(name, known, 3, 0.5)
            hint = (
                f"did you mean {_listed(near)}?" if near else "it has " + _listed(known)
            )
            raise ValueError(f"no column {name!r}; {hint}")
        self.used |= self._query_of(name)
        values = self.run.labels[name].combine_chunks()
        if pa.types.is_floating(values.type):
            values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
        return name, values

    def is_rank(self, name: str) -> bool:
        """Whether a column holds ranks of a score."""
        return RANK.matches(name) and bool(self._query_of(name))

    @cached_property
    def _significant(self) -> np.ndarray:
        found = self.run.surely_harmful(self.query)
        if found is None:
            raise ValueError(
                f"{SIGNIFICANT} cannot be told for query set {self.query}: it has "
                "fewer than two groups of labels"
            )
        return found

    @property
    def significant(self) -> pa.Array:
        """[n] which labels surely harm the query set."""
        found = pa.array(self._significant)
        self.used.add(self.query)
        return found

    def _query_of(self, column: str) -> set[str]:
        """The query set whose scores a column holds; empty for other columns."""
        if not any(score.matches(column) for score in _SCORES):
            return set()
        ends = [q for q in self.run.queries if column.endswith(f"_{q}")]
        return set(sorted(ends, key=len)[-1:])


def _listed(names: list[str]) -> str:
    return ", ".join(names)
