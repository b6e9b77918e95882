"""A process, with all that it started, to the peak memory of each kind of process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

_PAUSE = 0.5
"""Seconds between samples."""

_KINDS = {
    "ray::Reducer": "coordinator of score",
    "SketchActor": "sketch worker",
    "gcs_server": "ray head (gcs_server)",
    "raylet/raylet": "raylet",
    "dashboard": "ray dashboard and agents",
    "runtime_env": "ray dashboard and agents",
    "monitor": "ray dashboard and agents",
    "ray::": "other workers",
}
"""Kind of a process by what its command line contains; the first one counts."""


@contextmanager
def peak_memory(pid: int) -> Iterator[dict[str, dict[str, float]]]:
    """{kind of process: {"rss_gib", "private_gib"}} of its largest process so far.

    Filled while the block runs, twice a second. rss counts Ray's shared object store in
    every process that looked at it; private memory does not.
    """
    peaks: dict[str, dict[str, float]] = {}
    done = threading.Event()

    def sample() -> None:
        root = psutil.Process(pid)
        while not done.wait(_PAUSE):
            for process in _tree(root):
                try:
                    kind = "driver" if process.pid == pid else _kind(process)
                    memory = process.memory_info()
                except psutil.Error:
                    continue
                peak = peaks.setdefault(kind, {"rss_gib": 0.0, "private_gib": 0.0})
                for name, size in (
                    ("rss_gib", memory.rss),
                    ("private_gib", memory.rss - memory.shared),
                ):
                    peak[name] = max(peak[name], round(size / 2**30, 3))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peaks
    finally:  # or a failed run would never end
        done.set()
        thread.join()


def _tree(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def _kind(process: psutil.Process) -> str:
    command = " ".join(process.cmdline())
    return next((kind for text, kind in _KINDS.items() if text in command), "others")
