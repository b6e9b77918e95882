"""Paths, folders and patterns to the files that are read, and whether they changed."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import unquote

import xxhash
from fsspec.implementations.local import LocalFileSystem

from inflib.files.containers import holds_rows
from inflib.files.table_rows import HUB, load
from inflib.storage.folder import open_filesystem
from inflib.synthetic import sources

_NAMES = (HUB, sources.PREFIX)
"""Prefixes of addresses that are not files."""

_SAMPLE = 2**20
"""Bytes of a file's start, middle and end that its fingerprint is made from."""

_EXTRAS = {
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "hf": "huggingface_hub",
}
"""{protocol: the package that opens it}."""


def find_files(path: str | tuple[str, ...]) -> list[str]:
    """The files, dataset folders, hub and generated names that `path` stands for.

    Those that match one pattern, or are in one folder, are sorted. Raises
    FileNotFoundError naming a pattern that matches nothing, and ValueError naming the
    package that an address needs.
    """
    files: list[str] = []
    for pattern in (path,) if isinstance(path, str) else path:
        if is_named(pattern):
            files.append(pattern)
            continue
        fs, local = _filesystem(pattern)
        matches = [local] if fs.exists(local) else sorted(fs.glob(local))
        found = [file for match in matches for file in _inside(fs, match)]
        if not found:
            raise FileNotFoundError(f"no preference data at {pattern}")
        if "://" in pattern:
            found = [fs.unstrip_protocol(file) for file in found]
        files += found
    return _each_once(files)


def _each_once(files: list[str]) -> list[str]:
    """The files without those that are another one by another name: a link to it, or
    "file://", "." or ".." in its path."""
    places = {
        file: file
        if is_named(file) or "://" in file.removeprefix("file://")
        else os.path.realpath(file.removeprefix("file://"))
        for file in files
    }
    own = {file for file, place in places.items() if file.endswith(place)}
    kept: dict[str, str] = {}  # by place; a file's own name before another one
    for file, place in places.items():
        if place not in kept or (file in own and kept[place] not in own):
            kept[place] = file
    return [file for file in places if kept[places[file]] == file]


def is_named(file: str) -> bool:
    """Whether an address is a name of generated or hub data, and no path."""
    return file.startswith(_NAMES)


def is_dataset(file: str) -> bool:
    """Whether a path is a folder that `datasets` saved, or a hub data set."""
    if file.startswith(HUB):
        return True
    fs, path = open_filesystem(file)
    return _is_saved(fs, path)


def partitions(file: str) -> dict[str, str | None]:
    """{column: value} of the folders named column=value that a file lies in, as Hive
    and Spark write them."""
    found: dict[str, str | None] = {}
    for part in file.split("/")[:-1]:
        name, separator, value = part.partition("=")
        if separator and name:
            missing = value == "__HIVE_DEFAULT_PARTITION__"
            found[unquote(name)] = None if missing else unquote(value)
    return found


def fingerprint(file: str, split: str = "train") -> str:
    """A text that differs when the contents changed: size and a digest of a file; of a
    folder, of all its files; of hub data, what `datasets` says. Empty for
    generated data, whose name says all.
    """
    if file.startswith(sources.PREFIX):
        return ""
    if file.startswith(HUB):
        return _of_hub(load(file, split))
    fs, path = open_filesystem(file)
    if fs.isdir(path):
        inside = sorted(fs.find(path))
        digests = [
            f"{name[len(path) :]} {_size_and_digest(fs, name)}" for name in inside
        ]
        return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:16]
    return _size_and_digest(fs, path)


def _of_hub(data: Any) -> str:
    """The fingerprint of a `datasets.Dataset`, which is private there; without it, a
    digest of the columns, the number of rows and some rows."""
    if own := getattr(data, "_fingerprint", None):
        return str(own)
    rows = len(data)
    some = [data[i] for i in range(0, rows, max(1, rows // 100))]
    facts = repr((rows, data.features, some))
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def shortest_names(files: Sequence[str]) -> dict[str, str]:
    """{file: a name for what its folder holds}: the folder's own name, with as many of
    the folders above it as tell all files apart. Files that are named twice are one."""
    parts = {file: file.rstrip("/").split("/")[:-1] or [file] for file in files}
    longest = max(map(len, parts.values()), default=0)
    for depth in range(1, longest + 1):
        names = {file: "/".join(folders[-depth:]) for file, folders in parts.items()}
        if len(set(names.values())) == len(names):
            return names
    return {file: file for file in parts}  # several files of one folder


def _size_and_digest(fs: Any, path: str) -> str:
    """Size and digest: of a file on this machine, all of it; of another, what its
    server says of it (ETag), with start, middle and end."""
    size, digest = fs.size(path), hashlib.sha256()
    with fs.open(path, "rb") as data:
        if isinstance(fs, LocalFileSystem):
            whole = xxhash.xxh3_128()
            while chunk := data.read(16 * _SAMPLE):
                whole.update(chunk)
            return f"{size}-{whole.hexdigest()[:16]}"
        facts = fs.info(path)
        said = [str(facts[n]) for n in ("ETag", "etag", "md5Hash") if facts.get(n)]
        digest.update("".join(said[:1]).encode())
        for start in sorted({0, max(0, size // 2 - _SAMPLE), max(0, size - _SAMPLE)}):
            data.seek(start)
            digest.update(data.read(_SAMPLE))
    return f"{size}-{digest.hexdigest()[:16]}"


def _filesystem(pattern: str) -> tuple[Any, str]:
    try:
        return open_filesystem(pattern)
    except ImportError as error:
        protocol = pattern.partition("://")[0]
        package = _EXTRAS.get(protocol, "a package of fsspec for it")
        raise ValueError(f"{pattern}: {protocol}:// needs {package}: {error}") from None
    except ValueError as error:
        raise ValueError(f"{pattern}: {error}") from None


def _inside(fs: Any, path: str) -> Iterator[str]:
    """The file itself, or the files of a folder that hold data."""
    if not fs.isdir(path) or _is_saved(fs, path):
        yield path
        return
    for name in sorted(fs.find(path)):
        parts = name[len(path) :].strip("/").split("/")
        hidden = any(part.startswith((".", "_")) and "=" not in part for part in parts)
        if not hidden and holds_rows(name):
            yield name


def _is_saved(fs: Any, path: str) -> bool:
    # A dataset_info.json alone is a list of LLaMA-Factory, or a page of the hub.
    marks = ("state.json", "dataset_dict.json")
    return any(fs.exists(f"{path.rstrip('/')}/{mark}") for mark in marks)
