"""sketches/manifest.json: what a store of sketches was made with, and must stay."""

from transformers import AutoConfig

from inflib.config.recipe import Recipe
from inflib.data.pairs_folder import PairsFolder
from inflib.data.tokenizer import load_tokenizer, resolve_base, tokenizer_digest
from inflib.model.adapter import read_adapter
from inflib.model.attention import longest_flat
from inflib.model.reward_folder import adapter_folder, describe_model
from inflib.numerics.layer_bins import Layer, lay_out, to_json
from inflib.sketches.store import FORMAT
from inflib.sketches.units import Kind, choose_unit
from inflib.storage.folder import Folder


def bind_sketches(recipe: Recipe) -> None:
    """Bind sketches/ to all that decides its numbers; refuse one of another make.

    Chooses each pair set's unit, the first time, and says why. Raises ValueError naming
    the field that differs.
    """
    config, model = recipe.sketch, recipe.model
    folder = Folder(recipe.run) / "sketches"
    tokenizer = load_tokenizer(model.base, model.revision, model.trust_remote_code)
    manifest = {
        "format": FORMAT,
        "tokenizer_sha256": tokenizer_digest(tokenizer),
        **describe_model(recipe),
        "model_dtype": model.dtype,
        "attention": model.attention,
        "max_length": recipe.prepare.max_length,
        "sketch_size": config.sketch_size,
        "by_layer": config.by_layer,
        "seed": config.seed,
        "store_dtype": config.store_dtype,
        "token_budget": config.token_budget,
        "threads": config.cpus_per_worker,
        "unit": config.unit,
        "layers": to_json(_layers(recipe)),
    }
    if not folder.exists("manifest.json"):
        units = _choose_units(recipe)
        folder.write_json("manifest.json", manifest | {"units": units})
        return
    stored = folder.read_json("manifest.json")
    for name, value in manifest.items():
        if stored.get(name) != value:
            raise ValueError(
                f"{folder.url} was made with {name} = {stored.get(name)!r}, now "
                f"{value!r}: choose another --run, or delete that folder"
            )


def _layers(recipe: Recipe) -> list[Layer]:
    sizes = read_adapter(adapter_folder(recipe)).sizes
    return lay_out(sizes, recipe.sketch.sketch_size, recipe.sketch.by_layer)


def _choose_units(recipe: Recipe) -> dict[str, Kind]:
    model = recipe.model
    config = AutoConfig.from_pretrained(
        resolve_base(model.base),
        revision=model.revision,
        trust_remote_code=model.trust_remote_code,
    )
    units: dict[str, Kind] = {}
    for pairs in recipe.prepare.sources:
        plan = PairsFolder(Folder(recipe.run) / "pairs" / pairs).plan()
        unit, why = choose_unit(plan, longest_flat(config) > 0)
        if recipe.sketch.unit != "auto":
            unit, why = recipe.sketch.unit, f"as asked; {why}"
        units[pairs] = unit
        print(f"sketch: {pairs}: one gradient per {unit}: {why}", flush=True)
    return units
