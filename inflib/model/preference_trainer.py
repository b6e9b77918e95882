"""TRL's reward trainer with targets and weights of labels, and its query sets' loss,
accuracy and margin counted over labels.

    n  labels

Loss of a step: the mean over its labels of their weights, over the mean weight of the
training set, times numerics.preference_loss. Where
all targets and weights are 1 it is TRL's own, to the bit.
"""

from typing import Any

import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor, nn

from inflib.model.reward import cast_input
from inflib.numerics import preference_loss
from inflib.numerics.label_means import LabelMargins

_OWN = ("target", "weight")
"""Columns of a label that TRL does not know."""


def reward_trainer(held_out: pa.Table | None, **arguments: Any) -> Any:
    """A TRL RewardTrainer whose train_dataset may have columns target and weight.

    held_out: labels (label_ids.labelled_ids) that its `evaluate` is of: eval_loss,
    eval_accuracy, eval_margin, eval_best_scale and eval_refined_loss, as in
    numerics.label_means. Each process computes a share, and all get the same results.
    """
    from trl import RewardTrainer
    from trl.trainer.reward_trainer import DataCollatorForPreference

    class Collator(DataCollatorForPreference):
        def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
            batch = super().torch_call(examples)
            for name in _OWN:
                if name in examples[0]:
                    batch[name] = torch.tensor([example[name] for example in examples])
            return batch

    class PreferenceTrainer(RewardTrainer):
        def compute_loss(
            self, model: nn.Module, inputs: dict[str, Any], *rest: Any, **options: Any
        ) -> Any:
            if "target" not in inputs:
                return super().compute_loss(model, inputs, *rest, **options)
            targets, weights = (inputs.pop(name).float() for name in _OWN)
            options["return_outputs"] = True
            _, outputs = super().compute_loss(model, inputs, **options)
            chosen, rejected = torch.chunk(outputs.logits.squeeze(-1).float(), 2)
            excess = chosen - rejected - inputs.get("margin", 0.0)
            loss = (weights * preference_loss.losses(excess, targets)).mean()
            return loss

        def evaluate(self: Any, *_: Any, **__: Any) -> dict[str, float]:
            assert held_out is not None
            size = self.args.per_device_eval_batch_size
            labels = _labels(gathered_margins(self, held_out, size), held_out)
            metrics = {f"eval_{name}": value for name, value in labels.means.items()}
            self.log(dict(metrics))
            self.control = self.callback_handler.on_evaluate(
                self.args, self.state, self.control, metrics
            )
            return metrics

    pad_id = arguments["processing_class"].pad_token_id
    return PreferenceTrainer(data_collator=Collator(pad_token_id=pad_id), **arguments)


def training_rows(table: pa.Table) -> Any:
    """`datasets.Dataset` of label_ids.labelled_ids, without columns that say nothing:
    margins that are all 0, targets and weights that are all 1.

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
    return datasets.Dataset(table.drop_columns(gone))


def evaluate(trainer: Any, table: pa.Table, batch_size: int) -> LabelMargins:
    """Margins of labels (label_ids.labelled_ids) by the model as it is. Called in one
    process; moves no weight."""
    return _labels(margins(trainer, table, batch_size), table)


def margins(trainer: Any, table: pa.Table, batch_size: int) -> Float[Tensor, " n"]:
    """r(chosen) - r(rejected) of labels, float64, computed in this process."""
    model = trainer.accelerator.unwrap_model(trainer.model).eval()
    collator, device = trainer.data_collator, trainer.accelerator.device
    parts = [torch.zeros(0, dtype=torch.float64)]
    for start in range(0, len(table), batch_size):
        rows = table.select(["chosen_ids", "rejected_ids"]).slice(start, batch_size)
        batch = collator(rows.to_pylist())
        inputs = {name: tensor.to(device) for name, tensor in batch.items()}
        with torch.no_grad(), trainer.compute_loss_context_manager():
            logits = model(**inputs, use_cache=False).logits.squeeze(-1)
        chosen, rejected = torch.chunk(logits.double().cpu(), 2)
        parts.append(chosen - rejected)
    return torch.cat(parts)


def gathered_margins(
    trainer: Any, table: pa.Table, batch_size: int
) -> Float[Tensor, " n"]:
    """The same, each process computing a share of the labels; all get all of them."""
    from accelerate.utils import gather_object

    process, count = trainer.args.process_index, trainer.args.world_size
    cuts = [len(table) * i // count for i in range(count + 1)]
    share = table.slice(cuts[process], cuts[process + 1] - cuts[process])
    own = margins(trainer, share, batch_size).tolist()
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
