"""The training benchmark's numbers: time per label of our training steps and of TRL's,
and how far apart their losses are.

    n  labels
"""

import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import torch
from tokenizers import Tokenizer, models
from torch.utils.data import SequentialSampler
from transformers import PreTrainedTokenizerFast

from inflib.benchmarks.timing import ratio, run_in_turn
from inflib.benchmarks.workload import hh_pairs, recurring_pairs, reward_model
from inflib.model.label_reader import LabelReader
from inflib.model.preference_trainer import reward_trainer

BATCH = 16
"""Labels of an optimizer step."""

TRL_ROWS = 8
"""Labels that TRL computes at once: transformers' default."""


@dataclass(frozen=True)
class Workload:
    """Labels that all contenders are trained on, in the same order."""

    table: pa.Table
    """As label_ids.labelled_ids."""

    shape: str

    def trainer(self, engine: str, scratch: str) -> Any:
        """A trainer of one pass over the labels, in their order.

        engine: `trl`: TRL's RewardTrainer as a user runs it. `flat`: ours.
        """
        from trl import RewardConfig, RewardTrainer

        model = reward_model(self.shape, torch.float32)
        pad_id, ours = 0, engine == "flat"
        at_once = BATCH if ours else TRL_ROWS
        arguments = RewardConfig(
            output_dir=scratch,
            num_train_epochs=1,
            per_device_train_batch_size=at_once,
            gradient_accumulation_steps=BATCH // at_once,
            learning_rate=1e-4,
            max_length=None,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            disable_dropout=True,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            remove_unused_columns=False,
            seed=0,
        )
        names = ["chosen_ids", "rejected_ids"]
        given = {
            "model": model,
            "args": arguments,
            "train_dataset": _dataset(self.table if ours else self.table.select(names)),
            "processing_class": _tokenizer(pad_id),
        }
        if ours:
            reader = LabelReader.of(model, self.table, BATCH, pad_id)
            trainer = reward_trainer(engine, reader, None, **given)
        else:
            trainer = RewardTrainer(**given)
        in_order = SequentialSampler(trainer.train_dataset)
        trainer._get_train_sampler = lambda *_: in_order
        return trainer


def hh_workload(num_pairs: int, shape: str) -> Workload:
    """One label for each comparison, with the lengths of Anthropic HH, in any order."""
    pairs = hh_pairs(num_pairs)
    order = torch.randperm(num_pairs, generator=torch.Generator().manual_seed(0))
    rows = [
        (*pairs[place].sequences, number) for number, place in enumerate(order.tolist())
    ]
    return Workload(_table(rows), shape)


def recurring_workload(num_prompts: int, shape: str) -> Workload:
    """The 6 comparisons of 4 responses to each prompt, dealt to batches as training
    does it: up to a quarter of a batch on one prompt."""
    by_prompt = recurring_pairs(num_prompts)
    most = BATCH // 4
    chunks = [
        [
            (row["prefix"] + row["a"], row["prefix"] + row["b"], prompt)
            for row in by_prompt[6 * prompt : 6 * prompt + 6][start : start + most]
        ]
        for prompt in range(num_prompts)
        for start in (0, most)
    ]
    order = torch.randperm(len(chunks), generator=torch.Generator().manual_seed(0))
    return Workload(_table([row for i in order.tolist() for row in chunks[i]]), shape)


def training_speed(
    workload: Workload, repeats: int
) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """(speeds by contender, see timing.run_in_turn, and losses of each step)."""
    losses: dict[str, list[float]] = {}

    def run(engine: str) -> Callable[[], int]:
        def once() -> int:
            with tempfile.TemporaryDirectory() as scratch:
                trainer = trainers[engine].pop()
                trainer.args.output_dir = scratch
                trainer.train()
            history = trainer.state.log_history
            losses[engine] = [row["loss"] for row in history if "loss" in row]
            return len(workload.table)

        return once

    with tempfile.TemporaryDirectory() as folder:
        trainers = {
            engine: [workload.trainer(engine, folder) for _ in range(repeats)]
            for engine in ("flat", "trl")
        }
        return run_in_turn({name: run(name) for name in trainers}, repeats), losses


def measure(num_pairs: int, shape: str, repeats: int) -> dict[str, Any]:
    """All results; `flat_over_trl`: median over repeats of time per label, ours over
    TRL's, neighbours in time; `max_loss_difference`: of a step's losses."""
    workloads = {
        "": hh_workload(num_pairs, shape),
        "_recurring": recurring_workload(max(1, num_pairs // 6), shape),
    }
    results: dict[str, Any] = {"threads": torch.get_num_threads(), "shape": shape}
    for suffix, workload in workloads.items():
        speeds, losses = training_speed(workload, repeats)
        apart = [abs(a - b) for a, b in zip(*losses.values(), strict=True)]
        results[f"speeds{suffix}"] = speeds
        results[f"labels{suffix}"] = len(workload.table)
        results[f"flat_over_trl{suffix}"] = ratio(speeds, "flat", "trl")
        results[f"max_loss_difference{suffix}"] = max(apart)
        results[f"mean_loss{suffix}"] = statistics.mean(losses["trl"])
    return results


def _table(rows: list[tuple[list[int], list[int], int]]) -> pa.Table:
    chosen, rejected, prompts = zip(*rows, strict=True)
    return pa.table(
        {
            "chosen_ids": pa.array(chosen, pa.list_(pa.int32())),
            "rejected_ids": pa.array(rejected, pa.list_(pa.int32())),
            "prompt": pa.array(prompts, pa.int32()),
        }
    )


def _dataset(table: pa.Table) -> Any:
    import datasets

    return datasets.Dataset(table)


def _tokenizer(pad_id: int) -> PreTrainedTokenizerFast:
    """One that knows padding alone: the labels are tokens already."""
    vocabulary = {"<pad>": pad_id, "<unk>": pad_id + 1}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="<unk>",
    )
