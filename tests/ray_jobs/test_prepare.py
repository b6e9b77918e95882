"""prepare on a real Ray: formats, bad rows, and what is written."""

import itertools
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from inflib.data.pairs_folder import PairsFolder
from inflib.storage.folder import Folder
from ray_jobs.prepare import prepare
from ray_jobs.shared.session import run_stages
from tests.support.audits import tiny_recipe
from tests.support.files import read_jsonl, write_jsonl

GOOD = {"prompt": "Q ", "chosen": "Weigh the flour.", "rejected": "Oil the chain."}
LINES = [
    json.dumps(GOOD | {"pair_id": "a", "labeler": "ana", "score": 1}),
    '{"prompt": "broken',
    json.dumps(GOOD | {"pair_id": "a"}),  # duplicate pair_id
    json.dumps({"prompt": "Q ", "chosen": "x"}),  # missing field
    json.dumps(GOOD | {"rejected": "  "}),
    json.dumps(GOOD | {"chosen": 7}),
    json.dumps(GOOD | {"rejected": GOOD["chosen"]}),  # identical
    json.dumps(GOOD | {"pair_id": "long", "chosen": "Weigh the flour. " * 80}),
    # the same comparison, the other way round, by another labeler
    json.dumps(
        {
            "prompt": "Q ",
            "chosen": GOOD["rejected"],
            "rejected": GOOD["chosen"],
            "pair_id": "b",
            "labeler": "ben",
            "score": 2.5,
        }
    ),
]
EXPECTED = {
    2: "broken JSON",
    3: "duplicate pair_id",
    4: "no field 'rejected'",
    5: "empty response in 'rejected'",
    6: "'chosen' is int, not text",
    7: "identical responses",
    8: "more than max_length 200",
}


def first_labels(run):
    """Table of the labels in the first training shard."""
    folder = PairsFolder(Folder(run) / "pairs" / "train")
    return folder.labels(folder.plan()[0])


def train_table(run, name):
    return pq.read_table(Path(run) / "pairs" / "train" / name)


@pytest.fixture
def bad_recipe(tmp_path, llama_folder, ray_session):
    """Makes recipes, with some fields changed, whose training file is LINES."""
    (tmp_path / "train.jsonl").write_text("\n".join(LINES) + "\n")
    write_jsonl(tmp_path / "expert.jsonl", [GOOD])

    def make(**changes):
        return tiny_recipe(tmp_path / "run", tmp_path, llama_folder, **changes)

    return make


def test_bad_rows_are_listed_by_file_and_row_and_the_rest_goes_on(
    bad_recipe, tmp_path, capsys
):
    recipe = bad_recipe(
        prepare__queries={"q": {"path": str(tmp_path / "expert.jsonl")}},
        prepare__shared_with_train="keep",
    )
    run_stages(recipe, [prepare])
    excluded = train_table(recipe.run, "excluded.parquet").to_pylist()
    assert [r["row"] for r in excluded] == sorted(EXPECTED)
    for row in excluded:
        assert EXPECTED[row["row"]] in row["problem"]
        assert row["file"] == recipe.prepare.train.path
    assert "train.jsonl row 2: broken JSON" in capsys.readouterr().out
    comparisons = train_table(recipe.run, "comparisons-00000.parquet")
    labels = first_labels(recipe.run).to_pylist()
    assert len(comparisons) == 1
    assert {r["pair_id"]: (r["sign"], r["labeler"], r["score"]) for r in labels} == {
        "a": (-1, "ana", 1.0),
        "b": (1, "ben", 2.5),
    }
    report = json.loads((Path(recipe.run) / "pairs" / "report.json").read_text())
    assert report["train"]["rows_read"] == 9
    assert report["train"]["labels"] == 2
    assert report["q"]["also_in_train"] == 1
    assert sum(report["train"]["excluded"].values()) == 7


def test_a_query_set_that_is_training_data_is_refused(bad_recipe):
    with pytest.raises(ValueError, match="no usable pair in expert"):
        run_stages(bad_recipe(), [prepare])


def test_on_bad_rows_stop_lists_them_and_stops(bad_recipe):
    recipe = bad_recipe(prepare__on_bad_rows="stop")
    with pytest.raises(ValueError, match=r"train\.jsonl row 2: broken JSON"):
        run_stages(recipe, [prepare])
    assert len(train_table(recipe.run, "excluded.parquet")) == 7
    assert not (Path(recipe.run) / "pairs" / "done.json").exists()


def test_a_query_set_that_selects_nothing_is_named(bad_recipe, tmp_path):
    equally_long = {"prompt": "Q ", "chosen": "ab", "rejected": "ba"}
    write_jsonl(tmp_path / "expert.jsonl", [equally_long])
    with pytest.raises(ValueError, match="no usable pair in concise"):
        run_stages(bad_recipe(), [prepare])


def test_max_length_beyond_the_models_positions_is_refused(bad_recipe):
    with pytest.raises(ValueError, match="more than the 256 positions"):
        run_stages(bad_recipe(prepare__max_length=300), [prepare])


