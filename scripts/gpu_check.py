"""Check and time the gradient pass on a CUDA machine with torch, transformers and peft.

    python scripts/gpu_check.py --json gpu.json [--shape llama3-8b] [--pairs 192]
        [--token-budget N] [--dollars-per-hour 4]

Checks hooks, shared prefixes (sdpa, eager, FlexAttention) and sketches against plain
autograd, in fp32 and bf16; then times a Llama-3-8B-shaped reward model with random
weights on pairs of HH length. Exits with 1 when a check fails. --device cpu --shape
tiny tries the script itself.
"""

import argparse
import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from inflib.benchmarks.gpu import check, sketch_kernels, speed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", required=True, help="file for the figures")
    parser.add_argument("--shape", default="llama3-8b")
    parser.add_argument("--check-shape", default="llama-31m")
    parser.add_argument("--pairs", type=int, default=192)
    parser.add_argument("--token-budget", type=int, default=0, help="0: what fits")
    parser.add_argument("--dollars-per-hour", type=float, default=4.0)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA device here")
    found = {
        "torch": torch.__version__,
        "checks": check(given.check_shape, given.device),
        "sketch_kernels": sketch_kernels(given.device),
        "speed": speed(given.shape, given.device, given.pairs, given.token_budget),
    }
    hours = found["speed"]["hours_per_100000_pairs"]
    found["dollars_per_100000_pairs"] = hours * given.dollars_per_hour
    Path(given.json).write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
