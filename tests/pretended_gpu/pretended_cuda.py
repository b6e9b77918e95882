"""torch.cuda for a device that is none."""

import ctypes
from typing import Any

import torch

TOTAL = 80 * 2**30
"""Bytes of memory that it says it has."""


def pretend(device: ctypes.CDLL) -> None:
    """Make torch.cuda say that there is one GPU. device: pretended_device.cpp."""
    for name in ("pretended_bytes", "pretended_peak"):
        getattr(device, name).restype = ctypes.c_int64
    now, peak = device.pretended_bytes, device.pretended_peak

    def nothing() -> Any:
        return lambda *_, **__: None  # torch._dynamo wants functions of their own

    def random_state(*_: Any) -> torch.Tensor:
        return torch.get_rng_state()

    def set_random_state(state: torch.Tensor, *_: Any) -> None:
        torch.set_rng_state(state)

    said: dict[str, Any] = {
        "_lazy_init": nothing(),
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_name": lambda *_: "pretended",
        "get_device_capability": lambda *_: (9, 0),
        "is_bf16_supported": lambda *_: True,
        "set_device": nothing(),
        "synchronize": nothing(),
        "empty_cache": nothing(),
        "manual_seed": nothing(),
        "manual_seed_all": nothing(),
        "memory_allocated": lambda *_: now(),
        "memory_reserved": lambda *_: now(),
        "max_memory_allocated": lambda *_: peak(),
        "reset_peak_memory_stats": lambda *_: device.pretended_forget_peak(),
        "mem_get_info": lambda *_: (TOTAL - now(), TOTAL),
        "get_rng_state": random_state,
        "set_rng_state": set_random_state,
        "get_rng_state_all": lambda: [random_state()],
        "set_rng_state_all": lambda states: set_random_state(states[0]),
    }
    for name, value in said.items():
        setattr(torch.cuda, name, value)
        if hasattr(torch.cuda.random, name):
            setattr(torch.cuda.random, name, value)
        if hasattr(torch.cuda.memory, name):
            setattr(torch.cuda.memory, name, value)
