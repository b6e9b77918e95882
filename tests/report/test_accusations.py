"""Nobody is called harmful by scores that say nothing."""

import pytest

from inflib.report import summary
from tests.support.scored_run import write_scored

GROUPS = [
    {"name": "ana", "harmful": True, "suspicious": True, "because": "harm"},
    {"name": "ben", "harmful": True, "suspicious": True, "because": "longer"},
    {"name": "eva", "harmful": False, "suspicious": False, "because": "harm"},
]


@pytest.mark.parametrize("status", ["not usable", "doubtful"])
def test_a_query_set_that_is_not_usable_accuses_nobody(tmp_path, monkeypatch, status):
    facts = {"groups": {"labeler": GROUPS}, "spread": {"labeler": None}}
    monkeypatch.setattr(summary, "audit_groups", lambda *_: facts)
    verdict = {"status": status, "reasons": ["at chance"], "labels_to_halve": 1}
    monkeypatch.setattr(summary, "judge_query_set", lambda *_: verdict)
    asked = []

    def quality(*arguments):
        asked.append(arguments[2])
        return {"labeler": {}}

    monkeypatch.setattr(summary, "audit_quality", quality)
    run = write_scored(tmp_path / "run")
    rows = run.summary["queries"]["concise"]["groups"]["labeler"]
    usable = status != "not usable"
    assert [row["harmful"] for row in rows] == [usable, usable, False]
    scores = ["gauss_newton_expert", "gauss_newton_concise"]
    assert asked == [scores if usable else []]  # whom all query sets together accuse
