"""Choices that a hash of a text makes: the same on every machine and in every run."""

import hashlib


def unit_hash(seed: int, text: str) -> float:
    """Uniform number in [0, 1) fixed by seed and text, the same everywhere."""
    digest = hashlib.sha256(f"{seed}\0{text}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def in_part(part: tuple[float, float], prompt: str) -> bool:
    """Whether a prompt's hash lies in [from, to)."""
    return part[0] <= unit_hash(0, prompt) < part[1]
