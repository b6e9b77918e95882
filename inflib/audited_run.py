"""A run whose audit is complete, to read: labels, scores, verdicts, texts.

    run = inflib.open_run("runs/demo")
    run.verdicts                     can it be acted on, by query set
    run.labels                       a row for each label, see data.output_columns
    run.surely_harmful("expert")     which of them surely harm a query set

The report's page and `inflib export` read a run through this alone. Nothing is written.
"""

import hashlib
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import t

from inflib.config.recipe import Recipe
from inflib.config.run_config import stored_recipe
from inflib.data.decisions import Decisions, read_decisions
from inflib.data.judge_results import judge_results
from inflib.data.label_edits import Edits
from inflib.data.output_columns import INFLUENCE, PAIR_ID
from inflib.data.pairs_folder import PairsFolder
from inflib.numerics.uncertainty import query_freedom
from inflib.scores.discoveries import differing_labels
from inflib.scores.executor import Executor
from inflib.scores.fair_margins import fair_margins
from inflib.scores.influence_folder import InfluenceFolder
from inflib.scores.neighbours import Harm, Nearest
from inflib.scores.passes import Passes
from inflib.scores.sketch_set import SketchSet
from inflib.scores.what_if import predict
from inflib.sketches.manifest import read_layers
from inflib.storage.folder import Folder

_TEXTS = ["comparison_id", "prompt", "response_a", "response_b"]
_STUDIES = {
    "verify": ("verify", ("verify.json",)),
    "decisions": ("verify/decisions", ("verify.json",)),
    "bias": ("bias", ("about.json", "metrics.json")),
    "oversight": ("oversight", ("metrics.json",)),
}
"""{study: (its folder, files of its results)}."""


