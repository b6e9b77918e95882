"""Edits of labels: predictions, and scores as if they had been made."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy.linalg import eigh

from inflib.benchmarks.fake_store import Generated, write_manifest, write_set
from inflib.benchmarks.finished_store import write_influence
from inflib.data.decisions import (
    Decision,
    decisions_csv,
    edits_of,
    read_decisions,
    read_edits,
)
from inflib.data.label_edits import Edit
from inflib.model.reward_folder import write_margins
from inflib.scores.influence_folder import InfluenceFolder
from inflib.scores.what_if import predict, tie_shares
from inflib.storage.folder import Folder
from inflib.storage.plain_text import csv_text
from tests.support.audits import tiny_recipe
from tests.support.known_store import (
    LAYERS,
    QUERY,
    TRAIN,
    build_store,
    column,
    gather,
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
    recipe, influence = finished(tmp_path)
    record = influence.record
    rows = influence.table.slice(0, n).to_pylist()
    assert {row["influence_gauss_newton_q"] for row in rows} == {0.0}
    flips = column(rows, "flip_effect_gauss_newton_q")
    assert np.abs(flips).min() > 0
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


@pytest.mark.parametrize("damping", [1e-2, 1.0])
def test_the_leverage_bounds_how_much_edits_change_the_curvature(tmp_path, damping):
    build_store(tmp_path, TRAIN)
    recipe, influence = finished(tmp_path, damping)
    s, margins, _ = gather(TRAIN)
    h = (torch.sigmoid(margins) * torch.sigmoid(-margins)).double()
    n, counted = len(h), influence.table.filter(pa.array(influence.counts))
    ids = counted["pair_id"].to_pylist()
    whole = (s.T * h) @ s / n
    damped = whole + damping * whole.trace() * torch.eye(len(whole)).double()
    for factor, chosen in ((0.0, slice(0, 3)), (0.0, slice(2, 9)), (1.5, slice(4, 5))):
        edits = {pair_id: Edit("weight", factor) for pair_id in ids[chosen]}
        edits[ids[-1]] = Edit("flip", 1.0)
        *_, together = predict(recipe, influence, edits)
        part = (s[chosen].T * h[chosen]) @ s[chosen] * abs(factor - 1) / n
        largest = eigh(part.numpy(), damped.numpy(), eigvals_only=True).max()
        assert 0 < largest <= together["leverage"] * (1 + 1e-5)
        if chosen == slice(4, 5):  # a single label's bound is close where damping is
            assert damping < 1 or together["leverage"] < 1.5 * largest
    recipe = recipe.model_copy(update={"score": score_config("datainf")})
    write_influence(recipe)
    influence = InfluenceFolder.of(Folder(recipe.run))
    assert predict(recipe, influence, edits)[-1]["leverage"] is None


def test_all_labels_together_are_predicted_to_do_what_training_did(tmp_path):
    run = build_store(tmp_path, TRAIN)
    recipe, influence = finished(tmp_path)
    ids = influence.table["pair_id"].to_pylist()[:5]
    edits = {pair_id: Edit("drop", 0.0) for pair_id in ids}
    plain = predict(recipe, influence, edits)[-1]
    assert plain["factor"] is None  # scored by the finished model
    manifest = run.read_json("sketches/manifest.json")
    kept = {"step": 3, "share": 0.5, "learning_rate_sum": 1.0}
    run.write_json("sketches/manifest.json", manifest | {"kept": kept})
    (query,) = QUERY
    signs = torch.tensor(query.signs).double()
    halfway = signs * query.margins.double()[query.rows]
    slopes = -torch.sigmoid(-halfway)
    mean = influence.mean_parts("gauss_newton_q").sum()
    for size in (1.0, 3.0):
        # margins after which the loss has changed by `size` times the mean influence
        finished_margins = torch.full_like(halfway, size * mean / slopes.mean())
        write_margins(run / "reward_model", {"q": finished_margins})
        row = predict(recipe, influence, edits)[-1]
        assert row["factor"] == pytest.approx(size, rel=1e-5)
        for name in ("change_of_query_loss", "error"):
            assert row[name] == pytest.approx(size * plain[name], rel=1e-5)
    write_margins(run / "reward_model", {"q": -finished_margins})
    assert predict(recipe, influence, edits)[-1]["factor"] is None
    write_margins(run / "reward_model", {"q": finished_margins[1:]})
    with pytest.raises(ValueError, match="train again"):
        predict(recipe, influence, edits)


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


def finished(tmp_path, damping=1e-2):
    """The recipe of a store in this folder, which is scored."""
    recipe = tiny_recipe(tmp_path, "x", "x", prepare__queries={"q": {"path": "x"}})
    config = score_config("gauss_newton", damping=(damping,), query_groups=3)
    recipe = recipe.model_copy(update={"score": config})
    write_influence(recipe)
    return recipe, InfluenceFolder.of(Folder(recipe.run))


def change_of(recipe, influence, edits):
    *_, together = predict(recipe, influence, edits)
    return together["change_of_query_loss"]


def test_changes_are_of_a_mean_over_labels(tmp_path):
    build_store(tmp_path, TRAIN)
    recipe, influence = finished(tmp_path)
    rows = influence.table.to_pylist()
    ids = [row["pair_id"] for row in rows]
    scores = np.array([row["influence_gauss_newton_q"] or 0.0 for row in rows])
    counts = np.array([row["status"] == "ok" for row in rows])
    assert abs(scores[counts].mean()) > 1e-3 * np.abs(scores).max()  # not at a minimum
    doubled = dict.fromkeys(ids, Edit("weight", 2.0))
    tiny = 1e-5 * np.abs(scores).sum() / counts.sum()
    assert abs(change_of(recipe, influence, doubled)) < tiny
    # the step that labels left over make towards their own mean, from that of all
    kept = counts.copy()
    kept[:5] = False
    dropped = dict.fromkeys(ids[:5], Edit("drop", 0.0))
    expected = scores[kept].sum() / kept.sum() - scores[counts].mean()
    found = change_of(recipe, influence, dropped)
    assert found == pytest.approx(expected, rel=1e-5)
    all_dropped = dict.fromkeys(ids, Edit("drop", 0.0))
    with pytest.raises(ValueError, match="no label with a weight would be left"):
        predict(recipe, influence, all_dropped)
