"""(H + lambda I)^-1 v for many vectors and many lambdas at once. Pure tensor math.

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
class Solution:
    """State of the iteration after `steps` products with H; float64 throughout."""

    lambdas: Float[Tensor, " l"]
    """Ascending; the first one is iterated."""

    solutions: Float[Tensor, "l k q"]
    directions: Float[Tensor, "l k q"]
    residual: Float[Tensor, "k q"]
    """v - (H + lambda I) x of the smallest lambda."""

    zetas: Float[Tensor, "l q"]
    """The residual of another lambda is zeta times that of the smallest one."""

    last_zetas: Float[Tensor, "l q"]
    step_length: Float[Tensor, " q"]
    last_beta: Float[Tensor, " q"]
    norms: Float[Tensor, " q"]
    """|v|."""

    steps: int = 0

    @property
    def vectors(self) -> Float[Tensor, "k q"]:
        """What H is to be multiplied with next."""
        return self.directions[0]

    def residuals(self) -> Float[Tensor, "l q"]:
        """|v - (H + lambda I) x| / |v|, as the recurrence says; 0 for v = 0."""
        norms = torch.where(self.norms > 0, self.norms, 1.0)
        return self.zetas.abs() * self.residual.norm(dim=0) / norms

    def tensors(self) -> dict[str, Tensor]:
        """The state, to be stored; `Solution(steps=n, **tensors)` goes on."""
        names = [f.name for f in fields(self) if f.name != "steps"]
        return {name: getattr(self, name) for name in names}


def start(vectors: Float[Tensor, "k q"], lambdas: list[float]) -> Solution:
    """State before the first product. lambdas: positive, in any order."""
    ordered = torch.tensor(sorted(lambdas), dtype=torch.float64)
    vectors = vectors.double()
    shape = (len(ordered), *vectors.shape)
    ones = torch.ones(len(ordered), vectors.shape[1], dtype=torch.float64)
    return Solution(
        ordered,
        torch.zeros(shape, dtype=torch.float64),
        vectors.expand(shape).clone(),
        vectors.clone(),
        ones,
        ones.clone(),
        ones[0].clone(),
        torch.zeros_like(ones[0]),
        vectors.norm(dim=0),
    )


def advance(state: Solution, products: Float[Tensor, "k q"]) -> None:
    """One step in place, given H times `state.vectors`."""
    direction, residual = state.directions[0], state.residual
    products = products + state.lambdas[0] * direction
    square = residual.square().sum(0)
    curvature = (direction * products).sum(0)
    going = (square > 0) & (curvature > 0)  # a solved vector stays as it is
    alpha = torch.where(going, square / torch.where(going, curvature, 1.0), 0.0)
    residual = residual - alpha * products
    beta = torch.where(going, residual.square().sum(0) / square.clamp(min=1e-300), 0.0)
    zetas = _next_zetas(state, alpha)
    ratio = torch.where(state.zetas != 0, zetas / _nonzero(state.zetas), 0.0)
    state.solutions += (alpha * ratio)[:, None] * state.directions
    state.directions *= (beta * ratio.square())[:, None]
    state.directions += zetas[:, None] * residual
    state.residual = residual
    state.last_zetas, state.zetas = state.zetas, zetas
    state.step_length = torch.where(going, alpha, state.step_length)
    state.last_beta = beta
    state.steps += 1


def _next_zetas(state: Solution, alpha: Float[Tensor, " q"]) -> Float[Tensor, "l q"]:
    shift = (state.lambdas - state.lambdas[0])[:, None]
    now, last, length = state.zetas, state.last_zetas, state.step_length
    below = alpha * state.last_beta * (last - now) + last * length * (1 + shift * alpha)
    zetas = now * last * length / _nonzero(below)
    return torch.where((below != 0) & (alpha > 0), zetas, now)


def _nonzero(values: Tensor) -> Tensor:
    return torch.where(values != 0, values, 1.0)
