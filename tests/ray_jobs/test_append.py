"""More labels on a finished run: only what is new is computed."""

from pathlib import Path

import numpy as np
import pytest

from inflib.run_check import check
from ray_jobs.audit import STAGES
from ray_jobs.prepare import prepare
from ray_jobs.shared.session import run_stages
from tests.support.audits import copied, influences
from tests.support.files import mtimes, read_jsonl, write_jsonl
from tests.support.whole_gradients import whole_gradients

pytestmark = pytest.mark.slow  # through the stages and prepare, again


def more_rows(data):
    """14 labels on new comparisons, 3 on known ones, and a label that the run has."""
    known = read_jsonl(data / "train.jsonl")
    new = [
        row | {"pair_id": f"new-{i}", "prompt": f"Once more: {row['prompt']}"}
        for i, row in enumerate(known[:14])
    ]
    relabelled = [
        row
        | {
            "pair_id": f"again-{i}",
            "chosen": row["rejected"],
            "rejected": row["chosen"],
            "labeler": "zoe",
            "note": "a column that the run has not",
        }
        for i, row in enumerate(known[5:8])
    ]
    return [*new, *relabelled, known[9]]


def test_only_new_comparisons_are_computed(
    submitted, ray_session, data, tmp_path, capsys
):
    audited, _ = submitted
    recipe = copied(
        audited, tmp_path, "pairs", "reward_model", "sketches", "influence", "report"
    )
    leaked = read_jsonl(data / "expert.jsonl")[0] | {"pair_id": "leaked"}
    more = write_jsonl(tmp_path / "more.jsonl", [*more_rows(data), leaked])
    fields = recipe.model_dump(mode="json")
    fields["prepare"]["train"]["path"] = [str(data / "train.jsonl"), str(more)]
    grown = type(recipe).model_validate(fields)
    before = mtimes(Path(recipe.run) / "sketches")
    run_stages(grown, STAGES)
    printed = capsys.readouterr().out
    assert "on a comparison of expert (prepare.shared_with_train)" in printed
    assert "17 labels appended, 3 of them on comparisons that the run has" in printed
    assert "left out columns that the run has not: ['note']" in printed
    assert "sketch: 1 of 9 shards to compute" in printed
    sketched = mtimes(Path(recipe.run) / "sketches")
    records = {p for p in before if p.suffix == ".npy" or p.stem.isdigit()}
    assert all(sketched[p] == before[p] for p in records)
    assert check(grown) == []
    table, old = influences(grown), influences(audited)
    assert len(table) == len(old) + 17
    assert {"zoe"} < set(table["labeler"].to_pylist())
    grads, margins, ids = whole_gradients(grown, "train")
    v = whole_gradients(grown, "expert")[0].mean(0)
    assert table["pair_id"].to_pylist() == ids
    np.testing.assert_allclose(table["margin"], margins, rtol=1e-4, atol=1e-5)
    exact = -(grads @ v).numpy()
    scores = table["influence_identity_expert"].to_numpy()
    assert np.abs(scores - exact).max() < 1e-3 * np.abs(exact).max()

    run_stages(grown, STAGES)
    assert "prepare: complete, nothing to do" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"with .*more\.jsonl, which train no longer"):
        run_stages(recipe, [prepare])
    rows = more_rows(data)
    rows[2] = rows[2] | {"chosen": rows[2]["rejected"], "rejected": rows[2]["chosen"]}
    write_jsonl(more, [*rows, rows[0] | {"pair_id": "one more"}])
    with pytest.raises(ValueError, match=r"more\.jsonl: row 3 is not as it was"):
        run_stages(grown, [prepare])


def test_query_sets_do_not_grow(submitted, ray_session, data, tmp_path):
    audited, _ = submitted
    recipe = copied(audited, tmp_path, "pairs")
    first_rows = read_jsonl(data / "expert.jsonl")[:5]
    more = write_jsonl(tmp_path / "expert.jsonl", first_rows)
    fields = recipe.model_dump(mode="json")
    fields["prepare"]["queries"]["expert"]["path"] = [
        str(data / "expert.jsonl"),
        str(more),
    ]
    with pytest.raises(ValueError, match=r"other contents of .*expert\.jsonl"):
        run_stages(type(recipe).model_validate(fields), [prepare])
