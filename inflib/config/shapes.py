"""Configuration of how rows become labels: their format, columns and conventions."""

from typing import Any, Literal

from pydantic import Field, field_validator

from inflib.config.base import Frozen

Format = Literal[
    "auto",
    "pairs",
    "winner",
    "ranking",
    "ratings",
    "best_of_n",
    "edits",
    "turns",
    "rated_rows",
    "message_rows",
    "message_trees",
]
"""What a row holds (docs/formats.md)."""

ROLES = (
    "prompt",
    "chosen",
    "rejected",
    "response_a",
    "response_b",
    "answers",
    "response",
    "edited",
    "turns",
    "verdict",
    "score_a",
    "score_b",
    "score",
    "rank",
    "best",
    "votes_a",
    "votes_b",
    "target",
    "strength",
    "weight",
    "judgments",
    "pair_id",
    "labeler",
    "system",
    "tools",
    "chat_template_kwargs",
)
"""Our names of columns, the keys of `columns`."""


class ShapeConfig(Frozen):
    """How a row of the data is read."""

    format: Format = "auto"
    """What a row holds. auto: told from its columns, and said. pairs: chosen and
    rejected response. winner: two responses and who won. ranking, ratings, best_of_n:
    several answers to one prompt. edits: an edited response better than chosen and
    rejected. turns: a dialogue with two responses in each turn. rated_rows: one rated
    answer a row. message_rows, message_trees: messages with parents, ranked."""

    columns: dict[str, str | tuple[str, ...] | None] = Field(default={})
    """Names of columns in the data, where they are not recognised: {our name: name in
    the data}. Names inside columns have dots: {prompt: info.post}. Ours are in
    docs/formats.md; `prompt: null` says that there is no prompt. Several columns of a
    prompt are joined; several of a verdict are several labelers: {verdict:
    [annotator1, annotator2]}."""

    verdicts: dict[str, Literal["a", "b", "tie"]] = Field(default={})
    """What a value of the verdict column means, where it is not what is said: {value: a
    (the first response is better), b or tie}."""

    pairs_of: Literal["all", "adjacent", "best"] = "all"
    """Comparisons of ranked or rated answers: all pairs, those next to each other in
    the ranking, or the best with each other one."""

    ties: Literal["drop", "keep"] = "drop"
    """Labels without a winner. drop: left out, counted. keep: labels with target 0.5,
    whose loss pulls both rewards together."""

    strength: Literal["column", "margin", "weight"] = "column"
    """What is done with how much better the chosen response is (a graded preference, a
    difference of ratings). column: kept beside the label. margin: the loss requires
    this margin. weight: the label counts as often."""

    texts: Literal["joined", "chat"] = "joined"
    """Prompts and responses that are plain text. joined: response after prompt, as TRL
    does. chat: a user and an assistant turn, by the chat template."""

    separator: str = ""
    """Text between a prompt and a response that are joined."""

    system_turns: Literal["keep", "fold"] = "keep"
    """System turns of chats. fold: put at the start of the next user turn, for chat
    templates without a system role."""

    prefill: Literal["new_turn", "continue"] = "new_turn"
    """A prompt that ends in an assistant turn. new_turn: the response is another turn,
    as TRL renders it. continue: the response continues that turn."""

    chat_template_kwargs: dict[str, Any] = Field(default={})
    """Arguments of the chat template for all rows; a row's column chat_template_kwargs
    comes first."""

    @field_validator("columns")
    @classmethod
    def _known_names(
        cls, columns: dict[str, str | tuple[str, ...] | None]
    ) -> dict[str, str | tuple[str, ...] | None]:
        if unknown := sorted(set(columns) - set(ROLES)):
            raise ValueError(
                f"cannot map {unknown}: our names are {', '.join(ROLES)} (other "
                "columns are kept under their own names)"
            )
        for role, name in columns.items():
            if name is None and role != "prompt":
                raise ValueError(f"{role}: null; only a prompt can be said to be none")
            if isinstance(name, tuple) and role not in ("verdict", "prompt"):
                raise ValueError(f"{role}: one column, not {len(name)}")
        return columns
