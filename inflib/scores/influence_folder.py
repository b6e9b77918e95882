"""influence/ of a run, or what_if/<name>/: the scores of all training labels, as files.

    done.json          `ScoreRecord`: digest of the inputs, how the scores came about
    influence.parquet  one row per label in plan order, see data.output_columns
    partials/          scores of each task's shards, until they are assembled

No other module reads or writes files in these folders.
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
from inflib.data.output_columns import INFLUENCE, PAIR_ID, PARTS, RANK, STATUS
from inflib.data.pairs_folder import PairsFolder
from inflib.numerics.ranking import ranks
from inflib.scores.score_record import ScoreRecord, read_record
from inflib.sketches import store
from inflib.storage.folder import Folder

_SCORES = "influence.parquet"
_METHOD = 3
"""Raised when the same inputs give other scores, errors or columns than before, so that
those of an earlier version are computed again."""


class InfluenceFolder:
    """Scores of a run; each file is read once, when it is first needed."""

    def __init__(self, folder: Folder) -> None:
        self.folder, self.partials = folder, folder / "partials"

    @staticmethod
    def of(run: Folder) -> "InfluenceFolder":
        """influence/ of a run."""
        return InfluenceFolder(run / "influence")

    @staticmethod
    def current(recipe: Recipe) -> "InfluenceFolder":
        """influence/ of a run, whose scores are those of its labels, sketches and
        settings. Raises ValueError saying to run `inflib score` if they are not."""
        run = Folder(recipe.run)
        scores = InfluenceFolder.of(run)
        url = scores.folder.url
        if not scores.is_complete:
            raise ValueError(f"{url} is not complete: run `inflib score` first")
        if not scores.is_of(recipe):
            raise ValueError(
                f"{url} is of other labels, sketches or settings: rerun `inflib score`"
            )
        return scores

    def is_of(self, recipe: Recipe) -> bool:
        """Whether the scores are written, and of the run's labels, sketches and
        settings."""
        run = Folder(recipe.run)
        return self.is_complete and self.record.inputs == score_inputs(run, recipe)

    @property
    def is_complete(self) -> bool:
        """Whether the scores are written, record and table."""
        return self.folder.exists("done.json") and self.folder.exists(_SCORES)

    @cached_property
    def record(self) -> ScoreRecord:
        """done.json."""
        return read_record(self.folder)

    def stage_facts(self) -> dict[str, Any]:
        """done.json but for how the scores came about: seconds, bytes, digests, ..."""
        done = self.folder.read_json("done.json")
        left_out = ("curvatures", "query_groups")
        return {name: fact for name, fact in done.items() if name not in left_out}

    @cached_property
    def table(self) -> pa.Table:
        """influence.parquet: one row per label, in plan order. Raises ValueError where
        it is not the file that `score` wrote."""
        data = self.folder.read_bytes(_SCORES)
        digest = hashlib.sha256(data).hexdigest()
        if self.folder.exists("done.json") and digest != self.record.sha256:
            raise ValueError(
                f"{self.folder.url}/{_SCORES} was changed or truncated: delete "
                f"{self.folder.url}/done.json and rerun `inflib score`"
            )
        return pq.read_table(pa.BufferReader(data))

    def counted(self) -> tuple[pa.Table, np.ndarray]:
        """(rows of the labels that count, whether each label of the run counts)."""
        return self.table.filter(pa.array(self.counts)), self.counts

    @cached_property
    def counts(self) -> np.ndarray:
        """[n] whether each label counts: its gradient is finite and not zero."""
        return pc.equal(self.table[STATUS.name], store.OK).to_numpy()

    def mean_parts(self, score: str) -> np.ndarray:
        """[g] mean influence of all labels that count, as shares of the query groups;
        score: gauss_newton_expert, for example."""
        column = (
            self.table[PARTS.of(score)].filter(pa.array(self.counts)).combine_chunks()
        )
        parts = column.flatten().to_numpy().reshape(-1, column.type.list_size)
        return parts.sum(0, dtype=np.float64) / self.record.finite

    def edited(self, edits: Edits) -> pa.Table:
        """Rows of the labels that are edited, in the order of the edits. Raises
        ValueError naming the first label that the run does not have."""
        if unknown := [pair_id for pair_id in edits if pair_id not in self._row_of]:
            raise ValueError(
                f"{len(unknown)} labels are not in {self.folder.url}, the first: "
                f"{unknown[0]!r}"
            )
        return self.table.take([self._row_of[pair_id] for pair_id in edits])

    @cached_property
    def _row_of(self) -> dict[str, int]:
        """{pair_id: row of the label}."""
        ids = self.table[PAIR_ID.name].to_pylist()
        return {pair_id: row for row, pair_id in enumerate(ids)}

    def shares(self, query: str) -> np.ndarray:
        """Share of a query set's labels in each of its query groups, in their order."""
        return np.array(self.record.query_groups[query])

    def damping(self, kind: Curvature, query: str) -> float | None:
        """Damping that a query set was scored with, relative to the trace of H; None
        for curvatures without a sweep of dampings."""
        choices = self.record.curvatures[kind].queries
        return choices[query].damping if choices else None

    def assemble(self, files: list[str], names: list[str]) -> tuple[int, str]:
        """Write influence.parquet from partials/<files>, a Parquet row group each.

        Adds a rank for each score that is named: 1 for the most harmful label, null
        where there is no score. Returns the number of labels and the SHA-256 of
        influence.parquet.
        """
        columns = [INFLUENCE.of(name) for name in names]
        tables = (self.partials.read_table(file, columns) for file in files)
        scores = [
            [column.to_numpy(zero_copy_only=False) for column in table]
            for table in tables
        ]
        all_ranks = [
            ranks(np.concatenate([of_file[i] for of_file in scores]))
            for i in range(len(names))
        ]
        buffer, start, writer = io.BytesIO(), 0, None
        for file in files:
            table = self.partials.read_table(file)
            rows = slice(start, start + len(table))
            for name, of_score in zip(names, all_ranks, strict=True):
                rank = pa.array(of_score[rows], mask=of_score[rows] == 0)
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
        """One line for each thing that is wrong with a complete folder.

        inputs: digest that the scores should be of; num_labels: rows that there should
        be.
        """
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
    """Digest of all that a run's scores depend on: labels, sketches, score settings."""
    total = hashlib.sha256(run.read_bytes("sketches/manifest.json"))
    for pairs in recipe.prepare.sources:
        total.update(run.read_bytes(f"pairs/{pairs}/plan.json"))
        plan = PairsFolder(run / "pairs" / pairs).plan()
        for digest in store.record_digests(run / "sketches" / pairs, plan):
            total.update(digest)
    settings = recipe.score.model_dump(mode="json")
    return digest_of(store=total.hexdigest(), score=settings, method=_METHOD)


def digest_of(**facts: Any) -> str:
    """16 hex digits of the SHA-256 of these facts, as JSON with sorted keys."""
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def truth_column(table: pa.Table, name: str | None, option: str) -> np.ndarray:
    """[n] whether each label is known to be wrong, by a boolean column of the data.

    null means that it is not wrong. Raises ValueError naming the option that names the
    column, when there is no such boolean column.
    """
    if name not in table.column_names or not pa.types.is_boolean(table[name].type):
        raise ValueError(
            f"{option} {name!r} is not a boolean column of the data; it has "
            f"{table.column_names}"
        )
    return table[name].fill_null(False).to_numpy()
