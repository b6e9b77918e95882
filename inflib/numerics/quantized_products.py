"""Payloads and vectors to inner products and sums, straight on the stored bytes.

    n  comparisons of a shard     k  entries of a sketch     q  vectors

A sketch is a stored row times its scale. int8 rows are multiplied as integers: a vector
is cut into two planes of eight bits (fixed point, 15 bits and a sign below the column's
largest entry, far below the rounding of the sketches), each product with a plane is
exact, so the result has the same bits in any order, on any machine and with any number
of threads. CPUs with VNNI instructions multiply bytes almost as fast as they are read;
elsewhere torch's integer product is some 60 times slower than float32's, which is just
as exact on few enough terms. Rows stored as floats are converted some at a time and
multiplied in float32.
"""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

Payload = np.ndarray
"""[n k] entries as stored: int8, float16 or float32; sketch = entries * scale."""

_ROWS_AT_ONCE = 128
_BINS_AT_ONCE = 2048  # sums over rows of so many bins stay in the cache
_EXACT = 1 << 17
"""Products of -127..127 and -128..127 that an int32 sums without overflow."""

_EXACT_IN_FLOAT32 = 1 << 10
"""Such products that float32 sums exactly: all partial sums are below 2^24."""


def _has_fast_integers() -> bool:
    """Whether this CPU has VNNI. Both functions of torch are private: without one of
    them, products are taken in float32, which has the same bits."""
    supported = getattr(torch.cpu, "_is_vnni_supported", None)
    return hasattr(torch, "_int_mm") and supported is not None and bool(supported())


_FAST_INTEGERS = _has_fast_integers()


class Vectors:
    """Vectors to be multiplied with many shards; converted for the product once."""

    def __init__(self, values: Float[Tensor, "k q"]) -> None:
        self.values = values

    @cached_property
    def in_float32(self) -> Float[Tensor, "k q"]:
        """The vectors rounded to float32, for float rows."""
        return self.values.float()

    @cached_property
    def planes(self) -> tuple[Int[Tensor, "k _"], Float[Tensor, "1 q"]]:
        """(both planes of each entry side by side [k, 2 q], step of each vector), for
        int8 rows."""
        planes, steps = _planes(self.values, 0)
        return planes.permute(1, 0, 2).flatten(1).contiguous(), steps


def times(
    payload: Payload, scales: Float[Tensor, " n"], vectors: Vectors
) -> Float[Tensor, "n q"]:
    """Inner product of every sketch with every vector, as float64.

    Exact for int8 rows, but for the vectors' rounding to 15 bits and a sign; summed in
    float32 for others.
    """
    if payload.dtype == np.int8:
        total = _exact_times(torch.from_numpy(payload), *vectors.planes)
    else:
        products = [chunk @ vectors.in_float32 for _, chunk in _in_float32(payload)]
        total = torch.cat(products).double()
    return total * scales[:, None].double()


def combine(
    payload: Payload,
    scales: Float[Tensor, " n"],
    coefficients: Float[Tensor, "n q"],
    total: Float[Tensor, "k q"] | None = None,
) -> Float[Tensor, "k q"]:
    """Sum over the sketches of coefficient times sketch, in float64.

    total: is added to, in place, and returned; `empty_total` makes one with the fast
    memory layout.
    """
    if total is None:
        total = empty_total(payload.shape[1], coefficients.shape[1])
    scaled = coefficients.double() * scales[:, None].double()
    if payload.dtype == np.int8:
        _exact_combine(scaled, torch.from_numpy(payload), total.T)
    else:
        for rows, chunk in _in_float32(payload):
            total.T.add_(scaled[rows].T.float() @ chunk)
    return total


def gram(payload: Payload, scales: Float[Tensor, " n"]) -> Float[Tensor, "n n"]:
    """Inner product of each two sketches, in float64; exact for int8 rows."""
    if payload.dtype == np.int8:
        entries = torch.from_numpy(payload)
        products = _product(entries, entries.T)
    else:
        products = torch.zeros(len(payload), len(payload), dtype=torch.float64)
        for start in range(0, payload.shape[1], _BINS_AT_ONCE):
            part = payload[:, start : start + _BINS_AT_ONCE].astype(np.float32)
            products += torch.from_numpy(part) @ torch.from_numpy(part).T
    wide = scales.double()
    return wide[:, None] * products * wide


def empty_total(size: int, columns: int) -> Float[Tensor, "k q"]:
    """Zeros to be added to by `combine`; each column is contiguous in memory."""
    return torch.zeros(columns, size, dtype=torch.float64).T


def _in_float32(payload: Payload) -> Iterator[tuple[slice, Float[Tensor, "_ k"]]]:
    """(rows, their entries in float32), some rows at a time."""
    for start in range(0, len(payload), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        yield rows, torch.from_numpy(payload[rows].astype(np.float32))


def _exact_times(
    entries: Int[Tensor, "n k"], planes: Int[Tensor, "k _"], steps: Float[Tensor, "1 q"]
) -> Float[Tensor, "n q"]:
    products = _product(entries, planes).view(len(entries), 2, -1)
    return _join(products.transpose(0, 1)) * steps


def _exact_combine(
    coefficients: Float[Tensor, "n q"],
    entries: Int[Tensor, "n k"],
    total: Float[Tensor, "q k"],
) -> None:
    # coefficients' planes times rows: twice as fast as the transpose
    planes, steps = _planes(coefficients.T.contiguous(), 1)
    rows, size = planes.flatten(0, 1), entries.shape[1]
    for start in range(0, size, _BINS_AT_ONCE):
        bins = slice(start, start + _BINS_AT_ONCE)
        products = _product(rows, entries[:, bins]).unflatten(0, (2, -1))  # [2, q, k]
        total[:, bins].addcmul_(_join(products), steps)


def _product(
    left: Int[Tensor, "i j"], right: Int[Tensor, "j m"]
) -> Float[Tensor, "i m"]:
    """Exact product of two int8 matrices, in float64."""
    step = _EXACT if _FAST_INTEGERS else _EXACT_IN_FLOAT32
    total = torch.zeros(len(left), right.shape[1], dtype=torch.float64)
    for start in range(0, len(right), step):
        terms = slice(start, start + step)
        if _FAST_INTEGERS:
            total += torch._int_mm(left[:, terms], right[terms])
        else:
            total += left[:, terms].float() @ right[terms].float()
    return total


def _planes(
    values: Float[Tensor, "i j"], axis: int
) -> tuple[Int[Tensor, "2 i j"], Tensor]:
    """(planes of high and low digits of the values, step of each column).

    value = step * (256 high + low), rounded; axis: the one along which a column runs.
    """
    values = values.double()
    largest = values.abs().amax(axis, keepdim=True)
    steps = torch.where(largest > 0, largest, 1.0) / (127 * 256)
    fixed = (values / steps).round_()
    high = torch.floor((fixed + 128) / 256)
    low = fixed - 256 * high  # -128 to 127
    return torch.stack([high, low]).to(torch.int8), steps


def _join(products: Float[Tensor, "2 i j"]) -> Float[Tensor, "i j"]:
    """Products with the values, in steps, of those with both planes."""
    high, low = products
    return 256 * high + low
