"""What configuration models share: they are immutable and refuse unknown fields."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A model whose fields cannot be set; an unknown field is an error.

    The docstrings under its fields are the help texts of the command line.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True
    )


def check_address(address: str) -> str:
    """The address. Raises ValueError where it holds credentials, as in s3://key@bucket:
    they would end up in records and reports."""
    scheme, separator, rest = address.partition("://")
    if separator and "@" in rest.partition("/")[0]:
        raise ValueError(
            f"a {scheme}:// address with credentials in it; set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY instead"
        )
    return address
