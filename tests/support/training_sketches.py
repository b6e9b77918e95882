"""Sketches that a training left behind, and what they should be."""

from weakref import WeakKeyDictionary

import pytest
from torch import nn

from inflib.data.pairs_folder import PairsFolder
from inflib.model.trained_weights import set_trained, trained_parameters
from inflib.sketches import store
from inflib.sketches.unit_sketcher import UnitSketcher
from inflib.sketches.units import plan_units
from inflib.storage.folder import Folder
from tests.support.models import build_tokenizer


def read(recipe, pairs):
    """{comparison_id: (row of tokens, margin, |s|^2, sketch)} as stored."""
    run = Folder(recipe.run)
    folder, found = PairsFolder(run / "pairs" / pairs), {}
    for shard in folder.plan():
        record = store.read_record(run / "sketches" / pairs, shard.name)
        rows, digests = store.read_rows(record), store.Digests.of(record)
        payload = store.read_payload(run / "sketches" / pairs, shard.name, digests)
        sketches = store.decode(payload, rows.scale)
        table = folder.comparisons(shard, ["comparison_id", "prefix", "a", "b"])
        for i, row in enumerate(table.to_pylist()):
            found[row["comparison_id"]] = (
                row,
                rows.margin[i],
                rows.sq_norms[i].sum(),
                sketches[i],
            )
    return found


_SKETCHERS: "WeakKeyDictionary[nn.Module, UnitSketcher]" = WeakKeyDictionary()


def expected(recipe, trainer, weights, row):
    """(margin, |s|^2, sketch) of a comparison by a model with these weights."""
    model = trainer.accelerator.unwrap_model(trainer.model).eval()
    now = {n: p.detach().clone() for n, p in trained_parameters(model).items()}
    set_trained(model, weights)
    requires = {p: p.requires_grad for p in model.parameters()}
    config, plan = recipe.sketch, plan_units([row], "comparison")
    with trainer.accelerator.autocast():
        if model not in _SKETCHERS:
            pad_id = build_tokenizer().pad_token_id
            made = UnitSketcher(model, pad_id, config.sketch_size, config.seed)
            _SKETCHERS[model] = made
        model.requires_grad_(False)
        sketches = _SKETCHERS[model](plan.units, 4096)
    margins, squares, rows = sketches.comparisons(plan)
    for parameter, was in requires.items():
        parameter.requires_grad_(was)
    set_trained(model, now)
    return float(margins[0]), float(squares.sum()), rows[0]


def close(found, right, tolerance=1e-4):
    _, margin, square, sketch = found
    assert margin == pytest.approx(right[0], rel=tolerance, abs=tolerance)
    assert square == pytest.approx(right[1], rel=10 * tolerance)
    assert (sketch - right[2]).norm() <= tolerance * right[2].norm()
