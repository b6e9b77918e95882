"""A folder with a model's weights to a digest that is quick to compute."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

_HASHED_WHOLE = 256 * 2**20
"""Bytes up to which a file is hashed whole."""


def digest_folder(folder: str) -> str:
    """SHA-256 of a local folder's files, their names and contents.

    Of a file over 256 MiB: size, first MiB and last MiB instead of the contents.
    """
    total = hashlib.sha256()
    for path in sorted(Path(folder).iterdir()):
        if path.is_file():
            total.update(path.name.encode() + b"\0")
            for chunk in _contents(path):
                total.update(chunk)
    return total.hexdigest()


def _contents(path: Path) -> Iterator[bytes]:
    size = path.stat().st_size
    with open(path, "rb") as file:
        if size <= _HASHED_WHOLE:
            while chunk := file.read(2**20):
                yield chunk
            return
        yield str(size).encode()
        yield file.read(2**20)
        file.seek(-(2**20), 2)
        yield file.read()
