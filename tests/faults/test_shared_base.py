"""A worker dies whose base others share."""

from inflib.config.recipe import Recipe
from inflib.run_check import check
from ray_jobs.shared.session import run_stages
from ray_jobs.sketch import sketch
from tests.faults.conftest import differences, kill, some_shards, when


def test_a_worker_that_shares_its_base_is_killed(disturbed, undisturbed):
    fields = disturbed("pairs", "reward_model").model_dump(mode="json")
    fields["model"]["sharded_over"] = 2
    fields["train"] |= {"workers": 2, "micro_batch_size": 4}
    recipe = Recipe.model_validate(fields)
    killer = when(some_shards(recipe), lambda: kill("ray::RayTrainWorker"))
    run_stages(recipe, [sketch])
    killer.join()
    run_stages(recipe, [sketch])  # deletes what the killed one left half-written
    assert not differences(recipe, undisturbed, "sketches")
    assert check(undisturbed) == []
