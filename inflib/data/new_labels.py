"""More labels for a run that is prepared: which are new, and where they go.

A run only grows. Labels that it has stay as they are; a label on a comparison that it
has goes to that comparison's shard, whose labels file is replaced; new comparisons
make new shards after the others, so that nothing that is sketched is sketched again.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from inflib.data.label_index import LabelIndex, LabelKeys, hashes
from inflib.data.pairs_folder import LABELS, PairsFolder, Shard
from inflib.data.shard_tables import kept_columns


@dataclass(frozen=True)
class Known:
    """The labels that a pair set has, ordered by hash of pair_id."""

    labels: LabelKeys
    shard: np.ndarray
    """Place in the plan of each label's shard."""

    row: np.ndarray
    """Row of each label's comparison in its shard."""

    kept: dict[str, pa.DataType]
    """Columns kept beside the labels."""

    def find(self, pair: np.ndarray) -> np.ndarray:
        """Index of the known label with each pair_id hash; -1 without one."""
        return _find(self.labels.pair, pair)

    def comparison_places(self, comparison: np.ndarray) -> np.ndarray:
        """(shard, row) [n, 2] of each comparison hash; -1 without one."""
        order = np.argsort(self.labels.comparison, kind="stable")
        found = _find(self.labels.comparison[order], comparison)
        places = np.stack([self.shard[order], self.row[order]], axis=1)
        return np.where(found[:, None] >= 0, places[found], -1)


def read_known(folder: PairsFolder) -> Known:
    """What a pair set has; reads the labels of every shard."""
    columns = ["pair_id", "comparison_id", "file", "file_row", "sign", "row"]
    parts: list[list[np.ndarray]] = []
    kept: dict[str, pa.DataType] = {}
    for number, shard in enumerate(folder.plan()):
        table = folder.labels(shard)
        kept = {f.name: f.type for f in table.schema if f.name not in LABELS.names}
        pair, comparison, *others = (table[name].to_pylist() for name in columns)
        arrays = [hashes(pair), hashes(comparison), *map(np.array, others)]
        parts.append([*arrays, np.full(len(table), number)])
    pair, comparison, file, file_row, sign, row, place = (
        np.concatenate([part[i] for part in parts]) for i in range(7)
    )
    order = np.argsort(pair, kind="stable")
    labels = LabelKeys(
        pair[order], comparison[order], file[order], file_row[order], sign[order]
    )
    return Known(labels, place[order], row[order], kept)


def keep_new(index: LabelIndex, known: Known, files: list[str]) -> LabelKeys:
    """Leave the new labels alone in the index, and return them.

    files: those that were read (again). Raises ValueError when a known label of theirs
    has changed or is gone; a new row with a known pair_id is a bad one.
    """
    labels = index.labels()
    found = known.find(labels.pair)
    is_known = found >= 0
    same_place = is_known & (known.labels.file[found] == labels.file)
    same_place &= known.labels.row[found] == labels.row
    same = same_place & (known.labels.comparison[found] == labels.comparison)
    same &= known.labels.sign[found] == labels.sign
    for file in files:
        had = int((known.labels.file == file).sum())
        has = int((same & (labels.file == file)).sum())
        if has < had:
            changed = labels.row[same_place & ~same & (labels.file == file)]
            where = f"row {changed.min()}" if len(changed) else "a row that is gone"
            raise ValueError(
                f"{file}: {where} is not as it was when the run was prepared. Labels "
                "can be appended to a run, not changed: choose another --run"
            )
    index.leave_out(is_known & ~same, "duplicate pair_id")
    index.keep(known.find(index.labels().pair) < 0)
    return index.labels()


def check_columns(kinds: set[str], kept: dict[str, pa.DataType]) -> list[str]:
    """Columns of new rows, by their kinds, that the run does not keep.

    Raises ValueError for a column whose values do not fit the run's type.
    """
    found = kept_columns(kinds, skip_null=True)
    for name, kind in found.items():
        wanted = kept.get(name, pa.string())
        fits = kind == wanted or pa.types.is_string(wanted)
        if not fits and not (pa.types.is_floating(wanted) and kind == pa.int64()):
            raise ValueError(
                f"column {name!r} holds {kind} in the new rows and {wanted} in the run"
            )
    return sorted(found.keys() - kept.keys())


def merge_labels(
    folder: PairsFolder, shard: Shard, more: pa.Table, rows: list[int]
) -> Shard:
    """Write a shard's labels with more of them, at these rows of its comparisons."""
    old = folder.labels(shard)
    place = more.schema.get_field_index("row")
    more = more.set_column(place, "row", pa.array(rows, pa.int32()))
    labels = pa.concat_tables([old, more]).sort_by(
        [("row", "ascending"), ("pair_id", "ascending")]
    )
    digest = folder.write_labels(shard.name, labels.combine_chunks())
    return Shard(**vars(shard) | {"num_labels": len(labels), "labels_sha256": digest})


def _find(ordered: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    if not len(ordered):
        return np.full(len(wanted), -1)
    at = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    return np.where(ordered[at] == wanted, at, -1)
