"""inflib check on a real run, whole and damaged."""

import json
import shutil

import pytest

from inflib.config.cli import run_command
from ray_jobs.check import command


def checked(run, capsys):
    """(exit status, lines) of inflib check."""
    with pytest.raises(SystemExit) as stopped:
        run_command(command, "inflib check", [str(run)])
    return stopped.value.code, capsys.readouterr().out.splitlines()


def test_check_lists_what_is_wrong_and_says_so_by_its_exit_status(
    audited, tmp_path, capsys
):
    run = tmp_path / "run"
    assert checked(audited.run, capsys) == (0, [f"{audited.run}: whole"])
    shutil.copytree(audited.run, run)
    config = json.loads((run / "config.json").read_text()) | {"run": str(run)}
    (run / "config.json").write_text(json.dumps(config))
    influence = run / "influence" / "influence.parquet"
    influence.write_bytes(influence.read_bytes()[:-1])
    (run / "influence" / "partials").mkdir(exist_ok=True)
    (run / "influence" / "partials" / "x").write_text("")
    (run / "pairs" / ".scratch-1").write_text("half")
    index = run / "sketches" / "train" / "index.parquet"
    shutil.copy(run / "sketches" / "expert" / "index.parquet", index)
    code, lines = checked(run, capsys)
    assert code == 1 and lines[0] == "pairs/.scratch-1: half-written, safe to delete"
    assert lines[1].startswith("influence/influence.parquet: ")
    assert "Parquet" in lines[1]
    assert lines[2:] == [
        "sketches/train/index.parquet: not what the records say",
        "influence/partials/x: left over",
        f"{run}: 4 problems",
    ]
    (run / "pairs" / ".scratch-1").unlink()
    labels = next((run / "pairs" / "train").glob("labels-00000-*"))
    labels.write_bytes(labels.read_bytes()[:-1])
    (run / "sketches" / "train" / "00001.json").unlink()
    code, lines = checked(run, capsys)
    # two that cannot be read, the record missing below, its payload, and the total
    assert code == 1 and len(lines) == 4 + 1
    assert any(labels.name in line for line in lines)
    assert any("missing" in line and "00001.json" in line for line in lines)


@pytest.mark.parametrize("name", ["influence.parquet", "done.json"])
def test_a_lost_or_damaged_file_of_scores_is_a_problem(audited, tmp_path, capsys, name):
    run = tmp_path / "run"
    shutil.copytree(audited.run, run)
    config = json.loads((run / "config.json").read_text()) | {"run": str(run)}
    (run / "config.json").write_text(json.dumps(config))
    if name == "done.json":
        (run / "influence" / name).write_text("{")
    else:
        (run / "influence" / name).unlink()
    code, lines = checked(run, capsys)
    assert code == 1 and name in lines[0]
    assert lines[1:] == [f"{run}: 1 problems"]
