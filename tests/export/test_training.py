"""Exports are what `datasets` loads and TRL's RewardTrainer trains on."""

import json

import datasets
import pytest
from trl import RewardConfig, RewardTrainer

from inflib.data.pairs_folder import PairsFolder
from inflib.export.selection import Rule
from ray_jobs.export import export
from tests.export.conftest import PAIRS, TOOL
from tests.support.models import build_model, build_tokenizer
from tests.support.small_audit import small_audit


def loaded(path, cache):
    """The rows of an export, by the loader that fits its name."""
    if path.is_dir():
        return datasets.load_from_disk(str(path))
    kind = {".jsonl": "json", ".parquet": "parquet"}[path.suffix]
    return datasets.load_dataset(
        kind, data_files=str(path), split="train", cache_dir=str(cache)
    )


def trained(rows, folder):
    """A trainer that has made two steps on these rows."""
    config = RewardConfig(
        output_dir=str(folder),
        max_steps=2,
        per_device_train_batch_size=4,
        report_to=[],
        use_cpu=True,
        bf16=False,
        disable_tqdm=True,
        save_strategy="no",
        gradient_checkpointing=False,
    )
    trainer = RewardTrainer(
        build_model("llama"),
        args=config,
        train_dataset=rows,
        processing_class=build_tokenizer(),
    )
    trainer.train()
    return trainer


def trained_ids(trainer):
    """{the two sequences of each row, as a set}."""
    rows = trainer.train_dataset
    return {frozenset((tuple(r["chosen_ids"]), tuple(r["rejected_ids"]))) for r in rows}


def audited_ids(run):
    """The same of the comparisons that the run sketched."""
    folder = PairsFolder(run.folder / "pairs" / "train")
    rows = [r for s in folder.plan() for r in folder.comparisons(s).to_pylist()]
    return {
        frozenset(tuple(row["prefix"] + row[side]) for side in "ab") for row in rows
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("source", ["texts", "chats"])
def test_every_kind_of_target_is_loaded_and_trained_on(source, request, tmp_path):
    run = request.getfixturevalue(source)
    rules = (Rule("flip", "rank <= 2"), Rule("tie", "rank == 12"))
    sets = []
    for name in ("a.jsonl", "b.parquet", "c"):
        export(run.recipe, str(tmp_path / name), rules=rules, ties="both")
        sets.append(loaded(tmp_path / name, tmp_path / "cache"))
        assert len(sets[-1]) == 13
    assert [*sets[0]] == [*sets[1]] == [*sets[2]]
    assert sets[1].features == sets[2].features
    trainer = trained(sets[1], tmp_path / "model")
    ids = trainer.train_dataset[0]
    assert len(ids["chosen_ids"]) > 3 and ids["chosen_ids"] != ids["rejected_ids"]
    assert trained_ids(trainer) == audited_ids(run)
    assert trainer.state.global_step == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_tool_calls_are_exact_and_trained_on(tmp_path):
    """Arguments of calls differ between rows: no row gets those of another one."""
    rows = [
        {
            "pair_id": f"t{i}",
            "prompt": [{"role": "user", "content": f"Look up {i}."}],
            "chosen": [
                {"role": "assistant", "content": "", "tool_calls": [_call(i)]},
                {"role": "tool", "content": f"found {a}", "tool_call_id": "1"},
                {"role": "assistant", "content": a},
            ],
            "rejected": [{"role": "assistant", "content": b}],
            "tools": json.dumps([TOOL]),
        }
        for i, (a, b) in enumerate(PAIRS)
    ]
    run = small_audit(tmp_path / "run", rows, {})
    export(run.recipe, str(tmp_path / "a.jsonl"))
    export(run.recipe, str(tmp_path / "b.parquet"))
    found = loaded(tmp_path / "b.parquet", tmp_path / "cache")
    by_id = {row["inflib_pair_id"]: row for row in found}
    for row in rows:
        exported = by_id[row["pair_id"]]
        assert exported["chosen"] == row["chosen"]
        assert exported["rejected"] == row["rejected"]
        assert exported["tools"] == row["tools"]
    assert trained(found, tmp_path / "model").state.global_step == 2
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    for line in lines:
        row = json.loads(line)
        assert row["chosen"] == by_id[row["inflib_pair_id"]]["chosen"]


def _call(i):
    function = {"name": "look_up", "arguments": {("n", "m", "text")[i % 3]: i}}
    return {"type": "function", "function": function}
