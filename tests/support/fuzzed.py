"""Random rows and files, and one file to all tables that `prepare` makes of it."""

import json
import re
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from inflib.config.recipe import Recipe
from inflib.data.input_files import describe_sources, shape_of
from inflib.data.label_index import LabelIndex
from inflib.data.row_schema import ROWS
from inflib.data.rows import read_file, used_rows
from inflib.data.shard_tables import excluded_table, kept_columns, shard_tables
from inflib.files.paths import fingerprint
from inflib.shapes import spellings
from inflib.shapes.shape import Shape

DEEP = re.compile(r'"@deep(\d+)"')
"""Stands for so many lists in each other, in JSON."""

NAMES = sorted(
    {name for names in spellings.COLUMNS.values() for name in names}
    | {*spellings.VERDICTS, "response_a", "response_b", "score_a", "score_b"}
    | {"message_id", "parent_id", "role", "rank", "text", "replies", "content", "value"}
    | {"answer_1", "answer_2", "answer_3", "score_1", "score_2", "score_3", "from"}
    | {"rater_1", "rater_2", "winner_a", "winner_b", "winner_tie", "model_a", "row"}
    | {"", " ", "a.b", "input_row", "influence_x", "\ud800", "two\nlines", "\x1b[2J"}
)

_ODD = ["", " ", "\ud800", "\udc80x", "a\nb", "</s>", "\ufdd0", "\x00", "1e999", "NaN"]
_ODD += ["tie", "a", "b", "0", "-1", "true", "null", "[1", '{"a": 1}', '[{"role": 1}]']
_ODD += ['[{"role": "user", "content": "w"}]', "@deep60", "@deep990", "@deep100000"]
TEXTS = st.one_of(st.sampled_from(_ODD), st.text(max_size=6))
NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([0.5, 1e308, -1e308, 5e-324, 2**63, -(2**70), 10**400, -0.0]),
    st.floats(),
)
PLAIN = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "assistant", "system", "tool", "\ud800"]),
        "from": st.sampled_from(["human", "gpt"]),
        "content": PLAIN,
        "value": TEXTS,
        "tool_calls": PLAIN,
    },
)
VALUES = st.recursive(
    st.one_of(PLAIN, MESSAGES),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    ),
    max_leaves=6,
)


def whole_row(kind: str, i: int) -> dict[str, Any]:
    """Row i of a format as it should be; its texts say w<i>."""
    one, two, three = (f"w{i}w says {word}" for word in ("yes", "no", "perhaps"))
    asked = {"prompt": f"Ask w{i}w?"}
    more = [{"text": f"w{i}w {j}", "rank": j, "role": "user"} for j in range(i)]
    rows: dict[str, dict[str, Any]] = {
        "pairs": asked | {"chosen": one, "rejected": two},
        "chats": {
            "prompt": [{"role": "user", "content": f"Ask w{i}w?"}],
            "chosen": [{"role": "assistant", "content": one}],
            "rejected": [{"role": "assistant", "content": two}],
        },
        "edits": asked | {"edited": three, "chosen": one, "rejected": two},
        "winner": asked | {"response_a": one, "response_b": two, "winner": "ab"[i % 2]},
        "one_hot": asked
        | {"response_a": one, "response_b": two}
        | {"winner_a": i % 2, "winner_b": 1 - i % 2, "winner_tie": 0},
        "votes": asked
        | {"response_a": one, "response_b": two, "votes_a": 1 + i, "votes_b": 2},
        "judgments": asked
        | {"response_a": one, "response_b": two}
        | {"annotations": [{"labeler": "x", "choice": c} for c in "ab"][: 1 + i % 2]},
        "raters": asked
        | {"response_a": one, "response_b": two, "rater_1": "a", "rater_2": "b"},
        "ranking": asked | {"answers": [one, two, three], "rank": [2, 1, 3]},
        "ratings": asked
        | {
            "completions": [{"response": t, "score": len(t)} for t in (one, two, three)]
        },
        "numbered": asked
        | {"answer_1": one, "answer_2": two, "answer_3": three}
        | {"score_1": 1, "score_2": 2, "score_3": 3},
        "best_of_n": asked | {"responses": [one, two, three], "best": i % 3},
        "turns": {"turns": [asked | {"chosen": one, "rejected": two}]},
        "trees": {
            "prompt": {
                "text": f"Ask w{i}w?",
                "role": "prompter",
                "replies": [
                    {"text": t, "role": "assistant", "rank": n, "replies": more}
                    for n, t in enumerate((one, two))
                ],
            }
        },
        "message_rows": {
            "message_id": f"m{i}",
            "parent_id": None if i < 2 else "m1",
            "text": one,
            "role": "assistant" if i > 1 else "prompter",
            "rank": i,
        },
        "rated_rows": {"prompt": f"Ask {i // 2}", "response": one, "score": i},
    }
    return rows[kind]


