"""TRL's reward trainer with targets and weights of labels, and its query sets' loss,
accuracy and margin counted over labels.

    n  labels

Loss of a step: the mean over its labels of their weights, over the mean weight of the
training set, times numerics.preference_loss. Where all targets and weights are 1 it is
TRL's own: to the bit with the engine `trl`, but for rounding with `flat`. (In the last
step of an epoch, which may have fewer labels, TRL takes the mean over batches of other
sizes, and with several processes counts some labels twice; `flat` does neither.)
"""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from inflib.model.label_batches import LabelBatch
from inflib.model.label_order import TogetherSampler, meeting
from inflib.model.label_reader import LabelReader
from inflib.model.reward import computing, rewards_inside
from inflib.model.sharded import until_all_have
from inflib.model.trained_weights import cast_input
from inflib.numerics import preference_loss
from inflib.numerics.label_means import LabelMargins
from inflib.numerics.rounding import wide

See = Callable[[Tensor], Tensor]

_OWN = ("target", "weight")
"""Columns of a label that TRL does not know."""

Watching = Callable[[pa.Table, LabelBatch], AbstractContextManager[See]]
"""From a table's labels and a batch of them to the block of its forward and backward
pass, with what the rewards go through on their way to the loss."""

_MEETING = 4
"""A group of labels makes up one part in so many of an optimizer step, at most."""


def reward_trainer(
    engine: str, reader: LabelReader, held_out: pa.Table | None, **arguments: Any
) -> Any:
    """A TRL RewardTrainer whose train_dataset may have columns target and weight.

    engine: `trl`: its own batches, rows of chosen and rejected responses. `flat`: the
    same steps, in which a prompt and each response to it is computed once; all labels
    that a process takes in a step are one batch of its data loader. reader: how labels
    are computed, and evaluated with both engines. held_out: labels
    (label_ids.labelled_ids) that its `evaluate` is of: eval_loss, eval_accuracy,
    eval_margin, eval_best_scale and eval_refined_loss, as in numerics.label_means. Each
    process computes a share, and all get the same results.
    """
    from trl import RewardTrainer
    from trl.trainer.reward_trainer import DataCollatorForPreference

    class Collator(DataCollatorForPreference):
        def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
            if engine == "flat":
                return {"labels": pa.Table.from_pylist(examples)}
            batch = super().torch_call(examples)
            for name in _OWN:
                if name in examples[0]:
                    values = [example[name] for example in examples]
                    batch[name] = torch.tensor(values, dtype=torch.float64)
            return batch

    class PreferenceTrainer(RewardTrainer):
        label_reader = reader
        watching: Watching | None = None
        """Sees the gradients of the first `watched_steps`; they are those of a training
        without it, but for rounding."""
        watched_steps = 0

        def compute_loss(
            self, model: nn.Module, inputs: dict[str, Any], *rest: Any, **options: Any
        ) -> Any:
            if "target" not in inputs:
                return super().compute_loss(model, inputs, *rest, **options)
            targets, weights = (inputs.pop(name) for name in _OWN)
            options["return_outputs"] = True
            _, outputs = super().compute_loss(model, inputs, **options)
            chosen, rejected = torch.chunk(wide(outputs.logits.squeeze(-1)), 2)
            excess = chosen - rejected - inputs.get("margin", 0.0)
            losses = preference_loss.losses(excess, targets.to(excess))
            return (weights.to(excess) * losses).mean()

        def _get_train_sampler(self: Any, train_dataset: Any = None) -> Any:
            args = self.args
            share = args.train_batch_size * args.gradient_accumulation_steps
            table = self.train_dataset.with_format("arrow")[:]
            self._per_step = share * args.world_size
            self._per_epoch = math.ceil(len(table) / self._per_step)
            self._places = table["place"].to_numpy()
            self._order = TogetherSampler(
                meeting(table),
                args.seed,
                self._per_step // _MEETING,
                lambda: self.state.global_step // self._per_epoch,
            )
            return self._order

        def training_step(self: Any, model: nn.Module, inputs: Any, *rest: Any) -> Any:
            if engine == "trl":
                return super().training_step(model, inputs, *rest)
            model.train()
            inner = self.accelerator.unwrap_model(model)
            table, count = self._own(inputs["labels"])
            parts: list[Tensor] = []
            reader, watched = self.label_reader, _unwatched
            if self.watching and self.state.global_step < self.watched_steps:
                reader, watched = replace(reader, separable=True), self.watching
            with until_all_have(inner):
                for batch in reader.batches(table):
                    moved = batch.to(self.accelerator.device)
                    with watched(table, batch) as see, computing(inner, moved.batch):
                        with self.accelerator.autocast():
                            rewards = see(rewards_inside(inner, moved.batch))
                        losses = _losses(table, batch.rows, moved.margins(rewards))
                        part = losses.sum() * self.accelerator.num_processes / count
                        self.accelerator.backward(part)
                    parts.append(part.detach())
            self._average_gradients(inner)
            return sum(parts, torch.zeros((), device=self.accelerator.device))

        def _own(self: Any, table: pa.Table) -> tuple[pa.Table, int]:
            """This process's labels of the step, and how many it has in all processes.
            accelerate fills up the last batches of an epoch with labels of its first
            ones, which would count twice."""
            processes = self.accelerator.num_processes
            if processes == 1:
                return table, len(table)
            size, share = self._per_step, self._per_step // processes
            start = self.state.global_step % self._per_epoch * size
            of_step = self._places[self._order.order()[start : start + size]]
            start = share * self.accelerator.process_index
            wanted = of_step[start : start + share]
            places = table["place"].to_pylist()
            missing = set(wanted.tolist()) - set(places)
            if missing:
                raise RuntimeError(
                    f"accelerate gave process {self.accelerator.process_index} other "
                    f"labels than those of its order: {len(missing)} are missing"
                )
            own = [places.index(place) for place in wanted.tolist()]
            return table.take(pa.array(own, pa.int64())), len(of_step)

        def _average_gradients(self: Any, model: nn.Module) -> None:
            """Over processes: DDP does it for forward passes of its own alone."""
            if self.accelerator.num_processes == 1:
                return
            parameters = [p for p in model.parameters() if p.requires_grad]
            own = [
                torch.zeros_like(p) if p.grad is None else p.grad for p in parameters
            ]
            joined = torch.cat([grad.flatten() for grad in own])
            mean = self.accelerator.reduce(joined, reduction="mean")
            parts = mean.split([p.numel() for p in parameters])
            for p, part in zip(parameters, parts, strict=True):
                p.grad = part.view_as(p).clone()

        def floating_point_ops(self, inputs: Any) -> int:
            return 0  # transformers' count would be of padded rows

        def evaluate(self: Any, *_: Any, **__: Any) -> dict[str, float]:
            assert held_out is not None
            labels = _labels(gathered_margins(self, held_out), held_out)
            metrics = {f"eval_{name}": value for name, value in labels.means.items()}
            self.log(dict(metrics))
            self.control = self.callback_handler.on_evaluate(
                self.args, self.state, self.control, metrics
            )
            return metrics

    pad_id = arguments["processing_class"].pad_token_id
    return PreferenceTrainer(data_collator=Collator(pad_token_id=pad_id), **arguments)


