"""The files of a written page, decoded as its script does it."""

import base64
import json
import re
import zlib
from pathlib import Path

import numpy as np


def data_names(run):
    """Names of the files in report/data/ of an AuditedRun."""
    return sorted(path.name for path in _data(run).iterdir())


def raw(run, name):
    return (_data(run) / name).read_bytes()


def payload(run, name):
    """(kind, number, value) of the call in a file."""
    text = raw(run, name).decode("ascii")
    found = re.fullmatch(r'inflibData\(("[^"]*"),(\d+),(.*)\);\n', text, re.S)
    assert found, text[:100]
    return json.loads(found[1]), int(found[2]), json.loads(found[3])


def inflated(text):
    """The value of a deflated text."""
    return json.loads(_bytes(text))


def _bytes(text):
    return zlib.decompress(base64.b64decode(text))


def chunks(run, kind):
    """Values of all chunks of a kind, in order."""
    names = [n for n in data_names(run) if re.fullmatch(rf"{kind}-\d+\.js", n)]
    names.sort(key=lambda name: int(name[len(kind) + 1 : -3]))
    for number, name in enumerate(names):
        assert payload(run, name)[:2] == (kind, number)
    return [inflated(payload(run, name)[2]) for name in names]


def columns(run, name="columns.js"):
    """{name of a column: (its facts, its values)}."""
    whole = payload(run, name)[2]
    return {
        column["name"]: (column, _values(column, whole["rows"]))
        for column in whole["columns"]
    }


def _values(column, rows):
    if column["kind"] == "text":
        values = inflated(column["data"])
    else:
        values = np.frombuffer(_bytes(column["data"]), column["dtype"])
    if column["kind"] == "category":
        values = [column["values"][code] for code in values]
    assert len(values) == rows
    return values


def _data(run):
    return Path(run.recipe.run) / "report" / "data"
