"""Memory of a training process does not grow with its labels."""

import subprocess
import sys

import pyarrow as pa
import pytest

from inflib.data.pairs_folder import COMPARISONS, LABELS, PairsFolder
from inflib.storage.folder import Folder
from tests.support.files import ROOT

_SHARD = 1000

_MEASURE = """
import sys, psutil
from inflib.data.pairs_folder import PairsFolder
from inflib.model.label_ids import labelled_ids
from inflib.model.label_order import meeting
from inflib.model.preference_trainer import training_rows
from inflib.storage.folder import Folder

def own():
    # bytes that no file stands behind: a mapped file's can be had back
    memory = psutil.Process().memory_info()
    return memory.rss - memory.shared


before = own()
table = labelled_ids(PairsFolder(Folder(sys.argv[1])))
rows = training_rows(table)
meeting(rows.with_format("arrow")[:])
assert rows[len(rows) - 1]["chosen_ids"][:1] == [1]
print(len(rows), (own() - before) / 2**20)
"""


def write(folder, shards):
    """Labels with 600 tokens each."""
    pairs, plan = PairsFolder(folder), []
    for number in range(shards):
        names = [f"{number:06x}{i:06x}{0:020}" for i in range(_SHARD)]
        rows = [
            {"comparison_id": n, "prefix": [1] * 200, "a": [2] * 100, "b": [3] * 100}
            for n in names
        ]
        labels = [
            {"pair_id": n, "comparison_id": n, "row": i, "sign": 1, "target": 1.0}
            | {"weight": 1.0, "required_margin": 0.0}
            for i, n in enumerate(names)
        ]
        tables = (
            pa.Table.from_pylist(rows, schema=COMPARISONS),
            pa.Table.from_pylist(labels, schema=LABELS),
        )
        plan.append(pairs.write_shard(f"{number:05}", *tables))
    pairs.write_plan(plan)


@pytest.mark.slow
def test_it_does_not(tmp_path):
    megabytes = []
    for shards in (2, 22):
        folder = tmp_path / str(shards)
        write(Folder(str(folder)), shards)
        command = [sys.executable, "-c", _MEASURE, str(folder)]
        done = subprocess.run(
            command, cwd=ROOT, check=True, capture_output=True, text=True
        )
        count, used = done.stdout.split()[-2:]
        assert int(count) == shards * _SHARD
        megabytes.append(float(used))
    # 20,000 labels more: 48 MB of tokens; without them some 100 bytes a label
    assert megabytes[1] - megabytes[0] < 24, megabytes
