"""Baselines without gradients: hidden states as transformers has them, their cosines,
and losses by a model that is trained on the query labels."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from inflib.benchmarks.forward_only import (
    by_query_model,
    by_states,
    trained_on_queries,
)
from inflib.data.pairs_folder import PairsFolder
from inflib.data.training_plan import weighted_labels
from inflib.model.preference_trainer import evaluate
from inflib.model.reward_folder import write_margins
from inflib.model.training import labels_of
from inflib.scores.inner_products import read_products
from inflib.sketches import activations
from inflib.sketches.activations import ActivationReader
from inflib.sketches.shard_sketcher import ShardSketcher
from inflib.storage.folder import Folder
from tests.support.planned_runs import trained, with_train
from tests.support.prepared_run import ROWS, build_run


def with_states(tmp_path, family):
    """A sketched run, whose query set are its training labels, with activations."""
    recipe = build_run(tmp_path, ROWS, family=family)
    sketcher, run = ShardSketcher(recipe), Folder(recipe.run)
    readers = [ActivationReader(recipe, 1, adapted) for adapted in (True, False)]
    for pairs in ("train", "q"):
        for shard in PairsFolder(run / "pairs" / pairs).plan():
            sketcher(pairs, shard.name)
            for reader in readers:
                reader(pairs, shard)
    return recipe, run


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_base_states_are_those_of_the_base_alone(tmp_path, family):
    recipe, run = with_states(tmp_path, family)
    found = {
        adapted: activations.read_last_layer(
            run, "train", activations.key(recipe, adapted)
        )[0]
        for adapted in (True, False)
    }
    assert np.abs(found[True] - found[False]).max() > 1e-3
    base = AutoModelForSequenceClassification.from_pretrained(recipe.model.base).eval()
    folder, rows = PairsFolder(run / "pairs" / "train"), iter(found[False])
    for shard in folder.plan():
        for comparison in folder.comparisons(shard).to_pylist():
            for side, state in zip("ab", next(rows), strict=True):
                ids = torch.tensor([comparison["prefix"] + comparison[side]])
                with torch.no_grad():
                    output = base(input_ids=ids, output_hidden_states=True)
                at = 0 if family == "bert" else -1
                expected = output.hidden_states[-1][0, at].numpy()
                np.testing.assert_allclose(state, expected, rtol=1e-4, atol=1e-5)


def test_cosines_of_states_say_which_labels_teach_alike(tmp_path):
    recipe, _ = with_states(tmp_path, "llama")
    products = read_products(Folder(recipe.run), "q", 1)
    found = dict(by_states(recipe, "q", products))
    assert set(found) == {"activation_cosine", "base_embedding_cosine"}
    n = products.labels.n
    for effects in found.values():
        assert effects.shape == (n, n)
        # a label on itself: its margin rises; and no effect is larger
        np.testing.assert_allclose(n * np.diag(effects), 1, rtol=1e-6)
        assert np.abs(n * effects).max() < 1 + 1e-6
        # the same two answers the other way round, on another prompt: it falls
        place = {(r["chosen"], r["rejected"]): r["pair_id"] for r in ROWS}
        at = {pair_id: i for i, pair_id in enumerate(products.columns["pair_id"])}
        for (chosen, rejected), pair_id in place.items():
            assert effects[at[pair_id], at[place[rejected, chosen]]] < 0


def test_a_run_inside_the_run_trains_on_the_query_labels(tmp_path):
    recipe, run = with_states(tmp_path, "llama")
    queries = PairsFolder(run / "pairs" / "q")
    queries.write_plan(queries.plan()[:2])  # 10 labels of 12
    inner = trained_on_queries(recipe, "q")
    assert inner == trained_on_queries(recipe, "q")
    folder = Folder(inner.run)
    train = weighted_labels(PairsFolder(folder / "pairs" / "train"))
    assert len(train) == 10 and train == weighted_labels(queries)
    assert inner.train.epochs == pytest.approx(1.2 * recipe.train.epochs)
    trainer, _ = trained(with_train(inner), tmp_path / "scratch")
    table = labels_of(inner, "judged")
    assert len(table) == 12
    judged = evaluate(trainer, table)
    write_margins(folder / "reward_model", {"judged": judged.margins})
    products = read_products(run, "q", 1)
    effects = by_query_model(recipe, inner, products)
    assert effects.shape == (12, 10)
    losses = np.log1p(np.exp(-judged.margins.numpy()))
    tokens = map(tuple, table["chosen_ids"].to_pylist())
    by_tokens = dict(zip(tokens, losses, strict=True))
    chosen, pairs = {}, PairsFolder(run / "pairs" / "train")
    for shard in pairs.plan():
        comparisons = pairs.comparisons(shard).to_pylist()
        for label in pairs.labels(shard).to_pylist():
            row = comparisons[label["row"]]
            side = row["a"] if label["sign"] > 0 else row["b"]
            chosen[label["pair_id"]] = tuple(row["prefix"] + side)
    assert len(set(chosen.values())) == 12
    ids = products.columns["pair_id"]
    expected = np.array([by_tokens[chosen[pair_id]] for pair_id in ids])
    for column in effects.T:
        np.testing.assert_allclose(column, -expected, rtol=1e-6)
    assert np.std(expected) > 0
