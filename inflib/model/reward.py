"""The reward model (base + LoRA + score head): batches of tokens to rewards.

    u  units of a batch     r  rewards (u, or 2u)     l  layers     f  features
    o  outputs of the score head

The known traps avoided here: padding side, a pad token equal to EOS (the reward would
be read one token early), dropout left on. Those of an adapter's files: `adapter`.
"""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from peft import PeftModel
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from inflib.config.reward_model import ModelConfig
from inflib.data.tokenizer import load_config, loading_options, resolve_base
from inflib.model.attention import flat_attention
from inflib.model.last_layer import reward_tokens_only
from inflib.model.packing import Batch
from inflib.model.quantized import four_bits, keep_differentiable
from inflib.model.sharded import base_of, reads_weights, spread, turns_of

_OBJECTIVES = "objective_weights"

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
HEADS = ("score", "classifier")
"""Names of the score head in transformers' models: decoders, encoders."""

UNUSUAL = (ValueError, RuntimeError, IndexError, TypeError, AttributeError)
"""Errors of a model whose code flat batches, hooks or the last layer's shortcut do not
fit."""

_HASHED_WHOLE = 256 * 2**20
"""Bytes up to which a file is hashed whole."""


def load_base(model: ModelConfig, pad_id: int) -> nn.Module:
    """Base model with a score head (random until trained) of one output, or of one for
    each of model.objective_weights.

    With model.sharded_over, for `place`: one process of each group reads the weights,
    the others have the same model on torch's device "meta". Raises ValueError where the
    base has a head of another number of outputs.
    """
    options = {
        "dtype": DTYPES[model.dtype],
        "attn_implementation": model.attention,
    }
    if model.sharded_over == 1 or reads_weights(model.sharded_over):
        base = _read_base(model, options)
    else:
        base = without_weights(model, load_config(model), **options)
    keep_differentiable(base)
    if model.objective_weights is not None:
        weights = torch.tensor(model.objective_weights)
        base.register_buffer(_OBJECTIVES, weights, persistent=False)
    base.config.pad_token_id = pad_id
    base.config.get_text_config().pad_token_id = pad_id
    return base


def _read_base(model: ModelConfig, options: dict[str, Any]) -> Any:
    try:
        return AutoModelForSequenceClassification.from_pretrained(
            resolve_base(model.base),
            num_labels=model.outputs,
            quantization_config=four_bits(model, HEADS),
            **options,
            **loading_options(model),
        )
    except RuntimeError as error:
        if "ignore_mismatched_sizes" not in str(error):
            raise
        raise ValueError(
            f"model.base {model.base}: its weights are of other shapes than its "
            f"configuration says, or its own score head has not {model.outputs} "
            "outputs: see model.objective_weights"
        ) from None


def without_weights(model: ModelConfig, config: Any, **options: Any) -> Any:
    """The base with a score head, on torch's device "meta". config: of the base
    (load_config); options: of transformers' from_config. Raises its ValueError or
    ImportError where there is no such class."""
    config.num_labels = model.outputs
    with torch.device("meta"):
        return AutoModelForSequenceClassification.from_config(
            config, trust_remote_code=model.trust_remote_code, **options
        )


def place(model: PeftModel, config: ModelConfig, device: torch.device) -> PeftModel:
    """A base from `load_base`, with LoRA, on a worker's device or a group's devices."""
    if config.sharded_over == 1:
        return model.to(device)
    return spread(model, config.sharded_over)


def set_dtypes(model: PeftModel) -> None:
    """LoRA computes in the base's dtype, the score head in float32."""
    frozen = (p.dtype for p in model.parameters() if not p.requires_grad)
    dtype = next(dtype for dtype in frozen if dtype.is_floating_point)
    for name, module in trained_blocks(model).items():
        if "lora_" in name:
            module.to(dtype)
        elif isinstance(module, nn.Linear) and module.weight.requires_grad:
            module.float().register_forward_pre_hook(cast_input)


