"""Scored labels to what all query sets and fair margins say of each group together.

n  labels that count     q  query sets
"""

from typing import Any

import numpy as np
import pyarrow as pa

from inflib.config.score import ReportConfig
from inflib.data.output_columns import CROSSFIT_MARGIN, INFLUENCE, TARGET
from inflib.numerics.labeler_model import chosen_odds, error_rates
from inflib.numerics.labeler_preferences import weights_given_quality
from inflib.numerics.pooled_harm import pooled_tests, suspicion
from inflib.numerics.uncertainty import discover
from inflib.report.labelers import group_columns
from inflib.shapes.pairs import prompt_of


def without_fair_margins(why: str) -> str:
    """What the report says where there are none; why: they are not there."""
    return (
        "Labelers have no error rates, and what they prefer is not told apart from "
        f"quality: {why}; `inflib crossfit` computes them"
    )


def audit_quality(
    config: ReportConfig, table: pa.Table, scores: list[str], trusted: np.ndarray
) -> dict[str, dict[str, dict[str, Any]]]:
    """{grouping column: {group of at least report.min_labels labels: facts}}.

    table: influence.parquet, with the column crossfit_margin where the run has fair
    margins; scores: of the query sets that can be acted on, e.g. gauss_newton_expert;
    trusted: margins of query labels by the same models, [0] without fair margins.

    Facts: p_value, of no more harm than the others', all query sets and fair margins
    together (numerics.pooled_harm); found: discovered at report.fdr. Where the run has
    fair margins, error_rate, error_low and error_high (numerics.labeler_model), and
    given_quality, {trait: {weight, low, high, typical, p_value, unusual}} of `longer`
    and of `first` (report.position), in log-odds (numerics.labeler_preferences); else
    None. Ties say nothing of either; a label whose rejected response is the better one
    by its target counts as its opposite. No facts of a single group.
    """
    columns = {}
    for column, names in group_columns(config, table).items():
        group_names, groups = np.unique(np.array(names), return_inverse=True)
        columns[column] = (
            _of_groups(config, table, scores, trusted, group_names, groups)
            if len(group_names) > 1
            else {}
        )
    return columns


def _of_groups(
    config: ReportConfig,
    table: pa.Table,
    scores: list[str],
    trusted: np.ndarray,
    group_names: np.ndarray,
    groups: np.ndarray,
) -> dict[str, dict[str, Any]]:
    ids = table["comparison_id"].to_pylist()
    _, prompts = np.unique([prompt_of(x) for x in ids], return_inverse=True)
    influences = np.array([table[INFLUENCE.of(x)].to_numpy() for x in scores], float)
    influences = influences.reshape(len(scores), len(table)).T
    counts = np.bincount(groups)
    listed = np.flatnonzero(counts >= config.min_labels)
    rates = weights = None
    odds, typical, traits = None, 0.0, _traits(config, table)
    if CROSSFIT_MARGIN.name in table.column_names:
        side = _side(table)
        margins = side * np.nan_to_num(table[CROSSFIT_MARGIN.name].to_numpy())
        _, comparisons = np.unique(ids, return_inverse=True)
        signs = side * table["sign"].to_numpy()
        rates = error_rates(groups, comparisons, signs, margins, prompts, trusted)
        odds, typical = rates.odds, rates.typical
        values = np.column_stack([chosen_odds(rates), *traits.values()])
        weights = weights_given_quality(groups, prompts, values, 1)
        unusual = np.zeros(weights.p_value.shape, dtype=bool)
        if len(listed):
            for k in range(1, values.shape[1]):
                unusual[listed, k] = discover(weights.p_value[listed, k], config.fdr)
    suspicions = suspicion(influences, odds, typical)
    _, p_values = pooled_tests(groups, suspicions, prompts)
    found = np.zeros(len(group_names), dtype=bool)
    if len(listed):
        found[listed] = discover(p_values[listed], config.fdr)
    return {
        str(group_names[i]): {
            "p_value": float(p_values[i]),
            "found": bool(found[i]),
            "error_rate": None if rates is None else float(rates.rate[i]),
            "error_low": None if rates is None else float(rates.low[i]),
            "error_high": None if rates is None else float(rates.high[i]),
            "given_quality": None
            if weights is None
            else {
                trait: {
                    "weight": float(weights.weight[i, k]),
                    "low": float(weights.low[i, k]),
                    "high": float(weights.high[i, k]),
                    "typical": float(weights.typical[k]),
                    "p_value": float(weights.p_value[i, k]),
                    "unusual": bool(unusual[i, k]),
                }
                for k, trait in enumerate(traits, start=1)
            },
        }
        for i in listed
    }


def _traits(config: ReportConfig, table: pa.Table) -> dict[str, np.ndarray]:
    """{trait: [n] of the chosen response minus the rejected one, 0 where unknown}."""
    length, side = table["length_difference"].to_numpy().astype(float), _side(table)
    traits = {"longer": side * np.sign(length) * np.log1p(np.abs(length))}
    if config.position is not None:
        first = table[config.position].cast(pa.float64())
        values = 2 * first.to_numpy(zero_copy_only=False) - 1
        traits["first"] = side * np.nan_to_num(values)
    return traits


def _side(table: pa.Table) -> np.ndarray:
    """[n] 1 where the chosen response is the better one by the label's target, -1 where
    the rejected one is, 0 for ties."""
    return np.sign(table[TARGET.name].to_numpy() - 0.5)
