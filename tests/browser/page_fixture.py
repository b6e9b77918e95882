"""A synthetic report folder: the page's files with made-up numbers and hostile texts.

    python tests/browser/page_fixture.py FOLDER [--labels 100000]

The same folder for the same number of labels. Its tabs that are rendered by Python hold
a heading and their charts only.
"""

import argparse
import base64
import json
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import ChoiceLoader, DictLoader, Environment, FileSystemLoader
from numpy.random import Generator, default_rng

PAGE = Path(__file__).parents[2] / "inflib/page"
TEXTS, NEAR = 256, 100
QUERIES = ["expert", "safety"]
CURVATURES = ["gauss_newton", "datainf"]
LABELERS = ["ana", "ben", "chloe", "dev", "<b>eve</b>", "עדן"]
FLAGS = ["influence significant", "low margin", "others disagree", "length", "judge"]
WORDS = [
    "the",
    "water",
    "boils",
    "at",
    "sea",
    "level",
    "because",
    "heat",
    "moves",
    "air",
]
WORDS += ["thin", "cook", "pasta", "longer", "salt", "little", "mostly", "taste", "a"]
HOSTILE = [
    "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>",
    "</script><script>window.hacked = 1</script> {{ 7 * 7 }} ${7 * 7}",
    "abc \u202e gnp.exe \u2066 \u200b \x1b[31mred\x1b[0m \x00 \ud800 end",
    '=HYPERLINK("http://example.invalid")\n+1 -1 @SUM(A1)\t\'=1',
    "שלום עולם, מה שלומך היום? التفاح أحمر",
    "long " * 20_000,
    "",
]
BLANK = """<h2>{0}</h2>{{% from "chart.html.j2" import chart %}}
{{% for id, each in facts.charts.items() %}}{{{{ chart(id, each) }}}}{{% endfor %}}"""


