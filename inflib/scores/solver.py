"""Query vectors v and passes over the sketches to H^-1 v, which labels are scored with.

    k  entries of a sketch     q  query sets     g  query groups     l  lambdas
    n  labels     p  random probes

The sketches are read by the passes alone (scores.passes; in ray_jobs/score.py they run
as Ray tasks). Everything here is a pure function of their results, so a solver that is
started again ends with the same bits.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from inflib.config.score import ITERATIVE, Curvature, ScoreConfig
from inflib.numerics import conjugate_gradients, curvature
from inflib.numerics.damping import choose, of_training
from inflib.numerics.layer_bins import Layer
from inflib.scores.checkpoint import Checkpoint
from inflib.scores.hessian import Hessian
from inflib.scores.passes import Passes
from inflib.scores.query_vectors import QueryVectors
from inflib.scores.score_record import CurvatureRecord
from inflib.scores.score_table import DampedRatio, ScoreVectors
from inflib.sketches.manifest import Manifest

_ERROR_PROBES = 4
"""Random vectors by which the scale of the sketch's errors is estimated: few are
enough, since the mean is also over some thousand labels."""


class Solver:
    """Products of H^-1 with vectors, H being that of a run's training labels."""

    def __init__(
        self,
        config: ScoreConfig,
        layers: list[Layer],
        passes: Passes,
        on_step: Callable[[str], None] = lambda text: None,
    ) -> None:
        """on_step: is called with a line that says what is computed next.

        Makes a first pass. Raises ValueError when no training label counts.
        """
        self.config, self.layers, self.passes = config, layers, passes
        self.on_step = on_step
        rates = Manifest(passes.run).learning_rate_sum
        self._of_training = rates and of_training(rates)
        self.train = passes.moments()
        if not self.train.num_labels:
            raise ValueError("no label of train has a finite, non-zero gradient")
        self._hessian = Hessian(config, passes, self.train, on_step)

    def solve_all(
        self,
        queries: QueryVectors,
        checkpoint: Callable[[Curvature], Checkpoint] | None = None,
    ) -> tuple[ScoreVectors, dict[Curvature, CurvatureRecord]]:
        """The vectors of all curvatures' scores, and how each curvature was solved.

        checkpoint: from a curvature to the file for its conjugate gradients.
        """
        all_columns, records = [], {}
        for kind in self.config.curvatures:
            file = checkpoint(kind) if checkpoint else None
            columns, records[kind] = self.solve_kind(kind, queries, file)
            all_columns.append(columns)
        return ScoreVectors.join(all_columns), records

    def solve_kind(
        self,
        kind: Curvature,
        queries: QueryVectors,
        checkpoint: Checkpoint | None = None,
    ) -> tuple[ScoreVectors, CurvatureRecord]:
        """The vectors of one curvature's scores, and how it was solved.

        After a sweep, those of each query set's damping (and with score.keep_sweep also
        those of every damping).
        """
        vectors = queries.vectors.movedim(0, 1).flatten(1)  # [k, q g]
        if kind not in ITERATIVE:
            lambdas = self._block_lambdas(kind)
            columns = _columns(kind, queries, self.invert(kind, vectors), None)
            return columns, CurvatureRecord(lambdas=lambdas)
        generator = torch.Generator().manual_seed(0)
        shape = len(vectors), _ERROR_PROBES
        probes = torch.randn(shape, generator=generator, dtype=torch.float64)
        dampings, asked = self._dampings(kind)
        state = self._hessian.solve(kind, vectors, dampings, checkpoint, probes)
        columns, record = self._choose(kind, queries, state, probes, dampings, asked)
        if self.config.self_probes:
            first = record.queries[queries.names[0]].damping
            columns = replace(columns, probes={kind: self._self_probes(kind, first)})
        return columns, record

    def invert(
        self,
        kind: Curvature,
        vectors: Float[Tensor, "k q"],
        damping: float | None = None,
    ) -> Float[Tensor, "k q"]:
        """H^-1 v of each vector v, by one curvature.

        damping: lambda of gauss_newton or empirical_fisher, relative to the trace of H;
        the other curvatures' is in the configuration.
        """
        if kind in ITERATIVE:
            assert damping is not None, kind
            return self._hessian.solve(kind, vectors, (damping,)).solutions[0]
        if kind == "identity":
            return vectors
        self.on_step(kind)
        lambdas = self._block_lambdas(kind)
        products = self.passes.products(kind, vectors, list(lambdas.values()))
        ihvps = vectors.clone()  # bins that no layer has stay empty
        for block in self._blocks(kind):
            ihvps[block.bins] = curvature.datainf_ihvp(
                vectors[block.bins],
                products[block.bins],
                self.train.num_labels,
                lambdas[block.name],
            )
        return ihvps

    def _blocks(self, kind: Curvature) -> list[Layer]:
        """Blocks of DataInf's block-diagonal H: all layers as one, or each."""
        if kind == "datainf_layer":
            return self.layers
        size = sum(layer.num_parameters for layer in self.layers)
        return [Layer("all", size, 0, max(layer.stop for layer in self.layers))]

    def _block_lambdas(self, kind: Curvature) -> dict[str, float]:
        """{block: DataInf's lambda}; empty for identity."""
        if kind == "identity":
            return {}
        squares, blocks = self.train.squares, self._blocks(kind)
        if kind == "datainf":
            squares = squares.sum(0, keepdim=True)
        scale = self.config.datainf_damping / self.train.num_labels
        return {
            block.name: scale * float(square) / block.num_parameters
            for square, block in zip(squares, blocks, strict=True)
        }

    def _dampings(self, kind: Curvature) -> tuple[tuple[float, ...], float | None]:
        """(dampings to solve with, ascending; the one to score with, None: choose),
        relative to the trace of H."""
        sweep = tuple(sorted(self.config.sweep))
        if self.config.damping is not None or not self._of_training:
            return sweep, None
        asked = self._of_training / self._hessian.trace(kind)
        kept = {*sweep} if self.config.keep_sweep else set()
        return tuple(sorted({*kept, asked})), asked

    def _choose(
        self,
        kind: Curvature,
        queries: QueryVectors,
        state: conjugate_gradients.State,
        probes: Float[Tensor, "k p"],
        dampings: tuple[float, ...],
        asked: float | None,
    ) -> tuple[ScoreVectors, CurvatureRecord]:
        """The vectors of each query set's chosen damping, and the record of the choice.

        state: solutions of all query vectors, then of the probes (random vectors);
        dampings, asked: of `_dampings`.
        """
        shape = queries.shares.shape
        solved = state.solutions[:, :, : shape.numel()]
        random = state.solutions[:, :, shape.numel() :] * state.lambdas[:, None, None]
        aligned = self.passes.sample(torch.cat([*solved, *random, probes], dim=1))
        count = len(dampings) * shape.numel()
        scores = aligned[:, :count].unflatten(1, (-1, *shape))
        damped = self._damped(kind, state.lambdas.tolist(), aligned[:, count:])
        sweep = [
            _columns(kind, queries, ihvps, ratio)
            for ihvps, ratio in zip(solved, damped, strict=True)
        ]
        residuals = state.residuals[:, : shape.numel()].unflatten(1, shape).amax(2)
        choices, ihvps, chosen_damped = {}, [], []
        for q, query in enumerate(queries.names):
            best, choices[query] = choose(
                scores[:, :, q],
                list(dampings),
                residuals[:, q],
                self.config.reliability,
                asked,
            )
            ihvps.append(sweep[best].ihvps[q])
            chosen_damped.append(damped[best])
        chosen = replace(sweep[0], ihvps=torch.stack(ihvps), damped=chosen_damped)
        all_columns = [chosen]
        if self.config.keep_sweep:
            all_columns += [
                replace(columns, names=_names(f"{kind}_{damping:g}", queries))
                for damping, columns in zip(dampings, sweep, strict=True)
                if damping in self.config.sweep
            ]
        record = CurvatureRecord(
            steps=state.steps, trace=self._hessian.trace(kind), queries=choices
        )
        return ScoreVectors.join(all_columns), record

    def _damped(
        self, kind: Curvature, lambdas: list[float], aligned: Float[Tensor, "n _"]
    ) -> list[DampedRatio | None]:
        """How much shorter lambda (H + lambda I)^-1 s is than s, for each lambda.

        aligned: minus d lambda s' (H + lambda I)^-1 z of the sampled labels and the
        random vectors z, lambda by lambda; then minus d s' z.
        """
        squares, leverage = self.passes.sample_sizes(kind).T
        means = aligned.square().unflatten(1, (-1, _ERROR_PROBES)).mean(2)
        ratios = means / squares[:, None]  # of squared lengths
        damped: list[DampedRatio | None] = []
        for i, lam in enumerate(lambdas):
            n_lambda = self.train.num_labels * lam
            own_term = (ratios[:, -1] / (1 + leverage / n_lambda).square()).mean()
            factor = float((ratios[:, i].mean() / own_term).sqrt())
            damped.append(DampedRatio(kind, n_lambda, factor))
        return damped

    def _self_probes(self, kind: Curvature, damping: float) -> Float[Tensor, "k p"]:
        """Random vectors x with covariance (H + lambda I)^-1, so that the mean of
        (g . x)^2 is g' (H + lambda I)^-1 g.

        x = (H + lambda I)^-1 e, where e is noise with covariance H + lambda I
        (Papandreou & Yuille, "Gaussian sampling by local perturbations", NeurIPS 2010).
        """
        noise = self.passes.noise(kind, self.config.self_probes)
        noise /= self.train.num_labels**0.5
        generator = torch.Generator().manual_seed(0)
        white = torch.randn(noise.shape, generator=generator, dtype=torch.float64)
        noise += (damping * self._hessian.trace(kind)) ** 0.5 * white
        return self.invert(kind, noise, damping)


def _columns(
    name: str,
    queries: QueryVectors,
    ihvps: Float[Tensor, "k _"],
    damped: DampedRatio | None,
) -> ScoreVectors:
    """Columns <name>_<query set>; ihvps: H^-1 v, as in QueryVectors.vectors, flat."""
    shaped = ihvps.unflatten(1, queries.shares.shape).movedim(1, 0)
    names = _names(name, queries)
    return ScoreVectors(names, shaped, queries.shares, [damped] * len(names))


def _names(name: str, queries: QueryVectors) -> list[str]:
    """Names of a curvature's scores, one per query set."""
    return [f"{name}_{query}" for query in queries.names]
