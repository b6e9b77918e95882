"""A run and decisions to rows in TRL's preference format, shard by shard.

    prompt, chosen, rejected   texts; lists of messages for chats
    weight     factor of the loss, where some label has one
    target     probability that chosen is the better one, where it is not always 1
    margin     what TRL's reward loss requires, where the run requires margins
    ...        the user's own columns, as they were
    inflib_pair_id, inflib_action, inflib_reason, inflib_file, inflib_file_row,
    inflib_influence_<query>     where the row comes from, and what was done to it

Own columns are not changed by a flip: one that speaks of the chosen response speaks of
what the labeler chose.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from inflib.audited_run import AuditedRun
from inflib.data.decisions import WEIGHT as REWEIGHT
from inflib.data.decisions import Decision, Decisions
from inflib.data.label_edits import DROP, FLIP, TIE
from inflib.data.output_columns import INFLUENCE, KEPT_AS, is_reserved

TEXTS = ("prompt", "chosen", "rejected")
PROVENANCE = "inflib_"
_NUMBERS = ("weight", "target", "margin")
_ASSISTANT = "assistant"


@dataclass(frozen=True)
class Dataset:
    """What is exported, and the columns that it needs."""

    run: AuditedRun
    decisions: Decisions
    ties: Literal["drop", "both"] = "drop"
    """Labels decided as ties are left out, or written once each way at half weight."""

    weights: np.ndarray | None = None
    """[n] weights in place of those that the run's labels have."""

    own: dict[str, str] = field(init=False)
    """{column of the run's labels: its name in the dataset} of the user's own."""

    is_chat: bool = field(init=False)
    """Rows hold messages: some comparison was made from them."""

    def __post_init__(self) -> None:
        own = [n for n in self.run.labels.column_names if not is_reserved(n)]
        own += [n for n in self.run.labels.column_names if n.startswith(KEPT_AS)]
        names = {
            name: KEPT_AS + name
            if name in TEXTS or name.startswith(PROVENANCE)
            else name
            for name in dict.fromkeys(own)
        }
        object.__setattr__(self, "own", names)
        object.__setattr__(self, "is_chat", self._has_messages())

    def _has_messages(self) -> bool:
        return any(
            table["messages"].null_count < len(table)
            for table in self.run.comparisons()
            if "messages" in table.column_names
        )

    def schema(self) -> pa.Schema:
        """Types of the rows' columns; messages are a role and a text."""
        message = pa.struct([("role", pa.string()), ("content", pa.string())])
        text = pa.list_(message) if self.is_chat else pa.string()
        labels = self.run.labels.schema
        fields = [(name, text) for name in TEXTS]
        needed = [name for name in _NUMBERS if name not in self._unneeded]
        fields += [(name, pa.float64()) for name in needed]
        fields += [(name, labels.field(k).type) for k, name in self.own.items()]
        fields += [(PROVENANCE + k, pa.string()) for k in ("pair_id", "action")]
        fields += [(PROVENANCE + k, pa.string()) for k in ("reason", "file")]
        fields += [(PROVENANCE + "file_row", pa.int64())]
        fields += [
            (f"{PROVENANCE}influence_{q}", pa.float64()) for q in self.run.queries
        ]
        return pa.schema(fields)

    @cached_property
    def _unneeded(self) -> set[str]:
        """Of weight, target and margin, those that no row needs."""
        labels = self.run.labels
        actions = {decision.action for decision in self.decisions.values()}
        needed = {
            "weight": self.weights is not None
            or REWEIGHT in actions
            or (TIE in actions and self.ties == "both")
            or bool((labels["weight"].to_numpy() != 1).any()),
            "target": bool((labels["target"].to_numpy() != 1).any()),
            "margin": bool((labels["required_margin"].to_numpy() != 0).any()),
        }
        return {name for name, is_needed in needed.items() if not is_needed}

    def rows(self) -> Iterator[list[dict[str, Any]]]:
        """Rows of each shard, in plan order."""
        numbers, left_out = self.run.comparison_numbers, self._unneeded
        place, first = 0, 0  # of the shard's first label and comparison
        counts = self.run.labels_of_shards
        for texts, count in zip(self.run.comparisons(), counts, strict=True):
            pairs, rows = texts.to_pylist(), list[dict[str, Any]]()
            labels = self.run.labels.slice(place, count).to_pylist()
            for i, label in enumerate(labels, start=place):
                rows += self._rows_of(label, pairs[int(numbers[i]) - first], i)
            yield [{k: x for k, x in row.items() if k not in left_out} for row in rows]
            place, first = place + count, first + len(pairs)

    def _rows_of(
        self, label: dict[str, Any], pair: dict[str, Any], place: int
    ) -> list[dict[str, Any]]:
        """The rows that a label becomes: one, none, or two for a tie."""
        pair_id = label["pair_id"]
        decision = self.decisions.get(pair_id, Decision(pair_id))
        weight = label["weight"] if self.weights is None else float(self.weights[place])
        weight *= 1.0 if decision.value is None else decision.value
        tied = decision.action == TIE
        if decision.action == DROP or weight == 0 or (tied and self.ties == "drop"):
            return []
        sign = -label["sign"] if decision.action == FLIP else label["sign"]
        row = {
            "weight": weight / 2 if tied else weight,
            "target": 1.0 if tied else label["target"],
            "margin": 0.0 if tied else label["required_margin"],
            **{name: label[column] for column, name in self.own.items()},
            PROVENANCE + "pair_id": pair_id,
            PROVENANCE + "action": decision.action,
            PROVENANCE + "reason": decision.reason or None,
            PROVENANCE + "file": label["file"],
            PROVENANCE + "file_row": label["file_row"],
        }
        for query in self.run.queries:
            score = INFLUENCE.of(self.run.score(query))
            row[f"{PROVENANCE}influence_{query}"] = label[score]
        signs = (sign, -sign) if tied else (sign,)
        return [self._texts(pair, sign) | row for sign in signs]

    def _texts(self, pair: dict[str, Any], sign: int) -> dict[str, Any]:
        """prompt, chosen and rejected of a comparison."""
        prompt, a, b = pair["prompt"], pair["response_a"], pair["response_b"]
        if self.is_chat:
            prompt, a, b, arguments = _messages(pair)
        chosen, rejected = (a, b) if sign > 0 else (b, a)
        row = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
        return row | (arguments if self.is_chat else {})


def _messages(
    pair: dict[str, Any],
) -> tuple[list[Any], list[Any], list[Any], dict[str, Any]]:
    """(prompt, response a, response b, arguments of the chat template); texts become
    turns. The arguments are tools and chat_template_kwargs, as TRL names them."""
    if pair.get("messages") is None:
        prompt = pair["prompt"]
        a, b = (
            [{"role": _ASSISTANT, "content": pair[name]}]
            for name in ("response_a", "response_b")
        )
        return ([{"role": "user", "content": prompt}] if prompt else []), a, b, {}
    whole = json.loads(pair["messages"])
    kwargs = whole["arguments"]
    arguments = {"tools": kwargs.pop("tools")} if kwargs.get("tools") else {}
    arguments |= {"chat_template_kwargs": kwargs} if kwargs else {}
    return whole["prompt"], whole["a"], whole["b"], arguments
