"""A score head with several outputs, whose weighted sum is the reward."""

import pytest
import torch

from inflib.config.reward_model import ModelConfig
from inflib.data.pairs_folder import PairsFolder
from inflib.model.adapter import attach, read_adapter
from inflib.model.base_model import load_base
from inflib.model.model_check import check_model
from inflib.model.packing import Unit, pack
from inflib.model.planned_training import PlannedTraining
from inflib.model.reward import unit_values
from inflib.model.reward_folder import load_sketched_model
from inflib.model.training import build_trainer, save_reward_model
from inflib.sketches.gradients import UnitGradients
from inflib.sketches.unit_sketcher import UnitSketcher
from inflib.storage.folder import Folder
from tests.support.models import build_model, build_tokenizer, with_lora
from tests.support.planned_runs import ROWS, with_train
from tests.support.prepared_run import build_run

WEIGHTS = (0.7, -0.2)
UNITS = [
    Unit([5, 8, 9], ([20, 21, 22], [30, 31])),
    Unit([6], ([40, 41], [50, 51, 52, 53])),
]


def saved(folder, family="llama", outputs=2, **fields):
    """(its config, the model) of an adapter whose head has so many outputs."""
    build_model(family, outputs=outputs).save_pretrained(folder / "base")
    build_tokenizer().save_pretrained(folder / "base")
    model = with_lora(build_model(family, outputs=outputs))
    model.save_pretrained(folder / "adapter")
    base, adapter = str(folder / "base"), str(folder / "adapter")
    return ModelConfig(base=base, adapter=adapter, **fields), model


def by_itself(model, unit):
    """A comparison's margin, from the head's outputs on single sequences."""
    rewards = [
        (model(input_ids=torch.tensor([ids])).logits[0] * torch.tensor(WEIGHTS)).sum()
        for ids in unit.sequences
    ]
    return rewards[0] - rewards[1]


@pytest.mark.parametrize(
    ("family", "flat"), [("llama", True), ("llama", False), ("bert", False)]
)
def test_margins_and_gradients_are_those_of_the_weighted_sum(tmp_path, family, flat):
    config, model = saved(tmp_path, family, objective_weights=WEIGHTS)
    assert check_model(config) == []
    base = load_base(config, pad_id=0)
    loaded = attach(base, read_adapter(Folder(f"{tmp_path}/adapter")))
    with torch.no_grad():
        expected = torch.stack([by_itself(model, unit) for unit in UNITS])
        torch.testing.assert_close(
            unit_values(loaded, pack(UNITS, flat, 0)), expected, rtol=1e-4, atol=1e-5
        )
    gradients = UnitGradients(loaded)
    blocks: dict[str, torch.Tensor] = {}
    gradients(pack(UNITS, flat, 0), blocks.__setitem__)
    for i, unit in enumerate(UNITS):
        model.zero_grad()
        by_itself(model, unit).backward()
        for name, p in model.named_parameters():
            if p.requires_grad and p.grad is not None and name.endswith("weight"):
                found = blocks[name.removesuffix(".weight")][i]
                if len(found) == p.numel():  # without a bias
                    torch.testing.assert_close(
                        found.view_as(p), p.grad, rtol=1e-3, atol=1e-5
                    )


def test_hooks_are_checked_with_the_weights(tmp_path):
    config, _ = saved(tmp_path, objective_weights=WEIGHTS)
    base = load_base(config, pad_id=0)
    loaded = attach(base, read_adapter(Folder(f"{tmp_path}/adapter")))
    sketcher = UnitSketcher(loaded, 0, 512, 0)
    assert sketcher._plain is None
    assert sketcher(UNITS, 64).sketches.any()


@pytest.mark.parametrize(
    ("outputs", "weights", "said"),
    [
        (2, None, "its score head has 2 outputs: give model.objective_weights, 2 num"),
        (3, WEIGHTS, "its score head has 3 outputs: give model.objective_weights, 3 n"),
        (1, WEIGHTS, "its score head has 1 outputs: leave model.objective_weights out"),
    ],
)
def test_a_head_of_another_number_of_outputs_is_refused(
    tmp_path, outputs, weights, said
):
    config, _ = saved(tmp_path, outputs=outputs, objective_weights=weights)
    with pytest.raises(ValueError, match=said):
        check_model(config)


def test_a_base_with_a_head_of_its_own_is_refused_where_it_has_other_outputs(tmp_path):
    build_model("llama").save_pretrained(tmp_path / "base")
    config = ModelConfig(base=str(tmp_path / "base"), objective_weights=WEIGHTS)
    with pytest.raises(ValueError, match="its own score head has not 2 outputs"):
        load_base(config, pad_id=0)


def test_training_moves_every_objective_by_its_weight(tmp_path):
    recipe = build_run(tmp_path, ROWS)
    build_model("llama", outputs=2).save_pretrained(tmp_path / "base")
    fields = recipe.model_dump(mode="json")
    fields["model"] |= {"adapter": None, "objective_weights": WEIGHTS}
    recipe = with_train(recipe.model_validate(fields), holdout=0.0, epochs=1.0)
    plan = PlannedTraining.of(recipe, {}, None)
    trainer = build_trainer(recipe, plan, str(tmp_path / "out"), [])
    seen: list[torch.Tensor] = []
    head = trainer.model.base_model.model.score.modules_to_save["default"].weight
    head.register_hook(lambda grad: seen.append(grad.clone()))
    trainer.train()
    ratio = WEIGHTS[1] / WEIGHTS[0]
    assert seen and all(grad.any() for grad in seen)
    for grad in seen:
        torch.testing.assert_close(grad[1], ratio * grad[0], rtol=1e-4, atol=1e-7)
    target = Folder(recipe.run) / "reward_model"
    save_reward_model(trainer, str(tmp_path / "final"), target, recipe.model)
    model, _, _ = load_sketched_model(recipe, torch.device("cpu"))
    pairs = PairsFolder(Folder(recipe.run) / "pairs" / "train")
    row = pairs.comparisons(pairs.plan()[0], ["prefix", "a", "b"]).to_pylist()[0]
    unit = Unit(row["prefix"], (row["a"], row["b"]))
    with torch.no_grad():
        torch.testing.assert_close(
            unit_values(model, pack([unit], False, 0))[0],
            by_itself(trainer.model.eval(), unit),
        )
