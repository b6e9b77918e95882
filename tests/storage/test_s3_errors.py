"""Errors of S3 name the setting that botocore reads, and show no password."""

import asyncio

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError, SSLError
from botocore.session import Session
from fsspec.config import conf

from inflib.storage import s3

CONFIG = """
[profile own]
endpoint_url = http://own:1
[profile served]
endpoint_url = http://own:1
services = mine
[services mine]
s3 =
  endpoint_url = http://served:2
"""


@pytest.fixture(autouse=True)
def settings(monkeypatch, tmp_path):
    """No AWS settings but a config file and keys."""
    (tmp_path / "config").write_text(CONFIG)
    for name in ("ENDPOINT_URL", "ENDPOINT_URL_S3", "PROFILE", "DEFAULT_PROFILE"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    for name, value in {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_ACCESS_KEY_ID": "k",
        "AWS_SECRET_ACCESS_KEY": "Hush",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ({}, "AWS (AWS_ENDPOINT_URL is not set)"),
        ({"AWS_ENDPOINT_URL": "http://all:1"}, "http://all:1 (AWS_ENDPOINT_URL)"),
        (
            {"AWS_ENDPOINT_URL": "http://all:1", "AWS_ENDPOINT_URL_S3": "http://s3:1"},
            "http://s3:1 (AWS_ENDPOINT_URL_S3)",
        ),
        (
            {"AWS_ENDPOINT_URL": "http://u:Hush@all:1"},
            "http://***@all:1 (AWS_ENDPOINT_URL)",
        ),
        (
            {"AWS_ENDPOINT_URL": "x", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
            "AWS (AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is true)",
        ),
        ({"AWS_PROFILE": "own"}, "http://own:1 (endpoint_url of the profile in use)"),
        (
            {"AWS_PROFILE": "served"},
            "http://served:2 (endpoint_url of the profile in use)",
        ),
        (
            {"AWS_PROFILE": "own", "AWS_ENDPOINT_URL": "http://all:1"},
            "http://all:1 (AWS_ENDPOINT_URL)",
        ),
    ],
)
def test_the_endpoint_is_the_one_that_botocore_takes(monkeypatch, names, shown):
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    assert s3._endpoint() == shown
    if "***" not in shown and "x" not in names.values():
        client = Session().create_client("s3", config=Config())
        url = shown.split()[0].replace("AWS", "https://s3.amazonaws.com")
        assert client.meta.endpoint_url == url


def test_an_endpoint_of_fsspecs_config_comes_first(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://all:1")
    monkeypatch.setitem(conf, "s3", {"endpoint_url": "http://own:1"})
    assert s3._endpoint().startswith("http://own:1 (endpoint_url of s3 in fsspec")


def refused(code, status=403):
    answer = {"Error": {"Code": code, "Message": "no"}}
    error = PermissionError("no")
    error.__cause__ = ClientError(
        answer | {"ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject"
    )
    return error


@pytest.mark.parametrize(
    ("error", "setting"),
    [
        (refused("ExpiredToken"), "check AWS_SESSION_TOKEN, AWS_ACCESS_KEY_ID"),
        (refused("AccessDenied"), "check AWS_ACCESS_KEY_ID"),
        (refused("AuthorizationHeaderMalformed", 400), "check AWS_DEFAULT_REGION"),
        (refused("PermanentRedirect", 301), "check AWS_DEFAULT_REGION"),
        (SSLError(endpoint_url="https://u:Hush@h", error="bad"), "check AWS_CA_BUNDLE"),
    ],
)
def test_an_error_names_the_setting_that_it_is_about(error, setting):
    assert not s3._is_transient(error)
    explained = s3._explained(error, "bucket/key")
    assert str(explained).startswith("s3://bucket/key: ")
    assert setting in str(explained)
    assert "Hush" not in str(explained)


@pytest.mark.parametrize("names", [["AWS_PROFILE"], ["AWS_DEFAULT_PROFILE"]])
def test_a_profile_that_is_not_there_is_told_at_once(monkeypatch, names):
    monkeypatch.setattr(s3.PatientS3, "attempts", 1)
    for name in names:
        monkeypatch.setenv(name, "none")
    fs = s3.PatientS3(skip_instance_cache=True, asynchronous=True)
    with pytest.raises(PermissionError, match=f"{names[-1]} and AWS_CONFIG_FILE"):
        asyncio.run(fs._call_s3("head_bucket", Bucket="bucket"))


def test_an_outage_is_told_without_the_password_of_its_address():
    error = EndpointConnectionError(endpoint_url="http://u:Hush@h/bucket")
    assert s3._is_transient(error)
    assert "Hush" not in s3._shown(error)
