"""cluster.yaml and the recipes are what Ray and we ourselves accept."""

import pytest
import yaml

from inflib.config.loading import read_recipe
from tests.support.files import ROOT


def test_ray_accepts_cluster_yaml():
    # what `ray up` calls; private, so a later Ray may have it elsewhere
    private = pytest.importorskip("ray.autoscaler._private.util")
    prepare_config, validate_config = private.prepare_config, private.validate_config
    config = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    validate_config(prepare_config(config))
    config["available_node_types"]["gpu"]["typo"] = 1
    with pytest.raises(Exception, match="typo"):
        validate_config(prepare_config(config))


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("recipes/*.yaml")), ids=lambda p: p.stem
)
def test_every_recipe_is_valid(path):
    read_recipe(path.read_text(), {}, path.name)


def test_the_paper_recipe_is_the_papers():
    recipe = read_recipe((ROOT / "recipes/llama3_8b.yaml").read_text(), {}, "x")
    train = recipe.train
    assert (train.lora_r, train.lora_alpha, train.lora_dropout) == (16, 32, 0.1)
    assert (train.epochs, train.target_modules) == (4, "all-linear")
    assert recipe.sketch.sketch_size == 65_536
