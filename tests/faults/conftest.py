"""A cluster of a head and two nodes, and an undisturbed audit to compare with."""

import io
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
import ray
from ray.cluster_utils import Cluster

from inflib.config.recipe import Recipe
from inflib.storage.folder import Folder
from inflib.synthetic.one_biased_labeler import generate
from ray_jobs.audit import STAGES
from ray_jobs.shared.session import run_stages
from tests.support.audits import tiny_recipe
from tests.support.files import ROOT
from tests.support.proxy import FaultyProxy
from tests.support.waiting import until

NODE = {"num_cpus": 1, "object_store_memory": 150 * 2**20}
"""What a node of the cluster has."""

PATIENCE = 300
"""Seconds until what was waited for counts as not coming: a busy machine of two cores
has needed more than 120 for the first sketch."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("faults")


@pytest.fixture(scope="session")
def proxy() -> Iterator[FaultyProxy]:
    """A proxy that all S3 requests of this session and of its cluster go through."""
    if "AWS_ENDPOINT_URL" not in os.environ:
        pytest.skip("no S3 server: run `make test-faults`")
    server = os.environ["AWS_ENDPOINT_URL"]
    proxy = FaultyProxy(int(server.rpartition(":")[2]))
    os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{proxy.port}"
    yield proxy
    os.environ["AWS_ENDPOINT_URL"] = server
    proxy.close()


@pytest.fixture(scope="session")
def cluster(proxy: FaultyProxy) -> Iterator[Any]:
    """A Ray cluster: a head that runs no work, and two nodes."""
    os.environ.pop("RAY_ADDRESS", None)
    cluster = Cluster(
        initialize_head=True, head_node_args={**NODE, "num_cpus": 0}, connect=False
    )
    for _ in range(2):
        cluster.add_node(**NODE)
    cluster.wait_for_nodes()
    os.environ["RAY_ADDRESS"] = cluster.address
    yield cluster
    os.environ.pop("RAY_ADDRESS")
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="session")
def undisturbed(
    cluster: Any, llama_folder: str, tmp_path_factory: pytest.TempPathFactory
) -> Recipe:
    """The recipe of an audit of many small shards that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    generate(folder, seed=0, num_pairs=60, num_queries=16)
    recipe = tiny_recipe(
        folder / "run",
        folder,
        llama_folder,
        prepare__shard_rows=4,
        score__shards_per_task=1,
        sketch__workers=2,
        # Each step of conjugate gradients is a pass over all shards: these are enough
        # for a checkpoint, and for some steps that a killed reducer has to repeat.
        score__max_steps=14,
        score__exact_terms=0,
        score__curvatures=["gauss_newton", "datainf"],
        train__epochs=3,
        train__saves_per_epoch=3,
        train__holdout=0.4,  # what was best so far must resume
        train__lora_dropout=0.1,  # its random numbers must resume as well
    )
    run_stages(recipe, STAGES)
    return recipe


@pytest.fixture
def disturbed(
    undisturbed: Recipe, tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[..., Recipe]:
    """Makes a new run, to be disturbed, with these folders of the undisturbed one.

    run: its address; by default a folder of this test.
    """

    def make(*folders: str, run: str | None = None) -> Recipe:
        source, target = Folder(undisturbed.run), Folder(run or str(tmp_path / "run"))
        for folder in folders:
            if target.is_local:
                shutil.copytree(f"{source.url}/{folder}", f"{target.url}/{folder}")
                continue
            for name in (source / folder).tree():
                if "checkpoints/" not in name:
                    (target / folder).write(name, (source / folder).read_bytes(name))
        fields = undisturbed.model_dump(mode="json") | {"run": target.url}
        return Recipe.model_validate(fields)

    return make


def outputs(recipe: Recipe, *folders: str) -> dict[str, bytes]:
    """{path: bytes} of what a run computed; records of wall time left out.

    folders: by default sketches/ and influence/.
    """
    contents = {}
    for name in folders or ("sketches", "influence"):
        folder = Folder(recipe.run) / name
        for path in folder.tree():
            of_ray = path.startswith(("checkpoints", "group/"))
            if path != "done.json" and not of_ray:
                contents[f"{name}/{path}"] = folder.read_bytes(path)
    return contents


def differences(recipe: Recipe, expected: Recipe, *folders: str) -> list[str]:
    """A line for each output that differs between two runs, with its rows where it is a
    table: a whole file's bytes say nothing to a reader."""
    ours, theirs = outputs(recipe, *folders), outputs(expected, *folders)
    lines = [f"only in one run: {name}" for name in sorted(ours.keys() ^ theirs.keys())]
    for name in sorted(ours.keys() & theirs.keys()):
        if ours[name] == theirs[name]:
            continue
        lines.append(f"differs: {name}")
        if name.endswith(".parquet"):
            tables = [pq.read_table(io.BytesIO(x[name])) for x in (ours, theirs)]
            lines += [str(table.to_pydict())[:2000] for table in tables]
        elif name.endswith(".json"):
            lines += [x[name].decode()[:2000] for x in (ours, theirs)]
    return lines


def processes(title: str) -> list[psutil.Process]:
    """This session's processes whose command line has `title`."""
    matching = []
    for process in psutil.Process().children(recursive=True):
        try:
            if title in " ".join(process.cmdline()):
                matching.append(process)
        except psutil.Error:
            continue
    return matching


def kill(title: str) -> int:
    """SIGKILL one of this session's processes with this title; returns its pid."""
    victims = processes(title)
    assert victims, f"no process {title}"
    victims[0].send_signal(signal.SIGKILL)
    return victims[0].pid


def when(condition: Callable[[], bool], act: Callable[[], object]) -> threading.Thread:
    """Act once, as soon as the condition holds, in the thread that is returned."""

    def watch() -> None:
        until(condition, PATIENCE)
        act()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def some_shards(recipe: Recipe, at_least: int = 1) -> Callable[[], bool]:
    """Condition: so many training shards are sketched (local runs only)."""
    folder = Path(recipe.run) / "sketches" / "train"
    return lambda: len(list(folder.glob("?????.json"))) >= at_least


def some_partials(recipe: Recipe, prefix: str) -> Callable[[], bool]:
    """Condition: influence/partials has a file with this prefix (local runs only)."""
    folder = Path(recipe.run) / "influence" / "partials"
    return lambda: any(folder.glob(f"{prefix}*"))


def driver(recipe: Recipe, stage: str, tmp_path: Path) -> subprocess.Popen[bytes]:
    """A stage in a process of its own, as a user would start it."""
    config = tmp_path / "recipe.json"  # every JSON file is a YAML file
    config.write_text(recipe.model_dump_json())
    command = [sys.executable, "-m", f"ray_jobs.{stage}", "--config", str(config)]
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True)
