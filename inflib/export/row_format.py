"""A run and what was decided on its labels to the format that all rows share.

Columns that would say the same of every row are left out, so the format needs a look at
all chats (chat_survey) and all labels before the first row is written.
"""

from typing import Any

import pyarrow as pa

from inflib.audited_run import AuditedRun
from inflib.data.decisions import Decisions
from inflib.data.output_columns import PAIR_ID
from inflib.export.chat_survey import Chats
from inflib.export.row_columns import (
    PREFIX,
    influence_columns,
    names_of_own,
    own_columns,
)
from inflib.export.row_verdicts import NOT_DECIDED, Ties, is_left_out
from inflib.export.trl_rows import Form, RowFormat


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
