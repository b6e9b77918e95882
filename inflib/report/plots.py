"""What all figures share: PNG files of a run, by matplotlib."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from inflib.storage.folder import Folder

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555")
"""Okabe and Ito's, which colour-blind readers can tell apart."""

SQUARE, WIDE = (5.0, 4.6), (5.5, 3.6)
"""Inches."""


@contextmanager
def figure(folder: Folder, name: str, size: tuple[float, float]) -> Iterator[Any]:
    """Axes to draw on; written when the block ends."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=size, layout="constrained")
    axes = drawn.subplots()
    axes.set_prop_cycle(color=_COLOURS)
    axes.spines[["top", "right"]].set_visible(False)
    yield axes
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=160)
    folder.write(name, buffer.getvalue())


def mean_and_range(
    axes: Any, places: list[Any], values: list[list[float]], label: str
) -> None:
    """A line through means, in a band from least to most."""
    means = [sum(v) / len(v) for v in values]
    (line,) = axes.plot(places, means, "o-", label=label)
    lows, highs = [min(v) for v in values], [max(v) for v in values]
    axes.fill_between(places, lows, highs, alpha=0.2, color=line.get_color())
