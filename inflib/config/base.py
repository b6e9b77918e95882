"""What all configuration models share: immutable, strict about names, no secrets."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Immutable, and strict about names: a misspelt option is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True
    )


def check_address(address: str) -> str:
    """Refuse credentials inside a URL: they would end up in records and reports."""
    scheme, separator, rest = address.partition("://")
    if separator and "@" in rest.partition("/")[0]:
        raise ValueError(
            f"a {scheme}:// address with credentials in it; set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY instead"
        )
    return address
