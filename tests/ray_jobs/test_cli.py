"""Commands on a finished run, as a shell or a machine would use them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from inflib.config.cli import run_command
from ray_jobs.cli import command


def test_json_is_the_summary_and_the_rest_goes_to_stderr(audited):
    program = [sys.executable, "-m", "ray_jobs.report", "--json", "--run", audited.run]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    summary = json.loads(Path(audited.run, "report", "summary.json").read_text())
    assert json.loads(done.stdout) == summary
    assert "report: complete" in done.stderr


def test_input_that_a_stage_refuses_is_one_line_and_exit_code_2(
    audited, tmp_path, capsys
):
    edits = tmp_path / "edits.csv"
    edits.write_text("pair_id,action\nnobody,flip\n")
    with pytest.raises(SystemExit) as stopped:
        run_command(command("what-if"), "inflib", [str(edits), "--run", audited.run])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: 1 labels are not in ") and "'nobody'" in line
