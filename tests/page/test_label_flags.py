"""Why labels are flagged, by slow definitions."""

import json

import numpy as np

from inflib.audited_run import AuditedRun
from inflib.page.label_flags import bits, label_flags
from inflib.storage.folder import Folder
from tests.support.page_files import columns


def raised(run):
    """{label of a flag: what it holds for}, of the written page."""
    column, values = next(
        (c, v) for c, v in columns(run).values() if c["kind"] == "flags"
    )
    flags = {f["label"]: (values >> f["bit"] & 1).astype(bool) for f in column["flags"]}
    for flag in column["flags"]:
        assert flag["labels"] == flags[flag["label"]].sum()
    return flags


def test_flags_are_what_their_rules_say(scored):
    rows, flags = scored.labels.to_pylist(), raised(scored)
    margins = [row["margin"] for row in rows if row["status"] == "ok"]
    low = min(0, np.quantile(margins, 0.05))
    longest = np.quantile([abs(row["length_difference"]) for row in rows], 0.95)
    votes: dict[str, list[int]] = {}
    for row in rows:
        votes.setdefault(row["comparison_id"], []).append(row["sign"])
    for i, row in enumerate(rows):
        others = sum(votes[row["comparison_id"]]) - row["sign"]
        assert flags["others disagree"][i] == (others * row["sign"] < 0)
        is_low = row["status"] == "ok" and row["margin"] < low
        assert flags["low margin"][i] == is_low
        is_long = row["length_difference"] > longest
        assert flags["much longer chosen"][i] == is_long
    for name, of_flag in flags.items():
        if not name.startswith("surely"):
            assert 0 < of_flag.sum() < len(rows), name


def test_significance_is_the_reports_own(scored):
    flags = raised(scored)
    for query in scored.queries:
        expected = scored.surely_harmful(query)
        found = flags[f"surely harmful: {query}"]
        np.testing.assert_array_equal(found, expected)
        assert expected.sum() == scored.summary["queries"][query]["surely_harmful"]
    assert flags["surely harmful: concise"].any()


def test_a_judge_that_disagrees_is_a_reason(scored, tmp_path):
    judges = Folder(str(tmp_path)) / "judge"
    (judges / "key" / "answers").write("x.json", b"{}")
    ids = scored.labels["comparison_id"].to_pylist()
    first = dict.fromkeys(ids[:60])
    lines = [
        {"comparison_id": name, "judge": "g", "choice": ["a", "b", "tie"][i % 3]}
        for i, name in enumerate(first)
    ]
    write = (judges / "g").write
    write("choices.jsonl", "".join(json.dumps(x) + "\n" for x in lines).encode())
    lines = [
        {"comparison_id": name, "judge": "r", "a": i % 4, "b": 2.0}
        for i, name in enumerate(first)
    ]
    write = (judges / "r").write
    write("ratings.jsonl", "".join(json.dumps(x) + "\n" for x in lines).encode())
    for name in "gr":
        (judges / name).write_json("done.json", {})
    run = AuditedRun(scored.recipe, scored.summary)
    run.folder = Folder(str(tmp_path))
    signs = dict(zip(first, [[1, -1, 0][i % 3] for i in range(60)], strict=False))
    assert run.judges["g"] == signs
    assert [run.judges["r"][name] for name in first][:4] == [-1, -1, 0, 1]
    run.folder = scored.folder
    flags = {flag.label: flag.raised for flag in label_flags(run)}
    for i, row in enumerate(run.labels.to_pylist()):
        disagrees = signs.get(row["comparison_id"], 0) * row["sign"] < 0
        assert flags["judge disagrees: g"][i] == disagrees
    total = bits(label_flags(run), len(ids))
    assert (total >= 2 ** (len(flags) - 1)).sum() == flags["judge disagrees: r"].sum()
