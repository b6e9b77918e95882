"""Two audits of a few labels, one of texts and one of chats; tests leave them as they
are."""

import itertools
from typing import Any

import pyarrow as pa
import pytest

from inflib.audited_run import AuditedRun
from tests.support.small_audit import small_audit

ANSWERS = ["Weigh it.", "Oil the chain. Check it.", "=1+1", "Run slowly today."]
PAIRS = list(itertools.permutations(ANSWERS, 2))
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {}}}

TEXTS: list[dict[str, Any]] = [
    {
        "pair_id": f"p{i}",
        "prompt": f"Question {i}? ",
        "chosen": a,
        "rejected": b,
        "labeler": ("ana", "ben", "@dev")[i % 3],
        "age": i if i != 4 else None,
        "wrong": i % 5 == 0,
        "margin": 0.5,
        "prompt_id": f"x{i}",
    }
    for i, (a, b) in enumerate(PAIRS)
]
TEXT_COLUMNS = {
    "age": pa.int64(),
    "input_margin": pa.float64(),
    "labeler": pa.string(),
    "prompt_id": pa.string(),
    "wrong": pa.bool_(),
}

CHATS: list[dict[str, Any]] = [
    {
        "pair_id": f"c{i}",
        "prompt": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": f"Frage {i}: Größe?"},
        ],
        "chosen": [{"role": "assistant", "content": a}],
        "rejected": [{"role": "assistant", "content": b}],
        "labeler": "ana",
    }
    for i, (a, b) in enumerate(PAIRS)
]


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> AuditedRun:
    return small_audit(tmp_path_factory.mktemp("texts"), TEXTS, TEXT_COLUMNS)


@pytest.fixture(scope="session")
def chats(tmp_path_factory: pytest.TempPathFactory) -> AuditedRun:
    columns = {"labeler": pa.string()}
    return small_audit(tmp_path_factory.mktemp("chats"), CHATS, columns)
