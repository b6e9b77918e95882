"""Names that columns have in public data, and words that stand for a winner.

Names are compared without case, blanks and punctuation: "Response A" is responsea.
"""

import re
from typing import Any, Literal

from inflib.shapes.cells import number

Side = Literal["a", "b", "tie"]

COLUMNS: dict[str, tuple[str, ...]] = {
    "prompt": (
        "prompt",
        "input.messages",
        "messages",
        "conversations",
        "conversation",
        "context",
        "history",
        "question",
        "instruction",
        "query",
        "input",
        "prompt_text",
        "user_prompt",
        "info.post",
        "info.article",
        "post",
    ),
    "chosen": (
        "chosen",
        "preferred_output",
        "chosen_response",
        "response_chosen",
        "preferred_response",
        "answer_chosen",
        "chosen_text",
        "response_j",
        "accepted",
        "positive",
        "y_w",
        "preferred",
        "better",
        "good",
        "win",
    ),
    "rejected": (
        "rejected",
        "non_preferred_output",
        "rejected_response",
        "response_rejected",
        "dispreferred_response",
        "non_preferred_response",
        "answer_rejected",
        "rejected_text",
        "response_k",
        "negative",
        "y_l",
        "dispreferred",
        "worse",
        "bad",
        "lose",
    ),
    "edited": ("edited", "edited_response", "edit", "revision", "corrected"),
    "turns": ("turns", "dialogue_turns"),
    "answers": (
        "completions",
        "answers",
        "responses",
        "outputs",
        "candidates",
        "generations",
        "summaries",
        "choices",
        "replies",
        "rankings",
    ),
    "response": ("response", "completion", "answer", "output", "text", "reply"),
    "score": (
        "overall_score",
        "score",
        "scores",
        "rating",
        "ratings",
        "reward",
        "rewards",
        "fine-grained_score",
        "quality",
        "helpfulness",
        "overall",
    ),
    "rank": ("rank", "ranks", "ranking", "order"),
    "best": ("best", "best_index", "best_response_id", "chosen_index", "best_idx"),
    "pair_id": ("pair_id",),
    "labeler": (
        "labeler",
        "labeller",
        "labeler_id",
        "annotator",
        "annotator_id",
        "worker",
        "worker_id",
        "rater",
        "rater_id",
        "judge",
        "user_id",
        "crowdworker",
    ),
    "system": ("system", "system_prompt", "system_message", "sys_prompt"),
    "tools": ("tools", "input.tools", "functions"),
    "chat_template_kwargs": ("chat_template_kwargs",),
    "votes_a": ("votes_a", "num_votes_a", "n_votes_a", "votes_1", "votes_0"),
    "votes_b": ("votes_b", "num_votes_b", "n_votes_b", "votes_2"),
    "target": ("target", "soft_label", "p_chosen", "prob_chosen", "chosen_prob"),
    "strength": ("strength", "preference_strength"),
    "weight": ("sample_weight", "label_weight", "example_weight"),
    "judgments": (
        "annotations",
        "individual_preference",
        "judgments",
        "judgements",
        "votes",
        "labels",
        "preferences",
    ),
}
"""{our name: names in data, the surest first}."""

_STEMS = (
    "response",
    "answer",
    "completion",
    "output",
    "text",
    "conversation",
    "human_ref",
    "candidate",
    "summary",
    "generation",
    "assistant",
    "reply",
    "model_output",
    "response_model",
)
_ENDINGS = (("a", "b"), ("0", "1"), ("1", "2"), ("left", "right"), ("first", "second"))

TWO_ANSWERS = tuple(
    names
    for stem in _STEMS
    for a, b in _ENDINGS
    for names in ((f"{stem}_{a}", f"{stem}_{b}"), (f"{a}_{stem}", f"{b}_{stem}"))
)
"""Pairs of names of the two responses, first and second."""

TWO_SCORES = tuple(
    (f"{stem}_{a}", f"{stem}_{b}")
    for stem in ("score", "rating", "reward", "elo")
    for a, b in _ENDINGS
)

VERDICTS = (
    "winner",
    "overall_preference",
    "better_response_id",
    "preference",
    "choice",
    "label",
    "labels",
    "preferred",
    "chosen",
    "verdict",
    "vote",
    "judgment",
    "judgement",
    "preferred_response",
    "better",
    "result",
    "answer",
)
"""Names of a column that says which of two responses won."""

LAST_VERDICTS = ("preference_strength", "safer_response_id")
"""Names of a column that says who won where no other does."""

ONE_HOT = (
    ("winner_model_a", "winner_model_b", "winner_tie"),
    ("winner_a", "winner_b", "winner_tie"),
    ("a_wins", "b_wins", "tie"),
)
"""Names of three columns of which one is 1."""

RATERS = re.compile(
    r"(?:annotator|rater|labeler|labeller|worker|judge|vote|human|expert)_?\d+"
    r"(?:_?(?:label|vote|preference|choice|winner))?$",
    re.IGNORECASE,
)
"""Names of columns that hold the verdicts of several raters."""

_FIRST = {"a", "modela", "responsea", "answera", "left", "first", "assistanta", "win"}
_SECOND = {"b", "modelb", "responseb", "answerb", "right", "second", "assistantb"}
_TIES = {
    "tie",
    "draw",
    "equal",
    "same",
    "both",
    "neither",
    "none",
    "bothbad",
    "bothgood",
    "tiebothbad",
    "tiebothgood",
    "even",
    "notsure",
    "unsure",
    "c",
    "abouttthesame",
    "aboutthesame",
    "nopreference",
}


def plain(name: Any) -> str:
    """A name without case, blanks and punctuation."""
    return re.sub(r"[\W_]+", "", str(name).casefold())


def side_of_word(word: str, names: tuple[str, str]) -> Side | None:
    """The winner that a word stands for; None for words that stand for none, such as
    numbers.

    names: what else the first and the second response are called: their columns, or
    the models that wrote them.
    """
    text = plain(word)
    if text in _TIES or text.startswith("tie"):
        return "tie"
    first, second = (plain(name) for name in names)
    if first != second and text in (first, second) and number(word) is None:
        return "a" if text == first else "b"
    text = re.sub(r"(isbetter|better|wins|won|winner|preferred)$", "", text)
    if text in _FIRST:
        return "a"
    return "b" if text in _SECOND else None
