"""The whole audit on a real Ray and a real tiny Llama."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from inflib.config.run_config import bind
from inflib.scores.influence_folder import InfluenceFolder
from inflib.storage.folder import Folder
from ray_jobs.audit import STAGES
from ray_jobs.report import report
from ray_jobs.score import score
from ray_jobs.shared.session import run_stages
from ray_jobs.sketch import sketch
from tests.support.audits import copied, influences, payload, shown
from tests.support.files import files, mtimes, read_jsonl
from tests.support.whole_gradients import whole_gradients

FOLDERS = ("pairs", "reward_model", "sketches", "influence", "report")


@pytest.fixture
def finished(audited, tmp_path):
    """A copy of the finished audit, to be changed."""
    recipe = copied(audited, tmp_path, *FOLDERS)
    bind(recipe)
    return recipe


def test_training_reports_accuracy_on_every_query_set(audited):
    done = (Folder(audited.run) / "reward_model").read_json("done.json")
    assert set(done["accuracy"]) == {"expert", "concise"}


def gauss_newton(grads, margins, v, damping):
    """(H + lambda I)^-1 v by the matrix of inner products of labels (Woodbury).

    grads: [n d] of the loss; damping: lambda over the trace of H.
    """
    margins = torch.from_numpy(margins)
    # g = -sigmoid(-m) s, so h s s' = sigmoid(m) / sigmoid(-m) g g'
    factor = (margins / 2).exp()[:, None] * grads / len(grads) ** 0.5
    gram = factor @ factor.T
    lam = damping * gram.trace()
    inner = torch.linalg.solve(gram + lam * torch.eye(len(gram)), factor @ v)
    return (v - factor.T @ inner) / lam


@pytest.mark.parametrize("query", ["expert", "concise"])
def test_scores_equal_those_of_whole_gradients(audited, query):
    grads, margins, ids = whole_gradients(audited, "train")
    v = whole_gradients(audited, query)[0].mean(0)
    squares = grads.square().sum(1)
    lam = audited.score.datainf_damping * squares.mean() / grads.shape[1]
    terms = (v - grads * ((grads @ v) / (lam + squares))[:, None]) / lam
    table = influences(audited)
    influence = InfluenceFolder.of(Folder(audited.run))
    damping = influence.damping("gauss_newton", query)
    expected = {
        "datainf": -(grads @ terms.mean(0)),
        "identity": -(grads @ v),
        "gauss_newton": -(grads @ gauss_newton(grads, margins, v, damping)),
    }
    assert table["pair_id"].to_pylist() == ids
    np.testing.assert_allclose(table["margin"], margins, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        table["gradient_norm"], squares.sqrt(), rtol=1e-4, atol=1e-6
    )
    for kind, exact in expected.items():
        scores = table[f"influence_{kind}_{query}"].to_numpy()
        # int8 entries: error 1/254 of a row's largest one, averaging out in sums
        step = 3e-2 if kind == "gauss_newton" else 1e-2  # curvature magnifies it
        assert np.abs(scores - exact.numpy()).max() < step * float(exact.abs().max())
        ranks = np.argsort(np.argsort(-scores, kind="stable")) + 1
        assert table[f"rank_{kind}_{query}"].to_pylist() == ranks.tolist()


def test_one_row_per_label_with_everything_promised(audited):
    table = influences(audited)
    source = read_jsonl(audited.prepare.train.path)
    assert sorted(table["pair_id"].to_pylist()) == sorted(r["pair_id"] for r in source)
    kept = {r["pair_id"]: (r["labeler"], r["wrong"]) for r in source}
    rows = table.to_pylist()
    assert {r["pair_id"]: (r["labeler"], r["wrong"]) for r in rows} == kept
    for row in rows:
        assert row["loss"] == pytest.approx(np.logaddexp(0, -row["margin"]))
        # influence = sigmoid(-m) z s.u and flip effect = -z s.u
        weight = 1 / (1 + np.exp(row["margin"]))
        assert row["influence_datainf_expert"] == pytest.approx(
            -weight * row["flip_effect_datainf_expert"], rel=1e-6, abs=1e-12
        )


def test_a_comparison_with_several_labels_is_stored_once(audited):
    table = influences(audited)
    comparisons = set(table["comparison_id"].to_pylist())
    assert len(comparisons) == 40 < len(table)
    index = (Folder(audited.run) / "sketches" / "train").read_table("index.parquet")
    assert sorted(index["comparison_id"].to_pylist()) == sorted(comparisons)


def test_a_finished_run_is_a_no_op_that_says_so(finished, capsys):
    before = mtimes(finished.run)
    run_stages(finished, STAGES)
    changed = {p.name for p, t in mtimes(finished.run).items() if before.get(p) != t}
    assert changed == {"config.json"}
    printed = capsys.readouterr().out
    for stage in ("prepare", "train", "sketch", "score", "report"):
        assert f"{stage}: complete" in printed


@pytest.mark.parametrize(
    "lost", [pytest.param("payload", marks=pytest.mark.slow), "payload and record"]
)
def test_a_lost_shard_alone_is_recomputed_to_the_same_bytes(finished, lost):
    run = Path(finished.run)
    before, before_files = mtimes(run / "sketches"), files(run)
    paths = [payload(finished, "00001")]
    if lost != "payload":
        paths.append(run / "sketches" / "train" / "00001.json")
    sketched = {f"train/{path.name}" for path in paths} | {"train/00001.json"}
    for path in paths:
        path.unlink()
    run_stages(finished, STAGES)
    assert files(run) == before_files
    changed = {
        f"{p.parent.name}/{p.name}"
        for p, t in mtimes(run / "sketches").items()
        if before.get(p) != t
    }
    indexes = {f"{s}/index.parquet" for s in ("train", "expert", "concise")}
    assert changed - indexes - {"sketches/done.json"} <= sketched
    assert {f"train/{path.name}" for path in paths} <= changed


@pytest.mark.slow
def test_worker_count_and_a_users_own_adapter_change_no_bit(audited, tmp_path, capsys):
    recipe = copied(
        audited,
        tmp_path,
        "pairs",
        sketch={"workers": 2},
        model={"adapter": f"{audited.run}/reward_model/kept"},
    )
    run_stages(recipe, STAGES)
    assert "train: skipped, the adapter is" in capsys.readouterr().out
    for name in ("sketches", "influence"):
        assert files(Path(recipe.run) / name) == files(Path(audited.run) / name)


def test_sketches_of_another_make_are_refused(audited, tmp_path):
    recipe = copied(audited, tmp_path, "pairs", "reward_model", "sketches")
    kept = Path(recipe.run) / "reward_model" / "kept"
    for file, named in (
        ("adapter_model.safetensors", "adapter_sha256"),
        ("second_moments.safetensors", "kept"),
    ):
        whole = (kept / file).read_bytes()
        (kept / file).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(ValueError, match=f"was made with {named}"):
            run_stages(recipe, [sketch])
        (kept / file).write_bytes(whole)


def test_a_changed_payload_stops_the_scoring_and_is_named(audited, tmp_path):
    recipe = copied(audited, tmp_path, "pairs", "reward_model", "sketches")
    path = payload(recipe, "00000")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"sketches/train/{path.name} does not match"):
        run_stages(recipe, [score])
    assert not (Path(recipe.run) / "influence" / "done.json").exists()


def test_a_report_of_other_scores_is_refused(audited, tmp_path):
    folders = ("pairs", "reward_model", "sketches", "influence")
    recipe = copied(audited, tmp_path, *folders, score={"datainf_damping": 5.0})
    with pytest.raises(ValueError, match="is of other labels, sketches or settings"):
        run_stages(recipe, [report])


def test_new_scoring_settings_score_again(audited, tmp_path, capsys):
    recipe = copied(
        audited,
        tmp_path,
        "pairs",
        "sketches",
        "influence",
        score={"datainf_damping": 5.0},
    )
    run_stages(recipe, [score])
    assert "scoring again" in capsys.readouterr().out
    name = "influence_datainf_expert"
    assert influences(recipe)[name] != influences(audited)[name]
    same = "influence_identity_expert"
    assert influences(recipe)[same] == influences(audited)[same]


def test_the_summary_is_that_of_the_scores(audited, tmp_path):
    summary = json.loads((Path(audited.run) / "report" / "summary.json").read_text())
    table = influences(audited)
    scores = table["influence_gauss_newton_expert"].to_numpy()
    expert = summary["queries"]["expert"]
    differ, harmful = expert["distinguishable_from_zero"], expert["surely_harmful"]
    assert 0 <= harmful <= differ <= len(scores)
    assert expert["harmful_share"] == pytest.approx((scores > 0).mean())
    assert expert["top"][0]["influence"] == scores.max()
    assert [t["influence"] for t in expert["top"]] == sorted(scores)[::-1][:3]
    names = set(table["labeler"].to_pylist())
    assert {row["name"] for row in expert["groups"]["labeler"]} == names
    assert set(summary["preferences"]["labeler"]) == names
    auc = roc_auc_score(table["wrong"].to_numpy(), scores)
    detection = expert["detection"]
    assert detection["influence_gauss_newton"]["auc"] == pytest.approx(auc)
    margins = table["margin"].to_numpy()
    assert summary["accuracy"]["train"] == pytest.approx((margins > 0).mean(), abs=1e-3)
    assert set(summary["stages"]) == {"prepare", "train", "sketch", "score"}
    values = [f"{detection['low_margin'][m]:.3f}" for m in ("auc", "ap", "tnr80")]
    row = ["expert", "low margin", *values]
    assert row in [cells[:5] for cells in shown(audited.run, "--detectors")]
    (_, first, _) = shown(audited.run)
    assert first[1:3] == ["expert", str(len(table))]
    recipe = copied(
        audited, tmp_path, "pairs", "sketches", "influence", report={"truth": "labeler"}
    )
    with pytest.raises(ValueError, match=r"report\.truth 'labeler' is not a boolean"):
        run_stages(recipe, [report])
