"""A run folder is bound to the recipe of its first results."""

import json

import pytest
import yaml

from inflib.config.cli import load
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


def test_a_run_goes_on_with_other_resources(tmp_path, read):
    bind(read())
    prepared(tmp_path)
    resources: dict[str, object] = {
        f"{section}.{name}_per_worker": 1
        for section in ("train", "sketch")
        for name in ("cpus", "gpus")
    }
    resources["sketch.token_budget"] = 512  # where memory ran out
    resources["train.gradient_checkpointing"] = True
    bind(read(resources))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model.dtype", "bfloat16"),
        ("model.attention", "eager"),
        ("train.workers", 2),
        ("train.micro_batch_size", 8),
    ],
)
def test_resources_that_change_numbers_are_bound(tmp_path, read, field, value):
    bind(read({"train.batch_size": 16}))
    prepared(tmp_path)
    changes = {"train.micro_batch_size": 8} if field == "train.workers" else {}
    with pytest.raises(ValueError, match="choose another --run"):
        bind(read(changes | {field: value}))


def changed(folder, change):
    """Change the fields in a run's config.json as another version would have."""
    config = folder / "config.json"
    fields = json.loads(config.read_text())
    change(fields)
    config.write_text(json.dumps(fields))


def test_fields_younger_than_the_run_count_as_their_defaults(tmp_path, read):
    bind(read())
    prepared(tmp_path)

    def older(fields):
        del fields["sketch"]["by_layer"], fields["model"]["pad_token"]
        del fields["prepare"]["queries"]["q"]["select"], fields["explain"]

    changed(tmp_path, older)
    bind_new(read())
    with pytest.raises(ValueError, match=r"sketch\.by_layer = False, not True"):
        bind(read({"sketch.by_layer": "true"}))
    with pytest.raises(ValueError, match=r"queries\.q\.select = 'all', not 'chosen_l"):
        bind(read({"prepare.queries.q.select": "chosen_longer"}))
    assert load(None, {"run": str(tmp_path)}) == read()


def test_a_field_that_is_no_longer_known_is_told_in_one_line(tmp_path, read):
    bind(read())
    prepared(tmp_path)
    changed(tmp_path, lambda fields: fields["report"].update(color="red"))
    bind_new(read())  # free, and of no use
    assert load(None, {"run": str(tmp_path)}) == read()
    changed(tmp_path, lambda fields: fields["sketch"].update(rotation="dense"))
    message = r"by another version of inflib, with sketch\.rotation, which this one"
    with pytest.raises(ValueError, match=message) as error:
        bind(read())
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=message):
        load(None, {"run": str(tmp_path)})
