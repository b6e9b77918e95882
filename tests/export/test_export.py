"""Datasets of decisions: what each row says, what is left out, what is beside them."""

import json
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import norm

from inflib.data.decisions import Decision, read_decisions
from inflib.export.label_weights import add_weights, probability_not_harmful
from inflib.export.row_columns import names_of_own
from inflib.export.selection import Rule, select
from ray_jobs.export import export
from tests.export.conftest import CHATS, TEXTS
from tests.support.files import read_jsonl

ORIGINAL = {row["pair_id"]: row for row in TEXTS}
INFLUENCE = "influence_gauss_newton_q"


def written(run, tmp_path, name="x.jsonl", **options):
    """(rows by inflib_pair_id, counts) of an export."""
    counts = export(run.recipe, str(tmp_path / name), **options)
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in read_jsonl(tmp_path / name):
        rows.setdefault(row["inflib_pair_id"], []).append(row)
    return rows, counts


def decisions(tmp_path, *lines):
    path = tmp_path / "decided.csv"
    path.write_text("\n".join(["pair_id,labeler,action,value", *lines]) + "\n")
    return str(path)


def test_what_nobody_decided_on_is_as_it_was(texts, tmp_path):
    rows, counts = written(texts, tmp_path)
    assert rows.keys() == ORIGINAL.keys()
    influence = dict(
        zip(
            texts.labels["pair_id"].to_pylist(),
            texts.labels[INFLUENCE].to_pylist(),
            strict=True,
        )
    )
    for pair_id, (row,) in rows.items():
        before = ORIGINAL[pair_id]
        # margin is a name that TRL reads as what the loss requires
        assert row == {
            **{name: before[name] for name in ("prompt", "chosen", "rejected")},
            **{name: before[name] for name in ("age", "labeler", "prompt_id", "wrong")},
            "input_margin": 0.5,
            "inflib_pair_id": pair_id,
            "inflib_action": "keep",
            "inflib_reason": "",
            "inflib_influence_q": influence[pair_id],
            "inflib_file": row["inflib_file"],
            "inflib_file_row": TEXTS.index(before) + 1,
        }
    assert counts["rows"] == counts["labels"] == 12
    assert counts["digest"] == texts.digest
    assert read_decisions(str(tmp_path / "x.decisions.csv"), skip_open=True) == {}


def test_decisions_change_rows(texts, tmp_path):
    path = decisions(tmp_path, "p0,,flip,", "p1,,drop,", "p2,@dev,weight,2.5")
    rows, counts = written(texts, tmp_path, decisions=path)
    assert "p1" not in rows and counts["left_out"] == {"drop": 1}
    assert rows["p0"][0]["chosen"] == ORIGINAL["p0"]["rejected"]
    assert rows["p0"][0]["rejected"] == ORIGINAL["p0"]["chosen"]
    assert rows["p0"][0]["wrong"] == ORIGINAL["p0"]["wrong"]  # own columns stay
    assert rows["p0"][0]["weight"] == 1 and rows["p2"][0]["weight"] == 2.5
    assert rows["p2"][0]["inflib_action"] == "weight"
    assert counts["actions"] == {"flip": 1, "drop": 1, "weight": 1, "keep": 9}
    assert counts["labelers"]["ana"] == {"labels": 4, "rows": 4, "flip": 1}
    assert counts["labelers"]["ben"] == {"labels": 4, "rows": 3, "drop": 1}
    assert json.loads((tmp_path / "x.counts.json").read_text()) == counts
    log = read_decisions(str(tmp_path / "x.decisions.csv"))
    assert log == read_decisions(path)


def test_ties_are_left_out_or_written_each_way(texts, tmp_path):
    path = decisions(tmp_path, "p3,,tie,", "p4,,0,")
    rows, counts = written(texts, tmp_path, decisions=path)
    assert "p3" not in rows and "p4" not in rows
    assert counts["left_out"] == {"tie": 1, "weight 0": 1}
    both, counts = written(texts, tmp_path, "y.jsonl", decisions=path, ties="both")
    first, second = both["p3"]
    assert [first["weight"], second["weight"]] == [0.5, 0.5]
    assert first["chosen"] == second["rejected"] != first["rejected"]
    assert counts["rows"] == 12 and both["p0"][0]["weight"] == 1


