"""What the comparisons of a run are made of, texts or chats, and so the form of its
rows."""

import json
from dataclasses import dataclass

import pyarrow as pa

from inflib.audited_run import AuditedRun
from inflib.export.trl_rows import Form

_PLAIN = {"role", "content"}
"""Fields of a message that every chat template knows."""


@dataclass
class Chats:
    """What the comparisons of a run are made of."""

    texts: int = 0
    """Comparisons of plain texts."""

    chats: int = 0
    unknown: int = 0
    """Comparisons prepared before messages were kept."""

    without_prompt: bool = False
    """Whether a chat has no prompt."""

    tools: bool = False
    template_arguments: bool = False
    nested: bool = False
    """Whether messages have other fields than a role and a text, such as tool calls."""

    def add(self, comparisons: pa.Table, form: Form | None) -> None:
        """Look at the comparisons of a shard."""
        if "messages" not in comparisons.column_names:
            self.unknown += len(comparisons)
            return
        for text, prompt in zip(
            comparisons["messages"].to_pylist(),
            comparisons["prompt"].to_pylist(),
            strict=True,
        ):
            if text is None:
                self.texts += 1
                self.without_prompt |= not prompt and form == "messages"
                continue
            self.chats += 1
            kept = json.loads(text)
            self.without_prompt |= not kept["prompt"]
            self.tools |= bool(kept["arguments"].get("tools"))
            self.template_arguments |= bool(kept["arguments"].keys() - {"tools"})
            self.nested |= any(
                message.keys() != _PLAIN or not isinstance(message["content"], str)
                for side in ("prompt", "a", "b")
                for message in kept[side]
            )


def look(run: AuditedRun, form: Form | None) -> tuple[Form, Chats]:
    """(form of the rows, what the comparisons are made of).

    form: as was asked for; None: texts where there are only texts, messages where there
    are only chats. Raises ValueError where that cannot be told.
    """
    chats = Chats()
    if form == "text":
        return form, chats
    for _, comparisons in run.shards():
        chats.add(comparisons, form)
    if chats.unknown:
        raise ValueError(
            f"{run.folder.url} was prepared by a version that kept no chat messages: "
            "add --form text for the texts as the chat template made them, or prepare "
            "it anew in another --run"
        )
    if form is None and chats.texts and chats.chats:
        raise ValueError(
            f"the run has {chats.texts} comparisons of texts and {chats.chats} of "
            "chats, which no dataset can mix: add --form messages (texts become turns) "
            "or --form text (chats as the chat template made them)"
        )
    return form or ("messages" if chats.chats else "text"), chats
