"""What several tests of scores read."""

import pytest

from tests.support.known_store import TRAIN, build_store


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The known store of sketches, in a run of its own for each test file."""
    return build_store(tmp_path_factory.mktemp("store"), TRAIN)
