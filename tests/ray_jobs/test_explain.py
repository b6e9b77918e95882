"""Influence on single query labels on a real Ray."""

import pyarrow.parquet as pq
import pytest

from inflib.data.pairs_folder import PairsFolder
from inflib.storage.folder import Folder
from ray_jobs.explain import explain
from ray_jobs.shared.session import run_stages
from tests.support.audits import copied, influences
from tests.support.files import mtimes


def test_explain_names_what_drives_two_decisions(audited, tmp_path, capsys):
    query = PairsFolder(Folder(audited.run) / "pairs" / "expert")
    ids = query.labels(query.plan()[0])["pair_id"].to_pylist()[:2]
    recipe = copied(
        audited,
        tmp_path,
        "pairs",
        "sketches",
        "influence",
        explain={"pairs": ids, "top": 3},
    )
    run_stages(recipe, [explain])
    assert "training labels behind" in capsys.readouterr().out
    rows = pq.read_table(f"{recipe.run}/explain/explain.parquet").to_pylist()
    assert {row["query_pair_id"] for row in rows} == set(ids)
    assert len(rows) == 2 * 3 * 3
    assert {row["pair_id"] for row in rows} <= set(
        influences(recipe)["pair_id"].to_pylist()
    )
    assert all(row["influence"] > 0 for row in rows if row["role"] == "harmful")
    before = mtimes(f"{recipe.run}/explain")
    run_stages(recipe, [explain])
    printed = capsys.readouterr().out
    assert "complete, nothing to do" in printed
    assert "training labels behind" in printed
    assert mtimes(f"{recipe.run}/explain") == before
    unknown_set = copied(recipe, tmp_path / "copy", explain={"query": "none"})
    with pytest.raises(ValueError, match=r"explain\.query 'none': no such query set"):
        explain(unknown_set)
