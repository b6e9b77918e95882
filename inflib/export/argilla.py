"""Labels to review as a dataset of Argilla 2, in the layout of its Dataset.from_disk.

.argilla/dataset.json    its name
.argilla/settings.json   fields, questions and metadata
records.json             the records, the proposed action as a suggestion
"""

import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from inflib.export.review_items import CHOICES, ReviewItem, about
from inflib.export.target_files import new_file, write_json_list

GUIDELINES = "\n".join(
    ["Is the label right?", "", *(f"- {k}: {v}." for k, v in CHOICES.items())]
)


def settings(numbers: list[str]) -> dict[str, Any]:
    """.argilla/settings.json; numbers: names of the items' numbers."""
    fields = ("about", "prompt", "chosen", "rejected")
    return {
        "guidelines": GUIDELINES,
        "allow_extra_metadata": True,
        "distribution": {"strategy": "overlap", "min_submitted": 1},
        "fields": [
            {
                "name": name,
                "title": name.capitalize(),
                "required": name in ("chosen", "rejected"),
                "settings": {"type": "text", "use_markdown": False},
            }
            for name in fields
        ],
        "questions": [
            {
                "name": "action",
                "title": "What should become of the label?",
                "required": True,
                "settings": {
                    "type": "label_selection",
                    "options": [
                        {"value": k, "text": k, "description": v}
                        for k, v in CHOICES.items()
                    ],
                },
            },
            {
                "name": "note",
                "title": "Note",
                "required": False,
                "settings": {"type": "text", "use_markdown": False},
            },
        ],
        "metadata": [
            {"name": "labeler", "title": "Labeler", "settings": {"type": "terms"}},
            *(
                {
                    "name": metadata_name(name),
                    "title": name,
                    "settings": {"type": "float"},
                }
                for name in numbers
            ),
        ],
        "vectors": [],
        "mapping": None,
    }


def metadata_name(name: str) -> str:
    """A name that Argilla takes: small letters, digits, - and _."""
    return "".join(
        c if c in "-_" or (c.isascii() and c.isalnum()) else "_" for c in name
    )[:200].lower()


def write_argilla(
    folder: str, items: Iterator[list[ReviewItem]], numbers: list[str]
) -> int:
    """Write the three files; returns the number of records."""
    records = (_record(item) for of_shard in items for item in of_shard)
    count = write_json_list(f"{folder}/records.json", records)
    name = PurePosixPath(folder.rstrip("/")).name or "review"
    dataset = {
        "name": name,
        "guidelines": GUIDELINES,
        "allow_extra_metadata": True,
        "status": "draft",
        "distribution": {"strategy": "overlap", "min_submitted": 1},
    }
    for file_name, value in (("dataset", dataset), ("settings", settings(numbers))):
        with new_file(f"{folder}/.argilla/{file_name}.json") as file:
            file.write((json.dumps(value, indent=1) + "\n").encode())
    return count


def _record(item: ReviewItem) -> dict[str, Any]:
    texts = {name: getattr(item, name) for name in ("prompt", "chosen", "rejected")}
    metadata: dict[str, Any] = {metadata_name(k): v for k, v in item.numbers.items()}
    metadata |= {"labeler": item.labeler} if item.labeler else {}
    metadata |= {"reason": item.reason} if item.reason else {}
    suggested = {"value": item.proposed, "score": None, "agent": "inflib"}
    return {
        "id": item.pair_id,
        "fields": {"about": about(item)} | {k: v for k, v in texts.items() if v},
        "metadata": metadata,
        "suggestions": {"action": suggested} if item.proposed in CHOICES else {},
        "responses": {},
        "vectors": {},
        "status": "pending",
        "_server_id": None,
    }
