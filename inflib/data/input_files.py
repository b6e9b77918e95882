"""Recipe to the input files of a run, with a name and a fingerprint of each.

A row without a pair_id gets one that starts with its file's name, so a name stays what
it was when the run was prepared. The fingerprint tells whether the file has changed.
"""

import datetime
import json
import os.path
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any

from inflib.config.data import SourceConfig
from inflib.config.recipe import Recipe
from inflib.files.paths import find_files, fingerprint
from inflib.files.raw_rows import RawRow
from inflib.files.readers import options_of, read_rows
from inflib.shapes.recognition import recognise
from inflib.shapes.shape import Shape, describe

Sources = dict[str, dict[str, dict[str, Any]]]
"""{pair set: {file: {"name": ..., "fingerprint": ..., "shape": ..., "date": ...}}};
stored as sources.json. date: the day on which the run was prepared first, which chat
templates that print the date go on with."""

_FIRST_ROWS = 1000
"""Rows that the shape of a file is told from."""

_AT_ONCE = 16
"""Files whose first rows are read at the same time."""


def find_sources(recipe: Recipe, stored: Sources | None = None) -> Sources:
    """The recipe's files as they are now.

    stored: the files that the run was prepared with; those keep their names and shapes.
    Raises FileNotFoundError naming a path that matches nothing, and ValueError naming a
    file whose rows have no known shape.
    """
    dates = [
        e["date"] for f in (stored or {}).values() for e in f.values() if "date" in e
    ]
    date = dates[0] if dates else datetime.date.today().isoformat()
    sources: Sources = {}
    for pairs, source in recipe.prepare.sources.items():
        stored_files = (stored or {}).get(pairs, {})
        files = find_files(source.path)
        ratings = find_files(source.ratings) if source.ratings else []
        new_files = [file for file in files if file not in stored_files]
        names = _names([*stored_files, *new_files])
        names |= {file: entry["name"] for file, entry in stored_files.items()}
        shapes = {
            file: entry["shape"]
            for file, entry in stored_files.items()
            if file in files and "shape" in entry
        }
        unknown = [file for file in files if file not in shapes]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            tell = partial(shape_of, source, option_of(pairs))
            for file, shape in zip(unknown, pool.map(tell, unknown), strict=True):
                shapes[file] = shape.to_json()
        sources[pairs] = {
            file: {
                "name": names[file],
                "fingerprint": "+".join(
                    fingerprint(each, source.split) for each in [file, *ratings]
                ),
                "shape": shapes[file],
                "date": date,
            }
            for file in files
        }
    return sources


def describe_sources(sources: Sources) -> list[str]:
    """A line for each shape that files of a pair set have: how they are read."""
    lines = []
    for pairs, files in sources.items():
        by_shape: dict[str, list[str]] = {}
        for file, entry in files.items():
            by_shape.setdefault(json.dumps(entry["shape"]), []).append(file)
        for shape, names in by_shape.items():
            more = f" and {len(names) - 1} more files" if len(names) > 1 else ""
            read_as = describe(Shape.from_json(json.loads(shape)))
            lines.append(f"{pairs}: {names[0]}{more} read as {read_as}")
    return lines


def option_of(pairs: str) -> str:
    """The recipe's section of a pair set, prepare.train or prepare.queries.NAME."""
    return "prepare.train" if pairs == "train" else f"prepare.queries.{pairs}"


def shape_of(source: SourceConfig, option: str, file: str) -> Shape:
    """How the rows of a file are read; option: its section of the recipe."""
    head = islice(read_rows(file, options_of(source)), _FIRST_ROWS)
    rows = [row for row in head if isinstance(row, RawRow)]
    if not rows:  # its rows will all be listed as bad ones
        return Shape("pairs", {})
    return recognise(rows, source, option)


def check_sources(sources: Sources, stored: Sources, where: str) -> None:
    """Refuse files that a prepared run cannot take: raises ValueError when the recipe
    no longer names one of its files, or a query set has a new or changed file.

    stored: files that the run was prepared with; where: address of its pairs/.
    """
    for pairs, stored_files in stored.items():
        files = sources[pairs]
        for file in stored_files:
            if file not in files:
                raise ValueError(
                    f"{where} was prepared with {file}, which {pairs} no longer names: "
                    "labels can be appended to a run, not taken out"
                )
        for file in files:
            if pairs != "train" and files[file] != stored_files.get(file):
                raise ValueError(
                    f"{where} was prepared from other contents of {file} ({pairs}): "
                    "choose another --run"
                )


def _names(files: list[str]) -> dict[str, str]:
    """{file: its last path component, with the file's number where two are equal}."""
    bases = [os.path.basename(file.rstrip("/")) for file in files]
    return {
        file: base if bases.count(base) == 1 else f"{number}/{base}"
        for number, (file, base) in enumerate(zip(files, bases, strict=True))
    }
