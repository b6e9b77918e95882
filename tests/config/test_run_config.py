"""A run folder is bound to the recipe of its first results."""

import json

import pytest
import yaml

from inflib.config.loading import read_recipe
from inflib.config.run_config import bind, bind_new

RECIPE = {
    "prepare": {"train": {"path": "a"}, "queries": {"q": {"path": "b"}}},
    "model": {"base": "m"},
}


@pytest.fixture
def read(tmp_path):
    """Recipes of one run folder, by the fields that differ."""

    def recipe(fields=None):
        changes = {"run": str(tmp_path)} | (fields or {})
        return read_recipe(yaml.safe_dump(RECIPE), changes, "x.yaml")

    return recipe


def prepared(folder):
    (folder / "pairs").mkdir()
    (folder / "pairs" / "done.json").write_text("{}")


def test_a_run_with_results_refuses_a_recipe_of_other_numbers(tmp_path, read):
    bind(read())
    prepared(tmp_path)
    bind(read({"sketch.workers": "7", "score.damping": 1.0}))
    with pytest.raises(ValueError, match=r"was made with sketch\.seed = 0, not 1"):
        bind(read({"sketch.seed": "1"}))
    with pytest.raises(ValueError, match=r"prepare\.queries\.q\.select"):
        bind(read({"prepare.queries.q.select": "chosen_longer"}))
    with pytest.raises(ValueError, match=r"query sets \['q'\], not \['more', 'q'\]"):
        bind(read({"prepare.queries.more.path": "c"}))


def test_a_run_that_failed_before_any_result_takes_the_mended_recipe(tmp_path, read):
    bind_new(read({"model.base": "misspelt"}))
    bind_new(read())
    assert json.loads((tmp_path / "config.json").read_text())["model"]["base"] == "m"


def test_options_stay_only_when_the_command_is_through(tmp_path, read):
    bind_new(read())
    prepared(tmp_path)
    bind_new(read({"report.truth": "misspelt"}))  # which then fails
    config = tmp_path / "config.json"
    assert json.loads(config.read_text())["report"]["truth"] is None
    bind(read({"report.truth": "wrong"}))
    assert json.loads(config.read_text())["report"]["truth"] == "wrong"
