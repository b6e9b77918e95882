"""Facts on a query set to a verdict: can this audit be acted on for it?

    trusted     nothing speaks against it
    doubtful    look at labels before acting on a ranking of them
    not usable  the scores say nothing of what the query set asks for

A reward model that cannot tell the query set's better responses has gradients that tell
nothing either, however small the scores' own errors are: every score's interval holds
the query set's and the sketch's error, and none of them what the model did not learn.
"""

from dataclasses import dataclass, field
from typing import Any

from inflib.config.recipe import Recipe

TRUSTED, DOUBTFUL, NOT_USABLE = "trusted", "doubtful", "not usable"

_ORDER = (TRUSTED, DOUBTFUL, NOT_USABLE)

LABELS, PROMPTS = 30, 10
"""Query labels, and prompts of them, below which nothing is said: an interval of
accuracy over fewer clusters is no 95% (Cameron & Miller, J. Hum. Resour. 50, 2015,
section VI), and with 10 query labels influence had an AUC of 0.56 where all gave 0.70
(docs/results.md, HH)."""

BARELY = 0.55
"""Lower end of the accuracy's interval that is needed: the query vector is the mean of
gradients of which the wrong ones undo the right ones, and is 2 accuracy - 1 of what it
could be; below a tenth, a few wrong query labels decide its direction. Training labels
below it: the model has hardly learned them."""

WIDE = 0.1
"""Half width of the accuracy's interval above which the query set is called small."""

UNRELATED = 0.1
"""Reliability below which the scores are those of chance: of two halves of a query set,
each then shares 1% of its ranking with the other."""

BY_NORM = 0.5
"""Squared rank correlation with gradient norms above which the scores are mostly those:
large for labels that the model is unsure of, whatever the query set asks for."""

LEAKED, OWN = 0.05, 0.5
"""Share of query labels that are on training comparisons above which accuracy is
memory in part (as large as its usual interval), and above which it is nothing else.
OWN also for labels on training prompts with other answers, which only get a remark."""


@dataclass
class _Case:
    """(status, reason) as they are found; the worst one decides."""

    found: list[tuple[str, str]] = field(default_factory=list)

    def add(self, status: str, reason: str) -> None:
        self.found.append((status, reason))

    @property
    def status(self) -> str:
        """The worst one, which decides."""
        statuses = [TRUSTED, *(status for status, _ in self.found)]
        return max(statuses, key=_ORDER.index)

    @property
    def reasons(self) -> list[str]:
        """Those that decide first."""
        worst_first = sorted(self.found, key=lambda each: -_ORDER.index(each[0]))
        return [reason for _, reason in worst_first]


