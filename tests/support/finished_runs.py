"""Finished runs that tests of ray_jobs look at, made beforehand in another process.

A run takes half a minute, most of it start-up of workers; made while other tests run,
and with workers that stay, all of them cost the suite little. Tests must leave the
runs as they found them.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from inflib.config.recipe import Recipe
from inflib.synthetic.one_biased_labeler import generate
from tests.support.audits import tiny_recipe
from tests.support.files import ROOT
from tests.support.models import build_model, build_tokenizer

OBJECTIVES = ["correctness", "coherence", "complexity", "verbosity"]
EXPERT, LABELER = [1.04, 0.46, 0.47, -0.33], [1.1, 1.0, 3.1, 3.0]


def audit(folder: Path) -> Recipe:
    """An audit of generated labels."""
    return tiny_recipe(folder / "audit" / "run", folder / "data", f"{folder}/llama")


def study(folder: Path) -> Recipe:
    """A bias study with the audit's reward model, which saves a training."""
    source = "generated:flattery{}?pairs={}&seed={}"

    def flattery(pairs: int, seed: int, **more: Any) -> dict[str, Any]:
        ratings = source.format("_ratings", pairs, seed)
        return {"path": source.format("", pairs, seed), "ratings": ratings} | more

    planted = {"kind": "higher_rated_chosen", "share": 1.0, "max_difference": 3.5}
    return tiny_recipe(
        folder / "study" / "run",
        "unused",
        f"{folder}/llama",
        prepare__train=flattery(60, 0, plant=planted),
        prepare__queries={
            "less": flattery(40, 9, select="chosen_lower_rated"),
            "full": flattery(40, 9),
        },
        prepare__max_length=256,
        model__adapter=f"{audit(folder).run}/reward_model",
        sketch__sketch_size=2048,
        prepare__shard_rows=25,
        score__self_probes=8,
        score__damping=[1e-2, 1e-1],
        report__truth="planted_flip",
        bias__sizes=[5, 10],
        bias__repeats=2,
        bias__resamples=50,
        bias__examples=2,
        bias__neighbours=[1, 3],
    )


def simulation(run: Path, llama: str, **changes: Any) -> Recipe:
    """Oversight of one simulated labeler; changes: of oversight.simulate."""

    def rated(low: float, high: float) -> dict[str, Any]:
        return {"path": "generated:attributes?pairs=80&seed=0", "part": [low, high]}

    simulate = {
        "expert": EXPERT,
        "labelers": [LABELER],
        "retrain": [],  # takes a training: see the slow test
        "shares": [0.25],
        "sizes": [5],
        "repeats": 3,
    }
    return tiny_recipe(
        run,
        "unused",
        llama,
        prepare__train=rated(0, 0.5),
        prepare__queries={"expert": rated(0.5, 0.75), "test": rated(0.75, 1)},
        prepare__shard_rows=25,
        train__epochs=1,
        sketch__sketch_size=2048,
        score__curvatures=["gauss_newton"],
        score__damping=[1e-1],
        report__truth=None,
        bias__neighbours=[1, 3],
        oversight={
            "objectives": OBJECTIVES,
            "resamples": 20,
            "examples": 2,
            "simulate": simulate | changes,
        },
    )


RECIPES: dict[str, Callable[[Path], Recipe]] = {
    "audited": audit,
    "studied": study,
    "overseen": lambda folder: simulation(folder / "simulation", f"{folder}/llama"),
}
"""By the fixture that stands for the run, in the order in which they are made."""


def make(folder: Path, names: list[str]) -> None:
    """Run them one after the other, in one Ray."""
    from ray_jobs import audit as audit_job
    from ray_jobs import detect_bias, oversight
    from ray_jobs.shared.session import run_stages, start_ray

    stages = {
        "audited": audit_job.STAGES,
        "studied": detect_bias.STAGES,
        "overseen": oversight.STAGES,
    }
    generate(folder / "data", seed=0, num_pairs=40, num_queries=16)
    build_model("llama").save_pretrained(folder / "llama")
    build_tokenizer().save_pretrained(folder / "llama")
    start_ray(audit(folder))
    for name in RECIPES:
        if name in names:
            run_stages(RECIPES[name](folder), stages[name])  # type: ignore[arg-type]
            (folder / f"{name}.finished").touch()


class FinishedRuns:
    """The process that makes them, and what it has made."""

    def __init__(self, names: set[str]) -> None:
        if "studied" in names:
            names = names | {"audited"}
        self.folder = Path(tempfile.mkdtemp(prefix="finished-runs-"))
        program = (
            "from jaxtyping import install_import_hook\n"
            "install_import_hook('inflib', 'beartype.beartype')\n"
            "from pathlib import Path\n"
            "from tests.support.finished_runs import make\n"
            f"make(Path({str(self.folder)!r}), {sorted(names)})\n"
        )
        self._log = open(self.folder / "log.txt", "w")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", program],
            cwd=ROOT,
            env={k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def __getitem__(self, name: str) -> Recipe:
        """The recipe of a run, once it is finished."""
        while not (self.folder / f"{name}.finished").exists():
            if self._process.poll():
                log = (self.folder / "log.txt").read_text()
                raise RuntimeError(f"{name} failed:\n{log[-5000:]}")
            time.sleep(0.1)
        return RECIPES[name](self.folder)

    def close(self) -> None:
        if self._process.poll() is None:
            for child in psutil.Process(self._process.pid).children(recursive=True):
                child.kill()
            self._process.kill()
        self._process.wait()
        self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
