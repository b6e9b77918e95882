"""The Ray that stages start when they have none."""

import os
import time
from pathlib import Path

import psutil
import ray

WORKERS = 4  # Ray's own limit of idle ones is one for each CPU: two


@ray.remote(num_cpus=0)
def meet(folder: Path) -> int:
    """This worker's pid, once all of them are here."""
    (folder / str(os.getpid())).touch()
    end = time.monotonic() + 60
    while len(list(folder.iterdir())) < WORKERS:
        assert time.monotonic() < end, "too few workers"
        time.sleep(0.05)
    return os.getpid()


def test_idle_workers_stay_for_the_next_stage(ray_session, tmp_path):
    workers = ray.get([meet.remote(tmp_path) for _ in range(WORKERS)])
    assert len(set(workers)) == WORKERS
    time.sleep(2.5)  # Ray would end those above its limit after a second
    assert all(psutil.pid_exists(worker) for worker in workers)


@ray.remote(num_cpus=0)
def visible_gpus() -> str | None:
    """What CUDA would let this worker see; None: all GPUs of the machine."""
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def test_workers_without_gpus_see_none(ray_session):
    assert ray.get(visible_gpus.remote()) in ("", "NoDevFiles")
