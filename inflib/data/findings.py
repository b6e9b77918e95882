"""The data report of a pair set to lines for a person, of what is unusual in it."""

from typing import Any

_WORTH = 0.01
"""Share of labels or comparisons below which some findings are not worth a line."""


def findings(pairs: str, report: dict[str, Any]) -> list[str]:
    """One line for each finding, the most consequential first.

    report: of the pair set, as it stands in pairs/report.json.
    """
    labels, comparisons = report["labels"], report["comparisons"]
    lines = []
    if leaked := report.get("also_in_train", 0):
        lines.append(f"{leaked} comparisons of {pairs} are training comparisons")
    if near := report.get("near_in_train", 0):
        lines.append(
            f"{_of(near, labels)} labels of {pairs} are on near-duplicates of training "
            "comparisons (pairs/near_duplicates.parquet)"
        )
    if prompts := report.get("prompts_near_train", 0):
        share = _of(prompts, labels)
        lines.append(f"{share} labels of {pairs} are on training prompts, or near them")
    if contradicted := report.get("contradicted", 0):
        several = report["several_labels"]
        lines.append(
            f"{several} comparisons of {pairs} have several labels; on {contradicted} "
            "of them labels contradict each other"
        )
    near = report.get("near_duplicates") or {"comparisons": 0}
    if near["comparisons"] > _WORTH * comparisons or near.get("opposite"):
        lines.append(
            f"{_of(near['comparisons'], comparisons)} comparisons of {pairs} are "
            f"near-duplicates of others, in {near['groups']} groups, "
            f"{near['opposite']} of them with opposite labels "
            "(pairs/near_duplicates.parquet)"
        )
    if same := report.get("same_tokens", 0):
        lines.append(
            f"{_of(same, comparisons)} comparisons of {pairs} have the same tokens as "
            "another one: prompts cut to prepare.max_length, or texts that differ in "
            "characters the tokenizer drops"
        )
    if cut := report["prompts_cut"]:
        share = f"{_of(cut, labels)} labels of {pairs} have a prompt that was cut"
        lines.append(f"{share} to prepare.max_length")
    if too_long := report.get("too_long"):
        count = too_long["labels"]
        lines.append(
            f"{_of(count, count + labels)} labels of {pairs} are left out, since their "
            "responses alone are longer than prepare.max_length, so what is left is of "
            f"short responses; {too_long['length_for_95%']:,} tokens would keep 95%"
        )
    lengths = report.get("length_quantiles")
    if lengths and labels:
        lines.append(
            f"tokens of {pairs}: half of the labels have up to {lengths['median']:,}, "
            f"95% up to {lengths['95%']:,}, the longest {lengths['longest']:,}"
        )
    longer = report["share_longer_chosen"]
    if longer is not None and abs(longer - 0.5) > 0.1:
        lines.append(f"the longer response is chosen in {longer:.0%} of {pairs}")
    for column, counts in report.get("labels_by_group", {}).items():
        lines.append(
            f"{pairs}: {counts['groups']:,} {column}s with {counts['fewest']:,} to "
            f"{counts['most']:,} labels each, median {counts['median']:g}; "
            f"{counts['few']:,} have too few to be judged (report.min_labels)"
        )
    return lines


def _of(part: int, whole: int) -> str:
    """A count with its share of the whole."""
    return f"{part:,} of {whole:,} ({part / max(1, whole):.1%})"
