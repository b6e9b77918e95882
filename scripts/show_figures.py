"""Markdown table of the main figures of finished runs, from report/summary.json.

python scripts/show_figures.py runs/demo-seed-0 runs/demo-seed-1
python scripts/show_figures.py --detectors runs/hh_helpful
python scripts/show_figures.py --bias runs/bias_demo
python scripts/show_figures.py --ablations runs/bias_demo
python scripts/show_figures.py --oversight runs/oversight_demo
"""

import argparse
import json
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


def bias(run: str) -> list[list[str]]:
    """One row per detector of `inflib bias-study`, columns by query set."""
    folder = Path(run) / "bias"
    found = json.loads((folder / "metrics.json").read_text())
    rows = []
    for name in next(iter(found.values())):
        row = [name.replace("_", " ")]
        for figures in found.values():
            own = figures[name]
            row.append(
                f"{own['auc']:.3f} ({own['auc_low']:.3f} to {own['auc_high']:.3f})"
            )
            row += [f"{own['ap']:.3f}", f"{own['tnr80']:.3f}"]
        rows.append(row)
    return rows


def ablations(run: str) -> list[list[str]]:
    """Mean AUC by the size of the query set, and by values of recipe fields."""
    found = json.loads((Path(run) / "bias" / "ablations.json").read_text())
    by: dict[tuple[str, ...], list[float]] = {}
    for row in found["query_size"]:
        by.setdefault(("query labels", str(row["size"]), row["query"], ""), []).append(
            row["auc"]
        )
    for row in found["fields"]:
        key = row["field"], str(row["value"]), row["query"], row["detector"]
        by.setdefault(key, []).append(row["auc"])
    return [
        [*key, f"{sum(v) / len(v):.3f}", f"{min(v):.3f} to {max(v):.3f}"]
        for key, v in by.items()
    ]


def oversight(run: str) -> list[list[str]]:
    """One row per method of `inflib oversight`, means over labelers (95%)."""
    found = json.loads((Path(run) / "oversight" / "metrics.json").read_text())
    rows = []
    for method, figures in found.items():
        row = [method.replace("_", " ")]
        for figure in OUTCOMES:
            before = figures.get(f"{figure}_before")
            after = figures.get(f"{figure}_after")
            if before is None or after is None:
                row += ["-", "-"]
                continue
            low, high = (figures[f"{figure}_after_{end}"] for end in ("low", "high"))
            spread = "" if low is None else f" ({low:.3f} to {high:.3f})"
            row += [f"{before:.3f}", f"{after:.3f}{spread}"]
        rows.append(row)
    return rows


OUTCOMES = ("label_accuracy", "rm_accuracy", "cosine")


def varied(run: str) -> list[list[str]]:
    """Means over labelers and draws, by what `inflib oversight` varies."""
    path = Path(run) / "oversight" / "ablations.json"
    by: dict[tuple[str, float], list[dict]] = {}
    for row in json.loads(path.read_text()):
        by.setdefault((row["field"], row["value"]), []).append(row)
    found = []
    for (field, value), own in by.items():
        means = [
            f"{sum(r[name] for r in own) / len(own):.3f}" if name in own[0] else "-"
            for name in OUTCOMES
        ]
        found.append([field, f"{value:g}", str(len(own)), *means])
    return found


def main(kind: str | None, runs: list[str]) -> None:
    if kind == "detectors":
        columns = ["query set", "detector", "AUC", "AP", "TNR80"]
        for run in runs:
            show([*columns, "split-half reliability"], detectors(run))
    elif kind == "bias":
        for run in runs:
            about = json.loads((Path(run) / "bias" / "about.json").read_text())
            print(
                f"\n{Path(run).name}: {about['planted_wrong']} of {about['labels']}",
                end="",
            )
            print(f" labels planted wrong, accuracy {about['accuracy']}\n")
            header = ["detector"]
            for query in about["accuracy"]:
                if query != "train":
                    header += [f"{query}: AUC", "AP", "TNR80"]
            show(header, bias(run))
    elif kind == "oversight":
        said = [name.replace("_", " ") for name in OUTCOMES]
        ends = [f"{name}, {when}" for name in said for when in ("before", "after")]
        for run in runs:
            show(["method", *ends], oversight(run))
            print()
            show(["varied", "value", "rows", *said], varied(run))
    elif kind == "ablations":
        header = ["field", "value", "query set", "detector", "AUC", "range"]
        for run in runs:
            show(header, ablations(run))
    else:
        show(HEADER, [row for run in runs for row in rows(run)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_mutually_exclusive_group()
    for name in ("detectors", "bias", "ablations", "oversight"):
        kinds.add_argument(f"--{name}", dest="kind", action="store_const", const=name)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run")
    given = parser.parse_args()
    main(given.kind, given.runs)
