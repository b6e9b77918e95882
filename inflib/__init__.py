"""Influence of preference labels on a reward model; docs/architecture.md is the map."""

from typing import Any


def __getattr__(name: str) -> Any:
    """inflib.open_run, loaded when it is used: workers import inflib without torch."""
    if name == "open_run":
        from inflib.audited_run import open_run

        return open_run
    raise AttributeError(f"module 'inflib' has no attribute {name!r}")
