"""Run folders, inputs and checkpoints on a real S3 server."""

import gzip
import json
import os
import socket
import subprocess
import sys
import tempfile

import pyarrow as pa
import pytest
import ray
import torch

from inflib.benchmarks.fake_store import Generated, write_set
from inflib.config.data import SourceConfig
from inflib.files.paths import find_files, fingerprint
from inflib.files.readers import read_rows
from inflib.run_check import check
from inflib.sketches.store import Digests, read_payload, read_record
from inflib.storage.folder import Folder, to_parquet
from inflib.storage.s3 import HastyS3, PatientS3
from inflib.synthetic.one_biased_labeler import generate
from ray_jobs.audit import STAGES
from ray_jobs.shared.session import run_stages
from tests.support.audits import tiny_recipe
from tests.support.files import ROOT

pytestmark = pytest.mark.s3
ROWS = [
    {"pair_id": name, "prompt": "p ", "chosen": "a", "rejected": "b"} for name in "12"
]
KEYS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"


@pytest.fixture
def settings(monkeypatch):
    """Changes AWS environment variables for this test.

    s3fs keeps clients made with earlier ones, so they are dropped before and after.
    """

    def forget():
        PatientS3.clear_instance_cache()
        HastyS3.clear_instance_cache()

    def change(**values):
        forget()
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    yield change
    forget()


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz", "x.csv", "x.parquet"])
def test_inputs_are_read_from_s3(s3_bucket, name):
    folder = Folder(f"{s3_bucket}/inputs")
    lines = "\n".join(map(json.dumps, ROWS)).encode()
    table = pa.Table.from_pylist(ROWS)
    csv_lines = "\n".join([",".join(ROWS[0]), *(",".join(r.values()) for r in ROWS)])
    folder.write(
        name,
        {
            "x.jsonl": lines,
            "x.jsonl.gz": gzip.compress(lines),
            "x.csv": csv_lines.encode(),
            "x.parquet": to_parquet(table),
        }[name],
    )
    (file,) = find_files(f"{folder.url}/{name[:-2]}*")
    assert file == f"{folder.url}/{name}"
    assert [vars(row)["fields"] for row in read_rows(file)] == ROWS
    assert fingerprint(file).startswith(f"{folder.tree()[name]}-")
    folder.delete(name)


@pytest.mark.parametrize(
    ("changes", "place", "expected"),
    [
        (
            {"AWS_SECRET_ACCESS_KEY": "wr0ng"},
            "",
            KEYS,
        ),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "", KEYS),
        (
            {"AWS_ACCESS_KEY_ID": "test:reader", "AWS_SECRET_ACCESS_KEY": "reading"},
            "",
            r"and the rights on bucket 'audit-.*' \(list, get, put, delete\)",
        ),
        ({}, "-none", r"no bucket 'audit-.*-none' at http://.* \(AWS_ENDPOINT_URL\)"),
        (
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
            "",
            r"gave up after 4 attempts: .*check http://127.0.0.1:9 \(AWS_ENDP",
        ),
    ],
)
def test_a_wrong_setting_is_one_error_that_names_it_and_no_secret(
    s3_bucket, settings, changes, place, expected
):
    settings(**changes)
    url = f"{s3_bucket}{place}/run"
    with pytest.raises(OSError, match=rf"^{url}/.*{expected}") as raised:
        Folder(url).check_access()
    assert "wr0ng" not in str(raised.value)


