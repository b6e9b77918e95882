"""What our S3 file system needs of s3fs by private names."""

import s3fs

from inflib.storage.s3 import PatientS3
from inflib.telemetry import LOGGER


def test_an_s3fs_whose_requests_are_not_retried_is_told(monkeypatch, caplog):
    monkeypatch.setattr(LOGGER, "propagate", True)
    PatientS3(skip_instance_cache=True)
    assert not caplog.text
    monkeypatch.delattr(s3fs.S3FileSystem, "_call_s3")
    PatientS3(skip_instance_cache=True)
    assert "requests that fail are not tried again" in caplog.text
