"""Files to what `prepare` would read from them: shape, first labels, bad rows, lengths,
agreement of labelers."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from inflib.config.data import SourceConfig
from inflib.data.chat_rendering import renderer
from inflib.data.input_files import shape_of
from inflib.data.rows import read_labels
from inflib.data.tokens import Tokens, tokenize
from inflib.files.paths import find_files
from inflib.files.raw_rows import BadRow
from inflib.shapes.messages import Message
from inflib.shapes.pairs import Pair
from inflib.shapes.shape import describe

_FIRST = 3
"""Labels that are shown whole."""

_LISTED = 5
"""Bad rows that are listed of each kind."""

_AT_ONCE = 512


def inspect(
    source: SourceConfig, tokenizer: Any | None, max_length: int
) -> dict[str, Any]:
    """What would be read, for JSON.

    tokenizer: of the reward model; without it chats are shown turn by turn, lengths are
    in words, and nothing is truncated. Raises ValueError for a file without a known
    shape.
    """
    counts: Counter[str] = Counter()
    problems: dict[str, list[str]] = {}
    first: list[dict[str, Any]] = []
    lengths: list[tuple[int, int]] = []
    votes: dict[str, dict[str, int]] = {}
    shapes: dict[str, str] = {}
    for item in _labels(source, tokenizer, max_length, shapes):
        if isinstance(item, BadRow):
            kind = re.sub(r"\d+", "N", item.problem.partition(": ")[0])
            counts["bad"] += 1
            problems.setdefault(kind, []).append(f"{item.file} row {item.row}")
            continue
        pair, tokens = item
        counts["labels"] += 1
        counts.update(f"noted {mark}" for mark in pair.texts.marks)
        chosen, rejected = _lengths(pair, tokens)
        lengths.append((chosen, rejected))
        if len(first) < _FIRST:
            first.append(_shown(pair, tokens, tokenizer))
        labeler = pair.extra.get("labeler")
        if labeler is not None:
            votes.setdefault(pair.comparison_id, {})[str(labeler)] = pair.sign
    chosen, rejected = np.array(lengths or [(0, 0)]).T
    untied = chosen != rejected
    return {
        "read_as": shapes,
        "labels": counts["labels"],
        "bad_rows": {
            kind: {"count": len(places), "first": places[:_LISTED]}
            for kind, places in problems.items()
        },
        "noted": {
            name.removeprefix("noted "): count
            for name, count in counts.items()
            if name.startswith("noted ")
        },
        "unit": "words" if tokenizer is None else "tokens",
        "mean_length_chosen": float(chosen.mean()),
        "mean_length_rejected": float(rejected.mean()),
        "longest": int(max(chosen.max(), rejected.max())),
        "share_longer_chosen": float((chosen > rejected)[untied].mean())
        if untied.any()
        else None,
        "labelers": len({name for by in votes.values() for name in by}),
        "krippendorff_alpha": agreement(votes),
        "first": first,
    }


def agreement(votes: dict[str, dict[str, int]]) -> float | None:
    """Krippendorff's alpha (nominal) of labelers on comparisons that two or more of
    them voted on: 1 where they agree, 0 as by chance; None without such comparisons.

    votes: {comparison_id: {labeler: which response was chosen, +1 or -1}}.
    """
    shared = [by_labeler for by_labeler in votes.values() if len(by_labeler) > 1]
    if len({vote for by in shared for vote in by.values()}) < 2:
        return 1.0 if shared else None
    import krippendorff

    values = np.array(
        [[sum(v == side for v in by.values()) for side in (-1, 1)] for by in shared]
    )
    return float(
        krippendorff.alpha(value_counts=values, level_of_measurement="nominal")
    )


def _labels(
    source: SourceConfig, tokenizer: Any | None, max_length: int, shapes: dict[str, str]
) -> Iterator[BadRow | tuple[Pair, Tokens | None]]:
    render = _turns if tokenizer is None else renderer(tokenizer)
    for file in find_files(source.path):
        shape = shape_of(source, "inspect", file)
        shapes[file] = describe(shape)
        items = (item for item, _ in read_labels(file, shape, source, render))
        while chunk := list(islice(items, _AT_ONCE)):
            pairs = [item for item in chunk if isinstance(item, Pair)]
            yield from (item for item in chunk if isinstance(item, BadRow))
            if tokenizer is None or not pairs:
                yield from ((pair, None) for pair in pairs)
                continue
            tokenized = tokenize(pairs, tokenizer, max_length, append_eos=True)
            for pair, tokens in zip(pairs, tokenized, strict=True):
                if isinstance(tokens, str):
                    yield BadRow(pair.file, pair.row, tokens)
                else:
                    yield pair, tokens


def _turns(messages: list[Message], add_generation_prompt: bool, **_: Any) -> str:
    """Messages as they are shown without a chat template."""
    lines = [
        f"[{message['role']}] {message['content'] or ''}\n" for message in messages
    ]
    return "".join(lines) + ("[assistant] " if add_generation_prompt else "")


def _lengths(pair: Pair, tokens: Tokens | None) -> tuple[int, int]:
    """Lengths of the chosen and the rejected response."""
    if tokens is None:
        return len(pair.chosen.split()), len(pair.rejected.split())
    tails = len(tokens.tail_a), len(tokens.tail_b)
    return tails if pair.sign > 0 else (tails[1], tails[0])


def _shown(pair: Pair, tokens: Tokens | None, tokenizer: Any) -> dict[str, Any]:
    """A label as the model sees it; what truncation cuts off is marked."""
    prompt = pair.prompt
    if tokens is not None and tokens.num_cut:
        kept = tokenizer.decode(tokens.prefix)
        prompt = f"[... {tokens.num_cut} tokens cut] {kept}"
    return {
        "file": pair.file,
        "row": pair.row,
        "prompt": prompt,
        "chosen": pair.chosen,
        "rejected": pair.rejected,
        "target": pair.target,
        "weight": pair.weight,
        "kept": pair.extra,
    }
