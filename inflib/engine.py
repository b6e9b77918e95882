"""From sums over the store to the vectors that labels are scored with.

    k  entries of a sketch     q  query sets     g  query groups     l  lambdas

What reads the store is behind `Passes`: the reducer of ray_jobs/score.py has its tasks
do it. Everything here is a pure function of what they return, so a restart finds the
same bits again.

The default damping is chosen without knowing which labels are wrong: for each query
set, the smallest damping of the sweep whose scores are reliable, that is, whose ranks
of training labels by one half of the query set and by the other half have a Spearman
correlation of at least `reliability`. Less damping corrects more for what the model has
learned of the data, and lets the query set's noise through.
"""

from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import safetensors.torch
import torch
from jaxtyping import Float
from torch import Tensor

from inflib import curvature, solve
from inflib.config_score import Kind, ScoreConfig
from inflib.events import warning
from inflib.folder import Folder
from inflib.layers import Layer
from inflib.pairs_folder import Shard
from inflib.score_table import Columns
from inflib.scoring import GroupSums, Moments

_SAMPLE = 4096
"""Labels whose ranks are compared, at least (if there are as many)."""

_HALVINGS = 10
"""Random halves of the query groups that a reliability is the mean over."""


@runtime_checkable
class Passes(Protocol):
    """Passes over the sketches of the training labels."""

    def products(
        self, kind: Kind, vectors: Float[Tensor, "k q"], lambdas: list[float]
    ) -> Float[Tensor, "k q"]:
        """inflib.scoring.curvature_products over all training shards."""

    def noise(self, kind: Kind, num_probes: int) -> Float[Tensor, "k p"]:
        """inflib.scoring.noise_sums over all training shards."""

    def sample(self, vectors: Float[Tensor, "k q"]) -> Float[Tensor, "n q"]:
        """inflib.scoring.alignments over `sample_shards`."""

    def say(self, text: str) -> None:
        """Where the work stands."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of conjugate gradients, in a file, every few steps."""

    folder: Folder
    name: str
    every: int = 10

    def read(self) -> solve.Solution | None:
        if self.name not in self.folder.names():
            return None
        tensors = safetensors.torch.load(self.folder.read_bytes(self.name))
        return solve.Solution(steps=int(tensors.pop("steps")), **tensors)

    def write(self, state: solve.Solution) -> None:
        if state.steps % self.every == 0:
            tensors = state.tensors() | {"steps": torch.tensor(state.steps)}
            self.folder.write(self.name, safetensors.torch.save(tensors))


@dataclass(frozen=True)
class Queries:
    """Query vectors, as shares of the query groups."""

    names: list[str]
    vectors: Float[Tensor, "q k g"]
    shares: Float[Tensor, "q g"]


def queries(found: dict[str, GroupSums]) -> Queries:
    """Raises ValueError naming a query set in which no label counts."""
    for name, sums in found.items():
        if not sums.counts.sum():
            raise ValueError(f"no label of {name} has a finite, non-zero gradient")
    return Queries(
        list(found),
        torch.stack([sums.vectors / sums.counts.sum() for sums in found.values()]),
        torch.stack([sums.counts / sums.counts.sum() for sums in found.values()]),
    )


