"""Batches within memory, and which units share their prefix."""

import itertools
import random

import pytest
import torch

from inflib.model.packing import Unit
from inflib.sketches.unit_sketcher import CPU_BUDGET, UnitSketcher
from inflib.telemetry import LOGGER
from tests.support.models import build_model, with_lora

RANDOM = random.Random(0)
UNITS = [
    Unit(
        [RANDOM.randrange(4, 500) for _ in range(p)],
        tuple([RANDOM.randrange(4, 500) for _ in range(n)] for n in (p + 1, 5)),
    )
    for p in range(1, 40)
]


def sketcher(family="llama", limit=None):
    """With a limit, batches of more tokens run out of memory."""
    model = with_lora(build_model(family))
    if limit is not None:

        def refuse(module, args):
            if args[0].numel() > limit:
                raise torch.OutOfMemoryError(f"{args[0].numel()} tokens")

        model.get_input_embeddings().register_forward_pre_hook(refuse)
    return UnitSketcher(model, 0, 512, seed=0)


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_out_of_memory_halves_the_budget_and_loses_nothing(family, caplog, monkeypatch):
    monkeypatch.setattr(LOGGER, "propagate", True)
    expected = sketcher(family)(UNITS[::3], 4000)
    found = sketcher(family, limit=200)(UNITS[::3], 4000)
    assert expected.token_budget == 4000
    assert found.token_budget <= 200
    torch.testing.assert_close(found.values, expected.values, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.squares(), expected.squares(), rtol=1e-4, atol=0.0)
    scale = float(expected.sketches.abs().max())
    torch.testing.assert_close(
        found.sketches, expected.sketches, rtol=0.0, atol=1e-5 * scale
    )
    assert "out of memory at" in caplog.text


def test_a_unit_that_does_not_fit_alone_is_an_error_that_says_what_to_do():
    with pytest.raises(MemoryError, match=r"8[24] tokens .* lower prepare.max_length"):
        sketcher(limit=80)(UNITS[-4:], 4000)


def test_other_errors_are_not_taken_for_memory():
    broken = sketcher()
    broken.gradients.model.get_input_embeddings().register_forward_pre_hook(
        lambda module, args: (_ for _ in ()).throw(RuntimeError("no such kernel"))
    )
    with pytest.raises(RuntimeError, match="no such kernel"):
        broken(UNITS, 4000)


def test_the_budget_on_a_cpu_is_fixed():
    assert sketcher().fitting_budget(50) == CPU_BUDGET


@pytest.mark.parametrize(
    ("family", "shared"), [("llama", 39), ("mistral", 31), ("bert", 0)]
)
def test_windows_and_encoders_fall_back(family, shared):
    """A sliding window of 64 cannot tell apart what a longer flat row hides."""
    one = sketcher(family)
    flat = [one.is_flat(unit) for unit in UNITS]
    assert sum(flat) == shared
    assert [u.longest for u, f in zip(UNITS, flat, strict=True) if not f] == [
        u.longest for u in UNITS[shared:]
    ]


def test_both_forms_give_the_same_in_one_shard():
    """Mistral's window splits a shard into flat and padded batches."""
    found = sketcher("mistral")(UNITS, 300)
    alone = [sketcher("mistral")([unit], 300) for unit in UNITS[::7]]
    for unit, single in zip(itertools.count(0, 7), alone, strict=False):
        torch.testing.assert_close(
            found.values[unit], single.values[0], rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_a_shared_prefix_is_computed_once_and_nothing_is_padded(family):
    one, tokens = sketcher(family), []
    one.gradients.model.get_input_embeddings().register_forward_pre_hook(
        lambda module, args: tokens.append(args[0].numel())
    )
    units = UNITS[::3]
    one(units, 300)
    shared = sum(unit.num_tokens for unit in units)
    whole = sum(len(ids) for unit in units for ids in unit.sequences)
    if family == "llama":
        assert sum(tokens) == shared
    else:
        assert sum(tokens) > whole
    assert max(tokens) <= 300
