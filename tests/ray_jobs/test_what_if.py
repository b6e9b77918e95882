"""Edits of labels on a real Ray: predictions, and scores as if they were made."""

import pyarrow.parquet as pq
import pytest

from inflib.data.decisions import read_edits
from inflib.numerics.retrained_sizes import RetrainedSize
from inflib.scores.influence_folder import InfluenceFolder
from inflib.scores.what_if import predict
from inflib.storage.folder import Folder
from ray_jobs.shared.session import run_stages
from ray_jobs.what_if import folder_of, what_if
from tests.support.audits import copied, influences
from tests.support.files import mtimes


def test_what_if_predicts_and_scores_beside_the_run(audited, tmp_path, capsys):
    recipe = copied(audited, tmp_path, "pairs", "sketches", "influence", "report")
    table = influences(recipe)
    before = mtimes(f"{recipe.run}/influence")
    ids = table["pair_id"].to_pylist()
    edits = tmp_path / "fixes.csv"
    edits.write_text(f"pair_id,action\n{ids[0]},flip\n{ids[1]},drop\n{ids[2]},3\n")
    run_stages(recipe, [lambda recipe: what_if(recipe, str(edits))])
    printed = capsys.readouterr().out
    assert "predicted change of the mean query loss" in printed
    assert "This audit" in printed and "always look good here" in printed
    assert mtimes(f"{recipe.run}/influence") == before
    after = pq.read_table(f"{recipe.run}/what_if/fixes/influence.parquet")
    assert after["pair_id"].to_pylist() == ids
    assert after["sign"].to_pylist()[0] == -table["sign"].to_pylist()[0]
    assert after["sign"].to_pylist()[1:] == table["sign"].to_pylist()[1:]
    predicted = predict(recipe, InfluenceFolder.current(recipe), read_edits(str(edits)))
    (row,) = (r for r in predicted if r["query"] == "expert" and r["edits"] == "all")
    flips = table["flip_effect_gauss_newton_expert"].to_numpy()
    scores = table["influence_gauss_newton_expert"].to_numpy()
    others = scores - scores.mean()
    total = flips[0] - others[1] + 2 * others[2]
    assert row["labels"] == 3 and row["error"] > 0
    size = row["factor"] or 1.0
    assert row["change_of_query_loss"] == pytest.approx(
        size * total / (len(ids) + 1), rel=1e-4, abs=1e-9
    )
    assert "expected" not in row
    # what `verify` would find: actual changes three times as large
    found = RetrainedSize(3.0, 2.0, 4.0, 0.01, 5, 9)
    verified = {
        "scores": InfluenceFolder.current(recipe).record.inputs,
        "sets": {"expert": {"size": vars(found)}, "concise": {"size": None}},
    }
    (Folder(recipe.run) / "verify").write_json("verify.json", verified)
    rows = run_stages(recipe, [lambda recipe: what_if(recipe, str(edits))])
    for each in rows:
        if each["query"] == "expert":
            assert each["low"] < each["expected"] < each["high"]
            assert each["expected"] == 3 * each["change_of_query_loss"]
        else:
            assert each["expected"] is each["low"] is each["high"] is None
    assert "by what `inflib verify` found" in capsys.readouterr().out


def test_what_if_refuses_unknown_labels_and_scores_of_other_settings(audited, tmp_path):
    edits = tmp_path / "fixes.csv"
    edits.write_text("pair_id,action\nnobody,flip\n")
    with pytest.raises(ValueError, match=r"1 labels are not in .*: 'nobody'"):
        what_if(audited, str(edits))
    rescored = copied(
        audited, tmp_path, "pairs", "sketches", "influence", score={"max_steps": 7}
    )
    with pytest.raises(ValueError, match="is of other labels, sketches or settings"):
        what_if(rescored, str(edits))
    Folder(rescored.run).delete("influence/done.json")
    with pytest.raises(ValueError, match=r"run `inflib score` first"):
        what_if(rescored, str(edits))


def test_two_files_of_one_name_do_not_share_a_folder(tmp_path):
    run = Folder(str(tmp_path / "run"))
    first, second = (str(tmp_path / name / "fixes.csv") for name in "ab")
    folder = folder_of(run, first)
    folder.write_json("edits.json", {"file": first})
    assert folder_of(run, first) == folder
    for other in (second, str(tmp_path / "a" / "fixes.v2.csv")):
        with pytest.raises(ValueError, match=f"holds the scores of {first}: give"):
            folder_of(run, other)
