"""The reward model (base + LoRA + score head, or a language model whose rewards are
implicit ones): batches of tokens to rewards.

    u  units of a batch     r  rewards (u, or 2u)     l  layers     f  features
    o  outputs of the score head     s  places     p  tokens of responses

The known traps avoided here: padding side, a pad token equal to EOS (the reward would
be read one token early), dropout left on. Those of an adapter's files: `adapter`.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from inflib.model.answer_reward import answer_reward_alone, answer_rewards, answers_of
from inflib.model.attention import flat_attention, longest_flat
from inflib.model.custom_reward import check_function, custom_rewards, function_of
from inflib.model.implicit_reward import (
    as_reference,
    beta_of,
    by_sequence,
    check_predicts,
    implicit_reward_alone,
    log_probabilities,
    log_probabilities_alone,
)
from inflib.model.last_layer import places_only
from inflib.model.packing import Batch, Unit, pack
from inflib.model.sharded import base_of, turns_of

OBJECTIVES = "objective_weights"
"""Buffer of a base whose score head has several outputs."""

UNUSUAL = (ValueError, RuntimeError, IndexError, TypeError, AttributeError)
"""Errors of a model whose code flat batches, hooks or the last layer's shortcut do not
fit."""


def check_rewards(model: nn.Module, pad_id: int) -> None:
    """Raise ValueError for a model whose rewards cannot be right: a user's function
    that is wrong, a language model that predicts nothing."""
    check_function(model, pad_id)
    check_predicts(model, pad_id)


def rewards(model: nn.Module, batch: Batch) -> Float[Tensor, " r"]:
    """Reward of each sequence: by its head at the true last token (encoders: at the
    first), or by the likelihood of its tail."""
    with computing(model, batch):
        return rewards_inside(model, batch)


def read_at(model: nn.Module, batch: Batch) -> tuple[Int[Tensor, " s"], list[int]]:
    """(places in the flattened batch whose last hidden states make the rewards; unit i
    is those from bounds[i] to bounds[i + 1])."""
    if beta_of(base_of(model)) is None:
        return batch.last, batch.reward_bounds()
    return batch.responses.places, batch.responses.bounds


@contextmanager
def computing(
    model: nn.Module, batch: Batch, places: Int[Tensor, " s"] | None = None
) -> Iterator[None]:
    """While the block runs, a decoder computes the batch by its layout, and in its last
    layer the tokens at `places` alone: by default those that rewards are read at. A
    backward pass that computes layers anew (gradient checkpointing) belongs into the
    block."""
    base = base_of(model)
    if function_of(base) is not None:  # it calls the model as it likes
        yield
        return
    if turns := turns_of(base):
        turns.announce()
    with ExitStack() as stack:
        if _is_decoder(base):
            backbone = getattr(base, base.base_model_prefix)
            if batch.layout is not None:
                stack.enter_context(flat_attention(backbone))
            read = read_at(base, batch)[0] if places is None else places
            stack.enter_context(places_only(backbone, read))
        yield


def _is_decoder(base: Any) -> bool:
    """Whether it is a decoder with a score head or a language model's."""
    return hasattr(base, "score") or base.get_output_embeddings() is not None


def rewards_inside(model: nn.Module, batch: Batch) -> Float[Tensor, " r"]:
    """`rewards`, inside a block of `computing`."""
    base = base_of(model)
    if function_of(base) is not None:
        return custom_rewards(model, batch)
    beta = beta_of(base)
    if beta is not None:
        own = _log_probabilities(base, batch)
        with torch.no_grad(), as_reference(model):
            reference = _log_probabilities(base, batch)
        ratios = own - reference
        return beta * by_sequence(ratios, batch.responses, len(batch.last))
    if not _is_decoder(base):
        return reward_of(base, base(**_inputs(batch)).logits)
    hidden = _decode(base, batch).last_hidden_state.flatten(0, 1)[batch.last]
    if answers_of(base) is not None:
        return answer_rewards(base, hidden)
    return reward_of(base, base.score(hidden))


def longest_shared(model: Any) -> int:
    """Tokens of the longest sequence that a model takes in a flat batch."""
    return 0 if function_of(model) is not None else longest_flat(model.config)


def tried_inside(model: nn.Module, batch: Batch) -> Float[Tensor, " r"]:
    """What shows whether a batch is computed rightly, also before training: rewards, or
    log-likelihoods, as a language model's rewards are 0 then. Inside `computing`."""
    base = base_of(model)
    if beta_of(base) is None:
        return rewards_inside(model, batch)
    log_probs = _log_probabilities(base, batch)
    return by_sequence(log_probs, batch.responses, len(batch.last))


def tried_alone(
    model: nn.Module, prefix: list[int], tail: list[int]
) -> Float[Tensor, ""]:
    """The same of one sequence, by transformers' own forward."""
    if beta_of(base_of(model)) is None:
        return reward_alone(model, prefix, tail)
    return log_probabilities_alone(model, prefix, tail).sum()


def _log_probabilities(base: nn.Module, batch: Batch) -> Float[Tensor, " p"]:
    tokens = batch.responses
    hidden = _decode(base, batch).last_hidden_state.flatten(0, 1)[tokens.places]
    return log_probabilities(base, hidden, tokens)


def reward_of(model: nn.Module, outputs: Float[Tensor, "r o"]) -> Float[Tensor, " r"]:
    """Reward of each sequence, by its outputs of the score head: their sum weighted by
    model.objective_weights."""
    weights = getattr(base_of(model), OBJECTIVES, None)
    return outputs[:, 0] if weights is None else outputs @ weights.to(outputs)


def reward_alone(
    model: nn.Module, prefix: list[int], tail: list[int]
) -> Float[Tensor, ""]:
    """Reward of one sequence by transformers' own forward: no batch, no shortcuts."""
    if function_of(model) is not None:
        device = next(model.parameters()).device
        unit = Unit(prefix, (tail,))
        return custom_rewards(model, pack([unit], False, pad_id=0).to(device))[0]
    if beta_of(base_of(model)) is not None:
        return implicit_reward_alone(model, prefix, tail)
    if answers_of(base_of(model)) is not None:
        return answer_reward_alone(model, prefix + tail)
    device = next(model.parameters()).device
    tokens = torch.tensor([prefix + tail], device=device)
    outputs = model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits
    return reward_of(model, outputs)[0]


def hidden_states(model: nn.Module, batch: Batch) -> Float[Tensor, "l r f"]:
    """Hidden state after every layer, at the last token of each sequence (encoders: at
    its first)."""
    base = base_of(model)
    if not _is_decoder(base):
        layers = base(**_inputs(batch), output_hidden_states=True).hidden_states
        return torch.stack([layer[:, 0] for layer in layers[1:]])
    with computing(model, batch, batch.last):
        layers = _decode(base, batch, output_hidden_states=True).hidden_states
    return torch.stack([layer.flatten(0, 1)[batch.last] for layer in layers[1:]])


def _inputs(batch: Batch) -> dict[str, Any]:
    return {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}


def _decode(base: Any, batch: Batch, **options: Any) -> Any:
    """A decoder's output, which is right where rewards are read alone (last_layer)."""
    backbone = getattr(base, base.base_model_prefix)
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
