"""OPORP: the law of its mean and variance, its bins, and its bits."""

import hashlib

import numpy as np
import pytest
import torch

from inflib.numerics.oporp import Oporp, by_rank, draw, in_order

D, K = 1000, 64


def clumped(seed: int) -> torch.Tensor:
    """Low-rank and blocky, as LoRA gradients are: neighbours carry the mass."""
    x = torch.randn(D, generator=torch.Generator().manual_seed(seed))
    x[:120] *= 10
    x[400:440] = 3.0
    return x.double()


def sketch(oporp: Oporp, x: torch.Tensor) -> torch.Tensor:
    into = torch.zeros(1, oporp.sketch_size, dtype=torch.float64)
    oporp.add(into, "all", x[None])
    return into[0]


def test_inner_products_are_unbiased_with_the_variance_of_the_paper():
    x, y = clumped(1), clumped(2) + 0.5 * clumped(1)
    seeds = 4000
    products = []
    for seed in range(seeds):
        oporp = Oporp({"all": D}, K, seed)
        products.append(float(sketch(oporp, x) @ sketch(oporp, y)))
    padded = -(-D // K) * K
    exact = float(x @ y)
    law = float(x @ x) * float(y @ y) + exact**2 - 2 * float((x * x) @ (y * y))
    variance = (padded - K) / (padded - 1) * law / K
    standard_error = (variance / seeds) ** 0.5
    assert abs(np.mean(products) - exact) < 4 * standard_error
    # The sample variance of a near-normal has relative standard error sqrt(2 / n).
    assert abs(np.var(products) / variance - 1) < 6 * (2 / seeds) ** 0.5


def test_a_contiguous_run_of_entries_spreads_over_the_bins_uniformly():
    bins, _ = draw(K * 200, K, seed=0)
    run = np.bincount(bins[: K * 20].numpy(), minlength=K)  # 20 expected in each
    # Drawn without replacement: hypergeometric, chi-square of K - 1 degrees.
    chi_square = float(((run - 20) ** 2 / (20 * (1 - 20 / 200))).sum())
    assert abs(chi_square - (K - 1)) < 4 * (2 * (K - 1)) ** 0.5


def test_every_bin_has_equally_many_places():
    bins, signs = draw(K * 10, K, seed=3)
    assert set(bins.bincount().tolist()) == {10}
    assert set(signs.tolist()) == {-1.0, 1.0}
    assert abs(float(signs.sum())) < 4 * (K * 10) ** 0.5


def test_the_same_bits_on_every_machine():
    bins, signs = draw(5000, 256, seed=7)
    digest = hashlib.sha256(bins.numpy().astype("<i4").tobytes())
    digest.update(signs.numpy().astype("<f4").tobytes())
    assert digest.hexdigest() == (
        "9fe3a706d4dc14fe12989ac88f63b0cc519d08b079c392d11c55a691eeecc172"
    )


def test_without_compression_it_is_a_rotation():
    x, y = clumped(1), clumped(2)
    oporp = Oporp({"all": D}, D, seed=0)
    torch.testing.assert_close(sketch(oporp, x) @ sketch(oporp, y), x @ y)


def test_blocks_add_up_to_the_whole():
    x = clumped(4)
    whole = sketch(Oporp({"all": D}, K, 5), x)
    blocks = Oporp({"a": 300, "b": 700}, K, 5)
    into = torch.zeros(1, K, dtype=torch.float64)
    blocks.add(into, "b", x[None, 300:])
    blocks.add(into, "a", x[None, :300])
    torch.testing.assert_close(into[0], whole)


@pytest.mark.parametrize(("seed", "layer"), [(1, 0), (0, 1)])
def test_seeds_and_layers_have_independent_bins_and_signs(seed, layer):
    n = K * 200
    bins, signs = draw(n, K, seed=0)
    other_bins, other_signs = draw(n, K, seed, layer)
    equal_bins = float((bins == other_bins).double().mean())
    assert abs(equal_bins - 1 / K) < 4 * (1 / K / n) ** 0.5
    assert abs(float((signs * other_signs).mean())) < 4 / n**0.5


def test_entries_of_a_chunk_for_a_gpu_never_share_a_bin_and_all_are_covered():
    bins, signs = draw(D, K, seed=0)
    chunks = by_rank(bins, signs)
    for source, chunk_bins, chunk_signs in chunks:
        assert source is not None
        assert len(set(chunk_bins.tolist())) == len(chunk_bins)
        assert torch.equal(chunk_bins, bins[source].long())
        assert torch.equal(chunk_signs, signs[source])
    covered = torch.cat([chunk.source for chunk in chunks if chunk.source is not None])
    assert sorted(covered.tolist()) == list(range(D))
    (whole,) = in_order(bins, signs)
    assert torch.equal(whole.bins, bins.long())


def test_the_number_of_threads_changes_no_bit():
    grads = torch.randn(5, 40_000, generator=torch.Generator().manual_seed(0))
    oporp, sketches, usual = Oporp({"all": 40_000}, K, 0), [], torch.get_num_threads()
    for threads in (1, 3):
        torch.set_num_threads(threads)
        into = torch.zeros(5, K)
        oporp.add(into, "all", grads)
        sketches.append(into)
    torch.set_num_threads(usual)
    assert torch.equal(*sketches)
