"""Audits whose workers share a base, on a real Ray."""

import pytest

from inflib.run_check import check
from inflib.storage.folder import Folder
from inflib.synthetic.one_biased_labeler import generate
from ray_jobs.audit import STAGES
from ray_jobs.shared.session import run_stages
from tests.support.audits import tiny_recipe

PARTS = ("reward_model/", "sketches/train/", "sketches/expert/", "influence/")


@pytest.mark.slow
def test_workers_that_share_a_base_give_the_bits_of_those_that_do_not(
    ray_session, llama_folder, tmp_path
):
    """Sketched in the course of training; by a stage: tests/faults."""
    generate(tmp_path, seed=0, num_pairs=44, num_queries=9)
    found = []
    for devices in (1, 2):
        recipe = tiny_recipe(
            tmp_path / f"run-{devices}",
            tmp_path,
            llama_folder,
            model__sharded_over=devices,
            train__workers=2,
            train__micro_batch_size=4,
            train__sketch="during",
            train__epochs=1,
            train__gradient_checkpointing=True,
            sketch__workers=2,
        )
        run_stages(recipe, STAGES)
        assert check(recipe) == []
        run = Folder(recipe.run)
        names = [name for name in run.tree() if name.startswith(PARTS)]
        found.append({name: run.read_bytes(name) for name in names if is_same(name)})
    alone, together = found
    assert alone.keys() == together.keys() and len(alone) > 10
    differ = [name for name in alone if alone[name] != together[name]]
    assert not differ


def is_same(name):
    """Whether a file has no times, and no names of folders, in it."""
    ends = ("done.json", "log.json", "scored.json")
    return not name.startswith("reward_model/checkpoints/") and not name.endswith(ends)
