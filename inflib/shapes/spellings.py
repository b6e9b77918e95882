"""Names that columns have in public data.

Names are compared without case, blanks and punctuation: "Response A" is responsea.
"""

import re
from typing import Any

_WHOLE = (
    *("answer", "completion", "output", "summary"),
    *("messages", "conversation", "conversations"),
)

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
        "user_input",
        "user_message",
        "input_text",
        "context_messages",
        "trajectory",
        "contents",
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
        *(f"chosen_{stem}" for stem in _WHOLE),
        *(f"{stem}_chosen" for stem in _WHOLE),
        *(f"preferred_{stem}" for stem in _WHOLE),
        "best_response",
        "best_answer",
        "best",
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
        *(f"rejected_{stem}" for stem in _WHOLE),
        *(f"{stem}_rejected" for stem in _WHOLE),
        *(f"dispreferred_{stem}" for stem in _WHOLE),
        "worst_response",
        "worst_answer",
        "worst",
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
    "response": (
        "response",
        "completion",
        "answer",
        "output",
        "text",
        "reply",
        "model_response",
    ),
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
        "pm_score",
        "stars",
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
        "annotator_name",
        "annotator_index",
        "evaluator",
        "completed_by",
    ),
    "system": (
        "system",
        "systemInstruction",
        "system_prompt",
        "system_message",
        "sys_prompt",
    ),
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
        "preference",
    ),
    "flag": ("label", "kto_tag", "desirable", "is_chosen", "if_chosen", "chosen"),
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
    "option",
    "messages",
)
_ENDINGS = (("a", "b"), ("0", "1"), ("1", "2"), ("left", "right"), ("first", "second"))

TWO_ANSWERS = (
    *(
        names
        for stem in _STEMS
        for a, b in _ENDINGS
        for names in (
            (f"{stem}_{a}", f"{stem}_{b}"),
            (f"{a}_{stem}", f"{b}_{stem}"),
            (f"model_{a}_{stem}", f"model_{b}_{stem}"),
        )
    ),
    ("a", "b"),
)
"""Pairs of names of the two responses, first and second."""

TWO_SCORES = tuple(
    (f"{stem}_{a}", f"{stem}_{b}")
    for stem in ("score", "rating", "reward", "elo")
    for a, b in _ENDINGS
)

TWO_RANKS = tuple((f"rank_{a}", f"rank_{b}") for a, b in _ENDINGS)

TWO_VOTES = (
    *((f"{n}_{a}", f"{n}_{b}") for n in ("winner", "choice") for a, b in _ENDINGS),
    ("winner_model_a", "winner_model_b"),
    ("a_wins", "b_wins"),
)
"""Names of two columns that hold votes, or true for the response that won."""

CHOSEN_SCORES = tuple(
    names
    for stem in ("score", "rating", "reward")
    for names in (
        (f"{stem}_chosen", f"{stem}_rejected"),
        (f"chosen_{stem}", f"rejected_{stem}"),
    )
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
    "better_response",
    "winning_response",
    "selected_response",
    "selected",
    "human_preference",
    "preference_label",
    "comparison",
)
"""Names of a column that says which of two responses won."""

SAYS_WINNER = re.compile(
    "(?!.*(?:least|worse|worst|dispref|unpref|reject|loser|losing"
    "|(?<![a-z])(?:not|non|less)(?![a-z])))"
    ".*(?:prefer|better|best|winner|winning|choice|chosen|choose|select|verdict|decision)"
)
"""What the name of a column says whose words stand for a winner."""

OUTER = ("data", "fields", "params", "response", "responses")
"""Columns of labelling tools that are objects with the columns of a row."""

PREFIX = re.compile(
    rf"^(?:input|output|answer|assignment|{'|'.join(OUTER)})[.:]", re.IGNORECASE
)
"""What labelling tools put before the names of columns."""

JUDGED = "orig_"
"""What stands before the names of columns that a judge's own prompt was made of."""

LAST_VERDICTS = ("preference_strength", "safer_response_id")
"""Names of a column that says who won where no other does."""

ONE_HOT = (
    ("winner_model_a", "winner_model_b", "winner_tie"),
    ("winner_a", "winner_b", "winner_tie"),
    ("a_wins", "b_wins", "tie"),
)
"""Names of three columns of which one is 1."""

RATERS = re.compile(
    r"(?:annotator|rater|labeler|labeller|worker|judge|vote|human|expert)[_ -]?\d+"
    r"(?:[_ -]?(?:label|vote|preference|choice|winner))?$",
    re.IGNORECASE,
)
"""Names of columns that hold the verdicts of several raters."""


def plain(name: Any) -> str:
    """A name without case, blanks and punctuation."""
    return re.sub(r"[\W_]+", "", str(name).casefold())