KINDS = ["pairs", "chats", "edits", "winner", "one_hot", "votes", "judgments", "raters"]
KINDS += ["ranking", "ratings", "numbered", "best_of_n", "turns", "trees"]
TOGETHER = ["message_rows", "rated_rows"]
"""Formats in which rows are read together."""

OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "ties": st.just("keep"),
        "strength": st.sampled_from(["margin", "weight"]),
        "texts": st.just("chat"),
        "pairs_of": st.sampled_from(["adjacent", "best"]),
        "prefill": st.just("continue"),
        "system_turns": st.just("fold"),
    },
)


@st.composite
def mangled(draw: st.DrawFn, kinds: list[str]) -> list[dict[str, Any]]:
    """Rows of one format, some with values, names and columns that are wrong."""
    kind = draw(st.sampled_from(kinds))
    rows = []
    for i in range(1, 1 + draw(st.integers(1, 5))):
        row = whole_row(kind, i)
        for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2, 4]))):
            known = sorted(row)
            name = draw(st.sampled_from([*known, *known, *NAMES]))
            if draw(st.integers(0, 4)):
                row[name] = draw(VALUES)
            else:
                row.pop(name, None)
        rows.append(row)
    return rows


def jsonl(rows: list[dict[str, Any]]) -> str:
    """JSON lines, with what JSON itself cannot say: lists nested as deep as DEEP."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    return DEEP.sub(lambda m: "[" * int(m[1]) + "]" * int(m[1]), text)


@dataclass(frozen=True)
class Prepared:
    """All that `prepare` makes of a file, in memory."""

    comparisons: pa.Table
    labels: pa.Table
    excluded: pa.Table
    index: LabelIndex
    rows: pa.Table


def prepared(path: str, recipe: Recipe) -> Prepared:
    """The steps of ray_jobs/prepare.py on the one training file."""
    source = recipe.prepare.train
    shape = json.loads(json.dumps(shape_of(source, "prepare.train", path).to_json()))
    entry = {"shape": shape, "fingerprint": fingerprint(path)}
    "".join(describe_sources({"train": {path: entry}})).encode()
    tables = [*read_file("train", path, "f", recipe, Shape.from_json(shape))]
    rows = pa.concat_tables([ROWS.empty_table(), *tables])
    index = LabelIndex()
    index.add(rows)
    index.name_by_labeler()
    dropped = index.drop_duplicates()
    by_labeler = frozenset(["train"] if index.ids_by_labeler else [])
    used = used_rows(rows, dropped, None, by_labeler)
    used = used.sort_by([("comparison_id", "ascending"), ("pair_id", "ascending")])
    comparisons, labels = shard_tables(used, kept_columns(index.kinds))
    json.dumps(index.report(), allow_nan=False)
    str(index).encode()
    excluded = excluded_table(index.unused)
    return Prepared(comparisons, labels, excluded, index, rows)


def recipe_of(path: str, base: str, **options: Any) -> Recipe:
    source = {"path": path, **options}
    return Recipe.model_validate(
        {
            "run": "/tmp/fuzzed-is-never-written",
            "prepare": {
                "train": source,
                "queries": {"q": {"path": path}},
                "max_length": 64,
            },
            "model": {"base": base},
        }
    )


def is_a_line(error: ValueError, path: str) -> bool:
    """Whether an error is one line about the file, which can be printed."""
    text = str(error)
    return text.startswith(f"{path}: ") and text.isprintable()
