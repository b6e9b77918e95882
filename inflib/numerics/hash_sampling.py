"""Texts to choices made by their hash: the same on every machine, in every run."""

import hashlib


def uniform_hash(seed: int, text: str) -> float:
    """Number in [0, 1), uniform over texts: 64 bits of SHA-256 of seed and text."""
    digest = hashlib.sha256(f"{seed}\0{text}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def in_part(part: tuple[float, float], prompt: str) -> bool:
    """Whether a prompt is in a part of the prompts: its hash (seed 0) is in [from, to).

    part: (from, to), within [0, 1].
    """
    return part[0] <= uniform_hash(0, prompt) < part[1]
