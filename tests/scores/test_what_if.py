"""Edits of labels: predictions, and scores as if they had been made."""

import numpy as np
import pyarrow as pa
import pytest

from inflib.benchmarks.fake_store import Generated, write_manifest, write_set
from inflib.data.decisions import (
    Decision,
    decisions_csv,
    edits_of,
    read_decisions,
    read_edits,
)
from inflib.data.label_edits import Edit
from inflib.scores.influence_folder import InfluenceFolder
from inflib.scores.passes import Passes
from inflib.scores.query_vectors import read_queries
from inflib.scores.score_record import ScoreRecord
from inflib.scores.solver import Solver
from inflib.scores.what_if import predict, tie_shares
from inflib.sketches.manifest import read_layers
from inflib.storage.folder import Folder
from inflib.storage.plain_text import csv_text
from tests.support.audits import tiny_recipe
from tests.support.known_store import (
    LAYERS,
    QUERY,
    TRAIN,
    build_store,
    column,
    score_config,
    scored,
)

KINDS = ("gauss_newton", "datainf", "datainf_layer", "empirical_fisher", "identity")


def written(tmp_path, text):
    path = tmp_path / "edits.csv"
    path.write_text(text)
    return str(path)


def test_edits_are_read_from_csv(tmp_path):
    text = "\ufeffpair_id,note,action\na,,flip\nb,x, drop\nc,,0.5\n"
    assert read_edits(written(tmp_path, text)) == {
        "a": Edit("flip", 1.0),
        "b": Edit("drop", 0.0),
        "c": Edit("weight", 0.5),
    }


def test_ids_that_our_csv_files_guard_against_spreadsheets_are_read_back(tmp_path):
    text = csv_text(["pair_id", "action"], [["@SUM(1)", "flip"], ["'-5", "drop"]])
    assert "'@SUM(1)" in text
    assert list(read_edits(written(tmp_path, text))) == ["@SUM(1)", "'-5"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("pair_id,do\na,flip\n", "needs the columns pair_id and action"),
        ("pair_id,action\na,flop\n", r"edits\.csv row 2: action 'flop'"),
        ("pair_id,action\na,flip\nb,-1\n", r"edits\.csv row 3: action '-1'"),
        ("pair_id,action\na,nan\n", r"row 2: action 'nan'"),
        ("pair_id,action,value\na,weight,\n", r"row 2: value '' is not keep, flip"),
        ("pair_id,action\n,drop\n", "row 2: no pair_id"),
        ("pair_id,action\n", "no rows"),
        ('pair_id,action,note\na,drop,"odd\nb,drop,\n', r"edits\.csv: unexpected end"),
        ("pair_id,action\na,keep\n", "no label is changed"),
    ],
)
def test_bad_edits_are_named(tmp_path, text, problem):
    with pytest.raises(ValueError, match=problem):
        read_edits(written(tmp_path, text))


def test_scores_with_edits_are_those_of_a_store_with_such_labels(tmp_path):
    # Dropped, flipped, counted twice: against a store in which the labels are so.
    plain = build_store(tmp_path / "plain", TRAIN)
    before, _ = scored(plain, score_config(*KINDS, damping=(1e-2,)))
    ids = [row["pair_id"] for row in before]
    edits = {
        ids[0]: Edit("drop", 0.0),
        ids[3]: Edit("flip", 1.0),
        ids[9]: Edit("weight", 2.0),
    }
    edited, start = [], 0
    for shard in TRAIN:
        assert shard.rows is not None
        rows, signs = [], []
        for i, (row, sign) in enumerate(zip(shard.rows, shard.signs, strict=True)):
            edit = edits.get(ids[start + i], Edit("weight", 1.0))
            rows += [row] * int(edit.weight)
            turned = -1 if edit.action == "flip" else 1
            signs += [sign * turned] * int(edit.weight)
        start += len(shard.rows)
        edited.append(
            Generated(shard.sketches, shard.margins, shard.sq_norms, signs, rows)
        )
    config = score_config(*KINDS, damping=(1e-2,))
    expected, _ = scored(build_store(tmp_path / "edited", edited), config)
    after, _ = scored(plain, config, edits=edits)
    assert len(after) == len(before) and len(expected) == len(before)
    for kind in KINDS:
        name = f"influence_{kind}_q"
        scores, influences = column(after, name), column(expected, name)
        assert scores[0] == 0  # dropped
        # the label that counts twice is two rows there
        summed = [*influences[:8], influences[8:10].sum(), *influences[10:]]
        np.testing.assert_allclose(scores[1:], summed, rtol=1e-5, atol=1e-9)


def test_a_flipped_label_has_its_new_sign_and_margin(tmp_path):
    run = build_store(tmp_path, TRAIN[:1])
    before, _ = scored(run, score_config("identity"))
    edits = {before[0]["pair_id"]: Edit("flip", 1.0)}
    after, _ = scored(run, score_config("identity"), edits=edits)
    assert after[0]["sign"] == -before[0]["sign"]
    assert after[0]["margin"] == -before[0]["margin"]
    assert after[0]["length_difference"] == -before[0]["length_difference"] != 0
    change = after[0]["influence_identity_q"] - before[0]["influence_identity_q"]
    assert change == pytest.approx(before[0]["flip_effect_identity_q"])
    assert after[1:] == before[1:]


