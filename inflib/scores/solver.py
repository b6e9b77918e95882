"""From sums over the store to the vectors that labels are scored with.

    k  entries of a sketch     q  query sets     g  query groups     l  lambdas

What reads the store is behind `scores.passes`: the reducer of ray_jobs/score.py has its
tasks do it. Everything here is a pure function of what they return, so a restart finds
the same bits again.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import safetensors.torch
import torch
from jaxtyping import Float
from torch import Tensor

from inflib.config.score import ITERATIVE, Curvature, ScoreConfig
from inflib.numerics import conjugate_gradients, curvature, damping
from inflib.numerics.layer_bins import Layer
from inflib.scores.passes import Passes
from inflib.scores.query_vectors import QueryVectors
from inflib.scores.score_record import CurvatureRecord
from inflib.scores.score_table import Columns, Damped
from inflib.storage.folder import Folder
from inflib.telemetry import warning

_ERROR_PROBES = 4
"""Random vectors behind the scale of the sketch's errors; the mean is also over some
thousand labels."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of conjugate gradients, in a file, every few steps."""

    folder: Folder
    name: str
    every: int = 10

    def read(self) -> conjugate_gradients.Solution | None:
        if self.name not in self.folder.names():
            return None
        tensors = safetensors.torch.load(self.folder.read_bytes(self.name))
        return conjugate_gradients.Solution(steps=int(tensors.pop("steps")), **tensors)

    def write(self, state: conjugate_gradients.Solution) -> None:
        if state.steps % self.every == 0:
            tensors = state.tensors() | {"steps": torch.tensor(state.steps)}
            self.folder.write(self.name, safetensors.torch.save(tensors))


