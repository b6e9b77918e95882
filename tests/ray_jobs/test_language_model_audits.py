"""Audits of language models, on a real Ray: by DPO, as judges, by a user's reward."""

import json
import math
from typing import Any

import pytest
import torch
from datasets import Dataset

from inflib.model.base_model import CLASSES
from inflib.model.reward_folder import load_reward_model
from inflib.run_check import check
from inflib.synthetic.one_biased_labeler import generate
from ray_jobs.audit import STAGES
from ray_jobs.shared.session import run_stages
from tests.support.audits import influences, tiny_recipe
from tests.support.models import build_model, build_tokenizer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Folder of a small language model."""
    folder = tmp_path_factory.mktemp("language-model")
    build_model("llama", kind=CLASSES["CAUSAL_LM"]).save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return str(folder)


def recipe_of(folder, base, **changes):
    changes = {"model__margin": "dpo", "train__learning_rate": 1e-2} | changes
    return tiny_recipe(folder / "run", folder, base, **changes)


MEAN = "tests.support.rewards:mean_log_probability"


@pytest.mark.parametrize("margin", ["dpo", "generative", MEAN])
def test_a_run_trains_and_audits_a_language_model(ray_session, base, tmp_path, margin):
    generate(tmp_path, seed=0, num_pairs=60, num_queries=12)
    recipe = recipe_of(
        tmp_path, base, model__margin=margin, model__head="language_model"
    )
    run_stages(recipe, STAGES)
    assert check(recipe) == []
    table = influences(recipe)
    assert table["margin"].to_numpy().any()
    if margin != "generative":  # long questions are left out, and little is learnt
        assert len(table) == 77
        assert table["loss"].to_numpy().mean() < math.log(2) - 0.01


def test_an_adapter_that_trls_dpo_trainer_wrote_is_audited(ray_session, base, tmp_path):
    from peft import LoraConfig
    from trl import DPOConfig, DPOTrainer

    generate(tmp_path, seed=0, num_pairs=40, num_queries=9)
    with open(tmp_path / "train.jsonl") as file:
        rows = [json.loads(line) for line in file]
    columns = ("prompt", "chosen", "rejected")
    trainer = DPOTrainer(
        model=CLASSES["CAUSAL_LM"].from_pretrained(base),
        args=DPOConfig(
            output_dir=str(tmp_path / "adapter"),
            beta=0.5,
            max_steps=5,
            learning_rate=1e-2,
            use_cpu=True,
            bf16=False,
            report_to="none",
            gradient_checkpointing=False,
        ),
        train_dataset=Dataset.from_list([{n: row[n] for n in columns} for row in rows]),
        processing_class=build_tokenizer(),
        peft_config=LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear"),
    )
    trainer.train()
    trainer.save_model(str(tmp_path / "adapter"))
    recipe = recipe_of(
        tmp_path, base, model__adapter=str(tmp_path / "adapter"), model__beta=0.5
    )
    run_stages(recipe, STAGES)
    assert check(recipe) == []
    loaded = load_reward_model(recipe, torch.device("cpu"))
    model: Any = loaded[0].double()
    tokenizer = loaded[1]
    margins = {row["pair_id"]: row["margin"] for row in influences(recipe).to_pylist()}
    for row in rows[:5]:
        values = []
        for context in (model.disable_adapter(), torch.no_grad()):
            with context, torch.no_grad():
                values.append(margin(model, tokenizer, row))
        expected = 0.5 * (values[1] - values[0])
        assert margins[row["pair_id"]] == pytest.approx(expected, rel=1e-3, abs=1e-4)


def margin(model, tokenizer, row):
    """log p(chosen) - log p(rejected), prompt and all."""
    sums = []
    for name in ("chosen", "rejected"):
        text = row["prompt"] + row[name] + tokenizer.eos_token
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        log_probs = model(input_ids=ids).logits[0, :-1].log_softmax(1)
        sums.append(log_probs.gather(1, ids[0, 1:, None]).sum())
    return float(sums[0] - sums[1])
