"""A trained run to scores from whole gradients, scores from sketches, their agreement.

    n  comparisons     d  trained parameters     k  entries of a sketch     l  layers

A comparison has one label here, its first.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from scipy.stats import pearsonr, spearmanr
from torch import Tensor

from inflib.benchmarks.fake_store import Generated, write_manifest, write_set
from inflib.config.recipe import Recipe
from inflib.config.score import Curvature, ScoreConfig
from inflib.data.pairs_folder import PairsFolder
from inflib.model.packing import pack, plan_batches
from inflib.model.reward_folder import load_sketched_model
from inflib.numerics.layer_bins import layer_of
from inflib.numerics.oporp import Oporp
from inflib.scores.score_run import score_run
from inflib.sketches.gradients import UnitGradients, scales_by_block
from inflib.sketches.units import plan_units
from inflib.storage.folder import Folder

_ROWS, _SHARD = 64, 256
"""Comparisons that are sketched at once; comparisons of a shard."""


class WholeGradients:
    """Margins and whole margin gradients of the first comparisons of a pair set."""

    def __init__(
        self,
        recipe: Recipe,
        pairs: str,
        max_comparisons: int,
        model: Any,
        truth: str | None = None,
    ) -> None:
        """model: UnitGradients, the id of padding, and scales of gradients by block.

        truth: boolean column of the labels that says which are wrong.
        """
        gradients, pad_id, scales = model
        folder = PairsFolder(Folder(recipe.run) / "pairs" / pairs)
        rows: list[dict[str, Any]] = []
        self.signs: list[int] = []
        wrong: list[bool] = []
        columns = ["row", "sign"] + ([truth] if truth else [])
        for shard in folder.plan():
            labels = folder.labels(shard, columns).to_pylist()
            first = {label["row"]: label for label in reversed(labels)}
            table = folder.comparisons(shard, ["comparison_id", "prefix", "a", "b"])
            rows += table.to_pylist()
            self.signs += [first[i]["sign"] for i in range(len(table))]
            wrong += [bool(truth and first[i][truth]) for i in range(len(table))]
        rows, self.signs = rows[:max_comparisons], self.signs[:max_comparisons]
        self.wrong = np.array(wrong[:max_comparisons])
        """Whether each label is known to be wrong; all False without a truth."""
        plan = plan_units(rows, "comparison")
        starts = np.cumsum([0, *gradients.sizes.values()])
        self.blocks = {
            name: slice(int(a), int(a) + size)
            for (name, size), a in zip(gradients.sizes.items(), starts, strict=False)
        }
        self.sizes = gradients.sizes
        whole = torch.empty(len(rows), int(starts[-1]))
        values, done = [], 0
        for batch in plan_batches(plan.units, 4096, flat=False):
            batch_grads = whole[done : done + len(batch)]

            def keep(block: str, grads: Tensor, out: Tensor = batch_grads) -> None:
                out[:, self.blocks[block]] = grads * scales[block] if scales else grads

            values.append(gradients(pack(batch, False, pad_id), keep).double())
            done += len(batch)
        self.grads: Float[Tensor, "n d"] = whole[plan.first]
        self.margins: Float[Tensor, " n"] = torch.cat(values)[plan.first]

    def weights(self) -> Float[Tensor, " n"]:
        """What a margin gradient is multiplied by to give its label's loss gradient."""
        signs = torch.tensor(self.signs)
        return -torch.sigmoid(-signs * self.margins) * signs

    def sketched(
        self, sketch_size: int, seed: int, by_layer: bool
    ) -> tuple[Oporp, Float[Tensor, "n k"], Float[Tensor, "n l"]]:
        """(projection, sketches, |s|^2 of the whole gradients by layer)."""
        oporp = Oporp(self.sizes, sketch_size, seed, by_layer=by_layer)
        n = len(self.margins)
        sketches = torch.zeros(n, sketch_size)
        sq_norms = {layer.name: torch.zeros(n).double() for layer in oporp.layers}
        for block, columns in self.blocks.items():
            for start in range(0, n, _ROWS):
                rows = slice(start, start + _ROWS)
                oporp.add(sketches[rows], block, self.grads[rows, columns])
            squares = self.grads[:, columns].double().square().sum(1)
            sq_norms[oporp.layer_of[block]] += squares
        return oporp, sketches, torch.stack(list(sq_norms.values()), dim=1)

    def layers(self) -> list[list[slice]]:
        """For each layer, the columns of `grads` that its blocks have."""
        columns_of: dict[str, list[slice]] = {}
        for block, columns in self.blocks.items():
            columns_of.setdefault(layer_of(block, True), []).append(columns)
        return list(columns_of.values())


