"""Inner products of margin gradients to influence by every estimator, with dense
matrices: for some thousand labels, whatever the length of a gradient.

    n  training labels     q  query labels     N  n + q, training labels first

s is the gradient of the margin m = r(chosen) - r(rejected) of a label, d and h are the
first and second derivative of its loss in m, for its weight (numerics.preference_loss),
g = d s. An effect of training label i on query label j is, to first order, how much
m_j rises if the loss of i counts once more in the sum over labels:

    -d_i s_j' A s_i / n,   A = (H + lambda I)^-1 or what the estimator takes for it.

All A are of the form (sum_k a_k s_k s_k' + lambda I)^-1, so inner products suffice:
Woodbury's identity in `damped_products` (Golub & Van Loan, "Matrix Computations",
section 2.1.4).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Effects = Float[np.ndarray, "n q"]


@dataclass(frozen=True)
class LabelProducts:
    """Training and query labels, as far as influence depends on them; all float64."""

    products: Float[np.ndarray, "N N"]
    """s . s' of each two labels."""

    derivatives: Float[np.ndarray, " n"]
    """d of the training labels."""

    curvatures: Float[np.ndarray, " n"]
    """h of the training labels."""

    @property
    def n(self) -> int:
        """Number of training labels."""
        return len(self.derivatives)

    @property
    def cross(self) -> Effects:
        """s_i . s_j of training and query labels."""
        return self.products[: self.n, self.n :]

    @property
    def sq_norms(self) -> Float[np.ndarray, " N"]:
        """|s|^2 of every label."""
        return self.products.diagonal()

    def weights(self, terms: Float[np.ndarray, " n"]) -> Float[np.ndarray, " N"]:
        """a of `damped_products` for a mean over the training labels of terms s s'."""
        queries = len(self.products) - self.n
        return np.concatenate([terms / self.n, np.zeros(queries)])

    def effects(self, aligned: Effects) -> Effects:
        """Effects by s_i' A s_j."""
        return -self.derivatives[:, None] * aligned / self.n


def damped_products(
    products: Float[np.ndarray, "N N"],
    weights: Float[np.ndarray, " N"],
    lam: float,
) -> Float[np.ndarray, "N N"]:
    """s' (sum_k a_k s_k s_k' + lambda I)^-1 t of each two labels.

    products: s . t; weights: a_k >= 0; lam: lambda > 0.
    """
    return _inverted(products, weights, lam, products)


def _inverted(
    products: Float[np.ndarray, "N N"],
    weights: Float[np.ndarray, " N"],
    lam: float,
    columns: Float[np.ndarray, "N c"],
) -> Float[np.ndarray, "N c"]:
    """s' (sum_k a_k s_k s_k' + lambda I)^-1 x of each label and vector x, of which
    columns are s' x; the rest as in `damped_products`."""
    used = weights > 0
    roots = np.sqrt(weights[used])
    rows = roots[:, None] * products[used]
    inner = rows[:, used] * roots + lam * np.eye(len(roots))
    solved = np.linalg.solve(inner, roots[:, None] * columns[used])
    return (columns - rows.T @ solved) / lam


def plain(labels: LabelProducts) -> Effects:
    """A = I: the dot product of gradients."""
    return labels.effects(labels.cross)


def gauss_newton(labels: LabelProducts, damping: float) -> Effects:
    """H = 1/n sum h s s', lambda = damping * trace(H) (numerics.curvature)."""
    return labels.effects(_solved(labels, labels.curvatures, damping)[0])


def empirical_fisher(labels: LabelProducts, damping: float) -> Effects:
    """H = 1/n sum g g', lambda = damping * trace(H)."""
    return labels.effects(_solved(labels, labels.derivatives**2, damping)[0])


def datainf(labels: LabelProducts, scale: float, num_parameters: int) -> Effects:
    """DataInf (Kwon et al., ICLR 2024, Eq. (5)); lambda = scale * mean |g|^2 / D."""
    squares = labels.derivatives**2 * labels.sq_norms[: labels.n]
    lam = scale * squares.mean() / num_parameters
    coefficients = labels.derivatives**2 / (lam + squares)
    train = labels.products[: labels.n, : labels.n]
    aligned = labels.cross - train @ (coefficients[:, None] * labels.cross) / labels.n
    return labels.effects(aligned / lam)


def leverages(labels: LabelProducts, damping: float) -> Float[np.ndarray, " n"]:
    """h s' (H + lambda I)^-1 s / n of each training label, in [0, 1): how much of its
    own margin's curvature is the label's own."""
    return _leverages(labels, _solved(labels, labels.curvatures, damping)[1])


