"""The training benchmark's numbers: time per label of our training steps and of TRL's,
and how far apart their losses are.

    n  labels
"""

import itertools
import math
import statistics
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from tokenizers import Tokenizer, models
from torch.utils.data import SequentialSampler
from transformers import PreTrainedTokenizerFast

from inflib.benchmarks.contenders import Contenders
from inflib.benchmarks.run_folder import write_run
from inflib.benchmarks.timing import Speed, ratio, run_in_turn, speed_of
from inflib.benchmarks.workload import hh_pairs, recurring_pairs, reward_model
from inflib.config.recipe import Recipe
from inflib.model.label_reader import LabelReader
from inflib.model.preference_trainer import reward_trainer
from inflib.sketches.flat_training import SketchTraining
from inflib.sketches.unit_sketcher import CPU_BUDGET

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
            "processing_class": plain_tokenizer(pad_id),
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
    workload: Workload,
    repeats: int,
    more: Mapping[str, Callable[[], int]],
    sketched: Recipe | None,
) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """(speeds by contender, see timing.run_in_turn, and losses of each step).

    more: contenders beside `flat` and `trl`; sketched: recipe of a prepared run of the
    workload, which adds `during`: `flat` that leaves its sketches behind.
    """
    losses: dict[str, list[float]] = {}

    def run(engine: str, trainers: list[tuple[Any, Callable[[], Any]]]) -> Any:
        def once() -> int:
            with tempfile.TemporaryDirectory() as scratch:
                trainer, end = trainers.pop()
                trainer.args.output_dir = scratch
                trainer.train()
                end()
            history = trainer.state.log_history
            losses[engine] = [row["loss"] for row in history if "loss" in row]
            return len(workload.table)

        return once

    with tempfile.TemporaryDirectory() as folder:
        names = ["flat", "trl", *(["during"] if sketched else [])]
        made: dict[str, list[tuple[Any, Callable[[], Any]]]] = {n: [] for n in names}
        for name, _ in itertools.product(names, range(repeats)):
            engine = "trl" if name == "trl" else "flat"
            trainer = workload.trainer(engine, folder)
            end: Callable[[], Any] = int
            if name == "during" and sketched is not None:
                steps = math.ceil(len(workload.table) / BATCH)
                end = SketchTraining(
                    sketched, trainer, workload.table, steps, Path(folder)
                ).write
            made[name].append((trainer, end))
        contenders = {name: run(name, each) for name, each in made.items()}
        return run_in_turn({**contenders, **more}, repeats), losses


def measure(
    num_pairs: int, shape: str, repeats: int, peers: Mapping[str, Callable[[], int]]
) -> dict[str, Any]:
    """All results. Ratios are medians over repeats of time per label, neighbours in
    time.

    flat_over_trl: our training over TRL's; max_loss_difference: of a step's losses;
    during_over_flat, during_over_trl: training that leaves sketches behind, over
    training alone; audit_over_trl_and_X: the same over TRL's training and a gradient
    pass by X (`paper`: the paper's loop, of every 6th pair; `ours`: our own; peers).
    """
    workloads = {
        "": hh_workload(num_pairs, shape),
        "_recurring": recurring_workload(max(1, num_pairs // 6), shape),
    }
    results: dict[str, Any] = {"threads": torch.get_num_threads(), "shape": shape}
    with tempfile.TemporaryDirectory() as folder:
        recipe = write_run(Path(folder), shape, num_pairs, 1, 1, num_queries=1)
        passes = Contenders(
            reward_model(shape, torch.float32),
            hh_pairs(num_pairs),
            recipe.sketch.sketch_size,
            CPU_BUDGET,
        )
        more = {"paper": lambda: passes.paper_loop(6), "ours": passes.ours, **peers}
        for suffix, workload in workloads.items():
            is_first = not suffix
            speeds, losses = training_speed(
                workload,
                repeats,
                more if is_first else {},
                recipe if is_first else None,
            )
            apart = [
                max(each) - min(each) for each in zip(*losses.values(), strict=True)
            ]
            results[f"speeds{suffix}"] = speeds
            results[f"labels{suffix}"] = len(workload.table)
            results[f"flat_over_trl{suffix}"] = ratio(speeds, "flat", "trl")
            results[f"max_loss_difference{suffix}"] = max(apart)
            results[f"mean_loss{suffix}"] = statistics.mean(losses["trl"])
    speeds = results["speeds"]
    for other in ("flat", "trl"):
        results[f"during_over_{other}"] = ratio(speeds, "during", other)
    for name in more:
        both = _together(speeds, "trl", name)
        results[f"audit_over_trl_and_{name}"] = ratio(both, "during", "both")
    return results


def _together(speeds: dict[str, Speed], first: str, second: str) -> dict[str, Speed]:
    """The speeds, with `both`: one after the other."""
    seconds = (speeds[name]["seconds_per_pair"] for name in (first, second))
    both = [a + b for a, b in zip(*seconds, strict=True)]
    return {**speeds, "both": speed_of(both)}


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


def plain_tokenizer(pad_id: int) -> PreTrainedTokenizerFast:
    """One that knows padding alone: the labels are tokens already."""
    vocabulary = {"<pad>": pad_id, "<unk>": pad_id + 1}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="<unk>",
    )
