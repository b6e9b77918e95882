"""Tiny real models and tokenizers, built in code; a Ray shared by the Ray tests."""

import os
import uuid
from collections.abc import Iterator

# Before torch is imported: models this small gain nothing by a second thread, and wait
# for it ten times as long as they compute where the machine has other work.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from transformers import PreTrainedTokenizerFast

from tests.support.models import build_model, build_tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer()


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder with a tiny Llama and its tokenizer, as a hub download would leave it."""
    folder = tmp_path_factory.mktemp("llama")
    build_model("llama").save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def s3_bucket() -> Iterator[str]:
    """URL of a fresh bucket on the server that AWS_ENDPOINT_URL names."""
    if "AWS_ENDPOINT_URL" not in os.environ:
        pytest.skip("no S3 server: run `make test-s3`")
    from inflib.storage.s3 import PatientS3

    bucket = f"audit-{uuid.uuid4().hex[:12]}"
    PatientS3().mkdir(bucket)
    yield f"s3://{bucket}"
    PatientS3().rm(bucket, recursive=True)
