"""influence/: a damaged or old record is told in one line that says what to do."""

import pytest

from inflib.scores.influence_folder import InfluenceFolder
from inflib.storage.folder import Folder

RECORD = {
    "inputs": "i",
    "sha256": "s",
    "pairs": 3,
    "finite": 3.0,
    "curvatures": {"datainf": {"lambdas": {"all": 0.1}}},
    "query_groups": {"q": [0.4, 0.6]},
}


def test_the_record_is_read_and_fields_of_other_versions_are_ignored(tmp_path):
    folder = Folder(str(tmp_path))
    folder.write_json("done.json", RECORD | {"seconds": 1.0, "unit": 2})
    scores = InfluenceFolder(folder)
    assert scores.shares("q").tolist() == [0.4, 0.6]
    assert scores.damping("datainf", "q") is None
    assert scores.stage_facts()["seconds"] == 1.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"done\.json: not valid JSON"),
        ("{}", r"another version \(inputs, sha256, .*run `inflib score`"),
    ],
)
def test_a_damaged_record_is_named(tmp_path, text, message):
    (tmp_path / "done.json").write_text(text)
    with pytest.raises(ValueError, match=message) as raised:
        _ = InfluenceFolder(Folder(str(tmp_path))).record
    assert "\n" not in str(raised.value)
