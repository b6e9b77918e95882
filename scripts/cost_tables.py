"""Markdown tables of what an audit stores and how long it takes, from docs/*.json.

python scripts/cost_tables.py

Storage: computed, and measured by `inflib benchmark scale`. Runtime: gradients at the
rates of `inflib benchmark gradients` (48 pairs), scores at those of
`inflib benchmark scoring` (10^5 pairs). Both are proportional to the number of pairs,
so other sizes are extrapolated.
"""

import json
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
PARAMETERS = 41_943_040
"""Parameters of Llama-3-8B's LoRA adapter with rank 16, as in the paper."""

SKETCH_SIZE = 65_536
BYTES = {"float32": 4, "float16": 2, "int8": 1}
SIZES = (1_000, 10_000, 100_000)


def main() -> None:
    scale, gradients, scoring = (
        json.loads((DOCS / f"{name}.json").read_text())
        for name in ("scale", "gradients", "scoring")
    )
    print("| stored for 100,000 pairs | computed | measured |\n|---|---|---|")
    whole = PARAMETERS * BYTES["float32"] * 100_000
    print(f"| whole gradients, float32 | {whole / 1e12:.1f} TB | |")
    for dtype, size in BYTES.items():
        computed = f"{SKETCH_SIZE * size * 100_000 / 1e9:.1f} GB"
        print(f"| sketches, {dtype} | {computed} | {measured(scale, dtype)} |")
    ours = 1 / gradients["ours"]["pairs_per_s"]
    two_pass = 1 / gradients["datainf_two_pass"]["pairs_per_s"]
    score = scoring["curvatures"]["datainf"]["seconds"] / scoring["pairs"]
    print("\n| pairs | sketches, then DataInf | DataInf on whole gradients | ratio |")
    print("|---|---|---|---|")
    for pairs in SIZES:
        sketched, recomputed = pairs * (ours + score), pairs * two_pass
        ratio = f"{recomputed / sketched:.1f}"
        print(f"| {pairs:,} | {hours(sketched)} | {hours(recomputed)} | {ratio} |")


def measured(scale: dict[str, Any], dtype: str) -> str:
    """Size of the sketches of 100,000 pairs by the scale benchmark; "" if not run."""
    for run in scale["runs"]:
        if (run["store"], run["dtype"], run["pairs"]) == ("local", dtype, 100_000):
            return f"{run['stages']['sketch']['bytes'] / 1e9:.2f} GB"
    return ""


def hours(seconds: float) -> str:
    """The time in hours, or in minutes where it is less than one hour."""
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


if __name__ == "__main__":
    main()
