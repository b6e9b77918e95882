"""crossfit/ of a run: margins of labels by models that saw no label on their prompt.

    margins.parquet   pairs, pair_id, crossfit_margin: a row for each label with a
                      weight, of the training set (pairs: train) and the query sets
    done.json         `labels`: digest of the labels that the margins are of; `sha256`:
                      that of margins.parquet

crossfit_margin is r(chosen) - r(rejected), in reward, by the model of the label's fold.
Query labels have a fold by their prompt, too, and so have those that the run's training
held out: one model judges each label, so that all margins have one scale and one noise.
(The mean over several models would be steadier, and would not compare with the others;
the run's own model has seen more labels than those of the folds.)

No other module reads or writes files in this folder.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float

from inflib.config.recipe import Recipe
from inflib.data.folds import Fold
from inflib.data.output_columns import CROSSFIT_MARGIN, PAIR_ID
from inflib.data.pairs_folder import PairsFolder
from inflib.data.training_plan import weighted_labels
from inflib.model.reward_folder import read_fold_margins, read_margins
from inflib.scores.retrained import labels_digest
from inflib.storage.folder import Folder, to_parquet

MARGINS, _SET, _TRAIN = "margins.parquet", "pairs", "train"

MISSING = "the run has no margins by models that did not see the label"
OUTDATED = "the margins in crossfit/ are of other labels, or were changed"


@dataclass(frozen=True)
class FairMargins:
    """Margins of the labels with a weight."""

    by_set: dict[str, dict[str, float]]
    """{pair set: {pair_id: crossfit_margin}}."""

    def of(self, pair_ids: list[str], pairs: str = _TRAIN) -> Float[np.ndarray, " n"]:
        """Those of these labels of a pair set; NaN for a label without a weight."""
        known = self.by_set[pairs]
        return np.array([known.get(pair_id, np.nan) for pair_id in pair_ids], float)

    def trusted(self, recipe: Recipe) -> Float[np.ndarray, " q"]:
        """Margins of all query labels but ties, of the better response over the other;
        in the order of the sets and their plans."""
        parts = [np.zeros(0)]
        for query in recipe.prepare.queries:
            folder = PairsFolder(Folder(recipe.run) / "pairs" / query)
            for shard in folder.plan():
                labels = folder.labels(shard, ["pair_id", "target"])
                side = np.sign(labels["target"].to_numpy() - 0.5)
                values = side * self.of(labels["pair_id"].to_pylist(), query)
                parts.append(values[(side != 0) & np.isfinite(values)])
        return np.concatenate(parts)


def fair_margins(recipe: Recipe) -> tuple[FairMargins | None, str]:
    """(fair margins of a run's labels, "") or (None, why there are none): MISSING, or
    OUTDATED where the file is not of the labels that the run has now."""
    folder = Folder(recipe.run) / "crossfit"
    if not {"done.json", MARGINS} <= folder.names():
        return None, MISSING
    done, data = folder.read_json("done.json"), folder.read_bytes(MARGINS)
    bound = done.get("labels"), done.get("sha256")
    if bound != (labels_digest(recipe), hashlib.sha256(data).hexdigest()):
        return None, OUTDATED
    by_set: dict[str, dict[str, float]] = {name: {} for name in recipe.prepare.sources}
    columns = pq.read_table(pa.BufferReader(data)).to_pydict().values()
    for pairs, pair_id, margin in zip(*columns, strict=True):
        by_set[pairs][pair_id] = margin
    return FairMargins(by_set), ""


def write_fair_margins(recipe: Recipe, models: dict[Fold, Folder]) -> dict[str, str]:
    """Write margins.parquet, each label's margin by the model of its fold; returns what
    binds it to the labels, {labels, sha256}, which done.json must hold.

    models: folder of each fold's model, for every fold with a training label. A query
    label in another fold is judged by any of them: none saw its prompt.
    """
    run, tables = Folder(recipe.run), []
    for pairs in recipe.prepare.sources:
        labels = weighted_labels(PairsFolder(run / "pairs" / pairs))
        values = np.full(len(labels), np.nan)
        for number, (fold, folder) in enumerate(models.items()):
            inside = np.array([comparison in fold for _, comparison in labels], bool)
            if pairs == _TRAIN:
                values[inside] = read_fold_margins(folder).numpy()
                continue
            judged = read_margins(folder)[pairs].numpy()
            taken = inside if number else np.ones(len(labels), bool)
            values[taken] = judged[taken]
        columns = {_SET: [pairs] * len(labels), PAIR_ID.name: [p for p, _ in labels]}
        tables.append(pa.table(columns | {CROSSFIT_MARGIN.name: values}))
    data = to_parquet(pa.concat_tables(tables))
    (run / "crossfit").write(MARGINS, data)
    digest = hashlib.sha256(data).hexdigest()
    return {"labels": labels_digest(recipe), "sha256": digest}
