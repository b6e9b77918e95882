"""influence/ of a run, or what_if/<name>/: the scores of all training labels.

    done.json          `ScoreRecord`: of which inputs, and how the scores came about
    influence.parquet  one row per label in plan order, see data.output_columns
    partials/          scores by group of shards, until they are assembled

Nothing else reads or writes the insides of these folders.
"""

import hashlib
import io
import json
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from inflib.config.recipe import Recipe
from inflib.config.score import Curvature
from inflib.data.label_edits import Edits
from inflib.data.output_columns import INFLUENCE, PAIR_ID, RANK, STATUS
from inflib.data.pairs_folder import PairsFolder
from inflib.numerics.ranking import ranks
from inflib.scores.score_record import ScoreRecord
from inflib.sketches import store
from inflib.storage.folder import Folder

_SCORES = "influence.parquet"


class InfluenceFolder:
    """Scores of a run; read once, when first asked for."""

    def __init__(self, folder: Folder) -> None:
        self.folder, self.partials = folder, folder / "partials"

    @staticmethod
    def of(run: Folder) -> "InfluenceFolder":
        return InfluenceFolder(run / "influence")

    @staticmethod
    def current(recipe: Recipe) -> "InfluenceFolder":
        """The run's scores, after checking that they are of its labels, sketches and
        settings. Raises ValueError saying to score (again)."""
        run = Folder(recipe.run)
        scores = InfluenceFolder.of(run)
        done = f"{scores.folder.url}/done.json"
        if not scores.is_complete:
            raise ValueError(f"{done} is missing: run `inflib score` first")
        if scores.record.inputs != score_inputs(run, recipe):
            raise ValueError(
                f"{done} is of other labels, sketches or settings: rerun `inflib score`"
            )
        return scores

    @property
    def is_complete(self) -> bool:
        return self.folder.exists("done.json") and self.folder.exists(_SCORES)

    @cached_property
    def record(self) -> ScoreRecord:
        return ScoreRecord.model_validate(self.folder.read_json("done.json"))

    @cached_property
    def table(self) -> pa.Table:
        """All labels, in plan order."""
        return self.folder.read_table(_SCORES)

    def counted(self) -> tuple[pa.Table, np.ndarray]:
        """(the labels that count, whether each label of the run counts)."""
        counts = pc.equal(self.table[STATUS.name], store.OK).combine_chunks()
        return self.table.filter(counts), counts.to_numpy(zero_copy_only=False)

    def edited(self, edits: Edits) -> pa.Table:
        """The labels that edits name, in their order. Raises ValueError naming labels
        that the run does not have."""
        if unknown := [pair_id for pair_id in edits if pair_id not in self._places]:
            raise ValueError(
                f"{len(unknown)} labels are not in {self.folder.url}, the first: "
                f"{unknown[0]!r}"
            )
        return self.table.take([self._places[pair_id] for pair_id in edits])

    @cached_property
    def _places(self) -> dict[str, int]:
        ids = self.table[PAIR_ID.name].to_pylist()
        return {pair_id: place for place, pair_id in enumerate(ids)}

    def shares(self, query: str) -> np.ndarray:
        """Share of a query set's labels in each of its query groups."""
        return np.array(self.record.query_groups[query])

    def damping(self, kind: Curvature, query: str) -> float | None:
        """What a query set was scored with; None where nothing was to be chosen."""
        chosen = self.record.curvatures[kind].queries
        return chosen[query].damping if chosen else None

    def assemble(self, parts: list[str], names: list[str]) -> tuple[int, str]:
        """Write influence.parquet from partials/<parts>, a row group each.

        Adds a rank for each name: 1 for the most harmful label, null where there is no
        score. Returns the number of labels and the file's SHA-256.
        """
        columns = [INFLUENCE.of(name) for name in names]
        tables = (self.partials.read_table(part, columns) for part in parts)
        scores = [
            [column.to_numpy(zero_copy_only=False) for column in table]
            for table in tables
        ]
        places = [
            ranks(np.concatenate([part[i] for part in scores]))
            for i in range(len(names))
        ]
        buffer, start, writer = io.BytesIO(), 0, None
        for part in parts:
            table = self.partials.read_table(part)
            rows = slice(start, start + len(table))
            for name, place in zip(names, places, strict=True):
                rank = pa.array(place[rows], mask=place[rows] == 0)
                table = table.append_column(RANK.of(name), rank)
            if writer is None:
                writer = pq.ParquetWriter(buffer, table.schema, compression="zstd")
            writer.write_table(table)
            start += len(table)
        assert writer is not None
        writer.close()
        data = buffer.getvalue()
        self.folder.write(_SCORES, data)
        return start, hashlib.sha256(data).hexdigest()

    def problems(self, inputs: str, num_labels: int) -> Iterator[str]:
        """What is wrong with a complete folder, one line each."""
        if self.record.inputs != inputs:
            yield "influence/: computed from other labels, sketches or settings"
        data = self.folder.read_bytes(_SCORES)
        if hashlib.sha256(data).hexdigest() != self.record.sha256:
            yield f"influence/{_SCORES}: changed or truncated (sha256)"
        elif self.record.pairs != num_labels:
            yield f"influence/{_SCORES}: {self.record.pairs} rows, not one per label"
        for name in sorted(self.partials.names()):
            yield f"influence/partials/{name}: left over"


def score_inputs(run: Folder, recipe: Recipe) -> str:
    """Digest of all that scores depend on: labels, sketches, settings."""
    total = hashlib.sha256(run.read_bytes("sketches/manifest.json"))
    for pairs in recipe.prepare.sources:
        total.update(run.read_bytes(f"pairs/{pairs}/plan.json"))
        shards = [shard.name for shard in PairsFolder(run / "pairs" / pairs).plan()]
        for _, record in store.read_records(run / "sketches" / pairs, shards):
            total.update(json.dumps(record, sort_keys=True).encode())
    settings = recipe.score.model_dump(mode="json")
    return digest_of(store=total.hexdigest(), score=settings)


def digest_of(**facts: Any) -> str:
    """Short digest of all that something depends on."""
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def truth_column(table: pa.Table, name: str | None, option: str) -> np.ndarray:
    """Whether each label is known to be wrong; null: it is not. Raises ValueError
    naming the option when there is no such boolean column."""
    if name not in table.column_names or not pa.types.is_boolean(table[name].type):
        raise ValueError(
            f"{option} {name!r} is not a boolean column of the data; it has "
            f"{table.column_names}"
        )
    return table[name].fill_null(False).to_numpy()
