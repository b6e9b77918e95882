"""The input files of a run: which they are, what they are called, whether they changed.

    {pair set: {file: {"name": ..., "fingerprint": ...}}}

A file's name starts the ids of those of its rows that have none, so it never changes.
"""

import os.path

from inflib.config.recipe import Recipe
from inflib.data.readers import find_files, fingerprint

Sources = dict[str, dict[str, dict[str, str]]]


def find_sources(recipe: Recipe, stored: Sources | None = None) -> Sources:
    """The recipe's files as they are now, under the names they were stored with."""
    found: Sources = {}
    for pairs, source in recipe.prepare.sources.items():
        had = (stored or {}).get(pairs, {})
        files = find_files(source.path)
        ratings = find_files(source.ratings) if source.ratings else []
        names = _names([*had, *(file for file in files if file not in had)])
        found[pairs] = {
            file: {
                "name": had[file]["name"] if file in had else names[file],
                "fingerprint": "+".join(map(fingerprint, [file, *ratings])),
            }
            for file in files
        }
    return found


def check_sources(sources: Sources, stored: Sources, where: str) -> None:
    """Raise ValueError unless all query sets are of the same files as ever, and no
    training file is gone."""
    for pairs, had in stored.items():
        found = sources[pairs]
        for file in had:
            if file not in found:
                raise ValueError(
                    f"{where} was prepared with {file}, which {pairs} no longer names: "
                    "labels can be appended to a run, not taken out"
                )
        for file in found:
            if pairs != "train" and found[file] != had.get(file):
                raise ValueError(
                    f"{where} was prepared from other contents of {file} ({pairs}): "
                    "choose another --run"
                )


def _names(files: list[str]) -> dict[str, str]:
    bases = [os.path.basename(file.rstrip("/")) for file in files]
    return {
        file: base if bases.count(base) == 1 else f"{i}/{base}"
        for i, (file, base) in enumerate(zip(files, bases, strict=True))
    }
