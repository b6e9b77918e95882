"""A training's own passes to margin gradients, by hooks that change nothing.

    p  parts of a batch     c  comparisons     r  rewards     d  entries of a block

A loss reaches the weights through the rewards alone. So what one row of a batch adds to
a weight's gradient, over the loss's derivative in that row's reward, is the gradient of
the reward; a margin's gradient is the difference of two rewards'. Whatever the loss
adds or multiplies (a margin, weights, gradient accumulation, loss scaling), both have
it.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inflib.model.label_batches import Parts
from inflib.model.trained_weights import trained, trained_blocks
from inflib.numerics.rounding import tolerance
from inflib.sketches.gradients import Calls, Consume, what_trains

_CHECKS = 8
"""Passes that are compared with autograd, at most."""


class Watch:
    """What is seen of one forward and backward pass."""

    def __init__(self, parts: Parts, consume: Consume) -> None:
        self._parts, self._consume = parts, consume
        self._shares: Float[Tensor, "c p"] | None = None
        self._usable = torch.zeros(len(parts.shares), dtype=torch.bool)
        self._rewards: Float[Tensor, " r"] | None = None

    @property
    def usable(self) -> list[int]:
        """The comparisons whose loss had a derivative in their rewards."""
        return torch.nonzero(self._usable)[:, 0].tolist()

    def margins(self) -> Float[Tensor, " c"]:
        """r(a) - r(b) of the comparisons, float64."""
        if self._rewards is None:
            raise ValueError("a step did not show its rewards")
        rewards = self._rewards.double()
        return torch.stack([rewards[a] - rewards[b] for a, b in self._parts.sides])

    def see_rewards(self, rewards: Float[Tensor, "r ..."]) -> Float[Tensor, "r ..."]:
        """Take the rewards, before the backward pass. Returns the same ones, of which
        the loss must be computed."""
        if self._rewards is not None:
            raise ValueError(
                "a step computed its rewards twice: a loss that calls the model more "
                "than once cannot be followed"
            )
        self._rewards = rewards.detach().flatten()
        # a view's hook comes before those of the layer that made the rewards
        seen = rewards.view_as(rewards)
        seen.register_hook(self._see_derivatives)
        return seen

    def _see_derivatives(self, derivatives: Float[Tensor, "r ..."]) -> None:
        parts, count = len(self._parts.bounds[0]) - 1, len(self._parts.shares)
        own = derivatives.detach().double().flatten().tolist()
        shares = torch.zeros(count, parts, dtype=torch.float64)
        usable = torch.ones(count, dtype=torch.bool)
        for i, of_comparison in enumerate(self._parts.shares):
            for share in of_comparison:
                slope = own[share.reward]
                if slope == 0 or not math.isfinite(slope):
                    usable[i] = False
                else:
                    shares[i, share.part] += share.sign / slope
        shares[~usable] = 0
        self._usable = usable
        self._shares = shares.to(derivatives.device, torch.float32)

    def take(self, block: str, grads: Float[Tensor, "p d"]) -> None:
        """Hand over the margins' gradients in a block. grads: the loss's."""
        if self._shares is None:
            raise ValueError("the loss does not depend on the rewards that were seen")
        self._consume(block, self._shares @ grads.float())


class TrainingGradients:
    """Sees the gradients of a model's comparisons while it is trained on them."""

    def __init__(self, model: nn.Module) -> None:
        """Raises ValueError naming a trained module that is no linear map."""
        self.blocks = trained_blocks(model)
        for name, block in self.blocks.items():
            if type(block) is not nn.Linear:
                raise ValueError(
                    f"{name} is trained and is no linear layer: gradients are taken of "
                    "LoRA adapters and a linear score head alone"
                )
        self._trains = {name: what_trains(b) for name, b in self.blocks.items()}
        self._unchecked = _CHECKS

    @contextmanager
    def watching(self, parts: Parts, consume: Consume) -> Iterator[Watch]:
        """The block that is entered makes one forward and backward pass of the parts.

        consume: gets, once for each block of weights, its name and the gradients [c d]
        of r(a) - r(b); 0 for a comparison that is not `usable`. At first, the sum of
        all parts is compared with autograd's gradient: ValueError names the block where
        it differs, or one that was called on other rows than the batch's.
        """
        watch = Watch(parts, consume)
        check = _Sums(self.blocks) if self._unchecked else None
        take: Consume = watch.take if check is None else check.before(watch.take)
        calls = Calls(parts.bounds, take)
        with ExitStack() as stack:
            if check is not None:
                stack.enter_context(check.listening())
            for name, block in self.blocks.items():
                hook = self._recorder(name, calls)
                stack.callback(block.register_forward_hook(hook).remove)
            yield watch
        calls.check(self.blocks)
        if check is not None:
            self._unchecked = 0 if check.compare() else self._unchecked - 1

    def _recorder(self, name: str, calls: Calls) -> Callable[..., None]:
        def record(module: nn.Module, args: tuple[Tensor], output: Tensor) -> None:
            # gradient checkpointing calls a block again, within the backward pass
            if torch.is_grad_enabled() and torch._C._current_graph_task_id() == -1:
                calls.watch(name, args[0], output, *self._trains[name])

        return record


class _Sums:
    """The sums of all parts' gradients, beside those that autograd gives."""

    def __init__(self, blocks: dict[str, nn.Module]) -> None:
        self._blocks = blocks
        self._own: dict[str, Tensor] = {}
        self._autograds: dict[nn.Parameter, Tensor] = {}
        self._tolerance = self._squares = 0.0

    def before(self, take: Consume) -> Consume:
        """The same, which first adds up what it is given."""

        def added(block: str, grads: Float[Tensor, "p d"]) -> None:
            parts = grads.float()
            self._own[block] = parts.sum(0)
            self._squares += float(parts.square().sum())
            self._tolerance = max(self._tolerance, tolerance(grads.dtype))
            take(block, grads)

        return added

    @contextmanager
    def listening(self) -> Iterator[None]:
        def listen(parameter: nn.Parameter) -> Callable[[Tensor], None]:
            def keep(grad: Tensor) -> None:
                seen = self._autograds.get(parameter)
                grad = grad.detach().float()
                self._autograds[parameter] = grad if seen is None else seen + grad

            return keep

        with ExitStack() as stack:
            for block in self._blocks.values():
                for parameter in trained(block):
                    hook = parameter.register_hook(listen(parameter))
                    stack.callback(hook.remove)
            yield

    def compare(self) -> bool:
        """Raise ValueError naming a block in which they differ. False: that says
        little, since some gradient is not finite, as the first ones of a scaled loss
        may be, or zero, as that of lora_A is as long as lora_B is."""
        expected = {
            name: torch.cat([self._autograds[p].flatten() for p in trained(block)])
            for name, block in self._blocks.items()
        }
        whole = float(torch.cat([*expected.values()]).norm())
        if not math.isfinite(whole):
            return False
        for name, grads in expected.items():
            error = float((self._own[name].flatten() - grads).norm())
            # rounding is of the parts, which may nearly cancel
            if not error <= self._tolerance * max(whole, self._squares**0.5):
                raise ValueError(
                    f"{name}: the rows' gradients do not add up to autograd's "
                    f"(off by {error / whole:.2g} of the gradient): this model cannot "
                    "be sketched while it is trained; run `inflib sketch` afterwards"
                )
        return all(bool(grads.any()) for grads in expected.values())
