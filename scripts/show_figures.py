"""Markdown table of the main figures of finished runs, from report/summary.json.

python scripts/show_figures.py runs/demo-seed-0 runs/demo-seed-1
"""

import json
import sys
from pathlib import Path


def rows(run: str) -> list[list[str]]:
    """One row per query set: accuracy and detection AUC."""
    summary = json.loads((Path(run) / "report" / "summary.json").read_text())
    seconds = sum(facts["seconds"] for facts in summary["stages"].values())
    found = []
    for query, facts in summary["queries"].items():
        detection = facts.get("detection", {})
        labelers = facts.get("labelers", [{"labeler": "-"}])
        found.append(
            [
                Path(run).name,
                query,
                str(summary["labels"]),
                f"{summary['accuracy']['train']:.3f}",
                f"{summary['accuracy'][query]:.3f}",
                *(
                    f"{detection[name]:.3f}" if name in detection else "-"
                    for name in AUC
                ),
                f"{labelers[0]['labeler']} (planted: {planted(summary)})",
                f"{seconds:.0f}",
            ]
        )
    return found


AUC = ("influence_datainf", "influence_identity", "low_margin", "length_difference")
HEADER = ["run", "query set", "labels", "accuracy, train", "accuracy, query set"]
HEADER += [f"AUC {name.replace('_', ' ')}" for name in AUC]
HEADER += ["most harmful labeler", "seconds in stages"]


def planted(summary: dict) -> str:
    return summary.get("demo", {}).get("planted_labeler", "-")


if __name__ == "__main__":
    print("| " + " | ".join(HEADER) + " |")
    print("|" + "---|" * len(HEADER))
    for run in sys.argv[1:]:
        for row in rows(run):
            print("| " + " | ".join(row) + " |")
