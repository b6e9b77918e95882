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
from inflib.model.label_batches import label_batches
from inflib.model.label_order import TogetherSampler, meeting
from inflib.model.label_reader import LabelReader
from inflib.model.planned_training import PlannedTraining
from inflib.model.reward import rewards, trained_parameters
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


def test_every_response_is_computed_once():
    labels = []
    tails = [[10 + i] * 5 for i in range(4)]
    for prompt in range(3):
        prefix = [prompt] * 20
        for a, b in itertools.combinations(range(4), 2):
            labels.append((prefix + tails[a], prefix + tails[b], prompt))
    (batch,) = label_batches(labels, 10_000, 10_000, 0)
    assert batch.batch.num_units == 3
    assert batch.batch.input_ids.shape == (1, 3 * (20 + 4 * 5))
    assert sorted(batch.rows.tolist()) == list(range(18))
    rows = list(label_batches(labels, 10_000, 0, 0))
    assert [tuple(b.batch.input_ids.shape) for b in rows] == [(12, 25)]


@pytest.mark.parametrize("longest_flat", [0, 200])
@pytest.mark.parametrize("budget", [30, 200, 5000])
def test_margins_are_those_of_each_label_alone(longest_flat, budget):
    """Prompts of other lengths, equal responses, one that the other begins with, labels
    on a prompt that are too many for a unit."""
    rng = np.random.default_rng(0)
    answers = [rng.integers(1, 500, size=n).tolist() for n in (1, 3, 9, 30, 60)]
    answers.append(answers[2] + [7])
    labels = []
    for prompt in range(4):
        prefix = rng.integers(1, 500, size=int(rng.integers(1, 40))).tolist()
        for a, b in itertools.permutations(range(6), 2):
            if rng.uniform() < 0.5:
                labels.append((prefix + answers[a], prefix + answers[b], prompt))
    labels.append((labels[0][0], labels[0][0], 0))
    model = with_lora(build_model("llama")).double()
    found = torch.full((len(labels),), torch.nan, dtype=torch.float64)
    with torch.no_grad():
        for batch in label_batches(labels, budget, longest_flat, 0):
            assert found[batch.rows].isnan().all()
            found[batch.rows] = batch.margins(rewards(model, batch.batch))
        for i, (chosen, rejected, _) in enumerate(labels):
            sides = [model(torch.tensor([ids])).logits for ids in (chosen, rejected)]
            expected = float(sides[0] - sides[1])
            assert float(found[i]) == pytest.approx(expected, abs=1e-9)


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


def test_labels_of_a_group_follow_each_other():
    groups = np.repeat(np.arange(30), np.arange(1, 31) % 7 + 1)
    epoch = 0
    order = TogetherSampler(groups, seed=3, most=4, epoch=lambda: epoch)
    first = list(order)
    assert sorted(first) == list(range(len(groups))) and len(order) == len(groups)
    runs = [len(list(same)) for _, same in itertools.groupby(groups[first].tolist())]
    assert len(runs) < len(groups) and max(runs) <= 8  # two of a group may meet
    assert list(order) == first
    epoch = 1
    assert list(order) != first
    epoch = 0
    assert list(order) == first
    alone = list(TogetherSampler(np.arange(50), 0, most=4, epoch=lambda: 0))
    assert sorted(alone) == list(range(50)) and alone != list(range(50))


def test_labels_meet_where_responses_recur():
    rows = [([9, a], [9, b], 0) for a, b in itertools.combinations(range(4), 2)]
    rows += [([8, 2 * i], [8, 2 * i + 1], 1) for i in range(5)]  # all distinct
    rows += [([7, 1], [7, 2], 2), ([7, 2], [7, 1], 2)]  # two labels on a comparison
    rows += [([6, 1], [6, 2], 3)]
    columns = zip(*rows, strict=True)
    names = ("chosen_ids", "rejected_ids", "prompt")
    table = pa.table(dict(zip(names, map(pa.array, columns), strict=True)))
    table = pa.concat_tables([table.slice(0, 4), table.slice(4)])  # in two chunks
    groups = meeting(table).tolist()
    assert len(set(groups[:6])) == 1 and len(set(groups[11:13])) == 1
    assert len(set(groups)) == 1 + 5 + 1 + 1


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


def test_rows_keep_the_token_budget_whatever_shares_a_prompt():
    prefix = list(range(1, 201))
    labels = [([*prefix, i, 1], [*prefix, i, 2], 0) for i in range(60)]
    rows = list(label_batches(labels, 900, 0, 0))
    assert len(rows) > 10
    assert all(batch.batch.input_ids.numel() <= 900 for batch in rows)
    flat = list(label_batches(labels, 300, 10_000, 0))
    assert all(batch.batch.input_ids.numel() <= 300 for batch in flat)


def test_long_responses_to_a_short_prompt_are_rows():
    """A mask of all tokens of a unit would be larger than what rows repeat."""
    short = ([1, 2, 3], [1, 2, 4], 0)
    long = ([5] * 50 + [1] * 4000, [5] * 50 + [2] * 4000, 1)
    shared = ([6] * 3000 + [1] * 1000, [6] * 3000 + [2] * 1000, 2)
    batches = list(label_batches([short, long, shared], 20_000, 10_000, 0))
    rows = {tuple(b.rows.tolist()): b.batch.layout is None for b in batches}
    assert rows == {(0, 2): False, (1,): True}


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
