"""Comparisons from single responses, and the choice between the two."""

import itertools

import numpy as np
import pytest
import torch

from inflib.data.pairs_folder import Shard
from inflib.numerics.oporp import Oporp
from inflib.sketches.unit_sketcher import UnitSketcher
from inflib.sketches.units import Plan, UnitSketches, choose_unit, plan_units
from tests.support.models import build_model, with_lora

EOS = 3


def comparisons():
    """Two prompts with 4 responses, all 6 comparisons of each, shuffled.

    Prompt and response have 14 to 17 tokens, those of the second prompt 16 to 19.
    """
    generator = torch.Generator().manual_seed(0)

    def ids(count):
        return torch.randint(4, 500, (count,), generator=generator).tolist()

    rows: list[dict] = []
    for prompt in range(2):
        prefix = [2, *ids(9 + 2 * prompt)]
        responses = [[*ids(3 + i), EOS] for i in range(4)]
        for a, b in itertools.combinations(responses, 2):
            rows.append(
                {"comparison_id": f"{prompt:012}{len(rows):020}", "prefix": prefix}
                | {"a": a, "b": b}
            )
    order = torch.randperm(len(rows), generator=generator).tolist()
    return [rows[i] for i in order]


def sketched(kind, family="llama", token_budget=10_000, sketch_size=16384):
    """(plan, sketches of its units, those of the comparisons)."""
    sketcher = UnitSketcher(with_lora(build_model(family)), 0, sketch_size, seed=0)
    plan = plan_units(comparisons(), kind)
    units = sketcher(plan.units, token_budget)
    return plan, units, units.comparisons(plan)


def close(actual, expected, scale):
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5 * float(scale))


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_subtracted_responses_equal_comparisons(family):
    _, _, (margins, sq_norms, sketches) = sketched("comparison", family)
    plan, responses, differences = sketched("response", family)
    assert len(plan.units) == 8 and len(margins) == 12
    # Rounding is relative to what is subtracted.
    close(differences[0], margins, responses.values.abs().max())
    close(differences[1], sq_norms, responses.squares().max())
    close(differences[2], sketches, responses.sketches.abs().max())


def test_norms_across_batches_come_from_the_sketches():
    _, exact, (_, sq_norms, _) = sketched("response")
    _, split, (_, rotated, _) = sketched("response", token_budget=1)
    assert len(exact.products) == 1 and len(split.products) == 8
    close(rotated, sq_norms, exact.squares().max())  # K > D: inner products are kept
    _, _, (_, estimated, _) = sketched("response", token_budget=1, sketch_size=512)
    error = (estimated - sq_norms).abs() / exact.squares().max()
    # |x - y|^2 takes 2 <x, y>, whose standard error is 2 |x| |y| / sqrt(K) at most.
    assert 1e-4 < error.max() < 6 * 2 / 512**0.5


@pytest.mark.parametrize("apart", [True, False])
def test_norms_of_nearly_equal_responses_are_those_of_their_difference(apart):
    """|x|^2 = |y|^2 = 10,000 and |x - y|^2 = 1; of inner products that is 0 to 18."""
    d, k = 4096, 4096
    generator = torch.Generator().manual_seed(0)
    common = torch.randn(d, generator=generator)
    common *= 100 / common.norm()
    small = torch.randn(20, d, generator=generator)
    small /= small.norm(dim=1, keepdim=True)
    grads = torch.stack([common.expand(20, -1), common + small], dim=1).flatten(0, 1)
    oporp = Oporp({"w": d}, k, 0, torch.device("cpu"))
    sketches = torch.zeros(40, k)
    oporp.add(sketches, "w", grads)
    size = 1 if apart else 2
    products = [(part @ part.T).double()[None] for part in grads.split(size)]
    units = UnitSketches(torch.zeros(40).double(), sketches, products, [slice(0, k)], 1)
    places = torch.arange(20)
    plan = Plan([], 2 * places, 2 * places + 1)
    _, sq_norms, _ = units.comparisons(plan)
    np.testing.assert_allclose(sq_norms[:, 0].numpy(), 1, atol=6 * (2 / k) ** 0.5)
    same = sketches[[0, 0]]
    values, apart_products = torch.zeros(2).double(), [products[0][:, :1, :1]] * 2
    check_equal = UnitSketches(values, same, apart_products, [slice(0, k)], 1)
    _, zero, _ = check_equal.comparisons(Plan([], torch.tensor([0]), torch.tensor([1])))
    assert float(zero) == 0


def test_an_empty_plan_has_a_unit():
    assert choose_unit([], True)[0] == "comparison"


def test_units_of_a_prompt_stay_together_and_short_prompts_come_first():
    plan = plan_units(comparisons(), "response")
    lengths = [unit.longest for unit in plan.units]
    assert sorted(lengths[:4]) == [14, 15, 16, 17]
    assert sorted(lengths[4:]) == [16, 17, 18, 19]
    plan = plan_units(comparisons(), "comparison")
    lengths = [unit.longest for unit in plan.units]
    assert lengths == sorted(lengths)
    for row, place in zip(comparisons(), plan.first.tolist(), strict=True):
        assert plan.units[place].tails == (row["a"], row["b"])


def shard(num_tokens, num_shared, num_distinct):
    return Shard("0", 1, 1, num_tokens, num_shared, num_distinct, "", "")


def test_the_unit_that_needs_clearly_fewer_tokens_is_chosen():
    repeated, once = shard(600, 400, 200), shard(100, 70, 100)
    assert choose_unit([repeated, once], shares_prefix=True)[0] == "response"
    assert choose_unit([once], shares_prefix=True)[0] == "comparison"
    for distinct, unit in ((89, "response"), (91, "comparison")):  # worth a tenth
        assert choose_unit([shard(200, 100, distinct)], True)[0] == unit
    assert choose_unit([shard(600, 100, 200)], shares_prefix=True)[0] == "comparison"
    unit, why = choose_unit([shard(600, 100, 200)], shares_prefix=False)
    assert unit == "response"
    assert "200 tokens of distinct responses, 600 of pairs" in why
