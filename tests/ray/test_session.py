"""The Ray that stages start when they have none."""

import os
import time

import psutil
import ray


def test_idle_workers_stay_for_the_next_stage(ray_session):
    @ray.remote(num_cpus=0)
    def pid() -> int:
        time.sleep(0.5)  # so that each task has a worker of its own
        return os.getpid()

    workers = set(ray.get([pid.remote() for _ in range(4)]))
    assert len(workers) > 2  # Ray's own limit is one for each CPU
    time.sleep(2.5)  # and it ends the others after a second
    assert all(psutil.pid_exists(worker) for worker in workers)
