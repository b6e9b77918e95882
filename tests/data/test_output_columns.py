"""Output columns: what scoring writes is what `prepare` reserves and README says."""

import json
import re

import pyarrow as pa
import pytest

from inflib.data.output_columns import BESIDE, COLUMNS, INFLUENCE, is_reserved
from inflib.data.rows import read_file
from inflib.scores.influence_folder import InfluenceFolder
from inflib.scores.passes import Passes
from inflib.scores.query_vectors import read_queries
from inflib.scores.solver import Solver
from inflib.sketches.manifest import read_layers
from tests.support.files import ROOT, write_jsonl
from tests.support.known_store import TRAIN, build_store, score_config
from tests.support.prepared_run import ROWS, build_run


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Names of the columns of influence.parquet, with every optional one."""
    run = build_store(tmp_path_factory.mktemp("store"), TRAIN)
    config = score_config(
        *("gauss_newton", "datainf"), damping=(0.1, 1.0), keep_sweep=True, self_probes=2
    )
    passes = Passes(run, config.shards_per_task)
    solver = Solver(config, read_layers(run), passes)
    columns, _ = solver.solve_all(read_queries(config, ["q"], passes))
    influence = InfluenceFolder.of(run)
    influence.assemble(passes.score(influence.partials, "x", columns), columns.names)
    return influence.table.column_names


def test_every_column_that_scoring_writes_is_in_the_list_once(written):
    for name in written:
        assert sum(column.matches(name) for column in COLUMNS) == 1, name
    for column in COLUMNS:
        assert any(map(column.matches, written)), column


def test_a_users_column_with_such_a_name_is_kept_under_another(written, tmp_path):
    fields = {name: "text" for name in written if name != "pair_id"}
    fields |= {"input_error_x": "text", "labeler": "ana", "row": "7", "partsy": "free"}
    path = str(write_jsonl(tmp_path / "rows.jsonl", [ROWS[0] | fields]))
    recipe = build_run(tmp_path, ROWS[:1])
    table = pa.concat_tables(read_file("train", path, "train", recipe))
    kept = json.loads(table["extra"][0].as_py())
    assert kept.keys() == {
        *(f"input_{name}" for name in written if name != "pair_id"),
        *("input_input_error_x", "input_row", "labeler", "partsy"),
    }
    assert all(is_reserved(column.name) for column in BESIDE)
    assert not any(map(is_reserved, ("labeler", "partsy", "input_text", "errors")))


def test_names_are_made_of_the_score():
    assert INFLUENCE.of("datainf", "expert") == "influence_datainf_expert"
    assert INFLUENCE.of("datainf_expert") == "influence_datainf_expert"
    assert INFLUENCE.matches("influence_datainf_expert")


def test_the_readme_lists_every_column():
    text = (ROOT / "README.md").read_text()
    (table,) = re.findall(
        r"\| column \| unit \| meaning \|\n\|[-|]+\|\n((?:\|.*\n)+)", text
    )
    rows = [f"| `{c.name}` | {c.unit} | {c.meaning} |" for c in COLUMNS + BESIDE]
    assert table.splitlines()[:-1] == rows
