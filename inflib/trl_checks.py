"""Can a training with TRL be sketched into a run? All that can be told before it has
taken a step."""

from collections.abc import Iterator, Sequence
from tempfile import TemporaryDirectory
from typing import Any

import torch
from peft import PeftModel
from torch import nn

from inflib.config.recipe import Recipe
from inflib.data.pairs_folder import PairsFolder
from inflib.data.tokenizer import load_config
from inflib.model.adapter import read_adapter
from inflib.model.partway import FOLDER, RECORD
from inflib.model.trained_weights import evaluating
from inflib.numerics.layer_bins import lay_out
from inflib.numerics.rounding import computed_in, tolerance
from inflib.sketches.during_training import Sequences, TrainingSketcher
from inflib.sketches.manifest import Manifest
from inflib.storage.folder import Folder
from inflib.telemetry import warning

_FEWEST = 0.5
"""Share of the trainer's labels that must be in the run, at least."""

_SHAPE = ("model_type", "hidden_size", "num_hidden_layers", "intermediate_size")


def check_run(recipe: Recipe) -> None:
    """Raise ValueError where a run is not prepared, or has a model or sketches."""
    run = Folder(recipe.run)
    for pairs in recipe.prepare.sources:
        PairsFolder(run / "pairs" / pairs).plan()  # raises without one
    if recipe.model.adapter is not None:
        raise ValueError(
            f"{recipe.run} is an audit of model.adapter {recipe.model.adapter}: "
            "prepare another --run without it"
        )
    sketched = run.exists("sketches/manifest.json")
    for what, there in (
        ("sketches", run.exists("sketches/done.json")),
        ("sketches", sketched and not Manifest(run).in_training),
        ("a reward model", run.exists("reward_model/done.json")),
        ("a reward model", run.exists(f"reward_model/{FOLDER}/{RECORD}")),
    ):
        if there:
            raise ValueError(f"{recipe.run} has {what} already: choose another run")


def check_trainer(trainer: Any, recipe: Recipe) -> None:
    """Raise ValueError for a trainer whose passes cannot be followed, or of another
    base."""
    args = trainer.args
    reentrant = (args.gradient_checkpointing_kwargs or {}).get("use_reentrant")
    problem = None
    if recipe.model.margin != "reward":
        problem = (
            f"model.margin {recipe.model.margin} of {recipe.run}: it follows "
            "RewardTrainer; audit the adapter afterwards, as model.adapter"
        )
    elif not isinstance(trainer.model, PeftModel):
        problem = "a model without LoRA of PEFT: give the trainer a peft_config"
    elif args.n_gpu > 1:
        problem = "one process on several GPUs: start it with `accelerate launch`"
    elif trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        problem = "weights sharded by FSDP or DeepSpeed"
    elif args.torch_compile:
        problem = "torch_compile, which hides the hooks' layers"
    elif args.gradient_checkpointing and reentrant:
        problem = "gradient checkpointing with use_reentrant true: set it to false"
    elif not hasattr(trainer.train_dataset, "column_names"):
        problem = "a streamed dataset: load it as a datasets.Dataset"
    if problem:
        raise ValueError(f"sketch_training cannot follow {problem}")
    own, base = (
        c.get_text_config() for c in (trainer.model.config, load_config(recipe.model))
    )
    for name in _SHAPE:
        values = getattr(own, name, None), getattr(base, name, None)
        if values[0] != values[1]:
            raise ValueError(
                f"the trainer's model has {name} {values[0]}, model.base of "
                f"{recipe.run} {values[1]}: prepare with --model.base naming the "
                "trainer's"
            )


def check_saved(trainer: Any, sketcher: TrainingSketcher) -> None:
    """Raise ValueError where the trainer's model, saved, is no adapter that later
    stages can read, or has other parameters than those that are sketched."""
    with TemporaryDirectory() as scratch:
        trainer.save_model(scratch, _internal_call=True)
        try:
            adapter = read_adapter(Folder(scratch))
        except ValueError as error:
            problem = str(error).replace(f"{scratch}: ", "")
            raise ValueError(
                f"the trainer's model, saved, would be no reward model to audit: "
                f"{problem}"
            ) from None
    config = sketcher.recipe.sketch
    layers = lay_out(adapter.sizes, config.sketch_size, config.by_layer)
    if layers != sketcher.layers:
        raise ValueError(
            "the trainer's model saves other weights than those it trains: train all "
            "of the adapter and of the score head"
        )


