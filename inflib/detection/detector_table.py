"""Scored labels to detectors' scores, and these to how well they find wrong labels.

n  labels that count: their gradient is finite and not zero. Higher scores are more
suspicious.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float

from inflib.config.bias import BiasConfig
from inflib.config.recipe import Recipe
from inflib.data.output_columns import GRADIENT_NORM, INFLUENCE, SELF_INFLUENCE
from inflib.detection.detectors import margin_scores
from inflib.numerics import ranking
from inflib.scores.influence_folder import truth_column

Scores = dict[str, Float[np.ndarray, " n"]]
"""{detector: score of each label}."""

COMBINED = "influence_and_length"


def truth_of(recipe: Recipe, table: pa.Table) -> Bool[np.ndarray, " n"]:
    """Whether each label is wrong, by the column bias.truth. Raises ValueError when it
    is missing, or all labels or none are wrong."""
    name = recipe.bias.truth
    wrong = truth_column(table, name, "bias.truth")
    if wrong.all() or not wrong.any():
        raise ValueError(
            f"bias.truth {name!r}: {wrong.sum()} of {len(wrong)} labels are wrong, and "
            "detection needs both kinds"
        )
    return wrong


def detector_scores(recipe: Recipe, table: pa.Table, query: str) -> Scores:
    """Scores of the detectors that need influence.parquet alone, for one query set."""
    scores: Scores = {}
    for kind in recipe.score.score_names:
        scores[f"influence_{kind}"] = table[INFLUENCE.of(kind, query)].to_numpy()
    scores["self_influence_identity"] = table[GRADIENT_NORM.name].to_numpy() ** 2
    for name in table.column_names:
        if SELF_INFLUENCE.matches(name):
            scores[name] = table[name].to_numpy()
    scores |= margin_scores(table["margin"].to_numpy())
    scores["length_difference"] = table["length_difference"].to_numpy().astype(float)
    if "rating_difference" in table.column_names:
        scores["rating_difference"] = table["rating_difference"].to_numpy()
    return scores


def combined(config: BiasConfig, scores: list[np.ndarray], wrong: np.ndarray) -> Any:
    """[n] probability that a label is wrong, by logistic regression on the ranks of
    several detectors' scores; cross-validated, so it is told which labels of the other
    folds are wrong."""
    from scipy.stats import rankdata
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    ranks = np.stack([rankdata(s) / len(s) for s in scores], axis=1)
    folds = StratifiedKFold(config.folds, shuffle=True, random_state=config.seed)
    model = LogisticRegression(C=100.0)
    probabilities = cross_val_predict(
        model, ranks, wrong, cv=folds, method="predict_proba", n_jobs=1
    )
    return probabilities[:, 1]


def detection_metrics(
    config: BiasConfig, scores: Scores, wrong: np.ndarray, reference: str
) -> dict[str, dict[str, Any]]:
    """{detector: {auc, ap, tnr80 (numerics.ranking), each with _low and _high: the ends
    of its 95% bootstrap percentile interval over the labels; below_reference: such an
    interval of the reference's AUC minus this one's, and p of no difference}}."""
    resampled = ranking.bootstrap(scores, wrong, config.resamples, config.seed)
    rows: dict[str, dict[str, Any]] = {}
    for name, values in scores.items():
        row: dict[str, Any] = {}
        exact = ranking.detection(values, wrong)
        assert exact is not None
        for metric in ranking.METRICS:
            low, high = ranking.percentile_interval(resampled[name][metric])
            row[metric] = exact[metric]
            row[f"{metric}_low"], row[f"{metric}_high"] = low, high
        if name != reference:
            differences = resampled[reference]["auc"] - resampled[name]["auc"]
            low, high = ranking.percentile_interval(differences)
            row["below_reference"] = {
                "low": low,
                "high": high,
                "p": ranking.p_value(differences),
            }
        rows[name] = row
    return rows


def judge_points(
    choices: dict[str, dict[str, str]], table: pa.Table, wrong: np.ndarray
) -> dict[str, dict[str, Any]]:
    """{judge: {labels, true_positive_rate, false_positive_rate}}. A judge accuses
    a label when it prefers the rejected response. Ties and labels not seen are left
    out; so are judges that have seen no wrong or no right label.

    choices: {judge: {comparison_id: a, b or tie}}."""
    ids, signs = table["comparison_id"].to_pylist(), table["sign"].to_numpy()
    points = {}
    for judge, choice in choices.items():
        preferred = np.array([{"a": 1, "b": -1}.get(choice.get(i, ""), 0) for i in ids])
        judged, accused = preferred != 0, preferred * signs < 0
        positive, negative = judged & wrong, judged & ~wrong
        if positive.any() and negative.any():
            points[judge] = {
                "labels": int(judged.sum()),
                "true_positive_rate": float(accused[positive].mean()),
                "false_positive_rate": float(accused[negative].mean()),
            }
    return points
