"""What labelling tools export to the answers that people gave in them."""

from collections.abc import Iterable, Iterator
from typing import Any


def argilla_answers(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """{pair_id, labeler, action, reason, note, by, at} of each response in the records
    that Argilla exports (records.to_json, or records.json of to_disk)."""
    for row in rows:
        responses, metadata = row.get("responses") or {}, row.get("metadata") or {}
        notes = {x.get("user_id"): x.get("value") for x in responses.get("note") or []}
        for answer in responses.get("action") or []:
            user = answer.get("user_id")
            yield {
                "pair_id": row.get("id"),
                "labeler": metadata.get("labeler") or "",
                "reason": metadata.get("reason") or "",
                "action": str(answer.get("value") or ""),
                "note": str(notes.get(user) or ""),
                "by": str(user or ""),
                "at": "",
            }


def label_studio_answers(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """{pair_id, labeler, action, reason, note, by, at} of each annotation in Label
    Studio's export, JSON or JSON_MIN."""
    for row in rows:
        if "data" not in row:  # JSON_MIN: a row for each annotation
            yield _answer(row, row, row.get("action"), row.get("note"))
            continue
        for annotation in row.get("annotations") or []:
            if annotation.get("was_cancelled"):
                continue
            values: dict[str, Any] = {}
            for region in annotation.get("result") or []:
                value = region.get("value") or {}
                values[region.get("from_name", "")] = value.get(
                    "choices", value.get("text")
                )
            yield _answer(
                row["data"], annotation, values.get("action"), values.get("note")
            )


def _answer(
    data: dict[str, Any], annotation: dict[str, Any], action: Any, note: Any
) -> dict[str, Any]:
    by = annotation.get("completed_by", annotation.get("annotator", ""))
    if isinstance(by, dict):
        by = by.get("email") or by.get("id", "")
    return {
        "pair_id": data.get("pair_id"),
        "labeler": data.get("labeler") or "",
        "reason": data.get("reason") or "",
        "action": _one(action),
        "note": _one(note),
        "by": str(by if by is not None else ""),
        "at": annotation.get("updated_at") or annotation.get("created_at") or "",
    }


def _one(value: Any) -> str:
    """The text of a choice or a note, which Label Studio writes as it is or in a
    list."""
    if isinstance(value, dict):
        return _one(value.get("choices", value.get("text")))
    if isinstance(value, list):
        return " ".join(filter(None, map(_one, value)))
    return "" if value is None else str(value)
