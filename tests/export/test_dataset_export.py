"""Decisions and rules to datasets: rows, formats, change log, counts."""

import json
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import norm

from inflib.data.decisions import Decision, decisions_csv, read_decisions
from inflib.export.dataset_files import check_target, write_dataset
from inflib.export.dataset_rows import Dataset
from inflib.export.label_weights import label_weights
from inflib.export.rules import Rule
from inflib.export.selection import check_verdicts, select
from ray_jobs.export import job

OPTIONS: dict[str, Any] = {
    "decisions": None,
    "flip": (),
    "drop": (),
    "tie": (),
    "query": "concise",
}
OPTIONS |= {"ties": "drop", "weights": False, "anyway": False}


def exported(scored, target, **options):
    """(counts, rows by pair_id) of an export to a .jsonl file."""
    counts = job(scored.recipe, str(target), **OPTIONS | options)
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    assert counts["rows"] == len(rows)
    by_id: dict[str, list[Any]] = {}
    for row in rows:
        by_id.setdefault(row["inflib_pair_id"], []).append(row)
    return counts, by_id


@pytest.fixture(scope="module")
def reported(scored):
    """The run, with its report written."""
    report = scored.folder / "report"
    report.write_json("summary.json", scored.summary)
    report.write_json("done.json", {"scores": scored.digest})
    return scored


def labels_with_texts(run):
    """{pair_id: (label, prompt, chosen, rejected)} of a run's labels."""
    comparisons = [row for table in run.comparisons() for row in table.to_pylist()]
    found = {}
    numbers = run.comparison_numbers.tolist()
    for label, number in zip(run.labels.to_pylist(), numbers, strict=True):
        text = comparisons[number]
        assert text["comparison_id"] == label["comparison_id"]
        a, b = text["response_a"], text["response_b"]
        sides = (a, b) if label["sign"] > 0 else (b, a)
        found[label["pair_id"]] = (label, text["prompt"], *sides)
    return found


def test_every_decision_does_what_it_says(reported, tmp_path):
    labels = labels_with_texts(reported)
    ids = list(labels)[::37][:5]
    actions = dict(zip(ids, ("flip", "drop", "tie", "weight", "keep"), strict=True))
    decisions = [
        Decision(i, "", action, 0.25 if action == "weight" else None, "seen")
        for i, action in actions.items()
    ]
    path = tmp_path / "decisions.csv"
    path.write_text(decisions_csv(decisions))
    target = tmp_path / "clean.jsonl"
    counts, rows = exported(reported, target, decisions=str(path), ties="both")
    assert counts["actions"] == dict.fromkeys(actions.values(), 1)
    assert counts["labels"] == len(labels) and counts["rows"] == len(labels)
    flipped, dropped, tied, weighted, _ = ids
    assert dropped not in rows and len(rows[tied]) == 2
    for pair_id, (label, prompt, chosen, rejected) in labels.items():
        for number, row in enumerate(rows.get(pair_id, [])):
            turned = pair_id == flipped or number == 1
            sides = (rejected, chosen) if turned else (chosen, rejected)
            assert (row["prompt"], row["chosen"], row["rejected"]) == (prompt, *sides)
            weight = {weighted: 0.25, tied: 0.5}.get(pair_id, 1.0)
            assert row["weight"] == weight
            assert row["inflib_action"] == actions.get(pair_id, "keep")
            assert row["inflib_reason"] == ("seen" if pair_id in actions else None)
            for name in ("labeler", "batch", "hours", "ticket", "wrong", "essay"):
                assert row[name] == label[name]
            score = label["influence_gauss_newton_concise"]
            assert row["inflib_influence_concise"] == score
    log = read_decisions(str(tmp_path / "clean.decisions.csv"))
    assert {k: d.action for k, d in log.items()} == actions
    saved = json.loads((tmp_path / "clean.counts.json").read_text())
    assert saved == counts and saved["digest"] == reported.digest


