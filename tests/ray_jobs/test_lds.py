"""The lds benchmark on a real Ray: retrainings, kept models, every estimator's row."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from inflib.benchmarks.estimators import CONTROLS, DATAINF
from inflib.benchmarks.forward_only import BY_QUERY_MODEL, STATES
from inflib.config.run_config import bind
from ray_jobs.benchmark import command
from tests.support.audits import copied
from tests.support.files import mtimes


@pytest.mark.slow
def test_lds_compares_every_estimator_and_resumes(audited, tmp_path):
    recipe = copied(audited, tmp_path, "pairs", "reward_model", "sketches")
    bind(recipe)
    target = tmp_path / "lds.json"
    arguments = ["lds", "--json", str(target), "--run", recipe.run, "--halves", "3"]
    arguments += ["--seeds", "2", "--groups", "3", "--no-curves", "--at-once", "2"]

    def measured(*more):
        found = CliRunner().invoke(command, [*arguments, *more], catch_exceptions=False)
        assert found.exit_code == 0, found.output
        return found.output, json.loads(target.read_text())

    output, result = measured()
    count = 2 * (1 + 3 + len(result["changes"]))  # all, halves, groups
    assert f"lds: {count} trainings, {count} of them to do" in output
    names = {row["estimator"] for row in result["estimators"]}
    assert {
        "as_scored",
        "newton_step_0.1",
        DATAINF,
        *CONTROLS,
        *STATES,
        BY_QUERY_MODEL,
    } <= names
    for row in result["estimators"]:
        assert -1 <= row["lds"]["low"] <= row["lds"]["high"] <= 1
    drops = [row["labels"] for row in result["changes"]]
    assert drops and min(drops) > 0
    # a model that is lost is trained again, and no other
    bank = Path(recipe.run) / "retrained"
    lost = min(path.parent for path in bank.glob("*/metrics.json"))
    (lost / "metrics.json").unlink()
    before = mtimes(bank)
    output, again = measured()
    assert f"lds: {count} trainings, 1 of them to do" in output
    changed = {p.parent for p, t in mtimes(bank).items() if before.get(p) != t}
    assert {p for p in changed if (p / "metrics.json").exists()} == {lost}
    assert again == result
    with pytest.raises(ValueError, match="--default 'x': there are as_scored"):
        measured("--default", "x")
