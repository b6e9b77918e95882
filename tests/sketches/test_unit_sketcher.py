"""Batches within memory, and which units have their prefix computed once."""

import random

import pytest
import torch

from inflib.model.packing import Unit, plan_batches
from inflib.sketches.unit_sketcher import CPU_BUDGET, UnitSketcher
from inflib.telemetry import LOGGER
from tests.support.models import build_model, with_lora


def random_units(seed):
    """39 comparisons of random tokens, prefixes of 1 to 39 tokens."""
    rng = random.Random(seed)

    def tokens(count):
        return [rng.randrange(4, 500) for _ in range(count)]

    return [
        Unit(tokens(length), (tokens(length + 1), tokens(5))) for length in range(1, 40)
    ]


UNITS = random_units(seed=0)


def sketcher(family="llama", limit=None):
    """A sketcher; with a limit, batches of more tokens run out of memory."""
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
    limited = sketcher(family, limit=200)(UNITS[::3], 4000)
    assert expected.token_budget == 4000
    assert limited.token_budget <= 200
    torch.testing.assert_close(limited.values, expected.values, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        limited.squares(), expected.squares(), rtol=1e-4, atol=0.0
    )
    largest = float(expected.sketches.abs().max())
    torch.testing.assert_close(
        limited.sketches, expected.sketches, rtol=0.0, atol=1e-5 * largest
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
def test_units_longer_than_a_window_and_those_of_encoders_are_padded(family, shared):
    """A window of 64 tokens holds sequences with prefixes of up to 31: 31 + 32."""
    unit_sketcher = sketcher(family)
    flat = [unit_sketcher.is_flat(unit) for unit in UNITS]
    assert flat == [True] * shared + [False] * (len(UNITS) - shared)


def test_units_of_flat_and_of_padded_batches_keep_their_order():
    """Mistral's window splits a shard into flat and padded batches."""
    together = sketcher("mistral")(UNITS, 300)
    for index in range(0, len(UNITS), 7):
        single = sketcher("mistral")([UNITS[index]], 300)
        torch.testing.assert_close(
            together.values[index], single.values[0], rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_a_decoder_computes_prefixes_once_unpadded_an_encoder_pads_rows(family):
    unit_sketcher, batch_tokens = sketcher(family), []
    unit_sketcher.gradients.model.get_input_embeddings().register_forward_pre_hook(
        lambda module, args: batch_tokens.append(args[0].numel())
    )
    units = UNITS[::3]
    unit_sketcher(units, 300)
    if family == "llama":
        assert sum(batch_tokens) == sum(unit.num_tokens for unit in units)
    else:  # rows as long as the longest of their batch
        batches = plan_batches(units, 300, flat=False)
        assert batch_tokens == [
            2 * len(batch) * max(unit.longest for unit in batch) for batch in batches
        ]
    assert max(batch_tokens) <= 300
