"""Drawings on matplotlib's axes to PNG files of a run, all in one style."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from inflib.storage.folder import Folder

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555")
"""Okabe and Ito's colours, which colour-blind readers can tell apart."""

SQUARE, WIDE = (5.0, 4.6), (5.5, 3.6)
"""(width, height) of a figure in inches."""


@contextmanager
def figure(folder: Folder, name: str, size: tuple[float, float]) -> Iterator[Any]:
    """Axes to draw on; the figure is written to the folder when the block ends."""
    from matplotlib.figure import Figure

    plot = Figure(figsize=size, layout="constrained")
    axes = plot.subplots()
    axes.set_prop_cycle(color=_COLOURS)
    axes.spines[["top", "right"]].set_visible(False)
    yield axes
    buffer = io.BytesIO()
    plot.savefig(buffer, format="png", dpi=160)
    folder.write(name, buffer.getvalue())


def mean_and_range(
    axes: Any, places: list[Any], values: list[list[float]], label: str
) -> None:
    """Draw a line through the means of values, in a band from least to most.

    values: those at each place.
    """
    means = [sum(v) / len(v) for v in values]
    (line,) = axes.plot(places, means, "o-", label=label)
    lows, highs = [min(v) for v in values], [max(v) for v in values]
    axes.fill_between(places, lows, highs, alpha=0.2, color=line.get_color())
