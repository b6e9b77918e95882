"""Implicit rewards of language models: against plain autograd of TRL's own DPO loss."""

from tempfile import mkdtemp

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from torch.nn.functional import linear, logsigmoid

from inflib.benchmarks.exact import without_float32
from inflib.config.recipe import Recipe
from inflib.config.reward_model import ModelConfig
from inflib.model import implicit_reward
from inflib.model.base_model import CLASSES, load_base
from inflib.model.implicit_reward import (
    BETA,
    _TokenLogProbs,
    as_reference,
    check_predicts,
)
from inflib.model.label_reader import LabelReader
from inflib.model.packing import Unit, pack
from inflib.model.planned_training import PlannedTraining
from inflib.model.reward import reward_alone, rewards
from inflib.model.trained_weights import trained_parameters
from inflib.model.training import build_trainer, labels_of
from tests.support.models import build_model, build_tokenizer, with_lora
from tests.support.prepared_run import build_run

UNITS = [
    Unit([20, 50, 51], ([52, 53, 60, 7], [90, 7])),
    Unit([20, 70], ([71, 7], [81, 82, 83, 84, 85, 86, 7])),
    Unit([21], ([30, 31, 7], [])),
    Unit([], ([30, 31, 7], [40, 41, 42, 43, 44, 45])),
]
FAMILIES = ("llama", "qwen", "gemma", "gemma2", "mistral")
ROWS = [
    {"pair_id": f"p{i}", "prompt": f"Question {i}?", "chosen": a, "rejected": b}
    for i, (a, b) in enumerate(
        [(" Weigh the flour.", " Oil it."), (" Castle.", " Run slowly."), (" a", " b")]
    )
]


def language_model(family, beta=3.0):
    base = build_model(family, kind=CLASSES["CAUSAL_LM"])
    if family == "gemma2":
        base.config._attn_implementation = "eager"
    setattr(base, BETA, beta)
    return with_lora(base, task="CAUSAL_LM")


@pytest.mark.parametrize("cap", [None, 2.0])
@pytest.mark.parametrize("at_once", [2**25, 60])
def test_log_probabilities_and_their_gradients_are_autograds(monkeypatch, cap, at_once):
    monkeypatch.setattr(implicit_reward, "_LOGITS", at_once)
    torch.manual_seed(0)
    hidden = torch.randn(7, 5, dtype=torch.float64, requires_grad=True)
    weight, bias = torch.randn(20, 5).double(), torch.randn(20).double()
    token = torch.randint(20, (7,))
    logits = linear(hidden, weight, bias)
    logits = logits if cap is None else cap * torch.tanh(logits / cap)
    expected = logits.log_softmax(1)[torch.arange(7), token]
    found = _TokenLogProbs.apply(hidden, weight, bias, token, cap)
    torch.testing.assert_close(found, expected)
    factors = torch.randn(7).double()
    right, own = (
        torch.autograd.grad((x * factors).sum(), hidden)[0] for x in (expected, found)
    )
    torch.testing.assert_close(own, right)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batchs_margins_are_those_of_responses_alone(family):
    model = language_model(family)
    without_float32(model, positions=64)
    for flat in (False, True):
        found = rewards(model, pack(UNITS, flat, 0))
        expected = torch.stack(
            [reward_alone(model, unit.prefix, t) for unit in UNITS for t in unit.tails]
        )
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)
        assert expected.abs().max() > 0.1


def test_the_reference_is_the_base_and_leaves_the_model_as_it_was():
    model = language_model("llama").train()
    base = build_model("llama", kind=CLASSES["CAUSAL_LM"]).eval()
    frozen = next(p for n, p in model.named_parameters() if "lora_A" in n)
    frozen.requires_grad_(False)
    before = {n: p.requires_grad for n, p in model.named_parameters()}
    ids = torch.tensor([[20, 50, 51, 52]])
    with as_reference(model):
        torch.testing.assert_close(model(input_ids=ids).logits, base(ids).logits)
    assert {n: p.requires_grad for n, p in model.named_parameters()} == before
    assert model.training
    assert not torch.allclose(model(input_ids=ids).logits, base(ids).logits)


