"""Labels of a prepared run and rows of grown files to the labels to append.

A run only grows. Labels that are in it stay as they are. A new label on a comparison of
the run goes to that comparison's shard, whose labels file is replaced. New comparisons
make new shards behind the others, so that no comparison is sketched twice.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from inflib.data.label_index import LabelIndex, LabelKeys, hash_ids, hash_verdicts
from inflib.data.pairs_folder import LABELS, PairsFolder, Shard
from inflib.data.shard_tables import kept_columns


@dataclass(frozen=True)
class StoredLabels:
    """The labels of a prepared pair set, sorted by hash of pair_id."""

    labels: LabelKeys

    shard: np.ndarray
    """Index in the plan of each label's shard."""

    row: np.ndarray
    """Row of each label's comparison in its shard."""

    kept: dict[str, pa.DataType]
    """{column of the data that is kept beside the labels: its type}."""

    def find(self, pair: np.ndarray) -> np.ndarray:
        """Indices of the labels with these pair_id hashes; -1 where there is none."""
        return _find(self.labels.pair, pair)

    def comparison_places(self, comparison: np.ndarray) -> np.ndarray:
        """(shard, row) [n, 2] of the comparisons with these n hashes; -1 where there is
        none."""
        order = np.argsort(self.labels.comparison, kind="stable")
        indices = _find(self.labels.comparison[order], comparison)
        places = np.stack([self.shard[order], self.row[order]], axis=1)
        return np.where(indices[:, None] >= 0, places[indices], -1)


def read_stored(folder: PairsFolder) -> StoredLabels:
    """The labels of a prepared pair set, read from every shard."""
    columns = ["pair_id", "comparison_id", "file", "file_row", "sign", "row"]
    shard_arrays, verdicts = list[list[np.ndarray]](), list[np.ndarray]()
    kept: dict[str, pa.DataType] = {}
    for number, shard in enumerate(folder.plan()):
        table = folder.labels(shard)
        kept = {f.name: f.type for f in table.schema if f.name not in LABELS.names}
        pair_ids, comparison_ids, *numbers = (table[n].to_pylist() for n in columns)
        arrays = [hash_ids(pair_ids), hash_ids(comparison_ids), *map(np.array, numbers)]
        verdicts.append(hash_verdicts(table))
        shard_arrays.append([*arrays, np.full(len(table), number)])
    pair, comparison, file, file_row, sign, row, place = (
        np.concatenate([arrays[i] for arrays in shard_arrays]) for i in range(7)
    )
    order = np.argsort(pair, kind="stable")
    labels = LabelKeys(
        pair[order],
        comparison[order],
        np.zeros(len(order), np.uint64),  # of the stored ones nothing is left to find
        file[order],
        file_row[order],
        sign[order],
        np.concatenate(verdicts)[order],
    )
    return StoredLabels(labels, place[order], row[order], kept)


def keep_new(index: LabelIndex, known: StoredLabels, files: list[str]) -> LabelKeys:
    """Keep only the labels in the index that the run does not have; returns their keys.

    A new row with a pair_id of the run is a bad row. files: the training files that the
    index was made from. Raises ValueError when a label of the run that came from them
    has changed or is gone.
    """
    labels = index.label_keys()
    indices = known.find(labels.pair)
    is_known = indices >= 0
    same_place = is_known & (known.labels.file[indices] == labels.file)
    same_place &= known.labels.row[indices] == labels.row
    same = same_place & (known.labels.comparison[indices] == labels.comparison)
    same &= known.labels.sign[indices] == labels.sign
    same &= known.labels.verdict[indices] == labels.verdict
    for file in files:
        count_before = int((known.labels.file == file).sum())
        count_now = int((same & (labels.file == file)).sum())
        if count_now < count_before:
            changed = labels.row[same_place & ~same & (labels.file == file)]
            where = f"row {changed.min()}" if len(changed) else "a row that is gone"
            raise ValueError(
                f"{file}: {where} is not as it was when the run was prepared. Labels "
                "can be appended to a run, not changed: choose another --run"
            )
    index.exclude(is_known & ~same, "duplicate pair_id")
    index.keep(known.find(index.label_keys().pair) < 0)
    return index.label_keys()


def check_columns(kinds: set[str], kept: dict[str, pa.DataType]) -> list[str]:
    """Names of the new rows' columns that the run does not keep, sorted.

    kinds: LabelIndex.kinds of the new rows; kept: columns of the run with their types.
    Raises ValueError for a column whose new values do not fit the run's type.
    """
    new_columns = kept_columns(kinds, skip_null=True)
    for name, new_type in new_columns.items():
        run_type = kept.get(name, pa.string())
        fits = new_type == run_type or pa.types.is_string(run_type)
        if not fits and not (pa.types.is_floating(run_type) and new_type == pa.int64()):
            raise ValueError(
                f"column {name!r} holds {new_type} in the new rows and {run_type} in "
                "the run"
            )
    return sorted(new_columns.keys() - kept.keys())


def merge_labels(
    folder: PairsFolder, shard: Shard, new: pa.Table, rows: list[int]
) -> Shard:
    """Write a shard's labels file anew, with more labels; returns its line of the plan.

    new: the labels to add; rows: row in the shard of each one's comparison.
    """
    old = folder.labels(shard)
    column = new.schema.get_field_index("row")
    new = new.set_column(column, "row", pa.array(rows, pa.int32()))
    labels = pa.concat_tables([old, new]).sort_by(
        [("row", "ascending"), ("pair_id", "ascending")]
    )
    digest = folder.write_labels(shard.name, labels.combine_chunks())
    return Shard(**vars(shard) | {"num_labels": len(labels), "labels_sha256": digest})


def _find(ordered: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Index of each value in a sorted array; -1 where it is not there."""
    if not len(ordered):
        return np.full(len(values), -1)
    indices = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return np.where(ordered[indices] == values, indices, -1)