class Solver:
    """Inverse-Hessian products over the training labels of a run."""

    def __init__(
        self,
        config: ScoreConfig,
        layers: list[Layer],
        passes: Passes,
        watch: Callable[[str], None] = lambda text: None,
    ) -> None:
        """watch: is told what is computed next.

        Raises ValueError when no training label counts.
        """
        self.config, self.layers, self.passes = config, layers, passes
        self.watch = watch
        self.train = passes.moments()
        if not self.train.num_labels:
            raise ValueError("no label of train has a finite, non-zero gradient")

    def solve_all(
        self,
        queries: QueryVectors,
        checkpoint: Callable[[Curvature], Checkpoint] | None = None,
    ) -> tuple[Columns, dict[Curvature, CurvatureRecord]]:
        """Columns of all curvatures, and by curvature how they came about.

        checkpoint: where each keeps what it would be costly to compute again.
        """
        parts, records = [], {}
        for kind in self.config.curvatures:
            keep = checkpoint(kind) if checkpoint else None
            columns, records[kind] = self.solve_kind(kind, queries, keep)
            parts.append(columns)
        return Columns.join(parts), records

    def solve_kind(
        self,
        kind: Curvature,
        queries: QueryVectors,
        checkpoint: Checkpoint | None = None,
    ) -> tuple[Columns, CurvatureRecord]:
        """Columns of one curvature; with a sweep, of each query set's damping."""
        vectors = queries.vectors.movedim(0, 1).flatten(1)  # [k, q g]
        if kind not in ITERATIVE:
            lambdas = self._block_lambdas(kind)
            columns = _columns(kind, queries, self.invert(kind, vectors), None)
            return columns, CurvatureRecord(lambdas=lambdas)
        generator = torch.Generator().manual_seed(0)
        shape = len(vectors), _ERROR_PROBES
        probes = torch.randn(shape, generator=generator, dtype=torch.float64)
        state = self._iterate(kind, vectors, self.config.damping, checkpoint, probes)
        columns, record = self._choose(kind, queries, state, probes)
        if self.config.self_probes:
            first = record.queries[queries.names[0]].damping
            columns = replace(columns, probes={kind: self._self_probes(kind, first)})
        return columns, record

    def invert(
        self,
        kind: Curvature,
        vectors: Float[Tensor, "k q"],
        of_trace: float | None = None,
    ) -> Float[Tensor, "k q"]:
        """(H + lambda I)^-1 of each vector.

        of_trace: damping of an iterative curvature, relative to the trace of H.
        """
        if kind in ITERATIVE:
            assert of_trace is not None, kind
            return self._iterate(kind, vectors, (of_trace,)).solutions[0]
        if kind == "identity":
            return vectors
        self.watch(kind)
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
        if kind == "datainf_layer":
            return self.layers
        size = sum(layer.num_parameters for layer in self.layers)
        return [Layer("all", size, 0, max(layer.stop for layer in self.layers))]

    def _block_lambdas(self, kind: Curvature) -> dict[str, float]:
        """DataInf's, of every block."""
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

    def _trace(self, kind: Curvature) -> float:
        """Trace of H."""
        squares = float(self.train.squares.sum())
        trace = self.train.hessian_trace if kind == "gauss_newton" else squares
        return trace / self.train.num_labels

    def _iterate(
        self,
        kind: Curvature,
        vectors: Float[Tensor, "k q"],
        dampings: tuple[float, ...],
        checkpoint: Checkpoint | None = None,
        probes: Float[Tensor, "k p"] | None = None,
    ) -> conjugate_gradients.Solution:
        """Conjugate gradients until every residual is below the tolerance.

        probes: more vectors, whose residuals are not waited for; solved as the last.
        """
        trace, config, count = self._trace(kind), self.config, vectors.shape[1]
        if probes is not None:
            vectors = torch.cat([vectors, probes], dim=1)
        state = checkpoint and checkpoint.read()
        state = state or conjugate_gradients.start(
            vectors, [d * trace for d in dampings]
        )
        residual = float(state.residuals()[:, :count].max())
        while residual > config.tolerance and state.steps < config.max_steps:
            self.watch(f"{kind}, step {state.steps + 1}, residual {residual:.2g}")
            products = self.passes.products(kind, state.vectors, [])
            conjugate_gradients.advance(state, products / self.train.num_labels)
            if checkpoint:
                checkpoint.write(state)
            residual = float(state.residuals()[:, :count].max())
        if residual > config.tolerance:
            warning(
                f"{kind}: the smallest damping has a residual of {residual:.2g} after "
                f"{state.steps} steps, not {config.tolerance:g}; raise "
                "score.max_steps, or leave out small dampings"
            )
        return state

    def _choose(
        self,
        kind: Curvature,
        queries: QueryVectors,
        state: conjugate_gradients.Solution,
        probes: Float[Tensor, "k p"],
    ) -> tuple[Columns, CurvatureRecord]:
        """Of the sweep, the columns of each query set's damping (or all of them).

        probes: random vectors z, solved after the query vectors.
        """
        dampings, shape = sorted(self.config.damping), queries.shares.shape
        solved = state.solutions[:, :, : shape.numel()]
        random = state.solutions[:, :, shape.numel() :] * state.lambdas[:, None, None]
        aligned = self.passes.sample(torch.cat([*solved, *random, probes], dim=1))
        count = len(dampings) * shape.numel()
        scores = aligned[:, :count].unflatten(1, (-1, *shape))
        damped = self._damped(kind, state.lambdas.tolist(), aligned[:, count:])
        sweep = [
            _columns(kind, queries, ihvps, one)
            for ihvps, one in zip(solved, damped, strict=True)
        ]
        residuals = state.residuals()[:, : shape.numel()].unflatten(1, shape).amax(2)
        choices, ihvps, chosen_damped = {}, [], []
        for q, query in enumerate(queries.names):
            best, choices[query] = damping.choose(
                scores[:, :, q], dampings, residuals[:, q], self.config.reliability
            )
            ihvps.append(sweep[best].ihvps[q])
            chosen_damped.append(damped[best])
        parts = [replace(sweep[0], ihvps=torch.stack(ihvps), damped=chosen_damped)]
        if self.config.keep_sweep:
            parts += [
                replace(one, names=_names(name, queries))
                for name, one in zip(self.config.swept(kind), sweep, strict=True)
            ]
        record = CurvatureRecord(
            steps=state.steps, trace=self._trace(kind), queries=choices
        )
        return Columns.join(parts), record

    def _damped(
        self, kind: Curvature, lambdas: list[float], aligned: Float[Tensor, "n _"]
    ) -> list[Damped | None]:
        """How much shorter lambda (H + lambda I)^-1 s is than s, for each lambda.

        aligned: w lambda s' (H + lambda I)^-1 z of random vectors z, lambda by lambda,
        then w s' z, of the sampled labels.
        """
        squares, leverage = self.passes.sample_sizes(kind).T
        means = aligned.square().unflatten(1, (-1, _ERROR_PROBES)).mean(2)
        ratios = means / squares[:, None]  # of squared lengths
        damped: list[Damped | None] = []
        for place, lam in enumerate(lambdas):
            n_lambda = self.train.num_labels * lam
            alone = (ratios[:, -1] / (1 + leverage / n_lambda).square()).mean()
            factor = float((ratios[:, place].mean() / alone).sqrt())
            damped.append(Damped(kind, n_lambda, factor))
        return damped

    def _self_probes(self, kind: Curvature, of_trace: float) -> Float[Tensor, "k p"]:
        """Vectors x whose covariance is (H + lambda I)^-1, so that the mean of
        (g . x)^2 is g' (H + lambda I)^-1 g: noise with covariance H + lambda I, solved
        (Papandreou & Yuille, "Gaussian sampling by local perturbations", NeurIPS 2010).
        """
        noise = self.passes.noise(kind, self.config.self_probes)
        noise /= self.train.num_labels**0.5
        generator = torch.Generator().manual_seed(0)
        rest = torch.randn(noise.shape, generator=generator, dtype=torch.float64)
        noise += (of_trace * self._trace(kind)) ** 0.5 * rest
        return self.invert(kind, noise, of_trace)


def _columns(
    name: str, queries: QueryVectors, ihvps: Float[Tensor, "k _"], damped: Damped | None
) -> Columns:
    shaped = ihvps.unflatten(1, queries.shares.shape).movedim(1, 0)
    names = _names(name, queries)
    return Columns(names, shaped, queries.shares, [damped] * len(names))


def _names(name: str, queries: QueryVectors) -> list[str]:
    return [f"{name}_{query}" for query in queries.names]
