"""Scored labels to the columns of the page's grid: columns.js and scores-<i>.js.

    n  labels

Numbers are typed arrays, float32 with NaN where a value is missing, or whole numbers;
texts with few values are categories, whose codes are in the order of their names.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from inflib.audited_run import AuditedRun
from inflib.data import output_columns as output
from inflib.data.output_columns import BESIDE, COLUMNS, OutputColumn
from inflib.page.data_files import deflated, packed, plain
from inflib.page.label_flags import Flag, bits

TEXTS_PER_CHUNK, NEAR_PER_CHUNK = 256, 100

_LONG_TEXT = 200
"""Characters of a column's mean text above which the page leaves the column out."""

_PLAIN = (
    (output.MARGIN, "margin", True),
    (output.LENGTH_DIFFERENCE, "length_difference", True),
    (output.LOSS, "loss", False),
    (output.GRADIENT_NORM, "gradient_norm", False),
    (output.STATUS, "status", False),
    (output.FILE, "file", False),
    (output.FILE_ROW, "file_row", False),
)
"""(column, role, whether the grid shows it at first)."""

_UNLESS = ((output.TARGET, 1.0), (output.WEIGHT, 1.0), (output.REQUIRED_MARGIN, 0.0))
"""(column, its usual value); it is left out where all labels have that."""

_SCORES = (
    (output.INFLUENCE, "influence", True),
    (output.ERROR, "error", False),
    (output.FLIP_EFFECT, "flip_effect", False),
    (output.RANK, "rank", False),
)


def columns_of(
    run: AuditedRun, flags: list[Flag]
) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """(contents of columns.js, own columns that are left out: name and why)."""
    own, left_out = _own_columns(run)
    columns = [_pair_id(run), _comparison(run), _sign(run), *own]
    for query in run.queries:
        columns += _scores(run, run.recipe.score.reported, query, True)
    columns.append(_flag_column(run, flags))
    columns += [_output(run, *column) for column in _PLAIN]
    if run.fair_margins is not None:
        about = _about(output.CROSSFIT_MARGIN, "crossfit_margin", shown=False)
        values = pa.chunked_array([pa.array(run.fair_margins)])
        columns.append(about | _numbers(values))
    for column, usual in _UNLESS:
        if (run.labels[column.name].to_numpy() != usual).any():
            columns.append(_output(run, column, column.name, False))
    for kind in run.recipe.score.curvatures:
        if output.SELF_INFLUENCE.of(kind) in run.labels.column_names:
            name = output.SELF_INFLUENCE.of(kind)
            about = _about(output.SELF_INFLUENCE, "self_influence", name, False)
            about |= {"label": f"self influence, {kind}", "curvature": kind}
            columns.append(about | _numbers(run.labels[name]))
    return _payload(run, columns), left_out


def further_scores(run: AuditedRun) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(curvature, query set, contents of scores-<i>.js) of all scores that are not
    reported, in order; with score.keep_sweep also at each damping."""
    for kind in run.recipe.score.score_names:
        for query in run.queries:
            if kind != run.recipe.score.reported:
                columns = [*_scores(run, kind, query, False)]
                yield kind, query, _payload(run, columns)


def group_names(column: pa.ChunkedArray) -> list[str]:
    """Name of each label's group, as in report.labelers; "-" without a value."""
    return ["-" if value is None else str(value) for value in column.to_pylist()]


def is_own(name: str) -> bool:
    """Whether a column is one of the user's."""
    return not any(column.matches(name) for column in COLUMNS + BESIDE)


def _payload(run: AuditedRun, columns: list[dict[str, Any]]) -> dict[str, Any]:
    return plain(
        {
            "rows": len(run.labels),
            "comparisons": run.num_comparisons,
            "texts_per_chunk": TEXTS_PER_CHUNK,
            "near_per_chunk": NEAR_PER_CHUNK,
            "columns": columns,
        }
    )


def _about(
    column: OutputColumn, role: str, name: str | None = None, shown: bool = True
) -> dict[str, Any]:
    return {
        "name": name or column.name,
        "label": role.replace("_", " "),
        "meaning": column.meaning,
        "unit": column.unit,
        "role": role,
        "query": None,
        "curvature": None,
        "shown": shown,
    }


def _pair_id(run: AuditedRun) -> dict[str, Any]:
    about = _about(output.PAIR_ID, "pair_id") | {"label": "label"}
    return about | _texts(run.labels[output.PAIR_ID.name])


def _comparison(run: AuditedRun) -> dict[str, Any]:
    about = _about(output.COMPARISON_ID, "comparison", shown=False)
    return about | _whole(run.comparison_numbers.astype(np.uint32))


def _sign(run: AuditedRun) -> dict[str, Any]:
    signs = run.labels[output.SIGN.name].to_numpy().astype(np.int8)
    return _about(output.SIGN, "sign", shown=False) | _whole(signs)


