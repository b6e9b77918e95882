"""Recipe to the input files of a run, with a name and a fingerprint of each.

A row without a pair_id gets one that starts with its file's name, so a name stays what
it was when the run was prepared. The fingerprint tells whether the file has changed.
"""

import os.path

from inflib.config.recipe import Recipe
from inflib.files.readers import find_files, fingerprint

Sources = dict[str, dict[str, dict[str, str]]]
"""{pair set: {file: {"name": ..., "fingerprint": ...}}}; stored as sources.json."""


def find_sources(recipe: Recipe, stored: Sources | None = None) -> Sources:
    """The recipe's files as they are now.

    stored: the files that the run was prepared with; those keep their names. Raises
    FileNotFoundError naming a path that matches nothing.
    """
    sources: Sources = {}
    for pairs, source in recipe.prepare.sources.items():
        stored_files = (stored or {}).get(pairs, {})
        files = find_files(source.path)
        ratings = find_files(source.ratings) if source.ratings else []
        new_files = [file for file in files if file not in stored_files]
        names = _names([*stored_files, *new_files])
        names |= {file: entry["name"] for file, entry in stored_files.items()}
        sources[pairs] = {
            file: {
                "name": names[file],
                "fingerprint": "+".join(map(fingerprint, [file, *ratings])),
            }
            for file in files
        }
    return sources


def check_sources(sources: Sources, stored: Sources, where: str) -> None:
    """Refuse files that a prepared run cannot take: raises ValueError when the recipe
    no longer names one of its files, or a query set has a new or changed file.

    stored: files that the run was prepared with; where: address of its pairs/.
    """
    for pairs, stored_files in stored.items():
        files = sources[pairs]
        for file in stored_files:
            if file not in files:
                raise ValueError(
                    f"{where} was prepared with {file}, which {pairs} no longer names: "
                    "labels can be appended to a run, not taken out"
                )
        for file in files:
            if pairs != "train" and files[file] != stored_files.get(file):
                raise ValueError(
                    f"{where} was prepared from other contents of {file} ({pairs}): "
                    "choose another --run"
                )


def _names(files: list[str]) -> dict[str, str]:
    """{file: its last path component, with the file's number where two are equal}."""
    bases = [os.path.basename(file.rstrip("/")) for file in files]
    return {
        file: base if bases.count(base) == 1 else f"{number}/{base}"
        for number, (file, base) in enumerate(zip(files, bases, strict=True))
    }
