"""Cells to text or to chat messages, whatever the spelling: {role, content} as in
OpenAI's and TRL's data, {from, value} as in ShareGPT's, content as a list of parts,
any of it as JSON text, or as Python prints it."""

import re
from typing import Any

from inflib.files.raw_rows import kind_of
from inflib.shapes.cells import parsed

Message = dict[str, Any]
Dialogue = str | list[Message]

ASSISTANT, USER, SYSTEM = "assistant", "user", "system"

_ROLE_KEYS = ("role", "from", "speaker", "author")
_CONTENT_KEYS = ("content", "value", "text", "message", "parts")
_TEXT_KEYS = ("full_text", "text", "content", "answer", "response", "output", "value")
_LIST_KEYS = ("messages", "conversation", "conversations")

_ROLES = {
    "human": USER,
    "prompter": USER,
    "gpt": ASSISTANT,
    "chatgpt": ASSISTANT,
    "bot": ASSISTANT,
    "model": ASSISTANT,
    "bing": ASSISTANT,
    "bard": ASSISTANT,
    "ai": ASSISTANT,
    "observation": "tool",
    "tool_response": "tool",
    "function_response": "tool",
}
"""{other spelling of a role: the role}; other roles are left to the chat template."""

_PRINTED = re.compile(r"\s*\[\s*\{'(?:role|from|content|value)':")
"""How messages start that are no JSON."""

_COMPARED = ("role", "content", "tool_calls", "name", "tool_call_id")
"""Fields of a message that make it another turn; others are passed to the template."""


def dialogue(value: Any, column: str) -> Dialogue:
    """The text or the messages in a cell.

    column: its name, for the error. Raises ValueError for what is neither.
    """
    if isinstance(value, str):
        inside = parsed(value)
        if isinstance(inside, str) and _PRINTED.match(inside):
            raise ValueError(f"{column!r} holds messages as numpy prints them, no JSON")
        return dialogue(inside, column) if _is_chat(inside) else value
    if isinstance(value, list):
        if not value or not all(map(_is_message, value)):
            raise ValueError(
                f"{column!r} is not a list of {{role, content}} or {{from, value}} "
                "messages"
            )
        return [_message(item, column) for item in value]
    if isinstance(value, dict):
        if _is_message(value):
            return [_message(value, column)]
        for key in (*_LIST_KEYS, *_TEXT_KEYS):
            if value.get(key):
                return dialogue(value[key], f"{column}.{key}")
    raise ValueError(f"{column!r} is {kind_of(value)}, not text or messages")


def paired_turns(prompts: list[str], answers: list[str]) -> list[Message]:
    """Messages of texts that alternate: the user's first, then the assistant's."""
    turns = []
    for prompt, answer in zip(prompts, answers, strict=True):
        turns += [
            {"role": USER, "content": prompt},
            {"role": ASSISTANT, "content": answer},
        ]
    return turns


def is_texts(value: Any) -> bool:
    """Whether a value is a list of plain texts."""
    return isinstance(value, list) and bool(value) and all(map(_is_plain, value))


def turn_key(message: Message) -> dict[str, Any]:
    """What makes two messages the same turn."""
    return {name: message[name] for name in _COMPARED if name in message}


def is_empty(message: Message) -> bool:
    """Whether a message has neither text nor tool calls."""
    return not (message["content"] or "").strip() and not message.get("tool_calls")


def folded(messages: list[Message]) -> list[Message]:
    """The messages with each system turn put at the start of the next user turn."""
    turns: list[Message] = []
    waiting: list[str] = []
    for message in messages:
        if message["role"] == SYSTEM:
            waiting.append(message["content"] or "")
        elif message["role"] == USER and waiting:
            text = "\n\n".join([*waiting, message["content"] or ""])
            turns.append(message | {"content": text})
            waiting = []
        else:
            turns.append(message)
    if waiting:
        raise ValueError("a system turn without a user turn after it to fold it into")
    return turns


def _is_plain(value: Any) -> bool:
    return isinstance(value, str) and not _is_chat(parsed(value))


def _is_chat(value: Any) -> bool:
    """Whether parsed JSON is a message, messages, or an object that holds some."""
    if isinstance(value, list) and len(value) > 1:
        return all(_is_message(x) and _has_content(x) for x in value)
    if isinstance(value, list):
        return bool(value) and _says_something(value[0])
    if isinstance(value, dict):
        if _says_something(value):
            return True
        return any(_is_chat(value.get(key)) for key in _LIST_KEYS)
    return False


def _says_something(value: Any) -> bool:
    """Whether an object in a text is a message with contents: an answer in JSON, such
    as [{"author": "Jane Austen", "text": "Emma"}], is none."""
    if not _is_message(value):
        return False
    role = next(value[key] for key in _ROLE_KEYS if isinstance(value.get(key), str))
    known = {*_ROLES, *_ROLES.values(), SYSTEM, "developer", "function", "ipython"}
    return role.strip().lower() in known and _has_content(value)


def _has_content(value: Message) -> bool:
    return any(key in value for key in (*_CONTENT_KEYS, "tool_calls"))


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and any(
        isinstance(value.get(key), str) for key in _ROLE_KEYS
    )


def _message(fields: Message, column: str) -> Message:
    """A message as chat templates take it. Fields that are null are left out: data that
    were a table have them in every message."""
    role_key = next(key for key in _ROLE_KEYS if isinstance(fields.get(key), str))
    keys = [key for key in _CONTENT_KEYS if key in fields]
    content = fields[keys[0]] if keys else None
    role = fields[role_key].strip().lower()
    left = {
        name: value
        for name, value in fields.items()
        if name not in (role_key, *keys[:1]) and value is not None
    }
    if not isinstance(left.get("tool_calls", []), list):
        raise ValueError(f"tool_calls of a message in {column!r} are no list")
    if content is None and not left.get("tool_calls"):
        raise ValueError(f"a message in {column!r} has no content")
    return {
        "role": _ROLES.get(role, role),
        "content": content_text(content, column),
        **left,
    }


def content_text(content: Any, column: str) -> str | None:
    """Text of a message's content; of a list of parts, their texts joined."""
    if content is None or isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    texts = []
    for part in parts:
        text = part if isinstance(part, str) else None
        if isinstance(part, dict):
            text = part.get("text")
            text = text.get("value") if isinstance(text, dict) else text
        if not isinstance(text, str):
            kind = part.get("type") if isinstance(part, dict) else kind_of(part)
            raise ValueError(f"a message in {column!r} holds {kind}, not text")
        texts.append(text)
    return "".join(texts)