def test_formats_agree_and_parts_of_the_prompts_are_disjoint(
    tmp_path, llama_folder, data, ray_session
):
    rows = read_jsonl(data / "train.jsonl")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "train.parquet")
    chats = [
        row
        | {
            "prompt": [{"role": "user", "content": row["prompt"]}],
            "chosen": [{"role": "assistant", "content": row["chosen"]}],
            "rejected": [{"role": "assistant", "content": row["rejected"]}],
        }
        for row in rows
    ]
    write_jsonl(tmp_path / "chat.jsonl", chats)
    recipe = tiny_recipe(
        tmp_path / "run",
        data,
        llama_folder,
        prepare__queries={
            "parquet": {"path": str(tmp_path / "train.parquet")},
            "chat": {"path": str(tmp_path / "chat.jsonl")},
            "low": {"path": str(tmp_path / "train.parquet"), "part": [0, 0.5]},
            "high": {"path": str(tmp_path / "train.parquet"), "part": [0.5, 1]},
        },
        prepare__shared_with_train="keep",
    )
    run_stages(recipe, [prepare])

    def column(pairs, name, kind="labels"):
        folder = PairsFolder(Folder(recipe.run) / "pairs" / pairs)
        read = folder.labels if kind == "labels" else folder.comparisons
        return pa.concat_tables(map(read, folder.plan()))[name].to_pylist()

    for name in ("pair_id", "comparison_id", "sign", "labeler"):
        assert column("parquet", name) == column("train", name)
    assert sorted(column("chat", "pair_id")) == sorted(column("train", "pair_id"))
    halves = column("low", "pair_id") + column("high", "pair_id")
    assert sorted(halves) == sorted(column("train", "pair_id"))
    prompts = [set(column(s, "prompt", "comparisons")) for s in ("low", "high")]
    assert not prompts[0] & prompts[1]
    ids = column("train", "comparison_id", "comparisons")
    assert ids == sorted(ids)
    ordered = column("train", "prompt", "comparisons")
    assert len([*itertools.groupby(ordered)]) == len(set(ordered))  # side by side


def sentence(seed, words=40):
    rng = np.random.default_rng(seed)
    return " ".join(f"w{i}" for i in rng.integers(0, 5000, words))


def test_what_should_be_known_before_money_is_spent(
    tmp_path, llama_folder, ray_session, capsys
):
    """Near-duplicates with equal and opposite labels, query labels near training ones,
    contradictions, comparisons that truncation made equal, labels of each labeler."""
    rows = [
        {
            "prompt": f"Question {sentence(i)}",
            "chosen": sentence(100 + i),
            "rejected": sentence(200 + i),
            "labeler": ["ana", "ben"][i % 2],
        }
        for i in range(12)
    ]
    swap = {"chosen": "rejected", "rejected": "chosen"}

    def turned(row):
        return row | {name: row[other] for name, other in swap.items()}

    near = [row | {"chosen": row["chosen"] + "!", "labeler": "ana"} for row in rows[:3]]
    contradicting = turned(rows[5]) | {"labeler": "cleo"}
    cut = [  # differ at their start alone, which is cut off
        {
            "prompt": f"{start} {'very ' * 300}long",
            "chosen": "yes indeed",
            "rejected": "no never",
            "labeler": "ben",
        }
        for start in ("One", "Two")
    ]
    train = [*rows, *near[:2], turned(near[2]), contradicting, *cut]
    write_jsonl(tmp_path / "train.jsonl", train)
    queries = [
        rows[7] | {"rejected": rows[7]["rejected"] + "!"},  # near
        rows[8] | {"chosen": "something else", "rejected": "and other"},  # its prompt
        *({**row, "prompt": sentence(300 + i)} for i, row in enumerate(rows[:4])),
    ]
    write_jsonl(tmp_path / "expert.jsonl", queries)
    recipe = tiny_recipe(
        tmp_path / "run",
        tmp_path,
        llama_folder,
        prepare__queries={"q": {"path": str(tmp_path / "expert.jsonl")}},
        report__min_labels=3,
    )
    run_stages(recipe, [prepare])
    pairs = Path(recipe.run) / "pairs"
    report = json.loads((pairs / "report.json").read_text())
    found = report["train"]
    assert (found["several_labels"], found["contradicted"]) == (1, 1)
    assert found["same_tokens"] == 2
    assert found["near_duplicates"] == {"comparisons": 6, "groups": 3, "opposite": 1}
    assert found["labels_by_group"]["labeler"] == {
        "groups": 3,
        "fewest": 1,
        "median": 8,
        "most": 9,
        "few": 1,
    }
    assert (report["q"]["near_in_train"], report["q"]["prompts_near_train"]) == (1, 2)
    links = pq.read_table(pairs / "near_duplicates.parquet").to_pylist()
    kinds = Counter(
        (link["pairs"], link["other_pairs"], link["labels"]) for link in links
    )
    assert kinds == {
        ("train", "train", "equal"): 2,
        ("train", "train", "opposite"): 1,
        ("train", "q", "equal"): 1,
    }
    printed = capsys.readouterr().out
    assert "1 comparisons of train have several labels; on 1 of them" in printed
    assert "6 of 17 (35.3%) comparisons of train are near-duplicates" in printed
    assert "1 of 6 (16.7%) labels of q are on near-duplicates of training" in printed
    assert "2 of 6 (33.3%) labels of q are on training prompts, or near" in printed
    assert "3 labelers with 1 to 9 labels each, median 8; 1 have too few" in printed
