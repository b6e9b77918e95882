"""Messages to a prompt and two responses, by a chat template."""

import json
import os.path
from typing import Any

from inflib.config.shapes import ShapeConfig
from inflib.shapes.messages import (
    ASSISTANT,
    SYSTEM,
    USER,
    Dialogue,
    Message,
    folded,
    is_empty,
    turn_key,
)
from inflib.shapes.special_tokens import unguarded
from inflib.shapes.split import Context, Render, Split, empty_response
from inflib.storage.plain_text import shorten


def split_chat(
    prompt: Dialogue | None,
    chosen: Dialogue,
    rejected: Dialogue,
    context: Context,
    config: ShapeConfig,
    render: Render,
) -> Split:
    """The prompt and the two responses of messages: the prompt is all that the two
    dialogues share, with what the template puts before an answer. Text becomes a turn.

    prompt: None where both responses repeat it, if there is one. Raises ValueError
    where one response is empty, or the template refuses them.
    """
    marks: list[str] = []
    chosen, rejected = _dialogues(prompt, chosen, rejected, context)
    chosen_key, rejected_key = ([*map(turn_key, each)] for each in (chosen, rejected))
    if chosen_key == rejected_key:
        raise ValueError("identical responses")
    turns = _shared_turns(chosen_key, rejected_key, marks)
    if any(d[-1]["role"] == USER for d in (chosen, rejected)):
        marks.append("dialogues that end with a user turn")
    prefix, arguments = "", context.arguments
    around = [chosen[turns - 1 : turns + 1], rejected[turns : turns + 1]]
    if turns and all(turn["role"] == ASSISTANT for side in around for turn in side):
        marks.append("prompts that end in an assistant turn")
        if config.prefill == "continue":
            turns -= 1
            prefix = chosen[turns]["content"] or ""
            chosen, rejected = (_continued(d, turns) for d in (chosen, rejected))
    keys = (
        _text([chosen_key[:turns], prefix, arguments]),
        _text(chosen_key[turns:]),
        _text(rejected_key[turns:]),
    )
    messages = {
        "prompt": chosen[:turns],
        "chosen": chosen[turns:],
        "rejected": rejected[turns:],
        "arguments": arguments,
    }
    if config.system_turns == "fold":
        turns -= sum(message["role"] == SYSTEM for message in chosen[:turns])
        chosen, rejected = folded(chosen), folded(rejected)
    texts = [render(chosen, False, **arguments), render(rejected, False, **arguments)]
    start = render(chosen[:turns], True, **arguments) + prefix if turns else ""
    if not all(text.startswith(start) for text in texts):
        # An unusual template: a whole dialogue does not start with its rendered prompt.
        start = os.path.commonprefix([start, *texts])  # noqa: RUF071
    marks += _ignored(chosen[:turns], unguarded(texts[0]), arguments)
    chosen_text, rejected_text = (text[len(start) :] for text in texts)
    if not chosen_text.strip() or not rejected_text.strip():
        raise empty_response(chosen_text)
    kept = json.dumps(messages, ensure_ascii=False, default=str)
    kept = kept.encode(errors="replace").decode()  # lone surrogates, where none shows
    return Split(start, chosen_text, rejected_text, True, keys, tuple(marks), kept)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _shared_turns(
    chosen: list[dict[str, Any]], rejected: list[dict[str, Any]], marks: list[str]
) -> int:
    """How many turns both dialogues start with, the last answer of either left out."""
    shortest = min(len(chosen), len(rejected))
    turns = 0
    while turns < shortest and chosen[turns] == rejected[turns]:
        turns += 1
    if turns == shortest:
        # One dialogue goes on after the other: their answers start at the last answer
        # that both have.
        marks.append("dialogues that go on after the other one's end")
        turns -= 1
        while turns >= 0 and chosen[turns]["role"] != ASSISTANT:
            turns -= 1
        if turns < 0:
            raise ValueError("one dialogue is the start of the other, no answer in it")
    elif chosen[turns]["role"] != ASSISTANT or rejected[turns]["role"] != ASSISTANT:
        marks.append("dialogues that part at a turn that is not the assistant's")
    elif len(chosen) - turns > 1 or len(rejected) - turns > 1:
        marks.append("dialogues that part before the last answer")
    return turns


def _continued(messages: list[Message], place: int) -> list[Message]:
    """The messages with the turn at `place` and the next one in one."""
    first, second, *rest = messages[place:]
    joined = first | second
    joined["content"] = (first["content"] or "") + (second["content"] or "")
    return [*messages[:place], joined, *rest]


def _ignored(prompt: list[Message], text: str, arguments: dict[str, Any]) -> list[str]:
    """Names of what the rendered dialogue does not show."""
    marks = [
        f"{shorten(message['role'])} turns that the chat template leaves out or changes"
        for message in prompt
        if (message["content"] or "").strip() not in text
    ]
    calls = [call for message in prompt for call in message.get("tool_calls") or []]
    for what, tools in (
        ("tools", arguments.get("tools") or []),
        ("tool calls", calls),
    ):
        if any(name not in text for name in map(_function_name, tools)):
            marks.append(f"{what} that the chat template leaves out")
    return list(dict.fromkeys(marks))


def _dialogues(
    prompt: Dialogue | None,
    chosen: Dialogue,
    rejected: Dialogue,
    context: Context,
) -> tuple[list[Message], list[Message]]:
    """The whole dialogue with each response."""
    prompt_turns = _turns(prompt, USER) if prompt else []
    responses = [_turns(chosen, ASSISTANT), _turns(rejected, ASSISTANT)]
    if len(prompt_turns) > 1 and prompt_turns[-1:] in responses:
        prompt_turns = prompt_turns[:-1]  # a dialogue that ends in one of the answers
    if prompt_turns and all(_repeats(turns, prompt_turns) for turns in responses):
        prompt_turns = []
    if context.system:
        system = {"role": SYSTEM, "content": context.system}
        first = (prompt_turns or responses[0])[0]
        if first["role"] != SYSTEM:
            prompt_turns = [system, *prompt_turns]
        elif first["content"] != context.system:
            raise ValueError("system text in a column of its own and in the messages")
    dialogues = [prompt_turns + turns for turns in responses]
    for turns, name in zip(dialogues, ("chosen", "rejected"), strict=True):
        if is_empty(turns[-1]):
            raise ValueError(f"empty response in {name!r}")
    return dialogues[0], dialogues[1]


def _turns(part: Dialogue, role: str) -> list[Message]:
    return [{"role": role, "content": part}] if isinstance(part, str) else part


def _repeats(turns: list[Message], prompt: list[Message]) -> bool:
    """Whether a response is a whole dialogue, which holds the prompt already."""
    if len(turns) <= len(prompt):
        return False
    if [*map(turn_key, turns[: len(prompt)])] == [*map(turn_key, prompt)]:
        return True
    if len(prompt) > 1 or prompt[0]["role"] != USER:
        return False
    asked = (prompt[0]["content"] or "").strip()
    return any(
        message["role"] == USER and (message["content"] or "").strip() == asked
        for message in turns[:-1]
    )


def _function_name(tool: Any) -> str:
    """Name of a tool, or of the tool that is called; empty where it has none."""
    function = tool.get("function", tool) if isinstance(tool, dict) else {}
    return str(function.get("name", "")) if isinstance(function, dict) else ""
