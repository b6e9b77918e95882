"""Audit preference labels: which ones hurt the reward model, and whose they are.

A sub-command for every entry point, loaded when it is used, so that help and completion
answer at once. Completion: eval "$(_INFLIB_COMPLETE=bash_source inflib)" in ~/.bashrc,
zsh_source in ~/.zshrc. `python -m ray_jobs.<entry>` is the same, for `ray job submit`.
"""

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from inflib.config.cli import RecipeCommand, run_command


@dataclass(frozen=True)
class Entry:
    """One entry point."""

    module: str
    """In ray_jobs. Has STAGES, functions of a recipe, or `job`, a function of a recipe
    and the parameters, or `command`, a click command."""

    section: str | None = None
    """Of the recipe, whose fields --help shows."""

    parameters: list[click.Parameter] = field(default_factory=list)
    config: str | None = None
    """Recipe if none is named."""

    is_command: bool = False


_EDITS = click.Argument(["edits"], type=click.Path(), metavar="EDITS.csv")
_SEED = click.Option(["--seed"], type=int, default=0, help="Of the generated data.")

ENTRIES = {
    "audit": Entry("audit"),
    "prepare": Entry("prepare", "prepare"),
    "train": Entry("train", "train"),
    "sketch": Entry("sketch", "sketch"),
    "score": Entry("score", "score"),
    "report": Entry("report", "report"),
    "what-if": Entry("what_if", parameters=[_EDITS]),
    "explain": Entry("explain", "explain"),
    "verify": Entry("verify", "verify"),
    "check": Entry("check", is_command=True),
    "judge": Entry("judge", "judge"),
    "bias-study": Entry("detect_bias", "bias"),
    "oversight": Entry("oversight", "oversight"),
    "demo": Entry("demo", parameters=[_SEED], config="recipes/demo.yaml"),
    "benchmark": Entry("benchmark", is_command=True),
}


class Commands(click.Group):
    """The entry points as sub-commands."""

    def __init__(self, name: str, **options: Any) -> None:
        stand_ins = [click.Command(entry) for entry in ENTRIES]  # for near misses
        super().__init__(name, commands=stand_ins, **options)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(ENTRIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return command(cmd_name) if cmd_name in ENTRIES else None


def command(name: str) -> click.Command:
    """The sub-command of a name."""
    entry = ENTRIES[name]
    if entry.is_command:
        return import_module(f"ray_jobs.{entry.module}").command
    source = Path(__file__).with_name(f"{entry.module}.py").read_text()
    doc = ast.get_docstring(ast.parse(source)) or ""
    return RecipeCommand(
        name, doc, _job(entry), entry.section, entry.parameters, entry.config
    )


def _job(entry: Entry) -> Callable[..., Any]:
    def job(recipe: Any, **parameters: Any) -> Any:
        module = import_module(f"ray_jobs.{entry.module}")
        if hasattr(module, "job"):
            return module.job(recipe, **parameters)
        from ray_jobs.shared.session import run_stages

        return run_stages(recipe, module.STAGES)

    return job


def main(name: str) -> None:
    """Run an entry point, as `python -m ray_jobs.<module>` does."""
    run_command(command(name), f"python -m ray_jobs.{ENTRIES[name].module}")


def inflib() -> None:
    """The console script."""
    doc = (__doc__ or "").replace("\n\n", "\n\n\b\n")
    run_command(Commands("inflib", help=doc), "inflib")


if __name__ == "__main__":
    inflib()
