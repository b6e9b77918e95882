"""The folder of a pair set."""

import pytest

from inflib.data.pairs_folder import PairsFolder
from inflib.storage.folder import Folder


def test_without_a_plan_it_says_what_to_run(tmp_path):
    with pytest.raises(ValueError, match=r"no plan\.json: run `inflib prepare` first"):
        PairsFolder(Folder(str(tmp_path))).plan()
