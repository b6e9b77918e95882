"""Scored shards to influence.parquet: one row per label, with ranks, in plan order."""

import hashlib
import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from inflib.config.recipe import Recipe
from inflib.data.label_edits import Edits
from inflib.data.pairs_folder import PairsFolder
from inflib.numerics.ranking import ranks
from inflib.sketches import store
from inflib.sketches.store import OK
from inflib.storage.folder import Folder


def assemble(influence: Folder, parts: list[str], names: list[str]) -> tuple[int, str]:
    """Write influence.parquet from partials/<parts>, a row group each, in their order.

    Adds rank_<name> after the columns of each name: 1 for the most harmful label, null
    where there is no score. Returns the number of labels and the file's SHA-256.
    """
    partials = influence / "partials"
    columns = [f"influence_{name}" for name in names]
    scores = [
        [c.to_numpy(zero_copy_only=False) for c in partials.read_table(part, columns)]
        for part in parts
    ]
    places = [
        ranks(np.concatenate([shard[i] for shard in scores])) for i in range(len(names))
    ]
    buffer, start, writer = io.BytesIO(), 0, None
    for part in parts:
        table = partials.read_table(part)
        rows = slice(start, start + len(table))
        for name, place in zip(names, places, strict=True):
            rank = pa.array(place[rows], mask=place[rows] == 0)
            table = table.append_column(f"rank_{name}", rank)
        if writer is None:
            writer = pq.ParquetWriter(buffer, table.schema, compression="zstd")
        writer.write_table(table)
        start += len(table)
    assert writer is not None
    writer.close()
    data = buffer.getvalue()
    influence.write("influence.parquet", data)
    return start, hashlib.sha256(data).hexdigest()


def score_inputs(run: Folder, recipe: Recipe) -> str:
    """Digest of all that scores depend on: labels, sketches, settings."""
    return digest_of(
        store=_store_digest(run, recipe), score=recipe.score.model_dump(mode="json")
    )


def current_scores(run: Folder, recipe: Recipe) -> str:
    """`score_inputs`, after checking that influence/ is of them.

    Raises ValueError saying to score (again).
    """
    inputs, done = score_inputs(run, recipe), run / "influence" / "done.json"
    if not run.exists("influence/done.json"):
        raise ValueError(f"{done.url} is missing: run ray_jobs.score first")
    if run.read_json("influence/done.json")["inputs"] != inputs:
        raise ValueError(
            f"{done.url} is of other labels, sketches or settings: rerun ray_jobs.score"
        )
    return inputs


def _store_digest(run: Folder, recipe: Recipe) -> str:
    total = hashlib.sha256(run.read_bytes("sketches/manifest.json"))
    for pairs in recipe.prepare.sources:
        total.update(run.read_bytes(f"pairs/{pairs}/plan.json"))
        shards = [shard.name for shard in PairsFolder(run / "pairs" / pairs).plan()]
        for _, record in store.read_records(run / "sketches" / pairs, shards):
            total.update(json.dumps(record, sort_keys=True).encode())
    return total.hexdigest()


def digest_of(**facts: Any) -> str:
    """Short digest that names a partial file after what it depends on."""
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Scored:
    """The scores of a run, read once for any number of predictions."""

    def __init__(self, run: Folder) -> None:
        self.url = run.url
        self.table = (run / "influence").read_table("influence.parquet")
        self.record = (run / "influence").read_json("done.json")
        ids = self.table["pair_id"].to_pylist()
        self._places = {pair_id: i for i, pair_id in enumerate(ids)}

    def of(self, edits: Edits) -> pa.Table:
        """Raises ValueError naming labels that the run does not have."""
        if unknown := [pair_id for pair_id in edits if pair_id not in self._places]:
            raise ValueError(
                f"{len(unknown)} labels are not in {self.url}, the first: "
                f"{unknown[0]!r}"
            )
        return self.table.take([self._places[pair_id] for pair_id in edits])


def counted_labels(recipe: Recipe) -> tuple[pa.Table, np.ndarray]:
    """(scores of the labels that count, whether each label of the run counts)."""
    table = (Folder(recipe.run) / "influence").read_table("influence.parquet")
    counts = pc.equal(table["status"], OK).combine_chunks()
    return table.filter(counts), counts.to_numpy(zero_copy_only=False)


def truth_column(table: pa.Table, name: str | None, option: str) -> np.ndarray:
    """Whether each label is known to be wrong; null: it is not. Raises ValueError
    naming the option when there is no such boolean column."""
    if name not in table.column_names or not pa.types.is_boolean(table[name].type):
        raise ValueError(
            f"{option} {name!r} is not a boolean column of the data; it has "
            f"{table.column_names}"
        )
    return table[name].fill_null(False).to_numpy()
