"""Requests to S3 to answers, over outages of about three minutes, or to clear errors.

All that a run needs of S3 goes through here: run folders, input files, Ray Train's
checkpoints. Transient errors are retried with growing pauses and a message each; others
become one error that names the URL and the setting to check. Endpoint, region and
credentials are the standard AWS settings; no secret is stored or logged.
"""

import asyncio
import errno
import os
import random
from typing import Any

import s3fs
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigParseError,
    CredentialRetrievalError,
    InvalidConfigError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSLError,
    SSOError,
    TokenRetrievalError,
    UnknownEndpointError,
)
from botocore.session import Session
from fsspec.config import conf

from inflib.storage.plain_text import without_credentials
from inflib.telemetry import count, warning

_TRANSIENT_CODES = {"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout"}
_TRANSIENT_ERRNOS = {errno.EBUSY, errno.EREMOTEIO, errno.EIO}
_LONGEST_WAIT = 15.0
"""Longest pause between two attempts, in seconds."""

_SLOWEST_UPLOAD = 2**20
"""Bytes per second below which an upload counts as stuck."""

KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or the profile or role in use)"
"""What an error about credentials tells the user to check."""

_TOKEN_CODES = {"ExpiredToken", "ExpiredTokenException", "InvalidToken"}
_REGION_CODES = {
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "PermanentRedirect",
    "TemporaryRedirect",
    "301",
}
_SETTINGS: tuple[tuple[type[BotoCoreError], str], ...] = (
    (NoCredentialsError, f"set {KEYS}"),
    (PartialCredentialsError, f"set {KEYS}"),
    (SSLError, "check AWS_CA_BUNDLE, the certificates that are trusted"),
    (ProfileNotFound, "check {profile} and AWS_CONFIG_FILE"),
    (ConfigParseError, "check AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE"),
    (InvalidConfigError, "check the profile in use, {profile}"),
    (CredentialRetrievalError, "check the profile or role in use, {profile}"),
    (TokenRetrievalError, "check the profile in use, {profile}"),
    (SSOError, "check the profile in use, {profile}"),
    (InvalidRegionError, "check AWS_DEFAULT_REGION (AWS_REGION is not read)"),
    (NoRegionError, "set AWS_DEFAULT_REGION (AWS_REGION is not read)"),
    (UnknownEndpointError, "check AWS_DEFAULT_REGION (AWS_REGION is not read)"),
)
"""(errors of botocore that another try does not mend, which setting to check)."""


