"""Whatever dies, stops or fills up, a run ends with the bytes of an undisturbed one."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import ray
import torch

from inflib.run_check import check
from inflib.sketches import unit_sketcher
from inflib.storage.folder import SCRATCH, Folder
from inflib.storage.s3 import PatientS3
from ray_jobs.report import report
from ray_jobs.score import score
from ray_jobs.shared.session import QUIET, run_stages
from ray_jobs.sketch import sketch
from ray_jobs.train import train
from tests.faults.conftest import (
    NODE,
    PATIENCE,
    differences,
    driver,
    kill,
    outputs,
    processes,
    some_partials,
    some_shards,
    when,
)
from tests.support.files import ROOT
from tests.support.waiting import until

ACTOR = "ray::MapWorker(MapBatches(SketchActor)"
"""Title of a worker's process while it sketches."""


@pytest.fixture(autouse=True)
def whole(undisturbed):
    """Checks that no test reaches the run that its own is compared with."""
    yield
    assert check(undisturbed) == []


def test_a_sketch_actor_is_killed_in_the_middle_of_a_shard(disturbed, undisturbed):
    recipe = disturbed("pairs", "reward_model")
    killer = when(some_shards(recipe), lambda: kill(ACTOR))
    run_stages(recipe, [sketch])
    killer.join()
    assert not differences(recipe, undisturbed, "sketches")


def test_a_node_is_lost_while_it_sketches(disturbed, undisturbed, cluster):
    recipe = disturbed("pairs", "reward_model")
    lost = next(iter(cluster.worker_nodes))
    killer = when(
        some_shards(recipe), lambda: cluster.remove_node(lost, allow_graceful=False)
    )
    run_stages(recipe, [sketch])
    killer.join()
    cluster.add_node(**NODE)
    assert not differences(recipe, undisturbed, "sketches")


def test_the_driver_is_killed_in_sketch_and_in_score(disturbed, undisturbed, tmp_path):
    recipe = disturbed("pairs", "reward_model")
    for stage, folder, condition in (
        (sketch, "sketches", some_shards(recipe, 3)),
        (score, "influence", some_partials(recipe, "")),
    ):
        process = driver(recipe, stage.__name__, tmp_path)
        until(condition, PATIENCE)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not (Path(recipe.run) / folder / "done.json").exists()
        # what a writer without luck leaves: both are found and cleaned
        (Path(recipe.run) / folder / f"{SCRATCH}0").write_bytes(b"half")
        (Path(recipe.run) / "sketches" / "train" / "00000-0.npy").write_bytes(b"x")
        run_stages(recipe, [stage])
    run_stages(recipe, [sketch])
    run_stages(recipe, [report])
    assert check(recipe) == []
    assert not differences(recipe, undisturbed)


@pytest.mark.parametrize("victim", ["driver", "worker"])
def test_training_is_interrupted(disturbed, undisturbed, tmp_path, victim, capsys):
    recipe = disturbed("pairs")
    folder = Path(recipe.run) / "reward_model" / "checkpoints"

    def checkpointed():  # Ray Train knows of it; files alone are not enough
        return (folder / "checkpoint_manager_snapshot.json").exists()

    if victim == "driver":
        process = driver(recipe, "train", tmp_path)
        until(checkpointed, PATIENCE)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not (folder.parent / "done.json").exists()
        run_stages(recipe, [train])
    else:
        killer = when(checkpointed, lambda: kill("ray::RayTrainWorker"))
        run_stages(recipe, [train])
        killer.join()
    assert "train: goes on after step" in capsys.readouterr().out
    ours, theirs = (outputs(r, "reward_model") for r in (recipe, undisturbed))
    for name in ("adapter_model.safetensors", "metrics.json", "held_out.json"):
        assert ours[f"reward_model/{name}"] == theirs[f"reward_model/{name}"], name


def test_the_reducer_is_killed_in_its_iteration_and_in_its_last_pass(
    disturbed, undisturbed
):
    recipe = disturbed("pairs", "reward_model", "sketches")

    killed = []

    def kill_twice():
        killed.append(kill("ray::Reducer"))
        until(some_partials(recipe, "scores-"), PATIENCE)
        until(
            lambda: any(p.pid not in killed for p in processes("ray::Reducer")),
            PATIENCE,
        )
        killed.append(kill("ray::Reducer"))

    killer = when(some_partials(recipe, "gauss_newton-"), kill_twice)
    run_stages(recipe, [score])
    killer.join()
    assert len(set(killed)) == 2
    assert not differences(recipe, undisturbed, "influence")


@contextmanager
def connected(hook=None):
    """Ray on the cluster, with a function that every worker calls first."""
    # Workers import the hook from this module; Ray adds to what it is given.
    environment = {"env_vars": QUIET | {"PYTHONPATH": str(ROOT)}}
    if hook is not None:
        environment["worker_process_setup_hook"] = hook
    ray.init(os.environ["RAY_ADDRESS"], runtime_env=environment)
    try:
        yield
    finally:
        ray.shutdown()


def server(command):
    """Pause or resume the S3 server."""
    subprocess.run([ROOT / "scripts" / "s3_server.sh", command], check=True)


