"""The last layer, computed where rewards are read only: the same rewards in less time.

    s  places that are read: the last token of each sequence, by a score head; the
       tokens that predict a response, by a language model

Nothing but these tokens' final hidden states is read. In the last layer of a decoder,
keys and values are needed for every token, but queries, the attention's output map and
the MLP only for those that are read: these maps work token by token, so each is given
the s tokens and its result is spread over zeros. The other tokens' hidden states become
meaningless, and nothing reads them.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from jaxtyping import Int
from torch import Tensor, nn

_TOKENWISE = ("self_attn.q_proj", "self_attn.o_proj", "mlp")


@contextmanager
def places_only(backbone: nn.Module, places: Int[Tensor, " s"]) -> Iterator[None]:
    """While the block runs, the last layer's token-by-token maps compute some places.

    places: in the flattened batch, each once. A layer without such maps is left as it
    is.
    """
    layers: Any = getattr(backbone, "layers", None)
    with ExitStack() as stack:
        for name in _TOKENWISE if isinstance(layers, nn.ModuleList) else ():
            try:
                module = layers[-1].get_submodule(name)
            except AttributeError:
                continue
            gather, spread = _around(places)
            stack.callback(module.register_forward_pre_hook(gather).remove)
            stack.callback(module.register_forward_hook(spread).remove)
        yield


def _around(places: Int[Tensor, " s"]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Hooks for before and after a map: pick the tokens there; zeros for the rest."""
    shape: list[int] = []

    def gather(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        shape[:] = args[0].shape[:-1]
        return (args[0].flatten(0, 1)[None, places], *args[1:])

    def spread(module: nn.Module, args: tuple[Tensor, ...], output: Any) -> Any:
        if isinstance(output, tuple):  # experts may give the router's scores, too
            return (spread(module, args, output[0]), *output[1:])
        rows, t = shape
        whole = output.new_zeros(rows * t, output.shape[-1])
        return whole.index_copy(0, places, output[0]).view(rows, t, -1)

    return gather, spread
