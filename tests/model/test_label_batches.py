"""Labels to batches in which a prompt and each response is computed once, and the order
in which they are trained on."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
import torch

from inflib.model.label_batches import label_batches
from inflib.model.label_order import TogetherSampler, meeting
from inflib.model.reward import rewards
from tests.support.models import build_model, with_lora


def test_every_response_is_computed_once():
    labels = []
    tails = [[10 + i] * 5 for i in range(4)]
    for prompt in range(3):
        prefix = [prompt] * 20
        for a, b in itertools.combinations(range(4), 2):
            labels.append((prefix + tails[a], prefix + tails[b], prompt))
    (batch,) = label_batches(labels, 10_000, 10_000, 0)
    assert batch.batch.num_units == 3
    assert batch.batch.input_ids.shape == (1, 3 * (20 + 4 * 5))
    assert sorted(batch.rows.tolist()) == list(range(18))
    rows = list(label_batches(labels, 10_000, 0, 0))
    assert [tuple(b.batch.input_ids.shape) for b in rows] == [(12, 25)]


@pytest.mark.parametrize("longest_flat", [0, 200])
@pytest.mark.parametrize("budget", [30, 200, 5000])
def test_margins_are_those_of_each_label_alone(longest_flat, budget):
    """Prompts of other lengths, equal responses, one that the other begins with, labels
    on a prompt that are too many for a unit."""
    rng = np.random.default_rng(0)
    answers = [rng.integers(1, 500, size=n).tolist() for n in (1, 3, 9, 30, 60)]
    answers.append(answers[2] + [7])
    labels = []
    for prompt in range(4):
        prefix = rng.integers(1, 500, size=int(rng.integers(1, 40))).tolist()
        for a, b in itertools.permutations(range(6), 2):
            if rng.uniform() < 0.5:
                labels.append((prefix + answers[a], prefix + answers[b], prompt))
    labels.append((labels[0][0], labels[0][0], 0))
    model = with_lora(build_model("llama")).double()
    found = torch.full((len(labels),), torch.nan, dtype=torch.float64)
    with torch.no_grad():
        for batch in label_batches(labels, budget, longest_flat, 0):
            assert found[batch.rows].isnan().all()
            found[batch.rows] = batch.margins(rewards(model, batch.batch))
        for i, (chosen, rejected, _) in enumerate(labels):
            sides = [model(torch.tensor([ids])).logits for ids in (chosen, rejected)]
            expected = float(sides[0] - sides[1])
            assert float(found[i]) == pytest.approx(expected, abs=1e-9)


def test_labels_of_a_group_follow_each_other():
    groups = np.repeat(np.arange(30), np.arange(1, 31) % 7 + 1)
    epoch = 0
    order = TogetherSampler(groups, seed=3, most=4, epoch=lambda: epoch)
    first = list(order)
    assert sorted(first) == list(range(len(groups))) and len(order) == len(groups)
    runs = [len(list(same)) for _, same in itertools.groupby(groups[first].tolist())]
    assert len(runs) < len(groups) and max(runs) <= 8  # two of a group may meet
    assert list(order) == first
    epoch = 1
    assert list(order) != first
    epoch = 0
    assert list(order) == first
    alone = list(TogetherSampler(np.arange(50), 0, most=4, epoch=lambda: 0))
    assert sorted(alone) == list(range(50)) and alone != list(range(50))


def test_labels_meet_where_responses_recur():
    rows = [([9, a], [9, b], 0) for a, b in itertools.combinations(range(4), 2)]
    rows += [([8, 2 * i], [8, 2 * i + 1], 1) for i in range(5)]  # all distinct
    rows += [([7, 1], [7, 2], 2), ([7, 2], [7, 1], 2)]  # two labels on a comparison
    rows += [([6, 1], [6, 2], 3)]
    columns = zip(*rows, strict=True)
    names = ("chosen_ids", "rejected_ids", "prompt")
    table = pa.table(dict(zip(names, map(pa.array, columns), strict=True)))
    table = pa.concat_tables([table.slice(0, 4), table.slice(4)])  # in two chunks
    groups = meeting(table).tolist()
    assert len(set(groups[:6])) == 1 and len(set(groups[11:13])) == 1
    assert len(set(groups)) == 1 + 5 + 1 + 1


def test_rows_keep_the_token_budget_whatever_shares_a_prompt():
    prefix = list(range(1, 201))
    labels = [([*prefix, i, 1], [*prefix, i, 2], 0) for i in range(60)]
    rows = list(label_batches(labels, 900, 0, 0))
    assert len(rows) > 10
    assert all(batch.batch.input_ids.numel() <= 900 for batch in rows)
    flat = list(label_batches(labels, 300, 10_000, 0))
    assert all(batch.batch.input_ids.numel() <= 300 for batch in flat)


def test_long_responses_to_a_short_prompt_are_rows():
    """A mask of all tokens of a unit would be larger than what rows repeat."""
    short = ([1, 2, 3], [1, 2, 4], 0)
    long = ([5] * 50 + [1] * 4000, [5] * 50 + [2] * 4000, 1)
    shared = ([6] * 3000 + [1] * 1000, [6] * 3000 + [2] * 1000, 2)
    batches = list(label_batches([short, long, shared], 20_000, 10_000, 0))
    rows = {tuple(b.rows.tolist()): b.batch.layout is None for b in batches}
    assert rows == {(0, 2): False, (1,): True}


def test_pairwise_units_are_of_one_comparison_and_begin_where_it_does():
    labels = [([1, 2, 3], [1, 2, 4], 0), ([1, 2, 4], [1, 2, 3], 0), ([1, 5], [1, 2], 0)]
    for longest_flat in (0, 100):
        batches = list(label_batches(labels, 1000, longest_flat, 0, pairwise=True))
        tokens = sum(len(batch.batch.last) for batch in batches)
        assert tokens == 4  # two sequences of two comparisons
        predicted = [len(batch.batch.responses.token) for batch in batches]
        assert sum(predicted) == 4  # one token in which each response differs