def test_rules_give_decisions_that_can_be_read_back(texts, tmp_path):
    rules = (Rule("flip", "rank <= 25%"), Rule("drop", "labeler == '@dev'"))
    rows, counts = written(texts, tmp_path, rules=rules)
    ranks = texts.labels["rank_gauss_newton_q"].to_pylist()
    ids = texts.labels["pair_id"].to_pylist()
    worst = {x for x, rank in zip(ids, ranks, strict=True) if rank <= 3}
    dev = {row["pair_id"] for row in TEXTS if row["labeler"] == "@dev"}
    log = read_decisions(str(tmp_path / "x.decisions.csv"))
    assert {x for x, d in log.items() if d.action == "drop"} == dev
    assert {x for x, d in log.items() if d.action == "flip"} == worst - dev
    assert rows.keys() == ORIGINAL.keys() - dev
    assert counts["rules"] == {
        "--drop \"labeler == '@dev'\"": 4,
        '--flip "rank <= 25%"': 3,
    }
    first = next(iter(worst - dev), None) or next(iter(dev))
    assert log[first].reason.startswith("--") and log[first].decided_by
    again, _ = written(
        texts, tmp_path, "again.jsonl", decisions=str(tmp_path / "x.decisions.csv")
    )
    assert again == rows


def test_the_file_wins_over_rules_and_drop_over_tie_over_flip(texts):
    kept = {"p0": Decision("p0", action="keep")}
    rules = [
        Rule("flip", "age >= 0"),
        Rule("tie", "age <= 3"),
        Rule("drop", "age in [1, 0]"),
        Rule("review", "age in [4]"),
    ]
    found = select(texts, kept, rules, None, "now")
    actions = {x: d.action for x, d in found.decisions.items()}
    assert actions["p0"] == "keep" and actions["p1"] == "drop"
    assert actions["p2"] == actions["p3"] == "tie" and actions["p5"] == "flip"
    assert "p4" not in actions  # has no age
    assert len(actions) == 11
    assert any("keep the decision of the file" in note for note in found.notes)
    assert any("several actions" in note for note in found.notes)
    assert any("matches no label" in note for note in found.notes)


def test_weights_are_the_probability_that_a_label_does_not_harm(texts, tmp_path):
    path = decisions(tmp_path, "p0,,flip,")
    rows, _ = written(texts, tmp_path, decisions=path, weights=True)
    columns = ("pair_id", INFLUENCE, "error_gauss_newton_q")
    for pair_id, influence, error in zip(
        *(texts.labels[name].to_pylist() for name in columns), strict=True
    ):
        expected = 1.0 if pair_id == "p0" else norm.cdf(0, influence, error)
        assert rows[pair_id][0]["weight"] == pytest.approx(expected, abs=1e-6)
    log = read_decisions(str(tmp_path / "x.decisions.csv"))
    assert len(log) == 12 and log["p1"].action == "weight" and log["p1"].value


def test_weights_where_little_is_known():
    influence = np.array([0.0, np.nan, 1.0, -1.0, 2.0])
    error = np.array([0.0, 1.0, 0.0, 0.0, 1.0])
    expected = [0.5, 0.5, 0.0, 1.0, norm.cdf(-2)]
    np.testing.assert_allclose(probability_not_harmful(influence, error), expected)


def test_weights_are_given_to_labels_without_a_decision(texts):
    selection = select(texts, {"p1": Decision("p1", action="tie")}, [], None, "now")
    add_weights(texts, selection, None, "now")
    assert selection.decisions["p1"].action == "tie" and selection.used == {"q"}
    values = [d.value for x, d in selection.decisions.items() if x != "p1"]
    assert len(values) == 11
    assert all(value is not None and 0 <= value <= 1 for value in values)


