"""Labels to review, as a CSV file and for labelling tools, and what comes back.

tests/export/review_files holds what is written for two fixed labels, and what the tools
export of them; test_review_tools.py has the tools' own clients read the former and make
the latter. UPDATE_REVIEW_FILES=1 writes ours anew.
"""

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from inflib.data.decisions import Decision, read_decisions
from inflib.export.argilla import metadata_name, write_argilla
from inflib.export.label_studio import write_label_studio
from inflib.export.review_items import ReviewItem, readable
from inflib.export.reviewed import read_reviewed
from inflib.export.selection import Rule
from ray_jobs.export import export
from ray_jobs.import_decisions import command
from tests.export.conftest import TEXTS
from tests.support.files import files

HERE = Path(__file__).parent / "review_files"
HOSTILE = '<script>alert(1)</script> {{7*7}} "&" \u202eRTL =1+1'
ITEMS = [
    ReviewItem(
        "p1",
        "ana",
        "flip",
        '--flip "rank <= 1%"',
        "Größe?",
        HOSTILE,
        "no",
        {"margin": -0.5, "influence_expert": 0.25, "rank_expert": 1},
    ),
    ReviewItem("=p2", "", "keep", "", "", "a\nb", "c", {}),
]
NUMBERS = ["margin", "influence_expert", "rank_expert"]


@pytest.mark.parametrize("tool", ["argilla", "label_studio"])
def test_files_for_tools_are_those_that_their_clients_have_read(tool, tmp_path):
    if tool == "argilla":
        count = write_argilla(str(tmp_path / tool), iter([ITEMS]), NUMBERS)
    else:
        count = write_label_studio(str(tmp_path / tool), iter([ITEMS[:1], ITEMS[1:]]))
    assert count == 2
    if os.environ.get("UPDATE_REVIEW_FILES"):
        for name, data in files(tmp_path / tool).items():
            (HERE / tool / name).parent.mkdir(parents=True, exist_ok=True)
            (HERE / tool / name).write_bytes(data)
    assert files(tmp_path / tool) == files(HERE / tool)


def test_what_tools_export_becomes_decisions():
    found = read_reviewed(str(HERE / "argilla_export.json"))
    assert found.source == "Argilla" and found.open == found.disagreed == []
    assert found.decisions == {
        "p1": Decision(
            "p1", "ana", "drop", None, '--flip "rank <= 1%"', "unclear", "u"
        ),
        "=p2": Decision("=p2", "", "drop", None, "", "unclear", "u"),
    }
    expected = Decision(
        "p1",
        "ana",
        "tie",
        None,
        '--flip "rank <= 1%"',
        "both fine",
        "7",
        "2026-01-02T03:04:05.000000Z",
    )
    for name in ("label_studio_export.json", "label_studio_export_min.json"):
        found = read_reviewed(str(HERE / name))
        assert found.source == "Label Studio"
        assert found.decisions == {"p1": expected}
        # JSON_MIN has a row for each annotation, none for a task that was skipped.
        assert found.open == ([] if "min" in name else ["=p2"])


def answered(*users):
    """A record of Argilla with these users' answers."""
    answers = [{"value": value, "user_id": user} for user, value in users]
    return {"id": "p", "fields": {"chosen": "a"}, "responses": {"action": answers}}


def test_the_answer_of_most_reviewers_counts(tmp_path):
    path = tmp_path / "records.json"
    path.write_text(json.dumps([answered(("a", "flip"), ("b", "drop"), ("c", "flip"))]))
    (decision,) = read_reviewed(str(tmp_path)).decisions.values()  # a folder of to_disk
    assert decision.action == "flip" and decision.decided_by == "a, c"
    path.write_text(json.dumps([answered(("a", "flip"), ("b", "drop"))]))
    assert read_reviewed(str(path)).disagreed == ["p"]
    done = CliRunner().invoke(command, [str(path), "--to", str(tmp_path / "d.csv")])
    assert isinstance(done.exception, ValueError)
    assert "on 1 the reviewers disagree" in str(done.exception)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", "is none of them"),
        ("[]", "is none of them"),
        ("[{", "not valid JSON"),
        ('[{"text": "a"}]', "is none of them"),
        ("a,b\n1,2\n", "needs the columns pair_id and action"),
        (json.dumps([answered(("a", "burn"))]), "answer 1: action 'burn' is not keep"),
        (json.dumps([answered(("a", "flip")) | {"id": None}]), "answer 1: no pair_id"),
    ],
)
def test_other_files_are_told(text, said, tmp_path):
    path = tmp_path / "file"
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        read_reviewed(str(path))


def test_a_review_is_filled_in_and_read_back(texts, tmp_path):
    path = tmp_path / "review.csv"
    counts = export(texts.recipe, str(path), rules=(Rule("flip", "rank <= 3"),))
    assert counts["to_review"] == 3 and not (tmp_path / "review.counts.json").exists()
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    by_id = {row["pair_id"]: row for row in TEXTS}
    for row in rows:
        assert (row["action"], row["proposed"]) == ("", "flip")
        assert row["chosen"].lstrip("'") == by_id[row["pair_id"]]["chosen"]
        cells = [row[x] for x in ("labeler", "chosen", "rejected", "reason")]
        assert not any(cell.startswith(("=", "@", "-")) for cell in cells)
    rows[0]["action"], rows[0]["note"] = "drop", "=unclear"
    rows[1] |= {"action": "weight", "value": "0.5"}
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(ValueError, match="row 4"):
        read_decisions(str(path))  # rows are open
    to = str(tmp_path / "d.csv")
    done = CliRunner().invoke(command, [str(path), "--to", to, "--json"])
    said = json.loads(done.output)
    assert said == {
        "source": "review.csv",
        "decisions": 2,
        "open": 1,
        "disagreed": [],
    }
    decision, weight = texts.decisions(to).values()
    assert weight.value == 0.5
    assert (decision.action, decision.note) == ("drop", "=unclear")
    again = CliRunner().invoke(command, [str(path), "--to", to])
    assert "is there already" in str(again.exception)


def test_the_tools_folders_are_written_from_a_run(chats, tmp_path):
    options: dict[str, Any] = {"rules": (Rule("review", "rank <= 2"),)}
    export(chats.recipe, str(tmp_path / "a"), kind="argilla", **options)
    export(chats.recipe, str(tmp_path / "l"), kind="label-studio", **options)
    records = json.loads((tmp_path / "a" / "records.json").read_text())
    tasks = json.loads((tmp_path / "l" / "tasks.json").read_text())
    assert [x["id"] for x in records] == [x["data"]["pair_id"] for x in tasks]
    assert records[0]["fields"]["prompt"].startswith("[system] Be brief.\n\n[user]")
    assert records[0]["suggestions"]["action"]["value"] == "keep"
    with pytest.raises(ValueError, match="there already"):
        export(chats.recipe, str(tmp_path / "a"), kind="argilla", **options)


def test_chats_are_readable():
    turn = {"role": "assistant", "content": "", "tool_calls": [{"id": 1}]}
    kept = {"prompt": [], "a": [turn], "b": [turn, turn | {"content": "x"}]}
    prompt, a, b = readable({"messages": json.dumps(kept | {"arguments": {}})})
    assert prompt == "" and a == "[assistant] [{'id': 1}]"
    assert b.count("[assistant]") == 2 and b.endswith("x\n[{'id': 1}]")


def test_names_that_argilla_takes():
    assert metadata_name("influence_Größe") == "influence_gr__e"
