"""Files of an object store kept on the node's own disk, for passes that follow.

Conjugate gradients read every payload at each step, 6.6 GB for 10^5 labels: over the
network once, from the disk (or the system's memory of it) from then on. Names hold the
digest of what they stand for; readers compare it, so a damaged copy is read anew. What
has not been used for a day is deleted, and a fifth of the disk stays free. A disk that
cannot be written costs speed, never a result.
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
_FREE = 0.2


def find(name: str) -> mmap.mmap | None:
    """The kept file, or None."""
    try:
        path = _folder() / name
        with open(path, "rb") as file:
            found = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        os.utime(path)
        return found
    except (OSError, ValueError):  # not there; empty
        return None


def keep(name: str, data: bytes | bytearray | mmap.mmap) -> None:
    """Keep a file, if there is room."""
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
    """Raises OSError when it is another user's."""
    folder = Path(tempfile.gettempdir()) / f"inflib-payloads-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} is not ours")
    return folder
