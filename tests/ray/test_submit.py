"""`ray job submit` of an audit to a real cluster head."""

import os
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from tests.ray.conftest import tiny_recipe

pytestmark = pytest.mark.slow  # a cluster of its own, and a whole audit
ROOT = Path(__file__).parents[2]
RAY = str(Path(sys.executable).with_name("ray"))


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def answers(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def head(tmp_path_factory):
    """Dashboard address and environment of a head node of its own."""
    gcs, dashboard = free_port(), free_port()
    environment = os.environ | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    environment.pop("RAY_ADDRESS", None)
    started = subprocess.Popen(
        [
            *(RAY, "start", "--head", "--block", "--num-cpus=2"),
            *(f"--port={gcs}", f"--dashboard-port={dashboard}"),
            "--dashboard-host=127.0.0.1",
            # the usual port may be taken by another Ray of this machine
            f"--dashboard-agent-listen-port={free_port()}",
            f"--temp-dir={tmp_path_factory.mktemp('r')}",
        ],
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 60
        while not answers(dashboard):
            assert time.monotonic() < end, "no dashboard"
            assert started.poll() is None, "ray start ended"
            time.sleep(0.2)
        yield f"http://127.0.0.1:{dashboard}", environment
    finally:
        for process in psutil.Process(started.pid).children(recursive=True):
            process.kill()
        started.kill()
        started.wait()


def test_an_audit_submitted_to_a_cluster(head, data, llama_folder, tmp_path):
    address, environment = head
    recipe = tiny_recipe(tmp_path / "run", data, llama_folder)
    config = tmp_path / "recipe.yaml"
    config.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    command = ["python", "-m", "ray_jobs.audit", "--config", str(config)]
    submit = [RAY, "job", "submit", "--address", address, "--working-dir", ".", "--"]
    end = time.monotonic() + 60
    while True:
        submitted = subprocess.run(
            [*submit, *command, "--report.top", "2"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
        )
        # A head's dashboard answers some seconds before its job agent is there.
        if "No available agent" not in submitted.stderr or time.monotonic() > end:
            break
        time.sleep(1)
    assert submitted.returncode == 0, submitted.stdout[-3000:] + submitted.stderr
    summary = yaml.safe_load((tmp_path / "run/report/summary.json").read_text())
    assert summary["labels"] > 40
    assert len(summary["queries"]["expert"]["top"]) == 2
    assert "most harmful labels" in submitted.stdout
