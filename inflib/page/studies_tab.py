"""Results of studies that lie in a run to tables and charts of the page."""

from typing import Any

import numpy as np

from inflib.audited_run import AuditedRun
from inflib.data.output_columns import INFLUENCE, LENGTH_DIFFERENCE, MARGIN
from inflib.page.charts import Chart, detection_charts, interval_bars, points
from inflib.report.study_console import foretold
from inflib.report.tables import with_interval
from inflib.scores.influence_folder import truth_column

Shown = tuple[dict[str, Any], dict[str, Chart]]
"""(what templates/studies.html.j2 shows of a study, charts)."""


def studies_tab(run: AuditedRun) -> Shown:
    """{study: what is shown of it} of those that are there: detection (report.truth),
    decisions, bias, verify, oversight."""
    shown: dict[str, Any] = {}
    charts: dict[str, Chart] = {}
    tabs = {
        "decisions": _decisions,
        "verify": _verify,
        "bias": _bias,
        "oversight": _oversight,
    }
    found = [("detection", _detection(run))] if run.recipe.report.truth else []
    found += [(k, tab(run.studies[k])) for k, tab in tabs.items() if k in run.studies]
    for name, (study, more) in found:
        shown[name], charts = study, charts | more
    return shown, charts


def _detection(run: AuditedRun) -> Shown:
    """How well scores and trivial detectors find the labels known to be wrong."""
    wrong = truth_column(run.labels, run.recipe.report.truth, "report.truth")
    wrong = wrong[run.counted]
    table = run.labels.filter(run.counted)
    sets = []
    charts: dict[str, Chart] = {}
    for number, (query, facts) in enumerate(run.summary["queries"].items()):
        detectors: dict[str, np.ndarray] = {
            f"influence {kind}": table[INFLUENCE.of(kind, query)].to_numpy()
            for kind in run.recipe.score.curvatures
        }
        detectors["length difference"] = table[LENGTH_DIFFERENCE.name].to_numpy()
        detectors["low margin"] = -table[MARGIN.name].to_numpy()
        if run.fair_margins is not None:
            fair = np.nan_to_num(run.fair_margins[run.counted])
            detectors["low crossfit margin"] = -fair
        ids = None
        if wrong.any() and not wrong.all():
            ids = f"roc-{number}", f"precision-{number}"
            floats = {name: values.astype(float) for name, values in detectors.items()}
            charts |= dict(
                zip(ids, detection_charts(query, floats, wrong), strict=True)
            )
        rows = [
            {"detector": name.replace("_", " "), **metrics}
            for name, metrics in facts["detection"].items()
            if metrics is not None
        ]
        rows.sort(key=lambda row: -row["auc"])
        sets.append({"name": query, "rows": rows, "charts": ids or ()})
    column = run.recipe.report.truth
    return {"column": column, "wrong": int(wrong.sum()), "sets": sets}, charts


def _decisions(study: dict[str, Any]) -> Shown:
    """What retraining with decisions did, beside the same on random labels."""
    shown, charts = _verify(study, "decided")
    results = study["verify"]
    for tab, facts in zip(shown["sets"], results["sets"].values(), strict=True):
        tab["against_random"] = [
            (metric.replace("_", " "), with_interval(**difference))
            for metric, difference in facts["against_random"].items()
        ]
    return shown | {"file": results["file"], "counts": results["counts"]}, charts


def _verify(study: dict[str, Any], prefix: str = "arms") -> Shown:
    """What retraining did, beside what was predicted."""
    results = study["verify"]
    sets, charts = [], {}
    for number, (query, facts) in enumerate(results["sets"].items()):
        arms = facts["arms"]
        bars = [
            (arm["arm"], *(arm["change_of_loss"][k] for k in ("mean", "low", "high")))
            for arm in arms
        ]
        charts[f"{prefix}-{number}"] = interval_bars(
            f"change of the loss on {query} by retraining",
            "change of loss (< 0: better)",
            bars,
            "; ".join(f"{name}: {with_interval(*rest)}" for name, *rest in bars),
        )
        groups, agreement = {}, []
        for test, label in (("leave_group_out", "groups left out"), ("lds", "halves")):
            if facts[test]:
                groups[label] = facts[test]["predicted"], facts[test]["actual"]
                agreement.append((label, facts[test]["spearman"]))
        if groups:
            said = "; ".join(f"{label}: {r:.2f}" for label, r in agreement)
            charts[f"predicted-{number}"] = points(
                f"predicted and actual change of the loss on {query}",
                "predicted change",
                "actual change",
                groups,
                f"rank correlation of predicted and actual changes: {said}",
            )
        rows = [
            {
                "arm": arm["arm"],
                "labels": arm["labels"],
                "accuracy": with_interval(**arm["accuracy"]),
                "change_of_accuracy": with_interval(**arm["change_of_accuracy"]),
                "change_of_refined": with_interval(**arm["change_of_refined_loss"]),
                "change_of_loss": with_interval(**arm["change_of_loss"]),
                "predicted": with_interval(arm["predicted_change_of_loss"], None, None),
            }
            for arm in arms
        ]
        others = facts.get("left_out")
        ids = [f"{prefix}-{number}", *([f"predicted-{number}"] if groups else [])]
        sets.append(
            {
                "name": query,
                "rows": rows,
                "charts": ids,
                "agreement": agreement,
                "foretold": others and foretold(others),
            }
        )
    return {
        "query": results["query"],
        "share": results.get("share"),
        "sets": sets,
    }, charts


def _bias(study: dict[str, Any]) -> Shown:
    """How well detectors find labels that were planted wrong."""
    about, sets, charts = study["about"], [], {}
    for number, (query, detectors) in enumerate(study["metrics"].items()):
        best = sorted(detectors.items(), key=lambda item: -item[1]["auc"])
        rows = [
            {
                "detector": name.replace("_", " "),
                **{
                    metric: with_interval(
                        row[metric], row[f"{metric}_low"], row[f"{metric}_high"]
                    )
                    for metric in ("auc", "ap", "tnr80")
                },
                "p": row.get("below_reference", {}).get("p"),
            }
            for name, row in best
        ]
        charts[f"auc-{number}"] = interval_bars(
            f"finding planted labels, by scores on {query}",
            "area under the ROC curve",
            [
                (name.replace("_", " "), row["auc"], row["auc_low"], row["auc_high"])
                for name, row in best
            ],
            f"{rows[0]['detector']} finds them best, with {rows[0]['auc']}",
        )
        sets.append({"name": query, "rows": rows, "charts": [f"auc-{number}"]})
    reference = about["reference"].replace("_", " ")
    shown = {"labels": about["labels"], "wrong": about["planted_wrong"]}
    return shown | {"reference": reference, "sets": sets}, charts


def _oversight(study: dict[str, Any]) -> Shown:
    """How far each method brings labelers towards the expert."""
    rows = []
    for method, means in study["metrics"].items():
        row: dict[str, Any] = {"method": method.replace("_", " ")}
        for metric in ("label_accuracy", "rm_accuracy", "cosine"):
            for when in ("before", "after"):
                name = f"{metric}_{when}"
                value = means.get(name)
                ends = (means.get(f"{name}_low"), means.get(f"{name}_high"))
                row[name] = None if value is None else with_interval(value, *ends)
        rows.append(row)
    count = len(next(iter(study["metrics"].values()))["labelers"])
    return {"labelers": count, "rows": rows}, {}