def leverage_corrected(labels: LabelProducts, damping: float) -> Effects:
    """Gauss-Newton's effects over 1 - leverage: of leaving a label out, whose own term
    is then missing in H as well (rescaled influence, arXiv:2506.06656; for least
    squares, Cook, Technometrics 1977)."""
    aligned, products = _solved(labels, labels.curvatures, damping)
    return labels.effects(aligned) / (1 - _leverages(labels, products))[:, None]


def relative(labels: LabelProducts, damping: float) -> Effects:
    """Gauss-Newton's effects over the root of self-influence g' (H + lambda I)^-1 g
    (Barshan et al., "RelatIF", AISTATS 2020, arXiv:2003.11630, Eq. (8))."""
    aligned, products = _solved(labels, labels.curvatures, damping)
    own = np.sqrt(products.diagonal()[: labels.n])
    return -np.sign(labels.derivatives)[:, None] * aligned / own[:, None] / labels.n


def cosine(labels: LabelProducts) -> Effects:
    """Cosines of gradients (gradient aligned similarity, Hammoudeh & Lowd, CCS 2022,
    arXiv:2201.10055)."""
    norms = np.sqrt(labels.sq_norms)
    cosines = labels.cross / norms[: labels.n, None] / norms[labels.n :]
    return -np.sign(labels.derivatives)[:, None] * cosines / labels.n


def unit_length(labels: LabelProducts, damping: float) -> Effects:
    """Gauss-Newton with the margin gradients of training labels scaled to length 1,
    their derivatives as they are."""
    norms = np.sqrt(labels.sq_norms)
    norms[labels.n :] = 1.0
    scaled = labels.products / norms[:, None] / norms
    unit = LabelProducts(scaled, labels.derivatives, labels.curvatures)
    return gauss_newton(unit, damping)


def mixed_moments(labels: LabelProducts, damping: float, query_share: float) -> Effects:
    """Cosines of gradients after whitening by the second moments of training and query
    gradients, mixed (Chang et al., "TrackStar", arXiv:2410.17413, section 3).

    query_share: weight of the query labels' second moment, the rest is the training
    labels'; both are scaled to trace 1.
    """
    terms = np.ones(len(labels.products))
    for part, share in (
        (slice(0, labels.n), 1 - query_share),
        (slice(labels.n, None), query_share),
    ):
        terms[part] = share / labels.sq_norms[part].sum()
    products = damped_products(labels.products, terms, damping)
    norms = np.sqrt(products.diagonal())
    cosines = products[: labels.n, labels.n :] / norms[: labels.n, None]
    return -np.sign(labels.derivatives)[:, None] * cosines / norms[labels.n :]


def newton_step(
    labels: LabelProducts,
    kept: Float[np.ndarray, "m n"],
    pulls: Float[np.ndarray, "m n"],
    damping: float,
) -> Float[np.ndarray, "m q"]:
    """How much the query margins change by one Newton step from the trained model on
    some of the labels alone, for each choice of labels.

    kept: weight of each label, 0 for one that is left out; pulls: factor of its
    derivative d, the weight but for labels that are turned round. Unlike a sum of
    effects, it knows that the labels that are left take over (Woodbury's identity for a
    group; Koh et al., "On the accuracy of influence functions for measuring group
    effects", NeurIPS 2019, arXiv:1905.13289). damping: as for gauss_newton, of all
    labels' H.
    """
    lam = damping * trace(labels, labels.curvatures)
    queries, steps = slice(labels.n, None), []
    for weights, factors in zip(kept, pulls / kept.sum(1, keepdims=True), strict=True):
        share = weights / weights.sum()
        terms = labels.weights(share * labels.n * labels.curvatures)
        gradient = labels.products[:, : labels.n] @ (factors * labels.derivatives)
        step = _inverted(labels.products, terms, lam, gradient[:, None])
        steps.append(-step[queries, 0])
    return np.stack(steps)


def _solved(
    labels: LabelProducts, terms: Float[np.ndarray, " n"], damping: float
) -> tuple[Effects, Float[np.ndarray, "N N"]]:
    """(s_i' A s_j of training and query labels, the same of all labels) for H = 1/n sum
    terms s s'."""
    lam = damping * trace(labels, terms)
    products = damped_products(labels.products, labels.weights(terms), lam)
    return products[: labels.n, labels.n :], products


def _leverages(
    labels: LabelProducts, products: Float[np.ndarray, "N N"]
) -> Float[np.ndarray, " n"]:
    """`leverages`, products being s' (H + lambda I)^-1 s of each two labels."""
    return labels.curvatures * products.diagonal()[: labels.n] / labels.n


def trace(labels: LabelProducts, terms: Float[np.ndarray, " n"]) -> float:
    """Trace of H = 1/n sum terms s s'."""
    return float((terms * labels.sq_norms[: labels.n]).mean())
