"""A run of made-up labels with texts, labelers and sketches, whose report is timed."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from inflib.benchmarks.fake_store import Generated, write_manifest, write_set
from inflib.benchmarks.finished_store import finish
from inflib.benchmarks.scoring_store import one_layer, shard_sizes, sketch_generator
from inflib.config.recipe import Recipe
from inflib.storage.folder import Folder

QUERIES = ("expert", "concise")
_QUERY_LABELS, _WORDS = 300, 5000
_PROMPT, _RESPONSE = 100, 80
"""Words of a prompt and of a response, about those of HH."""


def write_report_run(run: str, num_labels: int, sketch_size: int) -> Recipe:
    """Write pairs, sketches and scores of so many labels; returns the run's recipe."""
    folder = Folder(run)
    recipe = Recipe.model_validate(
        {
            "run": run,
            "prepare": {
                "train": {"path": "generated"},
                "queries": {query: {"path": "generated"} for query in QUERIES},
            },
            "model": {"base": "generated", "adapter": "generated"},
            "sketch": {"sketch_size": sketch_size},
            # One pass each: the report is timed, not the scores.
            "score": {"curvatures": ["datainf", "identity"]},
        }
    )
    generate, rng = sketch_generator(sketch_size), np.random.default_rng(0)
    words = _vocabulary(rng)
    write_manifest(folder, one_layer(sketch_size))
    sizes = shard_sizes(num_labels)
    shards = (_with_texts(generate(size), words, rng) for size in sizes)
    write_set(folder, "train", shards, "int8")
    for query in QUERIES:
        shard = _with_texts(generate(_QUERY_LABELS), words, rng)
        write_set(folder, query, [dataclasses.replace(shard, kept={})], "int8")
    finish(recipe)
    return recipe


def _vocabulary(rng: np.random.Generator) -> np.ndarray:
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    lengths = rng.integers(2, 10, _WORDS)
    return np.array(["".join(rng.choice(letters, n)) for n in lengths], object)


def _with_texts(
    shard: Generated, words: np.ndarray, rng: np.random.Generator
) -> Generated:
    """The shard with texts, 200 labelers and 20 sources."""
    n = len(shard.margins)

    def texts(length: int) -> Iterator[str]:
        for row in words[rng.integers(0, len(words), (n, length))]:
            yield " ".join(row)

    return dataclasses.replace(
        shard,
        signs=rng.choice([1, 1, 1, -1], n).tolist(),
        texts=list(
            zip(texts(_PROMPT), texts(_RESPONSE), texts(_RESPONSE), strict=True)
        ),
        lengths=rng.integers(-300, 300, n).tolist(),
        kept={
            "labeler": [f"worker {i}" for i in rng.integers(0, 200, n)],
            "source": [f"batch {i}" for i in rng.integers(0, 20, n)],
        },
    )
