"""Query vectors: mean gradients of the query loss, as shares of query groups.

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
    """Query vectors, as shares of the query groups."""

    names: list[str]
    vectors: Float[Tensor, "q k g"]
    shares: Float[Tensor, "q g"]


def read_queries(config: ScoreConfig, names: list[str], passes: Passes) -> QueryVectors:
    """Raises ValueError naming a query set in which no label counts."""
    sums = {
        name: passes.query_sums(name, config.query_groups, config.query_loss)
        for name in names
    }
    for name, each in sums.items():
        if not each.counts.sum():
            raise ValueError(f"no label of {name} has a finite, non-zero gradient")
    return QueryVectors(
        names,
        torch.stack([each.vectors / each.counts.sum() for each in sums.values()]),
        torch.stack([each.counts / each.counts.sum() for each in sums.values()]),
    )
