"""What each of two processes that share one base runs: trainings and sketches, which
are those of processes with a base each. Arguments: folder of a run that is there, its
recipe.

    torchrun --nproc_per_node 2 -m tests.support.sharded_processes FOLDER RECIPE.json
"""

import sys
from contextlib import suppress
from pathlib import Path

import torch
import torch.distributed as dist

from inflib.config.recipe import Recipe
from inflib.data.pairs_folder import PairsFolder
from inflib.model.planned_training import PlannedTraining
from inflib.model.reward_folder import load_sketched_model
from inflib.model.sharded import spread_parameters, turns_of, until_all_have
from inflib.model.training import build_trainer
from inflib.sketches.unit_sketcher import UnitSketcher
from inflib.sketches.units import plan_units
from inflib.storage.folder import Folder
from tests.support.planned_runs import Killed, equal, train_on, weights
from tests.support.two_processes import Dies


def over(recipe: Recipe, devices: int) -> Recipe:
    model = recipe.model.model_copy(update={"sharded_over": devices})
    return recipe.model_copy(update={"model": model})


def trains_the_same(folder: Path, recipe: Recipe) -> None:
    def trainer(devices, name, *callbacks):
        shared = over(recipe, devices)
        plan = PlannedTraining.of(shared, {}, None)
        return build_trainer(shared, plan, str(folder / name), list(callbacks))

    whole = trainer(1, "whole")
    whole.train()
    shared = trainer(2, "shared")  # seeds random numbers
    spread = spread_parameters(shared.model)
    assert len(spread) > 10 and not any("lora" in name for name in spread)
    shared.train()
    assert whole.state.global_step == shared.state.global_step > 0
    assert equal(weights(whole), weights(shared))
    assert losses(whole) == losses(shared)
    with suppress(Killed):
        trainer(2, "killed", Dies()).train()
    dist.barrier()
    (checkpoint,) = (folder / "killed").glob("checkpoint-*")
    resumed = trainer(2, "resumed")
    train_on(resumed, checkpoint)
    assert equal(weights(whole), weights(resumed))


def losses(trainer):
    """Those of held-out labels."""
    rows = [row["eval_loss"] for row in trainer.state.log_history if "eval_loss" in row]
    assert rows
    return rows


def sketches_the_same(recipe: Recipe) -> None:
    pairs = PairsFolder(Folder(recipe.run) / "pairs" / "train")
    columns = ["comparison_id", "prefix", "a", "b"]
    rows = pairs.comparisons(pairs.plan()[0], columns).to_pylist()
    units = plan_units(rows, "comparison").units
    own = units[: len(units) // 3] if dist.get_rank() else units
    found = []
    for devices in (1, 2):
        model, tokenizer, scales = load_sketched_model(
            over(recipe, devices), torch.device("cpu")
        )
        pad_id = tokenizer.pad_token_id
        sketcher = UnitSketcher(model, pad_id, 512, 0, scales=scales)
        with until_all_have(model):
            found.append(sketcher(own, 256))
    one, two = found
    assert torch.equal(one.values, two.values) and one.values.any()
    assert torch.equal(one.sketches, two.sketches) and one.sketches.any()


def refuses_passes_of_two_kinds(recipe: Recipe) -> None:
    model, *_ = load_sketched_model(over(recipe, 2), torch.device("cpu"))
    turns = turns_of(model)
    assert turns is not None
    with torch.set_grad_enabled(dist.get_rank() == 0):
        try:
            turns.announce()
        except RuntimeError as error:
            assert "1 begin a forward pass and 1 one with" in str(error)
            return
    raise AssertionError("it was not refused")


if __name__ == "__main__":
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    given = Recipe.model_validate_json(Path(sys.argv[2]).read_text())
    sketches_the_same(given)
    refuses_passes_of_two_kinds(given)
    adapter = given.model.model_copy(update={"adapter": None})
    trains_the_same(Path(sys.argv[1]), given.model_copy(update={"model": adapter}))
    print("all the same", flush=True)
