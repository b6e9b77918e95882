"""What in a recipe is a credential: recipes are stored in the run folder, and shown, so
they must hold none."""

import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

_SECRET_NAMES = re.compile(
    "apikey|accesskey|privatekey|secret|passw(or)?d|passphrase|authori[sz]ation"
    "|credential|bearer|cookie|signature"
    "|^(auth|key|sig|pwd|token)$"
    "|(api|auth|access|session|security|refresh|id|bearer|subscription|user)(key|token)$"
    "|^x[a-z]*(key|token)$"
)
"""In names without case and punctuation. Not: max_tokens, stop_token, cache_key."""

_KEYS = re.compile(
    r"\b(sk-|hf_|gsk_|xai-|ghp_|github_pat_|AKIA|AIza)[\w-]{12,}|^\s*(Bearer|Basic) \S"
)
"""Values that are keys by their form: OpenAI's, Hugging Face's, AWS's, Google's, ..."""


def is_secret(name: Any) -> bool:
    """Whether a field with this name holds a credential."""
    plain = re.sub(r"[\W_]+", "", str(name)).lower()
    return bool(_SECRET_NAMES.search(plain))


def in_address(text: str) -> str | None:
    """What in an address is a credential: user:password@, ?api_key=..., or a key in
    its path; None where there is none, or the text is no address."""
    if re.search(r"://[^/?#\s]*@", text):
        return "a user or a password"
    if "://" not in text:
        return None
    try:
        parts = urlsplit(text)
    except ValueError:
        return None  # no address; who opens it says so
    for name, value in parse_qsl(f"{parts.query}&{parts.fragment}"):
        if is_secret(name) or _KEYS.search(value):
            return f"the parameter {name}"
    return "a key in its path" if _KEYS.search(text) else None


def in_fields(value: Any, path: str = "") -> str | None:
    """Dotted name of the first field, in objects and lists, that is a credential."""
    if isinstance(value, dict):
        for name, inner in value.items():
            place = f"{path}.{name}" if path else str(name)
            if is_secret(name):
                return place
            if found := in_fields(inner, place):
                return found
    elif isinstance(value, list | tuple):
        for i, inner in enumerate(value):
            if found := in_fields(inner, f"{path}[{i}]"):
                return found
    elif isinstance(value, str) and (_KEYS.search(value) or in_address(value)):
        return path
    return None


def check_address(address: str) -> str:
    """The address. Raises ValueError where it holds credentials, as in s3://key@bucket:
    they would end up in records and reports."""
    if found := in_address(address):
        scheme = address.partition("://")[0]
        instead = "keep them in the environment"
        if scheme.startswith("s3"):
            instead = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        raise ValueError(
            f"a {scheme}:// address with credentials in it ({found}), which would be "
            f"stored with the run; {instead} instead"
        )
    return address
