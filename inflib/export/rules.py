"""Rules in a line of text, such as "labeler == 'dev' and margin < 0", to which labels
they match.

A rule compares columns of the labels with numbers, texts and each other by < <= > >= ==
!= and in, joined by and, or, not and parentheses. `significant`: surely harmful to the
query set. A rank may be compared with a share, "rank <= 1%": of the labels that have a
rank. A comparison with a missing value matches nothing. Nothing else is evaluated: a
rule is parsed into Python's syntax tree, of which a few nodes are allowed.
"""

import ast
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import pyarrow as pa

from inflib.audited_run import AuditedRun
from inflib.data.output_columns import COLUMNS, FLIP_EFFECT, INFLUENCE, RANK

SIGNIFICANT = "significant"
_SHARE = "__share__"
_TOKENS = re.compile(r"""'[^']*'|"[^"]*"|(?P<share>\d+(?:\.\d+)?)\s*%""")
"""Texts in quotes, which stay as they are, and shares."""

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_TURNED = {
    operator.lt: operator.gt,
    operator.le: operator.ge,
    operator.gt: operator.lt,
    operator.ge: operator.le,
}


@dataclass(frozen=True)
class _Share:
    """A share of the labels that have a rank, 0 to 1."""

    value: float


@dataclass(frozen=True)
class _Values:
    """A column's values and which of them are there; arrays [n]."""

    values: np.ndarray
    known: np.ndarray
    is_rank: bool = False


@dataclass(frozen=True)
class _Truth:
    """Where a condition holds and where it fails; arrays [n]. Neither where a value is
    missing, whatever stands around it (the logic of SQL)."""

    holds: np.ndarray
    fails: np.ndarray

    @staticmethod
    def of(values: np.ndarray, known: np.ndarray) -> "_Truth":
        return _Truth(values & known, ~values & known)

    @staticmethod
    def all(parts: "list[_Truth]") -> "_Truth":
        """Where all conditions hold; fails where any does."""
        holds = np.logical_and.reduce([part.holds for part in parts])
        return _Truth(holds, np.logical_or.reduce([part.fails for part in parts]))

    @staticmethod
    def any(parts: "list[_Truth]") -> "_Truth":
        """Where any condition holds; fails where all do."""
        return ~_Truth.all([~part for part in parts])

    def __invert__(self) -> "_Truth":
        return _Truth(self.fails, self.holds)