def test_the_same_rows_in_every_format(reported, tmp_path):
    dataset = Dataset(reported, {})
    lines = tmp_path / "a.jsonl"
    count = write_dataset(dataset, str(lines))
    expected = [json.loads(line) for line in lines.read_text().splitlines()]
    assert len(expected) == count == len(reported.labels)
    write_dataset(dataset, str(tmp_path / "b.parquet"))
    assert pq.read_table(tmp_path / "b.parquet").to_pylist() == expected
    write_dataset(dataset, str(tmp_path / "c"))
    assert datasets.load_from_disk(str(tmp_path / "c")).to_list() == expected
    again = datasets.load_dataset(
        "json", data_files=str(lines), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert again.num_rows == count and again["chosen"][:] == [
        row["chosen"] for row in expected
    ]
    write_dataset(dataset, str(tmp_path / "c"))  # over its own


def test_rules_are_applied_in_their_order_and_a_file_wins(reported, tmp_path):
    rule = {a: [Rule("margin < 0", f"--{a}", None)] for a in ("flip", "drop", "tie")}
    rule["flip"].append(Rule("margin < 0.5", "--flip", None))
    first = reported.labels["pair_id"].to_pylist()[0]
    path = tmp_path / "d.csv"
    path.write_text(decisions_csv([Decision(first, "", "keep")]))
    decisions, notes = select(reported, str(path), rule)
    for label in reported.labels.to_pylist():
        margin = label["margin"]
        decided = None if margin is None or margin >= 0.5 else "flip"
        decided = "drop" if margin is not None and margin < 0 else decided
        decided = "keep" if label["pair_id"] == first else decided
        decision = decisions.get(label["pair_id"])
        assert (decision.action if decision else None) == decided
    assert any("--tie also match a rule that comes before" in note for note in notes)
    assert any("decided otherwise in" in note for note in notes)


def test_weights_are_the_probability_that_a_label_is_harmless(reported):
    weights = label_weights(reported, "concise")
    for weight, label in zip(weights, reported.labels.to_pylist(), strict=True):
        score = label["influence_gauss_newton_concise"]
        if score is None:
            assert weight == 1
        else:
            error = label["error_gauss_newton_concise"]
            assert weight == pytest.approx(norm.cdf(-score / error))
    sure = reported.surely_harmful("concise")
    assert weights[sure].max() < 0.1 and 0.4 < np.median(weights) < 0.99


def test_scores_that_say_nothing_are_refused_unless_asked_for(reported, monkeypatch):
    facts = reported.summary["queries"]["expert"]["verdict"]
    verdict = {"status": "not usable", "reasons": ["it is at chance there"]}
    monkeypatch.setitem(facts, "status", "not usable")
    monkeypatch.setitem(facts, "reasons", verdict["reasons"])
    for text in ("rank <= 3", "influence_datainf_expert > 0"):
        with pytest.raises(ValueError, match=r"not usable: it is at chance.*--anyway"):
            check_verdicts(reported, [Rule(text, "--drop", "expert")])
    others = [
        Rule("margin < 0", "--drop", "expert"),
        Rule("rank < 2", "--f", "concise"),
    ]
    check_verdicts(reported, others)


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("clean.txt", "end it with .jsonl or .parquet"),
        ("hub:name", "hub:owner/name"),
        ("s3://bucket/folder", "written locally"),
        ("taken", "no dataset"),
        ("taken.jsonl", "a folder of this name"),
    ],
)
def test_targets_that_cannot_be_written_are_refused_first(
    tmp_path, monkeypatch, target, problem
):
    monkeypatch.chdir(tmp_path)
    for name in ("taken", "taken.jsonl"):
        (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match=problem):
        check_target(target)


def test_an_export_without_rows_and_decisions_of_another_run_are_refused(
    reported, tmp_path
):
    target = str(tmp_path / "x.jsonl")
    with pytest.raises(ValueError, match="no label is left"):
        job(reported.recipe, target, **OPTIONS | {"drop": ("length_difference > -99",)})
    path = tmp_path / "d.csv"
    path.write_text("pair_id,action\nnobody,drop\n")
    with pytest.raises(ValueError, match="the first: 'nobody'"):
        job(reported.recipe, target, **OPTIONS | {"decisions": str(path)})
    first = reported.labels.slice(8, 1).to_pylist()[0]
    path.write_text(decisions_csv([Decision(first["pair_id"], "another", "drop")]))
    with pytest.raises(ValueError, match="is it of another run"):
        job(reported.recipe, target, **OPTIONS | {"decisions": str(path)})
