"""Texts and rows to pages in plain HTML. All text is escaped."""

import html

from inflib.storage.plain_text import printable

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem }
table { border-collapse: collapse; width: 100%; margin-bottom: 2rem }
td, th { border: 1px solid #ccc; padding: .5rem; vertical-align: top }
th { text-align: left; background: #f4f4f4 }
.label td { width: 50% } .label .prompt { width: auto; background: #f4f4f4 }
td p { white-space: pre-wrap; margin: 0 } .marked { background: #fde7d9 }
h3 { margin: 0 }
"""


def escaped(text: str) -> str:
    """The text as HTML, without control characters and bidirectional overrides."""
    return html.escape(printable(text, lines=True))


def document(title: str, sections: list[str]) -> str:
    """A whole page.

    title: text; sections: HTML.
    """
    return "\n".join(
        [
            f"<!doctype html><meta charset='utf-8'><title>{escaped(title)}</title>"
            f"<style>{_STYLE}</style><h1>{escaped(title)}</h1>",
            *sections,
        ]
    )


def label_table(heading: str, text: dict[str, str], sign: int, marked: bool) -> str:
    """A label as a table: its prompt above the chosen and the rejected response.

    text: prompt, response_a, response_b; sign: +1 where response a was chosen, else -1;
    marked: whether it is coloured.
    """
    a, b = text["response_a"], text["response_b"]
    chosen, rejected = (a, b) if sign > 0 else (b, a)
    mark = " class='marked'" if marked else ""
    return (
        "<table class='label'><tr><td colspan=2 class='prompt'>"
        f"<h3>{escaped(heading)}</h3><p>{escaped(text['prompt'])}</p></td></tr>"
        f"<tr{mark}><td><b>chosen</b><p>{escaped(chosen)}</p></td>"
        f"<td><b>rejected</b><p>{escaped(rejected)}</p></td></tr></table>"
    )


def rows_table(rows: list[dict[str, str]]) -> str:
    """Rows of equal fields as a table with the fields' names as its header; nothing for
    no rows."""
    if not rows:
        return ""
    head = "".join(f"<th>{escaped(name)}</th>" for name in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{escaped(v)}</td>" for v in row.values()) + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"
