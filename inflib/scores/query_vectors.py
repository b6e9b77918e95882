"""Query sets to query vectors: mean gradients of the query loss, by query group.

A mean over a query set gives each label its weight.

k  entries of a sketch     q  query sets     g  query groups
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from inflib.config.score import ScoreConfig
from inflib.scores.passes import Passes


@dataclass(frozen=True)
class QueryVectors:
    """Query vectors of some query sets, each cut into shares of its query groups."""

    names: list[str]
    """The query sets."""

    vectors: Float[Tensor, "q k g"]
    """What each query group adds to the query vector, which is their sum."""

    shares: Float[Tensor, "q g"]
    """Share of the query set's labels, by weight, in each query group."""


def read_queries(config: ScoreConfig, names: list[str], passes: Passes) -> QueryVectors:
    """Query vectors of the named query sets, by a pass over each.

    Raises ValueError naming a query set in which no label counts.
    """
    sums = {
        name: passes.query_sums(name, config.query_groups, config.query_loss)
        for name in names
    }
    for name, by_group in sums.items():
        if not by_group.counts.sum():
            raise ValueError(
                f"no label of {name} with a weight has a finite, non-zero gradient"
            )
    return QueryVectors(
        names,
        torch.stack([s.vectors / s.counts.sum() for s in sums.values()]),
        torch.stack([s.counts / s.counts.sum() for s in sums.values()]),
    )
