"""inflib inspect: every case of tests/cases is shown as it would be read."""

import json

import pytest
from click.testing import CliRunner

from inflib.data.inspection import agreement, inspect
from ray_jobs.inspect_files import command
from tests.support.files import write_jsonl
from tests.support.shaped import CASES, TOKENIZER, source

LABELS = {
    "nectar.jsonl": 12,
    "hh_odd.jsonl": 5,
    "cp1252.csv": 0,
    "shards": 4,
    "spark_escaped.csv": None,
}
"""{case: its labels}; 4 for the others, None where only the good shape matters."""


@pytest.mark.parametrize("name", sorted(path.name for path in CASES.iterdir()))
def test_every_case_can_be_inspected(name):
    result = CliRunner().invoke(command, [str(CASES / name), "--json"])
    expected = LABELS.get(name, 4)
    assert result.exit_code == (0 if expected != 0 else 1), result.output
    found = json.loads(result.output)
    assert found["labels"] == (expected if expected is not None else found["labels"])
    assert len(found["first"]) == min(3, found["labels"])
    assert all(file.startswith(str(CASES / name)) for file in found["read_as"])
    shown = CliRunner().invoke(command, [str(CASES / name)])
    assert f"{found['labels']} labels" in shown.output


def test_truncation_and_lengths_are_the_models(tmp_path):
    row = {"prompt": "word " * 50, "chosen": "yes", "rejected": "no and no"}
    path = str(write_jsonl(tmp_path / "x.jsonl", [row]))
    found = inspect(
        source(encoding="utf-8").model_copy(update={"path": path}), TOKENIZER, 30
    )
    (label,) = found["first"]
    assert label["prompt"].startswith("[... ") and found["unit"] == "tokens"
    assert found["longest"] <= 30


def test_agreement_is_krippendorffs_alpha():
    assert agreement({}) is None
    assert agreement({"c": {"a": 1}}) is None
    assert agreement({"c": {"a": 1, "b": 1}, "d": {"a": -1, "b": -1}}) == 1
    # Two raters, four comparisons, one disagreement, by hand: 1 - (8 - 1) * 2 / 30
    votes = {str(i): {"a": side, "b": side} for i, side in enumerate((1, 1, -1))}
    votes["3"] = {"a": 1, "b": -1}
    observed, n = 1 / 4, 8
    positive, negative = 5, 3
    expected = 2 * positive * negative / (n * (n - 1))
    assert agreement(votes) == pytest.approx(1 - observed / expected)


def test_wrong_options_are_told_in_one_line():
    path = str(CASES / "nectar.jsonl")
    result = CliRunner().invoke(command, [path, "--column", "promt=prompt"])
    assert result.exit_code == 2 and "cannot map ['promt']" in result.output


def test_what_a_terminal_would_act_on_is_not_printed(tmp_path):
    row = {"prompt": "Q ", "chosen": "\x1b[31mred", "rejected": "b\u202eb"}
    path = str(write_jsonl(tmp_path / "x.jsonl", [row | {"labeler": "\x1b]0;x\x07"}]))
    shown = CliRunner().invoke(command, [path]).output
    assert "\x1b" not in shown and "\u202e" not in shown and "red" in shown


def test_errors_name_the_options_of_this_command(tmp_path):
    rows = [{"prompt": "Q", "response": "an answer", "clarity": i} for i in range(3)]
    path = write_jsonl(tmp_path / "x.jsonl", rows)
    result = CliRunner().invoke(command, [str(path)])
    assert "set --column score=NAME" in str(result.exception)
    keys = write_jsonl(tmp_path / "keys.jsonl", [{"labeler": "w1", "question": 7}])
    result = CliRunner().invoke(command, [str(keys)])
    assert "no two columns of texts to compare" in str(result.exception)
    assert "--column chosen=NAME --column rejected=NAME" in str(result.exception)
