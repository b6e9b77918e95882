"""What is new in training files that have grown, and what must be as it was."""

import numpy as np
import pytest

from inflib.data.label_index import LabelIndex
from inflib.data.new_labels import StoredLabels, keep_new
from tests.support.shard_rows import row, table


def index_of(*rows):
    index = LabelIndex()
    index.add(table(*rows))
    return index


def stored(*rows):
    """The run's labels of these rows."""
    keys = index_of(*rows).label_keys()
    order = np.argsort(keys.pair)
    places = np.zeros(len(order), np.int64)
    columns = {name: column[order] for name, column in vars(keys).items()}
    return StoredLabels(type(keys)(**columns), places, places, {})


@pytest.mark.parametrize(
    "changes",
    [{"sign": -1}, {"target": 0.5}, {"weight": 2.0}, {"required_margin": 1.0}],
)
def test_a_label_that_says_something_else_is_refused(changes):
    rows = [row("x"), row("y", file_row=2)]
    known = stored(*rows)
    grown = index_of(*rows, row("z", file_row=3))
    assert len(keep_new(grown, known, [rows[0]["file"]]).pair) == 1
    changed = index_of(rows[0], rows[1] | changes)
    with pytest.raises(ValueError, match="row 2 is not as it was"):
        keep_new(changed, known, [rows[0]["file"]])
