"""A rule over the columns of a run's labels: which labels it matches.

    rank <= 1%                          the 1% that rank as most harmful
    labeler == 'dev' and margin < 0
    significant and not source in ['web', 'forum']
    col('my column') >= 3

A rule has comparisons (< <= > >= == !=, in a list), and, or, not, parentheses,
numbers, texts in quotes, and names of columns. It is read by Python's parser and then
walked here, node by node: nothing of it is executed. Logic has three values, as in SQL:
a comparison with a missing value is unknown, and a rule matches where it is surely
true.
"""

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from inflib.export.rule_columns import RuleColumns
from inflib.export.rule_syntax import ALLOWED, parsed

_COMPARISONS: dict[type[ast.cmpop], tuple[str, Callable[..., Any]]] = {
    ast.Lt: ("<", pc.less),
    ast.LtE: ("<=", pc.less_equal),
    ast.Gt: (">", pc.greater),
    ast.GtE: (">=", pc.greater_equal),
    ast.Eq: ("==", pc.equal),
    ast.NotEq: ("!=", pc.not_equal),
}

NUMBER, TEXT, BOOLEAN = "a number", "a text in quotes", "True or False"


@dataclass(frozen=True)
class _Operand:
    """A side of a comparison."""

    value: Any
    """Values of a column, or one value."""

    kind: str
    """NUMBER, TEXT or BOOLEAN."""

    column: str | None = None
    """Name of the column; None for a constant."""

    is_share: bool = False
    """Whether it is a constant such as 1%."""


def matching(rule: str, option: str, columns: RuleColumns) -> np.ndarray:
    """[n] which labels a rule matches.

    option: how the rule was given, for errors. Raises ValueError saying what is wrong.
    """
    try:
        tree, shares = parsed(rule)
        found = _Walk(columns, shares).truth(tree.body)
    except RecursionError:
        raise ValueError(f"{option}: the rule has too many levels") from None
    except ValueError as error:
        raise ValueError(f"{option} {rule!r}: {error}") from None
    return found.fill_null(False).to_numpy(zero_copy_only=False)


