"""Training by evidence on a real Ray, with several workers."""

import pytest
import torch

import inflib
from inflib.config.run_config import bind
from inflib.data.pairs_folder import PairsFolder
from inflib.data.training_plan import Holdout, weighted_labels
from inflib.model.base_model import load_base
from inflib.model.label_ids import labelled_ids
from inflib.model.reward_folder import load_reward_model, trained_steps
from inflib.model.trained_weights import trained_parameters
from inflib.run_check import check
from inflib.sketches.manifest import Manifest
from inflib.storage.folder import Folder
from inflib.synthetic.one_biased_labeler import generate
from ray_jobs.audit import STAGES
from ray_jobs.prepare import prepare
from ray_jobs.shared.session import run_stages
from ray_jobs.train import train
from tests.support.audits import tiny_recipe
from tests.support.files import read_jsonl
from tests.support.trl_training import reward_trainer


@pytest.mark.slow
def test_two_workers_keep_the_step_of_the_least_loss_on_all_held_out_labels(
    ray_session, llama_folder, tmp_path, capsys
):
    generate(tmp_path, seed=0, num_pairs=60, num_queries=16)
    recipe = tiny_recipe(
        tmp_path / "run",
        tmp_path,
        llama_folder,
        train__workers=2,
        train__micro_batch_size=4,
        train__holdout=0.45,
        train__epochs=8,
        train__learning_rate=3e-2,  # soon too high
        train__label_smoothing=0.0,
        train__patience=2,
    )
    run_stages(recipe, [prepare, train])
    folder = Folder(recipe.run) / "reward_model"
    metrics = folder.read_json("metrics.json")
    said = capsys.readouterr().out
    assert f"train: kept step {metrics['steps']}, ended at step" in said
    best = min(metrics["curve"], key=lambda row: row["refined_loss"])
    assert metrics["steps"] == best["step"] < metrics["ended_at"]
    steps = trained_steps(recipe)
    assert steps is not None
    assert (steps.planned, steps.kept) == (metrics["planned_steps"], best["step"])
    pairs = PairsFolder(Folder(recipe.run) / "pairs" / "train")
    holdout = Holdout.at(weighted_labels(pairs), steps.below)
    held_out = folder.read_json("held_out.json")
    assert held_out["pair_ids"] == list(holdout.pair_ids)
    assert len(held_out["pair_ids"]) % 2  # the workers' shares are not equal
    model, _ = load_reward_model(recipe, torch.device("cpu"))
    margins = [
        rewards(model, row["chosen_ids"]) - rewards(model, row["rejected_ids"])
        for row in labelled_ids(pairs, {}, holdout.__contains__).to_pylist()
    ]
    losses = torch.nn.functional.softplus(-torch.tensor(margins))
    assert len(losses) == len(held_out["pair_ids"])
    assert float(losses.mean()) == pytest.approx(best["loss"], rel=1e-4)


def rewards(model, ids):
    with torch.no_grad():
        return float(model(input_ids=torch.tensor([ids])).logits)


@pytest.mark.slow
def test_two_workers_make_the_steps_of_one(ray_session, llama_folder, tmp_path):
    """Also the last step of an epoch, with fewer labels than the others."""
    generate(tmp_path, seed=0, num_pairs=44, num_queries=16)
    trained = []
    for workers in (1, 2):
        recipe = tiny_recipe(
            tmp_path / f"run-{workers}",
            tmp_path,
            llama_folder,
            train__workers=workers,
            train__micro_batch_size=4,
            train__epochs=2,
            train__holdout=0.0,
            train__lora_dropout=0.0,
        )
        run_stages(recipe, [prepare, train])
        metrics = (Folder(recipe.run) / "reward_model").read_json("metrics.json")
        assert 0 < metrics["labels"] % 8 <= 4  # the second worker has none of them
        model, _ = load_reward_model(recipe, torch.device("cpu"))
        trained.append({n: p.detach() for n, p in trained_parameters(model).items()})
    one, two = trained
    moved = [name for name, p in one.items() if "lora_B" in name and p.abs().max() > 0]
    assert len(moved) > 5  # lora_B starts at 0
    for name, weights in one.items():
        torch.testing.assert_close(two[name], weights, rtol=1e-2, atol=2e-4)


@pytest.mark.slow
def test_an_audit_that_is_sketched_in_training(ray_session, llama_folder, tmp_path):
    generate(tmp_path, seed=0, num_pairs=40, num_queries=8)
    recipe = tiny_recipe(
        tmp_path / "run",
        tmp_path,
        llama_folder,
        train__sketch="during",
        train__lora_dropout=0.0,
        train__epochs=1,
    )
    run_stages(recipe, STAGES)
    run = Folder(recipe.run)
    assert check(recipe) == []
    assert Manifest(run).in_training and not run.exists(
        "reward_model/kept/partway.json"
    )
    done = run.read_json("sketches/done.json")
    assert done["after_training"] == 0
    scores = run.read_table("influence/influence.parquet")
    assert not scores["influence_gauss_newton_expert"].null_count
    before = run.tree()
    run_stages(recipe, STAGES)  # says that all is there
    after = run.tree()
    del before["config.json"], after["config.json"]
    assert after == before


def test_the_commands_go_on_after_a_training_with_trl(
    ray_session, llama_folder, tmp_path
):
    generate(tmp_path, seed=0, num_pairs=24, num_queries=8)
    recipe = tiny_recipe(tmp_path / "run", tmp_path, llama_folder)
    run_stages(recipe, [prepare])
    bind(recipe)
    trainer = reward_trainer(
        tmp_path / "out",
        rows=read_jsonl(tmp_path / "train.jsonl"),
        model=load_base(recipe.model, 0),
    )
    inflib.sketch_training(trainer, recipe.run)
    trainer.train()
    run_stages(recipe, STAGES)
    assert check(recipe) == []
    run = Folder(recipe.run)
    assert run.read_json("sketches/done.json")["after_training"] == 0
    summary = run.read_json("report/summary.json")
    assert {"train", "sketch", "score"} <= summary["stages"].keys()
    scores = run.read_table("influence/influence.parquet")
    assert len(scores) and not scores["influence_gauss_newton_expert"].null_count
