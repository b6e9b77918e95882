"""Rules of the house that a test can hold."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = sorted([*ROOT.glob("inflib/**/*.py"), *ROOT.glob("ray_jobs/**/*.py")])


def test_inflib_needs_neither_ray_trl_nor_datasets():
    modules = [f"inflib.{p.stem}" for p in SOURCES if p.parent.name == "inflib"]
    code = (
        "import importlib, sys\n"
        "for name in ('ray', 'trl', 'datasets', 'openai'): sys.modules[name] = None\n"
        f"for name in {modules}: importlib.import_module(name)\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, cwd=ROOT)


def test_no_file_is_over_300_lines():
    long = {p.name: n for p in SOURCES if (n := len(p.read_text().splitlines())) > 300}
    assert long == {}


def test_the_package_docstring_maps_every_module():
    import inflib

    mapped = {line.split()[0] for line in inflib.__doc__.splitlines() if "  " in line}
    modules = {p.stem for p in SOURCES if p.parent.name == "inflib"} - {"__init__"}
    assert modules <= mapped
