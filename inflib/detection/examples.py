"""Scored labels to an HTML page: the most harmful and most helpful ones, with texts."""

from typing import Any

import numpy as np
import pyarrow as pa

from inflib.data.pairs_folder import PairsFolder, TextsById
from inflib.page.environment import render
from inflib.storage.folder import Folder


def examples_page(
    run: Folder, table: pa.Table, columns: dict[str, str], wrong: np.ndarray, most: int
) -> str:
    """HTML page with `most` labels at either end of each influence column; texts are
    escaped.

    columns: {query set: name of its influence column}; wrong: [n] which labels of the
    table were planted wrong.
    """
    texts, lists = TextsById(PairsFolder(run / "pairs" / "train")), []
    for query, column in columns.items():
        order = np.argsort(-table[column].to_numpy(), kind="stable")
        for title, places in (
            ("Most harmful", order[:most]),
            ("Most helpful", order[::-1][:most]),
        ):
            rows = []
            for place in places.tolist():
                label = table.slice(place, 1).to_pylist()[0]
                rows.append(
                    {
                        "heading": _heading(label, column, bool(wrong[place])),
                        "text": texts[label["comparison_id"]],
                        "sign": label["sign"],
                        "marked": bool(wrong[place]),
                    }
                )
            lists.append({"title": f"{title}, query set {query}", "rows": rows})
    title = "Most and least harmful labels"
    return render("examples.html.j2", title=title, lists=lists)


def _heading(label: dict[str, Any], column: str, wrong: bool) -> str:
    return (
        f"{label['pair_id']}: influence {label[column]:.3g}, margin "
        f"{label['margin']:.2f}, chosen longer by {label['length_difference']} tokens"
        f"{', planted' if wrong else ''}"
    )
