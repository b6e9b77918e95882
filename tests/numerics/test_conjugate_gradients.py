"""Conjugate gradients, with and without the largest terms, against dense solves."""

import numpy as np
import pytest
import torch

from inflib.numerics import conjugate_gradients, quantized_products
from inflib.numerics.largest_terms import Preconditioner, Terms, unconditioned

K, N = 60, 200
LAMBDAS = [1e-3, 1.0, 1e-1]


def sketches(seed=0):
    """Norms over two orders of magnitude, and directions that all share."""
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(N, K, generator=generator)
    shared = torch.randn(N, 3, generator=generator) @ torch.randn(
        3, K, generator=generator
    )
    sizes = torch.randn(N, 1, generator=generator).exp()
    return (sizes * (normal + 2 * shared)).double()


def hessian(rows):
    return rows.T @ rows / len(rows)


def stored(rows, dtype):
    """Rows as Terms of weight 1 / N, and what they are when read back."""
    scale = rows.abs().amax(1) / 127
    if dtype == np.int8:
        payload = (rows / scale[:, None]).round().numpy().astype(np.int8)
    else:
        scale = torch.ones_like(scale)
        payload = rows.numpy().astype(np.float32)
    weights = torch.full((len(rows),), 1 / N, dtype=torch.float64)
    read = torch.from_numpy(payload.astype(np.float64)) * scale[:, None]
    return Terms(payload, scale, weights), read


def solved(matrix, vectors, lambdas=LAMBDAS, preconditioner=unconditioned, **options):
    state = conjugate_gradients.start(vectors, lambdas)
    solve(state, matrix, preconditioner, **options)
    return state


def solve(
    state, matrix, preconditioner=unconditioned, tolerance=1e-9, most=200, after=None
):
    conjugate_gradients.solve(
        state,
        lambda directions: matrix @ directions,
        preconditioner,
        tolerance,
        most,
        state.norms.numel(),
        after or (lambda: None),
    )


def exact(matrix, vectors, lam):
    return torch.linalg.solve(matrix + lam * torch.eye(K, dtype=torch.float64), vectors)


@pytest.fixture
def vectors():
    generator = torch.Generator().manual_seed(7)
    found = torch.randn(K, 4, generator=generator, dtype=torch.float64)
    found[:, 2] = 0  # of a query set without a gradient
    return found


@pytest.mark.parametrize("dtype", [np.int8, np.float32])
def test_every_lambda_is_solved_with_any_preconditioner(vectors, dtype):
    terms, rows = stored(sketches(), dtype)
    matrix = hessian(rows)
    for made in (unconditioned, Preconditioner(terms, float(matrix.trace()))):
        state = solved(matrix, vectors, preconditioner=made)
        assert state.lambdas.tolist() == sorted(LAMBDAS)
        for solution, residual, lam in zip(
            state.solutions, state.residuals, state.lambdas, strict=True
        ):
            expected = exact(matrix, vectors, lam)
            torch.testing.assert_close(solution, expected, rtol=1e-6, atol=1e-8)
            true = vectors - matrix @ solution - lam * solution
            norms = vectors.norm(dim=0).clamp(min=1)
            assert (true.norm(dim=0) / norms <= 2e-9).all()
            assert (residual <= 1e-9).all()


def test_all_terms_take_one_step_the_largest_take_few(vectors):
    terms, rows = stored(sketches(), np.float32)
    matrix, trace = hessian(rows), float(hessian(rows).trace())
    lambdas = [0.01 * trace]
    largest = rows.square().sum(1).argsort(descending=True)[:40].numpy()
    some = Terms(terms.payload[largest], terms.scales[largest], terms.weights[largest])
    steps = [
        solved(matrix, vectors, lambdas, made, tolerance=1e-3).steps
        for made in (
            Preconditioner(terms, trace),
            Preconditioner(some, trace),
            unconditioned,
        )
    ]
    assert steps[0] == 1
    assert steps[1] <= steps[2] / 2


