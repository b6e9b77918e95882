"""Sketches of comparisons in any order, on a process's own disk, until shards are made.

    rows.bin    a stored sketch for each comparison, one after the other
    facts.bin   beside each: its place, margin, scale, |s|^2 by layer

Rows are only ever appended, so a process that dies and goes on keeps what it has: of a
row that was half written, nothing.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from inflib.sketches import store
from inflib.sketches.row_encoding import encoded, statuses
from inflib.storage.folder import Folder

_AT_ONCE = 1024
"""Rows that are uploaded at a time: 67 MB of 65,536 entries in int8."""


class Spool:
    """The rows in one folder; each comparison once, the first that came."""

    def __init__(self, folder: Path, size: int, layers: int, dtype: str) -> None:
        """size: entries of a sketch; layers: of a gradient; dtype: as it is stored."""
        folder.mkdir(parents=True, exist_ok=True)
        self._dtype, self._size = np.dtype(dtype), size
        self._fact = np.dtype(
            [
                ("place", np.int64),
                ("margin", np.float64),
                ("scale", np.float32),
                ("sq_norms", np.float64, (layers,)),
            ]
        )
        self._rows, self._facts = folder / "rows.bin", folder / "facts.bin"
        self._cut()
        self.places = set(self.facts()["place"].tolist())

    def _cut(self) -> None:
        """Leave whole rows, each with its facts."""
        widths = {
            self._rows: self._dtype.itemsize * self._size,
            self._facts: self._fact.itemsize,
        }
        for file in widths:
            file.touch()
        count = min(file.stat().st_size // width for file, width in widths.items())
        for file, width in widths.items():
            with file.open("r+b") as opened:
                opened.truncate(count * width)

    def clear(self) -> None:
        """Remove all rows, with their folder or without."""
        self._rows.parent.mkdir(parents=True, exist_ok=True)
        for file in (self._rows, self._facts):
            file.write_bytes(b"")
        self.places = set()

    def append(
        self,
        places: list[int],
        margins: Float[Tensor, " c"],
        sq_norms: Float[Tensor, "c l"],
        sketches: Float[Tensor, "c k"],
    ) -> None:
        """Add comparisons by their places; those that are there stay as they are. One
        that is not finite is stored as row_encoding says."""
        fresh = [i for i, place in enumerate(places) if place not in self.places]
        if not fresh:
            return
        payload, scales, own_margins, own_norms = encoded(
            margins[fresh], sq_norms[fresh], sketches[fresh], self._dtype.name
        )
        facts = np.zeros(len(fresh), self._fact)
        facts["place"] = [places[i] for i in fresh]
        facts["margin"], facts["scale"] = own_margins, scales
        facts["sq_norms"] = own_norms
        for file, values in ((self._rows, payload), (self._facts, facts)):
            with file.open("ab") as opened:
                opened.write(values.tobytes())
        self.places |= {places[i] for i in fresh}

    def facts(self) -> np.ndarray:
        """place, margin, scale and sq_norms of all rows, in the order they came."""
        return np.fromfile(self._facts, self._fact)

    def payload(self) -> np.ndarray:
        """[rows k] their sketches as stored, mapped from the disk."""
        shape = (len(self.places), self._size)
        if not shape[0]:
            return np.empty(shape, self._dtype)
        return np.memmap(self._rows, self._dtype, "r", shape=shape)

    def upload(self, target: Folder, name: str) -> None:
        """Copy all rows into a folder, some at a time, under names that begin so; what
        was there under such names goes."""
        target.delete(*_parts(target, name))
        facts, payload = self.facts(), self.payload()
        for start in range(0, len(facts), _AT_ONCE):
            rows = slice(start, start + _AT_ONCE)
            for kind, values in (("facts", facts), ("rows", payload)):
                part = f"{name}-{start:012}-{kind}.bin"
                target.write(part, np.ascontiguousarray(values[rows]).tobytes())

    def download(self, source: Folder, name: str) -> None:
        """Append what another process has uploaded under a name."""
        for part in _parts(source, name):
            file = self._rows if part.endswith("rows.bin") else self._facts
            with file.open("ab") as opened:
                opened.write(source.read_bytes(part))
        self._cut()
        self.places = set(self.facts()["place"].tolist())


def _parts(folder: Folder, name: str) -> list[str]:
    return sorted(part for part in folder.names() if part.startswith(f"{name}-"))


class Spools:
    """What several processes spooled, by place."""

    def __init__(self, spools: Iterable[Spool]) -> None:
        self._spools = [(spool.facts(), spool.payload()) for spool in spools]
        self._found: dict[int, tuple[int, int]] = {}
        for number, (facts, _) in enumerate(self._spools):
            for row, place in enumerate(facts["place"].tolist()):
                self._found.setdefault(place, (number, row))

    def shard(
        self, places: Iterable[int], ids: list[str]
    ) -> tuple[np.ndarray, store.Rows]:
        """Payload and rows of a shard's comparisons, at these places, with these ids.
        All must be there."""
        found = [self._found[place] for place in places]
        payload = np.stack([self._spools[s][1][row] for s, row in found])
        facts = np.stack([self._spools[s][0][row] for s, row in found])
        return payload, store.Rows(
            ids,
            facts["margin"].copy(),
            facts["sq_norms"],
            facts["scale"],
            statuses(facts["sq_norms"]),
        )
