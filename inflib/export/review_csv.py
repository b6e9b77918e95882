"""Labels to review as a CSV file.

review.csv has the columns of decisions.csv first, `action` empty: whoever looks fills
it in (keep, flip, drop, tie, or a weight). `inflib import-decisions` leaves out rows
that are still empty; once all are filled in, the file is itself a decisions.csv. Cells
that a spreadsheet would run are made inert.
"""

from collections.abc import Iterator
from typing import Any

from inflib.audited_run import AuditedRun
from inflib.data.decisions import COLUMNS
from inflib.export.review_items import ReviewItem, number_names
from inflib.export.target_files import new_file
from inflib.storage.plain_text import csv_text


def write_review(path: str, items: Iterator[list[ReviewItem]], run: AuditedRun) -> int:
    """Write the CSV file of the labels to review; returns their number."""
    numbers, count = number_names(run), 0
    header = [*COLUMNS, "proposed", *numbers, "prompt", "chosen", "rejected"]
    head = csv_text(header, [])
    with new_file(path) as file:
        file.write(head.encode())
        for of_shard in items:
            rows = [_cells(item, numbers) for item in of_shard]
            file.write(csv_text(header, rows)[len(head) :].encode())
            count += len(rows)
    return count


def _cells(item: ReviewItem, numbers: list[str]) -> list[Any]:
    cells = {name: getattr(item, name) for name in ("pair_id", "labeler", "reason")}
    return [
        *(cells.get(name, "") for name in COLUMNS),
        item.proposed,
        *(item.numbers.get(name, "") for name in numbers),
        item.prompt,
        item.chosen,
        item.rejected,
    ]
