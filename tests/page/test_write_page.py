"""index.html: hostile texts are inert, verdicts stand before numbers, studies show."""

import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from inflib.audited_run import AuditedRun, studies_digest
from inflib.page.write_page import write_page
from inflib.report.verdict import headline
from inflib.storage.folder import Folder
from tests.support.page_files import chunks, data_names, payload
from tests.support.scored_run import HOSTILE, QUERIES, write_scored

ARM = {"mean": -0.25, "low": -0.5, "high": -0.125}
VERIFY = {
    "query": "expert",
    "share": 0.1,
    "sets": {
        "expert": {
            "arms": [
                {
                    "arm": "flip harmful",
                    "labels": 3,
                    "accuracy": ARM,
                    "change_of_accuracy": ARM,
                    "loss": ARM,
                    "refined_loss": ARM,
                    "change_of_refined_loss": ARM,
                    "change_of_loss": ARM,
                    "predicted_change_of_loss": -0.3,
                }
            ],
            "leave_group_out": {
                "spearman": 0.75,
                "predicted": [-1.0, 0.0, 2.0],
                "actual": [-2.0, 0.5, 3.0],
            },
            "lds": None,
        }
    },
}
BIAS_ROW = {
    f"{metric}{end}": value
    for metric in ("auc", "ap", "tnr80")
    for end, value in (("", 0.75), ("_low", 0.7), ("_high", 0.8))
}


class Elements(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_data(self, text):
        self.text.append(" ".join(text.split()))


def html(run):
    return (Path(run.recipe.run) / "report" / "index.html").read_text()


@pytest.fixture
def copy(scored, tmp_path):
    """A run of its own, with the files of the finished one."""
    shutil.copytree(scored.recipe.run, tmp_path / "run")
    recipe = scored.recipe.model_copy(update={"run": str(tmp_path / "run")})
    return AuditedRun(recipe, scored.summary)


def test_hostile_texts_are_text(scored):
    page = Elements(html(scored))
    assert page.tags.count("script") == html(scored).count("<script defer src=")
    assert not {"img", "iframe", "object", "base"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    text = " ".join(page.text)
    for shown in (HOSTILE[0], "{{ 7 * 7 }} {% raw %}"):  # labelers, as they are
        assert shown in text
    assert not set("\x1b\x07\x00\u202e\u2066\u2028") & set(html(scored))


def test_the_verdict_stands_before_any_number(scored):
    page = html(scored)
    said = Elements(page).text
    first = headline(scored.verdicts)
    assert first in said
    where = {text: i for i, text in reversed([*enumerate(said)])}
    assert where[first] < min(i for text, i in where.items() if "%" in text)
    for query in QUERIES:
        assert scored.verdicts[query]["status"] in said


def test_links_lead_to_the_groups_of_facts(scored):
    facts = payload(scored, "facts.js")[2]
    links = [v for k, v in Elements(html(scored)).attributes if k == "href"]
    groups = [link.split("/")[1:] for link in links if link.startswith("#group/")]
    assert groups
    for column, index in groups:
        assert facts["groups"][column][int(index)]["index"] == int(index)
    names = [group["name"] for group in facts["groups"]["labeler"]]
    listed = scored.summary["queries"][QUERIES[0]]["groups"]["labeler"]
    assert names == [row["name"] for row in listed] and HOSTILE[0] in names


def test_every_figure_has_its_chart(scored):
    charts = payload(scored, "facts.js")[2]["charts"]
    attributes = Elements(html(scored)).attributes
    figures = [value for name, value in attributes if name == "data-chart"]
    assert set(figures) == set(charts) and len(figures) == len(charts) >= 6
    for chart in charts.values():
        for series in chart["series"]:
            assert len(series["values"]) == len(chart["x"]["values"])
    roc = charts["roc-0"]["series"]
    for series in roc:
        assert series["values"] == sorted(series["values"])
        assert series["values"][-1] == 1.0


def test_neighbours_are_found_by_the_rank_of_their_label(scored):
    facts = payload(scored, "facts.js")[2]
    near, size = facts["near"], 100
    found = chunks(scored, "near")
    query_labels = [
        [row for chunk in chunks(scored, f"queries-{q}") for row in chunk]
        for q in range(len(QUERIES))
    ]
    best = min(near, key=lambda row: near[row])
    ranks = [
        scored.labels[f"rank_gauss_newton_{query}"][int(best)].as_py()
        for query in QUERIES
    ]
    assert min(ranks) == 1
    assert sum(len(chunk) for chunk in found) == len(near) > size
    for row, place in near.items():
        of = found[place // size][row]
        cosines = [cosine for _, cosine in of["nearest"]]
        assert len(cosines) == 8 and cosines == sorted(cosines, reverse=True)
        for q, query_row, pair_id, product, cosine in of["queries"]:
            assert query_labels[q][query_row][3] == pair_id
            assert product > 0 > cosine


def test_files_of_an_earlier_page_go(copy):
    data = Path(copy.recipe.run) / "report" / "data"
    (data / "texts-77.js").write_text("inflibData")
    names = set(data_names(copy))
    write_page(copy)
    assert set(data_names(copy)) == names - {"texts-77.js"}


def test_the_same_run_makes_the_same_page(copy, scored):
    write_page(copy)
    ours, theirs = (
        {
            path.relative_to(root): path.read_bytes()
            for path in sorted(root.rglob("*.js"))
            if path.name != "facts.js"  # it names the run's folder
        }
        for root in (Path(run.recipe.run) / "report" for run in (copy, scored))
    )
    assert ours == theirs


def test_studies_appear_when_they_are_there(copy):
    assert "Retraining" not in html(copy)
    run = Folder(copy.recipe.run)
    before = studies_digest(run)
    (run / "verify").write_json("verify.json", VERIFY)
    assert studies_digest(run) == before  # it is not through
    (run / "verify").write_json("done.json", {"inputs": "1"})
    about = {"labels": 9, "planted_wrong": 2, "reference": "influence_gauss_newton"}
    (run / "bias").write_json("about.json", about)
    metrics = {"expert": {"influence_gauss_newton": BIAS_ROW, "entropy": BIAS_ROW}}
    (run / "bias").write_json("metrics.json", metrics)
    (run / "bias").write_json("done.json", {"inputs": "2"})
    row = {"label_accuracy_before": 0.5, "labelers": [{}, {}]}
    (run / "oversight").write_json("metrics.json", {"influence": row})
    (run / "oversight").write_json("done.json", {})
    assert studies_digest(run) != before
    run_with_studies = AuditedRun(copy.recipe, copy.summary)
    write_page(run_with_studies)
    text = " ".join(Elements(html(copy)).text)
    assert "flip harmful" in text and "-0.25 (-0.50 to -0.12)" in text
    assert "0.750 (0.700 to 0.800)" in text and "Oversight" in text
    charts = payload(copy, "facts.js")[2]["charts"]
    arms = charts["arms-0"]["series"][0]
    assert (arms["values"], arms["low"], arms["high"]) == ([-0.25], [-0.5], [-0.125])
    predicted = charts["predicted-0"]
    assert predicted["x"]["values"] == [-1.0, 0.0, 2.0] and predicted["diagonal"]


def test_one_without_labelers_or_known_errors_has_a_page_too(tmp_path):
    changes = {"report": {"groups": ["nobody"], "truth": None}}
    run = write_scored(tmp_path / "run", changes)
    write_page(run)
    text = " ".join(Elements(html(run)).text)
    assert "No column says who gave a label" in text
    assert 'id="studies"' not in html(run)
    assert payload(run, "facts.js")[2]["groups"] == {}
