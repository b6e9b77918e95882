"""Influence against true retraining: a convex Bradley-Terry model, solved exactly."""

from dataclasses import dataclass, replace

import pytest
import torch
from scipy.stats import spearmanr

from inflib.benchmarks.fake_store import Generated, write_manifest, write_set
from inflib.config.score import ScoreConfig
from inflib.numerics.layer_bins import Layer
from inflib.scores.score_run import score_run
from inflib.storage.folder import Folder

N, Q, K = 300, 40, 8  # training labels, query labels, features
RIDGE = 0.02


@dataclass(frozen=True)
class Data:
    """Labels of a linear reward model, float64."""

    features: torch.Tensor
    signs: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    required: torch.Tensor

    def rows(self, start, stop):
        return Data(*(column[start:stop] for column in vars(self).values()))

    def losses(self, theta):
        """By torch's cross-entropy with soft targets."""
        margins = self.signs * (self.features @ theta) - self.required
        return self.weights * torch.nn.functional.binary_cross_entropy_with_logits(
            margins, self.targets, reduction="none"
        )


def simulated(soft):
    """N + Q labels by a Bradley-Terry model; soft: with ties, votes, strengths and
    margins."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(N + Q, K, generator=generator, dtype=torch.float64)
    truth = torch.randn(K, generator=generator, dtype=torch.float64)
    uniform = torch.rand(N + Q, generator=generator)
    signs = torch.where(uniform < torch.sigmoid(features @ truth), 1, -1)

    def drawn(*values):
        picks = torch.randint(len(values), (N + Q,), generator=generator)
        return torch.tensor(values, dtype=torch.float64)[picks]

    if not soft:
        ones = torch.ones(N + Q, dtype=torch.float64)
        return Data(features, signs, ones, ones, 0 * ones)
    targets = drawn(1.0, 1.0, 0.5, 2 / 3, 0.9)
    return Data(features, signs, targets, drawn(1.0, 0.5, 2.0), drawn(0.0, 0.4))


def fit(labels, n, theta=None):
    """Minimum of the sum of losses over n + ridge: Newton's method with autograd's
    derivatives, from theta or zero."""
    steps = 30 if theta is None else 6
    theta = torch.zeros(K, dtype=torch.float64) if theta is None else theta

    def loss(theta):
        return labels.losses(theta).sum() / n + RIDGE / 2 * theta @ theta

    for _ in range(steps):
        theta = theta.detach().requires_grad_(True)
        (grad,) = torch.autograd.grad(loss(theta), theta, create_graph=True)
        rows = [torch.autograd.grad(g, theta, retain_graph=True)[0] for g in grad]
        theta = theta - torch.linalg.solve(torch.stack(rows), grad)
    return theta.detach()


def query_loss(labels, theta, loss):
    if loss == "margin":
        margins = labels.signs * (labels.features @ theta)
        losses = -labels.weights * (2 * labels.targets - 1) * margins
    else:
        losses = labels.losses(theta)
    return float(losses.sum() / labels.weights.sum())


@pytest.fixture(scope="module", params=[False, True], ids=["sure", "soft"])
def labels(request):
    return simulated(request.param)


@pytest.fixture(scope="module")
def retrained(labels):
    """Model with all labels, and {change: models after each label's change}."""
    train = labels.rows(0, N)
    n = train.weights.sum()
    theta = fit(train, n)
    models: dict[str, list[torch.Tensor]] = {"drop": [], "flip": []}
    for i in range(0, N, 3):
        weights, signs = train.weights.clone(), train.signs.clone()
        weights[i], signs[i] = 0, -signs[i]
        models["drop"].append(fit(replace(train, weights=weights), n, theta))
        models["flip"].append(fit(replace(train, signs=signs), n, theta))
    return theta, models


@pytest.fixture(scope="module", params=["bradley_terry", "margin"])
def scored(request, labels, retrained, tmp_path_factory):
    """(name of the query loss, rows of scores on it)."""
    run = Folder(str(tmp_path_factory.mktemp("convex")))
    theta, _ = retrained
    write_manifest(run, [Layer("all", K, 0, K)])
    for pairs, rows in (("train", (0, N)), ("q", (N, N + Q))):
        part = labels.rows(*rows)
        s = part.features
        shard = Generated(
            s.float(),
            s @ theta,
            s.square().sum(1, keepdim=True),
            part.signs.tolist(),
            targets=part.targets.tolist(),
            weights=part.weights.tolist(),
            required=part.required.tolist(),
        )
        write_set(run, pairs, [shard])
    train = labels.rows(0, N)
    excess = train.signs * (train.features @ theta) - train.required
    second = train.weights * torch.sigmoid(excess) * torch.sigmoid(-excess)
    trace = (second * train.features.square().sum(1)).sum() / train.weights.sum()
    config = ScoreConfig(
        curvatures=("gauss_newton",),
        query_loss=request.param,
        damping=(RIDGE / float(trace),),
        tolerance=1e-8,
    )
    return request.param, score_run(run, config, ["q"])[0].to_pylist()


@pytest.mark.parametrize("change", ["drop", "flip"])
def test_scores_predict_what_retraining_without_a_label_or_with_it_flipped_does(
    labels, retrained, scored, change
):
    loss, rows = scored
    theta, models = retrained
    query, n = labels.rows(N, N + Q), float(labels.weights[:N].sum())
    name = {"drop": "influence", "flip": "flip_effect"}[change]
    sign = {"drop": -1, "flip": 1}[change]
    scores = [row[f"{name}_gauss_newton_q"] for row in rows[::3]]
    predicted = sign * torch.tensor(scores) / n
    before = query_loss(query, theta, loss)
    actual = torch.tensor([query_loss(query, m, loss) - before for m in models[change]])
    assert spearmanr(predicted, actual).statistic >= 0.99
    slope = float(predicted @ actual / (predicted @ predicted))
    assert slope == pytest.approx(1, abs=0.2)  # first order, in units of query loss


def test_the_loss_in_the_table_is_the_one_that_was_minimised(labels, retrained, scored):
    losses = labels.rows(0, N).losses(retrained[0])
    table = torch.tensor([row["loss"] for row in scored[1]], dtype=torch.float64)
    torch.testing.assert_close(table, losses)
