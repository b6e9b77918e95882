"""A run whose audit is complete, to read: labels, scores, verdicts, texts.

    run = inflib.open_run("runs/demo")
    run.verdicts                     can it be acted on, by query set
    run.labels                       a row for each label, see data.output_columns
    run.surely_harmful("expert")     which of them surely harm a query set

The report's page and `inflib export` read a run through this alone. Nothing is computed
here but which labels are selected, and nothing is written.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from inflib.config.recipe import Recipe
from inflib.config.run_config import stored_recipe
from inflib.data.decisions import Decisions, read_decisions
from inflib.data.output_columns import INFLUENCE, PAIR_ID
from inflib.data.pairs_folder import PairsFolder
from inflib.scores.discoveries import differing_labels
from inflib.scores.influence_folder import InfluenceFolder
from inflib.storage.folder import Folder


class AuditedRun:
    """The results of an audit; each file is read once, when it is first needed."""

    def __init__(self, recipe: Recipe) -> None:
        """Raises ValueError for scores that are missing or not of the run's labels,
        sketches or settings."""
        self.recipe, self.folder = recipe, Folder(recipe.run)
        self._influence = InfluenceFolder.current(recipe)

    @property
    def digest(self) -> str:
        """16 hex digits that stand for labels, sketches and score settings."""
        return self._influence.record.inputs

    @property
    def labels(self) -> pa.Table:
        """influence.parquet: a row for each training label, in plan order."""
        return self._influence.table

    @cached_property
    def summary(self) -> dict[str, Any]:
        """report/summary.json. Raises ValueError where it is missing or older than the
        scores."""
        report = self.folder / "report"
        done = report.read_json("done.json") if report.exists("done.json") else {}
        if done.get("scores") != self.digest:
            raise ValueError(f"{report.url} is not current: run `inflib report` first")
        return report.read_json("summary.json")

    @property
    def queries(self) -> list[str]:
        """Names of the query sets."""
        return list(self.recipe.prepare.queries)

    @property
    def verdicts(self) -> dict[str, dict[str, Any]]:
        """{query set: {status: trusted, doubtful or not usable, reasons}}."""
        return {k: facts["verdict"] for k, facts in self.summary["queries"].items()}

    def score(self, query: str, curvature: str | None = None) -> str:
        """Name of a score in the columns; by default of the reported curvature."""
        return f"{curvature or self.recipe.score.reported}_{query}"

    def surely_harmful(self, query: str) -> np.ndarray | None:
        """[n] which labels raise a query set's loss, at the false discovery rate
        report.fdr. None where that cannot be estimated."""
        differ = differing_labels(self.recipe, self._influence, query)
        scores = self.labels[INFLUENCE.of(self.score(query))]
        harmful = scores.to_numpy(zero_copy_only=False) > 0
        return None if differ is None else differ & harmful

    def comparisons(self, pairs: str = "train") -> Iterator[pa.Table]:
        """Comparisons of a pair set, shard by shard in plan order, with their texts:
        comparison_id, prompt, response_a, response_b."""
        folder = PairsFolder(self.folder / "pairs" / pairs)
        columns = ["comparison_id", "prompt", "response_a", "response_b"]
        for shard in folder.plan():
            yield folder.comparisons(shard, columns)

    def shards(self) -> Iterator[tuple[pa.Table, pa.Table]]:
        """(rows of `labels`, comparisons with texts) of each shard, in plan order.

        Comparisons have a column `messages` too, but in runs that were prepared before
        it was kept.
        """
        folder, start = PairsFolder(self.folder / "pairs" / "train"), 0
        columns = ["comparison_id", "prompt", "response_a", "response_b", "messages"]
        for shard in folder.plan():
            labels = self.labels.slice(start, shard.num_labels)
            yield labels, folder.comparisons(shard, columns)
            start += shard.num_labels

    def decisions(self, path: str) -> Decisions:
        """The decisions in a file, all of them on labels of this run.

        Raises ValueError naming a label that the run does not have, or whose labeler is
        another one than the file says.
        """
        decisions = read_decisions(path)
        rows = self._influence.edited({k: d.edit for k, d in decisions.items()})
        if "labeler" in rows.column_names:
            for decision, row in zip(decisions.values(), rows.to_pylist(), strict=True):
                if decision.labeler not in ("", str(row["labeler"] or "")):
                    raise ValueError(
                        f"{path}: {decision.pair_id!r} is a label of "
                        f"{row['labeler']!r} here, of {decision.labeler!r} in the "
                        "file: is it of another run?"
                    )
        return decisions

    def row_of(self) -> dict[str, int]:
        """{pair_id: row of the label in `labels`}."""
        ids = self.labels[PAIR_ID.name].to_pylist()
        return {pair_id: row for row, pair_id in enumerate(ids)}


def open_run(path: str) -> AuditedRun:
    """The audited run in a folder, local or s3://, by the recipe that is stored there.

    Raises ValueError where the folder holds no complete audit.
    """
    return AuditedRun(stored_recipe(Folder(path)))
