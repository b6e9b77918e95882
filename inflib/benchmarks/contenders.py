"""Our gradient pass and other ways to the same gradients, over the same pairs.

    d  entries of a gradient     k  entries of a sketch

Each contender goes over its pairs once and returns how many they were. The slow ones
take every n-th pair only: the same mix of lengths.
"""

import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from inflib.benchmarks.paper import PaperSketch
from inflib.model.packing import Unit, pack, plan_batches
from inflib.sketches.unit_sketcher import UnitSketcher

PAPER_LENGTH = 1024
"""Tokens to which the paper's loop pads every sequence."""


class Contenders:
    """The contenders, with one model and one list of pairs."""

    def __init__(
        self,
        model: nn.Module,
        pairs: list[Unit],
        sketch_size: int,
        token_budget: int,
    ) -> None:
        self.model, self.token_budget = model, token_budget
        self.pairs = sorted(pairs, key=lambda unit: unit.longest)
        self.sketcher = UnitSketcher(model, 0, sketch_size, seed=0)
        self.blocks = [
            (name, parameter)
            for name, linear in self.sketcher.gradients.blocks.items()
            for parameter in linear.parameters()
        ]
        self.size = sum(parameter.numel() for _, parameter in self.blocks)
        self.paper = PaperSketch(self.size, sketch_size)
        self.sketch_seconds = 0.0
        """Seconds that the last of `ours` and `paper_loop` spent on sketches."""
        self.paper_sketch = self._timed(self.paper)
        self.sketcher.oporp.add = self._timed(self.sketcher.oporp.add)  # type: ignore[method-assign]

    def _timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            started = time.perf_counter()
            result = function(*arguments)
            self.sketch_seconds += time.perf_counter() - started
            return result

        return timed

    def ours(self) -> int:
        """Our pass: hooks, shared prefixes, OPORP, whose time is `sketch_seconds`."""
        self.sketch_seconds = 0.0
        self.train(False)
        self.sketcher(self.pairs, self.token_budget)
        return len(self.pairs)

    def training_step(self) -> int:
        """Forward and backward of LoRA training on batches of like lengths, without an
        optimizer: the least that a method with a training pass of its own costs."""
        self.train(True)
        for units in plan_batches(self.pairs, self.token_budget, flat=False):
            batch = pack(units, False, pad_id=0).to(self.sketcher.device)
            rewards = self.model(
                input_ids=batch.input_ids, attention_mask=batch.attention_mask
            ).logits[:, 0]
            F.softplus(rewards[1::2] - rewards[0::2]).mean().backward()
            self.model.zero_grad()
        return len(self.pairs)

    def autograd_loop(self, every: int = 1) -> int:
        """One pair at a time, unpadded: plain autograd, then our sketch."""
        self.train(True)
        pairs = self._every(every)
        for unit in pairs:
            _, grads = self.plain(unit)
            sketch = torch.zeros(
                1, self.sketcher.oporp.sketch_size, device=self.sketcher.device
            )
            for (name, _), grad in zip(self.blocks, grads, strict=True):
                self.sketcher.oporp.add(sketch, name, grad.reshape(1, -1).float())
        return len(pairs)

    def paper_loop(self, every: int = 1) -> int:
        """One pair at a time, padded to 1,024 tokens: autograd, the paper's sketch."""
        self.sketch_seconds = 0.0
        self.train(True)
        pairs = self._every(every)
        for unit in pairs:
            _, grads = self.plain(unit, PAPER_LENGTH)
            self.paper_sketch(torch.cat([grad.flatten().float() for grad in grads]))
        return len(pairs)

    def datainf_two_pass(self, every: int = 1) -> int:
        """DataInf on whole gradients, none of them stored: each is computed once for
        the sums of the inverse-Hessian product, and once more for its score."""
        self.train(True)
        pairs = self._every(every)
        query = [torch.ones_like(p, dtype=torch.float32) for _, p in self.blocks]
        sums = [torch.zeros_like(v) for v in query]
        for unit in pairs:
            for v, total, grad in zip(query, sums, self._loss_grads(unit), strict=True):
                scale = (v * grad).sum() / (1e-3 + grad.square().sum())
                total.add_(grad * scale)
        for unit in pairs:
            grads = self._loss_grads(unit)
            sum((total * g).sum() for total, g in zip(sums, grads, strict=True))
        return len(pairs)

    def _every(self, step: int) -> list[Unit]:
        """Every step-th pair, from the middle of the first step on; at least one."""
        return self.pairs[min(step, len(self.pairs)) // 2 :: step]

    def plain(
        self, unit: Unit, length: int | None = None
    ) -> tuple[Float[Tensor, ""], tuple[Tensor, ...]]:
        """(margin, its gradient in each block) by autograd of two forward passes.

        length: tokens to which both sequences are padded.
        """
        rewards = [self._reward(ids, length) for ids in unit.sequences]
        margin = rewards[0] - rewards[1]
        grads = torch.autograd.grad(margin, [p for _, p in self.blocks])
        return margin.detach(), grads

    def _loss_grads(self, unit: Unit) -> list[Tensor]:
        """Gradient of the Bradley-Terry loss, response a being the chosen one."""
        margin, grads = self.plain(unit)
        weight = -torch.sigmoid(-margin.float())
        return [weight * grad.float() for grad in grads]

    def _reward(self, ids: list[int], length: int | None) -> Float[Tensor, ""]:
        padding = [0] * max(0, (length or 0) - len(ids))
        tokens = torch.tensor([ids + padding], device=self.sketcher.device)
        mask = (torch.arange(tokens.shape[1]) < len(ids)).long()[None]
        mask = mask.to(tokens.device)
        return self.model(input_ids=tokens, attention_mask=mask).logits[0, 0]

    def train(self, trained: bool) -> None:
        """Whether autograd shall compute gradients of the trained weights."""
        for _, parameter in self.blocks:
            parameter.requires_grad_(trained)


def max_rel_error(contenders: Contenders, units: list[Unit]) -> float:
    """Largest |ours - plain| / |plain| of a block: the norms are over the gradients of
    all units in the block, and plain is autograd of two separate forward passes."""
    ours: dict[str, Tensor] = {}

    def consume(block: str, grads: Tensor) -> None:
        ours[block] = grads.double()

    contenders.train(False)
    batch = pack(units, True, pad_id=0).to(contenders.sketcher.device)
    contenders.sketcher.gradients(batch, consume)
    contenders.train(True)
    plain = [contenders.plain(unit)[1] for unit in units]
    worst = 0.0
    for index, (name, _) in enumerate(contenders.blocks):
        expected = torch.stack([grads[index].flatten().double() for grads in plain])
        error = (ours[name] - expected).norm() / expected.norm()
        worst = max(worst, float(error))
    return worst
