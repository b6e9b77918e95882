"""Payloads from an object store to copies on the node's own disk, for later passes.

Conjugate gradients read every payload at each step, 6.6 GB for 10^5 labels: over the
network the first time, from the disk (or the system's page cache) from then on. A
payload's name holds its digest, which readers compare, so a damaged copy is not used.
Copies that were not used for a day are deleted, and a fifth of the disk stays free. A
disk that cannot be written costs speed, never a result.
"""

import contextlib
import mmap
import os
import shutil
import tempfile
import time
import uuid
from pathlib import Path

_UNUSED_SECONDS = 24 * 3600
"""Seconds after its last use when a copy is deleted."""

_FREE = 0.2
"""Share of the disk that stays free."""


def find(name: str) -> mmap.mmap | None:
    """The copy that was kept under this name, or None."""
    try:
        path = _folder() / name
        with open(path, "rb") as file:
            copy = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        os.utime(path)
        return copy
    except (OSError, ValueError):  # not there; empty
        return None


def keep(name: str, data: bytes | bytearray | mmap.mmap) -> None:
    """Keep a copy under this name, if there is room; deletes those out of use."""
    with contextlib.suppress(OSError):
        folder = _folder()
        for entry in os.scandir(folder):
            if entry.stat().st_mtime < time.time() - _UNUSED_SECONDS:
                os.unlink(entry.path)
        disk = shutil.disk_usage(folder)
        if disk.free - len(data) < _FREE * disk.total:
            return
        scratch = folder / f"{uuid.uuid4().hex}.part"
        try:
            scratch.write_bytes(data)
            os.replace(scratch, folder / name)
        finally:
            scratch.unlink(missing_ok=True)


def _folder() -> Path:
    """Folder of this user's copies. Raises OSError when it is not this user's."""
    folder = Path(tempfile.gettempdir()) / f"inflib-payloads-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} is not ours")
    return folder
