"""Every curvature against dense formulas in float64, on a store of known gradients."""

import numpy as np
import pytest
import torch

from inflib.benchmarks.fake_store import Generated, write_manifest, write_set
from inflib.scores import solver as solver_module
from inflib.scores.passes import Passes
from inflib.scores.query_vectors import read_queries
from inflib.scores.solver import Solver
from inflib.storage.folder import Folder
from tests.support.known_store import (
    LAYERS,
    NUM_PARAMETERS,
    QUERY,
    SIZES,
    TRAIN,
    K,
    build_store,
    column,
    gather,
    loss_grads,
    score_config,
    scored,
)


def dense(kind, damping):
    """Influence of every label, by solving with the matrix itself."""
    grads, v = loss_grads(TRAIN), loss_grads(QUERY).mean(0)
    s, margins, _ = gather(TRAIN)
    if kind == "identity":
        return -grads @ v
    if kind == "datainf":
        return -grads @ datainf(grads, v, damping / NUM_PARAMETERS)
    if kind == "datainf_layer":
        ihvps = [
            datainf(grads[:, y.bins], v[y.bins], damping / y.num_parameters)
            for y in LAYERS
        ]
        return -grads @ torch.cat(ihvps)
    weights = torch.sigmoid(margins) * torch.sigmoid(-margins)
    factor = weights.sqrt()[:, None] * s if kind == "gauss_newton" else grads
    matrix = factor.T @ factor / len(factor)
    eye = torch.eye(K, dtype=torch.float64)
    return -grads @ torch.linalg.solve(matrix + damping * matrix.trace() * eye, v)


def datainf(grads, v, scale):
    lam = scale * grads.square().sum(1).mean()
    eye = torch.eye(len(v), dtype=torch.float64)
    inverses = [torch.linalg.inv(torch.outer(g, g) + lam * eye) for g in grads]
    return sum(inverses) / len(grads) @ v


