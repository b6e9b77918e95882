"""A run that is scored, made of generated sketches in a second, without a model: one
with texts, labelers and columns that a page must show as they are."""

from typing import Any

import torch

from inflib.audited_run import AuditedRun
from inflib.benchmarks.fake_store import Generated, write_manifest, write_set
from inflib.benchmarks.finished_store import finish
from inflib.config.recipe import Recipe
from inflib.numerics.layer_bins import Layer
from inflib.report.summary import summarize
from inflib.storage.folder import Folder

K = 64
LAYERS = [Layer("l.0", 42, 0, 40), Layer("head", 24, 40, K)]
SIZES = (150, 90, 60)
"""Comparisons of each training shard, every third one with two labels."""

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }} {% raw %} ${x} #{y}",
    "line\u2028separator\u2029 and \x00\x07\x1b[2J",
    "\u202egnp.exe\u202c \u2066isolated",
    '=HYPERLINK("http://x")',
    "שלום, مرحبا, 你好, 😀",
    "long " + "x" * 100_000,
    "",
    "'\"`\\ &amp; <!-- ]]>",
]
QUERIES = ("expert", "concise")


def generated(seed, num, directions):
    """Comparisons with hostile texts and labelers; with seed 0, the fifth has no finite
    margin."""
    generator = torch.Generator().manual_seed(seed)
    mixture = torch.randn(num, len(directions), generator=generator)
    mixture += 0 if seed < len(SIZES) else 3  # the query labels pull one way
    noise = torch.randn(num, K, generator=generator)
    sketches = noise + mixture @ directions
    squares = [sketches[:, y.bins].double().square().sum(1) for y in LAYERS]
    sq_norms = torch.stack(squares, dim=1)
    margins = 1 + torch.randn(num, generator=generator)
    if seed == 0:
        sq_norms[4] = margins[4] = torch.nan
    rows = sorted([*range(num), *range(0, num, 3)])
    signs = [1 if (5 * i + row) % 4 else -1 for i, row in enumerate(rows)]
    hostile = [f"{i} {HOSTILE[i % len(HOSTILE)]}" for i in range(num + 2)]
    texts = [*zip(hostile, hostile[1:], hostile[2:], strict=False)]
    n = len(rows)
    kept: dict[str, list[Any]] = {
        "labeler": [[*HOSTILE[:7], None][i % 8] for i in range(n)],
        "batch": [None if i % 7 == 0 else i % 5 for i in range(n)],
        "hours": [None if i % 9 == 0 else i / 3 for i in range(n)],
        "ticket": [2**60 + 1 + i for i in range(n)],
        "wrong": [[True, False, None][i % 3] for i in range(n)],
        "note": [f"{i} {HOSTILE[i % 7]}" for i in range(n)],
        "essay": ["word " * 100] * n,
    }
    return Generated(
        sketches,
        margins,
        sq_norms,
        signs,
        rows,
        kept if seed < len(SIZES) else {},
        texts=texts,
        lengths=[(7 * i) % 83 - 41 for i in range(n)],
    )


def write_scored(folder, changes=None):
    """AuditedRun of a new run in the folder, with its summary. changes: sections of its
    recipe."""
    run = Folder(str(folder))
    directions = torch.randn(5, K, generator=torch.Generator().manual_seed(99))
    write_manifest(run, LAYERS)
    train = [generated(seed, n, directions) for seed, n in enumerate(SIZES)]
    write_set(run, "train", train)
    for number, query in enumerate(QUERIES):
        shards = [generated(10 * (number + 1) + i, 45, directions) for i in range(2)]
        write_set(run, query, shards)
    recipe = Recipe.model_validate(
        {
            "run": str(folder),
            "prepare": {
                "train": {"path": "train.jsonl"},
                "queries": {query: {"path": "query.jsonl"} for query in QUERIES},
            },
            "model": {"base": "none", "adapter": "none"},
            "sketch": {"sketch_size": K},
            "score": {"damping": [0.1, 1.0], "reliability": -1.0},
            "report": {"truth": "wrong", "min_labels": 5, "fdr": 0.1},
            **(changes or {}),
        }
    )
    finish(recipe)
    return AuditedRun(recipe, summarize(recipe))
