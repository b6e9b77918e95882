"""Block sizes of an adapter to its layers, and the range of a sketch's bins of each.

A block is one `lora_A` or `lora_B` matrix, or the score head. By default there is one
layer, `all`. With `sketch.by_layer` the blocks of each layer of the
model have bins of their own, so that products of gradients can be taken layer by layer
(DataInf's block-diagonal form), and added up for products of whole gradients. What lies
outside the numbered layers, the score head, is a layer too. Departure: DataInf's code
takes every LoRA matrix by itself; with hundreds of matrices few bins would be left for
each.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

ALL, HEAD = "all", "head"


@dataclass(frozen=True)
class Layer:
    """One layer: its number of parameters, and its bins, start <= bin < stop."""

    name: str
    num_parameters: int
    start: int
    stop: int

    @property
    def bins(self) -> slice:
        """The layer's bins, to index the entries of a sketch with."""
        return slice(self.start, self.stop)


def layer_of(block: str, by_layer: bool) -> str:
    """Layer of a block or adapter tensor: its name up to the first number.

    `head` where there is no number; `all` for every block unless `by_layer`.
    """
    if not by_layer:
        return ALL
    numbered = re.match(r".*?\.\d+(?=\.)", block)
    return numbered[0] if numbered else HEAD


def lay_out(sizes: Mapping[str, int], sketch_size: int, by_layer: bool) -> list[Layer]:
    """Layers of blocks with these sizes, with their bins, in order of their names.

    Every layer has an equal share of the bins, but not more than it has parameters (its
    products are exact then); what small layers leave, the others share. Raises
    ValueError when there are more layers than bins.
    """
    totals: dict[str, int] = {}
    for block, size in sizes.items():
        layer = layer_of(block, by_layer)
        totals[layer] = totals.get(layer, 0) + size
    if len(totals) > sketch_size:
        raise ValueError(
            f"sketch.sketch_size {sketch_size} is less than the {len(totals)} layers"
        )
    widths, num_free = {}, sketch_size
    for i, name in enumerate(sorted(totals, key=lambda name: (totals[name], name))):
        widths[name] = min(totals[name], num_free // (len(totals) - i))
        num_free -= widths[name]
    if not by_layer:
        widths[ALL] = sketch_size
    layers: list[Layer] = []
    for name in sorted(totals, key=_natural):
        start = layers[-1].stop if layers else 0
        layers.append(Layer(name, totals[name], start, start + widths[name]))
    return layers


def to_json(layers: list[Layer]) -> list[dict[str, Any]]:
    """Layers as rows of the manifest's JSON."""
    return [asdict(layer) for layer in layers]


def from_json(rows: list[dict[str, Any]]) -> list[Layer]:
    """The layers that `to_json` made these rows of."""
    return [Layer(**row) for row in rows]


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key with numbers as numbers: layer 2 before layer 10."""
    return [
        (int(word), "") if word.isdigit() else (-1, word)
        for word in re.split(r"(\d+)", name)
    ]
