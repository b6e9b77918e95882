"""Scored labels to an HTML page: the most harmful and most helpful ones, with texts."""

from typing import Any

import numpy as np
import pyarrow as pa

from inflib.data.pairs_folder import PairsFolder, TextsById
from inflib.report.html import document, escaped, label_table
from inflib.storage.folder import Folder


def examples_page(
    run: Folder, table: pa.Table, columns: dict[str, str], wrong: np.ndarray, most: int
) -> str:
    """HTML page with `most` labels at either end of each influence column; texts are
    escaped.

    columns: {query set: name of its influence column}; wrong: [n] which labels of the
    table were planted wrong.
    """
    texts = TextsById(PairsFolder(run / "pairs" / "train"))
    sections = [
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
            sections.append(f"<h2>{title}, query set {escaped(query)}</h2>")
            for place in places:
                label = table.slice(int(place), 1).to_pylist()[0]
                text = texts[label["comparison_id"]]
                marked = bool(wrong[place])
                heading = _heading(label, column, marked)
                sections.append(label_table(heading, text, label["sign"], marked))
    return document("Most and least harmful labels", sections)


def _heading(label: dict[str, Any], column: str, wrong: bool) -> str:
    return (
        f"{label['pair_id']}: influence {label[column]:.3g}, margin "
        f"{label['margin']:.2f}, chosen longer by {label['length_difference']} tokens"
        f"{', planted' if wrong else ''}"
    )