@dataclass(frozen=True)
class Rule:
    """A rule on the labels of a run, and the option that it stands in."""

    text: str
    option: str
    """--flip, for example: named in errors."""

    query: str | None
    """The query set that `significant`, `rank`, `influence` and `flip_effect` are of;
    None where the run has several and none is named."""

    def matches(self, run: AuditedRun) -> np.ndarray:
        """[n] which labels of the run match. Raises ValueError for a rule that cannot
        be read, or names a column that is not there."""
        return _Evaluation(self, run).condition(self._tree().body).holds

    def queries(self, run: AuditedRun) -> set[str]:
        """The query sets whose scores the rule uses."""
        names = {x.id for x in ast.walk(self._tree()) if isinstance(x, ast.Name)}
        scored = [column for column in COLUMNS if "<score>" in column.name]
        used = {
            query
            for name in names
            for query in run.queries
            if name.endswith(f"_{query}") and any(x.matches(name) for x in scored)
        }
        short = self.query and names & {SIGNIFICANT, *_short(run, self.query)}
        return used | ({self.query} if short and self.query else set())

    def error(self, problem: str) -> ValueError:
        """The error that says what is wrong with this rule."""
        return ValueError(f"{self.option} {self.text!r}: {problem}")

    def _translated(self, token: re.Match[str]) -> str:
        """A share as a call; other tokens as they are."""
        share = token["share"]
        return token[0] if share is None else f"{_SHARE}({share})"

    def _tree(self) -> ast.Expression:
        text = _TOKENS.sub(self._translated, self.text.strip())
        try:
            return ast.parse(text, mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            hint = "use ==, not =; " if re.search(r"[^=<>!]=[^=]", self.text) else ""
            raise self.error(
                f"not a rule; {hint}an example: \"labeler == 'dev' and margin < 0\""
            ) from None


def _short(run: AuditedRun, query: str | None) -> dict[str, str]:
    """{short name: column} of the reported score on a query set."""
    if query is None:
        return dict.fromkeys(("rank", "influence", "flip_effect"), "")
    columns = {"rank": RANK, "influence": INFLUENCE, "flip_effect": FLIP_EFFECT}
    return {name: column.of(run.score(query)) for name, column in columns.items()}


class _Evaluation:
    """One rule on one run."""

    def __init__(self, rule: Rule, run: AuditedRun) -> None:
        self.rule, self.run = rule, run

    def condition(self, node: ast.expr) -> _Truth:
        """Where a condition holds."""
        if isinstance(node, ast.BoolOp):
            parts = [self.condition(value) for value in node.values]
            return (
                _Truth.all(parts) if isinstance(node.op, ast.And) else _Truth.any(parts)
            )
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ~self.condition(node.operand)
        if isinstance(node, ast.Compare):
            return self._compare(node)
        if isinstance(node, ast.Name):
            if node.id == SIGNIFICANT and SIGNIFICANT not in self._names:
                return self._significant()
            column = self._column(node.id)
            if column.values.dtype != bool:
                raise self.rule.error(f"{node.id!r} is no condition: compare it")
            return _Truth.of(column.values, column.known)
        raise self.rule.error(f"{ast.unparse(node)!r} is no condition")

    def _significant(self) -> _Truth:
        if self.rule.query is None:
            raise self._which_query(SIGNIFICANT)
        harmful = self.run.surely_harmful(self.rule.query)
        if harmful is None:
            raise self.rule.error(
                f"which labels harm {self.rule.query!r} for sure cannot be estimated: "
                "fewer than two query groups hold labels (score.query_groups)"
            )
        return _Truth(harmful, ~harmful)

    def _compare(self, node: ast.Compare) -> _Truth:
        """A chain of comparisons, a < b < c, all of which must hold."""
        sides = [node.left, *node.comparators]
        parts = []
        for left, op, right in zip(sides[:-1], node.ops, sides[1:], strict=True):
            if isinstance(op, ast.In | ast.NotIn):
                parts.append(self._contained(left, right, isinstance(op, ast.NotIn)))
            elif type(op) in _COMPARISONS:
                parts.append(self._compared(left, _COMPARISONS[type(op)], right))
            else:
                raise self.rule.error("`is` is no comparison: use ==")
        return _Truth.all(parts)

    def _contained(self, left: ast.expr, right: ast.expr, not_in: bool) -> _Truth:
        if not isinstance(right, ast.List | ast.Tuple | ast.Set) or not right.elts:
            raise self.rule.error("in is followed by a list: labeler in ['ana', 'ben']")
        among = _Truth.any([self._compared(left, operator.eq, x) for x in right.elts])
        return ~among if not_in else among

    def _compared(
        self, left: ast.expr, compare: Callable[[Any, Any], Any], right: ast.expr
    ) -> _Truth:
        a, b = self._value(left), self._value(right)
        if not isinstance(a, _Values) and isinstance(b, _Values):
            a, b, compare = b, a, _TURNED.get(compare, compare)
        if not isinstance(a, _Values):
            raise self.rule.error("compares no column")
        if isinstance(b, _Share):
            if not a.is_rank:
                raise self.rule.error(
                    f"{100 * b.value:g}% of what? Only a rank is compared with a "
                    "share, such as rank <= 1%"
                )
            b = b.value * float(a.known.sum())
        other = b.values if isinstance(b, _Values) else b
        texts = [
            x.dtype == object if isinstance(x, np.ndarray) else isinstance(x, str)
            for x in (a.values, other)
        ]
        if texts[0] != texts[1]:
            kinds = ["a text" if text else "a number" for text in texts]
            sides = " with ".join(
                f"{kind} ({ast.unparse(side)})"
                for kind, side in zip(kinds, self._by_column(left, right), strict=True)
            )
            raise self.rule.error(f"compares {sides}")
        known = a.known & b.known if isinstance(b, _Values) else a.known
        return _Truth.of(np.asarray(compare(a.values, other), bool), known)

    def _by_column(self, left: ast.expr, right: ast.expr) -> tuple[ast.expr, ast.expr]:
        """The two sides of a comparison, a column first."""
        return (left, right) if isinstance(left, ast.Name) else (right, left)

    def _value(self, node: ast.expr) -> Any:
        """A column, a number, a text, a truth or a share."""
        if isinstance(node, ast.Constant) and isinstance(
            node.value, bool | int | float | str
        ):
            return node.value
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            value = self._value(node.operand)
            if isinstance(value, int | float):
                return -value if isinstance(node.op, ast.USub) else value
        if isinstance(node, ast.Name):
            return self._column(node.id)
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == _SHARE
        ):
            return _Share(self._value(node.args[0]) / 100)
        raise self.rule.error(f"{ast.unparse(node)!r} is no column, number or text")

    @property
    def _names(self) -> list[str]:
        return self.run.labels.column_names

    def _which_query(self, name: str) -> ValueError:
        return self.rule.error(
            f"{name} on which query set? Add --query {' or '.join(self.run.queries)}"
        )

    def _column(self, name: str) -> _Values:
        short = _short(self.run, self.rule.query)
        if name not in self._names and name in short:
            if self.rule.query is None:
                raise self._which_query(name)
            name = short[name]
        if name not in self._names:
            near = get_close_matches(name, [*self._names, *short, SIGNIFICANT], 3, 0.5)
            hint = f"; is it {' or '.join(near)}?" if near else ""
            if not near:
                hint = f"; there are {', '.join(self._names)}"
            raise self.rule.error(f"no column {name!r}{hint}")
        return _Values(
            *_arrays(self.run.labels[name], name, self.rule), RANK.matches(name)
        )


def _arrays(
    column: pa.ChunkedArray, name: str, rule: Rule
) -> tuple[np.ndarray, np.ndarray]:
    """(values, which are there): numbers as float64, truths as bool, else texts."""
    known = column.is_valid().to_numpy()
    if pa.types.is_boolean(column.type):
        return column.fill_null(False).to_numpy(), known
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        values = column.cast(pa.float64(), safe=False).to_numpy()
        return values, known & ~np.isnan(values)
    if pa.types.is_nested(column.type):
        raise rule.error(f"column {name!r} holds lists, which have no order")
    texts = ["" if x is None else str(x) for x in column.to_pylist()]
    return np.array(texts, dtype=object), known