class _Walk:
    """Values of a rule's nodes over all labels."""

    def __init__(self, columns: RuleColumns, shares: set[int]) -> None:
        self.columns, self.shares = columns, shares

    def truth(self, node: ast.expr) -> pa.Array:
        """[n] true, false or null (unknown)."""
        match node:
            case ast.BoolOp(op=op, values=values):
                join = pc.and_kleene if isinstance(op, ast.And) else pc.or_kleene
                found = self.truth(values[0])
                for value in values[1:]:
                    found = join(found, self.truth(value))
                return found
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return pc.invert(self.truth(operand))
            case ast.Compare():
                return self._compared(node)
            case ast.Name() | ast.Call():
                operand_ = self._operand(node)
                if operand_.kind == BOOLEAN:
                    return operand_.value
                raise ValueError(
                    f"{operand_.column} is compared with nothing: write such as "
                    f"{operand_.column} == {_example(operand_)}"
                )
        raise ValueError(f"{ast.unparse(node)} is no condition; {ALLOWED}")

    def _compared(self, node: ast.Compare) -> pa.Array:
        sides = [node.left, *node.comparators]
        found = None
        for left, op, right in zip(sides, node.ops, sides[1:], strict=False):
            if isinstance(op, ast.In | ast.NotIn):
                step = self._is_in(self._operand(left), right)
                step = pc.invert(step) if isinstance(op, ast.NotIn) else step
            else:
                step = self._pair(self._operand(left), op, self._operand(right))
            found = step if found is None else pc.and_kleene(found, step)
        assert found is not None
        return found

    def _pair(self, left: _Operand, op: ast.cmpop, right: _Operand) -> pa.Array:
        if type(op) not in _COMPARISONS:
            raise ValueError(f"compares by {type(op).__name__.lower()}; {ALLOWED}")
        if left.column is None and right.column is None:
            raise ValueError("compares two constants: one side must be a column")
        left, right = self._scaled(left, right), self._scaled(right, left)
        if left.kind != right.kind:
            column, other = (left, right) if left.column else (right, left)
            raise ValueError(
                f"{column.column} is compared with {_said(other)}; it takes "
                f"{column.kind}, such as {_example(column)}"
            )
        sign, compare = _COMPARISONS[type(op)]
        if left.kind == BOOLEAN and sign not in ("==", "!="):
            raise ValueError(
                f"{left.column or right.column} is true or false, not {sign}"
            )
        try:
            return compare(left.value, right.value)
        except (pa.ArrowException, OverflowError) as error:
            raise ValueError(str(error)) from None

    def _scaled(self, side: _Operand, other: _Operand) -> _Operand:
        """A side, a share of ranks as the rank that it stands for."""
        if not side.is_share:
            return side
        if other.column is None or not self.columns.is_rank(other.column):
            raise ValueError(
                f"{side.value:g}% is a share of the labels by rank: compare it with "
                f"rank or a column rank_..., not with {other.column or 'a constant'}"
            )
        ranked = len(other.value) - other.value.null_count
        return _Operand(side.value / 100 * ranked, NUMBER)

    def _is_in(self, left: _Operand, node: ast.expr) -> pa.Array:
        if not isinstance(node, ast.List | ast.Tuple | ast.Set) or not node.elts:
            raise ValueError("in takes a list of values, such as ['ana', 'ben']")
        if left.column is None:
            raise ValueError("in takes a column on its left")
        values = [self._operand(element) for element in node.elts]
        for value in values:
            if value.column or value.is_share or value.kind != left.kind:
                raise ValueError(
                    f"{left.column} in ...: each value must be {left.kind}, such as "
                    f"{_example(left)}"
                )
        column = left.value
        if left.kind == NUMBER:
            column = column.cast(pa.float64(), safe=False)
        listed = pa.array([v.value for v in values], column.type)
        found = pc.is_in(column, value_set=listed)
        return pc.if_else(pc.is_null(column), pa.scalar(None, pa.bool_()), found)

    def _operand(self, node: ast.expr) -> _Operand:
        match node:
            case ast.Name(id=name):
                return self._column(*self.columns.named(name))
            case ast.Call(
                func=ast.Name(id="col"),
                args=[ast.Constant(value=str(name))],
                keywords=[],
            ):
                return self._column(*self.columns.exactly(name))
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant()):
                inside = self._operand(node.operand)
                if inside.kind == NUMBER and not inside.is_share:
                    return _Operand(-inside.value, NUMBER)
            case ast.Constant(value=bool(value)):
                return _Operand(pa.scalar(value), BOOLEAN)
            case ast.Constant(value=None):
                raise ValueError("a rule never matches missing values: leave None out")
            case ast.Constant(value=(int() | float()) as value):
                return _Operand(value, NUMBER, None, node.col_offset in self.shares)
            case ast.Constant(value=str(value)):
                return _Operand(value, TEXT)
        raise ValueError(f"{ast.unparse(node)} is not allowed; {ALLOWED}")

    def _column(self, name: str, values: pa.Array) -> _Operand:
        kind = values.type
        if pa.types.is_boolean(kind):
            return _Operand(values, BOOLEAN, name)
        if pa.types.is_integer(kind) or pa.types.is_floating(kind):
            return _Operand(values, NUMBER, name)
        if pa.types.is_string(kind):
            return _Operand(values, TEXT, name)
        raise ValueError(f"{name} holds {kind}, which no rule can compare")


def _said(operand: _Operand) -> str:
    if operand.column:
        return f"{operand.column}, which holds {operand.kind}"
    value = operand.value
    return repr(value.as_py() if isinstance(value, pa.Scalar) else value)


def _example(operand: _Operand) -> str:
    return {NUMBER: "0.5", TEXT: "'dev'", BOOLEAN: "True"}[operand.kind]
