"""Review files against the tools' own clients, where these are installed.

argilla and label-studio-sdk do not go together with the versions in constraints.txt:
the latter needs an opencv-python-headless that needs an older numpy. So they have an
environment of their own, which does not need this library:

    python3.11 -m venv .venv-review
    .venv-review/bin/pip install argilla==2.8.0 label-studio-sdk==2.1.2 pytest
    .venv-review/bin/python -m pytest -c /dev/null --rootdir . --noconftest \\
        tests/export/test_review_tools.py
"""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent / "review_files"
"""Files that tests/export/test_reviews.py writes anew and compares."""


@pytest.fixture
def argilla() -> Any:
    """A client of a server in this process, which keeps what it is sent."""
    rg = pytest.importorskip("argilla", reason="argilla is not installed")
    httpx = pytest.importorskip("httpx")
    sent: list[tuple[str, str, Any]] = []
    ids = {name: str(uuid.uuid4()) for name in ("user", "workspace", "dataset")}
    times = dict.fromkeys(("inserted_at", "updated_at"), "2026-01-02T03:04:05")
    workspace = times | {"id": ids["workspace"], "name": "audits"}
    dataset: dict[str, Any] = times | {"workspace_id": ids["workspace"]}

    def answer(request: Any) -> Any:
        path = request.url.path.removeprefix("/api/v1")
        body: Any = json.loads(request.content) if request.content else None
        sent.append((request.method, path, body))
        if path == "/me":
            user = times | {"id": ids["user"], "username": "ana", "role": "owner"}
            return httpx.Response(200, json=user)
        if path == "/me/workspaces":
            return httpx.Response(200, json={"items": [workspace]})
        if path.startswith("/workspaces/"):
            return httpx.Response(200, json=workspace)
        if path == "/me/datasets":
            return httpx.Response(200, json={"items": []})
        if path == "/datasets" and request.method == "POST":
            dataset.update(body, id=ids["dataset"], status="draft")
            return httpx.Response(201, json=dataset)
        if path.endswith("/publish"):
            dataset["status"] = "ready"
        if path.endswith("/records/bulk"):
            left = {"suggestions": [], "id": str(uuid.uuid4())}
            items = [times | record | left for record in body["items"]]
            return httpx.Response(200, json={"items": items, "updated_item_ids": []})
        kind = path.rpartition("/")[2]
        if request.method == "GET" and kind in _PARTS:
            made = [b for m, p, b in sent if m == "POST" and p.endswith(f"/{kind}")]
            items = [times | {"id": str(uuid.uuid4())} | b for b in made]
            return httpx.Response(200, json={"items": items})
        if request.method == "POST" and isinstance(body, dict):
            return httpx.Response(201, json=times | body | {"id": str(uuid.uuid4())})
        return httpx.Response(200, json=dataset)

    mounts = {"all://": httpx.MockTransport(answer)}
    client = rg.Argilla(api_url="http://server", api_key="key", mounts=mounts)
    return rg, client, sent


_PARTS = ("fields", "questions", "metadata-properties", "vectors-settings")


@pytest.mark.filterwarnings("ignore")
def test_argilla_imports_the_folder(argilla: Any) -> None:
    rg, client, sent = argilla
    dataset = rg.Dataset.from_disk(
        str(HERE / "argilla"), workspace="audits", client=client
    )
    assert [f.name for f in dataset.settings.fields] == [
        *("about", "prompt", "chosen", "rejected")
    ]
    posted = [body for _, path, body in sent if path.endswith("/records/bulk")]
    records = [record for body in posted for record in body["items"]]
    ours = json.loads((HERE / "argilla" / "records.json").read_text())
    assert [r["external_id"] for r in records] == [r["id"] for r in ours]
    assert records[0]["fields"] == ours[0]["fields"]
    assert records[0]["suggestions"][0]["value"] == "flip"
    assert records[0]["metadata"] == ours[0]["metadata"]


@pytest.mark.filterwarnings("ignore")
def test_what_argilla_exports_is_what_we_read(argilla: Any, tmp_path: Path) -> None:
    rg, _, _ = argilla
    ours = json.loads((HERE / "argilla" / "records.json").read_text())
    user = uuid.uuid4()
    records = []
    for row in ours:
        record = rg.Record.from_dict(row)
        record.responses.add(rg.Response("action", "drop", user_id=user))
        record.responses.add(rg.Response("note", "unclear", user_id=user))
        records.append(record.to_dict())
    expected = json.loads((HERE / "argilla_export.json").read_text())
    assert [_shape(record) for record in records] == [_shape(row) for row in expected]


@pytest.mark.filterwarnings("ignore")
def test_label_studio_takes_config_and_tasks() -> None:
    reason = "label-studio-sdk is not installed"
    interface = pytest.importorskip(
        "label_studio_sdk.label_interface.interface", reason=reason
    )
    objects = pytest.importorskip("label_studio_sdk.label_interface.objects")
    config = interface.LabelInterface((HERE / "label_studio/config.xml").read_text())
    config.validate()
    tasks = json.loads((HERE / "label_studio" / "tasks.json").read_text())
    assert len(tasks) == 2
    for task in tasks:
        objects.TaskValue(**task)
        assert config.validate_task({"data": task["data"]})
        for prediction in task["predictions"]:
            objects.PredictionValue(**prediction)
            assert config.validate_prediction(prediction, return_errors=True) == []


@pytest.mark.filterwarnings("ignore")
def test_what_label_studio_exports_is_what_we_read(tmp_path: Path) -> None:
    reason = "label-studio-sdk is not installed"
    converter = pytest.importorskip("label_studio_sdk.converter", reason=reason)
    export = HERE / "label_studio_export.json"
    config = str(HERE / "label_studio" / "config.xml")
    made = converter.Converter(config, str(tmp_path), download_resources=False)
    made.convert_to_json_min(str(export), str(tmp_path), is_dir=False)
    rows = json.loads((tmp_path / "result.json").read_text())
    expected = json.loads((HERE / "label_studio_export_min.json").read_text())
    assert rows == expected


def _shape(record: dict[str, Any]) -> Any:
    """A record with every user as "u"."""
    texts = json.dumps(record)
    for answers in record["responses"].values():
        for answer in answers:
            texts = texts.replace(answer["user_id"], "u")
    return json.loads(texts)