@pytest.mark.parametrize("request_", ["read", "write", "list"])
def test_a_server_that_never_answers_is_given_up(settings, monkeypatch, request_):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings(AWS_ENDPOINT_URL=f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(PatientS3, "silence", 0.5)
        monkeypatch.setattr(PatientS3, "attempts", 2)
        folder = Folder("s3://bucket/run")
        with pytest.raises(ConnectionError, match=r"no answer to \w+ in [01] s"):
            {
                "read": lambda: folder.read_bytes("x"),
                "write": lambda: folder.write("x", b"data"),
                "list": folder.names,
            }[request_]()


def test_the_command_line_tells_a_wrong_key_in_one_line(s3_bucket, tmp_path):
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        f"run: {s3_bucket}/run\nmodel: {{base: x}}\n"
        "prepare: {train: {path: x}, queries: {q: {path: x}}}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "ray_jobs.audit", "--config", str(recipe)],
        env=os.environ | {"AWS_SECRET_ACCESS_KEY": "wr0ng"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    line, *more = done.stderr.strip().splitlines()
    assert not more, done.stderr
    assert line.startswith(f"error: {s3_bucket}/run/")
    assert "check AWS_ACCESS_KEY_ID" in line
    assert "wr0ng" not in line


def test_credentials_in_an_address_are_refused():
    with pytest.raises(ValueError, match="address with credentials in it") as raised:
        SourceConfig(path="s3://key:s3cret@bucket/x.jsonl")
    assert "s3cret" not in str(raised.value).partition("[type=")[0]


def test_payloads_are_kept_on_the_node_and_read_anew_when_damaged(
    s3_bucket, tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    run = Folder(f"{s3_bucket}/kept")
    norms = torch.full((3, 1), 8.0)
    shard = Generated(torch.ones(3, 8), torch.zeros(3), norms, [1, 1, 1])
    write_set(run, "train", [shard], "int8")
    folder = run / "sketches" / "train"
    digests = Digests.of(read_record(folder, "00000"))
    entries = read_payload(folder, "00000", digests)
    (payload,) = (name for name in folder.names() if name.endswith(".npy"))
    (copy,) = tmp_path.glob("*/*")
    assert copy.name == payload
    copy.write_bytes(b"damaged")
    assert (read_payload(folder, "00000", digests) == entries).all()
    folder.delete(payload)  # from now on there is the copy alone
    assert (read_payload(folder, "00000", digests) == entries).all()
    with pytest.raises(FileNotFoundError):
        read_payload(folder, "00000", digests, thorough=True)


def test_a_whole_audit_lives_on_s3(s3_bucket, tmp_path, llama_folder, capfd):
    generate(tmp_path, seed=0, num_pairs=20, num_queries=8)
    for name in ("train.jsonl", "expert.jsonl"):
        Folder(f"{s3_bucket}/data").write(name, (tmp_path / name).read_bytes())
    recipe = tiny_recipe(
        f"{s3_bucket}/run",
        f"{s3_bucket}/data",
        llama_folder,
        train__epochs=1,
        train__saves_per_epoch=1,
    )
    run_stages(recipe, STAGES)
    assert not ray.is_initialized()
    run, files = Folder(recipe.run), Folder(recipe.run).tree()
    assert check(recipe) == []
    assert any(n.startswith("reward_model/checkpoints/checkpoint_") for n in files)
    secret = os.environ["AWS_SECRET_ACCESS_KEY"].encode()
    for name in files:
        if name.endswith((".json", ".parquet")) and "checkpoints" not in name:
            assert secret not in run.read_bytes(name), name
    printed = "".join(capfd.readouterr())
    assert secret.decode() not in printed
    before = {name: size for name, size in files.items() if name != "config.json"}
    run_stages(recipe, STAGES)
    after = {n: s for n, s in run.tree().items() if n != "config.json"}
    assert after == before
    payload = next(n for n in files if n.endswith(".npy"))
    data = run.read_bytes(payload)
    run.write(payload, data[:-1])
    (run / "sketches" / "train").write("00000-0123456789abcdef.npy", b"left over")
    problems = sorted(line.removeprefix(f"{run.url}/") for line in check(recipe))
    assert problems == [
        f"{payload} does not match its commit record: it was changed or truncated; "
        f"delete it and {payload.split('/')[-1][:5]}.json, and rerun to recompute them",
        "sketches/train/00000-0123456789abcdef.npy: no commit record names it",
    ]


def test_two_workers_sketch_in_training_on_s3(s3_bucket, tmp_path, llama_folder):
    generate(tmp_path, seed=0, num_pairs=40, num_queries=8)
    done = {}
    for name, run in (("s3", f"{s3_bucket}/during"), ("local", str(tmp_path / "run"))):
        recipe = tiny_recipe(
            run,
            tmp_path,
            llama_folder,
            train__sketch="during",
            train__workers=2,
            train__micro_batch_size=4,
            train__lora_dropout=0.0,
            train__epochs=1,
        )
        run_stages(recipe, STAGES)
        folder = Folder(run)
        assert check(recipe) == []
        assert not folder.exists("sketches/exchange/process-1-000000000000-rows.bin")
        done[name] = {
            n: folder.read_bytes(f"sketches/train/{n}")
            for n in (folder / "sketches/train").names()
        }
        assert folder.read_json("sketches/done.json")["after_training"] == 0
    assert done["s3"] == done["local"]
