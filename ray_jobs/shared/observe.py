"""Log records of `inflib` as JSON lines beside Ray's own logs, and as Ray metrics.

    <ray temp dir>/<session>/logs/inflib-<stage>-<pid>.jsonl
        time, level, stage, worker, node, message, and the record's facts
    ray_inflib_{pairs,tokens,bytes,requests,retries,failures}_total {stage, operation}
    ray_inflib_seconds_total {stage, phase}
        at every node's Prometheus endpoint

Warnings are also printed, so that they reach the driver's terminal.
"""

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import ray
from ray.util.metrics import Counter

from inflib.storage.plain_text import printable
from inflib.telemetry import COUNTED, LOGGER, warning


def observe(stage: str) -> None:
    """Write this process's log records to files and metrics, as those of `stage`.

    Ray must be connected. A second call for the same stage and session does nothing.
    """
    for handler in list(LOGGER.handlers):
        if isinstance(handler, Observer):
            if handler.stage == stage and handler.session == _session():
                return
            LOGGER.removeHandler(handler)
            handler.close()
    LOGGER.addHandler(Observer(stage))
    LOGGER.setLevel(logging.DEBUG)
    LOGGER.propagate = False


@contextmanager
def watched(what: str) -> Iterator[None]:
    """Logs "<what> failed: ..." as a warning when the block raises; raises it again."""
    try:
        yield
    except Exception as error:
        warning(f"{what} failed: {error}", failures=1)
        raise


class Observer(logging.Handler):
    """Writes the records of one process to a file of JSON lines and to Ray metrics."""

    def __init__(self, stage: str) -> None:
        super().__init__(logging.DEBUG)
        context = ray.get_runtime_context()
        self.stage, self.session = stage, _session()
        self._fields = {
            "stage": stage,
            "worker": context.get_worker_id(),
            "node": context.get_node_id(),
        }
        self._file: IO[str] | None = None
        self._path = self.session / "logs" / f"inflib-{stage}-{os.getpid()}.jsonl"
        self._counters = {
            name: Counter(f"inflib_{name}", f"{name} so far", ("stage", "operation"))
            for name in COUNTED
        }
        self._seconds = Counter(
            "inflib_seconds", "seconds of work so far", ("stage", "phase")
        )

    def emit(self, record: logging.LogRecord) -> None:
        facts = getattr(record, "facts", {})
        for name in COUNTED:
            if facts.get(name):
                operation = str(facts.get("operation", ""))
                tags = {"stage": self.stage, "operation": operation}
                self._counters[name].inc(facts[name], tags)
        for phase, seconds in facts.get("seconds", {}).items():
            if seconds > 0:
                self._seconds.inc(seconds, {"stage": self.stage, "phase": phase})
        if record.levelno >= logging.WARNING:
            message = printable(record.getMessage(), lines=True)
            print(f"{self.stage}: {message}", file=sys.stderr, flush=True)
        if record.levelno >= logging.INFO:
            self._write(record, facts)

    def _write(self, record: logging.LogRecord, facts: dict[str, Any]) -> None:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            **self._fields,
            "message": record.getMessage(),
            **facts,
        }
        if self._file is None:
            self._file = open(self._path, "a")  # noqa: SIM115
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        super().close()


def _session() -> Path:
    """Folder of the Ray session."""
    context = ray.get_runtime_context()
    return Path(context.get_temp_dir()) / context.get_session_name()
