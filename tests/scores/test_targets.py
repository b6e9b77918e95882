"""Scores of labels with targets, weights and required margins."""

import numpy as np
import pytest
import torch

from inflib.benchmarks.fake_store import Generated, write_manifest, write_set
from inflib.data.label_edits import Edit
from inflib.scores.explain import find_labels
from inflib.scores.passes import Passes
from inflib.scores.query_vectors import read_queries
from inflib.scores.sketch_set import SketchSet
from inflib.storage.folder import Folder
from tests.support.known_store import LAYERS, SIZES, Q, column, score_config, scored
from tests.support.known_store import shard as comparisons

KINDS = ("gauss_newton", "empirical_fisher", "datainf", "datainf_layer", "identity")
NAMES = ("influence", "error", "flip_effect")


def votes(seed, n, unanimous):
    """(for, against) votes on each of n comparisons."""
    rng = np.random.default_rng(seed)
    yes, no = rng.integers(1, 4, n), rng.integers(0, 3, n)
    return list(zip(yes.tolist(), (0 * no if unanimous else no).tolist(), strict=True))


def one_by_one(shard, counts):
    """A label of weight 1 for each vote."""
    rows = [i for i, (yes, no) in enumerate(counts) for _ in range(yes + no)]
    signs = [z for yes, no in counts for z in [1] * yes + [-1] * no]
    return Generated(shard.sketches, shard.margins, shard.sq_norms, signs, rows)


def together(shard, counts):
    """A label with target k / n and weight n for each comparison."""
    return Generated(
        shard.sketches,
        shard.margins,
        shard.sq_norms,
        [1] * len(counts),
        targets=[yes / (yes + no) for yes, no in counts],
        weights=[float(yes + no) for yes, no in counts],
    )


def store(folder, labelled, unanimous):
    """(run with votes on the training and query comparisons, labelled by a function;
    the votes on each training comparison)."""
    run = Folder(str(folder))
    polled: list[tuple[int, int]] = []
    write_manifest(run, LAYERS)
    for name, sizes in (("train", enumerate(SIZES)), ("q", [(len(SIZES), Q)])):
        shards = []
        for seed, n in sizes:
            counts = votes(seed, n, unanimous)
            shards.append(labelled(comparisons(seed, n), counts))
            polled += counts if name == "train" else []
        write_set(run, name, shards)
    return run, polled


def by_comparison(rows, polled, name):
    """Sum of a column over the votes on each comparison; the votes are in their order.

    An error is of an influence, so it is divided by that influence's derivative.
    """
    sizes = [yes + no for yes, no in polled]
    return [sum(part) for part in np.split(column(rows, name), np.cumsum(sizes)[:-1])]


@pytest.mark.parametrize(
    ("unanimous", "loss"), [(True, "bradley_terry"), (False, "margin")]
)
def test_k_of_n_votes_as_one_label_score_as_the_sum_of_n_labels(
    tmp_path, unanimous, loss
):
    # the empirical Fisher and DataInf see labels' gradients, which votes that disagree
    # have larger ones of
    kinds = KINDS if unanimous else ("gauss_newton", "identity")
    config = score_config(
        *kinds, damping=(1e-3, 1e-1), query_groups=3, query_loss=loss, self_probes=0
    )
    (apart, polled), (joined, _) = (
        store(tmp_path / labelled.__name__, labelled, unanimous)
        for labelled in (one_by_one, together)
    )
    (rows, _), (totals, _) = scored(apart, config), scored(joined, config)
    assert len(rows) > len(totals) == sum(SIZES)
    names = [f"{name}_{kind}_q" for kind in kinds for name in ("influence",)]
    names += [f"flip_effect_{kind}_q" for kind in kinds]
    for name in [*names, "loss"]:
        np.testing.assert_allclose(
            column(totals, name),
            by_comparison(rows, polled, name),
            rtol=1e-5,
            atol=1e-7,
        )
    lists = np.array([row[f"flip_parts_{kinds[0]}_q"] for row in totals])
    flips = column(totals, f"flip_effect_{kinds[0]}_q")
    np.testing.assert_allclose(lists.sum(1), flips, rtol=1e-4, atol=1e-5)


def test_a_common_factor_of_the_weights_changes_the_scores_by_it(tmp_path):
    def doubled(shard, counts):
        label = together(shard, counts)
        return Generated(
            **vars(label) | {"weights": [2 * weight for weight in label.weights]}
        )

    config = score_config(*KINDS, damping=(1e-2,), query_groups=2)
    (plain, _), (twice, _) = (
        store(tmp_path / labelled.__name__, labelled, False)
        for labelled in (together, doubled)
    )
    rows, both = scored(plain, config)[0], scored(twice, config)[0]
    for kind in KINDS:
        for name in NAMES:
            name = f"{name}_{kind}_q"
            np.testing.assert_allclose(
                column(both, name), 2 * column(rows, name), rtol=1e-6
            )


