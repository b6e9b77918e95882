"""The implicit reward of a language model that was trained by DPO (Rafailov et al.,
arXiv:2305.18290, section 4).

    r  sequences of a batch     p  tokens of their tails     s  places     f  features
    v  entries of the vocabulary

    reward of response y to prompt x  =  beta * (log pi(y | x) - log ref(y | x))

pi: the base with its adapter; ref: the base without. DPO's loss is the Bradley-Terry
loss of the difference of two such rewards. What both responses begin with adds the same
to both, so sums are taken over tails alone (see model.packing). Differences are taken
token by token, before sums: both sums are large, and near each other.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from peft import PeftModel
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from inflib.model.response_tokens import ResponseTokens
from inflib.model.sharded import base_of
from inflib.model.trained_weights import evaluating
from inflib.numerics.rounding import tolerance, wide

BETA = "_inflib_beta"
"""Attribute of a base whose rewards are implicit ones."""

_CAPS = ("final_logit_softcapping", "logits_soft_cap")
"""Settings of a cap on logits."""

_SCALES = (
    "logit_scale",
    "logits_scaling",
    "lm_head_multiplier",
    "output_logit_soft_cap",
)
"""Settings of models whose logits are not those of the head, but for a cap."""

_SEEN = 0.1
"""Share of the tolerance that logits may change by when a later token does."""

_LOGITS = 2**25
"""Logits that exist at once, at most."""

PART_BYTES = 3 * 4 * _LOGITS
"""Bytes of a part of the logits with what is made of it, in float32, at most."""


def beta_of(base: nn.Module) -> float | None:
    """beta of a base whose rewards are implicit ones; None for a score head's."""
    return getattr(base, BETA, None)


@contextmanager
def as_reference(model: nn.Module) -> Iterator[None]:
    """In the block, the model computes as its base does without the adapter, and
    without dropout."""
    assert isinstance(model, PeftModel), "the reference is the base without its adapter"
    with evaluating(model), model.disable_adapter():  # which makes all of it trainable
        yield


def head_logits(
    hidden: Float[Tensor, "p f"],
    weight: Float[Tensor, "v f"],
    bias: Float[Tensor, " v"] | None,
    cap: float | None,
) -> Float[Tensor, "p v"]:
    """Logits of a language model's head, or of some of its rows; float32 at least."""
    logits = wide(nn.functional.linear(hidden.to(weight.dtype), weight, bias))
    return logits if cap is None else cap * torch.tanh(logits / cap)


class _TokenLogProbs(torch.autograd.Function):
    """log softmax(cap(h W'))[token] for each hidden state h, a part of them at a time.

    The gradient in h is formed with the value, while a part's logits are there.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Float[Tensor, "p f"],
        weight: Float[Tensor, "v f"],
        bias: Float[Tensor, " v"] | None,
        token: Int[Tensor, " p"],
        cap: float | None,
    ) -> Float[Tensor, " p"]:
        at_once = max(1, _LOGITS // len(weight))
        values, grads = [], []
        for part, wanted in zip(
            hidden.split(at_once), token.split(at_once), strict=True
        ):
            logits = head_logits(part, weight, bias, cap)
            log_probs = logits.log_softmax(dim=1)
            values.append(log_probs.gather(1, wanted[:, None])[:, 0])
            if ctx.needs_input_grad[0]:
                slopes = -log_probs.exp_()
                rows = torch.arange(len(wanted), device=wanted.device)
                slopes[rows, wanted] += 1
                if cap is not None:
                    slopes *= 1 - (logits / cap) ** 2
                grads.append((slopes.to(weight.dtype) @ weight).to(hidden.dtype))
        if grads:
            ctx.save_for_backward(torch.cat(grads))
        return torch.cat(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *output_grads: Tensor) -> tuple[Tensor | None, ...]:
        (grads,) = ctx.saved_tensors
        scale = output_grads[0].to(grads.dtype)
        return scale[:, None] * grads, None, None, None, None


def log_probabilities(
    base: Any, hidden: Float[Tensor, "s f"], tokens: ResponseTokens
) -> Float[Tensor, " p"]:
    """log p of each token of a batch's tails, given those before it; float32 at least.

    base: a language model, whose head and its cap on logits are used; hidden: last
    hidden states at tokens.places.
    """
    head = base.get_output_embeddings()
    return _TokenLogProbs.apply(
        hidden[tokens.source], head.weight, head.bias, tokens.token, cap_of(base)
    )


def by_sequence(
    values: Float[Tensor, " p"], tokens: ResponseTokens, sequences: int
) -> Float[Tensor, " r"]:
    """Sums over the tokens of each sequence's tail."""
    return values.new_zeros(sequences).index_add(0, tokens.sequence, values)


def cap_of(base: Any) -> float | None:
    """The cap on a language model's logits: cap * tanh(logit / cap)."""
    config = base.config.get_text_config()
    caps = (getattr(config, name, None) for name in _CAPS)
    return next((cap for cap in caps if cap), None)


def check_language_model(base: Any) -> None:
    """Raise ValueError for a model that `log_probabilities` is not right for."""
    config = base.config.get_text_config()
    head = base.get_output_embeddings()
    if config.is_encoder_decoder:
        raise ValueError("it is an encoder with a decoder")
    if not isinstance(head, nn.Linear):
        raise ValueError("it has no linear head")
    for name in _SCALES:
        if getattr(config, name, None) not in (None, 1, 1.0):
            raise ValueError(f"its logits are scaled by {name}, which is not supported")


def check_predicts(model: Any, pad_id: int) -> None:
    """Raise ValueError for a language model whose head is adapted, or in which a token
    sees later ones: its likelihoods are none. Of other models nothing is checked."""
    base = base_of(model)
    head = base.get_output_embeddings()
    if head is None:
        return
    if type(head).__module__.startswith("peft"):
        raise ValueError(
            "the adapter is on the language model's head too, whose gradients are not "
            "computed: leave it out of target_modules and modules_to_save"
        )
    device = next(model.parameters()).device
    first = [1 + i + (1 + i >= pad_id) for i in range(5)]
    rows = torch.tensor([[*first, first[0]], [*first, first[1]]], device=device)
    with evaluating(model), torch.no_grad():
        logits = model(input_ids=rows, attention_mask=torch.ones_like(rows)).logits
    before, after = logits[:, :-1].float()
    apart = float((before - after).norm() / before.norm())
    if apart > tolerance(logits.dtype) * _SEEN:
        raise ValueError(
            f"{type(base).__name__}: its tokens see later ones, so it is no language "
            "model to be trained by DPO; an encoder is audited with model.margin reward"
        )


def log_probabilities_alone(
    model: Any, prefix: list[int], tail: list[int]
) -> Float[Tensor, " p"]:
    """The same of one tail, by transformers' own logits: no batch, no parts of them."""
    device = next(model.parameters()).device
    ids = torch.tensor([prefix + tail], device=device)
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, :-1]
    log_probs = wide(logits).log_softmax(dim=1).gather(1, ids[0, 1:, None])
    return log_probs[max(0, len(prefix) - 1) :, 0]


def implicit_reward_alone(
    model: Any, prefix: list[int], tail: list[int]
) -> Float[Tensor, ""]:
    """Reward of one response. Gradients flow through the model, not its reference."""
    own = log_probabilities_alone(model, prefix, tail)
    with torch.no_grad(), as_reference(model):
        reference = log_probabilities_alone(model, prefix, tail)
    beta = beta_of(model.get_base_model())
    assert beta is not None
    return beta * (own - reference).sum()
