"""Read what a review came back with, and write decisions.csv.

    inflib import-decisions review.csv --to decisions.csv
    inflib import-decisions project-1.json --to decisions.csv

FILE is a review.csv that was filled in, Label Studio's export (JSON or JSON_MIN), or
Argilla's (records.to_json, or the folder of to_disk). Labels that nobody decided on are
left out, and so are those on which reviewers disagree; both are counted.
"""

import json
from typing import Any

import click

from inflib.config.cli import HELP_NAMES
from inflib.storage.folder import open_filesystem
from inflib.storage.plain_text import shorten


def import_decisions(path: str, to: str, overwrite: bool = False) -> dict[str, Any]:
    """Write the decisions of a review; returns counts. Raises ValueError naming what is
    wrong with the file, and where it holds no decision."""
    # Imported here: the command line's help loads this module.
    from inflib.data.decisions import decisions_csv
    from inflib.export.reviewed import read_reviewed
    from inflib.export.target_files import new_file

    fs, local = open_filesystem(to)
    if fs.exists(local) and not overwrite:
        raise ValueError(
            f"--to {to} is there already: choose another, or add --overwrite"
        )
    reviewed = read_reviewed(path)
    if not reviewed.decisions:
        raise ValueError(
            f"{path}: read as {reviewed.source}, no label is decided on: "
            f"{len(reviewed.open)} are open, on {len(reviewed.disagreed)} the "
            "reviewers disagree"
        )
    with new_file(to) as file:
        file.write(decisions_csv(reviewed.decisions.values()).encode())
    return {
        "source": reviewed.source,
        "decisions": len(reviewed.decisions),
        "open": len(reviewed.open),
        "disagreed": reviewed.disagreed,
    }


@click.command(
    "import-decisions",
    help=(__doc__ or "").replace("\n\n", "\n\n\b\n", 1),
    short_help="Read what a review came back with, and write decisions.csv.",
    context_settings=HELP_NAMES,
)
@click.argument("file")
@click.option("--to", required=True, metavar="DECISIONS.csv", help="File to write.")
@click.option("--overwrite", is_flag=True, help="Replace a file that is there.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
def command(file: str, to: str, overwrite: bool, as_json: bool) -> None:
    counts = import_decisions(file, to, overwrite)
    if as_json:
        click.echo(json.dumps(counts, indent=1))
        return
    print(
        f"import-decisions: {file} read as {counts['source']}: {counts['decisions']} "
        f"decisions in {to}, {counts['open']} labels left open"
    )
    if ids := counts["disagreed"]:
        named = ", ".join(shorten(pair_id, 30) for pair_id in ids[:3])
        print(
            f"import-decisions: left out {len(ids)} labels on which reviewers "
            f"disagree, the first: {named}"
        )


if __name__ == "__main__":
    from ray_jobs.cli import main

    main("import-decisions")
