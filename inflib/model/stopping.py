"""When training ends, and which of its steps is kept: by the loss of held-out labels,
or after so many steps.

The loss is the one at the best scale of the margins (LabelMargins.refined_loss): how
sure the model is depends on label smoothing and on the step, and says little of how
well it tells labels apart.

The curve of held-out losses is in the trainer's log history, and the weights with the
least loss are in every checkpoint: a training that goes on at one keeps the same step.
transformers' load_best_model_at_end would need a checkpoint for each evaluation, and a
worker that goes on elsewhere finds neither the best of them nor its
EarlyStoppingCallback's count.
"""

import math
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import TrainerCallback

from inflib.model.trained_weights import set_trained, trained_parameters


class StopAt(TrainerCallback):
    """Ends training after so many optimizer steps."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step >= self._step:
            control.should_training_stop = True


class KeepBest(TrainerCallback):
    """Has the held-out labels evaluated, ends training once their loss has not fallen
    for some evaluations, and leaves the model with the weights of the least loss.

    Among the callbacks it must precede the one that uploads checkpoints.
    """

    FILE = "best.safetensors"

    def __init__(self, every: int, patience: int) -> None:
        """every: optimizer steps between evaluations; patience: evaluations without a
        lower loss than before, after which training ends."""
        self._every, self._patience = every, patience
        self._best: dict[str, Tensor] | None = None

    def restore(self, checkpoint: Path) -> None:
        """Take the best weights so far from a checkpoint."""
        if (checkpoint / self.FILE).exists():
            self._best = load_file(checkpoint / self.FILE)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        last = state.global_step >= state.max_steps
        control.should_evaluate = last or state.global_step % self._every == 0
        self._stop(state, control)  # at once, where the checkpoint was its last

    def on_evaluate(
        self, args: Any, state: Any, control: Any, model: nn.Module, **_: Any
    ) -> None:
        if self._stop(state, control) == 0:
            self._best = {
                name: parameter.detach().to("cpu", copy=True)
                for name, parameter in trained_parameters(model).items()
            }

    def _stop(self, state: Any, control: Any) -> int:
        """End training where the loss has not fallen for too long; returns for how many
        evaluations."""
        since = since_least(losses_of(curve_of(state.log_history)))
        if since >= self._patience:
            control.should_training_stop = True
            control.should_evaluate = False
        return since

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._best is not None and state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            save_file(self._best, folder / self.FILE)

    def on_train_end(
        self, args: Any, state: Any, control: Any, model: nn.Module, **_: Any
    ) -> None:
        if self._best is not None:
            set_trained(model, self._best)


def curve_of(log_history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """{step, loss, accuracy, best_scale, refined_loss} of the held-out labels at each
    evaluation in the log history of a trainer."""
    names = ("loss", "accuracy", "best_scale", "refined_loss")
    return [
        {"step": row["step"]} | {name: row[f"eval_{name}"] for name in names}
        for row in log_history
        if "eval_loss" in row
    ]


def losses_of(curve: list[dict[str, Any]]) -> list[float]:
    """The losses that say which step of a curve is kept."""
    return [row["refined_loss"] for row in curve]


def least(losses: list[float]) -> int | None:
    """Place of the first of the least finite losses; None where none is finite."""
    finite = [place for place, loss in enumerate(losses) if math.isfinite(loss)]
    return min(finite, key=losses.__getitem__, default=None)


def since_least(losses: list[float]) -> int:
    """Number of losses after the first of the least finite ones."""
    best = least(losses)
    return len(losses) - (0 if best is None else best + 1)
