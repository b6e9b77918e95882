"""Functions that give rewards, as users write them, right ones and wrong ones."""

import torch


def score(model, batch):
    """What a score head says, read by transformers itself."""
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    return model(**inputs).logits[:, 0]


def mean_log_probability(model, batch):
    """Of the tokens from where two responses differ, as in SimPO, times 3."""
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    logits = model(**inputs).logits.flatten(0, 1)
    tokens = batch.responses
    log_probs = logits[tokens.places].log_softmax(-1)[tokens.source, tokens.token]
    zeros = log_probs.new_zeros(len(batch.last))
    sums = zeros.index_add(0, tokens.sequence, log_probs)
    counts = zeros.index_add(0, tokens.sequence, torch.ones_like(log_probs))
    return 3 * sums / counts.clamp(min=1)


def among_its_batch(model, batch):
    return score(model, batch) - score(model, batch).mean()


def not_finite(model, batch):
    return score(model, batch) / 0


def of_constants(model, batch):
    return batch.attention_mask.sum(1).float()


def single_number(model, batch):
    return score(model, batch).sum()


NUMBER = 3
