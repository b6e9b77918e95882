"""Markdown table of the main figures of finished runs, from report/summary.json.

python scripts/show_figures.py runs/demo-seed-0 runs/demo-seed-1
python scripts/show_figures.py --detectors runs/hh_helpful
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
        labelers = facts["groups"].get("labeler") or [{"name": "-"}]
        found.append(
            [
                Path(run).name,
                query,
                str(summary["labels"]),
                f"{summary['accuracy']['train']:.3f}",
                f"{summary['accuracy'][query]:.3f}",
                *(
                    f"{detection[name]['auc']:.3f}" if detection.get(name) else "-"
                    for name in AUC
                ),
                f"{labelers[0]['name']} (planted: {planted(summary)})",
                f"{seconds:.0f}",
            ]
        )
    return found


AUC = ("influence_gauss_newton", "influence_datainf", "influence_identity")
AUC += ("low_margin", "length_difference")
HEADER = ["run", "query set", "labels", "accuracy, train", "accuracy, query set"]
HEADER += [f"AUC {name.replace('_', ' ')}" for name in AUC]
HEADER += ["most harmful labeler", "seconds in stages"]


def planted(summary: dict) -> str:
    return summary.get("demo", {}).get("planted_labeler", "-")


def detectors(run: str) -> list[list[str]]:
    """One row per query set and detector: AUC, AP, TNR80; the damping's reliability."""
    summary = json.loads((Path(run) / "report" / "summary.json").read_text())
    found = []
    for query, facts in summary["queries"].items():
        reliable = {}
        for kind, damping in facts["damping"].items():
            reliable[kind] = f"chosen: {damping['damping']:g}"
            for row in damping["sweep"]:
                reliable[f"{kind}_{row['damping']:g}"] = f"{row['reliability']:.2f}"
        for name, figures in facts.get("detection", {}).items():
            known = figures or {}
            numbers = [known.get(figure) for figure in ("auc", "ap", "tnr80")]
            found.append(
                [
                    query,
                    name.replace("_", " "),
                    *("-" if n is None else f"{n:.3f}" for n in numbers),
                    reliable.get(name.removeprefix("influence_"), ""),
                ]
            )
    return found


def show(header: list[str], body: list[list[str]]) -> None:
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in body:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    runs = [word for word in sys.argv[1:] if word != "--detectors"]
    if "--detectors" in sys.argv:
        columns = [
            "query set",
            "detector",
            "AUC",
            "AP",
            "TNR80",
            "split-half reliability",
        ]
        for run in runs:
            show(columns, detectors(run))
    else:
        show(HEADER, [row for run in runs for row in rows(run)])