def judge_query_set(facts: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    """{status, reasons, labels_to_halve} by facts of inflib.report.evidence.

    reasons: one line each, what decides first, for a trusted one only remarks;
    labels_to_halve: more query labels, on prompts of their own, that would halve the
    interval of the accuracy.
    """
    case, accuracy = _Case(), facts["accuracy"]
    if accuracy is None or accuracy["labels"] < LABELS or accuracy["prompts"] < PROMPTS:
        found = accuracy or {"labels": 0, "prompts": 0}
        case.add(
            NOT_USABLE,
            f"it has {found['labels']} labels without ties on {found['prompts']} "
            f"prompts; {LABELS} on {PROMPTS} are the least",
        )
    if accuracy is not None:
        _judge_accuracy(case, accuracy)
    _judge_training(case, facts, recipe)
    _judge_scores(case, facts, recipe)
    _judge_leakage(case, facts)
    more = 3 * accuracy["labels"] if accuracy else None
    verdict = {"status": case.status, "reasons": case.reasons}
    return verdict | {"labels_to_halve": more}


def _judge_accuracy(case: _Case, accuracy: dict[str, Any]) -> None:
    low, high = accuracy["low"], accuracy["high"]
    if low <= 0.5 <= high:
        text = f"the reward model is at chance there ({interval(accuracy)})"
        case.add(NOT_USABLE, text)
    elif high < 0.5:
        text = f"the reward model contradicts it ({interval(accuracy)} agree): "
        case.add(DOUBTFUL, text + "influence says what taught it to")
    elif low < BARELY:
        text = f"the reward model is barely better than chance ({interval(accuracy)})"
        case.add(DOUBTFUL, text)
    if high - low > 2 * WIDE:
        more = 3 * accuracy["labels"]
        text = f"it is small: {more} more labels would halve that interval"
        case.add(DOUBTFUL, f"{interval(accuracy)} of it are right; {text}")


def _judge_training(case: _Case, facts: dict[str, Any], recipe: Recipe) -> None:
    train, accuracy = facts["train_accuracy"], facts["accuracy"]
    if train is None:
        return
    if train["low"] < BARELY:
        learned = (
            f"the model has hardly learned the training labels ({interval(train)})"
        )
        knows = accuracy is not None and accuracy["low"] > 0.5
        options = (
            f"model.adapter {recipe.model.adapter} is not of these labels"
            if recipe.model.adapter
            else f"raise train.learning_rate ({recipe.train.learning_rate:g}) or "
            f"train.epochs ({recipe.train.epochs:g}), or take a larger model.base"
        )
        case.add(DOUBTFUL if knows else NOT_USABLE, f"{learned}: {options}")
    elif accuracy and accuracy["low"] <= 0.5 <= accuracy["high"]:
        learned = f"what it learned of the training labels ({interval(train)})"
        case.add(NOT_USABLE, f"{learned} is not what this set asks for")
    if facts["too_sure"]:
        case.add(
            DOUBTFUL,
            f"the model is too sure of itself (best scale {facts['best_scale']:.2f}): "
            "influence says first of all what shrinks its margins; raise train.holdout "
            "or train.label_smoothing",
        )


def _judge_scores(case: _Case, facts: dict[str, Any], recipe: Recipe) -> None:
    found, needed = facts["reliability"], recipe.score.reliability
    if found < min(needed, UNRELATED):
        text = f"two halves of it rank the labels unlike (rank correlation {found:.2f})"
        case.add(NOT_USABLE, text)
    elif found < needed:
        text = f"two halves of it rank the labels too differently ({found:.2f}, below "
        case.add(DOUBTFUL, f"{text}score.reliability {needed:g})")
    if facts["explained_by_norm"] > BY_NORM:
        share = f"{facts['explained_by_norm']:.0%}"
        text = f"gradient norms alone explain {share} of the ranking of labels"
        case.add(DOUBTFUL, text)


def _judge_leakage(case: _Case, facts: dict[str, Any]) -> None:
    same, near = facts["comparisons_in_train"], facts.get("near_in_train", 0.0)
    if same > LEAKED:
        status = NOT_USABLE if same > OWN else DOUBTFUL
        case.add(status, f"{same:.0%} of it are training comparisons")
    elif near > LEAKED:
        case.add(DOUBTFUL, f"{near:.0%} of it are nearly training comparisons")
    if facts["prompts_in_train"] > OWN >= same:
        share = f"{facts['prompts_in_train']:.0%} of it is on training prompts"
        case.add(TRUSTED, f"{share}: on new prompts the model may be right less often")


def interval(share: dict[str, Any]) -> str:
    """A share with its 95% interval."""
    return f"{share['share']:.2f}, {share['low']:.2f} to {share['high']:.2f}"


def headline(verdicts: dict[str, dict[str, Any]]) -> str:
    """One sentence on all query sets: for which of them the audit can be acted on.

    verdicts: {query set: `judge_query_set` of it}.
    """
    by_status: dict[str, list[str]] = {TRUSTED: [], DOUBTFUL: [], NOT_USABLE: []}
    for query, verdict in verdicts.items():
        why = f": {verdict['reasons'][0]}" if verdict["status"] != TRUSTED else ""
        by_status[verdict["status"]].append(f'"{query}"{why}')
    trusted, doubtful, unusable = (", ".join(x) for x in by_status.values())
    parts = [
        f"can be acted on for {trusted}" if trusted else "",
        f"{'' if trusted else 'can be acted on '}with doubts for "
        + "; for ".join(by_status[DOUBTFUL])
        if doubtful
        else "",
        f"{'not' if trusted or doubtful else 'cannot be acted on'} for "
        + "; not for ".join(by_status[NOT_USABLE])
        if unusable
        else "",
    ]
    return f"This audit {'; '.join(part for part in parts if part)}."
