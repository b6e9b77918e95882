"""What each of two processes runs: a training, and the same one killed in the middle of
an epoch and taken up again. Arguments: folder of a run that is there, its recipe.

    torchrun --nproc_per_node 2 -m tests.support.two_processes FOLDER RECIPE.json
"""

import sys
from contextlib import suppress
from pathlib import Path

import torch
import torch.distributed
from transformers import TrainerCallback

from inflib.config.recipe import Recipe
from inflib.model.planned_training import PlannedTraining
from inflib.model.training import build_trainer
from tests.support.planned_runs import Killed, equal, weights

KILLED_AT = 18


class Dies(TrainerCallback):
    """Ends this process's training at a step."""

    def on_step_end(self, args, state, control, **_):
        if state.global_step == KILLED_AT:
            raise Killed


def main(folder: Path, recipe: Recipe) -> None:
    def trainer(name, *callbacks):
        plan = PlannedTraining.of(recipe, {}, None)
        return build_trainer(recipe, plan, str(folder / name), list(callbacks))

    whole = trainer("whole")
    whole.train()
    with suppress(Killed):
        trainer("killed", Dies()).train()
    torch.distributed.barrier()
    (checkpoint,) = (folder / "killed").glob("checkpoint-*")
    assert checkpoint.name == "checkpoint-15", checkpoint  # of 10 steps an epoch
    resumed = trainer("resumed")
    resumed.train(resume_from_checkpoint=str(checkpoint))
    assert whole.state.global_step == resumed.state.global_step == 30
    assert equal(weights(whole), weights(resumed))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), Recipe.model_validate_json(Path(sys.argv[2]).read_text()))
