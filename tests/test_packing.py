"""Batches under a token budget; padding."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from inflib.packing import pad, plan_batches


@given(st.lists(st.integers(1, 50)), st.integers(1, 400))
def test_batches_cover_all_rows_in_order_within_the_budget(lengths, budget):
    batches = plan_batches(lengths, budget)
    assert [row for batch in batches for row in batch] == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[row] for row in batch)
        assert len(batch) == 1 or 2 * len(batch) * longest <= budget


def test_rows_are_a_then_b_padded_on_the_right():
    batch = pad([([1, 2, 3], [4]), ([5], [6, 7])], pad_id=9)
    expected = torch.tensor([[1, 2, 3], [5, 9, 9], [4, 9, 9], [6, 7, 9]])
    assert torch.equal(batch.input_ids, expected)
    assert batch.attention_mask.sum(1).tolist() == [3, 1, 1, 2]
    assert batch.last.tolist() == [2, 0, 0, 1]