def test_scores_that_are_not_usable_need_anyway(texts, tmp_path):
    summary = texts.folder / "report"
    facts = summary.read_json("summary.json")
    verdict = {"status": "not usable", "reasons": ["too few labels"]}
    summary.write_json("summary.json", {"queries": {"q": {"verdict": verdict}}})
    try:
        for options in ({"rules": (Rule("flip", "rank <= 2"),)}, {"weights": True}):
            with pytest.raises(ValueError, match=r"too few labels.*--anyway"):
                written(texts, tmp_path, **options)
        rules = (Rule("drop", "age < 3"),)  # does not use the scores
        assert written(texts, tmp_path, rules=rules)[1]["rows"] == 9
        anyway = {"rules": (Rule("drop", "rank <= 2"),), "anyway": True}
        rows, _ = written(texts, tmp_path, overwrite=True, **anyway)
        assert len(rows) == 10
    finally:
        summary.write_json("summary.json", facts)


def test_chats_are_written_as_messages(chats, tmp_path):
    path = decisions(tmp_path, "c1,,flip,")
    rows, counts = written(chats, tmp_path, decisions=path)
    assert counts["form"] == "messages"
    for row in CHATS:
        (found,) = rows[row["pair_id"]]
        sides = ["chosen", "rejected"][:: -1 if row["pair_id"] == "c1" else 1]
        assert [found[side] for side in sides] == [row["chosen"], row["rejected"]]
        assert found["prompt"] == row["prompt"]
    export(chats.recipe, str(tmp_path / "p.parquet"), decisions=path)
    table = pq.read_table(tmp_path / "p.parquet").to_pylist()
    assert table == [row for of_label in rows.values() for row in of_label]
    text, counts = written(chats, tmp_path, "t.jsonl", form="text")
    assert counts["form"] == "text" and "Größe" in text["c0"][0]["prompt"]


@pytest.mark.parametrize(
    ("to", "options", "said"),
    [
        ("x.txt", {}, "none of .jsonl, .parquet and .csv"),
        ("hub:me", {}, "hub:owner/name"),
        ("x.csv", {}, "no label is selected"),
        ("x.csv", {"weights": True}, "not with a review"),
        ("x.jsonl", {"kind": "argilla"}, "writes a folder"),
        ("x.jsonl", {"rules": (Rule("drop", "age > -1 or age < 9"),)}, ""),
        ("s3://b/x/", {}, "on this machine"),
        ("x.jsonl", {"query": "r"}, "--query r: no such query set"),
    ],
)
def test_wrong_targets_are_told(texts, tmp_path, to, options, said):
    to = to if ":" in to else str(tmp_path / to)
    if not said:
        assert export(texts.recipe, to, **options)["rows"] == 1  # it has no age
        said, options = "is there already: choose another --to", {}
    with pytest.raises(ValueError, match=said.replace(".", r"\.")):
        export(texts.recipe, to, **options)


def test_a_hub_needs_a_token(texts, monkeypatch, tmp_path):
    from huggingface_hub import constants

    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(ValueError, match="needs a token"):
        export(texts.recipe, "hub:me/labels")


def test_a_label_of_another_run_is_refused(texts, tmp_path):
    path = decisions(tmp_path, "nobody,,flip,")
    with pytest.raises(ValueError, match="not in"):
        export(texts.recipe, str(tmp_path / "x.jsonl"), decisions=path)
    assert not (tmp_path / "x.jsonl").exists()


def test_own_columns_get_names_that_are_free():
    own = ["input_margin", "age", "inflib_action", "input_age", "prompt"]
    assert names_of_own(own, {"inflib_action", "prompt", "margin"}) == {
        "input_margin": "input_margin",
        "age": "age",
        "inflib_action": "input_inflib_action",
        "input_age": "input_age",
        "prompt": "input_prompt",
    }
    assert names_of_own(["input_loss"], set()) == {"input_loss": "loss"}
