"""Models that a training keeps on its way: weights, and Adam's second moments.

Influence is a first-order estimate. It says most of what retraining does when it is
taken partway through training, and in the metric of the optimizer: docs/validity.md.
"How far" is by the sum of the learning rates of the steps so far.

    kept/<adapter files>          the model at train.keep of that sum
    kept/second_moments.safetensors   Adam's, bias-corrected, by parameter
    kept/partway.json             `Kept`
"""

import os
import shutil
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import TrainerCallback

from inflib.model.trained_weights import trained_parameters

FOLDER = "kept"
MOMENTS = "second_moments.safetensors"
RECORD = "partway.json"
_RATES = "learning_rates.txt"

_MOST = 32
"""Evenly spaced models on the way that are on a worker's disk at a time. Before the
first of them are those of the steps 1, 2, 4, ...: a training may be best early on."""


@dataclass(frozen=True)
class Kept:
    """Which model was kept on the way, for partway.json."""

    step: int
    share: float
    """Sum of learning rates up to the step, over that up to reward_model/'s step."""

    learning_rate_sum: float
    """Sum of the learning rates of all steps up to that of reward_model/."""


class KeepPartway(TrainerCallback):
    """Writes the model down at some steps, see _MOST, so that after training, when it
    is known which step is kept, any share of its way is at hand.

    Among the callbacks it must precede the one that uploads checkpoints.
    """

    def __init__(self, folder: Path) -> None:
        """folder: a new one, on this worker's disk."""
        self._folder = folder
        folder.mkdir(parents=True)

    def restore(self, checkpoint: Path) -> None:
        """Take what a checkpoint has."""
        if (checkpoint / FOLDER).exists():
            shutil.copytree(checkpoint / FOLDER, self._folder, dirs_exist_ok=True)

    def on_step_begin(
        self, args: Any, state: Any, control: Any, optimizer: Any, **_: Any
    ) -> None:
        if state.is_world_process_zero:
            with (self._folder / _RATES).open("a") as file:
                file.write(f"{optimizer.param_groups[0]['lr']!r}\n")

    def on_step_end(
        self,
        args: Any,
        state: Any,
        control: Any,
        model: nn.Module,
        optimizer: Any,
        **_: Any,
    ) -> None:
        step = state.global_step
        if not state.is_world_process_zero or not _stays(step, step):
            return
        tensors: dict[str, Tensor] = {}
        for name, parameter in trained_parameters(model).items():
            tensors[f"weights {name}"] = parameter.detach().cpu().contiguous()
            moments = _second_moment(optimizer, parameter)
            tensors[f"moments {name}"] = moments.cpu().contiguous()
        save_file(tensors, self._folder / f"{step}.safetensors")
        for other in self._steps():
            if not _stays(other, step):
                (self._folder / f"{other}.safetensors").unlink()

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            shutil.copytree(self._folder, folder / FOLDER, copy_function=_link)

    def nearest(
        self, kept_step: int, share: float
    ) -> tuple[Kept, dict[str, Tensor], dict[str, Tensor]] | None:
        """The model nearest to a share of the way to a step: (which, its trained
        weights, Adam's second moments), both by name of the parameter.

        None where that way has no length: the learning rates up to the step are 0, as
        that of the first step of a warm-up is.
        """
        lines = (self._folder / _RATES).read_text().splitlines()
        sums = [0.0, *accumulate(map(float, lines))]
        total = sums[kept_step]
        steps = [step for step in self._steps() if step <= kept_step]
        if not total:
            return None
        step = min(steps, key=lambda s: abs(sums[s] - share * total))
        tensors = load_file(self._folder / f"{step}.safetensors")
        kinds: dict[str, dict[str, Tensor]] = {"weights": {}, "moments": {}}
        for name, tensor in tensors.items():
            kind, _, parameter = name.partition(" ")
            kinds[kind][parameter] = tensor
        kept = Kept(step, sums[step] / total, total)
        return kept, kinds["weights"], kinds["moments"]

    def _steps(self) -> list[int]:
        return sorted(int(file.stem) for file in self._folder.glob("*.safetensors"))


def _stays(step: int, last: int) -> bool:
    """Whether the model of a step is on disk once training is at another step."""
    spacing = 1
    while last > _MOST * spacing:
        spacing *= 2
    return step % spacing == 0 or (step < spacing and step & (step - 1) == 0)


def _second_moment(optimizer: Any, parameter: nn.Parameter) -> Tensor:
    """Adam's mean of squared gradients (Kingma & Ba, arXiv:1412.6980, Algorithm 1, v
    with its bias corrected); 0 for a parameter that no gradient has reached."""
    state = optimizer.state.get(parameter)
    if not state:
        return torch.zeros_like(parameter)
    (beta,) = {group["betas"][1] for group in optimizer.param_groups}
    return state["exp_avg_sq"].detach() / (1 - beta ** float(state["step"]))


def _link(source: str, target: str) -> None:
    if source.endswith(_RATES):  # more is written to it
        shutil.copy2(source, target)
    else:
        os.link(source, target)
