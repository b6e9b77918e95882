"""From sums over the store to the vectors that labels are scored with.

    k  entries of a sketch     q  query sets     g  query groups     l  lambdas

What reads the store is behind `scores.passes`: the reducer of ray_jobs/score.py has its
tasks do it. Everything here is a pure function of what they return, so a restart finds
the same bits again.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import safetensors.torch
import torch
from jaxtyping import Float
from torch import Tensor

from inflib.config.score import ITERATIVE, Kind, ScoreConfig
from inflib.numerics import conjugate_gradients, curvature, damping
from inflib.numerics.layer_bins import Layer
from inflib.scores.passes import Passes
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


@dataclass(frozen=True)
class Queries:
    """Query vectors, as shares of the query groups."""

    names: list[str]
    vectors: Float[Tensor, "q k g"]
    shares: Float[Tensor, "q g"]


def read_queries(config: ScoreConfig, names: list[str], passes: Passes) -> Queries:
    """Raises ValueError naming a query set in which no label counts."""
    asked = config.query_groups, config.query_loss
    found = {name: passes.query_sums(name, *asked) for name in names}
    for name, sums in found.items():
        if not sums.counts.sum():
            raise ValueError(f"no label of {name} has a finite, non-zero gradient")
    return Queries(
        names,
        torch.stack([sums.vectors / sums.counts.sum() for sums in found.values()]),
        torch.stack([sums.counts / sums.counts.sum() for sums in found.values()]),
    )


class Solver:
    """Inverse-Hessian products over the training labels of a run."""

    def __init__(
        self, config: ScoreConfig, layers: list[Layer], passes: Passes
    ) -> None:
        """Raises ValueError when no training label counts."""
        self.config, self.layers, self.passes = config, layers, passes
        self.train = passes.moments()
        if not self.train.num_labels:
            raise ValueError("no label of train has a finite, non-zero gradient")

    def solve_all(
        self, asked: Queries, checkpoint: Callable[[Kind], Checkpoint] | None = None
    ) -> tuple[Columns, dict[Kind, dict[str, Any]]]:
        """Columns of all curvatures, and by curvature how they came about.

        checkpoint: where each keeps what it would be costly to compute again.
        """
        parts, facts = [], {}
        for kind in self.config.curvatures:
            keep = checkpoint(kind) if checkpoint else None
            columns, facts[kind] = self.solve_kind(kind, asked, keep)
            parts.append(columns)
        return Columns.join(parts), facts

    def solve_kind(
        self, kind: Kind, asked: Queries, checkpoint: Checkpoint | None = None
    ) -> tuple[Columns, dict[str, Any]]:
        """Columns of one curvature; with a sweep, of each query set's damping."""
        vectors = asked.vectors.movedim(0, 1).flatten(1)  # [k, q g]
        if kind not in ITERATIVE:
            lambdas = self._block_lambdas(kind)
            columns = _columns(kind, asked, self.invert(kind, vectors), None)
            return columns, {"lambda": lambdas} if lambdas else {}
        generator = torch.Generator().manual_seed(0)
        shape = len(vectors), _ERROR_PROBES
        probes = torch.randn(shape, generator=generator, dtype=torch.float64)
        state = self._iterate(kind, vectors, self.config.damping, checkpoint, probes)
        columns, facts = self._choose(kind, asked, state, probes)
        if self.config.self_probes:
            first = facts["queries"][asked.names[0]]["damping"]
            columns = replace(columns, probes={kind: self._self_probes(kind, first)})
        return columns, facts

    def invert(
        self, kind: Kind, vectors: Float[Tensor, "k q"], of_trace: float | None = None
    ) -> Float[Tensor, "k q"]:
        """(H + lambda I)^-1 of each vector.

        of_trace: damping of an iterative curvature, relative to the trace of H.
        """
        if kind in ITERATIVE:
            assert of_trace is not None, kind
            return self._iterate(kind, vectors, (of_trace,)).solutions[0]
        if kind == "identity":
            return vectors
        self.passes.say(kind)
        lambdas = self._block_lambdas(kind)
        found = self.passes.products(kind, vectors, list(lambdas.values()))
        ihvps = vectors.clone()  # bins that no layer has stay empty
        for block in self._blocks(kind):
            ihvps[block.bins] = curvature.datainf_ihvp(
                vectors[block.bins],
                found[block.bins],
                self.train.num_labels,
                lambdas[block.name],
            )
        return ihvps

    def _blocks(self, kind: Kind) -> list[Layer]:
        if kind == "datainf_layer":
            return self.layers
        size = sum(layer.num_parameters for layer in self.layers)
        return [Layer("all", size, 0, max(layer.stop for layer in self.layers))]

    def _block_lambdas(self, kind: Kind) -> dict[str, float]:
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

    def _unit(self, kind: Kind) -> float:
        """Trace of H."""
        squares = float(self.train.squares.sum())
        trace = self.train.hessian_trace if kind == "gauss_newton" else squares
        return trace / self.train.num_labels

    def _iterate(
        self,
        kind: Kind,
        vectors: Float[Tensor, "k q"],
        dampings: tuple[float, ...],
        checkpoint: Checkpoint | None = None,
        probes: Float[Tensor, "k p"] | None = None,
    ) -> conjugate_gradients.Solution:
        """Conjugate gradients until every residual is below the tolerance.

        probes: more vectors, whose residuals are not waited for; solved as the last.
        """
        unit, config, count = self._unit(kind), self.config, vectors.shape[1]
        if probes is not None:
            vectors = torch.cat([vectors, probes], dim=1)
        state = checkpoint and checkpoint.read()
        state = state or conjugate_gradients.start(
            vectors, [d * unit for d in dampings]
        )
        residual = float(state.residuals()[:, :count].max())
        while residual > config.tolerance and state.steps < config.max_steps:
            self.passes.say(f"{kind}, step {state.steps + 1}, residual {residual:.2g}")
            found = self.passes.products(kind, state.vectors, [])
            conjugate_gradients.advance(state, found / self.train.num_labels)
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
        kind: Kind,
        asked: Queries,
        state: conjugate_gradients.Solution,
        probes: Float[Tensor, "k p"],
    ) -> tuple[Columns, dict[str, Any]]:
        """Of the sweep, the columns of each query set's damping (or all of them).

        probes: random vectors z, solved after the query vectors.
        """
        dampings, shape = sorted(self.config.damping), asked.shares.shape
        solved = state.solutions[:, :, : shape.numel()]
        random = state.solutions[:, :, shape.numel() :] * state.lambdas[:, None, None]
        found = self.passes.sample(torch.cat([*solved, *random, probes], dim=1))
        count = len(dampings) * shape.numel()
        scores = found[:, :count].unflatten(1, (-1, *shape))
        damped = self._damped(kind, state.lambdas.tolist(), found[:, count:])
        sweep = [
            _columns(kind, asked, ihvps, one)
            for ihvps, one in zip(solved, damped, strict=True)
        ]
        residuals = state.residuals()[:, : shape.numel()].unflatten(1, shape).amax(2)
        facts: dict[str, Any] = {"steps": state.steps, "unit": self._unit(kind)}
        facts["queries"], ihvps, own = {}, [], []
        for q, query in enumerate(asked.names):
            best, facts["queries"][query] = damping.choose(
                scores[:, :, q], dampings, residuals[:, q], self.config.reliability
            )
            ihvps.append(sweep[best].ihvps[q])
            own.append(damped[best])
        parts = [replace(sweep[0], ihvps=torch.stack(ihvps), damped=own)]
        if self.config.keep_sweep:
            parts += [
                replace(one, names=_names(name, asked))
                for name, one in zip(self.config.swept(kind), sweep, strict=True)
            ]
        return Columns.join(parts), facts

    def _damped(
        self, kind: Kind, lambdas: list[float], found: Float[Tensor, "n _"]
    ) -> list[Damped | None]:
        """How much shorter lambda (H + lambda I)^-1 s is than s, for each lambda.

        found: w lambda s' (H + lambda I)^-1 z of random vectors z, lambda by lambda,
        then w s' z, of the sampled labels.
        """
        squares, leverage = self.passes.sample_sizes(kind).T
        means = found.square().unflatten(1, (-1, _ERROR_PROBES)).mean(2)
        ratios = means / squares[:, None]  # of squared lengths
        damped: list[Damped | None] = []
        for place, lam in enumerate(lambdas):
            unit = self.train.num_labels * lam
            alone = (ratios[:, -1] / (1 + leverage / unit).square()).mean()
            factor = float((ratios[:, place].mean() / alone).sqrt())
            damped.append(Damped(kind, unit, factor))
        return damped

    def _self_probes(self, kind: Kind, of_trace: float) -> Float[Tensor, "k p"]:
        """Vectors x whose covariance is (H + lambda I)^-1, so that the mean of
        (g . x)^2 is g' (H + lambda I)^-1 g: noise with covariance H + lambda I, solved
        (Papandreou & Yuille, "Gaussian sampling by local perturbations", NeurIPS 2010).
        """
        noise = self.passes.noise(kind, self.config.self_probes)
        noise /= self.train.num_labels**0.5
        generator = torch.Generator().manual_seed(0)
        rest = torch.randn(noise.shape, generator=generator, dtype=torch.float64)
        noise += (of_trace * self._unit(kind)) ** 0.5 * rest
        return self.invert(kind, noise, of_trace)


def _columns(
    name: str, asked: Queries, ihvps: Float[Tensor, "k _"], damped: Damped | None
) -> Columns:
    shaped = ihvps.unflatten(1, asked.shares.shape).movedim(1, 0)
    names = _names(name, asked)
    return Columns(names, shaped, asked.shares, [damped] * len(names))


def _names(name: str, asked: Queries) -> list[str]:
    return [f"{name}_{query}" for query in asked.names]
