"""The reward of a generative reward model: half the log-odds of its two answers.

    r  sequences of a batch     f  features

A sequence is a question that names one response first (data.question). Its reward says
how much better the first one is; a label's margin, the difference of two rewards, is
the mean of both orders.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inflib.model.implicit_reward import cap_of, head_logits

ANSWERS = "_inflib_answers"
"""Attribute of a base: token ids of the answers "the first" and "the second"."""


def answers_of(base: nn.Module) -> tuple[int, int] | None:
    """Token ids of the two answers; None for other models."""
    return getattr(base, ANSWERS, None)


def answer_rewards(base: Any, hidden: Float[Tensor, "r f"]) -> Float[Tensor, " r"]:
    """Rewards by the last hidden states of the questions' last tokens."""
    head = base.get_output_embeddings()
    answers = list(getattr(base, ANSWERS))
    bias = None if head.bias is None else head.bias[answers]
    weight = head.weight[answers]
    logits = head_logits(hidden, weight, bias, cap_of(base))
    return (logits[:, 0] - logits[:, 1]) / 2


def answer_reward_alone(model: Any, ids: list[int]) -> Float[Tensor, ""]:
    """The same of one question, by transformers' own logits."""
    device = next(model.parameters()).device
    tokens = torch.tensor([ids], device=device)
    outputs = model(input_ids=tokens, attention_mask=torch.ones_like(tokens))
    log_probs = outputs.logits[0, -1].log_softmax(dim=0)
    first, second = getattr(model.get_base_model(), ANSWERS)
    return (log_probs[first] - log_probs[second]) / 2
