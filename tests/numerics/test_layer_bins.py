"""Ranges of bins: who gets how many, and sketches of layers side by side."""

import pytest
import torch

from inflib.numerics.layer_bins import Layer, from_json, lay_out, to_json
from inflib.numerics.oporp import Oporp
from tests.support.models import build_model, with_lora

SIZES = {
    "m.layers.10.q.lora_A": 400,
    "m.layers.2.q.lora_A": 300,
    "m.layers.2.q.lora_B": 500,
    "m.score": 20,
}


def test_layers_share_the_bins_and_none_has_more_than_parameters():
    layers = lay_out(SIZES, 220, by_layer=True)
    assert layers == [
        Layer("head", 20, 0, 20),
        Layer("m.layers.2", 800, 20, 120),
        Layer("m.layers.10", 400, 120, 220),
    ]
    assert from_json(to_json(layers)) == layers
    assert lay_out(SIZES, 220, by_layer=False) == [Layer("all", 1220, 0, 220)]
    with pytest.raises(ValueError, match="less than the 3 layers"):
        lay_out(SIZES, 2, by_layer=True)


def test_each_layer_is_sketched_into_its_own_bins_without_bias():
    generator = torch.Generator().manual_seed(0)
    x, y = {}, {}
    for name, size in SIZES.items():
        x[name], noise = torch.randn(2, 1, size, generator=generator)
        y[name] = 0.5 * x[name] + noise
    products = []
    for seed in range(300):
        oporp = Oporp(SIZES, 220, seed, by_layer=True)
        sketches = torch.zeros(2, 220)
        for name in SIZES:
            oporp.add(sketches[:1], name, x[name])
            oporp.add(sketches[1:], name, y[name])
        first, second = sketches
        products.append(
            [float(first[layer.bins] @ second[layer.bins]) for layer in oporp.layers]
        )
    by_layer = torch.tensor(products)
    for i, layer in enumerate(oporp.layers):
        blocks = [name for name in SIZES if oporp.layer_of[name] == layer.name]
        exact = sum(float((x[name] * y[name]).sum()) for name in blocks)
        error = by_layer[:, i].std() / 300**0.5
        assert abs(by_layer[:, i].mean() - exact) < 4 * error + 1e-4
    # The head has a bin for each parameter: its products are exact.
    assert by_layer[:, 0].std() < 1e-4


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_adapter_file_and_model_agree_on_the_layers(family, tmp_path):
    from inflib.model.adapter import read_adapter
    from inflib.sketches.gradients import block_sizes
    from inflib.storage.folder import Folder

    model = with_lora(build_model(family))
    model.save_pretrained(tmp_path)
    from_file = lay_out(read_adapter(Folder(str(tmp_path))).sizes, 512, True)
    assert lay_out(block_sizes(model), 512, True) == from_file
    assert len(from_file) == 3  # two layers and the head
