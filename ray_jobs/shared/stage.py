"""The record of a stage in its output folder, done.json."""

import time
from typing import Any

from inflib.storage.folder import Folder


class Stage:
    """A stage's record in its output folder: complete when `done.json` is there.

    Its clock starts when it is made.
    """

    def __init__(self, name: str, folder: Folder) -> None:
        self.name, self.folder = name, folder
        self._started = time.monotonic()

    def is_current(self, inputs: str) -> bool:
        """Whether the folder is complete and made from the inputs with this digest."""
        done = self.folder.exists("done.json")
        return done and self.folder.read_json("done.json").get("inputs") == inputs

    def skip(self, why: str = "complete, nothing to do") -> dict[str, Any]:
        """Print why nothing is done; returns the record ({} where there is none)."""
        print(f"{self.name}: {why}", flush=True)
        done = self.folder.exists("done.json")
        return self.folder.read_json("done.json") if done else {}

    def done(
        self, facts: dict[str, Any], record: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Write done.json and print it; returns its contents.

        Adds wall-clock seconds and the folder's bytes to the facts. `record` is written
        too, but not printed.
        """
        facts = {
            "seconds": round(time.monotonic() - self._started, 2),
            **facts,
            "bytes": self.folder.num_bytes(),
        }
        self.folder.write_json("done.json", facts | (record or {}))
        message = ", ".join(f"{name} {value}" for name, value in facts.items())
        print(f"{self.name}: {message}", flush=True)
        return facts | (record or {})
