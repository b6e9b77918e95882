"""The order in which labels are trained on: random, labels on one prompt together."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int
from torch.utils.data import Sampler


class ByPrompt(Sampler[int]):
    """Places of labels, in an order that each seed and epoch draws anew.

    Labels on one prompt follow each other, up to so many, and can be computed together
    (model.label_batches). InstructGPT's reward model was trained so, with all labels on
    a prompt in one batch, which overfits less (Ouyang et al., arXiv:2203.02155, section
    3.5). One label per prompt: any order is as likely as any other.
    """

    def __init__(self, prompts: Int[np.ndarray, " n"], seed: int, most: int) -> None:
        """prompts: number of each label's prompt; most: labels on one prompt that
        follow each other, at most."""
        self._prompts, self._seed, self._most = prompts, seed, max(1, most)
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """What accelerate's data loader calls."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._prompts)

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self._seed, self._epoch])
        shuffled = rng.permutation(len(self._prompts))
        by_prompt = shuffled[np.argsort(self._prompts[shuffled], kind="stable")]
        _, starts = np.unique(self._prompts[by_prompt], return_index=True)
        chunks = [
            labels[start : start + self._most]
            for labels in np.split(by_prompt, starts[1:])
            for start in range(0, len(labels), self._most)
        ]
        for chunk in rng.permutation(len(chunks)):
            yield from chunks[chunk].tolist()
