"""A pair set and its sketches to labels (as edited) and payloads, shard by shard.

c  comparisons of a shard     k  entries of a sketch
"""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from inflib.data.label_edits import Edits, LabelValues
from inflib.data.pairs_folder import PairsFolder, Shard
from inflib.numerics.label_means import LabelMargins
from inflib.scores.labels import Labels
from inflib.scores.shard_facts import STATUSES, read_facts
from inflib.sketches import store
from inflib.storage.folder import Folder


@dataclass(frozen=True)
class SketchSet:
    """Labels and sketches of one pair set; nothing that was read stays in memory."""

    run: Folder
    name: str
    """The pair set: train, or a query set."""

    edits: Edits = field(default_factory=dict)
    """Edits of its labels, which are then scored as if they had been labelled so."""

    version: str | None = None
    """Digest of labels and sketches of the run: with it, what passes need of a shard is
    kept on the node's disk. None: every call reads the run's files."""

    def plan(self) -> list[Shard]:
        """The shards of the pair set, in the order of its plan."""
        return self._pairs.plan()

    def labels(self, shard: Shard) -> Labels:
        """Labels of a shard, with edits, and with their comparisons' margins and norms.

        Raises ValueError when the sketches are of another plan.
        """
        facts = read_facts(self._pairs, self._sketches, shard, self.version)
        stored = facts.sign, facts.target, facts.weight, facts.required_margin
        ids = self.table(shard, ["pair_id"])["pair_id"] if self.edits else pa.array([])
        edited = LabelValues(*stored).edited(self.edits, ids.to_pylist())
        rows = torch.from_numpy(facts.row.astype(np.int64))
        return Labels(
            torch.from_numpy(edited.sign),
            rows,
            torch.tensor(facts.margin)[rows],
            torch.tensor(facts.sq_norms)[rows],
            torch.from_numpy(edited.required),
            STATUSES[facts.status[rows.numpy()]],
            len(facts.margin),
            torch.from_numpy(edited.target),
            torch.from_numpy(edited.weight),
            facts,
        )

    def table(self, shard: Shard, columns: list[str] | None = None) -> pa.Table:
        """The rows of a shard's labels file, see data.pairs_folder; without edits."""
        return self._pairs.labels(shard, columns)

    def payload(
        self, shard: Shard, labels: Labels
    ) -> tuple[np.ndarray, Float[Tensor, " c"]]:
        """(entries as stored [c k], scale of each row): sketch = entries * scale.

        labels: those of the shard.
        """
        facts = labels.facts
        entries = store.read_payload(self._sketches, shard.name, facts.digests)
        return entries, torch.tensor(facts.scale)

    def chosen_margins(self) -> LabelMargins:
        """r(chosen) - r(rejected) of all labels that count, in plan order, with their
        targets and weights: accuracy, mean loss and mean margin."""
        shards = [self._counted_margins(shard) for shard in self.plan()]
        return LabelMargins(*map(torch.cat, zip(*shards, strict=True)))

    def _counted_margins(self, shard: Shard) -> list[Tensor]:
        labels = self.labels(shard)
        columns = vars(labels.chosen_margins).values()
        return [column[labels.counted] for column in columns]

    @property
    def _pairs(self) -> PairsFolder:
        return PairsFolder(self.run / "pairs" / self.name)

    @property
    def _sketches(self) -> Folder:
        return self.run / "sketches" / self.name
