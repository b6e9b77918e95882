"""Bergson's hook collector on the benchmark's pairs, in an environment of its own.

Started by `inflib benchmark gradients --bergson PYTHON`, where PYTHON has bergson,
torch, transformers and peft. For each line from standard input it goes over the pairs
once and prints the seconds this took. A pair's gradient is that of its margin: the sum
of what bergson collects for its two sequences. The random projection is on; the score
head is left out, as bergson does with a PEFT reward model.
"""

import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from bergson import GradientProcessor, InMemoryCollector
from bergson.config import IndexConfig
from datasets import Dataset

from inflib.benchmarks.workload import hh_pairs, reward_model
from inflib.model.packing import pack, plan_batches

PROJECTION = 16
"""Bergson's usual projection: 16 x 16 numbers per module."""


def main(
    shape: str, dtype: str, num_pairs: int, token_budget: int, threads: int
) -> None:
    torch.set_num_threads(threads)
    model = reward_model(shape, getattr(torch, dtype)).get_base_model()
    pairs = sorted(hh_pairs(num_pairs), key=lambda unit: unit.longest)
    targets = {
        name for name, module in model.named_modules()
        if "lora_" in name and isinstance(module, torch.nn.Linear)
    }  # fmt: skip
    trained = [p for name, p in model.named_parameters() if "lora_" in name]
    model.requires_grad_(False)

    def require_grad(required: bool) -> None:
        for parameter in trained:
            parameter.requires_grad_(required)

    model.get_input_embeddings().register_forward_hook(
        lambda module, args, output: output.requires_grad_(True)
    )
    rows = Dataset.from_dict({"length": [1] * (2 * num_pairs)})

    def run() -> None:
        require_grad(True)  # bergson takes its dtype from the trained parameters
        collector = InMemoryCollector(
            model=model,
            data=rows,
            cfg=IndexConfig(run_path="unused"),
            target_modules=targets,
            processor=GradientProcessor(projection_dim=PROJECTION),
        )
        require_grad(False)  # and needs no gradients of theirs
        done = 0
        with collector:
            for units in plan_batches(pairs, token_budget, flat=False):
                batch = pack(units, False, pad_id=0)
                rewards = model(
                    input_ids=batch.input_ids, attention_mask=batch.attention_mask
                ).logits[:, 0]
                (rewards[0::2] - rewards[1::2]).sum().backward()
                indices = list(range(done, done + len(rewards)))
                collector.process_batch(indices, losses=rewards.detach())
                done += len(rewards)
        collector.teardown()
        grads = torch.cat(list(collector.gradients.values()), dim=1)
        summed = grads[0::2] + grads[1::2]
        assert summed.shape[0] == num_pairs and bool(summed.abs().sum() > 0)

    print("ready", flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        run()
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6]))
