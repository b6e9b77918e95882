"""The messages that prepare keeps, and exports of runs and data without them."""

import json

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from inflib.audited_run import AuditedRun
from inflib.data.decisions import Decision
from inflib.data.pairs_folder import PairsFolder
from inflib.data.row_schema import USED
from inflib.data.rows import read_file
from inflib.export.chat_survey import Chats, look
from inflib.export.trl_rows import RowFormat, rows_of
from inflib.storage.folder import Folder
from tests.export.conftest import TEXTS
from tests.support.files import write_jsonl
from tests.support.prepared_run import build_run

U, A, B = (
    {"role": role, "content": content}
    for role, content in [("user", "Q?"), ("assistant", "yes"), ("assistant", "no")]
)


def kept(tmp_path, row, **source):
    """The one comparison of a row, as pairs/ keeps it."""
    recipe = build_run(tmp_path, TEXTS[:2])
    fields = recipe.model_dump()
    fields["prepare"]["train"] |= source
    recipe = type(recipe).model_validate(fields)
    path = str(write_jsonl(tmp_path / "chat.jsonl", [row]))
    table = pa.concat_tables(read_file("train", path, "chat", recipe))
    (found,) = table.filter(pc.field("state") == USED).to_pylist()
    return found


def test_messages_are_kept_with_all_their_fields(tmp_path):
    named = U | {"name": "ann"}
    row = {"prompt": [named], "chosen": [B], "rejected": [A], "extra": 1}
    found = kept(tmp_path, row)
    assert json.loads(found["messages"]) == {
        "prompt": [named],
        "a": [B] if found["response_a"].startswith("no") else [A],
        "b": [A] if found["response_a"].startswith("no") else [B],
        "arguments": {},
    }
    assert (
        kept(tmp_path, {"prompt": "Q", "chosen": "a", "rejected": "b"})["messages"]
        is None
    )


def test_an_implicit_prompt_and_a_system_text_are_in_the_messages(tmp_path):
    row = {"chosen": [U, A], "rejected": [U, B], "system": "Be brief, please."}
    messages = json.loads(kept(tmp_path, row)["messages"])
    system = {"role": "system", "content": "Be brief, please."}
    assert messages["prompt"] == [system, U]
    assert sorted(x["content"] for x in messages["a"] + messages["b"]) == ["no", "yes"]


def test_a_continued_answer_is_one_message(tmp_path):
    start = {"role": "assistant", "content": "I say "}
    row = {"prompt": [U, start], "chosen": [A], "rejected": [B]}
    messages = json.loads(kept(tmp_path, row, prefill="continue")["messages"])
    assert messages["prompt"] == [U]
    said = [message["content"] for message in messages["a"] + messages["b"]]
    assert sorted(said) == ["I say no", "I say yes"]


def comparisons(*messages):
    table = {"messages": list(messages), "prompt": ["p"] * len(messages)}
    return pa.table(table, pa.schema([("messages", pa.string()), ("prompt", "string")]))


class Shards(AuditedRun):
    """A run of which only the comparisons are there."""

    def __init__(self, *tables):
        self._tables, self.folder = tables, Folder("runs/x")

    def shards(self):
        return iter([(None, table) for table in self._tables])


CHAT = json.dumps({"prompt": [U], "a": [A], "b": [B], "arguments": {}})


def test_a_run_without_messages_says_what_to_do():
    old = comparisons(None).drop_columns("messages")
    with pytest.raises(ValueError, match="add --form text"):
        look(Shards(comparisons(CHAT), old), None)
    assert look(Shards(old), "text") == ("text", Chats())


def test_texts_and_chats_are_not_mixed():
    mixed = Shards(comparisons(CHAT, None))
    with pytest.raises(ValueError, match="1 comparisons of texts and 1 of chats"):
        look(mixed, None)
    assert look(mixed, "messages")[0] == "messages"
    assert look(Shards(comparisons(None)), None)[0] == "text"


def rows(target, margin, sign=1, action=None, **more):
    """What the rows of one label say: (chosen, margin, target, weight)."""
    label = {
        "pair_id": "p",
        "comparison_id": "c",
        "sign": sign,
        "target": target,
        "required_margin": margin,
        "weight": 2.0,
        "file": "f",
        "file_row": 1,
    }
    comparison = {"comparison_id": "c", "prompt": "p", "response_a": "a"}
    comparison |= {"response_b": "b"}
    decisions = {"p": Decision("p", action=action, **more)} if action else {}
    optional = frozenset({"prompt", "margin", "target", "weight"})
    return [
        (row["chosen"], row["margin"], row["target"], row["weight"])
        for row in rows_of(
            pa.Table.from_pylist([label]),
            pa.Table.from_pylist([comparison]),
            decisions,
            RowFormat("text", "both", optional, {}, {}),
        )
    ]


def test_targets_margins_and_weights_of_rows():
    assert rows(0.8, 0.5) == [("a", 0.5, 0.8, 2.0)]
    assert rows(0.8, 0.5, sign=-1) == [("b", 0.5, 0.8, 2.0)]
    assert rows(0.25, 0.5) == [("b", -0.5, 0.75, 2.0)]
    assert rows(0.8, 0.5, action="flip") == [("b", 0.5, 0.8, 2.0)]
    assert rows(0.8, 0.5, action="weight", value=0.5) == [("a", 0.5, 0.8, 1.0)]
    tie = [("a", 0.0, 1.0, 1.0), ("b", 0.0, 1.0, 1.0)]
    assert [(c, abs(m), t, w) for c, m, t, w in rows(1.0, 0.5, action="tie")] == tie
    assert rows(0.5, 0.5) == [("a", 0.5, 1.0, 1.0), ("b", -0.5, 1.0, 1.0)]


def test_a_shard_of_an_earlier_version_is_read_without_messages(tmp_path):
    recipe = build_run(tmp_path, TEXTS[:2])
    folder = PairsFolder(Folder(recipe.run) / "pairs" / "train")
    (shard,) = folder.plan()
    columns = ["comparison_id", "messages"]
    assert folder.comparisons(shard, columns).column_names == columns
    old = folder.comparisons(shard).drop_columns("messages")
    folder.write_plan([folder.write_shard("old", old, folder.labels(shard))])
    (shard,) = folder.plan()
    assert folder.comparisons(shard, columns).column_names == columns[:1]
