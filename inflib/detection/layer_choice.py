"""Distances from the query labels in every layer to one detector of each kind: which
layer and which k, chosen with and without knowing the wrong labels.

    n  labels that count     N  all labels
"""

from typing import Any

import numpy as np
from jaxtyping import Bool

from inflib.detection.detector_table import Scores
from inflib.numerics.ranking import detection


def choose(
    rows: list[dict[str, Any]], counts: Bool[np.ndarray, " N"], wrong: np.ndarray
) -> tuple[Scores, dict[str, str], list[dict[str, Any]]]:
    """(scores of mahalanobis, knn, mahalanobis_best and knn_best, {detector: the layer
    and k chosen}, AUCs of every layer and k), for one query set.

    mahalanobis and knn are from the layer (and k) with the highest swapped_auc
    (detectors.swapped_auc), which uses no training label's truth; mahalanobis_best and
    knn_best from the one with the highest AUC, as the paper chooses it: they are told
    which labels are wrong.

    rows: {layer, swapped_auc: {detector: AUC}, scores: {detector: [N]}} of each layer;
    counts: which of all labels count; wrong: [n] which of these are wrong.
    """
    sweep, scores = [], {}
    for row in rows:
        for name, values in row["scores"].items():
            counted = values[counts]
            metrics = detection(counted, wrong)
            assert metrics is not None
            place = f"{name}, layer {row['layer']}"
            scores[place] = counted
            sweep.append(
                {
                    "detector": name,
                    "layer": row["layer"],
                    "swapped_auc": row["swapped_auc"][name],
                    "auc": metrics["auc"],
                    "place": place,
                }
            )
    chosen: Scores = {}
    places: dict[str, str] = {}
    for kind in ("mahalanobis", "knn"):
        candidates = [row for row in sweep if row["detector"].startswith(kind)]
        for name, by in ((kind, "swapped_auc"), (f"{kind}_best", "auc")):
            best = max(candidates, key=lambda row: row[by])
            places[name], chosen[name] = best["place"], scores[best["place"]]
    return chosen, places, sweep
