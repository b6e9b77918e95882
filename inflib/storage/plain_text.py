"""Texts of the data made safe to show: in a terminal, on a page, in a spreadsheet.

A labeler's name, a prompt or a column may hold anything: sequences that move a
terminal's cursor or write its clipboard, characters that turn the reading direction
over, formulas that a spreadsheet runs.
"""

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

_SEQUENCES = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    "|(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\\\|\x9c)"
    "|\x1b[ -/]*[0-~]"
)
"""Control sequences of terminals (ECMA-48, sections 5.4 to 5.6), in 7 and 8 bits."""

_JOINERS = "\u200c\u200d"
"""Format characters that scripts and emoji are written with; they do no harm."""

_FORMULA = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\n",
    "\uff1d",
    "\uff0b",
    "\uff0d",
    "\uff20",
)
"""Beginnings of a cell that spreadsheets take for a formula (OWASP, CSV injection); the
last four are the first four in full width."""


def printable(text: str, lines: bool = False) -> str:
    """The text without control sequences of terminals, and with a space for every other
    character that is not printed: control characters (C0 and C1), bidirectional
    overrides, lone surrogates. lines: line breaks and tabs stay."""
    kept = _JOINERS + ("\n\t" if lines else "")
    plain = _SEQUENCES.sub("", text)
    return "".join(c if c.isprintable() or c in kept else " " for c in plain)


def shorten(text: str, width: int = 60) -> str:
    """One printable line of at most `width` characters."""
    line = " ".join(printable(text).split())
    return line if len(line) <= width else line[: width - 1] + "…"


def first_line(error: Exception) -> str:
    """The first line of what an error says; its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def without_credentials(text: str) -> str:
    """The text with *** for what stands before the host of its URLs: user:password@."""
    return re.sub(r"(://)[^/?#\s@]*(?:@[^/?#\s@]*)*@", r"\1***@", text)


def csv_text(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A CSV file. Texts that a spreadsheet would run get an apostrophe in front, which
    `csv_cell` takes away again; numbers stay numbers."""
    text = io.StringIO()
    writer = csv.writer(text)
    for row in (header, *rows):
        writer.writerow([_guarded(x) if isinstance(x, str) else x for x in row])
    return text.getvalue()


def csv_cell(cell: str) -> str:
    """The text that `csv_text` wrote as this cell."""
    return cell[1:] if cell.startswith("'") and _guarded(cell[1:]) == cell else cell


def _guarded(text: str) -> str:
    # Apostrophes in front are looked through, so that csv_cell is the exact inverse.
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA) else text
