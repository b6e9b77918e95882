"""Audit preference labels: which ones hurt the reward model, and whose they are.

    inflib demo                                               see it on made-up data
    inflib audit --config recipes/demo.yaml --run runs/mine   your recipe, your folder
    inflib COMMAND --help                                     what it does, its options

For `ray job submit`, start a command as `python -m ray_jobs.MODULE`; its help says how.
To complete commands and options with the tab key, put this into ~/.bashrc (in ~/.zshrc,
with zsh_source): eval "$(_INFLIB_COMPLETE=bash_source inflib)"
"""

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from inflib.config.cli import HELP_NAMES, RecipeCommand, run_command
from inflib.export.export_options import PARAMETERS as EXPORT


@dataclass(frozen=True)
class Entry:
    """How one command is started."""

    module: str
    """Module in ray_jobs. It has STAGES (functions of a recipe), `job` (a function of a
    recipe and the parameters) or `command` (a click command)."""

    section: str | None = None
    """Section of the recipe whose fields --help shows."""

    parameters: list[click.Parameter] = field(default_factory=list)
    """Arguments and options that the command has beside the fields of the recipe."""

    config: str | None = None
    """Path of the recipe that is used when the command line names none."""

    is_command: bool = False
    """Whether the module has its own click command, `command`."""


_EDITS = click.Argument(["edits"], type=click.Path(), metavar="DECISIONS.csv")
_DECISIONS = click.Option(
    ["--decisions"], type=click.Path(), help="decisions.csv to retrain with."
)
_SEED = click.Option(["--seed"], type=int, default=0, help="Seed of the made-up data.")

_FOLDS = click.Option(
    ["--folds"], type=int, default=5, show_default=True, help="Parts of the prompts."
)

ENTRIES = {
    "inspect": Entry("inspect_files", is_command=True),
    "audit": Entry("audit"),
    "prepare": Entry("prepare", "prepare"),
    "train": Entry("train", "train"),
    "sketch": Entry("sketch", "sketch"),
    "score": Entry("score", "score"),
    "report": Entry("report", "report"),
    "what-if": Entry("what_if", parameters=[_EDITS]),
    "explain": Entry("explain", "explain"),
    "export": Entry("export", parameters=EXPORT),
    "import-decisions": Entry("import_decisions", is_command=True),
    "verify": Entry("verify", "verify", parameters=[_DECISIONS]),
    "crossfit": Entry("crossfit", "train", parameters=[_FOLDS]),
    "check": Entry("check", is_command=True),
    "judge": Entry("judge", "judge"),
    "bias-study": Entry("detect_bias", "bias"),
    "oversight": Entry("oversight", "oversight"),
    "demo": Entry("demo", parameters=[_SEED], config="recipes/demo.yaml"),
    "benchmark": Entry("benchmark", is_command=True),
}


class Commands(click.Group):
    """The entry points as sub-commands, each imported only when it runs.

    So help and completion answer at once: neither Ray nor torch is loaded for them.
    """

    def __init__(self, name: str, **options: Any) -> None:
        # click suggests near misses from the names of these stand-ins.
        stand_ins = [click.Command(entry) for entry in ENTRIES]
        super().__init__(name, commands=stand_ins, **options)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(ENTRIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return command(cmd_name) if cmd_name in ENTRIES else None


def command(name: str) -> click.Command:
    """The sub-command with this name, its help made from its module's docstring."""
    entry = ENTRIES[name]
    if entry.is_command:
        return import_module(f"ray_jobs.{entry.module}").command
    source = Path(__file__).with_name(f"{entry.module}.py").read_text()
    doc = ast.get_docstring(ast.parse(source)) or ""
    return RecipeCommand(
        name, doc, _job(entry), entry.section, entry.parameters, entry.config
    )


def _job(entry: Entry) -> Callable[..., Any]:
    """What the command does with its recipe; imports the module when it is called."""

    def job(recipe: Any, **parameters: Any) -> Any:
        module = import_module(f"ray_jobs.{entry.module}")
        if hasattr(module, "job"):
            return module.job(recipe, **parameters)
        from ray_jobs.shared.session import run_stages

        return run_stages(recipe, module.STAGES)

    return job


def main(name: str) -> None:
    """Run the command with this name, as `python -m ray_jobs.<module>`; exits."""
    run_command(command(name), f"python -m ray_jobs.{ENTRIES[name].module}")


def inflib() -> None:
    """The console script `inflib`; exits."""
    doc = (__doc__ or "").replace("\n\n", "\n\n\b\n")
    commands = Commands("inflib", help=doc, context_settings=HELP_NAMES)
    with_version = click.version_option(package_name="inflib", message="%(version)s")
    run_command(with_version(commands), "inflib")


if __name__ == "__main__":
    inflib()