def _scores(
    run: AuditedRun, kind: str, query: str, shown: bool
) -> Iterator[dict[str, Any]]:
    for column, role, first in _SCORES:
        name = column.of(kind, query)
        about = _about(column, role, name, shown and first)
        of = "" if kind == run.recipe.score.reported else f", {kind}"
        about |= {"query": query, "curvature": kind}
        about |= {"label": f"{role.replace('_', ' ')}, {query}{of}"}
        yield about | _numbers(run.labels[name])


def _flag_column(run: AuditedRun, flags: list[Flag]) -> dict[str, Any]:
    taken, name = set(run.labels.column_names), "flags"
    while name in taken:
        name += "_"
    dtype = _unsigned(2 ** len(flags))
    return {
        "name": name,
        "label": "flagged because",
        "meaning": "why one may want to look at the label",
        "unit": "1",
        "role": "flags",
        "query": None,
        "curvature": None,
        "shown": True,
        "kind": "flags",
        "dtype": dtype,
        "data": packed(bits(flags, len(run.labels)).astype(dtype)),
        "flags": [
            {
                "bit": bit,
                "label": flag.label,
                "meaning": flag.meaning,
                "labels": int(flag.raised.sum()),
            }
            for bit, flag in enumerate(flags)
        ],
    }


def _output(
    run: AuditedRun, column: OutputColumn, role: str, shown: bool
) -> dict[str, Any]:
    values = run.labels[column.name]
    return _about(column, role, shown=shown) | _values(values)


def _own_columns(
    run: AuditedRun,
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """(the user's own columns, those that are left out), the grouping columns first."""
    names = [name for name in run.labels.column_names if is_own(name)]
    groups = [name for name in run.recipe.report.groups if name in names]
    names = [*groups, *(name for name in names if name not in groups)]
    columns, left_out = [], []
    for name in names:
        values = run.labels[name]
        if name in groups:
            texts = [None if x is None else str(x) for x in values.to_pylist()]
            data = _category(texts)
        elif pa.types.is_string(values.type) and _is_long(values):
            why = f"its texts are longer than {_LONG_TEXT} characters on average"
            left_out.append({"name": name, "why": why})
            continue
        else:
            data = _values(values)
        about = {
            "name": name,
            "label": name,
            "meaning": "a column of the data",
            "unit": "as in the data",
            "role": "own",
            "query": None,
            "curvature": None,
            "shown": name in groups,
        }
        columns.append(about | data)
    return columns, left_out


def _is_long(values: pa.ChunkedArray) -> bool:
    mean = pc.mean(pc.utf8_length(values)).as_py()
    return mean is not None and mean > _LONG_TEXT


def _values(values: pa.ChunkedArray) -> dict[str, Any]:
    """A column's values as what they are: numbers, categories or texts."""
    if pa.types.is_boolean(values.type):
        texts = [None if x is None else str(x).lower() for x in values.to_pylist()]
        return _category(texts)
    if not pa.types.is_string(values.type):
        exact = _numbers(values)
        # An id of many digits is not rounded, but shown as it is.
        return exact or _texts(pc.cast(values, pa.string()))
    if len(pc.unique(values)) <= max(20, len(values) // 10):
        return _category(values.to_pylist())
    return _texts(values)


def _numbers(values: pa.ChunkedArray) -> dict[str, Any]:
    """A column of numbers; empty for whole numbers that have no exact form."""
    if pa.types.is_integer(values.type):
        largest = pc.max(pc.abs(pc.cast(values, pa.float64(), safe=False))).as_py() or 0
        if values.null_count == 0 and largest < 2**31:
            whole = values.to_numpy()
            dtype = "i1" if largest < 2**7 else "i4"
            if len(whole) and whole.min() >= 0:
                dtype = _unsigned(int(largest) + 1)
            return _whole(whole.astype(dtype))
        if largest > 2**24:
            return {}
    floats = pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        return {"kind": "number", "dtype": "f4", "data": packed(floats.astype("f4"))}


def _unsigned(count: int) -> str:
    """The smallest type of whole numbers below a count."""
    return "u1" if count <= 2**8 else "u2" if count <= 2**16 else "u4"


def _whole(values: np.ndarray) -> dict[str, Any]:
    dtype = f"{values.dtype.kind}{values.dtype.itemsize}"
    return {"kind": "number", "dtype": dtype, "data": packed(values)}


def _texts(values: pa.ChunkedArray) -> dict[str, Any]:
    texts = ["" if text is None else text for text in values.to_pylist()]
    return {"kind": "text", "data": deflated(texts)}


def _category(texts: Sequence[str | None]) -> dict[str, Any]:
    """Codes of texts; that of a missing one comes first."""
    names: list[str | None] = [None] if None in texts else []
    names += sorted({text for text in texts if text is not None})
    codes = {name: code for code, name in enumerate(names)}
    dtype = _unsigned(len(names))
    data = packed(np.array([codes[text] for text in texts], dtype))
    return {"kind": "category", "dtype": dtype, "data": data, "values": names}
