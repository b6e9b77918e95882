"""Contenders run in turn, repeated: on a shared machine only ratios mean something."""

import statistics
import time
from collections.abc import Callable, Mapping

Figures = dict[str, float | list[float]]


def run_in_turn(
    contenders: Mapping[str, Callable[[], int]], repeats: int
) -> dict[str, Figures]:
    """{name: figures} after all contenders ran once, then all again, and so on.

    A contender does its work once and returns how many pairs it did.
    """
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, contender in contenders.items():
            started = time.perf_counter()
            num_pairs = contender()
            found[name].append((time.perf_counter() - started) / num_pairs)
    return {name: figures(seconds) for name, seconds in found.items()}


def figures(seconds_per_pair: list[float]) -> Figures:
    """Median, fastest and slowest of the repeats."""
    rates = [1 / seconds for seconds in seconds_per_pair]
    return {
        "pairs_per_s": statistics.median(rates),
        "pairs_per_s_range": [min(rates), max(rates)],
        "seconds_per_pair": seconds_per_pair,
    }


def ratio(found: dict[str, Figures], over: str, under: str) -> float:
    """Median over the repeats of time(over) / time(under), each pair of neighbours."""
    pairs = zip(
        found[over]["seconds_per_pair"],  # type: ignore[arg-type]
        found[under]["seconds_per_pair"],  # type: ignore[arg-type]
        strict=True,
    )
    return statistics.median(a / b for a, b in pairs)