def sample_shards(plan: list[Shard]) -> list[Shard]:
    """Evenly spaced shards with enough labels for rank correlations."""
    labels = sum(shard.num_labels for shard in plan)
    return plan[:: max(1, labels // _SAMPLE)]


def solve_kind(
    kind: Kind,
    config: ScoreConfig,
    asked: Queries,
    train: Moments,
    layers: list[Layer],
    passes: Passes,
    checkpoint: Checkpoint | None = None,
) -> tuple[Columns, dict[str, Any]]:
    """Columns of one curvature, and how they came about."""
    vectors = asked.vectors.movedim(0, 1).flatten(1)  # [k, q g]
    if kind == "identity":
        return _columns(kind, asked, vectors), {}
    if kind in ("datainf", "datainf_layer"):
        return _datainf(kind, config, asked, vectors, train, layers, passes)
    trace = (
        train.hessian_trace if kind == "gauss_newton" else float(train.squares.sum())
    )
    unit = trace / train.num_labels
    lambdas = [damping * unit for damping in sorted(config.damping)]
    state = _iterate(
        kind, config, vectors, lambdas, train.num_labels, passes, checkpoint
    )
    columns, facts = _chosen(kind, config, asked, state, unit, passes)
    if config.self_probes:
        lam = unit * facts["queries"][asked.names[0]]["damping"]
        probes = _self_probes(kind, config, lam, train.num_labels, passes)
        columns = replace(columns, probes={kind: probes})
    return columns, facts


def _self_probes(
    kind: Kind, config: ScoreConfig, lam: float, num_labels: float, passes: Passes
) -> Float[Tensor, "k p"]:
    """Vectors x whose covariance is (H + lambda I)^-1, so that the mean of (g . x)^2 is
    g' (H + lambda I)^-1 g: noise with covariance H + lambda I, solved (Papandreou &
    Yuille, "Gaussian sampling by local perturbations", NeurIPS 2010)."""
    noise = passes.noise(kind, config.self_probes) / num_labels**0.5
    generator = torch.Generator().manual_seed(0)
    rest = torch.randn(noise.shape, generator=generator, dtype=torch.float64)
    noise += lam**0.5 * rest
    state = _iterate(kind, config, noise, [lam], num_labels, passes, None)
    return state.solutions[0]


def _columns(name: str, asked: Queries, ihvps: Float[Tensor, "k _"]) -> Columns:
    names = [f"{name}_{query}" for query in asked.names]
    shaped = ihvps.unflatten(1, asked.shares.shape).movedim(1, 0)
    return Columns(names, shaped, asked.shares)


def _datainf(
    kind: Kind,
    config: ScoreConfig,
    asked: Queries,
    vectors: Float[Tensor, "k _"],
    train: Moments,
    layers: list[Layer],
    passes: Passes,
) -> tuple[Columns, dict[str, Any]]:
    blocks = layers
    squares = train.squares
    if kind == "datainf":
        size = sum(layer.num_parameters for layer in layers)
        blocks = [Layer("all", size, 0, len(vectors))]
        squares = squares.sum(0, keepdim=True)
    scale = config.datainf_damping / train.num_labels
    lambdas = [
        scale * float(square) / block.num_parameters
        for square, block in zip(squares, blocks, strict=True)
    ]
    passes.say(kind)
    found = passes.products(kind, vectors, lambdas)
    ihvps = vectors.clone()  # bins that no layer has stay empty
    for block, lam in zip(blocks, lambdas, strict=True):
        ihvps[block.bins] = curvature.datainf_ihvp(
            vectors[block.bins], found[block.bins], train.num_labels, lam
        )
    facts = {block.name: lam for block, lam in zip(blocks, lambdas, strict=True)}
    return _columns(kind, asked, ihvps), {"lambda": facts}


def _iterate(
    kind: Kind,
    config: ScoreConfig,
    vectors: Float[Tensor, "k _"],
    lambdas: list[float],
    num_labels: float,
    passes: Passes,
    checkpoint: Checkpoint | None,
) -> solve.Solution:
    """Conjugate gradients until every residual is below the tolerance."""
    state = checkpoint and checkpoint.read()
    state = state or solve.start(vectors, lambdas)
    while (
        float(state.residuals().max()) > config.tolerance
        and state.steps < config.max_steps
    ):
        residual = float(state.residuals().max())
        passes.say(f"{kind}, step {state.steps + 1}, residual {residual:.2g}")
        found = passes.products(kind, state.vectors, [])
        solve.advance(state, found / num_labels)
        if checkpoint:
            checkpoint.write(state)
    residual = float(state.residuals().max())
    if residual > config.tolerance:
        warning(
            f"{kind}: the smallest damping has a residual of {residual:.2g} after "
            f"{state.steps} steps, not {config.tolerance:g}; raise score.max_steps, or "
            "leave out small dampings"
        )
    return state


def _chosen(
    kind: Kind,
    config: ScoreConfig,
    asked: Queries,
    state: solve.Solution,
    unit: float,
    passes: Passes,
) -> tuple[Columns, dict[str, Any]]:
    """Of the sweep, the columns of each query set's damping (or all of them)."""
    sweep = [_columns(kind, asked, solution) for solution in state.solutions]
    num_sets, num_groups = asked.shares.shape
    flat = torch.cat([s.ihvps.movedim(0, 1).flatten(1) for s in sweep], dim=1)
    scores = passes.sample(flat).unflatten(1, (len(sweep), num_sets, num_groups))
    residuals = state.residuals().unflatten(1, (num_sets, num_groups)).amax(2)
    dampings = sorted(config.damping)
    facts: dict[str, Any] = {"steps": state.steps, "unit": unit, "queries": {}}
    picked = []
    for q, query in enumerate(asked.names):
        found = [reliability(scores[:, i, q].numpy()) for i in range(len(sweep))]
        good = [i for i, rho in enumerate(found) if rho >= config.reliability]
        best = good[0] if good else int(np.argmax(found))
        picked.append(best)
        facts["queries"][query] = {
            "damping": dampings[best],
            "reliability": found[best],
            "sweep": [
                {"damping": d, "reliability": rho, "residual": float(r)}
                for d, rho, r in zip(dampings, found, residuals[:, q], strict=True)
            ],
        }
    ihvps = [sweep[best].ihvps[q] for q, best in enumerate(picked)]
    names = [f"{kind}_{query}" for query in asked.names]
    shares = [asked.shares]
    if config.keep_sweep:
        for damping, column in zip(dampings, sweep, strict=True):
            ihvps += [*column.ihvps]
            names += [f"{kind}_{damping:g}_{query}" for query in asked.names]
            shares.append(asked.shares)
    return Columns(names, torch.stack(ihvps), torch.cat(shares)), facts


def reliability(scores: Float[np.ndarray, "n g"]) -> float:
    """Rank correlation of the labels' scores by two random halves of the query groups.

    scores: what each group adds. Mean over seeded halvings; 0 when fewer than two
    groups say anything, or all scores are equal.
    """
    from scipy.stats import rankdata

    filled = scores[:, np.abs(scores).sum(0) > 0]
    if filled.shape[1] < 2 or len(filled) < 2:
        return 0.0
    rng = np.random.default_rng(0)
    found = []
    for _ in range(_HALVINGS):
        first = rng.permutation(filled.shape[1])[: filled.shape[1] // 2]
        half = filled[:, first].sum(1)
        ranks = np.stack([rankdata(half), rankdata(filled.sum(1) - half)])
        if (np.ptp(ranks, axis=1) == 0).any():
            return 0.0
        found.append(np.corrcoef(ranks)[0, 1])
    return float(np.mean(found))
