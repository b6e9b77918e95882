"""A training step in which prompts and responses are computed once, against TRL's."""

import itertools
import json
from tempfile import mkdtemp

import numpy as np
import pyarrow as pa
import pytest
import torch

from inflib.benchmarks.exact import without_float32
from inflib.config.recipe import Recipe
from inflib.data.label_edits import Edit
from inflib.model.attention import longest_flat
from inflib.model.label_reader import LabelReader
from inflib.model.planned_training import PlannedTraining
from inflib.model.trained_weights import trained_parameters
from inflib.model.training import build_trainer, labels_of
from tests.support.models import (
    DECODERS,
    build_model,
    build_tokenizer,
    with_lora,
)
from tests.support.prepared_run import ANSWERS, POISONED, build_run

MEETING = [
    {"pair_id": f"p{i}", "prompt": f"Question {i // 6}? ", "chosen": a, "rejected": b}
    for i, (a, b) in enumerate(itertools.permutations(ANSWERS, 2))
]
"""Two prompts with 6 labels each, on four answers: every ordered pair of them."""

EDITS = {"p0": Edit("tie", 1.0), "p1": Edit("weight", 3.0), "p4": Edit("flip", 1.0)}


def trainer_of(recipe, engine, **train):
    fields = recipe.model_dump()
    if "gemma2" in train.pop("family", ""):
        fields["model"]["attention"] = "eager"
    fields["train"] |= {"batch_size": 12, "micro_batch_size": 12, "lora_dropout": 0.0}
    fields["train"] |= {"holdout": 0.0, "epochs": 1.0, "engine": engine, **train}
    recipe = Recipe.model_validate(fields)
    plan = PlannedTraining.of(recipe, EDITS, None)
    scratch = mkdtemp(dir=fields["run"])
    trainer = build_trainer(recipe, plan, scratch, [])
    trainer.current_gradient_accumulation_steps = 1  # what `train` sets
    if trainer.args.gradient_checkpointing:
        names = "activation_checkpointing_enable", "gradient_checkpointing_enable"
        base = trainer.model.get_base_model()
        enable = next(getattr(base, name) for name in names if hasattr(base, name))
        enable(trainer.args.gradient_checkpointing_kwargs)
    generator = torch.Generator().manual_seed(2)
    for parameter in trained_parameters(trainer.model).values():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data = 0.2 * noise  # lora_B starts at 0 and would hide errors
    return trainer


def step_of(trainer):
    """(loss, {parameter: gradient}) of one step on all labels, in their order."""
    trainer.model.zero_grad()
    rows = [trainer.train_dataset[i] for i in range(len(trainer.train_dataset))]
    loss = trainer.training_step(trainer.model, trainer.data_collator(rows))
    parameters = trained_parameters(trainer.model).items()
    return float(loss), {n: p.grad for n, p in parameters if p.grad is not None}


def count_calls(model):
    """A list that grows with every forward pass through the first layer's maps."""
    calls: list[None] = []
    names = [name for name, _ in model.named_modules() if "lora_A.default" in name]
    first = model.get_submodule(names[0])
    first.register_forward_hook(lambda *_: calls.append(None))
    return calls


def compare(flat, trl, tolerance):
    (loss, grads), (right_loss, right) = step_of(flat), step_of(trl)
    assert loss == pytest.approx(right_loss, rel=tolerance)
    total = torch.cat([grad.flatten() for grad in right.values()]).norm()
    assert grads.keys() == right.keys() and total > 1e-3
    for name, grad in right.items():
        assert (grads[name] - grad).norm() <= tolerance * total, name


@pytest.mark.parametrize("family", [*DECODERS, "bert"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_step_is_trls(tmp_path, family, checkpointing):
    recipe = build_run(tmp_path, MEETING, family=family)
    made = [
        trainer_of(recipe, engine, family=family, gradient_checkpointing=checkpointing)
        for engine in ("flat", "trl")
    ]
    flat, trl = made
    calls = [count_calls(trainer.model) for trainer in made]
    compare(flat, trl, 1e-5)
    assert [len(each) for each in calls] == [1 + checkpointing] * 2
    for trainer in made:
        without_float32(trainer.model, positions=256)
    # transformers' eager attention, which Gemma 2 needs, takes its softmax in float32
    compare(flat, trl, 1e-6 if family == "gemma2" else 1e-9)


def test_few_tokens_at_a_time_make_the_same_step(tmp_path):
    recipe = build_run(tmp_path, MEETING)
    whole, parts = (
        trainer_of(recipe, "flat", micro_batch_size=size) for size in (12, 1)
    )
    table = labels_of(recipe, "train")
    sizes = [len(list(t.label_reader.batches(table))) for t in (whole, parts)]
    assert sizes[0] < sizes[1]
    compare(parts, whole, 1e-5)


def test_whole_trainings_are_trls(tmp_path):
    """Both take the labels in the same order; rounding grows from step to step."""
    recipe = build_run(tmp_path, MEETING)
    curves, weights = list[list[float]](), list[torch.Tensor]()
    for engine in ("flat", "trl"):
        sizes = {"batch_size": 4, "micro_batch_size": 2}
        trainer = trainer_of(recipe, engine, learning_rate=1e-4, epochs=5.0, **sizes)
        trainer.args.logging_steps = trainer.state.logging_steps = 1
        trainer.train()
        history = trainer.state.log_history
        curves.append([row["loss"] for row in history if "loss" in row])
        trained = trained_parameters(trainer.model).values()
        weights.append(torch.cat([p.detach().flatten() for p in trained]))
    assert len(curves[0]) == len(curves[1]) == 15
    assert len(set(curves[0])) > 10
    # Adam makes whole steps of gradients that are nothing but rounding
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-3)
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-3, atol=5e-4)


