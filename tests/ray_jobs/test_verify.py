"""Retraining with edited labels on a real Ray."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from inflib.data.decisions import Decision, decisions_csv
from inflib.scores.influence_folder import InfluenceFolder
from inflib.scores.retraining import DECIDED, SAME_ON_RANDOM
from inflib.storage.folder import Folder
from ray_jobs.report import report
from ray_jobs.shared.session import run_stages
from ray_jobs.verify import verify, verify_decisions
from tests.support.audits import copied
from tests.support.files import mtimes


@pytest.mark.slow
def test_verify_retrains_resumes_and_reports_every_query_set(audited, tmp_path, capsys):
    recipe = copied(
        audited,
        tmp_path,
        "pairs",
        "reward_model",
        "sketches",
        "influence",
        verify={"seeds": 1, "groups": 3, "subsets": 0, "at_once": 2, "share": 0.2},
    )
    run_stages(recipe, [verify])
    assert "8 trainings" in capsys.readouterr().out
    folder = Path(recipe.run) / "verify"
    summary = json.loads((folder / "verify.json").read_text())
    assert set(summary["sets"]) == {"expert", "concise"}
    arms = {row["arm"]: row for row in summary["sets"]["expert"]["arms"]}
    assert arms["all labels"]["labels"] == 0
    assert arms["flip harmful"]["labels"] == arms["drop random"]["labels"] > 0
    losses = {row["loss"]["mean"] for row in arms.values()}
    assert len(losses) == 5  # every change of the labels changed the model
    agreement = summary["sets"]["expert"]["leave_group_out"]
    assert len(agreement["actual"]) == len(agreement["predicted"]) == 3
    # The same recipe and labels as the run's own training: the same bits.
    trained = Path(audited.run) / "reward_model" / "adapter_model.safetensors"
    bank = Path(recipe.run) / "retrained"
    models = {p.parent: p.read_bytes() for p in bank.glob("*/adapter_model.*")}
    assert list(models.values()).count(trained.read_bytes()) == 1
    lost, *_ = models
    (lost / "metrics.json").unlink()
    (folder / "done.json").unlink()
    before = mtimes(bank)
    run_stages(recipe, [verify])
    changed = {p.parent.name for p, t in mtimes(bank).items() if before.get(p) != t}
    kept = {path.name for path in models} - {lost.name}
    assert lost.name in changed and not changed & kept
    assert json.loads((folder / "verify.json").read_text()) == summary
    fewer = recipe.verify.model_copy(update={"groups": 0})
    capsys.readouterr()
    run_stages(recipe.model_copy(update={"verify": fewer}), [verify])
    assert "5 trainings" in capsys.readouterr().out  # all of them kept
    now = mtimes(bank)
    assert all(now[p] == t for p, t in before.items() if p.parent.name in kept)


@pytest.mark.slow
def test_decisions_are_retrained_beside_as_many_random_ones(audited, tmp_path, capsys):
    recipe = copied(
        audited,
        tmp_path,
        "pairs",
        "sketches",
        "influence",
        "report",
        verify={"seeds": 1, "at_once": 2},
    )
    ids = InfluenceFolder.of(Folder(recipe.run)).table["pair_id"].to_pylist()
    actions = ["flip"] * 4 + ["drop"] * 3 + ["tie"] * 2 + ["keep"]
    decisions = [Decision(i, "", a) for i, a in zip(ids, actions, strict=False)]
    path = tmp_path / "decisions.csv"
    path.write_text(decisions_csv(decisions))
    stages: list[Any] = [report, partial(verify_decisions, decisions=str(path))]
    summary = run_stages(recipe, stages)
    assert "3 trainings" in capsys.readouterr().out
    assert summary["counts"] == {"flip": 4, "drop": 3, "tie": 2}
    for facts in summary["sets"].values():
        arms = {row["arm"]: row for row in facts["arms"]}
        assert [row["labels"] for row in arms.values()] == [0, 9, 9]
        difference = (
            arms[DECIDED]["loss"]["mean"] - arms[SAME_ON_RANDOM]["loss"]["mean"]
        )
        assert facts["against_random"]["loss"]["mean"] == pytest.approx(difference)
    page = (Path(recipe.run) / "report" / "index.html").read_text()
    assert "Proof: retraining with decisions" in page and "4 flip, 3 drop" in page
    run_stages(recipe, [partial(verify_decisions, decisions=str(path))])
    assert "nothing to do" in capsys.readouterr().out
    path.write_text("pair_id,action\n" + f"{ids[0]},keep\n")
    with pytest.raises(ValueError, match="no label is changed"):
        run_stages(recipe, [partial(verify_decisions, decisions=str(path))])