@pytest.mark.parametrize("damping", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("kind", ["gauss_newton", "empirical_fisher"])
def test_iterated_curvatures_equal_a_dense_solve(run, kind, damping):
    rows, records = scored(run, score_config(kind, damping=(damping,)))
    exact = dense(kind, damping).numpy()
    influence = column(rows, f"influence_{kind}_q")
    np.testing.assert_allclose(influence, exact, atol=2e-5 * np.abs(exact).max())
    least = 1e-8 if damping > 1e-3 else 1e-4  # measured, with products in float32
    assert records[kind].queries["q"].sweep[0].residual < least


@pytest.mark.parametrize("damping", [1e-3, 0.1, 1e4])
@pytest.mark.parametrize("kind", ["datainf", "datainf_layer", "identity"])
def test_closed_forms_equal_the_mean_of_dense_inverses(run, kind, damping):
    rows, _ = scored(run, score_config(kind, datainf_damping=damping))
    exact = dense(kind, damping).numpy()
    influence = column(rows, f"influence_{kind}_q")
    np.testing.assert_allclose(influence, exact, atol=2e-5 * np.abs(exact).max())


def test_a_sweep_is_the_single_dampings_side_by_side(run):
    dampings = (1e-3, 1.0, 1e-1)
    swept, records = scored(
        run, score_config("gauss_newton", damping=dampings, keep_sweep=True)
    )
    for damping in dampings:
        exact = dense("gauss_newton", damping).numpy()
        influence = column(swept, f"influence_gauss_newton_{damping:g}_q")
        np.testing.assert_allclose(influence, exact, atol=2e-5 * np.abs(exact).max())
    chosen = records["gauss_newton"].queries["q"]
    assert [candidate.damping for candidate in chosen.sweep] == sorted(dampings)
    same = f"influence_gauss_newton_{chosen.damping:g}_q"
    assert column(swept, "influence_gauss_newton_q").tolist() == (
        column(swept, same).tolist()
    )


@pytest.mark.parametrize(("threshold", "expected"), [(-1.0, 0), (1.0, 2)])
def test_the_smallest_reliable_damping_is_chosen_else_the_largest(
    run, threshold, expected
):
    dampings = (1e-4, 1e-2, 1.0)
    config = score_config("gauss_newton", damping=dampings, reliability=threshold)
    chosen = scored(run, config)[1]["gauss_newton"].queries["q"]
    assert chosen.damping == dampings[expected]
    assert chosen.reliability == chosen.sweep[expected].reliability
    assert chosen.reliable == (threshold < 0)


@pytest.mark.parametrize("kind", ["gauss_newton", "empirical_fisher"])
def test_self_influence_is_the_quadratic_form_of_a_label(run, kind):
    config = score_config(kind, damping=(0.05,), self_probes=2000, tolerance=1e-6)
    rows, _ = scored(run, config)
    s, margins, _ = gather(TRAIN)
    grads = loss_grads(TRAIN)
    weights = torch.sigmoid(margins) * torch.sigmoid(-margins)
    factor = weights.sqrt()[:, None] * s if kind == "gauss_newton" else grads
    matrix = factor.T @ factor / len(factor)
    matrix += 0.05 * matrix.trace() * torch.eye(K, dtype=torch.float64)
    exact = (grads * torch.linalg.solve(matrix, grads.T).T).sum(1).numpy()
    influence = column(rows, f"self_influence_{kind}")
    # A mean of 2,000 squares has relative standard error sqrt(2 / 2000).
    np.testing.assert_allclose(influence, exact, rtol=5 * (2 / 2000) ** 0.5)


@pytest.mark.parametrize("kind", ["gauss_newton", "empirical_fisher"])
def test_the_errors_scale_is_how_much_damped_gradients_are_shorter(
    run, kind, monkeypatch
):
    monkeypatch.setattr(solver_module, "_ERROR_PROBES", 2000)
    config = score_config(kind, damping=(1e-3, 0.05), keep_sweep=True)
    passes = Passes(run, 4)
    solver = Solver(config, LAYERS, passes)
    columns, _ = solver.solve_all(read_queries(config, ["q"], passes))
    damped_by_name = dict(zip(columns.names, columns.damped, strict=True))
    s, margins, _ = gather(TRAIN)
    grads = loss_grads(TRAIN)
    weights = torch.sigmoid(margins) * torch.sigmoid(-margins)
    factor = weights.sqrt()[:, None] * s if kind == "gauss_newton" else grads
    matrix = factor.T @ factor / len(factor)
    # A comparison's term of H is the sum of those of its labels.
    label_leverage = factor.square().sum(1)
    same_comparison = (s[:, None] == s[None]).all(2).double()
    labels = [passes.train.labels(shard) for shard in passes.plan]
    for damping in config.sweep:
        lam = damping * float(matrix.trace())
        inverse = torch.linalg.inv(matrix + lam * torch.eye(K, dtype=torch.float64))
        ratios = (lam * grads @ inverse).norm(dim=1) / grads.norm(dim=1)
        own_term = 1 / (1 + same_comparison @ label_leverage / (len(s) * lam))
        exact = (ratios.square().mean() / own_term.square().mean()).sqrt()
        damped = damped_by_name[f"{kind}_{damping:g}_q"]
        assert damped is not None
        assert damped.factor == pytest.approx(float(exact), rel=0.05)
        assert damped.n_lambda == pytest.approx(len(s) * lam)
        predicted = torch.cat([damped(labels_of_shard) for labels_of_shard in labels])
        torch.testing.assert_close(predicted, damped.factor * own_term)
        assert np.corrcoef(predicted, ratios)[0, 1] > 0.7


def test_a_store_of_another_format_is_refused(tmp_path):
    run = build_store(tmp_path, TRAIN[:1])
    manifest = run.read_json("sketches/manifest.json")
    run.write_json("sketches/manifest.json", manifest | {"format": 1})
    with pytest.raises(ValueError, match="format 1, this version reads 2"):
        scored(run, score_config("identity"))


def test_too_few_steps_give_a_warning_with_the_residual(run, caplog):
    _, records = scored(run, score_config("gauss_newton", damping=(1e-4,), max_steps=2))
    record = records["gauss_newton"]
    assert record.steps == 2
    residual = record.queries["q"].sweep[0].residual
    assert residual > 1e-8
    assert f"residual of {residual:.2g} after 2 steps" in caplog.text


def test_much_damping_ranks_like_the_plain_dot_product(run):
    config = score_config(
        "gauss_newton", "empirical_fisher", "identity", damping=(1e6,)
    )
    rows, _ = scored(run, config)
    plain = column(rows, "influence_identity_q")
    for kind in ("gauss_newton", "empirical_fisher"):
        influence = column(rows, f"influence_{kind}_q")
        np.testing.assert_allclose(
            influence / influence.max(), plain / plain.max(), rtol=1e-4
        )


def test_little_damping_is_the_pseudo_inverse(tmp_path):
    # Queries among the training labels: in the span of H, where its inverse exists.
    run = Folder(str(tmp_path))
    write_manifest(run, LAYERS)
    write_set(run, "train", TRAIN[:1])
    write_set(run, "q", TRAIN[:1])
    config = score_config("empirical_fisher", damping=(1e-9,), max_steps=400)
    rows, _ = scored(run, config)
    grads = loss_grads(TRAIN[:1])
    inverse = torch.linalg.pinv(grads.T @ grads / len(grads), rcond=1e-7)
    exact = (-grads @ inverse @ grads.mean(0)).numpy()
    influence = column(rows, "influence_empirical_fisher_q")
    np.testing.assert_allclose(influence, exact, atol=1e-3 * np.abs(exact).max())


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_stored_dtypes_change_rounding_only(run, tmp_path, dtype):
    config = score_config("gauss_newton", "datainf", damping=(1.0,))
    exact, _ = scored(run, config)
    rounded, _ = scored(build_store(tmp_path, TRAIN, dtype), config)
    for name in ("influence_gauss_newton_q", "influence_datainf_q"):
        error = column(rounded, name) - column(exact, name)
        step = {"float16": 2e-3, "int8": 3e-2}[dtype]
        assert np.abs(error).max() < step * np.abs(column(exact, name)).max()


def test_shards_change_rounding_only_and_zero_gradients_nothing(run, tmp_path):
    starts = np.cumsum([0, *SIZES[:-1]])
    rows = [
        row + int(start)
        for shard, start in zip(TRAIN, starts, strict=True)
        for row in shard.rows
    ]
    signs = [sign for s in TRAIN for sign in s.signs]
    # A zero gradient and one that is not finite count in nothing.
    odd = torch.tensor([0.0, torch.nan])
    joined = Generated(
        torch.cat([*(s.sketches for s in TRAIN), torch.zeros(2, K)]),
        torch.cat([*(s.margins for s in TRAIN), odd]),
        torch.cat([*(s.sq_norms for s in TRAIN), odd[:, None].expand(2, 3)]),
        [*signs, 1, -1],
        [*rows, sum(SIZES), sum(SIZES) + 1],
    )
    kinds = ("gauss_newton", "datainf", "datainf_layer", "empirical_fisher", "identity")
    config = score_config(*kinds, damping=(1e-2,))
    apart, _ = scored(run, config)
    together, _ = scored(build_store(tmp_path, [joined]), config)
    for kind in kinds:
        for stem in ("influence", "error", "flip_effect"):
            expected = column(apart, f"{stem}_{kind}_q")
            values = column(together, f"{stem}_{kind}_q")
            assert values[-2] == 0 and values[-1] is None
            atol = 1e-5 * np.abs(expected).max()
            np.testing.assert_allclose(
                values[:-2].astype(float), expected, rtol=1e-4, atol=atol
            )


def test_a_layer_of_zero_gradients_is_skipped(tmp_path):
    shards = []
    for shard in TRAIN:
        sketches, sq_norms = shard.sketches.clone(), shard.sq_norms.clone()
        sketches[:, LAYERS[1].bins], sq_norms[:, 1] = 0, 0
        shards.append(
            Generated(sketches, shard.margins, sq_norms, shard.signs, shard.rows)
        )
    rows, records = scored(build_store(tmp_path, shards), score_config("datainf_layer"))
    assert records["datainf_layer"].lambdas["l.1"] == 0
    assert np.isfinite(column(rows, "influence_datainf_layer_q")).all()
