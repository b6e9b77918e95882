"""All labels of a run to the effects that every estimator, and every control, predicts.

n  training labels     q  query labels     m  choices of labels
"""

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float

from inflib.config.recipe import Recipe
from inflib.data.training_plan import Holdout
from inflib.numerics import dense_influence as dense
from inflib.numerics.damping import of_training
from inflib.scores.inner_products import RunProducts, read_products
from inflib.sketches.manifest import read_layers
from inflib.storage.folder import Folder

DAMPINGS = (1e-3, 1e-2, 1e-1, 1.0)
"""Relative to the trace of H."""

SCORED = "as_scored"
"""Gauss-Newton with the damping that `score` takes where none is asked for."""

SMOOTHED = "by_smoothed_loss"
"""The same by the loss of training, with train.label_smoothing; all others are by the
loss without it."""

MEAN = "mean_of_runs"
"""`SCORED`, the mean over several runs: other checkpoints, or seeds, of a training."""

DATAINF = "datainf"

CONTROLS = ("random", "norm_only", "loss", "low_margin", "length_difference")

Effects = Float[np.ndarray, "n q"]


def read_runs(
    recipe: Recipe, query: str, also: Iterable[str], below: float
) -> dict[str, RunProducts]:
    """The recipe's run and others of its labels, by the names of their folders.

    query: query set; below: which labels training held out (`Holdout.below`). Raises
    ValueError for two folders of one name.
    """
    runs, holdout = dict[str, RunProducts](), Holdout(below)
    for folder in map(Folder, [recipe.run, *also]):
        name = folder.url.rstrip("/").rsplit("/", 1)[-1]
        if name in runs:
            raise ValueError(f"--also {folder.url}: another run is called {name}, too")
        size = sum(layer.num_parameters for layer in read_layers(folder))
        smoothing = recipe.train.label_smoothing
        runs[name] = read_products(
            folder, query, size, smoothing, lambda c: c not in holdout
        )
    return runs


def effects(run: RunProducts, datainf_damping: float) -> Iterator[tuple[str, Effects]]:
    """(estimator, effects of training labels on query margins), one after the other.

    Controls know nothing of query labels: the same effect on all. They are signed so
    that a label that is suspicious, by a control that says so, lowers query margins.
    """
    labels = run.labels
    yield SCORED, dense.gauss_newton(labels, _damping(run))
    yield "identity", dense.plain(labels)
    yield DATAINF, dense.datainf(labels, datainf_damping, run.num_parameters)
    yield "cosine", dense.cosine(labels)
    for damping in DAMPINGS:
        yield f"gauss_newton_{damping:g}", dense.gauss_newton(labels, damping)
    for damping in DAMPINGS:
        yield f"empirical_fisher_{damping:g}", dense.empirical_fisher(labels, damping)
    for damping in (1e-2, 1e-1):
        corrected = dense.leverage_corrected(labels, damping)
        yield f"leverage_corrected_{damping:g}", corrected
        yield f"relative_{damping:g}", dense.relative(labels, damping)
        yield f"unit_length_{damping:g}", dense.unit_length(labels, damping)
        yield f"mixed_moments_{damping:g}", dense.mixed_moments(labels, damping, 0.5)
    yield SMOOTHED, dense.gauss_newton(run.by_smoothed_loss, _damping(run))
    for name, values in _controls(run).items():
        yield name, np.repeat(values[:, None], labels.cross.shape[1], axis=1)


def effects_of_runs(
    runs: dict[str, RunProducts], datainf_damping: float
) -> dict[str, Effects]:
    """`effects` of the first run; of the others, all but controls, as NAME@RUN; and the
    mean of SCORED over all.

    runs: by name, of the same labels. Raises ValueError where labels differ.
    """
    first, *others = runs
    found = dict(effects(runs[first], datainf_damping))
    means = [found[SCORED]]
    for name in others:
        for part in ("pair_id", "target"):
            own, other = runs[first].columns[part], runs[name].columns[part]
            if len(own) != len(other) or (own != other).any():
                raise ValueError(f"--also {name}: its labels are not those of {first}")
        also = dict(effects(runs[name], datainf_damping))
        means.append(also[SCORED])
        found |= {f"{k}@{name}": v for k, v in also.items() if k not in CONTROLS}
    if others:
        found[MEAN] = np.mean(means, axis=0)
    return found


def _damping(run: RunProducts) -> float:
    """That of `SCORED`, relative to the trace of H."""
    if run.learning_rate_sum is None:
        return 0.1
    trace = dense.trace(run.labels, run.labels.curvatures)
    return of_training(run.learning_rate_sum) / trace


def _controls(run: RunProducts) -> dict[str, Float[np.ndarray, " n"]]:
    columns = run.columns
    random = np.random.default_rng(0).normal(size=run.labels.n)
    found = (
        random,
        -columns["gradient_norm"],
        -columns["loss"],
        columns["margin"],
        -columns["length_difference"].astype(float),
    )
    return dict(zip(CONTROLS, found, strict=True))


def predictions(
    run: RunProducts,
    found: dict[str, Effects],
    kept: Float[np.ndarray, "m n"],
    flipped: Float[np.ndarray, "m n"],
) -> dict[str, Float[np.ndarray, "m q"]]:
    """{estimator: predicted change of each query margin when the model is trained on
    these labels alone}: the sum of what is kept, about its mean over all labels, since
    the loss is a mean; for newton_step, the step itself.

    found: of `effects`; flipped: 1 for a label that is turned round. Its effect is
    multiplied by what its derivative is then over what it is, which is exact for
    estimators that are proportional to it.
    """
    labels = run.labels
    share = labels.n / kept.sum(1, keepdims=True)
    turned = np.ones(labels.n)  # where the loss is level, turning it changes nothing
    np.divide(run.turned, labels.derivatives, turned, where=labels.derivatives != 0)
    pulls = np.where(flipped == 1, turned, kept)
    predicted = {
        name: share * (pulls @ values) - values.sum(0) for name, values in found.items()
    }
    for damping in (1e-2, 1e-1):
        steps = dense.newton_step(labels, kept, pulls, damping)
        predicted[f"newton_step_{damping:g}"] = steps
    return predicted
