"""Markdown tables of the main numbers of finished runs, from their JSON files.

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
    """One row per query set: accuracy and AUC of detectors of wrong labels."""
    summary = json.loads((Path(run) / "report" / "summary.json").read_text())
    seconds = sum(facts["seconds"] for facts in summary["stages"].values())
    rows = []
    for query, facts in summary["queries"].items():
        detection = facts.get("detection", {})
        labelers = facts["groups"].get("labeler") or [{"name": "-"}]
        rows.append(
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
    return rows


AUC = ("influence_gauss_newton", "influence_datainf", "influence_identity")
AUC += ("low_margin", "length_difference")
HEADER = ["run", "query set", "labels", "accuracy, train", "accuracy, query set"]
HEADER += [f"AUC {name.replace('_', ' ')}" for name in AUC]
HEADER += ["most harmful labeler", "seconds in stages"]


def planted(summary: dict) -> str:
    """The demo's biased labeler; "-" in runs of other data."""
    return summary.get("demo", {}).get("planted_labeler", "-")


def detectors(run: str) -> list[list[str]]:
    """One row per query set and detector: AUC, AP, TNR80; the damping's reliability."""
    summary = json.loads((Path(run) / "report" / "summary.json").read_text())
    rows = []
    for query, facts in summary["queries"].items():
        reliability = {}
        for kind, damping in facts["damping"].items():
            reliability[kind] = f"chosen: {damping['damping']:g}"
            for tried in damping["sweep"]:
                name = f"{kind}_{tried['damping']:g}"
                reliability[name] = f"{tried['reliability']:.2f}"
        for name, metrics in facts.get("detection", {}).items():
            values = [(metrics or {}).get(metric) for metric in ("auc", "ap", "tnr80")]
            rows.append(
                [
                    query,
                    name.replace("_", " "),
                    *("-" if value is None else f"{value:.3f}" for value in values),
                    reliability.get(name.removeprefix("influence_"), ""),
                ]
            )
    return rows


def show(header: list[str], body: list[list[str]]) -> None:
    """Print a Markdown table."""
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in body:
        print("| " + " | ".join(row) + " |")


def bias(run: str) -> list[list[str]]:
    """One row per detector of `inflib bias-study`: AUC, AP, TNR80 by query set."""
    folder = Path(run) / "bias"
    by_query = json.loads((folder / "metrics.json").read_text())
    rows = []
    for name in next(iter(by_query.values())):
        row = [name.replace("_", " ")]
        for by_detector in by_query.values():
            metrics = by_detector[name]
            low, high = metrics["auc_low"], metrics["auc_high"]
            row.append(f"{metrics['auc']:.3f} ({low:.3f} to {high:.3f})")
            row += [f"{metrics['ap']:.3f}", f"{metrics['tnr80']:.3f}"]
        rows.append(row)
    return rows


def ablations(run: str) -> list[list[str]]:
    """Mean and range of AUC by the size of the query set, and by recipe fields."""
    results = json.loads((Path(run) / "bias" / "ablations.json").read_text())
    aucs_by: dict[tuple[str, ...], list[float]] = {}
    for row in results["query_size"]:
        key = "query labels", str(row["size"]), row["query"], ""
        aucs_by.setdefault(key, []).append(row["auc"])
    for row in results["fields"]:
        key = row["field"], str(row["value"]), row["query"], row["detector"]
        aucs_by.setdefault(key, []).append(row["auc"])
    return [
        [
            *key,
            f"{sum(aucs) / len(aucs):.3f}",
            f"{min(aucs):.3f} to {max(aucs):.3f}",
        ]
        for key, aucs in aucs_by.items()
    ]


def oversight(run: str) -> list[list[str]]:
    """One row per method of `inflib oversight`: means over labelers, before and after,
    the latter with its 95% interval."""
    by_method = json.loads((Path(run) / "oversight" / "metrics.json").read_text())
    rows = []
    for method, metrics in by_method.items():
        row = [method.replace("_", " ")]
        for name in OUTCOMES:
            before = metrics.get(f"{name}_before")
            after = metrics.get(f"{name}_after")
            if before is None or after is None:
                row += ["-", "-"]
                continue
            low, high = (metrics[f"{name}_after_{end}"] for end in ("low", "high"))
            spread = "" if low is None else f" ({low:.3f} to {high:.3f})"
            row += [f"{before:.3f}", f"{after:.3f}{spread}"]
        rows.append(row)
    return rows


OUTCOMES = ("label_accuracy", "rm_accuracy", "cosine")


def varied(run: str) -> list[list[str]]:
    """Means over labelers and draws, a row for each value that `inflib oversight` tries
    of a recipe field."""
    path = Path(run) / "oversight" / "ablations.json"
    results_by: dict[tuple[str, float], list[dict]] = {}
    for result in json.loads(path.read_text()):
        key = result["field"], result["value"]
        results_by.setdefault(key, []).append(result)
    rows = []
    for (field, value), results in results_by.items():
        means = [
            f"{sum(result[name] for result in results) / len(results):.3f}"
            if name in results[0]
            else "-"
            for name in OUTCOMES
        ]
        rows.append([field, f"{value:g}", str(len(results)), *means])
    return rows


def main(kind: str | None, runs: list[str]) -> None:
    """Print the tables of one kind; None: accuracy and AUC of audits."""
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
        names = [name.replace("_", " ") for name in OUTCOMES]
        columns = [f"{name}, {when}" for name in names for when in ("before", "after")]
        for run in runs:
            show(["method", *columns], oversight(run))
            print()
            show(["varied", "value", "rows", *names], varied(run))
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
    options = parser.parse_args()
    main(options.kind, options.runs)
