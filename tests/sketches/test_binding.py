"""A store of sketches refuses other settings and other models, naming what differs."""

from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from inflib.config.recipe import Recipe
from inflib.sketches.binding import bind_sketches
from tests.support.models import build_tokenizer
from tests.support.prepared_run import ROWS, build_run


@pytest.mark.parametrize(
    ("stage", "field", "value"),
    [
        ("sketch", "seed", 4),
        ("sketch", "sketch_size", 64),
        ("sketch", "store_dtype", "float16"),
        ("prepare", "max_length", 64),
        ("model", "dtype", "bfloat16"),
    ],
)
def test_sketches_made_with_another_setting_are_refused(tmp_path, stage, field, value):
    recipe = build_run(tmp_path, ROWS[:5])
    changed = recipe.model_dump(mode="json")
    changed[stage][field] = value
    name = "model_dtype" if field == "dtype" else field
    with pytest.raises(ValueError, match=rf"sketches was made with {name} = .* now"):
        bind_sketches(Recipe.model_validate(changed))


@pytest.mark.parametrize("field", ["adapter", "base", "tokenizer"])
def test_sketches_made_with_another_model_are_refused(tmp_path, field):
    recipe = build_run(tmp_path, ROWS[:5])
    if field == "tokenizer":
        build_tokenizer("</s>").save_pretrained(recipe.model.base)
    else:
        assert recipe.model.adapter is not None
        folder = recipe.model.adapter if field == "adapter" else recipe.model.base
        (file,) = Path(folder).glob("*.safetensors")
        doubled = {name: 2 * weight for name, weight in load_file(file).items()}
        save_file(doubled, file, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=rf"was made with {field}_sha256"):
        bind_sketches(recipe)
