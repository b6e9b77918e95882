"""Templates to HTML: every text of the data is escaped, and shown without control
characters or characters that turn the reading direction over."""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from inflib.report.tables import percent
from inflib.storage.plain_text import printable


def render(template: str, **values: Any) -> str:
    """The template of this name in inflib/page/templates, with these values."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("inflib.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["printable"] = lambda x: printable(str(x), lines=True)
    environment.filters["percent"] = percent
    return environment