def test_the_s3_server_is_away_for_20_seconds(disturbed, undisturbed, s3_bucket, capfd):
    recipe = disturbed("pairs", "reward_model", run=f"{s3_bucket}/outage")
    sketches = Folder(recipe.run) / "sketches" / "train"

    def go_away():
        server("pause")
        time.sleep(20)
        server("resume")

    outage = when(lambda: len(sketches.names()) > 4, go_away)
    run_stages(recipe, [sketch])
    outage.join()
    assert "trying again in" in capfd.readouterr().err
    assert not differences(recipe, undisturbed, "sketches")


def impatient() -> None:
    """Give requests up sooner than after 20 seconds; for the driver and workers."""
    PatientS3.silence = 3.0


def test_s3_requests_fail_at_random(
    disturbed, undisturbed, s3_bucket, proxy, capfd, monkeypatch
):
    monkeypatch.setattr(PatientS3, "silence", PatientS3.silence)
    impatient()
    recipe = disturbed("pairs", "reward_model", run=f"{s3_bucket}/faults")
    proxy.counts.clear()
    proxy.shares = {"500": 0.04, "503": 0.04, "cut": 0.04, "hang": 0.02}
    try:
        with connected(impatient):
            run_stages(recipe, [sketch, score])
    finally:
        proxy.shares = {}
    for fault in ("500", "503", "cut", "hang"):
        assert proxy.counts[fault], proxy.counts
    assert "trying again in" in capfd.readouterr().err
    assert not differences(recipe, undisturbed)


def mount(path, size):
    """A disk of this size; skips the test without the right to mount one."""
    path.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    if subprocess.run(["mount", *options], capture_output=True).returncode:
        pytest.skip("no right to mount a small disk")
    return path


def test_the_disk_of_the_run_is_full(disturbed, undisturbed, tmp_path):
    disk = mount(tmp_path / "disk", "64m")
    try:
        recipe = disturbed("pairs", "reward_model", run=str(disk / "run"))
        half = sum(map(len, outputs(undisturbed, "sketches").values())) // 2
        free = shutil.disk_usage(disk).free
        (disk / "filler").write_bytes(bytes(free - half))  # room for half of them
        with pytest.raises(Exception, match=rf"no space left to write {disk}.*free"):
            run_stages(recipe, [sketch])
        (disk / "filler").unlink()
        assert len(list((disk / "run" / "sketches" / "train").glob("*.npy"))) > 0
        run_stages(recipe, [sketch])
        assert not differences(recipe, undisturbed, "sketches")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_the_disk_of_one_node_is_full(disturbed, undisturbed, cluster, tmp_path):
    disk = mount(tmp_path / "disk", "64k")
    (disk / "filler").write_bytes(bytes(64 * 1024))
    os.environ["TMPDIR"] = str(disk)  # what a node's processes write of their own
    node = cluster.add_node(**NODE)
    del os.environ["TMPDIR"]
    healthy = [n for n in cluster.worker_nodes if n != node]
    try:
        for healthy_node in healthy:
            cluster.remove_node(healthy_node)
        recipe = disturbed("pairs", "reward_model")
        run_stages(recipe, [sketch, score])
        assert not differences(recipe, undisturbed)
    finally:
        cluster.remove_node(node)
        for _ in healthy:
            cluster.add_node(**NODE)
        subprocess.run(["umount", str(disk)], check=True)


def out_of_memory() -> None:
    """In every worker: a batch of more than one unit does not fit."""
    batch = unit_sketcher.UnitSketcher._batch

    def fails(self, units, flat):
        if len(units) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory (injected)")
        return batch(self, units, flat)

    unit_sketcher.UnitSketcher._batch = fails  # type: ignore[method-assign]


def logged(stage):
    """Log records of a stage, of all processes of the cluster so far."""
    context = ray.get_runtime_context()
    session = Path(context.get_temp_dir()) / context.get_session_name()
    return [
        json.loads(line)
        for path in (session / "logs").glob(f"inflib-{stage}-*.jsonl")
        for line in path.read_text().splitlines()
    ]


def is_exported(pattern):
    """Whether a node's Prometheus endpoint has text that matches the pattern."""
    ports = [node["MetricsExportPort"] for node in ray.nodes() if node["Alive"]]
    urls = [f"http://127.0.0.1:{port}/metrics" for port in ports]
    texts = [urllib.request.urlopen(url, timeout=10).read().decode() for url in urls]
    return any(re.search(pattern, text) for text in texts)


def test_a_device_runs_out_of_memory_and_logs_and_metrics_tell(disturbed, undisturbed):
    recipe = disturbed("pairs", "reward_model")
    with connected(out_of_memory):
        run_stages(recipe, [sketch])
        lines = logged("sketch")
        for name in ("pairs", "tokens", "bytes", "seconds"):
            until(partial(is_exported, rf'ray_inflib_{name}_total{{.*"sketch"'), 60)
    assert any("out of memory at" in line["message"] for line in lines)
    sketched = [line for line in lines if line["message"] == "sketched train/00003"]
    for name in ("stage", "shard", "worker", "node", "pairs", "tokens", "seconds"):
        assert name in sketched[-1], name
    name = "train/00000.json"
    record, expected_record = (
        json.loads(outputs(r, "sketches")[f"sketches/{name}"])
        for r in (recipe, undisturbed)
    )
    assert record["comparison_id"] == expected_record["comparison_id"]
    margins = pytest.approx(expected_record["margin"], rel=1e-4, abs=1e-6)
    assert record["margin"] == margins
    all_norms = zip(record["sq_norms"], expected_record["sq_norms"], strict=True)
    for norms, expected in all_norms:
        assert norms == pytest.approx(expected, rel=1e-4)
