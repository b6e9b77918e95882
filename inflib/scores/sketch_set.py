"""A pair set and its sketches to labels (as edited) and payloads, shard by shard.

c  comparisons of a shard     k  entries of a sketch     n  labels
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from inflib.data.label_edits import Edits
from inflib.data.pairs_folder import PairsFolder, Shard
from inflib.numerics.label_means import LabelMargins
from inflib.scores.labels import Labels
from inflib.sketches import store
from inflib.storage.folder import Folder


@dataclass(frozen=True)
class SketchSet:
    """Labels and sketches of one pair set; every call reads them anew."""

    run: Folder
    name: str
    """The pair set: train, or a query set."""

    edits: Edits = field(default_factory=dict)
    """Edits of its labels, which are then scored as if they had been labelled so."""

    def plan(self) -> list[Shard]:
        """The shards of the pair set, in the order of its plan."""
        return PairsFolder(self.run / "pairs" / self.name).plan()

    def labels(self, shard: Shard) -> Labels:
        """Labels of a shard, with edits, and with their comparisons' margins and norms.

        Raises ValueError when the sketches are of another plan.
        """
        table = PairsFolder(self.run / "pairs" / self.name).labels(shard)
        signs = torch.from_numpy(table["sign"].to_numpy().astype(np.float64))
        importance = torch.from_numpy(table["weight"].to_numpy().copy())
        if self.edits:
            for i, pair_id in enumerate(table["pair_id"].to_pylist()):
                if pair_id in self.edits:
                    signs[i] *= self.edits[pair_id].sign
                    importance[i] *= self.edits[pair_id].weight
        record = store.read_record(self._sketches, shard.name)
        store.check_plan(self._sketches, shard, record)
        comparisons = store.read_rows(record)
        rows = torch.from_numpy(table["row"].to_numpy().astype(np.int64))
        return Labels(
            table,
            signs,
            rows,
            torch.from_numpy(comparisons.margin)[rows],
            torch.from_numpy(comparisons.sq_norms)[rows],
            torch.from_numpy(table["required_margin"].to_numpy().copy()),
            np.array(comparisons.status)[rows.numpy()],
            len(comparisons.margin),
            torch.from_numpy(table["target"].to_numpy().copy()),
            importance,
        )

    def payload(self, shard: Shard) -> tuple[np.ndarray, Float[Tensor, " c"]]:
        """(entries as stored [c k], scale of each row): sketch = entries * scale."""
        entries, scales = store.read_payload(self._sketches, shard.name)
        return entries, torch.from_numpy(scales)

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
    def _sketches(self) -> Folder:
        return self.run / "sketches" / self.name
