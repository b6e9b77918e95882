"""What the engine asks of a store, whoever reads it."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from inflib.config_score import Kind, QueryLoss
from inflib.scoring import GroupSums, Moments


@runtime_checkable
class Passes(Protocol):
    """Passes over the sketches of a run; of the training labels if not said."""

    def moments(self) -> Moments:
        """inflib.scoring.moments over all shards."""

    def query_sums(self, query: str, num_groups: int, loss: QueryLoss) -> GroupSums:
        """inflib.scoring.query_sums over all shards of a query set."""

    def products(
        self, kind: Kind, vectors: Float[Tensor, "k q"], lambdas: list[float]
    ) -> Float[Tensor, "k q"]:
        """inflib.scoring.curvature_products over all shards."""

    def noise(self, kind: Kind, num_probes: int) -> Float[Tensor, "k p"]:
        """inflib.scoring.noise_sums over all shards."""

    def sample(self, vectors: Float[Tensor, "k q"]) -> Float[Tensor, "n q"]:
        """inflib.scoring.alignments over `damping.sample_shards`."""

    def sample_sizes(self, kind: Kind) -> Float[Tensor, "n 2"]:
        """inflib.scoring.sizes over the same."""

    def say(self, text: str) -> None:
        """Where the work stands."""
