"""What happens while a stage runs: log records that carry facts.

Plain `logging`, logger "inflib", so that the library needs no Ray. Without a handler,
warnings are printed to stderr and the rest is dropped; `ray_jobs.observe` turns records
into JSON lines and Ray metrics.

Facts are numbers to add up (COUNTED), `seconds` by phase, and names (shard, operation).
Never texts of the data, never secrets.
"""

import logging
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
