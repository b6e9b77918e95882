"""Command-line arguments to a recipe, and to exit codes: one click command per job.

Its options are the fields of the recipe. Exit codes: 0 done; 1 the job failed, or a
check found problems; 2 wrong input (option, recipe or file), told in one line.
"""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from inflib.config.loading import read_recipe
from inflib.config.options import NAME, FieldOption, field_options
from inflib.config.recipe import Recipe
from inflib.config.run_config import stored_recipe
from inflib.storage.folder import Folder
from inflib.storage.plain_text import printable

HELP_NAMES = {"help_option_names": ["-h", "--help"]}

FIRST = (
    "run",
    "prepare.train.path",
    "prepare.queries.NAME.path",
    "model.base",
    "model.adapter",
    "train.epochs",
    "train.learning_rate",
    "sketch.workers",
    "sketch.gpus_per_worker",
)
"""Fields that --help shows for a command without a section of its own."""


class RecipeCommand(click.Command):
    """A command that calls `job` with the recipe and with parameters of its own.

    With --json, what the job returns is printed as JSON.
    """

    def __init__(
        self,
        name: str,
        doc: str,
        job: Callable[..., Any],
        section: str | None = None,
        parameters: list[click.Parameter] | None = None,
        config: str | None = None,
    ) -> None:
        """doc: help text, whose first line is the short help; section: section of the
        recipe whose fields --help shows; config: recipe file without --config."""
        config_help = "YAML recipe. Without it: the recipe of --run."
        show_all = {"is_flag": True, "is_eager": True, "expose_value": False}
        fixed = [
            *(parameters or []),
            click.Option(
                ["--config"], type=click.Path(), default=config, help=config_help
            ),
            click.Option(
                ["--json", "as_json"], is_flag=True, help="Print the result as JSON."
            ),
            click.Option(
                ["--help-all"],
                callback=_help_all,
                help="Show the options of all fields, by stage.",
                **show_all,
            ),
        ]
        super().__init__(
            name,
            params=fixed,
            short_help=doc.partition("\n")[0],
            context_settings=HELP_NAMES,
        )
        self._doc, self._job, self._section = doc, job, section

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse with options of all fields, for query sets that the arguments name."""
        fixed = [
            option for option in self.params if not isinstance(option, FieldOption)
        ]
        self.params = [*fixed, *field_options(args)]
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if "unexpected extra argument" not in error.message:
                raise
            hint = "; a recipe is given as --config RECIPE.yaml"
            raise click.UsageError(error.message + hint, ctx) from None

    def format_help_text(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        formatter.write(f"\n{self._doc.strip()}\n")

    def format_options(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the options by stage (--help-all), or those that are needed first."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        everything = "all" in ctx.meta
        for option in self.get_params(ctx):
            path = option.path if isinstance(option, FieldOption) else ""
            stage = path.partition(".")[0] if "." in path else ""
            record = option.get_help_record(ctx)
            if record and (everything or not path or self._is_first(path)):
                title = stage if stage and everything else "Options"
                sections.setdefault(title, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)

    def _is_first(self, path: str) -> bool:
        if self._section is None:
            return path in FIRST
        return path == "run" or path.startswith(f"{self._section}.")

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[CompletionItem]:
        """Options that fit, but for those that stand for a name still to be chosen."""
        items = super().shell_complete(ctx, incomplete)
        return [item for item in items if f".{NAME}" not in item.value]

    def invoke(self, ctx: click.Context) -> Any:
        """Load the recipe and call the job; returns its result."""
        changes = {
            option.path: option.value(ctx.params.pop(option.name))
            for option in self._used_options(ctx)
        }
        config, as_json = ctx.params.pop("config"), ctx.params.pop("as_json")
        names = [p.name for p in self.params if not isinstance(p, FieldOption)]
        parameters = {name: ctx.params[name] for name in names if name in ctx.params}
        with contextlib.redirect_stdout(sys.stderr if as_json else sys.stdout):
            result = self._job(load(config, changes), **parameters)
        if as_json:
            click.echo(json.dumps(result, indent=1))
        return result

    def _used_options(self, ctx: click.Context) -> Iterator[FieldOption]:
        """Field options that the command line uses, in its order."""
        options = {o.name: o for o in self.params if isinstance(o, FieldOption)}
        for name in list(ctx.params):
            source = ctx.get_parameter_source(name)
            if name in options and source is ParameterSource.COMMANDLINE:
                yield options[name]


def _help_all(ctx: click.Context, _: click.Parameter, is_set: bool) -> None:
    if is_set and not ctx.resilient_parsing:
        ctx.meta["all"] = True
        click.echo(ctx.get_help())
        ctx.exit()


def load(config: str | None, changes: dict[str, Any]) -> Recipe:
    """The recipe in a file with some fields changed; without a file, that of a run.

    config: path of the recipe file, or None for the recipe that is stored in
    changes["run"]; changes: {dotted field: value}. Raises ValueError naming the option
    or field that is wrong.
    """
    if config is not None:
        path = Path(config)
        if not path.is_file():
            kind = "a folder, not a file" if path.is_dir() else "no such file"
            raise ValueError(f"--config {config}: {kind}")
        try:
            return read_recipe(path.read_text("utf-8-sig"), changes, config)
        except UnicodeDecodeError:
            raise ValueError(f"--config {config}: not text in UTF-8") from None
    if "run" not in changes:
        raise ValueError("give --config RECIPE.yaml, or --run PATH of an existing run")
    return stored_recipe(Folder(str(changes["run"])), changes)


def run_command(
    command: click.Command, program: str, arguments: list[str] | None = None
) -> None:
    """Run a command, and exit with its exit code.

    Wrong input (ValueError, OSError, a click error) is told in one line on standard
    error, with exit code 2.
    """
    try:
        code = command.main(arguments, prog_name=program, standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.NoSuchOption as error:
        is_recipe = error.ctx is not None and isinstance(
            error.ctx.command, RecipeCommand
        )
        hint = _hint(error.possibilities, "--help-all" if is_recipe else "--help")
        message = f"{error.option_name}: no such option; {hint}"
    except click.exceptions.NoSuchCommand as error:
        hint = _hint(error.possibilities, "--help")
        message = f"{error.command_name}: no such command; {hint}"
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        sys.exit(2)
    except click.ClickException as error:
        message = error.format_message()
    except (ValueError, OSError) as error:
        message = str(getattr(error, "cause", None) or error)
    except click.Abort:
        sys.exit(1)
    print(f"error: {printable(message, lines=True)}", file=sys.stderr)
    sys.exit(2)


def _hint(near: Sequence[str] | None, option: str) -> str:
    return f"did you mean {near[0]}?" if near else f"{option} lists all"
