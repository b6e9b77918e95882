"""Labels of a pair set to the rows that a reward model is trained on: an Arrow table
mapped from this process's disk, so that memory does not grow with the labels."""

import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from inflib.data.label_edits import Edits, LabelValues
from inflib.data.pairs_folder import PairsFolder
from inflib.shapes.pairs import prompt_of

_SCHEMA = pa.schema(
    [
        ("chosen_ids", pa.list_(pa.int32())),
        ("rejected_ids", pa.list_(pa.int32())),
        ("margin", pa.float64()),
        ("target", pa.float64()),
        ("weight", pa.float64()),
        ("prompt", pa.int64()),
    ]
)


def labelled_ids(
    folder: PairsFolder,
    edits: Edits | None = None,
    takes: Callable[[str], bool] = lambda comparison_id: True,
) -> pa.Table:
    """A row for each label: chosen_ids, rejected_ids, margin, target, weight, prompt.

    margin: what the loss requires r(chosen) - r(rejected) to exceed; target and weight
    as in data.pairs_folder.LABELS; prompt: a number that tells prompts apart. edits:
    see data.label_edits.LabelValues; dropped labels have no row. takes: whether a
    comparison_id's labels have rows. Raises ValueError where no label that counts is
    left.
    """
    with tempfile.NamedTemporaryFile(prefix="labels-") as file:
        with pa.ipc.new_file(file.name, _SCHEMA) as writer:
            for shard in folder.plan():
                writer.write_table(_of_shard(folder, shard, edits or {}, takes))
        # the mapping outlives the file's name
        table = pa.ipc.open_file(pa.memory_map(file.name)).read_all()
    if not len(table):
        raise ValueError(f"{folder.folder.url}: no label with a weight above 0")
    return table


def _of_shard(
    folder: PairsFolder, shard: Any, edits: Edits, takes: Callable[[str], bool]
) -> pa.Table:
    comparisons = folder.comparisons(shard, ["prefix", "a", "b"]).combine_chunks()
    prefix, a, b = (_list(comparisons[name]) for name in ("prefix", "a", "b"))
    sequences = pa.concat_arrays([joined(prefix, a), joined(prefix, b)])
    columns = ["row", "sign", "required_margin", "target", "weight"]
    labels = folder.labels(shard, ["pair_id", "comparison_id", *columns])
    taken = [takes(name) for name in labels["comparison_id"].to_pylist()]
    labels = labels.filter(pa.array(taken, pa.bool_()))
    prompts = [int(prompt_of(c), 16) for c in labels["comparison_id"].to_pylist()]
    values = [labels[name].to_numpy() for name in columns[1:]]
    sign, required, target, weight = values
    edited = LabelValues(sign, target, weight, required).edited(
        edits, labels["pair_id"].to_pylist()
    )
    row, half = labels["row"].to_numpy().astype(np.int64), len(comparisons)
    keep, first = edited.weight > 0, edited.sign > 0
    chosen, rejected = np.where(first, [row, row + half], [row + half, row])[:, keep]
    return pa.table(
        {
            "chosen_ids": sequences.take(pa.array(chosen)),
            "rejected_ids": sequences.take(pa.array(rejected)),
            "margin": pa.array(edited.required[keep], pa.float64()),
            "target": pa.array(edited.target[keep], pa.float64()),
            "weight": pa.array(edited.weight[keep], pa.float64()),
            "prompt": pa.array(prompts, pa.int64()).filter(pa.array(keep)),
        },
        _SCHEMA,
    )


def joined(first: pa.ListArray, second: pa.ListArray) -> pa.ListArray:
    """The lists of two arrays, one behind the other, row by row."""
    lengths, sources = [], []
    for array in (first, second):
        offsets = array.offsets.to_numpy()
        lengths.append(np.diff(offsets))
        sources.append(array.values.to_numpy()[offsets[0] : offsets[-1]])
    starts = np.concatenate([[0], np.cumsum(lengths[0] + lengths[1])])
    values = np.empty(starts[-1], np.int32)
    for length, source, start in zip(
        lengths, sources, (starts[:-1], starts[:-1] + lengths[0]), strict=True
    ):
        before = np.concatenate([[0], np.cumsum(length)[:-1]])
        values[np.arange(len(source)) + np.repeat(start - before, length)] = source
    return pa.ListArray.from_arrays(starts.astype(np.int32), pa.array(values))


def _list(column: pa.ChunkedArray) -> pa.ListArray:
    return pa.concat_arrays(column.chunks)