@pytest.mark.parametrize("dtype", [np.int8, np.float32])
def test_the_preconditioner_is_the_inverse_of_its_terms_and_a_multiple_of_i(
    vectors, dtype
):
    terms, rows = stored(sketches()[:20], dtype)
    matrix = rows.T @ rows / N
    trace, lam = 3 * float(matrix.trace()), 0.1 * float(matrix.trace())
    rest = 2 * float(matrix.trace()) / K
    product = Preconditioner(terms, trace)(lam)(vectors)
    expected = exact(matrix, vectors, lam + rest)
    torch.testing.assert_close(product, expected, rtol=0, atol=1e-3 * expected.max())


def test_a_lambda_below_rounding_is_solved_as_well(vectors):
    terms, rows = stored(sketches(), np.int8)
    matrix = hessian(rows)
    made = Preconditioner(terms, float(matrix.trace()))
    lam = 1e-7 * float(matrix.trace())
    state = solved(matrix, vectors, [lam], made, tolerance=1e-6, most=2000)
    assert (state.residuals <= 1e-6).all()
    expected = exact(matrix, vectors, lam)
    torch.testing.assert_close(
        state.solutions[0], expected, rtol=0, atol=1e-3 * float(expected.abs().max())
    )


def test_a_stored_state_goes_on_with_the_same_bits(vectors):
    matrix = hessian(sketches())
    states = []
    whole = conjugate_gradients.start(vectors, LAMBDAS)

    def keep():
        states.append({k: v.clone() for k, v in whole.tensors().items()})

    solve(whole, matrix, after=keep)
    for place in (0, len(states) // 2, len(states) - 1):
        resumed = conjugate_gradients.State.of(states[place])
        solve(resumed, matrix)
        assert torch.equal(resumed.solutions, whole.solutions)
        assert resumed.steps == whole.steps


def test_max_steps_are_of_each_lambda(vectors):
    state = solved(hessian(sketches()), vectors, most=3)
    assert state.steps == 3 * len(LAMBDAS)
    assert (state.residuals.amax(1) > 1e-9).all()


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("dtype", [np.int8, np.float16, np.float32])
def test_gram_is_all_inner_products(monkeypatch, fast, dtype):
    if fast and not quantized_products._FAST_INTEGERS:
        pytest.skip("this CPU multiplies no bytes")
    monkeypatch.setattr(quantized_products, "_FAST_INTEGERS", fast)
    generator = np.random.default_rng(0)
    payload = generator.integers(-127, 128, (9, 5000)).astype(dtype)
    scales = torch.from_numpy(generator.random(9).astype(np.float32))
    wide = torch.from_numpy(payload.astype(np.float64)) * scales.double()[:, None]
    found = quantized_products.gram(payload, scales)
    expected = wide @ wide.T
    if dtype == np.int8:
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    else:
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1)


def test_products_that_are_rounded_are_seen_when_the_residual_is_measured(vectors):
    matrix, smallest = hessian(sketches()), 1e-4

    def multiply(directions):
        most = directions.abs().amax(0).clamp(min=1e-300)
        return matrix @ ((directions / most * 2**14).round() / 2**14 * most)

    state = conjugate_gradients.start(vectors, [smallest])
    conjugate_gradients.solve(
        state, multiply, unconditioned, 1e-3, 2000, vectors.shape[1], lambda: None
    )
    said = state.residuals[0].clone()
    assert said.max() <= 1e-3
    conjugate_gradients.measure(state, vectors, lambda x: matrix @ x)
    left = vectors - matrix @ state.solutions[0] - smallest * state.solutions[0]
    exact = left.norm(dim=0) / vectors.norm(dim=0).clamp(min=1e-300)
    torch.testing.assert_close(state.residuals[0], exact)
    assert exact.max() > 2 * said.max()
