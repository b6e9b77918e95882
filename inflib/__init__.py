"""Influence of preference labels on a reward model; docs/architecture.md is the map."""

from typing import Any


def __getattr__(name: str) -> Any:
    """open_run and sketch_training, loaded when used: workers import inflib without
    torch."""
    if name == "open_run":
        from inflib.audited_run import open_run

        return open_run
    if name == "sketch_training":
        from inflib.trl_training import sketch_training

        return sketch_training
    raise AttributeError(f"module 'inflib' has no attribute {name!r}")
