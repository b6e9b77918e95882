"""Show what would be read from preference files: shape, first labels, bad rows.

    inflib inspect labels.jsonl
    inflib inspect labels/ --base Qwen/Qwen3-0.6B --column prompt=question
    python -m ray_jobs.inspect_files votes.csv --verdict 1=a --verdict 2=b --json

Starts no Ray and writes nothing. With --base, texts are shown after its chat template
and lengths are tokens. Exit code: 0; 1 when no label can be read; 2 for a file whose
shape is not known. docs/formats.md has an example of each shape.
"""

import json
import re
from typing import Any

import click


def _named(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> dict[str, Any]:
    """{name: value} of NAME=VALUE options."""
    pairs = [value.partition("=") for value in values]
    for name, separator, _ in pairs:
        if not separator:
            raise click.BadParameter(f"{name!r} is not NAME=VALUE")
    return {name: value or None for name, _, value in pairs}


@click.command("inspect", help=(__doc__ or "").replace("\n\n", "\n\n\b\n"))
@click.argument("files", nargs=-1, required=True, type=click.Path())
@click.option("--base", help="Reward model's base, for its chat template.")
@click.option("--format", "shape", default="auto", help="What a row holds.")
@click.option("--column", "columns", multiple=True, callback=_named, help="ROLE=NAME")
@click.option("--verdict", "verdicts", multiple=True, callback=_named, help="VALUE=a")
@click.option("--encoding", default="utf-8", help="Of text files.")
@click.option("--delimiter", default="auto", help="Of CSV files.")
@click.option("--split", default="train", help="Of a hub data set.")
@click.option("--max-length", default=1024, help="Tokens at most, with --base.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    files: tuple[str, ...],
    base: str | None,
    shape: str,
    max_length: int,
    as_json: bool,
    **options: Any,
) -> None:
    from pydantic import ValidationError

    from inflib.config.data import SourceConfig
    from inflib.config.reward_model import ModelConfig
    from inflib.data.inspection import inspect
    from inflib.data.tokenizer import load_tokenizer

    try:
        source = SourceConfig.model_validate(
            {"path": files, "format": shape, "ties": "keep", **options}
        )
    except ValidationError as error:
        details = error.errors()[0]
        raise click.UsageError(f"{details['loc'][-1]}: {details['msg']}") from None
    tokenizer = None if base is None else load_tokenizer(ModelConfig(base=base))
    try:
        found = inspect(source, tokenizer, max_length)
    except ValueError as error:
        raise ValueError(_as_options(str(error))) from None
    if as_json:
        click.echo(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        _show(found)
    ctx.exit(0 if found["labels"] else 1)


def _show(found: dict[str, Any]) -> None:
    from inflib.storage.plain_text import printable

    for file, read_as in found["read_as"].items():
        click.echo(printable(f"{file}: {read_as}"))
    for number, label in enumerate(found["first"], start=1):
        click.echo(f"\nlabel {number}, row {label['row']}")
        for name in ("prompt", "chosen", "rejected"):
            text = _text(label[name], 600)
            click.echo(f"  {name}: {text}")
        facts = f"target {label['target']:g}, weight {label['weight']:g}"
        click.echo(_text(f"  {facts}; kept: {label['kept']}", 400))
    click.echo(f"\n{found['labels']} labels; responses have on average")
    click.echo(
        f"  {found['mean_length_chosen']:.1f} {found['unit']} (chosen) and "
        f"{found['mean_length_rejected']:.1f} (rejected), at most {found['longest']}"
    )
    if found["share_longer_chosen"] is not None:
        share, unit = found["share_longer_chosen"], found["unit"]
        click.echo(f"  the longer one, in {unit}, is chosen in {share:.0%}")
    if found["labelers"]:
        alpha = found["krippendorff_alpha"]
        said = "nobody judged what another did" if alpha is None else f"{alpha:.2f}"
        click.echo(f"{found['labelers']} labelers; Krippendorff's alpha: {said}")
    for name, count in found["noted"].items():
        click.echo(printable(f"noted: {name}: {count}"))
    for kind, rows in found["bad_rows"].items():
        places = ", ".join(rows["first"])
        click.echo(printable(f"bad rows: {kind}: {rows['count']}, first {places}"))


def _as_options(message: str) -> str:
    """A message that names fields of a recipe, with this command's options instead."""
    for field, option in (("columns", "column"), ("verdicts", "verdict")):
        for names in re.findall(
            rf"\b{field}\b[^{{}}]{{0,20}}({{[^{{}}\[\]]*}})", message
        ):
            pairs = (part.partition(":") for part in names[1:-1].split(", "))
            said = [f"--{option} {x.strip()}={y.strip()}" for x, _, y in pairs]
            message = message.replace(names, " ".join(said))
        message = re.sub(rf"(?:inspect\.)?\b{field}\b,?( such as)? '?--", "--", message)
    return re.sub(r"inspect\.(\w+)", r"--\1", message).replace("'. Its", ". Its")


def _text(text: str, width: int) -> str:
    """Printable text of at most `width` characters, its lines indented."""
    from inflib.storage.plain_text import printable

    shown = printable(text, lines=True)
    shown = shown if len(shown) <= width else shown[: width - 1] + "…"
    return shown.replace("\n", "\n    ")


if __name__ == "__main__":
    from ray_jobs.cli import main

    main("inspect")
