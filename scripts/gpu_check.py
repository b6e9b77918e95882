"""Check and time the gradient pass on a CUDA machine with torch, transformers and peft.

    python scripts/gpu_check.py --json gpu.json [--shape llama3-8b] [--pairs 192]
        [--token-budget N] [--dollars-per-hour 4]

Checks gradients by hooks and shared prefixes (sdpa, eager, FlexAttention) against plain
autograd, in fp32 and bf16, and sketches against those of the CPU; then times a
Llama-3-8B-shaped reward model with random weights on pairs with the lengths of HH's.
Exits with 1 when a check fails. To try the script itself: --device cpu --shape tiny.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from inflib.benchmarks.gpu import check, sketch_kernels, speed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", required=True, help="file for the results")
    parser.add_argument("--shape", default="llama3-8b")
    parser.add_argument("--check-shape", default="llama-31m")
    parser.add_argument("--pairs", type=int, default=192)
    parser.add_argument("--token-budget", type=int, default=0, help="0: what fits")
    parser.add_argument("--dollars-per-hour", type=float, default=4.0)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA device here")
    device = options.device
    results: dict[str, Any] = {
        "torch": torch.__version__,
        "checks": check(options.check_shape, device),
        "sketch_kernels": sketch_kernels(device),
        "speed": speed(options.shape, device, options.pairs, options.token_budget),
    }
    hours = results["speed"]["hours_per_100000_pairs"]
    results["dollars_per_100000_pairs"] = hours * options.dollars_per_hour
    Path(options.json).write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
