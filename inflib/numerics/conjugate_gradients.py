"""Vectors v and products with H to (H + lambda I)^-1 v, for many v and some lambdas.

    k  entries of a sketch     q  vectors     l  values of lambda

Preconditioned conjugate gradients (Golub & Van Loan, "Matrix Computations", section
11.5.2), one lambda after the other, from the largest to the smallest: each starts from
the solution of the one before. H is positive semidefinite; it is only ever seen through
its products, of which each step takes one. beta is that of Polak and Ribiere, which
does not need a preconditioner that is exactly symmetric.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor

Product = Callable[[Float[Tensor, "k q"]], Float[Tensor, "k q"]]


@dataclass
class State:
    """State of the iteration after `steps` products with H; float64 throughout."""

    lambdas: Float[Tensor, " l"]
    """Ascending; solved from the last to the first."""

    solutions: Float[Tensor, "l k q"]
    """The approximation x of (H + lambda I)^-1 v so far, for each lambda; 0 for those
    that are not begun."""

    residuals: Float[Tensor, "l q"]
    """|v - (H + lambda I) x| / |v|, by the recurrence or `measure`; 0 for v = 0."""

    residual: Float[Tensor, "k q"]
    """v - (H + lambda I) x for the lambda that is iterated."""

    directions: Float[Tensor, "k q"]
    """Search direction of its next step."""

    squares: Float[Tensor, " q"]
    """residual . P residual, P being the preconditioner."""

    norms: Float[Tensor, " q"]
    """|v|."""

    place: int
    """Which lambda is iterated."""

    steps: int = 0
    """Products with H so far, for all lambdas."""

    steps_here: int = 0
    """The same, for the one that is iterated."""

    def tensors(self) -> dict[str, Tensor]:
        """All fields, to be stored."""
        return {f.name: torch.as_tensor(getattr(self, f.name)) for f in fields(self)}

    @staticmethod
    def of(tensors: dict[str, Tensor]) -> "State":
        """The state that was stored."""
        counts = {name: int(tensors[name]) for name in ("place", "steps", "steps_here")}
        return State(**(tensors | counts))  # type: ignore[arg-type]


def start(vectors: Float[Tensor, "k q"], lambdas: list[float]) -> State:
    """State before the first product with H; lambdas: positive, in any order."""
    ascending = torch.tensor(sorted(lambdas), dtype=torch.float64)
    vectors = vectors.double()
    norms = vectors.norm(dim=0)
    return State(
        lambdas=ascending,
        solutions=torch.zeros(len(ascending), *vectors.shape, dtype=torch.float64),
        residuals=(norms > 0).double().expand(len(ascending), -1).clone(),
        residual=vectors.clone(),
        directions=torch.zeros_like(vectors),
        squares=torch.zeros_like(norms),
        norms=norms,
        place=len(ascending) - 1,
    )


def solve(
    state: State,
    multiply: Product,
    preconditioner: Callable[[float], Product],
    tolerance: float,
    max_steps: int,
    counted: int,
    stepped: Callable[[], None],
) -> None:
    """Go on until the first `counted` vectors are solved for every lambda, in place.

    multiply: by H; preconditioner: from lambda to the product with an approximation of
    (H + lambda I)^-1; tolerance: largest residual, relative to the vector; max_steps:
    at most so many for each lambda; stepped: is called after every step.
    """
    while True:
        inverse = preconditioner(float(state.lambdas[state.place]))
        if state.steps_here == 0:
            _turn(state, inverse(state.residual), torch.zeros_like(state.norms))
        while (
            float(state.residuals[state.place, :counted].max()) > tolerance
            and state.steps_here < max_steps
        ):
            _step(state, multiply(state.directions), inverse)
            stepped()
        if state.place == 0:
            return
        _next_lambda(state)


def measure(state: State, vectors: Float[Tensor, "k q"], multiply: Product) -> None:
    """Take the residual of the smallest lambda by its definition, in place.

    vectors: v, as `start` had them. The recurrence takes all products as exact.
    """
    solution = state.solutions[0]
    products = multiply(solution) + state.lambdas[0] * solution
    state.residual = vectors.double() - products
    _measure(state)


def _step(state: State, products: Float[Tensor, "k q"], inverse: Product) -> None:
    """One step. products: H times the directions."""
    products = products + state.lambdas[state.place] * state.directions
    curvature = (state.directions * products).sum(0)
    active = (state.squares > 0) & (curvature > 0)  # a solved vector stays as it is
    alpha = torch.where(active, state.squares / torch.where(active, curvature, 1.0), 0)
    state.solutions[state.place] += alpha * state.directions
    before = state.residual
    state.residual = before - alpha * products
    conditioned = inverse(state.residual)
    change = ((state.residual - before) * conditioned).sum(0)
    beta = torch.where(active, change / torch.where(active, state.squares, 1.0), 0)
    _turn(state, conditioned, beta.clamp(min=0))
    _measure(state)
    state.steps += 1
    state.steps_here += 1


def _turn(
    state: State, conditioned: Float[Tensor, "k q"], beta: Float[Tensor, " q"]
) -> None:
    """The direction of the next step. conditioned: the preconditioned residual."""
    state.squares = (state.residual * conditioned).sum(0)
    state.directions = conditioned + beta * state.directions


def _next_lambda(state: State) -> None:
    """Begin with the next smaller lambda, from the solution of this one."""
    solution, last = state.solutions[state.place], state.lambdas[state.place]
    state.place -= 1
    state.solutions[state.place] = solution
    state.residual = state.residual + (last - state.lambdas[state.place]) * solution
    state.steps_here = 0
    _measure(state)


def _measure(state: State) -> None:
    norms = torch.where(state.norms > 0, state.norms, 1.0)
    state.residuals[state.place] = state.residual.norm(dim=0) / norms
