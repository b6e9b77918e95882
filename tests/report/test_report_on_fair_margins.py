"""What the report makes of fair margins of a scored run."""

import pytest

from inflib.audited_run import AuditedRun, studies_digest
from inflib.page.label_columns import columns_of
from inflib.page.studies_tab import studies_tab
from inflib.report.labeler_quality import without_fair_margins
from inflib.report.summary import summarize
from inflib.scores.fair_margins import MISSING, OUTDATED
from tests.scores.test_fair_margins import write_fair
from tests.support.scored_run import write_scored


@pytest.fixture
def run(tmp_path):
    return write_scored(tmp_path / "run")


def grid(run):
    return {column["name"] for column in columns_of(run, [])[0]["columns"]}


def test_the_report_uses_fair_margins_and_says_where_there_are_none(run):
    assert without_fair_margins(MISSING) in run.summary["notes"]
    assert "low_crossfit_margin" not in run.summary["queries"]["expert"]["detection"]
    assert run.fair_margins is None and "crossfit_margin" not in grid(run)
    before = studies_digest(run.folder)
    wrong = {label["pair_id"]: bool(label["wrong"]) for label in run.labels.to_pylist()}
    write_fair(run.recipe, lambda _, pair: -1.0 if wrong.get(pair) else 1.0)
    assert studies_digest(run.folder) != before  # so the report is written anew
    again = AuditedRun(run.recipe, summarize(run.recipe))
    assert not [note for note in again.summary["notes"] if "crossfit" in note]
    found = again.summary["queries"]["expert"]["detection"]
    assert found["low_crossfit_margin"]["auc"] == 1.0
    rates = again.summary["quality"]["labeler"]
    assert rates and all(0 <= row["error_rate"] <= 1 for row in rates.values())
    assert "crossfit_margin" in grid(again)
    shown, charts = studies_tab(again)
    labels = {series["label"] for series in charts["roc-0"]["series"]}
    assert "low crossfit margin" in labels
    assert "low crossfit margin" in {
        row["detector"] for row in shown["detection"]["sets"][0]["rows"]
    }


def test_fair_margins_of_other_labels_are_not_used(run):
    write_fair(run.recipe, lambda *_: 1.0)
    done = run.folder / "crossfit"
    done.write_json("done.json", done.read_json("done.json") | {"labels": "others"})
    summary = summarize(run.recipe)
    assert without_fair_margins(OUTDATED) in summary["notes"]
    assert not [q for q in summary["quality"]["labeler"].values() if q["error_rate"]]
