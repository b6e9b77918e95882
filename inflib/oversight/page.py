"""Weights and decisions of a labeler to the HTML page that the labeler is shown."""

from typing import Any

import pyarrow as pa

from inflib.oversight.guidance import in_words
from inflib.report.html import document, escaped, label_table, rows_table


def labeler_page(
    labeler: str,
    table: pa.Table,
    weights: list[dict[str, Any]],
    decisions: list[dict[str, Any]],
    texts: list[dict[str, str]],
) -> str:
    """HTML page: the labeler's weights beside the expert's, then decisions to look at
    again, with their texts.

    table: the labeler's scored labels; weights: guidance.differs; decisions:
    guidance.decisions; texts: prompt, response_a and response_b of each decision.
    """
    sections = [
        f"<p>{len(table)} labels. Weights are scaled to length 1: the labeler's as the "
        "decisions show them, the expert's as far as the influence of these labels on "
        "the expert's own tells. Intervals: 95%, over the labeler's labels.</p>",
        rows_table(
            [
                {
                    "objective": row["objective"],
                    "labeler": f"{row['labeler_weight']:.2f}",
                    "expert": f"{row['expert_weight']:.2f}",
                    "difference": f"{row['difference']:+.2f} ({row['low']:+.2f} to "
                    f"{row['high']:+.2f})",
                    "in words": in_words(row),
                }
                for row in weights
            ]
        )
        or "<p>Too few labels to say in what they differ from the expert's.</p>",
        "<h2>Decisions to look at again</h2>",
    ]
    signs = table["sign"].to_pylist()
    for row, text in zip(decisions, texts, strict=True):
        differences = ", ".join(
            f"{weight['objective']} {row[weight['objective']]:+g}" for weight in weights
        )
        heading = (
            f"{row['pair_id']}: influence {row['influence']:.3g} "
            f"(standard error {row['error']:.2g})"
        )
        sections.append(label_table(heading, text, signs[row["place"]], False))
        if differences:
            sections.append(f"<p>chosen - rejected: {escaped(differences)}</p>")
    return document(f"Labeler {labeler}", sections)