@contextmanager
def _unwatched(table: pa.Table, batch: LabelBatch) -> Iterator[See]:
    yield lambda rewards: rewards


def _losses(
    table: pa.Table, rows: Int[Tensor, " n"], margins: Float[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Weighted losses of these rows of training_rows."""

    def column(name: str, default: float) -> Float[Tensor, " n"]:
        if name not in table.column_names:
            return torch.full_like(margins, default)
        return torch.from_numpy(table[name].to_numpy().copy())[rows].to(margins)

    losses = preference_loss.losses(
        margins - column("margin", 0.0), column("target", 1.0)
    )
    return column("weight", 1.0) * losses


def training_rows(table: pa.Table) -> Any:
    """`datasets.Dataset` of label_ids.labelled_ids, each with its place, but no columns
    that say nothing: margins that are all 0, targets and weights that are all 1.

    Weights are divided by their mean, so that their scale is not one of the learning
    rate: a label of weight 2 among labels of weight 2 trains as one of weight 1.
    """
    import datasets

    weight = table["weight"].to_numpy()
    index = table.column_names.index("weight")
    table = table.set_column(index, "weight", pa.array(weight / weight.mean()))
    columns = {name: table[name].to_numpy() for name in ("margin", *_OWN)}
    gone = ["margin"] if not columns["margin"].any() else []
    if all((columns[name] == 1).all() for name in _OWN):
        gone += _OWN
    places = pa.array(np.arange(len(table)))
    table = table.drop_columns(gone).append_column("place", places)
    # a name for its caches; to make one, it would pickle the whole table
    return datasets.Dataset(table, fingerprint=f"{len(table)}-labels")


def evaluate(trainer: Any, table: pa.Table) -> LabelMargins:
    """Margins of labels (label_ids.labelled_ids) by the model as it is. Called in one
    process; moves no weight."""
    return _labels(margins(trainer, table), table)


def margins(trainer: Any, table: pa.Table) -> Float[Tensor, " n"]:
    """r(chosen) - r(rejected) of labels, float64, computed in this process."""
    model = trainer.accelerator.unwrap_model(trainer.model).eval()
    with trainer.accelerator.autocast():
        return trainer.label_reader.margins(model, table)


def gathered_margins(trainer: Any, table: pa.Table) -> Float[Tensor, " n"]:
    """The same, each process computing a share of the labels; all get all of them."""
    from accelerate.utils import gather_object

    process, count = trainer.args.process_index, trainer.args.world_size
    cuts = [len(table) * i // count for i in range(count + 1)]
    share = table.slice(cuts[process], cuts[process + 1] - cuts[process])
    with until_all_have(trainer.accelerator.unwrap_model(trainer.model)):
        own = margins(trainer, share).tolist()
    return torch.tensor(gather_object(own), dtype=torch.float64)


def _labels(margins: Float[Tensor, " n"], table: pa.Table) -> LabelMargins:
    columns = (table[name].to_numpy() for name in ("margin", *_OWN))
    return LabelMargins(margins, *(torch.from_numpy(x.copy()) for x in columns))


def train_in_float32(model: nn.Module) -> None:
    """Make all trainable parameters float32, whatever the base's dtype: in bfloat16
    most steps are smaller than a weight's last digit, and change nothing.

    Maps of other inputs than float32 take them cast.
    """
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            if parameter.requires_grad and parameter.dtype != torch.float32:
                parameter.data = parameter.data.float()
                if isinstance(module, nn.Linear):
                    module.register_forward_pre_hook(cast_input)


def check_float32(model: nn.Module) -> None:
    """Raise ValueError naming a trainable parameter that is not float32."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.dtype != torch.float32:
            raise ValueError(f"{name} would be trained in {parameter.dtype}")
