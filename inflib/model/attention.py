"""Attention within a flat batch: each token sees what it sees in its own sequence.

    t  tokens of the batch     q, k  tokens of one unit, as queries and as keys
    h  query heads     g  key and value heads     f  features of a head

A token sees itself, the earlier tokens of its own tail, and its unit's prefix: other
units, and the other tail of its own unit, are hidden. Registered with transformers as
"flat_<implementation>"; model code calls it in each layer, and it calls transformers'
own implementation:

    sdpa, eager       once per unit, with that unit's additive mask
    flex_attention    once, with a block mask built from the layout: no dense mask
"""

import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask
from transformers import AttentionInterface, PretrainedConfig
from transformers.modeling_layers import GenericForSequenceClassification
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
)

from inflib.model.packing import Layout

_PREFIX = "flat_"
_SUPPORTS, _IMPLEMENTATION = "_supports_attention_backend", "_attn_implementation"
"""Private names of transformers: of a model class, of a configuration."""

_BLOCK = 128
_ALLOWED_LAYERS = {"full_attention", "sliding_attention"}


def longest_flat(config: PretrainedConfig) -> int:
    """Tokens of the longest sequence that such a model can take in a flat batch.

    0 for models that cannot: encoders, models with layers other than attention, models
    that are not of transformers' generic classes. With a sliding window: its length;
    with rotations that depend on the longest position of a batch (dynamic, longrope):
    as many tokens as leave them alone.
    Also 0 where transformers lacks the private names that flat batches need: each
    prompt is then computed once for each response, more slowly and just as well.
    """
    try:
        family = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)]
    except KeyError:
        return 0
    text = config.get_text_config()
    layers = set(getattr(text, "layer_types", None) or ["full_attention"])
    if (
        not issubclass(family, GenericForSequenceClassification)
        or not getattr(family, _SUPPORTS, False)
        or not hasattr(config, _IMPLEMENTATION)
        or not layers <= _ALLOWED_LAYERS
        or getattr(text, "use_bidirectional_attention", None)
    ):
        return 0
    window = getattr(text, "sliding_window", None) or sys.maxsize
    if not getattr(text, "use_sliding_window", True):
        window = sys.maxsize
    return min(window, _unchanged_positions(text))


def _unchanged_positions(text: PretrainedConfig) -> int:
    """Tokens up to which a model's rotations are the same in every batch."""
    names = ("rope_parameters", "rope_scaling")
    found: dict[str, Any] = {}
    for name in names:
        found = found or getattr(text, name, None) or {}
    least = sys.maxsize
    for rope in (found, *(v for v in found.values() if isinstance(v, dict))):
        if (rope.get("rope_type") or rope.get("type")) in ("dynamic", "longrope"):
            original = rope.get("original_max_position_embeddings")
            least = min(least, original or text.max_position_embeddings)
    return least


@contextmanager
def flat_attention(backbone: nn.Module) -> Iterator[None]:
    """While the block runs, attention follows the `layout` given to the backbone."""
    config = backbone.config
    implementation = getattr(config, _IMPLEMENTATION)
    setattr(config, _IMPLEMENTATION, _PREFIX + implementation)
    try:
        yield
    finally:
        setattr(config, _IMPLEMENTATION, implementation)


def allowed(layout: Layout, start: int, stop: int) -> Tensor:
    """Boolean [query, key] mask of one unit, the tokens start to stop: True is seen."""
    tail = layout.tail[start:stop]
    place = torch.arange(stop - start, device=tail.device)
    same_sequence = (tail[None, :] == 0) | (tail[None, :] == tail[:, None])
    return same_sequence & (place[None, :] <= place[:, None])


def unit_masks(layout: Layout, dtype: torch.dtype) -> list[Float[Tensor, "1 1 q k"]]:
    """Each unit's mask to add to its attention scores: 0 where a query sees a key,
    else -inf. Made once per batch."""
    if dtype not in layout.cache:
        # Additive: eager attention adds its mask, and would add a boolean one too.
        layout.cache[dtype] = [
            torch.where(allowed(layout, start, stop), 0.0, -torch.inf)
            .to(dtype)
            .view(1, 1, stop - start, stop - start)
            for start, stop in itertools.pairwise(layout.bounds)
        ]
    return layout.cache[dtype]  # type: ignore[return-value]


def block_mask(layout: Layout) -> BlockMask:
    """The same mask for FlexAttention, of all units at once.

    Built from the 128-token blocks that units touch: nothing of [t, t] is made.
    """
    if "blocks" not in layout.cache:
        t = layout.bounds[-1]
        unit, tail = layout.unit, layout.tail
        starts = torch.tensor(layout.bounds[:-1], device=unit.device)
        query_blocks = torch.arange(-(-t // _BLOCK), device=unit.device)
        first = starts[unit[query_blocks * _BLOCK]] // _BLOCK
        num_key_blocks = query_blocks - first + 1
        columns = torch.arange(len(query_blocks), device=unit.device)
        key_blocks = torch.minimum(
            first[:, None] + columns[None, :], query_blocks[:, None]
        )

        layout.cache["blocks"] = BlockMask.from_kv_blocks(
            num_key_blocks.int()[None, None],
            key_blocks.int()[None, None],
            BLOCK_SIZE=_BLOCK,
            mask_mod=lambda _b, _h, q, k: (
                (unit[q] == unit[k])
                & (k <= q)
                & ((tail[k] == 0) | (tail[k] == tail[q]))
            ),
            seq_lengths=(t, t),
        )
    return layout.cache["blocks"]  # type: ignore[return-value]


def _per_unit(implementation: str) -> Any:
    def attend(
        module: nn.Module,
        query: Float[Tensor, "1 h t f"],
        key: Float[Tensor, "1 g t f"],
        value: Float[Tensor, "1 g t f"],
        attention_mask: None,
        *,
        layout: Layout,
        sliding_window: int | None = None,  # no sequence is longer: longest_flat
        **settings: Any,
    ) -> tuple[Float[Tensor, "1 t h f"], None]:
        eager = vars(sys.modules[type(module).__module__]).get(
            "eager_attention_forward"
        )
        usual = ALL_ATTENTION_FUNCTIONS.get_interface(implementation, eager)
        masks = unit_masks(layout, query.dtype)
        sizes = [mask.shape[-1] for mask in masks]
        # split, not slices: the gradient of a slice is as large as the whole
        by_unit = (states.split(sizes, dim=2) for states in (query, key, value))
        outputs = [
            usual(module, q, k, v, mask, **settings)[0]
            for q, k, v, mask in zip(*by_unit, masks, strict=True)
        ]
        return torch.cat(outputs, dim=1), None

    return attend


def _by_blocks(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None,
    *,
    layout: Layout,
    sliding_window: int | None = None,
    **settings: Any,
) -> tuple[Tensor, None]:
    flex_attention = ALL_ATTENTION_FUNCTIONS["flex_attention"]
    mask = block_mask(layout)
    return flex_attention(module, query, key, value, mask, **settings)[0], None


AttentionInterface.register(_PREFIX + "sdpa", _per_unit("sdpa"))
AttentionInterface.register(_PREFIX + "eager", _per_unit("eager"))
AttentionInterface.register(_PREFIX + "flex_attention", _by_blocks)
