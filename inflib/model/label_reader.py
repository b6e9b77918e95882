"""A reward model and tables of labels to their margins, a batch at a time.

    n  labels

Tables are those of label_ids.labelled_ids. How labels are computed does not change
their margins, but for rounding: whether a model takes a flat batch is tried.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import Float
from torch import Tensor, nn

from inflib.model.custom_reward import function_of
from inflib.model.implicit_reward import beta_of
from inflib.model.label_batches import LabelBatch, common, label_batches
from inflib.model.packing import Batch
from inflib.model.reward import (
    UNUSUAL,
    check_rewards,
    computing,
    longest_shared,
    rewards_inside,
    tried_alone,
    tried_inside,
)
from inflib.model.sharded import base_of
from inflib.model.trained_weights import evaluating
from inflib.numerics.rounding import tolerance
from inflib.storage.plain_text import first_line

Values = Callable[[nn.Module, Batch], Tensor]
"""From a batch to a value of each of its sequences."""

_AT_ONCE = 512
"""Labels that are planned together when margins are computed."""


@dataclass(frozen=True)
class LabelReader:
    """How a model computes labels: in batches of so many tokens, flat or in rows."""

    token_budget: int
    longest_flat: int
    """See model.attention; 0 where flat batches gave other margins."""

    pad_id: int

    pairwise: bool = False
    """Whether a reward depends on where a comparison's responses begin to differ."""

    separable: bool = False
    """Whether each comparison's gradient can be told, see label_batches."""

    @staticmethod
    def of(
        model: nn.Module, table: pa.Table, per_pass: int, pad_id: int
    ) -> "LabelReader":
        """The reader of labels like those of a table, with a model in training or not.

        per_pass: labels that fit into memory in padded rows, whatever their length.
        Tries the table's first, last and longest label: where flat batches give
        other margins than padded rows, these are taken, and said. Raises ValueError
        for a language model that gives a label by itself another margin.
        """
        sides = (table[name] for name in ("chosen_ids", "rejected_ids"))
        lengths = pc.max_element_wise(*map(pc.list_value_length, sides))
        longest = pc.max(lengths).as_py()
        tried = {0, len(table) - 1, pc.index(lengths, longest).as_py()}
        tried_labels = table.take(sorted(tried))
        check_rewards(model, pad_id)
        budget, custom = 2 * per_pass * longest, function_of(model) is not None
        reader = LabelReader(budget, longest_shared(model), pad_id, custom)
        rows = LabelReader(budget, 0, pad_id, custom)
        with evaluating(model):
            _check_alone(model, tried_labels, rows)
            if not reader.longest_flat:
                return rows
            problem = _differs(model, tried_labels, reader, rows)
        if problem is None:
            return reader
        print(
            f"train: {problem} in a flat batch; padded rows are taken, which take "
            "longer",
            flush=True,
        )
        return rows

    def batches(self, table: pa.Table) -> Iterator[LabelBatch]:
        """Batches of a table's labels; `rows` are those of the table."""
        columns = (table[name] for name in ("chosen_ids", "rejected_ids", "prompt"))
        labels = zip(*(column.to_pylist() for column in columns), strict=True)
        fields = self.token_budget, self.longest_flat, self.pad_id, self.separable
        return label_batches(labels, *fields, self.pairwise)

    def margins(
        self, model: nn.Module, table: pa.Table, values: Values = rewards_inside
    ) -> Float[Tensor, " n"]:
        """r(chosen) - r(rejected) of all labels by the model as it is, float64, on the
        CPU. values: what is r of each sequence."""
        device = next(model.parameters()).device
        found = torch.zeros(len(table), dtype=torch.float64)
        for start in range(0, len(table), _AT_ONCE):
            for batch in self.batches(table.slice(start, _AT_ONCE)):
                moved = batch.to(device)
                with torch.no_grad(), computing(model, moved.batch):
                    margins = moved.margins(values(model, moved.batch))
                found[start + batch.rows] = margins.double().cpu()
        for spoilt in torch.nonzero(~found.isfinite())[:, 0].tolist():
            # a response that is not finite makes its neighbours so: zero times infinity
            alone = table.slice(spoilt, 1)
            if len(table) > 1:
                found[spoilt] = self.margins(model, alone, values)[0]
        return found


def _differs(
    model: nn.Module, table: pa.Table, flat: LabelReader, rows: LabelReader
) -> str | None:
    """What is wrong with a model's margins in flat batches; None where they are those
    in padded rows."""
    expected = rows.margins(model, table, tried_inside)
    try:
        margins = flat.margins(model, table, tried_inside)
    except torch.OutOfMemoryError:
        raise
    except UNUSUAL as error:
        return first_line(error)
    return _compared(model, table, margins, expected)


def _check_alone(model: nn.Module, table: pa.Table, rows: LabelReader) -> None:
    """Raise ValueError where a language model's own logits give other margins: its head
    does more than its weights and cap say."""
    base = base_of(model)
    if base.get_output_embeddings() is None and function_of(model) is None:
        return
    expected = []
    for row in table.select(["chosen_ids", "rejected_ids"]).to_pylist():
        chosen, rejected = row["chosen_ids"], row["rejected_ids"]
        prefix = common(chosen, rejected)
        with torch.no_grad():
            values = [
                float(tried_alone(model, prefix, ids[len(prefix) :]))
                for ids in (chosen, rejected)
            ]
        expected.append(values[0] - values[1])
    margins = rows.margins(model, table, tried_inside)
    right = torch.tensor(expected, dtype=torch.float64)
    if problem := _compared(model, table, margins, right):
        raise ValueError(
            f"{type(base).__name__}: {problem} of those by its own forward: "
            "its head is of a kind that is not supported, see docs/models.md"
        )


def _compared(
    model: nn.Module,
    table: pa.Table,
    margins: Float[Tensor, " n"],
    right: Float[Tensor, " n"],
) -> str | None:
    """What is wrong with margins of a table's labels. Those of log-likelihoods, which
    are sums over tokens, are compared by token."""
    if beta_of(base_of(model)) is not None:
        tokens = torch.zeros_like(right)
        for side in ("chosen_ids", "rejected_ids"):
            tokens += torch.tensor(pc.list_value_length(table[side]).to_pylist())
        margins, right = margins / tokens, right / tokens
    apart = ((margins - right).abs() / (1 + right.abs())).where(right.isfinite(), 0.0)
    off = float(apart.max())
    if off <= tolerance(next(model.parameters()).dtype):
        return None
    return f"margins are off by {off:.2g}"
