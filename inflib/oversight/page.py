"""Weights and decisions of a labeler to the HTML page that the labeler is shown."""

from typing import Any

import pyarrow as pa

from inflib.oversight.guidance import in_words
from inflib.page.environment import render


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
    signs = table["sign"].to_pylist()
    objectives = [row["objective"] for row in weights]
    return render(
        "guidance.html.j2",
        title=f"Labeler {labeler}",
        labels=len(table),
        weights=[
            {
                "objective": row["objective"],
                "labeler": f"{row['labeler_weight']:.2f}",
                "expert": f"{row['expert_weight']:.2f}",
                "difference": f"{row['difference']:+.2f} ({row['low']:+.2f} to "
                f"{row['high']:+.2f})",
                "in_words": in_words(row),
            }
            for row in weights
        ],
        decisions=[
            {
                "heading": f"{row['pair_id']}: influence {row['influence']:.3g} "
                f"(standard error {row['error']:.2g})",
                "text": text,
                "sign": signs[row["place"]],
                "differences": ", ".join(f"{x} {row[x]:+g}" for x in objectives),
            }
            for row, text in zip(decisions, texts, strict=True)
        ],
    )
