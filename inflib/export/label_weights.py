"""Labels to weights: the probability that a label does not harm a query set."""

import numpy as np
from scipy.special import ndtr

from inflib.audited_run import AuditedRun
from inflib.data.label_edits import WEIGHT
from inflib.data.output_columns import ERROR, INFLUENCE
from inflib.export.rule_columns import RuleColumns
from inflib.export.selection import Selection, among, decided, names_of


def add_weights(
    run: AuditedRun, selection: Selection, query: str | None, decided_at: str
) -> None:
    """Add a decision `weight` for each label without a decision: the probability that
    it is not harmful for the query set.

    Raises ValueError where standard errors cannot be estimated.
    """
    try:
        name = RuleColumns(run, query).query
    except ValueError as error:
        raise ValueError(f"--weights: {error}") from None
    score = run.score(name)
    influence, errors = (
        run.labels[column.of(score)].to_numpy(zero_copy_only=False)
        for column in (INFLUENCE, ERROR)
    )
    if not np.isfinite(errors).any():
        raise ValueError(
            f"--weights: the influence on query set {name} has no standard errors: it "
            "has fewer than two groups of labels"
        )
    rows = np.flatnonzero(~among(run, selection.decisions))
    ids, labelers = names_of(run, rows)
    factors = probability_not_harmful(influence, errors)[rows]
    reason = f"--weights: probability that it does not harm {name}"
    for pair_id, labeler, factor in zip(ids, labelers, factors, strict=True):
        selection.decisions[pair_id] = decided(
            pair_id, labeler, WEIGHT, _rounded(factor), reason, decided_at
        )
    selection.used.add(name)


def probability_not_harmful(influence: np.ndarray, error: np.ndarray) -> np.ndarray:
    """[n] Phi(-influence / error): the probability that a label's influence is 0 or
    less, its estimate normal with this standard error. 0.5 where there is no score, or
    where both are 0: nothing is known."""
    with np.errstate(divide="ignore", invalid="ignore"):
        z = influence.astype(float) / error.astype(float)
    return ndtr(-np.where(np.isnan(z), 0.0, z))


def _rounded(factor: float) -> float:
    """Six digits of a weight; 0 below the least weight that `prepare` reads."""
    return float(f"{factor:.6g}") if factor >= 1e-9 else 0.0
