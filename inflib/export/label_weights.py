"""Influence and its standard error to a weight for each label.

    w_i = P(influence_i <= 0) = Phi(-influence_i / error_i)

the probability that the label does not harm the query set, given its estimate and the
standard error of that: 1 for a label that surely helps, 0 for one that surely harms,
0.5 where nothing can be said. The model's own doubt, and what the sketch cannot see,
are not in it.
"""

import numpy as np
from scipy.stats import norm

from inflib.audited_run import AuditedRun
from inflib.data.output_columns import ERROR, INFLUENCE, WEIGHT


def label_weights(run: AuditedRun, query: str) -> np.ndarray:
    """[n] the weights of the run's labels, times the weights that they have; as they
    are for labels without a score."""
    table, score = run.labels, run.score(query)
    influence = table[INFLUENCE.of(score)].to_numpy(zero_copy_only=False)
    error = table[ERROR.of(score)].to_numpy(zero_copy_only=False)
    known = np.isfinite(influence) & np.isfinite(error)
    scale = np.where(known & (error > 0), error, 1.0)
    harmless = norm.cdf(-np.where(known, influence, 0.0) / scale)
    certain = np.where(influence > 0, 0.0, 1.0)  # an error of 0
    harmless = np.where(known & (error == 0) & (influence != 0), certain, harmless)
    own = table[WEIGHT.name].to_numpy()
    return np.where(known, harmless, 1.0) * own