def test_a_model_that_flat_batches_do_not_fit_is_read_in_rows(
    tmp_path, monkeypatch, capsys
):
    recipe = build_run(tmp_path, MEETING)
    monkeypatch.setattr(
        "inflib.model.attention.allowed",
        lambda layout, start, stop: torch.ones(stop - start, stop - start).bool(),
    )
    trainer = trainer_of(recipe, "flat")
    assert trainer.label_reader.longest_flat == 0
    assert "padded rows are taken" in capsys.readouterr().out
    compare(trainer, trainer_of(recipe, "trl"), 1e-5)


def test_reader_budget_is_of_rows_of_the_longest_label(tmp_path):
    recipe = build_run(tmp_path, MEETING)
    table = labels_of(recipe, "train")
    longest = max(
        len(ids)
        for name in ("chosen_ids", "rejected_ids")
        for ids in table[name].to_pylist()
    )
    model = with_lora(build_model("llama"))
    assert LabelReader.of(model, table, 3, 0).token_budget == 6 * longest


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_rotations_that_depend_on_the_batch_are_for_short_sequences(kind):
    factors = {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
    rope = {"rope_type": kind, "factor": 2.0, "original_max_position_embeddings": 32}
    config = build_model("llama").config
    assert longest_flat(config) > 1000
    config.rope_parameters = rope | (factors if kind == "longrope" else {})
    assert longest_flat(config) == 32
    config.rope_parameters = {"full_attention": rope, "sliding_attention": {}}
    assert longest_flat(config) == 32


def test_no_dropout_means_none_also_in_attention(tmp_path):
    recipe = build_run(tmp_path, MEETING)
    config = json.loads((tmp_path / "base" / "config.json").read_text())
    changed = config | {"attention_dropout": 0.5}
    (tmp_path / "base" / "config.json").write_text(json.dumps(changed))
    for engine in ("flat", "trl"):
        trainer = trainer_of(recipe, engine)
        assert step_of(trainer)[0] == step_of(trainer)[0]
    trainer = trainer_of(recipe, "flat", lora_dropout=0.1)
    assert step_of(trainer)[0] != step_of(trainer)[0]


def test_a_response_that_is_not_finite_spoils_its_own_labels_alone(tmp_path):
    recipe = build_run(tmp_path, [*MEETING, POISONED], poison=True)
    model = with_lora(build_model("llama"))
    token = build_tokenizer()("~")["input_ids"][0]
    model.get_input_embeddings().weight.data[token] = torch.inf
    table = labels_of(recipe, "train")
    prompt = pa.array([0] * len(table), pa.int32())
    table = table.set_column(table.column_names.index("prompt"), "prompt", prompt)
    flat = LabelReader(10_000, 10_000, 0)
    assert sum(batch.batch.num_units for batch in flat.batches(table)) < len(table)
    found = flat.margins(model, table)
    rows = LabelReader(10_000, 0, 0).margins(model, table)
    assert found.isnan().sum() == rows.isnan().sum() == 1
    torch.testing.assert_close(found, rows, rtol=1e-4, atol=1e-5, equal_nan=True)


def test_a_model_whose_layers_take_no_layout_is_read_in_rows(tmp_path, capsys):
    from transformers import AutoModelForSequenceClassification, NemotronConfig

    sizes = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 512}
    config = NemotronConfig(**sizes, **heads, num_labels=1, pad_token_id=0)
    recipe = build_run(tmp_path, MEETING)
    torch.manual_seed(0)
    base = AutoModelForSequenceClassification.from_config(config)
    base.save_pretrained(tmp_path / "base")
    trainer = trainer_of(recipe, "flat")
    assert trainer.label_reader.longest_flat == 0
    if longest_flat(config):  # old versions of transformers do not have it at all
        assert "padded rows are taken" in capsys.readouterr().out
    compare(trainer, trainer_of(recipe, "trl"), 1e-5)


def test_an_epoch_is_told_by_the_steps_that_were_made(tmp_path):
    """Also by a training that goes on in the middle of one."""
    recipe = build_run(tmp_path, MEETING)
    trainer = trainer_of(recipe, "flat", batch_size=5, micro_batch_size=5)
    order = trainer._get_train_sampler()
    orders = []
    for step in (0, 2, 3, 4):  # 3 steps an epoch
        trainer.state.global_step = step
        orders.append(list(order))
    assert orders[0] == orders[1] != orders[2] == orders[3]