def cast_input(module: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
    """A hook before a linear map: its input in the dtype of its weights."""
    return (args[0].to(module.weight.dtype),)  # type: ignore[arg-type]


def trained_blocks(model: nn.Module) -> dict[str, nn.Module]:
    """Every module that has trainable parameters of its own, by PEFT's name, in the
    model's order: each lora_A, each lora_B, the score head, and whatever else the
    adapter trains. These are the blocks of a gradient. Raises ValueError without one.
    """
    blocks = {name: module for name, module in model.named_modules() if trained(module)}
    if not blocks:
        raise ValueError("the adapter has no trainable parameters")
    return blocks


def trained(module: nn.Module) -> list[nn.Parameter]:
    """The module's own trainable parameters, in its order."""
    return [p for p in module.parameters(recurse=False) if p.requires_grad]


def trained_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """All trainable parameters of a model, by name."""
    return {n: p for n, p in model.named_parameters() if p.requires_grad}


def set_trained(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Give a model's trainable parameters these values, by name."""
    with torch.no_grad():
        for name, parameter in trained_parameters(model).items():
            parameter.copy_(weights[name])


def rewards(model: nn.Module, batch: Batch) -> Float[Tensor, " r"]:
    """Reward of each sequence, read at its true last token (encoders: at its first)."""
    with computing(model, batch):
        return rewards_inside(model, batch)


@contextmanager
def computing(model: nn.Module, batch: Batch) -> Iterator[None]:
    """While the block runs, a decoder computes the batch by its layout, and in its last
    layer reward tokens alone. A backward pass that computes layers anew (gradient
    checkpointing) belongs into the block."""
    classifier = base_of(model)
    if turns := turns_of(classifier):
        turns.announce()
    with ExitStack() as stack:
        if hasattr(classifier, "score"):
            backbone = getattr(classifier, classifier.base_model_prefix)
            if batch.layout is not None:
                stack.enter_context(flat_attention(backbone))
            stack.enter_context(reward_tokens_only(backbone, batch.last))
        yield


def rewards_inside(model: nn.Module, batch: Batch) -> Float[Tensor, " r"]:
    """`rewards`, inside a block of `computing`."""
    classifier = base_of(model)
    if not hasattr(classifier, "score"):
        return reward_of(classifier, classifier(**_inputs(batch)).logits)
    hidden = _decode(classifier, batch).last_hidden_state
    return reward_of(classifier, classifier.score(hidden.flatten(0, 1)[batch.last]))


def reward_of(model: nn.Module, outputs: Float[Tensor, "r o"]) -> Float[Tensor, " r"]:
    """Reward of each sequence, by its outputs of the score head: their sum weighted by
    model.objective_weights."""
    weights = getattr(base_of(model), _OBJECTIVES, None)
    return outputs[:, 0] if weights is None else outputs @ weights.to(outputs)


def hidden_states(model: nn.Module, batch: Batch) -> Float[Tensor, "l r f"]:
    """Hidden state after every layer, at the token where the reward is read."""
    classifier = base_of(model)
    if not hasattr(classifier, "score"):
        layers = classifier(**_inputs(batch), output_hidden_states=True).hidden_states
        return torch.stack([layer[:, 0] for layer in layers[1:]])
    with computing(model, batch):
        layers = _decode(classifier, batch, output_hidden_states=True).hidden_states
    return torch.stack([layer.flatten(0, 1)[batch.last] for layer in layers[1:]])


def _inputs(batch: Batch) -> dict[str, Any]:
    return {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}


def _decode(classifier: Any, batch: Batch, **options: Any) -> Any:
    """A decoder's output, which is right at reward tokens alone (see last_layer)."""
    backbone = getattr(classifier, classifier.base_model_prefix)
    inputs = _inputs(batch)
    if batch.layout is not None:
        inputs |= {"position_ids": batch.position_ids, "layout": batch.layout}
    return backbone(**inputs, use_cache=False, **options)


def unit_values(model: nn.Module, batch: Batch) -> Float[Tensor, " u"]:
    """Value of each unit: r(a) - r(b) of a comparison, the reward of a response."""
    values = rewards(model, batch)
    if len(values) == batch.num_units:
        return values
    return values[0::2] - values[1::2]


def digest_folder(folder: str) -> str:
    """SHA-256 of a local folder's files, their names and contents.

    Of a file over 256 MiB: size, first MiB and last MiB instead of the contents.
    """
    total = hashlib.sha256()
    for path in sorted(Path(folder).iterdir()):
        if path.is_file():
            total.update(path.name.encode() + b"\0")
            for chunk in _contents(path):
                total.update(chunk)
    return total.hexdigest()


def _contents(path: Path) -> Iterator[bytes]:
    size = path.stat().st_size
    with open(path, "rb") as file:
        if size <= _HASHED_WHOLE:
            while chunk := file.read(2**20):
                yield chunk
            return
        yield str(size).encode()
        yield file.read(2**20)
        file.seek(-(2**20), 2)
        yield file.read()
