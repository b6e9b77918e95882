"""Stage 1 of 5: preference files -> comparisons and labels.

    inflib prepare --config recipes/demo.yaml
    ray job submit --working-dir . -- python -m ray_jobs.prepare --config recipes/X.yaml

Tokenises them and writes pairs/ of the run, in shards, with a list of rows that were
left out. Rerun with more training files, or with rows added, to append their labels.
"""

from typing import Any

import numpy as np

from inflib.config.recipe import Recipe
from inflib.data.findings import findings
from inflib.data.input_files import (
    check_sources,
    describe_sources,
    find_sources,
)
from inflib.data.label_index import LabelIndex
from inflib.data.pairs_folder import PairsFolder
from inflib.data.row_schema import USED
from inflib.data.shard_tables import kept_columns
from inflib.data.tokenizer import load_tokenizer, max_positions, tokenizer_digest
from inflib.model.model_check import check_model
from inflib.storage.folder import Folder
from inflib.storage.plain_text import printable
from ray_jobs.shared.append import append
from ray_jobs.shared.look_at_pairs import look_at_pairs
from ray_jobs.shared.observe import observe
from ray_jobs.shared.session import start_ray
from ray_jobs.shared.sharding import (
    index_labels,
    list_unused,
    read_files,
    sort_rows,
    write_shards,
)
from ray_jobs.shared.stage import Stage


def prepare(recipe: Recipe) -> dict[str, Any]:
    """Write pairs/ of a run, unless it is complete; append labels that are new.

    Returns the stage's record. Raises ValueError when a pair set has no usable pair, or
    sources or tokenizer are not those that the run was prepared with.
    """
    stage = Stage("prepare", Folder(recipe.run) / "pairs")
    model = recipe.model
    for line in check_model(model):
        print(f"prepare: {line}", flush=True)
    digest = tokenizer_digest(load_tokenizer(model))
    if stage.folder.exists("done.json"):
        return _prepare_again(recipe, stage, digest)
    longest = max_positions(model)
    if longest and recipe.prepare.max_length > longest:
        raise ValueError(
            f"prepare.max_length {recipe.prepare.max_length} is more than the "
            f"{longest} positions of {model.base}: set --prepare.max_length {longest}"
        )
    sources = find_sources(recipe)
    for line in describe_sources(sources):
        print(f"prepare: {line}", flush=True)
    start_ray(recipe)
    observe("prepare")
    rows = read_files({p: [*files] for p, files in sources.items()}, sources, recipe)
    indexes = index_labels(rows, [*sources])
    for index in indexes.values():
        index.name_by_labeler()
    dropped = [index.drop_duplicates() for index in indexes.values()]
    if recipe.prepare.shared_with_train == "drop":
        dropped += _leave_out_shared(indexes)
    by_labeler = frozenset(p for p, index in indexes.items() if index.ids_by_labeler)
    for pairs, index in indexes.items():
        list_unused(recipe, pairs, index, index.unused)
        if not index.states[USED]:
            raise ValueError(f"no usable pair in {pairs}: {index}")
    kept = {pairs: kept_columns(index.kinds) for pairs, index in indexes.items()}
    shards = write_shards(
        sort_rows(rows, by_labeler, np.concatenate(dropped)),
        stage.folder,
        kept,
        recipe.prepare.shard_rows,
    )
    for pairs, plan in shards.items():
        folder = PairsFolder(stage.folder / pairs)
        folder.write_plan(plan)
        folder.folder.delete(*folder.unplanned(plan))  # of a try with other settings
    found = look_at_pairs(recipe, stage.folder)
    stage.folder.write_json("report.json", _report(indexes, found))
    stage.folder.write_json("sources.json", sources)
    num_labels = sum(s.num_labels for plan in shards.values() for s in plan)
    return stage.done(
        {"pairs": num_labels},
        {"tokenizer_sha256": digest, "ids_by_labeler": sorted(by_labeler)},
    )


def _prepare_again(recipe: Recipe, stage: Stage, digest: str) -> dict[str, Any]:
    """Append the labels of files that are new or have grown; refuse other changes."""
    stored = stage.folder.read_json("sources.json")
    sources = find_sources(recipe, stored)
    check_sources(sources, stored, stage.folder.url)
    if stage.folder.read_json("done.json")["tokenizer_sha256"] != digest:
        raise ValueError(
            f"{stage.folder.url} was prepared with another tokenizer "
            f"(tokenizer_sha256): choose another --run"
        )
    changed = [
        file
        for file, source in sources["train"].items()
        if stored["train"].get(file) != source
    ]
    if changed:
        return append(recipe, stage, changed, sources)
    return stage.skip()


def _leave_out_shared(indexes: dict[str, LabelIndex]) -> list[np.ndarray]:
    """Places of the query sets' labels on training comparisons, which are left out."""
    train = indexes["train"].comparisons()
    places = []
    for pairs, index in indexes.items():
        if pairs != "train":
            problem = "also a training comparison (prepare.shared_with_train)"
            places.append(index.leave_out(train, problem))
    return places


def _report(
    indexes: dict[str, LabelIndex], found: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """{pair set: its data report}; prints a line on each, and its findings.

    found: {pair set: more facts for its report}.
    """
    report = {pairs: index.report() | found[pairs] for pairs, index in indexes.items()}
    train = indexes["train"].comparisons()
    for pairs, index in indexes.items():
        shared = np.intersect1d(index.comparisons(), train)
        report[pairs]["also_in_train"] = 0 if pairs == "train" else len(shared)
        print(f"prepare: {pairs}: {index}", flush=True)
        for line in findings(pairs, report[pairs]):
            print(f"prepare: {printable(line)}", flush=True)
    return report


STAGES = [prepare]


if __name__ == "__main__":
    from ray_jobs.cli import main

    main("prepare")
