"""Plain texts to a prompt and two responses: TRL's, with an explicit prompt or an
implicit one that both responses repeat; Anthropic HH's dialogues, in which turns start
with "\\n\\nHuman:" and "\\n\\nAssistant:".
"""

import os.path
import re
from itertools import pairwise

from inflib.config.shapes import ShapeConfig
from inflib.shapes.split import Context, Split, empty_response

_HH_ASSISTANT, _HH_HUMAN = "\n\nAssistant:", "\n\nHuman:"
JOINED = "prompt and response joined without a space, as TRL does (or set separator)"
"""Mark of a label whose texts are so."""

_FEWEST_WORDS = 3
"""Words of a prompt at least, for responses that start with it to be whole texts."""


def split_text(
    prompt: str | None,
    chosen: str,
    rejected: str,
    context: Context,
    config: ShapeConfig,
) -> Split:
    """The prompt and the two responses of plain texts; the response follows the prompt.

    prompt: None where both responses repeat it, if there is one. Raises ValueError
    where one response is empty, or the dialogues share nothing.
    """
    marks: list[str] = []
    responses = (chosen, rejected)
    if prompt is not None and len(prompt.split()) >= _FEWEST_WORDS:
        start = prompt.strip()
        if all(text.lstrip().startswith(start) for text in responses):
            marks.append("responses that repeat the prompt")
            prompt = None
    if prompt is None:
        prompt, chosen, rejected = _shared_start(*responses, marks)
    elif config.separator:
        prompt += config.separator
    elif prompt[-1:].strip() and (chosen[:1].strip() or rejected[:1].strip()):
        marks.append(JOINED)
    if context.system:
        prompt = f"{context.system}\n\n{prompt}"
    if not chosen.strip() or not rejected.strip():
        raise empty_response(chosen)
    keys = prompt, chosen, rejected
    return Split(*keys, False, keys, tuple(marks))


def _shared_start(chosen: str, rejected: str, marks: list[str]) -> tuple[str, str, str]:
    """(prompt, chosen, rejected) of two texts that start with their prompt."""
    shared = os.path.commonprefix([chosen, rejected])  # noqa: RUF071
    heads = tuple("\n\n" + text.lstrip("\n") for text in (chosen, rejected))
    if all(head.startswith(_HH_HUMAN) for head in heads):
        cut = shared.rfind(_HH_ASSISTANT)
        if cut < 0:
            raise ValueError("the dialogues share no '\\n\\nAssistant:' turn")
        cut += len(_HH_ASSISTANT)
        _mark_hh(shared[:cut], chosen[cut:], rejected[cut:], marks)
        return shared[:cut], chosen[cut:], rejected[cut:]
    # Cut where a word starts, so that neither response is empty.
    starts = (space.end() for space in re.finditer(r"\s+", shared))
    cut = max(
        (i for i in starts if chosen[i:].strip() and rejected[i:].strip()),
        default=0,
    )
    return shared[:cut], chosen[cut:], rejected[cut:]


def _mark_hh(prompt: str, chosen: str, rejected: str, marks: list[str]) -> None:
    """Name what is unusual about a dialogue of Anthropic HH."""
    if not prompt.startswith("\n\n"):
        marks.append("dialogues without leading newlines")
    tails = (chosen, rejected)
    if any(_HH_ASSISTANT in tail for tail in tails):
        marks.append("dialogues that part before the last answer")
    if any(_HH_HUMAN in tail.rsplit(_HH_ASSISTANT)[-1] for tail in tails):
        marks.append("dialogues that end with a human turn")
    turns = re.findall(r"\n\n(Human|Assistant):", "\n\n" + prompt.lstrip("\n"))
    if re.search(r"[\"'\u201c\u2018`]\s*\n\n(Human|Assistant):", prompt):
        marks.append("dialogues with quoted turn marks")
    elif any(a == b for a, b in pairwise(turns)):
        marks.append("dialogues with two turns of one side in a row")
