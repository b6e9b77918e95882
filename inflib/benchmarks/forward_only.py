"""Baselines of the lds benchmark that need no gradient of a label: its hidden states,
and its loss by a model that is trained on the query labels.

n  training labels     q  query labels     f  features of a layer
"""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float

from inflib.benchmarks.estimators import Effects
from inflib.config.recipe import Recipe
from inflib.data.pairs_folder import PairsFolder
from inflib.data.training_plan import weighted_labels
from inflib.model.reward_folder import read_margins
from inflib.numerics import preference_loss
from inflib.scores.influence_folder import digest_of
from inflib.scores.inner_products import RunProducts
from inflib.scores.retrained import labels_digest
from inflib.sketches import activations
from inflib.storage.folder import Folder

STATES = {"activation_cosine": True, "base_embedding_cosine": False}
"""By whether the hidden states are of the reward model, or of its base."""

BY_QUERY_MODEL = "loss_by_query_model"

_JUDGED = "judged"
"""The run's training labels, as a query set of a model trained on query labels."""


def by_states(
    recipe: Recipe, query: str, run: RunProducts
) -> Iterator[tuple[str, Effects]]:
    """(name, effects) by the cosine of h(chosen) - h(rejected) of a training and a
    query label, h being the last layer's hidden state where the reward is read.

    Needs activations/ of both models (sketches.activations).
    """
    sides = -np.sign(run.labels.derivatives)[:, None] / run.labels.n
    for name, adapted in STATES.items():
        train = _by_id(recipe, "train", adapted)
        rows = np.stack([train[pair_id] for pair_id in run.columns["pair_id"]])
        queries = np.stack(list(_by_id(recipe, query, adapted).values()))
        yield name, sides * rows @ queries[run.in_plan].T


def _by_id(
    recipe: Recipe, pairs: str, adapted: bool
) -> dict[str, Float[np.ndarray, " f"]]:
    """{pair_id: h(chosen) - h(rejected), scaled to length 1} of the labels of a pair
    set with a weight, in plan order."""
    run = Folder(recipe.run)
    states, rows, signs = activations.read_last_layer(
        run, pairs, activations.key(recipe, adapted)
    )
    apart = (states[:, 0] - states[:, 1]).astype(float)[rows] * signs[:, None]
    norms = np.linalg.norm(apart, axis=1, keepdims=True)
    folder, found = PairsFolder(run / "pairs" / pairs), dict[str, np.ndarray]()
    unit = iter(apart / np.where(norms > 0, norms, 1))
    for shard in folder.plan():
        labels = folder.labels(shard, ["pair_id", "weight"])
        for pair_id, weight in zip(*labels.to_pydict().values(), strict=True):
            row = next(unit)
            if weight:
                found[pair_id] = row
    return found


def trained_on_queries(recipe: Recipe, query: str) -> Recipe:
    """A run inside the run, whose training labels are the query set and whose only
    query set are the training labels; writes its pairs/.

    It plans as many optimizer steps as the run's own training, and stops like it.
    """
    run = Folder(recipe.run)
    pairs = {"train": run / "pairs" / query, _JUDGED: run / "pairs" / "train"}
    sizes = [len(weighted_labels(PairsFolder(folder))) for folder in pairs.values()]
    epochs = recipe.train.epochs * sizes[1] / sizes[0]
    train = recipe.train.model_copy(update={"epochs": epochs, "keep": 1.0})
    address = digest_of(
        query=query,
        labels=labels_digest(recipe),
        model=recipe.model.model_dump(mode="json"),
        train=train.model_dump(mode="json"),
    )
    target = run / "query_trained" / address
    for name, source in pairs.items():
        copy = target / "pairs" / name
        for path in source.names() - copy.names():
            copy.write(path, source.read_bytes(path))
    sources = {"train": recipe.prepare.queries[query]}
    sources["queries"] = {_JUDGED: recipe.prepare.train}  # type: ignore[assignment]
    prepare = recipe.prepare.model_copy(update=sources)
    changes = {"run": target.url, "prepare": prepare, "train": train}
    return recipe.model_copy(update=changes)


def by_query_model(recipe: Recipe, query_trained: Recipe, run: RunProducts) -> Effects:
    """Minus the loss of each training label by the model that was trained on query
    labels, the same effect on all of them: it is suspicious of what they teach against.

    recipe: the run's; query_trained: of `trained_on_queries`, after training.
    """
    folder = Folder(query_trained.run)
    margins = read_margins(folder / "reward_model")[_JUDGED]
    names = weighted_labels(PairsFolder(Folder(recipe.run) / "pairs" / "train"))
    known = dict(zip([pair_id for pair_id, _ in names], margins.tolist(), strict=True))
    own = torch.tensor([known[pair_id] for pair_id in run.columns["pair_id"]])
    columns = (run.columns[name] for name in ("required_margin", "target", "weight"))
    required, target, weight = (torch.from_numpy(x.astype(float)) for x in columns)
    losses = weight * preference_loss.losses(own.double() - required, target)
    return np.repeat(-losses.numpy()[:, None], run.labels.cross.shape[1], axis=1)
