"""Products on stored bytes against float64; integers in any order, to the bit."""

import numpy as np
import pytest
import torch

from inflib.numerics import quantized_products
from inflib.numerics.quantized_products import Vectors
from inflib.sketches import store

N, K, Q = 37, 500, 3


def normal(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


SKETCHES = normal(0, N, K).float() * torch.linspace(0.01, 9, N)[:, None]
SKETCHES[5] = 0
VECTORS = normal(1, K, Q)
VECTORS[:, 1] *= 1e-12
PREPARED = Vectors(VECTORS)
COEFFICIENTS = normal(2, N, Q)
COEFFICIENTS[:, 2] = 0


def stored(dtype):
    return store.encode(SKETCHES, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_products_equal_those_of_the_decoded_sketches_in_float64(dtype):
    payload, scales = stored(dtype)
    tolerance = 5e-5 if dtype == "int8" else 2e-6  # 16 bits of the vectors; float32
    exact = torch.from_numpy(payload.astype(np.float64)) * scales[:, None].double()
    for products, expected in (
        (quantized_products.times(payload, scales, PREPARED), exact @ VECTORS),
        (
            quantized_products.combine(payload, scales, COEFFICIENTS),
            exact.T @ COEFFICIENTS,
        ),
    ):
        assert products.dtype == torch.float64
        error = (products - expected).abs().amax(0)
        assert (error <= tolerance * expected.abs().amax(0)).all()


def test_integer_products_have_the_same_bits_in_any_order_and_cut():
    payload, scales = stored("int8")
    order = torch.randperm(K, generator=torch.Generator().manual_seed(3))
    whole = quantized_products.times(payload, scales, PREPARED)
    shuffled = payload[:, order.numpy()]
    assert torch.equal(
        quantized_products.times(shuffled, scales, Vectors(VECTORS[order])), whole
    )
    rows = torch.cat(
        [
            quantized_products.times(payload[i : i + 5], scales[i : i + 5], PREPARED)
            for i in range(0, N, 5)
        ]
    )
    assert torch.equal(rows, whole)
    usual = torch.get_num_threads()
    torch.set_num_threads(3)
    assert torch.equal(quantized_products.times(payload, scales, PREPARED), whole)
    torch.set_num_threads(usual)
    flipped = torch.arange(N - 1, -1, -1)
    assert torch.equal(
        quantized_products.combine(
            payload[::-1].copy(), scales[flipped], COEFFICIENTS[flipped]
        ),
        quantized_products.combine(payload, scales, COEFFICIENTS),
    )


def test_a_range_of_bins_needs_no_copy():
    payload, scales = stored("int8")
    bins = slice(100, 350)
    copied = np.ascontiguousarray(payload[:, bins])
    assert torch.equal(
        quantized_products.times(payload[:, bins], scales, Vectors(VECTORS[bins])),
        quantized_products.times(copied, scales, Vectors(VECTORS[bins])),
    )


def test_long_sums_do_not_overflow():
    payload = np.full((2, 200_000), 127, np.int8)
    ones = torch.ones(200_000, 1, dtype=torch.float64)
    exact = torch.full((2, 1), 127.0 * 200_000).double()
    across = quantized_products.times(payload, torch.ones(2), Vectors(ones))
    torch.testing.assert_close(across, exact)
    down = quantized_products.combine(payload.T.copy(), torch.ones(200_000), ones)
    torch.testing.assert_close(down, exact)


def test_integer_and_float32_instructions_give_the_same_exact_product(monkeypatch):
    generator = torch.Generator().manual_seed(1)
    left, right = (
        torch.randint(-128, 128, shape, generator=generator, dtype=torch.int8)
        for shape in ((5, 3000), (3000, 1100))
    )
    left[0], right[:, 0] = 127, -128  # the largest sums there are
    exact = left.double() @ right.double()
    for fast in (False, True):
        monkeypatch.setattr(quantized_products, "_FAST_INTEGERS", fast)
        assert torch.equal(quantized_products._product(left, right), exact)


@pytest.mark.parametrize("where", [torch, torch.cpu], ids=["_int_mm", "_is_vnni"])
def test_without_a_private_name_of_torch_the_bits_are_the_same(where, monkeypatch):
    payload, scales = stored("int8")
    monkeypatch.setattr(quantized_products, "_FAST_INTEGERS", True)
    by_integers = (
        quantized_products.times(payload, scales, PREPARED),
        quantized_products.combine(payload, scales, COEFFICIENTS),
    )
    name = "_int_mm" if where is torch else "_is_vnni_supported"
    monkeypatch.delattr(where, name)
    assert not quantized_products._has_fast_integers()
    monkeypatch.setattr(quantized_products, "_FAST_INTEGERS", False)
    assert torch.equal(
        quantized_products.times(payload, scales, PREPARED), by_integers[0]
    )
    assert torch.equal(
        quantized_products.combine(payload, scales, COEFFICIENTS), by_integers[1]
    )
