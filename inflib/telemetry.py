"""What happens while a stage runs: log records that carry facts.

Plain `logging`, logger "inflib", so that the library needs no Ray. Without a handler,
warnings are printed to stderr and the rest is dropped; `observe` turns records
into JSON lines and Ray metrics.

Facts are numbers to add up (COUNTED), `seconds` by phase, and names (shard, operation).
Never texts of the data, never secrets.
"""

import logging
import sys
import time
from typing import Any

LOGGER = logging.getLogger("inflib")
COUNTED = ("pairs", "tokens", "bytes", "requests", "retries", "failures")


def count(**facts: Any) -> None:
    """Something too frequent for a log line."""
    LOGGER.debug("", extra={"facts": facts})


def event(message: str, **facts: Any) -> None:
    """A step that went as it should."""
    LOGGER.info(message, extra={"facts": facts})


def warning(message: str, **facts: Any) -> None:
    """Something the user should see at once, though the run goes on."""
    LOGGER.warning(message, extra={"facts": facts})


class Progress:
    """Counts finished work and prints rate and time left."""

    def __init__(self, stage: str, total: int, unit: str) -> None:
        self.stage, self.total, self.unit = stage, total, unit
        self.note = ""
        self.done = 0
        self._started = time.monotonic()
        self._printed = self._started
        self._in_place = sys.stderr.isatty()

    def advance(self, amount: int) -> None:
        self.done += amount
        now = time.monotonic()
        if now - self._printed < (0.5 if self._in_place else 60):
            return
        self._printed = now
        rate = self.done / (now - self._started)
        left = (self.total - self.done) / rate if rate else 0.0
        line = (
            f"{self.stage}: {self.done}/{self.total} {self.unit}, "
            f"{rate:.1f} {self.unit}/s, {_clock(left)} left"
        )
        if self.note:
            line += f" ({self.note})"
        print(f"\r\x1b[K{line}" if self._in_place else line, end="", file=sys.stderr)
        print("" if not self._in_place else "\r", end="", file=sys.stderr, flush=True)
        if not self._in_place:
            print(file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._in_place:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class Clock:
    """Seconds by phase."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, phase: str) -> None:
        """The time since the last lap was this phase."""
        now = time.monotonic()
        self.laps[phase] = round(now - self._last, 4)
        self._last = now


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
