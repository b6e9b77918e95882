"""A run and what was decided on its labels to the format that all rows share.

Columns that would say the same of every row are left out, so the format needs a look at
all chats (`look`) and all labels before the first row is written.
"""

import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from inflib.audited_run import AuditedRun
from inflib.data.decisions import Decisions
from inflib.data.output_columns import PAIR_ID
from inflib.export.trl_rows import (
    NOT_DECIDED,
    PREFIX,
    Form,
    RowFormat,
    Ties,
    influence_columns,
    is_left_out,
    names_of_own,
    own_columns,
)

_PLAIN = {"role", "content"}
"""Fields of a message that every chat template knows."""


@dataclass
class Chats:
    """What the comparisons of a run are made of."""

    texts: int = 0
    """Comparisons of plain texts."""

    chats: int = 0
    unknown: int = 0
    """Comparisons prepared before messages were kept."""

    without_prompt: bool = False
    """Whether a chat has no prompt."""

    tools: bool = False
    template_arguments: bool = False
    nested: bool = False
    """Whether messages have other fields than a role and a text, such as tool calls."""

    def add(self, comparisons: pa.Table, form: Form | None) -> None:
        """Look at the comparisons of a shard."""
        if "messages" not in comparisons.column_names:
            self.unknown += len(comparisons)
            return
        for text, prompt in zip(
            comparisons["messages"].to_pylist(),
            comparisons["prompt"].to_pylist(),
            strict=True,
        ):
            if text is None:
                self.texts += 1
                self.without_prompt |= not prompt and form == "messages"
                continue
            self.chats += 1
            kept = json.loads(text)
            self.without_prompt |= not kept["prompt"]
            self.tools |= bool(kept["arguments"].get("tools"))
            self.template_arguments |= bool(kept["arguments"].keys() - {"tools"})
            self.nested |= any(
                message.keys() != _PLAIN or not isinstance(message["content"], str)
                for side in ("prompt", "a", "b")
                for message in kept[side]
            )


def look(run: AuditedRun, form: Form | None) -> tuple[Form, Chats]:
    """(form of the rows, what the comparisons are made of).

    form: as was asked for; None: texts where there are only texts, messages where there
    are only chats. Raises ValueError where that cannot be told.
    """
    chats = Chats()
    if form == "text":
        return form, chats
    for _, comparisons in run.shards():
        chats.add(comparisons, form)
    if chats.unknown:
        raise ValueError(
            f"{run.folder.url} was prepared by a version that kept no chat messages: "
            "add --form text for the texts as the chat template made them, or prepare "
            "it anew in another --run"
        )
    if form is None and chats.texts and chats.chats:
        raise ValueError(
            f"the run has {chats.texts} comparisons of texts and {chats.chats} of "
            "chats, which no dataset can mix: add --form messages (texts become turns) "
            "or --form text (chats as the chat template made them)"
        )
    return form or ("messages" if chats.chats else "text"), chats


def row_format(
    run: AuditedRun, decisions: Decisions, form: Form, chats: Chats, ties: Ties
) -> RowFormat:
    """The format of the rows of these decisions."""
    optional = set() if chats.without_prompt else {"prompt"}
    if form == "messages":
        optional |= {"tools"} if chats.tools else set()
        optional |= {"chat_template_kwargs"} if chats.template_arguments else set()
    names = [PAIR_ID.name, "target", "weight", "required_margin"]
    columns = (run.labels[name].to_pylist() for name in names)
    for pair_id, target, weight, margin in zip(*columns, strict=True):
        decision = decisions.get(pair_id, NOT_DECIDED)
        if is_left_out(decision, target, weight, ties):
            continue
        is_tie = target == 0.5 or decision.action == "tie"
        if is_tie or weight != 1 or decision.value not in (None, 1.0):
            optional.add("weight")
        if not is_tie and target not in (0.0, 1.0):
            optional.add("target")
        if margin and decision.action != "tie":
            optional.add("margin")
    influence = influence_columns(run)
    plain = ("pair_id", "action", "reason", "file", "file_row")
    taken = {"chosen", "rejected", *optional, *influence.values()}
    # A column that TRL would read must not be one of the user's by chance.
    taken |= {"prompt", "tools", "chat_template_kwargs", "margin", "completion"}
    taken |= {"messages", "chosen_ids", "rejected_ids"}
    taken |= {PREFIX + name for name in plain}
    own = names_of_own(own_columns(run), taken)
    return RowFormat(form, ties, frozenset(optional), own, influence)


def schema(run: AuditedRun, fmt: RowFormat, chats: Chats) -> pa.Schema:
    """Arrow types of the rows; chats with nested fields, such as tool calls, and
    arguments of templates are JSON, which `datasets` decodes."""
    json_text = pa.json_()
    message: Any = pa.string()
    if fmt.form == "messages":
        plain = pa.struct([("role", pa.string()), ("content", pa.string())])
        message = pa.list_(json_text if chats.nested else plain)
    numbers = ("margin", "target", "weight")
    kinds = {"prompt": message, "chosen": message, "rejected": message}
    kinds |= {"tools": pa.string(), "chat_template_kwargs": json_text}
    kinds |= dict.fromkeys(numbers, pa.float64())
    left_out = kinds.keys() - fmt.optional - {"chosen", "rejected"}
    fields = [(name, kind) for name, kind in kinds.items() if name not in left_out]
    table = run.labels
    fields += [(name, table[column].type) for column, name in fmt.own.items()]
    fields += [(PREFIX + n, pa.string()) for n in ("pair_id", "action", "reason")]
    fields += [(name, table[column].type) for column, name in fmt.influence.items()]
    fields += [(f"{PREFIX}file", pa.string()), (f"{PREFIX}file_row", pa.int64())]
    return pa.schema(fields)
