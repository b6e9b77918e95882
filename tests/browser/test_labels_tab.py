"""The Labels tab: sort, filter, brush, search, look at texts."""

import re

import numpy as np
import pytest

from inflib.data.output_columns import INFLUENCE
from tests.support.waiting import until

INFLUENCES = INFLUENCE.of("gauss_newton", "expert")


def count(page):
    """How many labels the tab says it shows."""
    return int(page.locator("#match-count").inner_text().split()[0].replace(",", ""))


def shown(page, name):
    """Texts of a column's cells, from the top, as far as they are on the screen."""
    headers = page.locator("#grid .slick-header-column")
    ids = [
        headers.nth(i).get_attribute("data-id") or "" for i in range(headers.count())
    ]
    place = next(i for i, text in enumerate(ids) if text == name)
    rows = page.locator("#grid .slick-row")
    cells = [
        (row.bounding_box()["y"], row.locator(f".slick-cell.l{place}").inner_text())
        for row in rows.all()
    ]
    return [text for _, text in sorted(cells)]


def column_filter(page, name):
    """The input above a column."""
    return page.get_by_role("searchbox", name=f"filter by {name}", exact=True)


def wait_for_count(page, number):
    until(lambda: count(page) == number)


def test_the_most_harmful_label_comes_first_and_a_header_sorts(labels, hostile):
    table = hostile.labels
    assert count(labels) == len(table)
    ids = np.array(table["pair_id"].to_pylist())
    scores = table[INFLUENCES].to_numpy(zero_copy_only=False)
    order = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")
    assert shown(labels, "pair_id")[:5] == ids[order[:5]].tolist()
    header = labels.locator(".slick-header-column[data-id=margin]")
    header.click()
    margins = table["margin"].to_numpy(zero_copy_only=False)
    rising = np.argsort(np.nan_to_num(margins, nan=np.inf), kind="stable")
    labels.wait_for_timeout(200)
    assert shown(labels, "pair_id")[:3] == ids[rising[:3]].tolist()
    assert header.get_attribute("aria-sort") == "ascending"
    header.click()
    labels.wait_for_timeout(200)
    falling = np.argsort(-np.nan_to_num(margins, nan=-np.inf), kind="stable")
    assert shown(labels, "pair_id")[:3] == ids[falling[:3]].tolist()


def test_columns_filter_by_numbers_categories_and_texts(labels, hostile):
    table = hostile.labels
    margins = table["margin"].to_numpy(zero_copy_only=False).astype(np.float32)
    column_filter(labels, "margin").fill("0.5..1.5")
    between = (margins >= 0.5) & (margins <= 1.5)
    wait_for_count(labels, between.sum())
    labelers = np.array(table["labeler"].to_pylist(), dtype=object)
    column_filter(labels, "labeler").fill("=hyperlink")
    chosen = np.array([str(x or "").startswith("=HYPER") for x in labelers])
    wait_for_count(labels, (between & chosen).sum())
    column_filter(labels, "margin").fill("")
    wait_for_count(labels, chosen.sum())
    column_filter(labels, "labeler").fill("-")
    wait_for_count(labels, sum(x is None for x in labelers))
    labels.locator("#clear-filters").click()
    wait_for_count(labels, len(table))


def test_chips_show_the_labels_that_are_flagged(labels, hostile):
    labels.locator("#query-set").select_option("concise")
    chip = labels.locator(".chip", has_text="surely harmful").last
    sure = hostile.surely_harmful("concise")
    text = chip.inner_text()
    assert int(text.split()[-1].replace(",", "")) == sure.sum() > 0
    chip.click()
    wait_for_count(labels, sure.sum())
    assert chip.get_attribute("aria-pressed") == "true"


def test_dragging_over_a_histogram_filters_the_grid(labels, hostile):
    plot = labels.locator(".histogram .u-over").nth(1)  # the margin's
    box = plot.bounding_box()
    y = box["y"] + box["height"] / 2
    labels.mouse.move(box["x"] + 0.25 * box["width"], y)
    labels.mouse.down()
    labels.mouse.move(box["x"] + 0.5 * box["width"], y, steps=5)
    labels.mouse.up()
    figure = labels.locator(".histogram").nth(1)
    low, high = (float(x.input_value()) for x in figure.locator("input").all())
    margins = hostile.labels["margin"].to_numpy(zero_copy_only=False)
    margins = margins.astype(np.float32)
    expected = ((margins >= low) & (margins <= high)).sum()
    assert 0 < expected < len(margins)
    wait_for_count(labels, expected)
    # The other histograms show what is left: the brush is linked.
    labels.locator("#clear-filters").click()
    wait_for_count(labels, len(margins))
    assert figure.locator("input").first.input_value() == ""


@pytest.mark.parametrize("words", ["<SCRIPT>", "你好", "gnp.exe", "{{ 7 * 7 }}"])
def test_full_text_search_finds_every_label_with_the_words(labels, hostile, words):
    texts = [row for table in hostile.comparisons() for row in table.to_pylist()]
    wanted = words.lower()
    has = [any(wanted in str(x).lower() for x in text.values()) for text in texts]
    named = [wanted in x.lower() for x in hostile.labels["pair_id"].to_pylist()]
    expected = np.array(has)[hostile.comparison_numbers] | np.array(named)
    labels.locator("#search").fill(words)
    wait_for_count(labels, expected.sum())
    assert 0 < expected.sum() < len(expected)


def test_the_last_row_can_be_scrolled_to(labels, hostile):
    viewport = labels.locator("#grid .slick-viewport").first
    viewport.evaluate("element => { element.scrollTop = element.scrollHeight }")
    labels.wait_for_timeout(300)
    scores = hostile.labels[INFLUENCES].to_pylist()
    missing = [
        pair_id
        for pair_id, score in zip(
            hostile.labels["pair_id"].to_pylist(), scores, strict=True
        )
        if score is None
    ]
    assert shown(labels, "pair_id")[-1] in missing  # labels without a score come last


def test_details_hold_texts_with_their_difference_and_all_scores(labels, hostile):
    labels.keyboard.press("j")
    pair_id = shown(labels, "pair_id")[0]
    row = hostile.labels["pair_id"].to_pylist().index(pair_id)
    label = hostile.labels.slice(row, 1).to_pylist()[0]
    detail = labels.locator("#detail")
    detail.locator("text=chosen").first.wait_for()
    assert pair_id[:20] in detail.inner_text()
    detail.locator("ins, del").first.wait_for()
    text = detail.inner_text()
    for kind in ("gauss newton", "datainf", "identity"):
        assert kind in text
    assert f"{label['margin']:.3g}"[:5] in text
    cell = detail.locator("tr", has_text="gauss newton (reported)").first
    (found,) = re.findall(r"(-?[\d.]+) ± ([\d.]+)", cell.inner_text())
    value, half = map(float, found)
    factor = hostile.errors_in_95("expert")
    assert factor > 2  # Student's t over ten query groups, not 1.96
    assert value == pytest.approx(label[INFLUENCES], rel=0.01)
    error = label[INFLUENCES.replace("influence", "error")]
    assert half == pytest.approx(factor * error, rel=0.01)
    for heading in ("Nearest training labels", "Who else judged this comparison"):
        assert heading in text
