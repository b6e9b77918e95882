"""The labels that harm and help most, with their texts side by side, as a page."""

import html
from typing import Any

import numpy as np
import pyarrow as pa

from inflib.data.pairs_folder import PairsFolder, TextsById
from inflib.report.html import document, label_table
from inflib.storage.folder import Folder


def examples_page(
    run: Folder, table: pa.Table, columns: dict[str, str], wrong: np.ndarray, most: int
) -> str:
    """HTML; texts are escaped.

    columns: {query set: name of its influence column}.
    """
    texts = TextsById(PairsFolder(run / "pairs" / "train"))
    parts = [
        "<p>Influence is on the loss of the query set: positive raises it. Coloured: "
        "the label was planted, chosen and rejected were exchanged.</p>"
    ]
    for query, column in columns.items():
        scores = table[column].to_numpy()
        order = np.argsort(-scores, kind="stable")
        for title, places in (
            ("Most harmful", order[:most]),
            ("Most helpful", order[::-1][:most]),
        ):
            parts.append(f"<h2>{title}, query set {html.escape(query)}</h2>")
            for place in places:
                label = table.slice(int(place), 1).to_pylist()[0]
                text = texts[label["comparison_id"]]
                marked = bool(wrong[place])
                about = _about(label, column, marked)
                parts.append(label_table(about, text, label["sign"], marked))
    return document("Most and least harmful labels", parts)


def _about(label: dict[str, Any], column: str, wrong: bool) -> str:
    return (
        f"{label['pair_id']}: influence {label[column]:.3g}, margin "
        f"{label['margin']:.2f}, chosen longer by {label['length_difference']} tokens"
        f"{', planted' if wrong else ''}"
    )
