"""What happens while a stage runs to log records with facts, and to progress lines.

Records go to the logger "inflib" of `logging`, so that the library needs no Ray.
Without a handler, warnings are printed to stderr and other records are dropped;
`ray_jobs.shared.observe` makes JSON lines and Ray metrics of them.

Facts are numbers to add up (COUNTED), `seconds` by phase, and names (shard, operation);
never texts of the data, never secrets.
"""

import logging
import sys
import time
from typing import Any

LOGGER = logging.getLogger("inflib")
COUNTED = ("pairs", "tokens", "bytes", "requests", "retries", "failures")
"""Facts whose values are added up over records."""


def count(**facts: Any) -> None:
    """Record something that is too frequent for a log line, for the metrics alone."""
    LOGGER.debug("", extra={"facts": facts})


def event(message: str, **facts: Any) -> None:
    """Record a step that went well."""
    LOGGER.info(message, extra={"facts": facts})


def warning(message: str, **facts: Any) -> None:
    """Record something that the user should see at once, though the run goes on."""
    LOGGER.warning(message, extra={"facts": facts})


class Progress:
    """Counts finished work and prints how much is done, its rate and the time left.

    On a terminal the line is written over, twice a second at most; in a log there is a
    new one every minute.
    """

    def __init__(self, stage: str, total: int, noun: str) -> None:
        """noun: what is counted, such as shards; total: how many there are."""
        self.stage, self.total, self.noun = stage, total, noun
        self.note = ""
        """Text to add to the line."""

        self.done = 0
        self._started = time.monotonic()
        self._printed = self._started
        self._in_place = sys.stderr.isatty()

    def advance(self, amount: int) -> None:
        """Count so many more as done, and print the line when it is time to."""
        self.done += amount
        now = time.monotonic()
        if now - self._printed < (0.5 if self._in_place else 60):
            return
        self._printed = now
        rate = self.done / (now - self._started)
        left = (self.total - self.done) / rate if rate else 0.0
        line = (
            f"{self.stage}: {self.done}/{self.total} {self.noun}, "
            f"{rate:.1f} {self.noun}/s, {_clock(left)} left"
        )
        if self.note:
            line += f" ({self.note})"
        print(f"\r\x1b[K{line}" if self._in_place else line, end="", file=sys.stderr)
        print("" if not self._in_place else "\r", end="", file=sys.stderr, flush=True)
        if not self._in_place:
            print(file=sys.stderr, flush=True)

    def close(self) -> None:
        """Clear the line, on a terminal."""
        if self._in_place:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class Clock:
    """{phase: seconds} of work in several phases, in `laps`."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, phase: str) -> None:
        """End a phase: it took the time since the last call, or since the start."""
        now = time.monotonic()
        self.laps[phase] = round(now - self._last, 4)
        self._last = now


def _clock(seconds: float) -> str:
    """h:mm:ss, or m:ss below an hour."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