def load(
    recipe: Recipe, num_train: int, query: str, truth: str | None = None
) -> tuple[WholeGradients, WholeGradients]:
    """Whole gradients of the first `num_train` training comparisons, and of as many of
    a query set at most.

    truth: boolean column of the training labels that says which are wrong.
    """
    model, tokenizer, scales = load_sketched_model(recipe, torch.device("cpu"))
    by_block = scales and scales_by_block(model, scales)
    gradients = UnitGradients(model), tokenizer.pad_token_id, by_block
    return (
        WholeGradients(recipe, "train", num_train, gradients, truth),
        WholeGradients(recipe, query, num_train, gradients),
    )


def exact_scores(
    train: WholeGradients, query: WholeGradients, config: ScoreConfig
) -> dict[Curvature, np.ndarray]:
    """Influence of each training label on the query loss, by curvature, from whole
    gradients, summed in float64. With several dampings in the sweep: the first."""
    weights, n = train.weights(), len(train.margins)
    v = (query.weights().float() @ query.grads) / len(query.margins)
    aligned, gram = torch.zeros(n).double(), torch.zeros(n, n).double()
    by_layer = torch.zeros(n).double()
    for layer in train.layers():
        layer_aligned, layer_gram = torch.zeros(n).double(), torch.zeros(n, n).double()
        size = 0
        for columns in layer:
            grads, size = train.grads[:, columns], size + columns.stop - columns.start
            layer_aligned += (grads @ v[columns]).double()
            layer_gram += (grads @ grads.T).double()
        scale = config.datainf_damping / size
        by_layer += _datainf(weights, layer_aligned, layer_gram, scale)
        aligned, gram = aligned + layer_aligned, gram + layer_gram
    scale = config.datainf_damping / train.grads.shape[1]
    products: dict[Curvature, Tensor] = {
        "identity": aligned,
        "datainf": _datainf(weights, aligned, gram, scale),
        "datainf_layer": by_layer,
    }
    curvature_weights: dict[Curvature, Tensor] = {
        "gauss_newton": torch.sigmoid(train.margins) * torch.sigmoid(-train.margins),
        "empirical_fisher": weights.square(),
    }
    for kind, c in curvature_weights.items():
        lam = config.sweep[0] * float((c * gram.diagonal()).mean())
        # Rows of S are margin gradients; H = S' diag(c) S / n, R = diag(c)^(1/2):
        # (H + lam I)^-1 v = (v - S' R (n lam I + R S S' R)^-1 R S v) / lam
        root = c.sqrt()
        matrix = root[:, None] * gram * root / n + lam * torch.eye(n).double()
        inner = root * torch.linalg.solve(matrix, root * aligned)
        products[kind] = (aligned - gram @ inner / n) / lam
    return {kind: (-weights * product).numpy() for kind, product in products.items()}


def _datainf(weights: Tensor, aligned: Tensor, gram: Tensor, scale: float) -> Tensor:
    """s . (H + lambda I)^-1 v of every comparison s by DataInf.

    aligned: s . v of each. gram: s . s' of each two. scale: lambda over the mean
    squared norm of a loss gradient.
    """
    squares = weights.square() * gram.diagonal()
    lam = scale * float(squares.mean())
    coefficients = weights.square() * aligned / (lam + squares)
    return (aligned - gram @ coefficients / len(weights)) / lam


def compressed_scores(
    train: WholeGradients,
    query: WholeGradients,
    config: ScoreConfig,
    dtype: str,
    sketch_size: int,
    seed: int,
) -> pa.Table:
    """Table of scores from sketches, written to a store and scored as in an audit."""
    by_layer = "datainf_layer" in config.curvatures
    with tempfile.TemporaryDirectory() as folder:
        run = Folder(str(Path(folder)))
        for pairs, whole in (("train", train), ("query", query)):
            oporp, sketches, sq_norms = whole.sketched(sketch_size, seed, by_layer)
            write_manifest(run, oporp.layers)
            shards = [
                Generated(
                    sketches[rows],
                    whole.margins[rows],
                    sq_norms[rows],
                    whole.signs[rows],
                )
                for start in range(0, len(sketches), _SHARD)
                for rows in [slice(start, start + _SHARD)]
            ]
            write_set(run, pairs, shards, dtype)
        return score_run(run, config, ["query"])[0]


def agreement(scores: np.ndarray, exact: np.ndarray) -> dict[str, float]:
    """Pearson's and Spearman's correlation, and the share of the most harmful 1% of
    labels by `exact` that are among the most harmful 1% by `scores`."""
    top = max(1, len(exact) // 100)
    same = set(np.argsort(-scores)[:top]) & set(np.argsort(-exact)[:top])
    return {
        "pearson": float(pearsonr(scores, exact).statistic),
        "spearman": float(spearmanr(scores, exact).statistic),
        "top_1_percent": len(same) / top,
    }
