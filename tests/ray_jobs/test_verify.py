"""Retraining with edited labels on a real Ray."""

import json
from pathlib import Path

import pytest

from ray_jobs.shared.session import run_stages
from ray_jobs.verify import verify
from tests.support.audits import copied
from tests.support.files import mtimes


@pytest.mark.slow
def test_verify_retrains_resumes_and_reports_every_query_set(audited, tmp_path, capsys):
    recipe = copied(
        audited,
        tmp_path,
        "pairs",
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
    (retrained,) = folder.glob("*/all-labels-0-*/adapter_model.safetensors")
    assert retrained.read_bytes() == trained.read_bytes()
    (lost,) = folder.glob("*/group-1-*")
    (lost / "metrics.json").unlink()
    (folder / "done.json").unlink()
    before = mtimes(folder)
    run_stages(recipe, [verify])
    changed = {p.parent.name for p, t in mtimes(folder).items() if before.get(p) != t}
    kept = {p.name for p in folder.glob("*/*")} - {lost.name}
    assert not changed & kept
    assert json.loads((folder / "verify.json").read_text()) == summary
    fewer = recipe.verify.model_copy(update={"groups": 0})
    capsys.readouterr()
    run_stages(recipe.model_copy(update={"verify": fewer}), [verify])
    assert "5 trainings" in capsys.readouterr().out  # all of them kept
    now = mtimes(folder)
    assert all(now[p] == t for p, t in before.items() if p.parent.name in kept)