def trainer_of(recipe, **train):
    fields = recipe.model_dump()
    fields["model"]["adapter"] = None
    fields["train"] |= {"holdout": 0.0, "epochs": 1.0, "batch_size": 3}
    fields["train"] |= {"micro_batch_size": 3, **train}
    recipe = Recipe.model_validate(fields)
    plan = PlannedTraining.of(recipe, {}, None)
    trainer = build_trainer(recipe, plan, mkdtemp(dir=fields["run"]), [])
    trainer.current_gradient_accumulation_steps = 1  # what `train` sets
    generator = torch.Generator().manual_seed(2)
    for parameter in trained_parameters(trainer.model).values():
        parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)
    return trainer


def trls(recipe, trainer, scratch):
    """TRL's DPOTrainer with the same model, on the texts of ROWS."""
    from trl import DPOConfig, DPOTrainer

    model = CLASSES["CAUSAL_LM"].from_pretrained(recipe.model.base)
    config = DPOConfig(
        output_dir=str(scratch),
        beta=0.1,
        loss_type=["sigmoid"],
        use_cpu=True,
        bf16=False,
        max_length=None,
        report_to="none",
        gradient_checkpointing=False,
    )
    made = DPOTrainer(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(ROWS).remove_columns("pair_id"),
        processing_class=build_tokenizer(),
        peft_config=trainer.model.peft_config["default"],
    )
    own = trained_parameters(made.model)
    for name, parameter in trained_parameters(trainer.model).items():
        own[name].data = parameter.data.clone()
    return made


def grads_of(model):
    parameters = trained_parameters(model).items()
    return {n: p.grad for n, p in parameters if p.grad is not None}


@pytest.mark.parametrize("family", ["llama", "qwen", "gemma"])
def test_a_step_is_trls(tmp_path, family):
    recipe = build_run(tmp_path, ROWS, family=family, margin="dpo")
    trainer = trainer_of(recipe, label_smoothing=0.0)
    trl = trls(recipe, trainer, tmp_path / "trl")
    rows = [trl.train_dataset[i] for i in range(len(ROWS))]
    right_loss = trl.compute_loss(trl.model, trl.data_collator(rows))
    right_loss.backward()
    own = [trainer.train_dataset[i] for i in range(len(ROWS))]
    loss = trainer.training_step(trainer.model, trainer.data_collator(own))
    assert float(loss) == pytest.approx(right_loss.item(), rel=1e-5)
    assert abs(float(loss) - float(logsigmoid(torch.zeros(())).neg())) > 1e-4
    right = grads_of(trl.model)
    total = torch.cat([grad.flatten() for grad in right.values()]).norm()
    found = grads_of(trainer.model)
    assert found.keys() == right.keys() and total > 1e-3
    for name, grad in right.items():
        assert (found[name] - grad).norm() <= 1e-5 * total, name


def test_a_head_that_does_more_than_its_weights_say_is_refused(tmp_path):
    recipe = build_run(tmp_path, ROWS, margin="dpo")
    model = language_model("llama")
    labels = labels_of(recipe, "train")
    assert LabelReader.of(model, labels, 3, 0).longest_flat

    def scaled(module, args, output):
        output.logits = 3 * output.logits
        return output

    model.get_base_model().register_forward_hook(scaled)
    with pytest.raises(ValueError, match="LlamaForCausalLM: margins are off by"):
        LabelReader.of(model, labels, 3, 0)


def test_a_base_without_its_head_is_refused(tmp_path):
    build_model("llama").save_pretrained(tmp_path)  # a reward model's
    config = ModelConfig(base=str(tmp_path), margin="dpo")
    with pytest.raises(ValueError, match=r"lm_head\.weight is not in its files"):
        load_base(config, 0)


def test_models_that_predict_nothing_are_refused():
    encoder = build_model("bert", kind=CLASSES["CAUSAL_LM"])
    setattr(encoder, BETA, 1.0)
    with pytest.raises(ValueError, match="its tokens see later ones"):
        check_predicts(with_lora(encoder, task="CAUSAL_LM"), 0)
    adapted = LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj", "lm_head"])
    base = build_model("llama", kind=CLASSES["CAUSAL_LM"])
    with pytest.raises(ValueError, match="on the language model's head too"):
        check_predicts(get_peft_model(base, adapted), 0)
