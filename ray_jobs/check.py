"""Check every digest, count and manifest of a run.

    inflib check runs/mine
    python -m ray_jobs.check s3://bucket/run --json

Prints a line on each problem. Exit code: 0 without problems, 1 with some. What was
damaged is not mended: delete it and rerun the audit.
"""

import json

import click

from inflib.config.cli import load


@click.command("check", help=(__doc__ or "").replace("\n\n", "\n\n\b\n"))
@click.argument("run", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_context
def command(ctx: click.Context, run: str, as_json: bool) -> None:
    from inflib.run_check import check

    recipe = load(None, {"run": run})
    problems = check(recipe)
    if as_json:
        click.echo(json.dumps({"run": recipe.run, "problems": problems}, indent=1))
    else:
        for problem in problems:
            click.echo(problem)
        click.echo(
            f"{recipe.run}: {f'{len(problems)} problems' if problems else 'whole'}"
        )
    ctx.exit(1 if problems else 0)


if __name__ == "__main__":
    from ray_jobs.cli import main

    main("check")
