"""What the engine asks of a store, whoever reads it."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from inflib.config.score import Kind, QueryLoss
from inflib.data.pairs_folder import Shard
from inflib.scores.sums import GroupSums, Moments


@runtime_checkable
class Passes(Protocol):
    """Passes over the sketches of a run; of the training labels if not said."""

    def moments(self) -> Moments:
        """inflib.scores.sums.moments over all shards."""

    def query_sums(self, query: str, num_groups: int, loss: QueryLoss) -> GroupSums:
        """inflib.scores.sums.query_sums over all shards of a query set."""

    def products(
        self, kind: Kind, vectors: Float[Tensor, "k q"], lambdas: list[float]
    ) -> Float[Tensor, "k q"]:
        """inflib.scores.sums.curvature_products over all shards."""

    def noise(self, kind: Kind, num_probes: int) -> Float[Tensor, "k p"]:
        """inflib.scores.sums.noise_sums over all shards."""

    def sample(self, vectors: Float[Tensor, "k q"]) -> Float[Tensor, "n q"]:
        """inflib.scores.sums.alignments over `damping.sample_shards`."""

    def sample_sizes(self, kind: Kind) -> Float[Tensor, "n 2"]:
        """inflib.scores.sums.sizes over the same."""

    def say(self, text: str) -> None:
        """Where the work stands."""


_SAMPLE = 4096
"""Labels whose ranks are compared, at least (if there are as many)."""


def sample_shards(plan: list[Shard]) -> list[Shard]:
    """Evenly spaced shards with enough labels for rank correlations."""
    labels = sum(shard.num_labels for shard in plan)
    return plan[:: max(1, labels // _SAMPLE)]
