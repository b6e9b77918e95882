"""All detectors of planted labels on one table, with their figures.

    n  labels that count: those whose gradient is finite and not zero

{query set: {detector: scores}}; higher is more suspicious.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float

from inflib.config.bias import BiasConfig
from inflib.config.recipe import Recipe
from inflib.data.output_columns import GRADIENT_NORM, INFLUENCE, SELF_INFLUENCE
from inflib.detection.detectors import of_margins
from inflib.numerics import ranking
from inflib.scores.influence_folder import truth_column

Scores = dict[str, Float[np.ndarray, " n"]]

COMBINED = "influence_and_length"


def truth_of(recipe: Recipe, table: pa.Table) -> Bool[np.ndarray, " n"]:
    """Raises ValueError when the truth column is missing, or one class is empty."""
    name = recipe.bias.truth
    wrong = truth_column(table, name, "bias.truth")
    if wrong.all() or not wrong.any():
        raise ValueError(
            f"bias.truth {name!r}: {wrong.sum()} of {len(wrong)} labels are wrong, and "
            "detection needs both kinds"
        )
    return wrong


def detectors(recipe: Recipe, table: pa.Table, query: str) -> Scores:
    """Those that the scored labels alone give."""
    found: Scores = {}
    for kind in recipe.score.columns:
        found[f"influence_{kind}"] = table[INFLUENCE.of(kind, query)].to_numpy()
    found["self_influence_identity"] = table[GRADIENT_NORM.name].to_numpy() ** 2
    for name in table.column_names:
        if SELF_INFLUENCE.matches(name):
            found[name] = table[name].to_numpy()
    found |= of_margins(table["margin"].to_numpy())
    found["length_difference"] = table["length_difference"].to_numpy().astype(float)
    if "rating_difference" in table.column_names:
        found["rating_difference"] = table["rating_difference"].to_numpy()
    return found


def combined(config: BiasConfig, scores: list[np.ndarray], wrong: np.ndarray) -> Any:
    """Cross-validated logistic regression on ranks: what two detectors give together.
    It is told which labels are wrong, in the other folds."""
    from scipy.stats import rankdata
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    columns = np.stack([rankdata(s) / len(s) for s in scores], axis=1)
    folds = StratifiedKFold(config.folds, shuffle=True, random_state=config.seed)
    model = LogisticRegression(C=100.0)
    found = cross_val_predict(
        model, columns, wrong, cv=folds, method="predict_proba", n_jobs=1
    )
    return found[:, 1]


def figures(
    config: BiasConfig, scores: Scores, wrong: np.ndarray, reference: str
) -> dict[str, dict[str, Any]]:
    """By detector: auc, ap and tnr80 with 95% intervals, and how far the reference
    detector's AUC is above this one's (interval, p)."""
    drawn = ranking.bootstrap(scores, wrong, config.resamples, config.seed)
    found: dict[str, dict[str, Any]] = {}
    for name, values in scores.items():
        row: dict[str, Any] = {}
        exact = ranking.detection(values, wrong)
        assert exact is not None
        for figure in ranking.METRICS:
            low, high = ranking.percentile_interval(drawn[name][figure])
            row[figure] = exact[figure]
            row[f"{figure}_low"], row[f"{figure}_high"] = low, high
        if name != reference:
            differences = drawn[reference]["auc"] - drawn[name]["auc"]
            low, high = ranking.percentile_interval(differences)
            row["below_reference"] = {
                "low": low,
                "high": high,
                "p": ranking.p_value(differences),
            }
        found[name] = row
    return found


def judge_points(
    choices: dict[str, dict[str, str]], table: pa.Table, wrong: np.ndarray
) -> dict[str, dict[str, Any]]:
    """{judge: point of the ROC}: a label is accused when the judge prefers the other
    response. choices: {judge: {comparison_id: a, b or tie}}; ties and labels that the
    judge has not seen are left out."""
    ids, signs = table["comparison_id"].to_pylist(), table["sign"].to_numpy()
    found = {}
    for judge, verdicts in choices.items():
        given = np.array([{"a": 1, "b": -1}.get(verdicts.get(i, ""), 0) for i in ids])
        known, accused = given != 0, given * signs < 0
        positive, negative = known & wrong, known & ~wrong
        if positive.any() and negative.any():
            found[judge] = {
                "labels": int(known.sum()),
                "true_positive_rate": float(accused[positive].mean()),
                "false_positive_rate": float(accused[negative].mean()),
            }
    return found
