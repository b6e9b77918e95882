"""Contenders to their speeds, run in turn several times.

On a shared machine only ratios of neighbouring runs mean something.
"""

import statistics
import time
from collections.abc import Callable, Mapping

Speed = dict[str, float | list[float]]
"""pairs_per_s, pairs_per_s_range, seconds_per_pair (of each repeat)."""


def run_in_turn(
    contenders: Mapping[str, Callable[[], int]], repeats: int
) -> dict[str, Speed]:
    """Speed of each contender by name: all run once, then all again, and so on.

    A contender goes over its pairs once and returns how many they were.
    """
    seconds_per_pair: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, contender in contenders.items():
            started = time.perf_counter()
            num_pairs = contender()
            seconds_per_pair[name].append((time.perf_counter() - started) / num_pairs)
    return {name: speed_of(seconds) for name, seconds in seconds_per_pair.items()}


def speed_of(seconds_per_pair: list[float]) -> Speed:
    """Median and range of pairs per second over the repeats."""
    rates = [1 / seconds for seconds in seconds_per_pair]
    return {
        "pairs_per_s": statistics.median(rates),
        "pairs_per_s_range": [min(rates), max(rates)],
        "seconds_per_pair": seconds_per_pair,
    }


def ratio(speeds: dict[str, Speed], over: str, under: str) -> float:
    """Median of time(over) / time(under), two contenders in the same repeat."""
    repeats = zip(
        speeds[over]["seconds_per_pair"],  # type: ignore[arg-type]
        speeds[under]["seconds_per_pair"],  # type: ignore[arg-type]
        strict=True,
    )
    return statistics.median(a / b for a, b in repeats)
