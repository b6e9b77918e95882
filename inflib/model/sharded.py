"""A frozen base whose layers are spread over the devices of a group of processes.

FSDP2 (torch.distributed.fsdp.fully_shard) keeps of each layer's weights one part on
each device, and collects a layer when it computes. All other weights (embeddings, LoRA,
score head) are whole on every device, so that hooks, sketches and optimizer are those
of any other run, to the bit.

Collecting takes all processes of the group at once. Each takes its own batches, and
they need not be equally many: a pass is announced, and processes that have none of
their own make one of two tokens, which counts for nothing.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
import torch.distributed as dist
from peft import PeftModel
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

_TURNS = "_inflib_turns"


class Turns:
    """Announces passes of a model to the other processes of its group."""

    def __init__(self, model: nn.Module, group: dist.ProcessGroup) -> None:
        self._model, self._group = model, group

    def announce(self) -> None:
        """A forward pass begins here, and in the other processes of the group; where
        autograd is on, a backward pass follows."""
        self._agree(torch.is_grad_enabled())

    def serve(self) -> None:
        """Take part in the passes of the others until none has any left."""
        while (backward := self._agree(None)) is not None:
            self._idle_pass(backward)

    def _agree(self, backward: bool | None) -> bool | None:
        """Whether this turn's pass has a backward pass; None: there is no pass.

        backward: of this process's pass; None where it has none. Raises RuntimeError
        where processes begin passes of both kinds.
        """
        wanted = torch.tensor([backward is False, backward is True]).int()
        dist.all_reduce(wanted, group=self._group)
        forward_only, both = wanted.tolist()
        if forward_only and both:
            raise RuntimeError(
                f"of the processes that share a base, {forward_only} begin a forward "
                f"pass and {both} one with a backward pass"
            )
        return both > 0 if forward_only or both else None

    def _idle_pass(self, backward: bool) -> None:
        embeddings: Any = self._model.get_input_embeddings()  # type: ignore[operator]
        device = embeddings.weight.device
        tokens = torch.ones(1, 2, dtype=torch.long, device=device)
        starts: list[Tensor] = []

        def start(module: nn.Module, args: Any, output: Tensor) -> Tensor:
            starts.append(output.detach().requires_grad_(True))
            return starts[0]

        hook = embeddings.register_forward_hook(start)
        drawn = [device] if device.type == "cuda" else []
        try:
            with torch.random.fork_rng(drawn), torch.set_grad_enabled(backward):
                mask = torch.ones_like(tokens)
                logits = self._model(input_ids=tokens, attention_mask=mask).logits
                if backward:
                    torch.autograd.grad(logits.sum(), starts)
        finally:
            hook.remove()


def turns_of(model: nn.Module) -> Turns | None:
    """The turns of a model, with or without LoRA, whose base's layers are spread; None
    for an ordinary one."""
    return getattr(base_of(model), _TURNS, None)


def base_of(model: nn.Module) -> Any:
    """transformers' model in one that may have LoRA."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


@contextmanager
def until_all_have(model: nn.Module) -> Iterator[None]:
    """In the block, processes that share a base make passes, as many as each wants; it
    ends when all have ended theirs. Of an ordinary model it does nothing."""
    yield
    if turns := turns_of(model):
        turns.serve()


def reads_weights(devices: int) -> bool:
    """Whether this process reads a base's weights from its files: one of each group of
    so many does. Raises ValueError where there are no such groups."""
    return _groups(devices)[0].get_local_rank() == 0


def spread(model: nn.Module, devices: int) -> nn.Module:
    """Spread the frozen weights of a model's layers over the devices of each group.

    model: base with LoRA; on the CPU where `reads_weights`, elsewhere on torch's device
    "meta". Raises ValueError where its layers cannot be found.
    """
    mesh, group = _groups(devices)
    base = base_of(model)
    backbone: Any = getattr(base, base.base_model_prefix)
    lists = [m for m in backbone.modules() if isinstance(m, nn.ModuleList)]
    layers = max(lists, key=_size, default=nn.ModuleList())
    if not len(layers):
        raise ValueError(
            f"{type(base).__name__}: no list of layers to spread over devices; set "
            "model.sharded_over to 1"
        )
    for layer in layers:
        _same_everywhere(layer.modules(), mesh)
        fully_shard(layer, mesh=mesh, ignored_params=_trained(layer))
    done = set(layers.modules())
    _same_everywhere((m for m in model.modules() if m not in done), mesh)
    rest = {p for p in backbone.parameters() if not isinstance(p, DTensor)}
    fully_shard(backbone, mesh=mesh, ignored_params=rest)
    setattr(base, _TURNS, Turns(base, group))
    ignored: Any = spread_parameters(model)  # by DDP, which would broadcast them
    model._ddp_params_and_buffers_to_ignore = ignored
    return model


def spread_parameters(model: nn.Module) -> list[str]:
    """Names of a model's parameters that are spread over devices."""
    return [name for name, p in model.named_parameters() if isinstance(p, DTensor)]


def _size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _trained(module: nn.Module) -> set[nn.Parameter]:
    return {p for p in module.parameters() if p.requires_grad}


def _same_everywhere(modules: Iterable[nn.Module], mesh: DeviceMesh) -> None:
    """Give the modules' own parameters and buffers the values that they have in the
    group's first process, on this one's device."""
    for module in modules:
        tables: list[Any] = [module._parameters, module._buffers]
        for own in tables:
            for name, tensor in own.items():
                if tensor is not None:
                    own[name] = _broadcast(tensor, mesh)


def _broadcast(tensor: Tensor, mesh: DeviceMesh) -> Tensor:
    dtype = [tensor.dtype]  # a base keeps some weights in float32
    dist.broadcast_object_list(dtype, group=mesh.get_group(), group_src=0)
    if mesh.get_local_rank() == 0:
        values = tensor.detach().to(mesh.device_type)
    else:
        values = torch.empty(tensor.shape, dtype=dtype[0], device=mesh.device_type)
    dist.broadcast(values, group=mesh.get_group(), group_src=0)
    if not isinstance(tensor, nn.Parameter):
        return values
    return nn.Parameter(values, requires_grad=tensor.requires_grad)


@cache
def _groups(devices: int) -> tuple[DeviceMesh, dist.ProcessGroup]:
    """This process's group, for collecting layers and for announcing passes."""
    if not dist.is_initialized():
        raise ValueError(
            f"model.sharded_over {devices} is for the stages train and sketch; for "
            "this, the base must fit one device: set it to 1"
        )
    count = dist.get_world_size()
    if count % devices:
        raise ValueError(
            f"{count} workers cannot share bases by {devices}: see model.sharded_over"
        )
    kind = "cuda" if "nccl" in dist.get_backend() else "cpu"
    names = ("bases", "devices")
    mesh = init_device_mesh(kind, (count // devices, devices), mesh_dim_names=names)
    own: Any = None
    for start in range(0, count, devices):
        ranks = [*range(start, start + devices)]
        group = dist.new_group(ranks, backend="gloo")
        own = group if dist.get_rank() in ranks else own
    return mesh["devices"], own
