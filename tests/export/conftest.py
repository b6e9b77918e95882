"""A scored run with hostile texts, two query sets, labelers and own columns."""

import pytest

from tests.support.scored_run import write_scored


@pytest.fixture(scope="session")
def scored(tmp_path_factory):
    """The run; tests leave it as they found it."""
    return write_scored(tmp_path_factory.mktemp("exported") / "run")
