"""Edits of labels: predictions, and scores as if they had been made."""

import numpy as np
import pytest

from inflib.benchmarks.fake_store import Generated
from inflib.data.label_edits import Edit, read_edits
from inflib.storage.plain_text import csv_text
from tests.support.known_store import TRAIN, build_store, column, score_config, scored

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
        "c": Edit("reweight", 0.5),
    }


def test_ids_that_our_csv_files_guard_against_spreadsheets_are_read_back(tmp_path):
    text = csv_text(["pair_id", "action"], [["@SUM(1)", "flip"], ["'-5", "drop"]])
    assert "'@SUM(1)" in text
    assert list(read_edits(written(tmp_path, text))) == ["@SUM(1)", "'-5"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("pair_id,do\na,flip\n", "needs pair_id and action"),
        ("pair_id,action\na,flop\n", r"edits\.csv row 2: action 'flop'"),
        ("pair_id,action\na,flip\nb,-1\n", r"edits\.csv row 3: action '-1'"),
        ("pair_id,action\na,nan\n", r"row 2: action 'nan'"),
        ("pair_id,action\na,flip\na,drop\n", r"row 3: 'a' is edited twice"),
        ("pair_id,action\n", "no rows"),
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
        ids[9]: Edit("reweight", 2.0),
    }
    edited, start = [], 0
    for shard in TRAIN:
        assert shard.rows is not None
        rows, signs = [], []
        for i, (row, sign) in enumerate(zip(shard.rows, shard.signs, strict=True)):
            edit = edits.get(ids[start + i], Edit("reweight", 1.0))
            rows += [row] * int(edit.weight)
            signs += [sign * edit.sign] * int(edit.weight)
        start += len(shard.rows)
        edited.append(
            Generated(shard.sketches, shard.margins, shard.sq_norms, signs, rows)
        )
    config = score_config(*KINDS, damping=(1e-2,))
    expected, _ = scored(build_store(tmp_path / "edited", edited), config)
    after, _ = scored(plain, config, edits=edits)
    assert len(after) == len(before) and len(expected) == len(before)
    after.insert(10, after[9])  # the label that counts twice is two rows there
    for kind in KINDS:
        name = f"influence_{kind}_q"
        np.testing.assert_allclose(
            column(after[1:], name), column(expected, name), rtol=1e-5, atol=1e-9
        )


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
