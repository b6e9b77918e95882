"""Labels with their decisions to rows of TRL's preference format.

    prompt, chosen, rejected   texts, or lists of messages; no prompt column where a
                               chat has no prompt: then the others are whole chats
    tools                      JSON text, where a chat has tools
    chat_template_kwargs       other arguments of the chat template, where there are any
    margin                     that the loss requires, where any does (TRL uses it)
    target                     probability that chosen is better, where any is below 1
    weight                     factor of the loss, where any is not 1
    own columns                as they were, those that are named like a column here as
                               input_<name>; none of them is turned round by a flip
    inflib_...                 where the row is from and what was done to it

chosen is the better response by the label as it is after its decision: a flip exchanges
the two, and so does a target below 0.5.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from inflib.data.decisions import Decision, Decisions
from inflib.data.output_columns import FILE, FILE_ROW, PAIR_ID
from inflib.export.row_columns import PREFIX
from inflib.export.row_verdicts import NOT_DECIDED, Ties, Verdict, verdicts_of

Form = Literal["text", "messages"]


@dataclass(frozen=True)
class RowFormat:
    """What the rows of an export have, the same for all of them."""

    form: Form
    ties: Ties
    optional: frozenset[str]
    """Which of prompt, tools, chat_template_kwargs, margin, target and weight there
    are."""

    own: dict[str, str]
    """{own column of influence.parquet: its name in the export}."""

    influence: dict[str, str]
    """{column of influence.parquet: its name in the export}."""


def rows_of(
    labels: pa.Table, comparisons: pa.Table, decisions: Decisions, fmt: RowFormat
) -> Iterator[dict[str, Any]]:
    """The rows of a shard's labels: none for one that is left out, two for a tie with
    fmt.ties "both"."""
    places = _places(labels, comparisons)
    texts = comparisons.to_pylist()
    for label, place in zip(labels.to_pylist(), places, strict=True):
        decision = decisions.get(label[PAIR_ID.name], NOT_DECIDED)
        verdicts = list(verdicts_of(label, decision, fmt.ties))
        if not verdicts:
            continue
        after = _provenance(label, decision, fmt)
        sides = _sides(texts[place], fmt)
        for verdict in verdicts:
            yield _row(sides, verdict, fmt) | after


def _sides(comparison: dict[str, Any], fmt: RowFormat) -> dict[str, Any]:
    """{prompt, a, b, arguments} of a comparison: texts, or messages."""
    if fmt.form == "messages":
        return messages_of(comparison)
    return {
        "prompt": comparison["prompt"],
        "a": comparison["response_a"],
        "b": comparison["response_b"],
        "arguments": {},
    }


def messages_of(comparison: dict[str, Any]) -> dict[str, Any]:
    """{prompt, a, b: messages, arguments} of a comparison, a plain text as a turn."""
    if comparison.get("messages"):
        return json.loads(comparison["messages"])
    prompt = comparison["prompt"]
    return {
        "prompt": [{"role": "user", "content": prompt}] if prompt else [],
        "a": [{"role": "assistant", "content": comparison["response_a"]}],
        "b": [{"role": "assistant", "content": comparison["response_b"]}],
        "arguments": {},
    }


def _row(sides: dict[str, Any], verdict: Verdict, fmt: RowFormat) -> dict[str, Any]:
    chosen, rejected = (sides["a"], sides["b"])[:: 1 if verdict.sign > 0 else -1]
    row: dict[str, Any] = {}
    if "prompt" in fmt.optional:
        row["prompt"] = sides["prompt"]
    else:
        chosen, rejected = sides["prompt"] + chosen, sides["prompt"] + rejected
    row |= {"chosen": chosen, "rejected": rejected}
    arguments = dict(sides["arguments"])
    tools = arguments.pop("tools", None)
    optional = {
        "tools": json.dumps(tools, ensure_ascii=False) if tools else None,
        "chat_template_kwargs": arguments,
        "margin": verdict.margin,
        "target": verdict.target,
        "weight": verdict.weight,
    }
    return row | {name: x for name, x in optional.items() if name in fmt.optional}


def _provenance(
    label: dict[str, Any], decision: Decision, fmt: RowFormat
) -> dict[str, Any]:
    own = {name: _finite(label[column]) for column, name in fmt.own.items()}
    return own | {
        f"{PREFIX}pair_id": label[PAIR_ID.name],
        f"{PREFIX}action": decision.action,
        f"{PREFIX}reason": decision.reason,
        **{name: label[column] for column, name in fmt.influence.items()},
        f"{PREFIX}file": label[FILE.name],
        f"{PREFIX}file_row": label[FILE_ROW.name],
    }


def _finite(value: Any) -> Any:
    """A value of the user's, null for a number that JSON does not have."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _places(labels: pa.Table, comparisons: pa.Table) -> list[int]:
    """Row of each label's comparison."""
    found = pc.index_in(
        labels["comparison_id"], comparisons["comparison_id"].combine_chunks()
    )
    assert found.null_count == 0, "a label without its comparison"
    return found.to_pylist()
