"""Memory and operations of large models' gradient passes, on a machine without a GPU.

    python scripts/rehearse_gpu.py --json docs/rehearsal.json

A batch of comparisons with the lengths of HH's goes through shapes of models as fake
tensors, which have no values (inflib/benchmarks/fake_gpu.py), on a pretended GPU, and
so through the code for GPUs. Takes minutes. Needs g++.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.pretended_gpu.__main__ import start

SHAPES = [("llama-31m", 4096), ("llama3-8b", 4096), ("llama3-70b", 1536)]
"""Shapes, and tokens in a batch."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", required=True, help="file for the results")
    options = parser.parse_args()
    start()
    from inflib.benchmarks.fake_gpu import gradient_pass

    results = [gradient_pass(shape, tokens, "cuda") for shape, tokens in SHAPES]
    Path(options.json).write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
