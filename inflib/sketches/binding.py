"""Recipe and model to sketches/manifest.json, which binds the sketches to them."""

import hashlib
from typing import Any

from inflib.config.recipe import Recipe
from inflib.data.pairs_folder import PairsFolder
from inflib.data.tokenizer import load_config, load_tokenizer, tokenizer_digest
from inflib.model.adapter import read_adapter
from inflib.model.attention import longest_flat
from inflib.model.custom_reward import function_digest
from inflib.model.partway import MOMENTS
from inflib.model.reward_folder import describe_model, read_kept, sketched_folder
from inflib.numerics.layer_bins import Layer, lay_out, to_json
from inflib.sketches.manifest import Manifest
from inflib.sketches.store import FORMAT
from inflib.sketches.units import choose_unit
from inflib.storage.folder import Folder


def bind_sketches(recipe: Recipe, in_training: bool = False) -> None:
    """Write sketches/manifest.json: all that decides a run's sketches, up to rounding.

    in_training: they were taken in the course of training. Also chooses what gets one
    gradient in each pair set, and prints why. Where there is a manifest already, it is
    compared instead: ValueError names the field that differs.
    """
    config, model = recipe.sketch, recipe.model
    fields = {
        "format": FORMAT,
        "tokenizer_sha256": tokenizer_digest(load_tokenizer(model)),
        **describe_model(recipe, sketched_folder(recipe)),
        "kept": _kept(recipe),
        "model_dtype": model.dtype,
        "quantization": model.quantization,
        "attention": model.attention,
        "max_length": recipe.prepare.max_length,
        "sketch_size": config.sketch_size,
        "by_layer": config.by_layer,
        "seed": config.seed,
        "store_dtype": config.store_dtype,
        "unit": config.unit,
        "layers": to_json(_layers(recipe)),
    }
    if model.margin != "reward":
        fields |= {"margin": model.margin, "beta": model.beta, "task": model.task}
    if model.margin == "generative":
        fields["answers"] = list(model.answers)
    if model.is_custom:
        fields["margin_sha256"] = function_digest(model.margin)
    if model.objective_weights is not None:
        fields["objective_weights"] = list(model.objective_weights)
    if in_training:
        fields["in_training"] = True
    Manifest(Folder(recipe.run)).bind(fields, lambda: _choose_units(recipe))


def _kept(recipe: Recipe) -> dict[str, Any] | None:
    """What stands in the manifest of a model that was kept on the way."""
    kept = read_kept(recipe)
    if kept is None:
        return None
    moments = sketched_folder(recipe).read_bytes(MOMENTS)
    return vars(kept) | {"moments_sha256": hashlib.sha256(moments).hexdigest()}


def _layers(recipe: Recipe) -> list[Layer]:
    sizes = read_adapter(sketched_folder(recipe), recipe.model.task).sizes
    return lay_out(sizes, recipe.sketch.sketch_size, recipe.sketch.by_layer)


def _choose_units(recipe: Recipe) -> dict[str, str]:
    config = load_config(recipe.model)
    units: dict[str, str] = {}
    for pairs in recipe.prepare.sources:
        plan = PairsFolder(Folder(recipe.run) / "pairs" / pairs).plan()
        unit: str
        unit, why = choose_unit(plan, longest_flat(config) > 0)
        if recipe.sketch.unit != "auto":
            unit, why = recipe.sketch.unit, f"as asked; {why}"
        elif recipe.model.margin != "reward":
            unit, why = "comparison", f"those of margin {recipe.model.margin} are"
        units[pairs] = unit
        print(f"sketch: {pairs}: one gradient per {unit}: {why}", flush=True)
    return units
