"""How far compressed scores are from those of whole gradients, on a trained model.

n  comparisons     d  trained parameters     k  entries of a sketch
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
from inflib.model.reward_folder import load_reward_model
from inflib.numerics.layer_bins import layer_of
from inflib.numerics.oporp import Oporp
from inflib.scores.score_run import score_run
from inflib.sketches.gradients import UnitGradients
from inflib.sketches.units import plan_units
from inflib.storage.folder import Folder

_ROWS, _SHARD = 64, 256


class WholeGradients:
    """Margins and whole margin gradients of some comparisons, and their labels."""

    def __init__(
        self,
        recipe: Recipe,
        pairs: str,
        most: int,
        model: Any,
        truth: str | None = None,
    ) -> None:
        """model: UnitGradients and the id of padding; truth: boolean column."""
        gradients, pad_id = model
        folder = PairsFolder(Folder(recipe.run) / "pairs" / pairs)
        rows: list[dict[str, Any]] = []
        self.signs: list[int] = []
        wrong: list[bool] = []
        names = ["row", "sign"] + ([truth] if truth else [])
        for shard in folder.plan():
            labels = folder.labels(shard, names).to_pylist()
            first = {label["row"]: label for label in reversed(labels)}
            found = folder.comparisons(shard, ["comparison_id", "prefix", "a", "b"])
            rows += found.to_pylist()
            self.signs += [first[i]["sign"] for i in range(len(found))]
            wrong += [bool(truth and first[i][truth]) for i in range(len(found))]
        rows, self.signs = rows[:most], self.signs[:most]
        self.wrong = np.array(wrong[:most])
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
            own = whole[done : done + len(batch)]

            def keep(block: str, grads: Tensor, own: Tensor = own) -> None:
                own[:, self.blocks[block]] = grads

            values.append(gradients(pack(batch, False, pad_id), keep).double())
            done += len(batch)
        self.grads: Float[Tensor, "n d"] = whole[plan.first]
        self.margins: Float[Tensor, " n"] = torch.cat(values)[plan.first]

    def weights(self) -> Float[Tensor, " n"]:
        signs = torch.tensor(self.signs)
        return -torch.sigmoid(-signs * self.margins) * signs

    def sketched(
        self, sketch_size: int, seed: int, by_layer: bool
    ) -> tuple[Oporp, Float[Tensor, "n k"], Float[Tensor, "n l"]]:
        """(projection, sketches, |s|^2 by layer)."""
        oporp = Oporp(self.sizes, sketch_size, seed, by_layer=by_layer)
        count = len(self.margins)
        sketches = torch.zeros(count, sketch_size)
        norms = {layer.name: torch.zeros(count).double() for layer in oporp.layers}
        for block, place in self.blocks.items():
            for start in range(0, count, _ROWS):
                rows = slice(start, start + _ROWS)
                oporp.add(sketches[rows], block, self.grads[rows, place])
            square = self.grads[:, place].double().square().sum(1)
            norms[oporp.layer_of[block]] += square
        return oporp, sketches, torch.stack(list(norms.values()), dim=1)

    def layers(self) -> list[list[slice]]:
        """Places of the blocks of each layer."""
        found: dict[str, list[slice]] = {}
        for block, place in self.blocks.items():
            found.setdefault(layer_of(block, True), []).append(place)
        return list(found.values())


def load(
    recipe: Recipe, num_train: int, query: str, truth: str | None = None
) -> tuple[WholeGradients, WholeGradients]:
    """Whole gradients of some training labels and of a query set.

    truth: boolean column of the training labels.
    """
    model, tokenizer = load_reward_model(recipe, torch.device("cpu"))
    both = UnitGradients(model), tokenizer.pad_token_id
    return (
        WholeGradients(recipe, "train", num_train, both, truth),
        WholeGradients(recipe, query, num_train, both),
    )


def exact_scores(
    train: WholeGradients, query: WholeGradients, config: ScoreConfig
) -> dict[Curvature, np.ndarray]:
    """Influence of every curvature from whole gradients, in float64 sums; the first
    damping of the sweep."""
    w, n = train.weights(), len(train.margins)
    v = (query.weights().float() @ query.grads) / len(query.margins)
    aligned, gram = torch.zeros(n).double(), torch.zeros(n, n).double()
    by_layer = torch.zeros(n).double()
    for places in train.layers():
        own, inner, size = torch.zeros(n).double(), torch.zeros(n, n).double(), 0
        for place in places:
            part, size = train.grads[:, place], size + place.stop - place.start
            own += (part @ v[place]).double()
            inner += (part @ part.T).double()
        by_layer += _datainf(w, own, inner, config.datainf_damping / size)
        aligned, gram = aligned + own, gram + inner
    scale = config.datainf_damping / train.grads.shape[1]
    found: dict[Curvature, Tensor] = {
        "identity": aligned,
        "datainf": _datainf(w, aligned, gram, scale),
        "datainf_layer": by_layer,
    }
    h = torch.sigmoid(train.margins) * torch.sigmoid(-train.margins)
    terms: dict[Curvature, Tensor] = {"gauss_newton": h, "empirical_fisher": w.square()}
    for kind, weights in terms.items():
        lam = config.damping[0] * float((weights * gram.diagonal()).mean())
        # (A + lam)^-1 v = (v - S' R (lam n + R S S' R)^-1 R S v) / lam, R = root of h
        root = weights.sqrt()
        matrix = root[:, None] * gram * root / n + lam * torch.eye(n).double()
        inner = root * torch.linalg.solve(matrix, root * aligned)
        found[kind] = (aligned - gram @ inner / n) / lam
    return {kind: (-w * solved).numpy() for kind, solved in found.items()}


def _datainf(w: Tensor, aligned: Tensor, gram: Tensor, scale: float) -> Tensor:
    """s . H^-1 v of every comparison."""
    squares = w.square() * gram.diagonal()
    lam = scale * float(squares.mean())
    coefficients = w.square() * aligned / (lam + squares)
    return (aligned - gram @ coefficients / len(w)) / lam


def compressed_scores(
    train: WholeGradients,
    query: WholeGradients,
    config: ScoreConfig,
    dtype: str,
    sketch_size: int,
    seed: int,
) -> pa.Table:
    """Scores by way of a store of sketches, as an audit computes them."""
    by_layer = "datainf_layer" in config.curvatures
    with tempfile.TemporaryDirectory() as folder:
        run = Folder(str(Path(folder)))
        for pairs, whole in (("train", train), ("query", query)):
            made, sketches, norms = whole.sketched(sketch_size, seed, by_layer)
            write_manifest(run, made.layers)
            shards = [
                Generated(
                    sketches[rows], whole.margins[rows], norms[rows], whole.signs[rows]
                )
                for start in range(0, len(sketches), _SHARD)
                for rows in [slice(start, start + _SHARD)]
            ]
            write_set(run, pairs, shards, dtype)
        return score_run(run, config, ["query"])[0]


def agreement(found: np.ndarray, exact: np.ndarray) -> dict[str, float]:
    """Pearson, Spearman, and the share of the most harmful 1% that are the same."""
    top = max(1, len(exact) // 100)
    same = set(np.argsort(-found)[:top]) & set(np.argsort(-exact)[:top])
    return {
        "pearson": float(pearsonr(found, exact).statistic),
        "spearman": float(spearmanr(found, exact).statistic),
        "top_1_percent": len(same) / top,
    }
