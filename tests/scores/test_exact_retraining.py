"""Influence against true retraining: a convex Bradley-Terry model, solved exactly."""

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


def simulated():
    """(features, signs) of N + Q labels by a Bradley-Terry model."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(N + Q, K, generator=generator, dtype=torch.float64)
    truth = torch.randn(K, generator=generator, dtype=torch.float64)
    uniform = torch.rand(N + Q, generator=generator)
    return features, torch.where(uniform < torch.sigmoid(features @ truth), 1, -1)


FEATURES, SIGNS = simulated()


def fit(features, signs, weights, theta=None):
    """Minimum of mean weighted loss + ridge: Newton's method, from theta or zero."""
    steps, n = 30 if theta is None else 6, len(features)
    theta = torch.zeros(K, dtype=torch.float64) if theta is None else theta
    for _ in range(steps):
        margins = features @ theta
        first = -torch.sigmoid(-signs * margins) * signs * weights
        second = torch.sigmoid(margins) * torch.sigmoid(-margins) * weights
        grad = first @ features / n + RIDGE * theta
        eye = torch.eye(K, dtype=torch.float64)
        hessian = (second[:, None] * features).T @ features / n + RIDGE * eye
        theta = theta - torch.linalg.solve(hessian, grad)
    return theta


def query_loss(theta, loss):
    margins = SIGNS[N:] * (FEATURES[N:] @ theta)
    if loss == "margin":
        return -float(margins.mean())
    return float(torch.nn.functional.softplus(-margins).mean())


def retrained(change, loss):
    """Query loss after each label's change, minus that before."""
    theta = fit(FEATURES[:N], SIGNS[:N], torch.ones(N))
    before = query_loss(theta, loss)
    changes = []
    for i in range(N):
        signs, weights = SIGNS[:N].clone(), torch.ones(N)
        if change == "drop":
            weights[i] = 0
        else:
            signs[i] *= -1
        retrained_theta = fit(FEATURES[:N], signs, weights, theta)
        changes.append(query_loss(retrained_theta, loss) - before)
    return torch.tensor(changes)


@pytest.fixture(scope="module", params=["bradley_terry", "margin"])
def scored(request, tmp_path_factory):
    """(name of the query loss, rows of scores on it)."""
    run = Folder(str(tmp_path_factory.mktemp("convex")))
    theta = fit(FEATURES[:N], SIGNS[:N], torch.ones(N))
    write_manifest(run, [Layer("all", K, 0, K)])
    for pairs, rows in (("train", slice(0, N)), ("q", slice(N, N + Q))):
        s = FEATURES[rows]
        sq_norms = s.square().sum(1, keepdim=True)
        shard = Generated(s.float(), s @ theta, sq_norms, SIGNS[rows].tolist())
        write_set(run, pairs, [shard])
    margins = FEATURES[:N] @ theta
    second = torch.sigmoid(margins) * torch.sigmoid(-margins)
    trace = float((second * FEATURES[:N].square().sum(1)).mean())
    config = ScoreConfig(
        curvatures=("gauss_newton",),
        query_loss=request.param,
        damping=(RIDGE / trace,),
        tolerance=1e-8,
    )
    return request.param, score_run(run, config, ["q"])[0].to_pylist()


@pytest.mark.parametrize("change", ["drop", "flip"])
def test_scores_predict_what_retraining_without_a_label_or_with_it_flipped_does(
    scored, change
):
    loss, rows = scored
    name = {"drop": "influence", "flip": "flip_effect"}[change]
    sign = {"drop": -1, "flip": 1}[change]
    predicted = sign * torch.tensor([row[f"{name}_gauss_newton_q"] for row in rows]) / N
    actual = retrained(change, loss)
    assert spearmanr(predicted, actual).statistic >= 0.99
    slope = float(predicted @ actual / (predicted @ predicted))
    assert slope == pytest.approx(1, abs=0.2)  # first order, in units of query loss
