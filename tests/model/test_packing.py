"""Batches under a token budget, in their two forms."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inflib.model.packing import Unit, pack, plan_batches

SIZES = st.tuples(st.integers(0, 20), st.integers(1, 20), st.integers(1, 20))


@settings(deadline=None)  # a busy machine proves nothing
@given(st.lists(SIZES), st.integers(1, 400), st.booleans())
def test_batches_cover_all_units_in_order_within_the_budget(sizes, budget, flat):
    units = [Unit([1] * p, ([2] * a, [3] * b)) for p, a, b in sizes]
    batches = list(plan_batches(units, budget, flat))
    assert [unit for batch in batches for unit in batch] == units
    for i, batch in enumerate(batches):
        size = pack(batch, flat, pad_id=9).input_ids.numel()
        assert len(batch) == 1 or size <= budget
        if i + 1 < len(batches):  # and no batch could have taken one unit more
            more = [*batch, batches[i + 1][0]]
            assert pack(more, flat, pad_id=9).input_ids.numel() > budget


def test_rows_of_a_unit_are_neighbours_padded_on_the_right():
    batch = pack([Unit([], ([1, 2, 3], [4])), Unit([5], ([], [7]))], False, pad_id=9)
    expected = torch.tensor([[1, 2, 3], [4, 9, 9], [5, 9, 9], [5, 7, 9]])
    assert torch.equal(batch.input_ids, expected)
    assert batch.attention_mask is not None
    assert batch.attention_mask.sum(1).tolist() == [3, 1, 1, 2]
    assert batch.last.tolist() == [2, 3, 6, 10]
    assert batch.token_bounds() == [0, 6, 12]
    assert batch.reward_bounds() == [0, 2, 4]


def test_a_flat_row_holds_prefixes_once_and_restarts_positions():
    batch = pack([Unit([1, 2], ([3], [4, 5])), Unit([6], ([], [7]))], True, pad_id=9)
    assert batch.input_ids.tolist() == [[1, 2, 3, 4, 5, 6, 7]]
    assert batch.position_ids is not None and batch.layout is not None
    assert batch.position_ids.tolist() == [[0, 1, 2, 2, 3, 0, 1]]
    assert batch.layout.tail.tolist() == [0, 0, 1, 2, 2, 0, 2]
    assert batch.last.tolist() == [2, 4, 5, 6]
    assert batch.token_bounds() == [0, 5, 7]
    assert batch.reward_bounds() == [0, 2, 4]