def labels_of(trainer: Any) -> Iterator[Sequences]:
    """Token ids of all labels that a trainer is trained on."""
    columns = ["chosen_ids", "rejected_ids"]
    for row in trainer.train_dataset.select_columns(columns):
        yield row["chosen_ids"], row["rejected_ids"]


def check_labels(trainer: Any, recipe: Recipe, sketcher: TrainingSketcher) -> None:
    """Warn of labels that are not the run's, or say otherwise there; ValueError where
    most are so."""
    dataset = trainer.train_dataset
    margins: Sequence[float] = [0.0] * len(dataset)
    if "margin" in dataset.column_names:
        margins = dataset["margin"]
    missing, turned = [], 0
    for row, (labels, margin) in enumerate(
        zip(labels_of(trainer), margins, strict=True)
    ):
        if not sketcher.lookup.find(*labels):
            missing.append((row, labels))
        elif not sketcher.lookup.has_label(*labels, float(margin)):
            turned += 1
    count = len(dataset)
    if turned:
        message = (
            f"{turned} of the trainer's {count} labels prefer the other response in "
            f"{recipe.run}/pairs/train, or have another margin there"
        )
        if turned > (1 - _FEWEST) * count:
            raise ValueError(
                f"{message}: prepare the labels that are trained on, with "
                "--prepare.margin_column where they have margins"
            )
        warning(f"{message}: they are scored as the run has them")
    if not missing:
        return
    row, labels = missing[0]
    message = (
        f"{len(missing)} of the trainer's {count} labels are not in "
        f"{recipe.run}/pairs/train, the first one in row {row}"
    )
    if len(missing) > (1 - _FEWEST) * count:
        eos = trainer.processing_class.eos_token_id
        raise ValueError(f"{message}: {_why(sketcher, labels, eos)}")
    warning(f"{message}: they are trained on and get no score")


def compare_margins(
    model: nn.Module,
    inputs: dict[str, Any],
    labels: Sequence[Sequences],
    sketcher: TrainingSketcher,
) -> None:
    """Raise ValueError where the model reads the rewards of a batch's first label
    elsewhere than at their last token, as all later stages do.

    inputs: rows of the chosen, then the rejected sequences of the labels.
    """
    config: Any = model.config
    if config.pad_token_id in (labels[0][0][-1], labels[0][1][-1]):
        raise ValueError(
            "the trainer's texts end with its pad token, so its rewards are read one "
            "token early: set tokenizer.pad_token to another one, and give the "
            "tokenizer to the trainer as processing_class"
        )
    found = sketcher.lookup.find(*labels[0])
    if not found:
        return
    place, sign = found[0]
    chosen = {n: inputs[n] for n in ("input_ids", "attention_mask")}
    with evaluating(model), torch.no_grad():
        rewards = model(**chosen).logits.flatten().double()
    first, second = float(rewards[0]), float(rewards[len(labels)])
    margin, size = first - second, abs(first) + abs(second)
    own = sign * float(sketcher.sketched([sketcher.row_at(place)])[0][0])
    most = tolerance(computed_in(next(model.parameters())))
    if not abs(margin - own) <= most * size:
        raise ValueError(
            f"the trainer's model gives a label a margin of {margin:.4g}, which is "
            f"{own:.4g} when rewards are read at the last token: this model cannot be "
            "sketched in training"
        )


def _why(sketcher: TrainingSketcher, labels: Sequences, eos: int | None) -> str:
    """What to type where a label of the trainer is not found."""
    first, second = (list(ids) for ids in labels)
    if eos is not None:
        if sketcher.lookup.find([*first, eos], [*second, eos]):
            return "prepare with --prepare.append_eos false"
        if {first[-1], second[-1]} == {eos} and sketcher.lookup.find(
            first[:-1], second[:-1]
        ):
            return "TRL ends texts with EOS: prepare with --prepare.append_eos true"
    return (
        "prepare the files that the trainer reads, with its base model and tokenizer "
        "(--model.base) and a --prepare.max_length that cuts nothing"
    )
