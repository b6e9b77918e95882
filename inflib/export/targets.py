"""The file, folder or hub that an export goes to, by its name.

x.jsonl          JSON lines
x.parquet        a row group for each shard
x/               a folder of datasets.save_to_disk
hub:owner/name   datasets.push_to_hub, private
x.csv            labels to review, see review_csv
"""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from inflib.storage.folder import open_filesystem

Kind = Literal["jsonl", "parquet", "folder", "hub", "csv", "argilla", "label-studio"]

HUB = "hub:"
REVIEW_KINDS: tuple[Kind, ...] = ("csv", "argilla", "label-studio")
_ENDINGS: dict[str, Kind] = {".jsonl": "jsonl", ".parquet": "parquet", ".csv": "csv"}


@dataclass(frozen=True)
class Target:
    """Where an export goes."""

    url: str
    kind: Kind

    @property
    def stem(self) -> str:
        """What the files beside it begin with."""
        if self.kind == "hub":
            return self.url.removeprefix(HUB).rpartition("/")[2]
        path = self.url.rstrip("/")
        ending = PurePosixPath(path).suffix
        return path.removesuffix(ending) if ending in _ENDINGS else path

    @property
    def decisions_file(self) -> str:
        return f"{self.stem}.decisions.csv"

    @property
    def counts_file(self) -> str:
        return f"{self.stem}.counts.json"

    def check(self, overwrite: bool) -> None:
        """Raises ValueError where it cannot be written, or is there already."""
        if self.kind == "hub":
            _check_hub(self.url)
            return
        beside = [self.decisions_file, self.counts_file]
        files = [] if self.kind in REVIEW_KINDS else beside
        for url in [self.url, *files]:
            fs, path = open_filesystem(url)
            if not fs.exists(path):
                continue
            is_folder = self.kind in ("folder", "argilla", "label-studio")
            if url == self.url and is_folder != fs.isdir(path):
                raise ValueError(f"--to {url} is a {'file' if is_folder else 'folder'}")
            if url == self.url and is_folder and not fs.ls(path):
                continue
            if not overwrite:
                raise ValueError(
                    f"{url} is there already: choose another --to, or add --overwrite"
                )


def target_of(url: str, chosen: str | None) -> Target:
    """The target that --to and --format name. Raises ValueError for what is none."""
    if chosen in ("argilla", "label-studio"):
        if url.startswith(HUB) or PurePosixPath(url).suffix in _ENDINGS:
            raise ValueError(f"--to {url}: --format {chosen} writes a folder")
        return Target(url, chosen)  # type: ignore[arg-type]
    if url.startswith(HUB):
        parts = url.removeprefix(HUB).split("/")
        if len(parts) != 2 or not all(parts):
            raise ValueError(f"--to {url}: a dataset of a hub is hub:owner/name")
        return Target(url, "hub")
    ending = PurePosixPath(url.rstrip("/")).suffix
    if ending in _ENDINGS:
        return Target(url, _ENDINGS[ending])
    if ending and not url.endswith("/") and len(ending) < 8:
        raise ValueError(
            f"--to {url}: the ending {ending} is none of .jsonl, .parquet and .csv; a "
            "folder ends in /"
        )
    if "://" in url:
        raise ValueError(f"--to {url}: a folder of datasets is written on this machine")
    return Target(url.rstrip("/"), "folder")


def _check_hub(url: str) -> None:
    """Raises ValueError saying what a hub needs before a dataset can go there."""
    import huggingface_hub
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise ValueError(f"--to {url}: the hub is off: unset HF_HUB_OFFLINE")
    if not huggingface_hub.get_token():
        raise ValueError(
            f"--to {url}: a hub needs a token that may write: run `hf auth login`, or "
            "set HF_TOKEN"
        )
