"""The gradient benchmark for DPO: our pass over a language model's margins, against
TRL's own DPO step, forward and backward and the reference's forward."""

import multiprocessing
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

from inflib.benchmarks.gradient_speed import Settings
from inflib.benchmarks.timing import ratio, run_in_turn
from inflib.benchmarks.training_speed import TRL_ROWS, plain_tokenizer
from inflib.benchmarks.workload import VOCABULARY, hh_pairs, reward_model
from inflib.model.implicit_reward import PART_BYTES
from inflib.model.packing import Unit
from inflib.model.trained_weights import trained_parameters
from inflib.sketches.unit_sketcher import UnitSketcher


def dpo_speed(settings: Settings) -> dict[str, Any]:
    """Pairs per second of both, run in turn.

    ours_over_training_step: of times; margin_difference: the largest, over the margins'
    mean size; peak_bytes: what our pass adds to a process that has the model, with a
    score head and with DPO, and a part of the logits with what is made of it;
    memory_ratio: (dpo - that part) / reward.
    """
    trainer, model = _trls(settings.shape), _model(settings, "dpo")
    given = trained_parameters(model)
    for name, parameter in trained_parameters(trainer.model).items():
        parameter.data = given[name].data.clone()
    pairs = sorted(hh_pairs(settings.num_pairs), key=lambda unit: unit.longest)
    sketcher = UnitSketcher(model, 0, settings.sketch_size, seed=0)
    margins: dict[str, Any] = {}

    def ours() -> int:
        margins["ours"] = sketcher(pairs, settings.token_budget).values
        return len(pairs)

    def training_step() -> int:
        found = []
        for start in range(0, len(pairs), TRL_ROWS):
            examples = [_example(unit) for unit in pairs[start : start + TRL_ROWS]]
            loss = trainer.compute_loss(trainer.model, trainer.data_collator(examples))
            loss.backward()
            trainer.model.zero_grad()
            found.append(trainer._metrics["train"]["rewards/margins"][-1])
        margins["trl"] = torch.tensor(found)
        return len(pairs)

    speeds: dict[str, Any] = run_in_turn(
        {"ours": ours, "training_step": training_step}, settings.repeats
    )
    size = float(margins["ours"].abs().mean())
    means = [part.mean() for part in margins["ours"].split(TRL_ROWS)]
    apart = float((torch.stack(means) - margins["trl"]).abs().max())
    tokens = sum(len(tail) for unit in pairs for tail in unit.tails)
    tokens = min(tokens, settings.token_budget)
    part = min(PART_BYTES, 12 * tokens * VOCABULARY)
    peaks = {margin: _peak_bytes(settings, margin) for margin in ("reward", "dpo")}
    return speeds | {
        "shape": settings.shape,
        "threads": torch.get_num_threads(),
        "ours_over_training_step": ratio(speeds, "ours", "training_step"),
        "margin_difference": apart / size,
        "peak_bytes": peaks | {"part_of_logits": part},
        "memory_ratio": (peaks["dpo"] - part) / peaks["reward"],
    }


def _model(settings: Settings, margin: str) -> Any:
    return reward_model(settings.shape, torch.float32, margin=margin)


def _example(unit: Unit) -> dict[str, list[int]]:
    chosen, rejected = unit.tails
    return {"prompt_ids": unit.prefix, "chosen_ids": chosen, "rejected_ids": rejected}


def _trls(shape: str) -> Any:
    """TRL's DPOTrainer with a model of this shape, as users run it."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    made = reward_model(shape, torch.float32, margin="dpo")
    peft_config = made.peft_config["default"]
    with tempfile.TemporaryDirectory() as scratch:
        arguments = DPOConfig(
            output_dir=scratch,
            max_length=None,
            report_to="none",
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
        )
        texts = {"prompt": ["a "], "chosen": ["b"], "rejected": ["c"]}
        return DPOTrainer(
            model=made.unload(),
            args=arguments,
            train_dataset=Dataset.from_dict(texts),
            processing_class=plain_tokenizer(0),
            peft_config=peft_config,
        )


def _peak_bytes(settings: Settings, margin: str) -> int:
    """What our pass adds to a fresh process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(_passed, settings, margin, torch.get_num_threads()).result()


def _passed(settings: Settings, margin: str, threads: int) -> int:
    torch.set_num_threads(threads)
    model = _model(settings, margin)
    sketcher = UnitSketcher(model, 0, settings.sketch_size, seed=0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is what there is now
    before = _kibibytes("VmHWM")
    sketcher(hh_pairs(settings.num_pairs), settings.token_budget)
    return 1024 * (_kibibytes("VmHWM") - before)


def _kibibytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))
