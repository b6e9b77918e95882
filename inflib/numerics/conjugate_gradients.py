"""Vectors v and products with H to (H + lambda I)^-1 v, for many v and lambda at once.

    k  entries of a sketch     q  vectors     l  values of lambda

Conjugate gradients that start from zero build the same Krylov space for every lambda,
so one product with H per step serves all of them: the system of the smallest lambda is
iterated, the others follow by scalars (Frommer & Maass, "Fast CG-based methods for
Tikhonov-Phillips regularization", SIAM J. Sci. Comput. 20, 1999, section 2). H is
positive semidefinite; it is only ever seen through its products. A preconditioner would
need a space per lambda, so a sweep of l values would cost up to l times the products.
"""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass
class State:
    """State of the iteration after `steps` products with H; float64 throughout."""

    lambdas: Float[Tensor, " l"]
    """Ascending; the system of the first one is iterated."""

    solutions: Float[Tensor, "l k q"]
    """The approximation x of (H + lambda I)^-1 v so far, for each lambda."""

    directions: Float[Tensor, "l k q"]
    """Search direction of the next step, for each lambda."""

    residual: Float[Tensor, "k q"]
    """v - (H + lambda I) x for the smallest lambda."""

    zetas: Float[Tensor, "l q"]
    """The residual for another lambda is zeta times that for the smallest one."""

    last_zetas: Float[Tensor, "l q"]
    """The zetas one step earlier."""

    step_length: Float[Tensor, " q"]
    last_beta: Float[Tensor, " q"]
    """alpha and beta of the last step for the smallest lambda."""

    norms: Float[Tensor, " q"]
    """|v|."""

    steps: int = 0

    @property
    def vectors(self) -> Float[Tensor, "k q"]:
        """The vectors that H must be multiplied with for the next step."""
        return self.directions[0]

    def residuals(self) -> Float[Tensor, "l q"]:
        """|v - (H + lambda I) x| / |v| by the recurrence; 0 for v = 0."""
        norms = torch.where(self.norms > 0, self.norms, 1.0)
        return self.zetas.abs() * self.residual.norm(dim=0) / norms

    def tensors(self) -> dict[str, Tensor]:
        """All fields but `steps`, to be stored; `State(steps=n, **tensors)` goes on."""
        names = [f.name for f in fields(self) if f.name != "steps"]
        return {name: getattr(self, name) for name in names}


def start(vectors: Float[Tensor, "k q"], lambdas: list[float]) -> State:
    """State before the first product with H; lambdas: positive, in any order."""
    ascending = torch.tensor(sorted(lambdas), dtype=torch.float64)
    vectors = vectors.double()
    shape = (len(ascending), *vectors.shape)
    ones = torch.ones(len(ascending), vectors.shape[1], dtype=torch.float64)
    return State(
        lambdas=ascending,
        solutions=torch.zeros(shape, dtype=torch.float64),
        directions=vectors.expand(shape).clone(),
        residual=vectors.clone(),
        zetas=ones,
        last_zetas=ones.clone(),
        step_length=ones[0].clone(),
        last_beta=torch.zeros_like(ones[0]),
        norms=vectors.norm(dim=0),
    )


def advance(state: State, products: Float[Tensor, "k q"]) -> None:
    """Take one step, in place. products: H times `state.vectors`."""
    direction, residual = state.directions[0], state.residual
    products = products + state.lambdas[0] * direction
    square = residual.square().sum(0)
    curvature = (direction * products).sum(0)
    active = (square > 0) & (curvature > 0)  # a solved vector stays as it is
    alpha = torch.where(active, square / torch.where(active, curvature, 1.0), 0.0)
    residual = residual - alpha * products
    new_square = residual.square().sum(0)
    beta = torch.where(active, new_square / square.clamp(min=1e-300), 0.0)
    zetas = _next_zetas(state, alpha)
    ratio = torch.where(state.zetas != 0, zetas / _nonzero(state.zetas), 0.0)
    state.solutions += (alpha * ratio)[:, None] * state.directions
    state.directions *= (beta * ratio.square())[:, None]
    state.directions += zetas[:, None] * residual
    state.residual = residual
    state.last_zetas, state.zetas = state.zetas, zetas
    state.step_length = torch.where(active, alpha, state.step_length)
    state.last_beta = beta
    state.steps += 1


def _next_zetas(state: State, alpha: Float[Tensor, " q"]) -> Float[Tensor, "l q"]:
    """Zetas after a step of length alpha; unchanged where the step is 0."""
    shift = (state.lambdas - state.lambdas[0])[:, None]
    now, last, length = state.zetas, state.last_zetas, state.step_length
    denominator = alpha * state.last_beta * (last - now)
    denominator = denominator + last * length * (1 + shift * alpha)
    zetas = now * last * length / _nonzero(denominator)
    return torch.where((denominator != 0) & (alpha > 0), zetas, now)


def _nonzero(values: Tensor) -> Tensor:
    return torch.where(values != 0, values, 1.0)
