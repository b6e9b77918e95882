"""What the report says of labelers with fair margins, and without."""

import numpy as np
import pyarrow as pa
import pytest

from inflib.config.score import ReportConfig
from inflib.data.output_columns import CROSSFIT_MARGIN, INFLUENCE
from inflib.report.labeler_quality import audit_quality
from tests.numerics.test_labeler_model import simulated

SCORE = "gauss_newton_expert"


def scored(fair):
    """10 labelers of 200 labels; the first errs on 45%, the second chooses what was
    shown first on half of its labels, one more has three labels."""
    rng = np.random.default_rng(0)
    rates = np.array([0.45, *np.full(9, 0.05), 0.0])
    data, wrong = simulated(rng, np.array([200] * 10 + [3]), rates)
    labelers, comparisons, signs, margins, _, _ = data
    first = rng.random(len(labelers)) < 0.5
    first |= (labelers == 1) & (rng.random(len(labelers)) < 0.5)
    noise = rng.normal(size=len(labelers))
    columns = {
        "comparison_id": [f"{i:08x}" * 4 for i in comparisons],
        "labeler": [f"l{i}" for i in labelers],
        "sign": pa.array(signs.astype(int), pa.int8()),
        "target": np.ones(len(labelers)),
        "length_difference": rng.integers(-20, 20, len(labelers)),
        "shown_first": first,
        INFLUENCE.of(SCORE): np.where(wrong, 1.0, -1.0) + noise,
    }
    if fair:
        columns[CROSSFIT_MARGIN.name] = 2 * margins
    return pa.table(columns)


@pytest.mark.parametrize("fair", [True, False])
def test_who_errs_is_found_and_rates_need_fair_margins(fair):
    config = ReportConfig(position="shown_first")
    facts = audit_quality(config, scored(fair), [SCORE], np.zeros(0))["labeler"]
    assert set(facts) == {f"l{i}" for i in range(10)}  # l10 has too few labels
    assert [name for name in facts if facts[name]["found"]] == ["l0"]
    if not fair:
        assert facts["l0"]["error_rate"] is facts["l0"]["given_quality"] is None
        return
    assert facts["l0"]["error_low"] > 0.15 > facts["l5"]["error_rate"]
    unusual = {
        (name, trait)
        for name, of_group in facts.items()
        for trait, test in of_group["given_quality"].items()
        if test["unusual"]
    }
    assert unusual == {("l1", "first")}


def test_without_scores_that_can_be_acted_on_nobody_is_found():
    facts = audit_quality(ReportConfig(), scored(False), [], np.zeros(0))["labeler"]
    assert not any(of_group["found"] for of_group in facts.values())
    one = scored(True).set_column(1, "labeler", pa.array(["a"] * 2003))
    assert audit_quality(ReportConfig(), one, [SCORE], np.zeros(0)) == {"labeler": {}}
