"""The largest terms of H, as stored, to an approximation of (H + lambda I)^-1.

    k  entries of a sketch     m  terms     q  vectors

H = 1/n sum_i c_i s_i s_i'. Of m of its terms this is the exact inverse, by Woodbury's
identity (Golub & Van Loan, "Matrix Computations", section 2.1.4); the rest of H is
taken for a multiple of I with the same trace. Norms of gradients spread over orders of
magnitude, so a few terms are most of what makes H hard to solve with; their sizes
c_i |s_i|^2 are stored, so they are found without a pass over the sketches.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from inflib.numerics import quantized_products
from inflib.numerics.conjugate_gradients import Product
from inflib.numerics.quantized_products import Payload, Vectors

_FLOOR = 1e-4
"""Least lambda, relative to the Frobenius norm of the terms, that is used in place of a
smaller one: what Woodbury's identity subtracts from 1 / lambda is rounded to some 15
bits (numerics.quantized_products). It costs steps, never exactness."""


@dataclass(frozen=True)
class Terms:
    """Terms c s s' of H, with sketches as they are stored."""

    payload: Payload
    scales: Float[Tensor, " m"]
    weights: Float[Tensor, " m"]
    """c / n, positive."""

    @staticmethod
    def joined(parts: Iterable["Terms"]) -> "Terms":
        """The terms of all parts, one at least."""
        parts = list(parts)
        return Terms(
            np.concatenate([part.payload for part in parts]),
            torch.cat([part.scales for part in parts]),
            torch.cat([part.weights for part in parts]),
        )


class Preconditioner:
    """Products with an approximation of (H + lambda I)^-1, for any lambda."""

    def __init__(self, terms: Terms, trace: float) -> None:
        """trace: of all of H."""
        self._terms = terms
        self._roots = terms.weights.sqrt()[:, None]
        gram = quantized_products.gram(terms.payload, terms.scales)
        self._gram = self._roots * gram * self._roots.T
        rest = max(0.0, trace - float(self._gram.trace()))
        self._rest = rest / terms.payload.shape[1]

    def __call__(self, lam: float) -> Product:
        """The product for one lambda."""
        lam = max(lam + self._rest, _FLOOR * float(self._gram.norm()))
        eye = torch.eye(len(self._gram), dtype=torch.float64)
        factor = torch.linalg.cholesky(self._gram + lam * eye)
        terms = self._terms

        def multiply(vectors: Float[Tensor, "k q"]) -> Float[Tensor, "k q"]:
            aligned = quantized_products.times(
                terms.payload, terms.scales, Vectors(vectors)
            )
            solved = self._roots * torch.cholesky_solve(self._roots * aligned, factor)
            inside = quantized_products.combine(terms.payload, terms.scales, solved)
            return (vectors - inside) / lam

        return multiply


def unconditioned(lam: float) -> Product:
    """The preconditioner without any term: lambda has no effect."""
    return lambda vectors: vectors
