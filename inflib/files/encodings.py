"""Bytes to text: byte-order marks are honoured, and bytes that are no text are marked,
so that one row is lost and not the file."""

import codecs
import io
import re
from typing import Any

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_MARKED = re.compile("[\udc80-\udcff]")
"""Bytes that are no text in the encoding; text that was decoded has none of these."""


def _mark(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    wrong = error.object[error.start : error.end] or b"\x80"
    return "".join(chr(0xDC00 + (byte | 0x80)) for byte in wrong), error.end


codecs.register_error("inflib-mark", _mark)


def decoded(stream: Any, encoding: str, newline: str) -> io.TextIOWrapper:
    """The text in a stream. encoding: where it has no byte-order mark; newline: as for
    io.TextIOWrapper. Raises ValueError for an encoding that is not known."""
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise ValueError(
            f"encoding {encoding!r} is not known; try cp1252, latin-1 or utf-16"
        ) from None
    buffered = io.BufferedReader(stream, 2**16)
    head = buffered.peek(64)[:64]
    bom = next((name for mark, name in _BOMS if head.startswith(mark)), None)
    if codecs.lookup(encoding).name == "utf-8":
        encoding = bom or _sniffed(head) or "utf-8"
    return io.TextIOWrapper(buffered, encoding, "inflib-mark", newline)


def has_bom(head: bytes) -> bool:
    """Whether bytes start with a byte-order mark, or are UTF-16 without one."""
    return any(head.startswith(mark) for mark, _ in _BOMS) or _sniffed(head) is not None


def problem_in(text: str, encoding: str) -> str | None:
    """What is wrong with a decoded text; None where it is whole."""
    found = _MARKED.search(text)
    if found is None:
        return None
    byte = ord(found[0]) - 0xDC00
    return f"byte 0x{byte:02x} is not {encoding}; set `encoding`, such as cp1252"


def _sniffed(head: bytes) -> str | None:
    """utf-16-le or utf-16-be, for text that has a zero byte in each first character."""
    if len(head) >= 8 and not any(head[1:8:2]) and all(head[0:8:2]):
        return "utf-16-le"
    if len(head) >= 8 and not any(head[0:8:2]) and all(head[1:8:2]):
        return "utf-16-be"
    return None
