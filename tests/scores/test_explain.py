"""Influence on single query labels, against dense gradients."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from inflib.benchmarks.fake_store import Generated, write_manifest, write_set
from inflib.config.score import ScoreConfig
from inflib.numerics.layer_bins import Layer
from inflib.scores.explain import find_labels, read_ids, read_query_labels
from inflib.scores.passes import Passes
from inflib.scores.score_run import score_run
from inflib.scores.sketch_set import SketchSet
from inflib.scores.solver import Solver
from inflib.sketches.manifest import read_layers
from inflib.storage.folder import Folder

K = 24


def shard(seed, num_comparisons):
    """A label of each comparison, two of comparisons 1 and 2; with seed 0 the gradient
    of comparison 3 is not finite."""
    generator = torch.Generator().manual_seed(seed)
    sketches = torch.randn(num_comparisons, K, generator=generator)
    sq_norms = sketches.square().sum(1, keepdim=True)
    if seed == 0:
        sketches[3], sq_norms[3] = 0, torch.nan
    margins = torch.randn(num_comparisons, generator=generator)
    rows = [*range(num_comparisons), 1, 2]
    signs = [1 if i % 3 else -1 for i in range(len(rows))]
    return Generated(sketches, margins, sq_norms, signs, rows)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = Folder(str(tmp_path_factory.mktemp("explain")))
    write_manifest(run, [Layer("all", K, 0, K)])
    write_set(run, "train", [shard(seed, 12) for seed in range(3)])
    write_set(run, "query", [shard(7, 6), shard(8, 5)])
    return run


CONFIG = ScoreConfig(
    curvatures=("gauss_newton",), damping=(0.1,), query_groups=1, tolerance=1e-9
)


def explained(
    run, ids, top, listed=frozenset(), shards_per_task=1, loss="bradley_terry"
):
    """What drives these query labels, by the functions that `inflib explain` calls."""
    passes, query = Passes(run, shards_per_task), SketchSet(run, "query")
    solver = Solver(CONFIG, read_layers(run), passes)
    tables = []
    for shard, ids_of_shard in find_labels(query, ids):
        labels = read_query_labels(query, shard, ids_of_shard, loss)
        ihvps = solver.invert("gauss_newton", labels.gradients, 0.1)
        tables.append(passes.explain(labels, ihvps, top, listed))
    return pa.concat_tables(tables)


@pytest.mark.parametrize("loss", ["bradley_terry", "margin"])
def test_the_mean_over_the_query_set_is_the_score(run, loss):
    config = CONFIG.model_copy(update={"query_loss": loss})
    table, _ = score_run(run, config, ["query"])
    everyone = frozenset(table["pair_id"].to_pylist())
    rows = explained(run, [], 2, everyone, loss=loss).to_pandas()
    rows = rows[rows.role == "listed"]
    means = rows.groupby("pair_id").influence.mean()
    scores = table.to_pandas().set_index("pair_id").influence_gauss_newton_query
    assert rows.query_pair_id.nunique() == 15 and len(scores) == 42
    expected = scores.dropna()[means.index]
    np.testing.assert_allclose(means, expected, rtol=1e-4, atol=1e-6)


def test_tops_and_neighbours_are_those_of_all_labels_however_shards_are_cut(run):
    everyone = frozenset(score_run(run, CONFIG, ["query"])[0]["pair_id"].to_pylist())
    shards = find_labels(SketchSet(run, "query"), [])
    ids = [pair_id for _, ids_of_shard in shards for pair_id in ids_of_shard][:9:4]
    table = explained(run, ids, 3, everyone)
    assert explained(run, ids, 3, everyone, shards_per_task=3).equals(table)
    rows = table.to_pandas()
    for query in ids:
        drivers = rows[rows.query_pair_id == query]
        listed = drivers[drivers.role == "listed"]
        for role, value, ascending in (
            ("harmful", "influence", False),
            ("helpful", "influence", True),
            ("nearest", "cosine", False),
        ):
            top = drivers[drivers.role == role]
            expected = listed.sort_values(value, ascending=ascending)[:3]
            np.testing.assert_allclose(top[value], expected[value])
            assert top["rank"].tolist() == [1, 2, 3]


def test_cosines_are_those_of_the_loss_gradients(run):
    query, train = SketchSet(run, "query"), SketchSet(run, "train")
    (shard, ids), *_ = find_labels(query, [])
    query_labels = read_query_labels(query, shard, ids[:2], "bradley_terry")
    labels = train.labels(train.plan()[1])
    labelled = train.table(train.plan()[1])["pair_id"].to_pylist()
    payload, _ = train.payload(train.plan()[1], labels)
    grads = (
        labels.derivatives[:, None] * torch.from_numpy(payload)[labels.rows].double()
    )
    exact = torch.nn.functional.cosine_similarity(
        grads[:, None], query_labels.gradients.T[None], dim=2
    )
    everyone = frozenset(labelled)
    rows = explained(run, ids[:2], 1, everyone).to_pandas()
    rows = rows[rows.role == "listed"].set_index(["pair_id", "query_pair_id"]).cosine
    for i, pair_id in enumerate(labelled):
        for j, query_id in enumerate(ids[:2]):
            assert rows[pair_id, query_id] == pytest.approx(
                float(exact[i, j]), abs=1e-5
            )


def test_ids_come_from_options_and_files_and_unknown_ones_are_refused(run, tmp_path):
    ids = tmp_path / "ids.txt"
    ids.write_text("b\n\n c \nb\n")
    assert read_ids(["a", f"@{ids}", "a"]) == ["a", "b", "c"]
    ids.write_text("\n")
    with pytest.raises(ValueError, match=r"ids\.txt: no pair_ids"):
        read_ids([f"@{ids}"])
    with pytest.raises(ValueError, match=r"missing\.txt: no such file of pair_ids"):
        read_ids(["@missing.txt"])
    with pytest.raises(ValueError, match="'nobody' is no label of train"):
        find_labels(SketchSet(run, "train"), ["nobody"])
    train = SketchSet(run, "train")
    (first, _), *_ = find_labels(train, [])
    broken = train.table(first)["pair_id"][3].as_py()
    with pytest.raises(ValueError, match="has no finite, non-zero gradient"):
        find_labels(train, [broken])