def write_report(folder: Path, labels: int = 2000) -> None:
    """The whole report folder."""
    generator = default_rng(0)
    comparisons = max(labels * 4 // 5, len(HOSTILE))
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "data").mkdir(parents=True)
    facts = make_facts(generator, labels)
    columns = make_columns(generator, labels, comparisons)
    write(folder, "facts", 0, facts)
    write(folder, "columns", 0, columns)
    for i, scores in enumerate(facts["scores"]):
        payload = columns | {"columns": score_columns(generator, labels, **scores)}
        write(folder, "scores", i, payload)
    for c in range(-(-comparisons // TEXTS)):
        here = range(c * TEXTS, min((c + 1) * TEXTS, comparisons))
        write(folder, "texts", c, packed([texts(generator, row) for row in here]))
    for q in range(len(QUERIES)):
        sets = [texts(generator, row) for row in range(40)]
        write(folder, f"queries-{q}", 0, packed(sets))
    for c in range(-(-len(facts["near"]) // NEAR)):
        worst = [row for row, place in facts["near"].items() if place // NEAR == c]
        near = {row: neighbours(generator, labels) for row in worst}
        write(folder, "near", c, packed(near))
    write_index(folder, facts)


def write_index(folder: Path, facts: dict[str, Any]) -> None:
    """index.html and its assets, in the order of static/order.json."""
    order = json.loads((PAGE / "static/order.json").read_text())
    (folder / "assets").mkdir()
    for name in order["styles"] + order["scripts"]:
        found = [path for path in PAGE.glob(f"*/{name}")]
        shutil.copy(found[0], folder / "assets" / name)
    names = ["overview", "labelers", "query_sets", "studies"]
    blanks = {f"{name}.html.j2": BLANK.format(name.capitalize()) for name in names}
    loader = ChoiceLoader([DictLoader(blanks), FileSystemLoader(PAGE / "templates")])
    page = Environment(loader=loader, autoescape=True).get_template("index.html.j2")
    html = page.render(facts=facts, title=facts["title"], **order, studies=[])
    (folder / "index.html").write_text(html, encoding="utf-8")


def make_facts(generator: Generator, labels: int) -> dict[str, Any]:
    """The payload of facts.js."""
    worst = generator.permutation(labels)[: min(1000, labels)].tolist()
    groups = [
        {
            "name": name, "labels": labels // 6, "harm": 0.01 * (3 - i),
            "harmful": i == 0, "suspicious": i == 0,
            "low": 0.01 * (2 - i), "high": 0.01 * (4 - i),
            "because": "harm above the others" if i == 0 else "",
            "prefers": ["longer answers"] if i == 0 else [],
        }
        for i, name in enumerate(LABELERS)
    ]  # fmt: skip
    statuses = ["trusted", "doubtful"]
    return {
        "format": 1, "run": "runs/demo", "digest": "0123456789abcdef",
        "title": "Audit of runs/demo", "reported": "gauss_newton", "fdr": 0.1,
        "labels": labels, "near": {str(row): i for i, row in enumerate(worst)},
        "queries": [
            {"name": name, "status": status, "reasons": ["it is small"][:i]}
            for i, (name, status) in enumerate(zip(QUERIES, statuses, strict=True))
        ],
        "scores": [{"query": q, "curvature": "datainf"} for q in QUERIES],
        "group_columns": ["labeler"], "groups": {"labeler": groups},
        "charts": make_charts(generator),
    }  # fmt: skip


def make_charts(generator: Generator) -> dict[str, Any]:
    """One chart of each kind."""
    x, middle = np.linspace(0, 1, 11), np.linspace(0, 1, 11) ** 0.5
    lines = [{"label": "influence", "values": middle.tolist()}]
    lines[0] |= {"low": (middle * 0.9).tolist(), "high": (middle * 1.1).tolist()}
    dampings = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
    cloud = generator.normal(size=(2, 200))
    return {
        "roc": chart("lines", "ROC of planted labels", x, lines, diagonal=True),
        "damping": chart("lines", "Reliability", dampings, [
            {"label": "expert", "values": [0.2, 0.5, 0.8, None, 0.6]},
            {"label": "safety", "values": [0.1, 0.3, 0.6, 0.5, 0.4]},
        ], log=True),
        "verify": chart("points", "Predicted and actual", cloud[0], [
            {"label": "change", "values": cloud[1].tolist()}
        ], diagonal=True),
        "harm": chart("bars", "Harm by labeler", LABELERS, [
            {"label": "harm", "values": [3, 2, 1, 0, -1, -2],
             "low": [2, 1, 0, -1, -2, -3], "high": [4, 3, 2, 1, 0, -1]}
        ]),
    }  # fmt: skip


def chart(
    kind: str, title: str, x: Any, series: list[dict[str, Any]], *,
    log: bool = False, diagonal: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """A chart of facts.js."""
    return {
        "kind": kind, "title": title, "summary": f"{title}: a made-up chart",
        "x": {"label": "x", "values": [getattr(v, "item", lambda v=v: v)() for v in x],
              "log": log},
        "y": {"label": "y"}, "series": series, "diagonal": diagonal,
    }  # fmt: skip


def make_columns(generator: Generator, n: int, comparisons: int) -> dict[str, Any]:
    """The payload of columns.js."""
    own = np.sort(generator.integers(0, comparisons, n - comparisons))
    comparison = np.sort(np.concatenate([np.arange(comparisons), own]))
    ids = [f"train-{i}" for i in range(n)]
    margin = generator.normal(1, 2, n)
    columns = [
        text("pair_id", ids, "pair_id", True),
        number("comparison", comparison, "comparison", "u4"),
        number("sign", generator.choice([-1, 1], n), "sign", "i1"),
        category("labeler", LABELERS, generator.integers(0, len(LABELERS), n), True),
        category("source", ["forum", "vendor", None], generator.integers(0, 3, n)),
        text("remark", [HOSTILE[i % 2] if i < 40 else "" for i in range(n)], "own"),
        number("margin", margin, "margin", shown=True),
        number("loss", np.log1p(np.exp(-margin)), "loss"),
        number("length_difference", generator.normal(0, 60, n).astype(int),
               "length_difference", "i4", True),
        category("status", ["ok", "zero_gradient"], (generator.random(n) < 0.01) * 1,
                 role="status"),
        number("target", np.ones(n), "target"),
        number("weight", np.ones(n), "weight"),
    ]  # fmt: skip
    flags = (generator.integers(0, 32, n) & generator.integers(0, 32, n)).astype("u1")
    columns.append(
        column("flags", "flags", "flags", "u1", flags, True)
        | {"flags": [
            {"bit": i, "label": label, "meaning": f"{label}: made up"}
            for i, label in enumerate(FLAGS)
        ]}
    )  # fmt: skip
    for query in QUERIES:
        shown = query == QUERIES[0]
        columns += score_columns(generator, n, query, CURVATURES[0], shown)
    return {
        "rows": n, "comparisons": comparisons, "texts_per_chunk": TEXTS,
        "near_per_chunk": NEAR, "columns": columns,
    }  # fmt: skip


def score_columns(
    generator: Generator, n: int, query: str, curvature: str, shown: bool = False
) -> list[dict[str, Any]]:
    """Influence, its error, flip effect and rank of one curvature and query set."""
    influence = generator.standard_t(3, n) * 1e-3
    influence[:: max(n // 50, 1)] = np.nan
    rank = np.full(n, np.nan)
    rank[np.argsort(-influence)] = np.arange(1, n + 1)
    rank[np.isnan(influence)] = np.nan
    values = {
        "influence": influence, "error": np.abs(influence) / 3 + 1e-4,
        "flip_effect": -2.1 * influence, "rank": rank,
    }  # fmt: skip
    ends = {"query": query, "curvature": curvature}
    return [
        number(f"{role}_{curvature}_{query}", numbers, role,
               shown=shown and role != "error") | ends | {"label": f"{role}, {query}"}
        for role, numbers in values.items()
    ]  # fmt: skip


def column(
    name: str, role: str, kind: str, dtype: str, values: Any, shown: bool
) -> dict[str, Any]:
    """A column of columns.js whose data are a typed array."""
    data = zlib.compress(np.asarray(values).astype(f"<{dtype}").tobytes())
    return {
        "name": name, "label": name.replace("_", " "), "meaning": f"{name}, made up",
        "unit": "1", "role": role, "query": None, "curvature": None, "kind": kind,
        "dtype": dtype, "deflated": True, "data": base64.b64encode(data).decode(),
        "shown": shown,
    }  # fmt: skip


def number(
    name: str, values: Any, role: str, dtype: str = "f4", shown: bool = False
) -> dict[str, Any]:
    return column(name, role, "number", dtype, values, shown)


def category(
    name: str, values: list[Any], codes: Any, shown: bool = False, role: str = "own"
) -> dict[str, Any]:
    return column(name, role, "category", "u1", codes, shown) | {"values": values}


def text(
    name: str, values: list[str], role: str, shown: bool = False
) -> dict[str, Any]:
    each = column(name, role, "text", "u1", [], shown) | {"data": packed(values)}
    del each["dtype"], each["deflated"]
    return each


def texts(generator: Generator, row: int) -> list[str]:
    """Prompt and both responses of a comparison; hostile ones first."""
    if row < len(HOSTILE):
        return [HOSTILE[row], HOSTILE[row] + " yes", "no " + HOSTILE[row]]
    lengths = generator.integers(5, 60, 2)
    prompt, answer = (list(generator.choice(WORDS, length)) for length in lengths)
    other = [word for word in answer if generator.random() < 0.8]
    return [f"{' '.join(prompt)} {row}?", " ".join(answer), " ".join(other)]


def neighbours(generator: Generator, labels: int) -> dict[str, Any]:
    rows = generator.integers(0, labels, 5).tolist()
    return {
        "nearest": [[row, round(0.9 - 0.1 * i, 2)] for i, row in enumerate(rows)],
        "queries": [[0, i, f"expert-{i}", -0.01 / (i + 1), -0.2] for i in range(5)],
    }


def packed(value: Any) -> str:
    """Deflated JSON in base64; lone surrogates become "?"."""
    data = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    return base64.b64encode(zlib.compress(data)).decode()


def write(folder: Path, kind: str, index: int, payload: Any) -> None:
    """One data file: a call of inflibData."""
    text = json.dumps(payload).replace("<", "\\u003c")
    name = f"{kind}-{index}.js" if kind not in ("facts", "columns") else f"{kind}.js"
    (folder / "data" / name).write_text(f'inflibData("{kind}", {index}, {text});\n')


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--labels", type=int, default=2000)
    arguments = parser.parse_args()
    write_report(arguments.folder, arguments.labels)
