"""A scored run with hostile texts, and the page that was written of it."""

import pytest

from inflib.page.write_page import write_page
from tests.support.scored_run import write_scored


@pytest.fixture(scope="session")
def scored(tmp_path_factory):
    """The run, whose page is written; tests leave it as they found it."""
    run = write_scored(tmp_path_factory.mktemp("scored") / "run")
    write_page(run)
    return run
