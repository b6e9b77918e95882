"""The order in which labels are trained on: random, but where responses recur, labels
that share them follow each other."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import xxhash
from jaxtyping import Int
from torch.utils.data import Sampler

_SAVED = 0.25
"""Share of a prompt's responses that must not be distinct for its labels to meet."""


def meeting(table: pa.Table) -> Int[np.ndarray, " n"]:
    """Number of the group of each label of label_ids.labelled_ids: those on one prompt,
    where their responses recur; other labels are groups by themselves."""
    prompts = table["prompt"].to_numpy()
    sides = pa.chunked_array(
        [c for n in ("chosen_ids", "rejected_ids") for c in table[n].chunks]
    )
    of_responses = np.stack([np.tile(prompts, 2), _digests(sides)])
    distinct = np.unique(of_responses, axis=1)
    numbers, responses = np.unique(distinct[0], return_counts=True)
    _, labels = np.unique(prompts, return_counts=True)
    recurs = responses <= (1 - _SAVED) * 2 * labels
    alone = ~recurs[np.searchsorted(numbers, prompts)]
    return np.where(alone, prompts.max() + 1 + np.arange(len(prompts)), prompts)


def _digests(column: pa.ChunkedArray) -> Int[np.ndarray, " n"]:
    """A hash of each list of tokens: 64 bits, as int64."""
    found = []
    for lists in column.chunks:
        starts, values = lists.offsets.to_numpy(), lists.values.to_numpy()
        for start, stop in itertools.pairwise(starts):
            found.append(xxhash.xxh3_64_intdigest(values[start:stop].tobytes()))
    return np.array(found, np.uint64).astype(np.int64)


class TogetherSampler(Sampler[int]):
    """Places of labels, in an order that each seed and epoch draws anew.

    Labels of one group follow each other, up to so many, so that their responses are
    computed together (model.label_batches). InstructGPT's reward model was trained on
    all labels of a prompt at once, which overfits less (Ouyang et al.,
    arXiv:2203.02155, section 3.5).
    """

    def __init__(
        self,
        groups: Int[np.ndarray, " n"],
        seed: int,
        most: int,
        epoch: Callable[[], int],
    ) -> None:
        """groups: number of each label's group; most: labels of one group that follow
        each other, at most; epoch: which epoch it is. (accelerate's `set_epoch` does
        not reach the sampler of a training that goes on within an epoch.)"""
        self._groups, self._seed, self._most = groups, seed, max(1, most)
        self._epoch = epoch
        self._drawn: tuple[int, Int[np.ndarray, " n"]] | None = None

    def __len__(self) -> int:
        return len(self._groups)

    def __iter__(self) -> Iterator[int]:
        yield from self.order().tolist()

    def order(self) -> Int[np.ndarray, " n"]:
        """Places of all labels in this epoch's order."""
        epoch = self._epoch()
        if self._drawn is None or self._drawn[0] != epoch:
            self._drawn = epoch, self._draw(epoch)
        return self._drawn[1]

    def _draw(self, epoch: int) -> Int[np.ndarray, " n"]:
        rng = np.random.default_rng([self._seed, epoch])
        shuffled = rng.permutation(len(self._groups))
        by_group = shuffled[np.argsort(self._groups[shuffled], kind="stable")]
        _, starts = np.unique(self._groups[by_group], return_index=True)
        chunks = [
            labels[start : start + self._most]
            for labels in np.split(by_group, starts[1:])
            for start in range(0, len(labels), self._most)
        ]
        return np.concatenate([chunks[i] for i in rng.permutation(len(chunks))])