def test_flips_of_labels_whose_influence_is_zero_are_predicted(tmp_path):
    # A tie that requires the margin it has: no gradient as labelled, one if flipped.
    run, (first, *rest) = Folder(str(tmp_path)), TRAIN
    write_manifest(run, LAYERS)
    n = len(first.signs)
    margins = [
        sign * float(first.margins[row])
        for row, sign in zip(first.rows or [], first.signs, strict=True)
    ]
    ties = vars(first) | {"targets": [0.5] * n, "required": margins}
    write_set(run, "train", [Generated(**ties), *rest])
    write_set(run, "q", QUERY)
    config = score_config("gauss_newton", damping=(1e-2,), query_groups=3)
    passes = Passes(run, config.shards_per_task)
    solver = Solver(config, read_layers(run), passes)
    queries = read_queries(config, ["q"], passes)
    columns, curvatures = solver.solve_all(queries)
    influence = InfluenceFolder.of(run)
    files = passes.score(influence.partials, "x", columns)
    num_rows, sha256 = influence.assemble(files, columns.names)
    record = ScoreRecord(
        inputs="",
        sha256=sha256,
        pairs=num_rows,
        finite=solver.train.num_labels,
        curvatures=curvatures,
        query_groups={"q": queries.shares[0].tolist()},
    )
    influence.folder.write_json("done.json", record.model_dump())
    rows = influence.table.slice(0, n).to_pylist()
    assert {row["influence_gauss_newton_q"] for row in rows} == {0.0}
    flips = column(rows, "flip_effect_gauss_newton_q")
    assert np.abs(flips).min() > 0
    recipe = tiny_recipe(tmp_path, "x", "x", prepare__queries={"q": {"path": "x"}})
    for row, flip in zip(rows, flips, strict=True):
        edits = {row["pair_id"]: Edit("flip", 1.0)}
        *_, together = predict(recipe, influence, edits)
        expected = flip / record.finite
        assert together["change_of_query_loss"] == pytest.approx(expected, rel=1e-5)
        assert together["error"] > 0


@pytest.mark.parametrize("required", [0.0, 0.7])
def test_the_effect_of_a_tie_is_that_of_scores_with_the_tie(tmp_path, required):
    first = TRAIN[0]
    n = len(first.signs)
    changed = vars(first) | {"targets": [0.9] * n, "required": [required] * n}
    run = build_store(tmp_path, [Generated(**changed), *TRAIN[1:]])
    config = score_config("identity")
    before, _ = scored(run, config)
    edits = {row["pair_id"]: Edit("tie", 1.0) for row in before[:n]}
    after, _ = scored(run, config, edits=edits)
    assert {(r["target"], r["required_margin"]) for r in after[:n]} == {(0.5, 0.0)}
    changes = column(after, "influence_identity_q") - column(
        before, "influence_identity_q"
    )
    shares = tie_shares(pa.Table.from_pylist(before[:n]))
    predicted = shares * column(before, "flip_effect_identity_q")[:n]
    np.testing.assert_allclose(predicted, changes[:n], rtol=1e-5, atol=1e-12)
    assert (np.abs(shares - 0.5) < 1e-12).all() == (required == 0)
    assert after[n:] == before[n:]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_files_of_spreadsheets_are_read(tmp_path, delimiter, encoding):
    cells = [["pair_id", " action", "note", "value"], [" a ", "Weight", "é; ,", "2"]]
    text = "\r\n".join(delimiter.join(f'"{x}"' for x in line) for line in cells)
    path = tmp_path / "sheet.csv"
    path.write_bytes((text + "\r\n" + 3 * delimiter + "\r\n").encode(encoding))
    assert read_decisions(str(path)) == {
        " a ": Decision(" a ", "", "weight", 2.0, "", "é; ,")
    }
    path.write_bytes("pair_id,action,note\na,drop,\xe9".encode("latin-1"))
    with pytest.raises(ValueError, match="save it as CSV in UTF-8"):
        read_decisions(str(path))


def test_the_last_decision_on_a_label_counts_and_what_is_written_is_read(tmp_path):
    rows = [
        Decision("a", "dev", "flip", None, "rank 3", "odd", "kim", "2026-01-02T03:04Z"),
        Decision("=b", "", "weight", 0.25),
        Decision("c", "", "tie"),
        Decision("a", "dev", "drop"),
    ]
    decisions = read_decisions(written(tmp_path, decisions_csv(rows)))
    assert list(decisions.values()) == [rows[3], rows[1], rows[2]]
    assert edits_of(decisions) == {
        "a": Edit("drop", 0.0),
        "=b": Edit("weight", 0.25),
        "c": Edit("tie", 1.0),
    }
