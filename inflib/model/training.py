"""Labels of pairs/train to a LoRA reward model, by TRL with the Bradley-Terry loss.

TRL and datasets are imported inside functions: the rest of inflib runs without them.
"""

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import safetensors.torch
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import TrainerCallback

from inflib.config.recipe import Recipe
from inflib.config.reward_model import ModelConfig
from inflib.data.adapter_files import CONFIG, WEIGHTS
from inflib.data.base_match import BASE, describe_base
from inflib.data.pairs_folder import PairsFolder
from inflib.data.tokenizer import load_tokenizer
from inflib.model.base_model import load_base, place
from inflib.model.device import worker_device
from inflib.model.label_ids import labelled_ids
from inflib.model.label_reader import LabelReader
from inflib.model.partway import FOLDER, MOMENTS, RECORD, KeepPartway, Kept
from inflib.model.planned_training import PlannedTraining
from inflib.model.preference_trainer import (
    check_float32,
    reward_trainer,
    train_in_float32,
    training_rows,
)
from inflib.model.quantized import is_quantized
from inflib.model.trained_weights import set_trained
from inflib.storage.folder import Folder
from inflib.telemetry import Progress

_SAVED = (".json", ".safetensors", ".txt", ".model", ".jinja")


class ShowProgress(TrainerCallback):
    """Progress lines, in optimizer steps; printed by the first worker."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step and state.is_world_process_zero:
            print(f"train: goes on after step {state.global_step}", flush=True)
        left = state.max_steps - state.global_step
        self._progress = Progress("train", left, "steps")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            self._progress.advance(1)


class NameCheckpoints(TrainerCallback):
    """Writes into each checkpoint the name of the training that it belongs to.

    Among the callbacks it must precede the one that uploads checkpoints.
    """

    FILE = "training.txt"

    def __init__(self, name: str) -> None:
        self._name = name

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        (folder / self.FILE).write_text(self._name)

    def names(self, folder: Path) -> bool:
        """Whether the checkpoint in a folder belongs to this training."""
        file = folder / self.FILE
        return file.exists() and file.read_text() == self._name


def build_trainer(
    recipe: Recipe, plan: PlannedTraining, output_dir: str, callbacks: list[Any]
) -> Any:
    """TRL RewardTrainer for this process, one of recipe.train.workers.

    output_dir: where checkpoints go. callbacks: after those of the plan.
    """
    from trl import RewardConfig

    config = recipe.train
    torch.manual_seed(config.seed)
    tokenizer = load_tokenizer(recipe.model)
    base = load_base(recipe.model, tokenizer.pad_token_id)
    targets = config.target_modules
    dropout = 0.0 if recipe.model.margin == "dpo" else config.lora_dropout
    lora = LoraConfig(
        task_type=recipe.model.task,  # SEQ_CLS trains and saves the head, too
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
    )
    device = worker_device(config.gpus_per_worker)
    # flat: a process has all labels of its step at once, to compute prompts once
    share = config.batch_size // config.workers
    per_device = share if config.engine == "flat" else config.micro_batch_size
    arguments = RewardConfig(
        output_dir=output_dir,
        max_steps=plan.planned,
        per_device_train_batch_size=per_device,
        gradient_accumulation_steps=config.batch_size // (config.workers * per_device),
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.schedule,
        warmup_steps=config.warmup_share,  # below 1: a share of the steps
        weight_decay=config.weight_decay,
        bf16=config.bf16,
        gradient_checkpointing=config.gradient_checkpointing,
        disable_dropout=dropout == 0,
        max_length=None,  # lengths were decided by prepare; TRL would drop pairs
        seed=config.seed,
        data_seed=config.seed,
        save_strategy="steps",
        save_steps=max(1, round(plan.per_epoch / config.saves_per_epoch)),
        save_total_limit=1,
        logging_steps=20,
        remove_unused_columns=False,  # target and weight, which TRL does not know
        report_to="none",
        disable_tqdm=True,
        use_cpu=device.type == "cpu",
        ddp_find_unused_parameters=False,
    )
    model = place(get_peft_model(base, lora), recipe.model, device)
    train_in_float32(model)
    if dropout == 0:
        _no_dropout(model)
    reader = LabelReader.of(
        model, plan.labels, config.micro_batch_size, tokenizer.pad_token_id
    )
    outputs, model.config.num_labels = model.config.num_labels, 1  # TRL insists on it
    trainer = reward_trainer(
        config.engine,
        reader,
        plan.held_out,
        model=model,
        args=arguments,
        train_dataset=training_rows(plan.labels),
        processing_class=tokenizer,
        callbacks=[*plan.callbacks(Path(output_dir) / FOLDER), *callbacks],
    )
    model.config.num_labels = outputs
    if is_quantized(base):  # TRL then makes what is trained bfloat16
        train_in_float32(trainer.model)
    check_float32(trainer.model)
    return trainer


def _no_dropout(model: nn.Module) -> None:
    """Dropout that modules apply by a number of their own, such as that of attention;
    TRL's disable_dropout turns off nn.Dropout alone."""
    for module in model.modules():
        for name, value in vars(module).items():
            if "dropout" in name and isinstance(value, float):
                setattr(module, name, 0.0)


def labels_of(
    recipe: Recipe, pairs: str, takes: Callable[[str], bool] = lambda _: True
) -> pa.Table:
    """The labels of a pair set, as label_ids.labelled_ids; takes: whether those on a
    comparison_id are wanted."""
    return labelled_ids(PairsFolder(Folder(recipe.run) / "pairs" / pairs), None, takes)


def save_reward_model(
    trainer: Any, scratch: str, target: Folder, model: ModelConfig
) -> None:
    """Copy adapter, score head, tokenizer and the base's digest into the run's
    reward_model/."""
    trainer.save_model(scratch, _internal_call=True)  # which does not push to the Hub
    target.write_json(BASE, describe_base(model))
    for path in sorted(Path(scratch).iterdir()):
        if path.is_file() and path.suffix in _SAVED:
            target.write(path.name, _ordered(path))


def save_partway(
    trainer: Any, partway: KeepPartway, steps: int, share: float, target: Folder
) -> Kept | None:
    """Write the model that is kept on the way into reward_model/kept/; None: there is
    none, see KeepPartway.nearest.

    steps: of reward_model/'s own; share: train.keep. Leaves the trainer's model with
    those weights.
    """
    found = partway.nearest(steps, share)
    if found is None:
        return None
    kept, weights, moments = found
    set_trained(trainer.accelerator.unwrap_model(trainer.model), weights)
    with TemporaryDirectory() as scratch:
        trainer.save_model(scratch)
        for name in (CONFIG, WEIGHTS):
            target.write(name, _ordered(Path(scratch) / name))
    target.write(MOMENTS, safetensors.torch.save(moments))
    target.write_json(RECORD, vars(kept))
    return kept


def _ordered(path: Path) -> bytes:
    """A file that was saved; of the adapter's config, its lists of module names sorted.

    PEFT writes sets, whose order differs between processes, and sketches are bound to
    the digest of these bytes.
    """
    if path.name != CONFIG:
        return path.read_bytes()
    fields = json.loads(path.read_text())
    for name in ("target_modules", "modules_to_save"):
        if isinstance(fields[name], list):
            fields[name] = sorted(fields[name])
    return json.dumps(fields, indent=2, sort_keys=True).encode()