class PatientS3(s3fs.S3FileSystem):
    """s3fs whose requests outlast an outage of about three minutes.

    Requests raise PermissionError, FileNotFoundError, FileExistsError (an exclusive
    create that was refused, however the server says so) or ConnectionError.
    """

    attempts = 16
    """Attempts at a request, the first among them."""

    silence = 20.0
    """Seconds without an answer after which an attempt has failed."""

    retries = 5
    """Retries by s3fs itself, without a message, of a reply that breaks off."""

    def __init__(self, **options: Any) -> None:
        # botocore's own retries would go on for seconds without a message.
        options.setdefault("config_kwargs", {"retries": {"total_max_attempts": 1}})
        options.setdefault("use_listings_cache", False)
        if not hasattr(s3fs.S3FileSystem, "_call_s3"):
            warning(
                f"s3fs {s3fs.__version__} has no _call_s3, which this version of "
                "inflib adds its retries to: requests that fail are not tried again"
            )
        super().__init__(**options)

    async def _cat_file(self, path: str, *arguments: Any, **options: Any) -> Any:
        # A single request; otherwise s3fs would ask for the size first.
        return await super()._cat_file(path, *arguments, max_concurrency=1, **options)

    async def _call_s3(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Answer to a request, after retries."""
        names = ("Bucket", "Key")
        place = "/".join(options[name] for name in names if options.get(name))
        # botocore's own timeout does not count while a put waits for its go-ahead.
        limit = self.silence + len(options.get("Body") or b"") / _SLOWEST_UPLOAD
        for attempt in range(1, self.attempts + 1):
            try:
                async with asyncio.timeout(limit):
                    answer = await super()._call_s3(method, *arguments, **options)
            except Exception as error:
                if isinstance(error, TimeoutError) and not str(error):
                    error = TimeoutError(f"no answer to {method} in {limit:.0f} s")
                if not _is_transient(error):
                    raise _explained(error, place) from error
                if attempt == self.attempts:
                    raise ConnectionError(
                        f"s3://{place}: gave up after {attempt} attempts: "
                        f"{_shown(error)}; "
                        f"check {_endpoint()} and whether its disk is full; rerun to "
                        "go on, nothing is lost"
                    ) from error
                wait = min(0.5 * 2**attempt, _LONGEST_WAIT) * random.uniform(0.5, 1)
                warning(
                    f"s3://{place}: {_shown(error)}; trying again in {wait:.1f} s "
                    f"({attempt} of {self.attempts})",
                    retries=1,
                )
                await asyncio.sleep(wait)
            else:
                count(requests=1, operation=method)
                return answer
        raise AssertionError("unreachable")


class HastyS3(PatientS3):
    """For the first access to a folder: a wrong address is told within seconds."""

    attempts = 4


def _is_transient(error: Exception) -> bool:
    """Whether trying again may help."""
    response = getattr(error.__cause__, "response", None) or {}
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = response.get("Error", {}).get("Code")
    if code in _TRANSIENT_CODES or status == 429 or status >= 500:
        return True
    if _setting(error):
        return False
    if isinstance(error, PermissionError | FileNotFoundError | FileExistsError):
        return False
    if isinstance(error, OSError) and not isinstance(error.__cause__, ClientError):
        return True  # a connection, a timeout
    return isinstance(error, BotoCoreError | TimeoutError) or (
        isinstance(error, OSError) and error.errno in _TRANSIENT_ERRNOS
    )


def _explained(error: Exception, place: str) -> Exception:
    """The error to raise: what failed, where, and which setting to check.

    place: bucket and key of the request.
    """
    response = getattr(error.__cause__, "response", None) or {}
    code = response.get("Error", {}).get("Code")
    bucket = place.partition("/")[0]
    if code in ("PreconditionFailed", "412"):
        return FileExistsError(f"s3://{place} exists")
    if code == "NoSuchBucket":
        return FileNotFoundError(
            f"s3://{place}: no bucket {bucket!r} at {_endpoint()}: check its name, or "
            "create it"
        )
    if setting := _setting(error):
        return PermissionError(f"s3://{place}: {_shown(error)}: {setting}")
    if code in _REGION_CODES:
        return PermissionError(
            f"s3://{place}: {_endpoint()} refused ({_shown(error)}): check "
            "AWS_DEFAULT_REGION (AWS_REGION is not read), the region of bucket "
            f"{bucket!r}"
        )
    if isinstance(error, PermissionError):
        keys = f"AWS_SESSION_TOKEN, {KEYS}" if code in _TOKEN_CODES else KEYS
        return PermissionError(
            f"s3://{place}: {_endpoint()} refused ({_shown(error)}): check {keys}, and "
            f"the rights on bucket {bucket!r} (list, get, put, delete)"
        )
    return error


def _setting(error: Exception) -> str | None:
    """Which setting an error of botocore is about, if another try cannot help."""
    profiles = ("AWS_DEFAULT_PROFILE", "AWS_PROFILE")  # the first one wins
    named = next((name for name in profiles if name in os.environ), "AWS_PROFILE")
    for kind, text in _SETTINGS:
        if isinstance(error, kind):
            return text.format(profile=named)
    return None


def _shown(error: Exception) -> str:
    """What an error says, in one line without passwords."""
    return without_credentials(" ".join(str(error).split()))


def _endpoint() -> str:
    """The endpoint in use, and the setting that names it, for error messages."""
    options = conf.get("s3", {})
    for url in (
        options.get("endpoint_url"),
        options.get("client_kwargs", {}).get("endpoint_url"),
    ):
        if url:
            return f"{without_credentials(url)} (endpoint_url of s3 in fsspec's config)"
    if os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return "AWS (AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is true)"
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        if url := os.environ.get(name):
            return f"{without_credentials(url)} ({name})"
    if url := _profile_endpoint():
        return f"{without_credentials(url)} (endpoint_url of the profile in use)"
    return "AWS (AWS_ENDPOINT_URL is not set)"


def _profile_endpoint() -> str | None:
    """The endpoint that the profile in use names in AWS_CONFIG_FILE, for S3 or all."""
    session = Session()
    try:
        profile = session.get_scoped_config()
        services = session.full_config.get("services", {})
    except BotoCoreError:
        return None
    service = services.get(profile.get("services"), {}).get("s3", {})
    return service.get("endpoint_url") or profile.get("endpoint_url")
