"""Rows to tables in the terminal, and numbers with their intervals to text."""

import math
import re
import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from inflib.storage.plain_text import printable


def console() -> Console:
    """The terminal at its width; 160 characters where the output goes elsewhere."""
    return Console(width=None if sys.stdout.isatty() else 160)


def say(console: Console, text: str) -> None:
    """Print a text that may hold parts of the data: no markup, nothing that a terminal
    acts on."""
    console.print(Text(printable(text, lines=True)))


def table(rows: list[dict[str, Any]], title: str) -> Table:
    """Rows of equal fields as a table with the fields' names as its header.

    Texts and names are shown as they are (no markup), but for control characters.
    """
    shown = Table(title=Text(printable(title)), title_justify="left")
    for name in rows[0] if rows else ():
        number = isinstance(rows[0][name], int | float)
        shown.add_column(
            Text(printable(name)),
            justify="right" if number else "left",
            no_wrap=True,
            overflow="ellipsis",
            min_width=10 if number else 6,
        )
    for row in rows:
        shown.add_row(*[_cell(value) for value in row.values()])
    return shown


def _cell(value: Any) -> str | Text:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value + 0.0:.4g}"  # + 0.0: no minus before a zero
    return Text(printable(str(value)))


def with_interval(mean: float, low: float | None, high: float | None) -> str:
    """A number with its interval, all to two digits of the interval's half width."""
    if low is None or high is None:
        return f"{mean + 0.0:.3g}"
    values, half_width = (mean, low, high), (high - low) / 2
    if not 0 < half_width < math.inf:
        texts = [f"{x + 0.0:.3g}" for x in values]
    else:
        digits = 1 - math.floor(math.log10(half_width))
        plain = -4 <= digits <= 6 and max(map(abs, values)) < 1e7
        texts = [
            f"{round(x, digits) + 0.0:.{max(digits, 0)}f}" if plain else f"{x:.2e}"
            for x in values
        ]
    return f"{texts[0]} ({texts[1]} to {texts[2]})"


def percent(share: float, low: float | None = None, high: float | None = None) -> str:
    """A share with its interval, in percent."""
    ends = [None if end is None else 100 * end for end in (low, high)]
    text = with_interval(100 * share, *ends)
    return re.sub(r"-?\d[\d.]*(?:e[+-]\d+)?", r"\g<0>%", text)


def error_rate(quality: dict[str, Any]) -> str:
    """A labeler's error rate with its interval, in percent, of the facts of
    report.labeler_quality."""
    return percent(*(quality[f"error_{name}"] for name in ("rate", "low", "high")))