class AuditedRun:
    """The results of an audit; each file is read once, when it is first needed."""

    def __init__(self, recipe: Recipe, summary: dict[str, Any] | None = None) -> None:
        """summary: that of the report, before it is written. Raises ValueError for
        scores that are missing or not of the run's labels, sketches or settings."""
        self.recipe, self.folder = recipe, Folder(recipe.run)
        self.influence = InfluenceFolder.current(recipe)
        if summary is not None:
            self.summary = summary

    @property
    def digest(self) -> str:
        """16 hex digits that stand for labels, sketches and score settings."""
        return self.influence.record.inputs

    @property
    def scores_sha256(self) -> str:
        """SHA-256 of influence.parquet."""
        return self.influence.record.sha256

    @property
    def adapter_sha256(self) -> str | None:
        """Digest of the adapter whose gradients were sketched."""
        return (
            (self.folder / "sketches").read_json("manifest.json").get("adapter_sha256")
        )

    @property
    def labels(self) -> pa.Table:
        """influence.parquet: a row for each training label, in plan order."""
        return self.influence.table

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
        differ = differing_labels(self.recipe, self.influence, query)
        scores = self.labels[INFLUENCE.of(self.score(query))]
        harmful = scores.to_numpy(zero_copy_only=False) > 0
        return None if differ is None else differ & harmful

    @cached_property
    def counted(self) -> np.ndarray:
        """[n] whether each label counts: its gradient is finite and not zero."""
        return self.influence.counts

    @cached_property
    def fair_margins(self) -> np.ndarray | None:
        """[n] margin of each label by a model that saw no label on its prompt
        (`inflib crossfit`), NaN for labels without a weight; None where the run has no
        such margins of its labels."""
        fair, _ = fair_margins(self.recipe)
        return None if fair is None else fair.of(self.labels[PAIR_ID.name].to_pylist())

    @cached_property
    def comparison_numbers(self) -> np.ndarray:
        """[n] number of each label's comparison, as `comparisons` yields them."""
        folder, numbers, start = PairsFolder(self.folder / "pairs" / "train"), [], 0
        for shard in folder.plan():
            numbers.append(folder.labels(shard, ["row"])["row"].to_numpy() + start)
            start += shard.num_comparisons
        return np.concatenate(numbers)

    @cached_property
    def num_comparisons(self) -> int:
        """Comparisons of the training set."""
        plan = PairsFolder(self.folder / "pairs" / "train").plan()
        return sum(shard.num_comparisons for shard in plan)

    def errors_in_95(self, query: str) -> float | None:
        """Standard errors in half a 95% interval of a score, by Student's t; None where
        errors over draws of the query set are not known."""
        freedom = query_freedom(self.influence.shares(query))
        return float(t.ppf(0.975, freedom)) if freedom else None

    def predicted(self, edits: Edits) -> list[dict[str, Any]]:
        """What edits of labels would do to every query set: see scores.what_if."""
        return predict(self.recipe, self.influence, edits)

    def query_labels(self, query: str) -> Iterator[pa.Table]:
        """Labels of a query set, shard by shard in plan order: pair_id, margin of the
        chosen response, prompt, chosen, rejected."""
        sketches = SketchSet(self.folder, query)
        texts = self.comparisons(query)
        for shard, comparisons in zip(sketches.plan(), texts, strict=True):
            labels, ids = sketches.labels(shard), sketches.table(shard, ["pair_id"])
            chose_a = (labels.signs > 0).tolist()
            rows = comparisons.take(labels.rows.numpy())
            pairs = list(
                zip(
                    rows["response_a"].to_pylist(),
                    rows["response_b"].to_pylist(),
                    strict=True,
                )
            )
            turned = [
                (a, b) if first else (b, a)
                for (a, b), first in zip(pairs, chose_a, strict=True)
            ]
            yield pa.table(
                {
                    "pair_id": ids["pair_id"],
                    "margin": (labels.signs * labels.margins).numpy(),
                    "prompt": rows["prompt"],
                    "chosen": pa.array([a for a, _ in turned], pa.string()),
                    "rejected": pa.array([b for _, b in turned], pa.string()),
                }
            )

    @cached_property
    def judges(self) -> dict[str, dict[str, int]]:
        """What judges say of comparisons: see data.judge_results."""
        return judge_results(self.folder)

    @cached_property
    def studies(self) -> dict[str, dict[str, Any]]:
        """{verify, decisions, bias or oversight: its results}, of those that are
        through; decisions: retraining with them."""
        found = {}
        for name, (place, files) in _STUDIES.items():
            folder = self.folder / place
            if {"done.json", *files} <= folder.names():
                contents = folder.read_jsons(files)
                keys = (file.removesuffix(".json") for file in files)
                found[name] = dict(zip(keys, contents, strict=True))
        return found

    def neighbours(
        self, rows: np.ndarray, top: int, executor: Executor | None = None
    ) -> tuple[Nearest, dict[str, Harm]]:
        """(nearest training labels, {query set: what they do to its labels}) of the
        labels in these ascending rows: see scores.neighbours."""
        score = self.recipe.score
        passes = Passes(self.folder, score.shards_per_task, executor=executor)
        targets = passes.gradients(rows)
        harms = {
            query: passes.harm_of(targets, query, score.query_loss)
            for query in self.queries
        }
        return passes.nearest(targets, read_layers(self.folder), top), harms

    def comparisons(self, pairs: str = "train") -> Iterator[pa.Table]:
        """Comparisons of a pair set, shard by shard in plan order, with their texts:
        comparison_id, prompt, response_a, response_b."""
        folder = PairsFolder(self.folder / "pairs" / pairs)
        for shard in folder.plan():
            yield folder.comparisons(shard, _TEXTS)

    def shards(self) -> Iterator[tuple[pa.Table, pa.Table]]:
        """(rows of `labels`, comparisons with texts) of each shard, in plan order.

        Comparisons have a column `messages` too, but in runs that were prepared before
        it was kept.
        """
        folder, start = PairsFolder(self.folder / "pairs" / "train"), 0
        for shard in folder.plan():
            labels = self.labels.slice(start, shard.num_labels)
            yield labels, folder.comparisons(shard, [*_TEXTS, "messages"])
            start += shard.num_labels

    def decisions(self, path: str) -> Decisions:
        """The decisions in a file, all of them on labels of this run.

        Raises ValueError naming a label that the run does not have, or whose labeler is
        another one than the file says.
        """
        decisions = read_decisions(path)
        rows = self.influence.edited({k: d.edit for k, d in decisions.items()})
        if "labeler" in rows.column_names:
            for decision, row in zip(decisions.values(), rows.to_pylist(), strict=True):
                name = "" if row["labeler"] is None else str(row["labeler"])
                if decision.labeler not in ("", name.strip()):
                    raise ValueError(
                        f"{path}: {decision.pair_id!r} is a label of "
                        f"{row['labeler']!r} here, of {decision.labeler!r} in the "
                        "file: is it of another run?"
                    )
        return decisions


def studies_digest(run: Folder) -> str:
    """Digest of what studies and judges have left in a run: it changes with them."""
    folders = [run / "crossfit", *(run / place for place, _ in _STUDIES.values())]
    folders += [run / "judge" / name for name in sorted((run / "judge").folders())]
    total = hashlib.sha256()
    for folder in folders:
        if folder.exists("done.json"):
            total.update(folder.name.encode() + folder.read_bytes("done.json"))
    return total.hexdigest()[:16]


def open_run(path: str) -> AuditedRun:
    """The audited run in a folder, local or s3://, by the recipe that is stored there.

    Raises ValueError where the folder holds no complete audit.
    """
    return AuditedRun(stored_recipe(Folder(path)))
