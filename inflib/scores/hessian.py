"""Passes over the sketches to (H + lambda I)^-1 v, by conjugate gradients.

    k  entries of a sketch     q  vectors     p  random probes

H is that of the training labels, of a curvature that is solved by iteration:
gauss_newton or empirical_fisher.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from inflib.config.score import Curvature, ScoreConfig
from inflib.numerics import conjugate_gradients
from inflib.numerics.conjugate_gradients import Product
from inflib.numerics.largest_terms import Preconditioner, unconditioned
from inflib.scores.checkpoint import Checkpoint
from inflib.scores.passes import Passes
from inflib.scores.sums import Moments
from inflib.telemetry import warning

_MEASURED_BELOW = 1e-3
"""Damping below which the residual is measured, by one more product: those of int8 rows
are of vectors rounded to 15 bits, which the iteration does not see."""


class Hessian:
    """Products with inverses of the damped H of a run."""

    def __init__(
        self,
        config: ScoreConfig,
        passes: Passes,
        moments: Moments,
        on_step: Callable[[str], None],
    ) -> None:
        """moments: of the training labels; on_step: see Solver."""
        self.config, self.passes, self.on_step = config, passes, on_step
        self._moments = moments
        self._preconditioners: dict[Curvature, Callable[[float], Product]] = {}

    def trace(self, kind: Curvature) -> float:
        """Trace of H, without damping."""
        squares = float(self._moments.squares.sum())
        trace = self._moments.hessian_trace if kind == "gauss_newton" else squares
        return trace / self._moments.num_labels

    def solve(
        self,
        kind: Curvature,
        vectors: Float[Tensor, "k q"],
        dampings: tuple[float, ...],
        checkpoint: Checkpoint | None = None,
        probes: Float[Tensor, "k p"] | None = None,
    ) -> conjugate_gradients.State:
        """Conjugate gradients until every vector's residual is at most the tolerance.

        Warns when score.max_steps comes first. dampings: relative to the trace of H;
        probes: more vectors, behind the others in the state, whose residuals do not
        count.
        """
        trace, config, count = self.trace(kind), self.config, vectors.shape[1]
        if probes is not None:
            vectors = torch.cat([vectors, probes], dim=1)
        state = checkpoint and checkpoint.read()
        state = state or conjugate_gradients.start(
            vectors, [d * trace for d in dampings]
        )

        def multiply(directions: Float[Tensor, "k q"]) -> Float[Tensor, "k q"]:
            residual = float(state.residuals[state.place, :count].max())
            damping = float(state.lambdas[state.place]) / trace
            self.on_step(
                f"{kind}, damping {damping:.2g}, step {state.steps_here + 1}, "
                f"residual {residual:.2g}"
            )
            products = self.passes.products(kind, directions, [])
            return products / self._moments.num_labels

        conjugate_gradients.solve(
            state,
            multiply,
            self._preconditioner(kind),
            config.tolerance,
            config.max_steps,
            count,
            lambda: checkpoint.write(state) if checkpoint else None,
        )
        iterated = float(state.residuals[0, :count].max())
        if float(state.lambdas[0]) < _MEASURED_BELOW * trace:
            conjugate_gradients.measure(state, vectors, multiply)
        residual, place = state.residuals[:, :count].amax(1).max(0)
        if not residual <= config.tolerance:  # NaN, too
            rounded = place == 0 and iterated <= config.tolerance
            after = f"after {config.max_steps} steps"
            what = "as products are rounded" if rounded else after
            warning(
                f"{kind}: damping {float(state.lambdas[place]) / trace:.2g} has a "
                f"residual of {residual:.2g} {what}, not {config.tolerance:g}; leave "
                f"out small dampings{'' if rounded else ', or raise score.max_steps'}"
            )
        return state

    def _preconditioner(self, kind: Curvature) -> Callable[[float], Product]:
        """From lambda to an approximation of (H + lambda I)^-1."""
        if kind not in self._preconditioners:
            most, terms = self.config.exact_terms, None
            if most:
                self.on_step(f"{kind}, the {most} largest terms of H")
                terms = self.passes.largest_terms(kind, most)
            made: Callable[[float], Product] = unconditioned
            if terms is not None:
                weights = terms.weights / self._moments.num_labels
                made = Preconditioner(replace(terms, weights=weights), self.trace(kind))
            self._preconditioners[kind] = made
        return self._preconditioners[kind]
