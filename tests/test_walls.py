"""Rules of the house: which folder imports which, how long files are. Each is tried out
on a copy of the tree with a violation planted in it."""

import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.files import ROOT

PACKAGES = ("inflib", "ray_jobs")
MAPPED = (
    "numerics",
    "storage",
    "config",
    "synthetic",
    "files",
    "shapes",
    "data",
    "model",
    "sketches",
    "scores",
    "report",
    "export",
)
"""Folders whose modules docs/architecture.md names one by one."""

AT_RUN_TIME_ONLY = ("ray", "trl", "datasets", "openai")
"""Packages that importing inflib must not need."""


def sources(root):
    return sorted(p for package in PACKAGES for p in (root / package).rglob("*.py"))


def contracts(root):
    """(all kept, what import-linter says) by the contracts in pyproject.toml."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    return done.returncode == 0, done.stdout + done.stderr


def import_all(root, package="inflib"):
    """(whether every module of a package can be imported, the error)."""
    code = (
        "import importlib, pkgutil, sys\n"
        f"for name in {AT_RUN_TIME_ONLY}: sys.modules[name] = None\n"
        f"import {package} as package\n"
        "modules = pkgutil.walk_packages(package.__path__, package.__name__ + '.')\n"
        "for module in modules:\n"
        "    importlib.import_module(module.name)\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    return done.returncode == 0, done.stderr


def long_files(root):
    return {p.name: n for p in sources(root) if (n := num_lines(p)) > 300}


def median_lines(root):
    return statistics.median(
        num_lines(p) for p in sources(root) if p.name != "__init__.py"
    )


def num_lines(path):
    return len(path.read_text().splitlines())


def folders_without_init(root):
    """Folders with code that an installation would leave out."""
    return {p.parent for p in sources(root) if not (p.parent / "__init__.py").exists()}


def test_every_layer_imports_lower_ones_only():
    kept, said = contracts(ROOT)
    assert kept, said


def test_importing_inflib_needs_neither_ray_trl_nor_datasets():
    imported, error = import_all(ROOT)
    assert imported, error


def test_files_are_short():
    assert long_files(ROOT) == {}
    assert median_lines(ROOT) <= 120


def test_the_map_names_every_module_and_no_other():
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`([a-z_0-9]+)`", text))
    paths = re.findall(r"`((?:\w+/)+\w+\.py)`", text)
    modules = {p.stem for p in sources(ROOT) if p.parent.name in MAPPED}
    assert modules - {"__init__"} - named == set()
    for path in paths:
        assert any((ROOT / top / path).exists() for top in ("", "inflib")), path


def test_no_two_modules_have_one_name():
    """Apart from entry points and recipe sections, named after what a user types."""
    paths = [p for p in sources(ROOT) if p.name != "__init__.py"]
    typed = {ROOT / "ray_jobs", ROOT / "inflib" / "config"}
    stems = [p.stem for p in paths if p.parent not in typed]
    assert sorted(stems) == sorted(set(stems))


def test_every_folder_is_a_package():
    assert folders_without_init(ROOT) == set()


@pytest.fixture
def copy(tmp_path):
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def plant(root, module, text=""):
    """Write a module, and the packages that it is in where there are none yet."""
    path = root.joinpath(*module.split(".")).with_suffix(".py")
    path.parent.mkdir(parents=True, exist_ok=True)
    for package in path.relative_to(root).parents[:-1]:
        (root / package / "__init__.py").touch()
    path.write_text(text)


UPWARD_OR_SIDEWAYS = {
    "inflib.numerics.planted": "inflib.telemetry",
    "inflib.storage.planted": "inflib.config.other",
    "inflib.config.planted": "inflib.data.other",
    "inflib.data.planted": "inflib.model.other",
    "inflib.synthetic.planted": "inflib.scores.other",
    "inflib.model.planted": "inflib.sketches.other",
    "inflib.sketches.planted": "inflib.scores.other",
    "inflib.scores.planted": "inflib.report.other",
    "inflib.report.planted": "inflib.run_check",
    "inflib.report.planted_too": "inflib.detection.other",
    "inflib.detection.planted": "inflib.judging.other",
    "inflib.oversight.planted": "inflib.detection.other",
    "inflib.benchmarks.planted": "ray_jobs.other",
    "ray_jobs.shared.planted": "ray_jobs.score",
    "ray_jobs.studies.planted": "ray_jobs.oversight",
}


def test_imports_upward_or_sideways_are_seen(copy):
    for imported in UPWARD_OR_SIDEWAYS.values():
        if imported.endswith("other"):
            plant(copy, imported)
    for module, imported in UPWARD_OR_SIDEWAYS.items():
        plant(copy, module, f"def late():\n    import {imported}\n")
    kept, said = contracts(copy)
    assert not kept
    unseen = [m for m, i in UPWARD_OR_SIDEWAYS.items() if f"{m} -> {i}" not in said]
    assert unseen == []


def test_ray_is_seen_inside_functions_too(copy):
    plant(copy, "inflib.scores.one", "def late():\n    import ray\n")
    plant(copy, "inflib.data.two", "def late():\n    from ray.train import x\n")
    kept, said = contracts(copy)
    assert not kept
    assert "inflib.scores.one -> ray" in said and "inflib.data.two -> ray" in said


@pytest.mark.parametrize("package", AT_RUN_TIME_ONLY)
def test_a_package_that_is_needed_at_import_is_seen(copy, package):
    plant(copy, "inflib.planted.module", f"import {package}\n")
    imported, error = import_all(copy, "inflib.planted")
    assert not imported and f"import of {package} halted" in error


def test_long_files_and_a_folder_that_is_no_package_are_seen(copy):
    (copy / "inflib" / "loose").mkdir()
    for number in range(100):
        (copy / "inflib" / "loose" / f"a{number}.py").write_text("x = 1\n" * 200)
    (copy / "inflib" / "loose" / "long.py").write_text("x = 1\n" * 301)
    assert long_files(copy) == {"long.py": 301}
    assert median_lines(copy) > 120
    assert folders_without_init(copy) == {copy / "inflib" / "loose"}
