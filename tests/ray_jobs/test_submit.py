"""`ray job submit` of an audit to a real cluster head."""

import pytest

from inflib.storage.folder import Folder
from tests.support.files import read_jsonl

pytestmark = pytest.mark.slow  # a cluster of its own, and a whole audit


def test_an_audit_submitted_to_a_cluster_trains_and_reports(submitted, data):
    recipe, printed = submitted
    summary = Folder(recipe.run).read_json("report/summary.json")
    assert summary["labels"] == len(read_jsonl(data / "train.jsonl"))
    assert len(summary["queries"]["expert"]["top"]) == 2
    assert "most harmful labels" in printed
    log = Folder(recipe.run).read_json("reward_model/log.json")
    (loss,) = (entry["train_loss"] for entry in log if "train_loss" in entry)
    assert loss < 0.68, "it learns: a coin's loss is 0.69"
