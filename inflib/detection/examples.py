"""The labels that harm and help most, with their texts side by side, as a page."""

import html
from typing import Any

import numpy as np
import pyarrow as pa

from inflib.folder import Folder
from inflib.pairs_folder import PairsFolder

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem }
table { border-collapse: collapse; width: 100%; margin-bottom: 2rem }
td { border: 1px solid #ccc; padding: .5rem; vertical-align: top; width: 50% }
td p { white-space: pre-wrap; margin: 0 } .flipped { background: #fde7d9 }
.prompt { width: auto; background: #f4f4f4 } h3 { margin: 0 }
"""


def examples_page(
    run: Folder, table: pa.Table, columns: dict[str, str], wrong: np.ndarray, most: int
) -> str:
    """HTML; texts are escaped.

    columns: {query set: name of its influence column}.
    """
    folder = PairsFolder(run / "pairs" / "train")
    where = {}
    for shard in folder.plan():
        for name in folder.labels(shard, ["comparison_id"])[
            "comparison_id"
        ].to_pylist():
            where[name] = shard
    parts = [
        "<!doctype html><meta charset='utf-8'><title>Most and least harmful labels"
        f"</title><style>{_STYLE}</style><h1>Most and least harmful labels</h1>"
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
                text = folder.texts(
                    where[label["comparison_id"]], label["comparison_id"]
                )
                parts.append(_example(label, text, column, bool(wrong[place])))
    return "\n".join(parts)


def _example(
    label: dict[str, Any], text: dict[str, str], column: str, wrong: bool
) -> str:
    a, b = text["response_a"], text["response_b"]
    chosen, rejected = (a, b) if label["sign"] > 0 else (b, a)
    mark = " class='flipped'" if wrong else ""
    about = (
        f"{label['pair_id']}: influence {label[column]:.3g}, margin "
        f"{label['margin']:.2f}, chosen longer by {label['length_difference']} tokens"
        f"{', planted' if wrong else ''}"
    )
    return (
        f"<table><tr><td colspan=2 class='prompt'><h3>{html.escape(about)}</h3>"
        f"<p>{html.escape(text['prompt'])}</p></td></tr><tr{mark}>"
        f"<td><b>chosen</b><p>{html.escape(chosen)}</p></td>"
        f"<td><b>rejected</b><p>{html.escape(rejected)}</p></td></tr></table>"
    )
