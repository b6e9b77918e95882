"""Which layer and which k: detectors on activations, with and without looking.

n  labels that count
"""

from typing import Any

import numpy as np
from jaxtyping import Bool

from inflib.detection.detector_table import Scores
from inflib.numerics.ranking import detection


def choose(
    rows: list[dict[str, Any]], counts: Bool[np.ndarray, " all"], wrong: np.ndarray
) -> tuple[Scores, dict[str, str], list[dict[str, Any]]]:
    """Of one query set: (scores, where each is from, figures of every layer and k).

    rows: activations.layer_detectors, of that query set. mahalanobis and knn:
    of the layer (and k) that best tells query labels from query labels turned round,
    which uses no training label's truth; mahalanobis_best and knn_best: of the one
    with the highest AUC, as the paper chooses it, told which labels are wrong.
    """
    sweep, scores = [], {}
    for row in rows:
        for name, values in row["scores"].items():
            known = values[counts]
            figures = detection(known, wrong)
            assert figures is not None
            place = f"{name}, layer {row['layer']}"
            scores[place] = known
            sweep.append(
                {
                    "detector": name,
                    "layer": row["layer"],
                    "swapped_auc": row["swapped_auc"][name],
                    "auc": figures["auc"],
                    "place": place,
                }
            )
    found: Scores = {}
    places: dict[str, str] = {}
    for kind in ("mahalanobis", "knn"):
        own = [row for row in sweep if row["detector"].startswith(kind)]
        for name, by in ((kind, "swapped_auc"), (f"{kind}_best", "auc")):
            best = max(own, key=lambda row: row[by])
            places[name], found[name] = best["place"], scores[best["place"]]
    return found, places, sweep
