"""Values to the files in report/data/: calls of a function, which a page can load from
disk where it may not fetch.

Each is inflibData(kind, number, value); in pure ASCII, with < escaped, so that nothing
in it can end a script. Large values are deflated (zlib) and in base64: numbers, in
little-endian order, and JSON.
"""

import base64
import json
import math
import re
import zlib
from typing import Any

import numpy as np

_SURROGATES = re.compile("[\ud800-\udfff]")
_LEVEL = 6


def data_file(kind: str, number: int, value: Any) -> bytes:
    """Contents of a file. value: of `plain` types."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return f"inflibData({json.dumps(kind)},{number},{text});\n".replace(
        "<", "\\u003c"
    ).encode("ascii")


def plain(value: Any) -> Any:
    """A value for JSON: numbers that are not finite become null, lone surrogates
    U+FFFD, NumPy's numbers Python's."""
    if isinstance(value, str):
        return _SURROGATES.sub("\ufffd", value)
    if isinstance(value, dict):
        return {plain(str(key)): plain(x) for key, x in value.items()}
    if isinstance(value, list | tuple):
        return [plain(x) for x in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def packed(array: np.ndarray) -> str:
    """The array's numbers, little-endian, deflated, in base64."""
    data = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return _compressed(data.tobytes())


def deflated(value: Any) -> str:
    """The value as JSON, deflated, in base64; lone surrogates become U+FFFD."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _compressed(_SURROGATES.sub("\ufffd", text).encode())


def _compressed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, _LEVEL)).decode("ascii")