def test_labels_of_weight_zero_score_zero_and_change_nothing(tmp_path):
    def with_ghosts(shard, counts):
        label = one_by_one(shard, counts)
        return Generated(
            **vars(label)
            | {
                "signs": [*label.signs, -1],
                "rows": [*label.rows, 0],
                "weights": [*[1.0] * len(label.signs), 0.0],
            }
        )

    config = score_config(*KINDS, damping=(1e-3, 1e-1), query_groups=2, self_probes=2)
    (plain, _), (ghosts, _) = (
        store(tmp_path / labelled.__name__, labelled, False)
        for labelled in (one_by_one, with_ghosts)
    )
    (rows, _), (more, _) = scored(plain, config), scored(ghosts, config)
    zero = [row for row in more if row["weight"] == 0]
    rest = [row for row in more if row["weight"]]
    assert len(zero) == len(SIZES) and len(rest) == len(rows)
    for kind in KINDS:
        name = f"influence_{kind}_q"
        assert set(column(zero, name)) == {0.0} and set(column(zero, "loss")) == {0.0}
        np.testing.assert_allclose(column(rest, name), column(rows, name), rtol=1e-6)
        error = f"error_{kind}_q"
        np.testing.assert_allclose(column(rest, error), column(rows, error), rtol=0.05)
    queries = find_labels(SketchSet(ghosts, "q"), [])
    assert sum(len(ids) for _, ids in queries) == sum(map(sum, votes(3, Q, False)))
    last = f"{zero[0]['pair_id']}"
    with pytest.raises(ValueError, match="or weight 0"):
        find_labels(SketchSet(ghosts, "train"), [last])


def test_a_tie_adds_nothing_to_the_margin_loss_and_does_not_flip(tmp_path):
    def tied(shard, counts):
        label = together(shard, counts)
        return Generated(**vars(label) | {"targets": [0.5] * len(counts)})

    run, _ = store(tmp_path, tied, False)
    config = score_config("gauss_newton", damping=(1e-2,), query_groups=2)
    rows, _ = scored(run, config)
    assert set(column(rows, "flip_effect_gauss_newton_q")) == {0.0}
    assert np.all(column(rows, "influence_gauss_newton_q") != 0)
    margin = config.model_copy(update={"query_loss": "margin"})
    queries = read_queries(margin, ["q"], Passes(run, 1))
    assert not queries.vectors.any() and float(queries.shares.sum()) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_an_edit_multiplies_the_labels_weight(tmp_path, kind):
    run, _ = store(tmp_path, together, False)
    config = score_config(kind, damping=(1e-2,), query_groups=2)
    rows, _ = scored(run, config)
    edits = {row["pair_id"]: Edit("weight", 0.5) for row in rows[:3]}
    edits[rows[3]["pair_id"]] = Edit("drop", 0.0)
    edited, _ = scored(run, config, edits)
    weights = column(rows, "weight") * [0.5, 0.5, 0.5, 0, *[1] * (len(rows) - 4)]
    np.testing.assert_array_equal(column(edited, "weight"), weights)
    assert edited[3][f"influence_{kind}_q"] == 0

    def halved(shard, counts):
        label = together(shard, counts)
        first = len(counts) == SIZES[0]
        weights = [
            weight * (0.5 if i < 3 else 0) if first and i < 4 else weight
            for i, weight in enumerate(label.weights)
        ]
        return Generated(**vars(label) | {"weights": weights})

    other, _ = store(tmp_path / "other", halved, False)
    expected, _ = scored(other, config)
    name = f"influence_{kind}_q"
    np.testing.assert_allclose(column(edited, name), column(expected, name), rtol=1e-9)


def test_accuracy_of_a_set_is_that_of_its_labels(tmp_path):
    run, _ = store(tmp_path, together, False)
    train = SketchSet(run, "train")
    shards = [comparisons(seed, n) for seed, n in enumerate(SIZES)]
    margins = torch.cat([shard.margins for shard in shards]).numpy()
    targets = np.array(
        [y / (y + n) for s, c in enumerate(SIZES) for y, n in votes(s, c, False)]
    )
    sure = targets != 0.5
    right = (margins > 0) == (targets > 0.5)
    assert 0 < sure.sum() < len(sure)
    assert train.chosen_margins().accuracy == pytest.approx(right[sure].mean())
