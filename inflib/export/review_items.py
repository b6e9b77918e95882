"""Labels that somebody is to look at, with their texts."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from inflib.audited_run import AuditedRun
from inflib.data.decisions import Decision, Decisions
from inflib.data.label_edits import DROP, FLIP, KEEP, TIE
from inflib.data.output_columns import INFLUENCE, MARGIN, PAIR_ID, RANK
from inflib.export.trl_rows import messages_of
from inflib.storage.plain_text import printable

CHOICES = {
    KEEP: "The label is right",
    FLIP: "The rejected response is the better one",
    DROP: "Not usable: leave the label out",
    TIE: "Neither is better",
}
"""{action: what it means to whoever looks}."""


@dataclass(frozen=True)
class ReviewItem:
    """One label to look at."""

    pair_id: str
    labeler: str
    proposed: str
    """Action that is proposed."""

    reason: str
    """Why it was selected."""

    prompt: str
    chosen: str
    rejected: str
    numbers: dict[str, float]
    """{margin, influence_<query>, rank_<query>: value}, those there are."""


def review_items(run: AuditedRun, decisions: Decisions) -> Iterator[list[ReviewItem]]:
    """The labels that decisions name, shard by shard, as they were labelled."""
    for labels, comparisons in run.shards():
        named = [x in decisions for x in labels[PAIR_ID.name].to_pylist()]
        if not any(named):
            continue
        rows = labels.filter(pa.array(named)).to_pylist()
        texts = {row["comparison_id"]: row for row in comparisons.to_pylist()}
        yield [
            _item(run, row, texts[row["comparison_id"]], decisions[row[PAIR_ID.name]])
            for row in rows
        ]


def about(item: ReviewItem) -> str:
    """One line that says whose label it is and why it was selected."""
    labeler = f"{item.labeler}'s label" if item.labeler else "label"
    return printable(f"{labeler} {item.pair_id}: {item.reason or item.proposed}")


def number_names(run: AuditedRun) -> list[str]:
    """Names of the numbers that items have."""
    scores = [f"{kind}_{q}" for q in run.queries for kind in ("influence", "rank")]
    return [MARGIN.name, *scores]


def _item(
    run: AuditedRun, label: dict[str, Any], comparison: dict[str, Any], why: Decision
) -> ReviewItem:
    prompt, a, b = readable(comparison)
    chosen, rejected = (a, b) if label["sign"] > 0 else (b, a)
    values = {MARGIN.name: label[MARGIN.name]}
    for query in run.queries:
        for kind, column in (("influence", INFLUENCE), ("rank", RANK)):
            values[f"{kind}_{query}"] = label[column.of(run.score(query))]
    known = {k: v for k, v in values.items() if v is not None and np.isfinite(v)}
    proposed = why.action if why.value is None else f"{why.value:g}"
    labeler = why.labeler or str(label.get("labeler") or "")
    pair_id = label[PAIR_ID.name]
    return ReviewItem(
        pair_id, labeler, proposed, why.reason, prompt, chosen, rejected, known
    )


def readable(comparison: dict[str, Any]) -> tuple[str, str, str]:
    """(prompt, a, b) as a person reads them: of chats, turns with their roles."""
    if not comparison.get("messages"):
        return comparison["prompt"], comparison["response_a"], comparison["response_b"]
    kept = messages_of(comparison)
    sides = [kept[side] for side in ("prompt", "a", "b")]
    if all(len(side) == 1 for side in sides[1:]):
        # One answer each: its role says nothing.
        return _turns(sides[0]), _text(sides[1][0]), _text(sides[2][0])
    prompt, a, b = map(_turns, sides)
    return prompt, a, b


def _turns(messages: list[dict[str, Any]]) -> str:
    return "\n\n".join(f"[{m['role']}] {_text(m)}" for m in messages)


def _text(message: dict[str, Any]) -> str:
    calls = message.get("tool_calls")
    parts = [message.get("content") or "", str(calls) if calls else ""]
    return "\n".join(part for part in parts if part)
