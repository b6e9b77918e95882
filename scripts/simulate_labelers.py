"""Twenty made-up labelers over real pairs, five of them biased in ways of their own.

    python scripts/simulate_labelers.py 'data/hh/helpful-*.jsonl.gz' OUT --seed 0
    python scripts/simulate_labelers.py PATHS OUT --labels-per-pair 1 --longest 1000
    python scripts/simulate_labelers.py --found runs/labelers-0 runs/labelers-1

Writes OUT/train.jsonl, labels by different labelers on each of some pairs, and
OUT/expert.jsonl, other prompts with the labels as they came. A labeler repeats the
label that came with a pair, but errs on a tenth of them; the biased ones, on a share of
theirs, choose the longer response, toss a coin, choose the worse one or the first one.
Kept columns: labeler, chosen_first, and wrong (other than the label that came).

--found: a Markdown table of whom the audits of such data called suspicious.
"""

import argparse
import glob
import gzip
import json
import random
from pathlib import Path

from inflib.numerics.hash_sampling import uniform_hash

LABELERS = [f"labeler-{i:02}" for i in range(20)]
BIASED = {
    "labeler-00": ("longer", 0.9),
    "labeler-01": ("longer", 0.6),
    "labeler-02": ("careless", 0.6),
    "labeler-03": ("contrary", 0.25),
    "labeler-04": ("first", 0.6),
}
"""What the biased ones do, and on what share of their labels."""

NOISE = 0.1
"""Share of labels on which a labeler who is not biased errs."""

EXPERT = 0.8
"""Pairs whose prompts hash to this or more are the expert's."""

TRAIN = {3: 0.5}
"""{labels on each pair: training pairs are those whose prompts hash below this}; EXPERT
otherwise."""


def label(rng: random.Random, labeler: str, chosen: str, rejected: str) -> dict:
    """One labeler's label on a pair, given the label that came with it."""
    kind, share = BIASED.get(labeler, ("", 0.0))
    planted, first = rng.random() < share, rng.random() < 0.5
    wrong = rng.random() < NOISE
    if planted and kind == "longer":
        wrong = len(rejected) > len(chosen)
    elif planted and kind == "careless":
        wrong = rng.random() < 0.5
    elif planted and kind == "contrary":
        wrong = True
    elif planted and kind == "first":
        wrong = not first  # `first`: the right one was shown first
    return {
        "chosen": rejected if wrong else chosen,
        "rejected": chosen if wrong else rejected,
        "labeler": labeler,
        "chosen_first": first != wrong,
        "wrong": wrong,
    }


def simulate(
    paths: list[str], folder: Path, seed: int, labels_per_pair: int, longest: int
) -> None:
    """Write train.jsonl and expert.jsonl from the pairs in gzipped JSONL files whose
    dialogues have at most `longest` characters."""
    rng = random.Random(seed)
    train, expert = [], []
    for path in paths:
        with gzip.open(path, "rt") as lines:
            for number, line in enumerate(lines):
                pair = json.loads(line)
                chosen, rejected = pair["chosen"], pair["rejected"]
                if max(len(chosen), len(rejected)) > longest:
                    continue
                prompt = chosen.rpartition("\n\nAssistant:")[0]
                position = uniform_hash(seed, prompt)
                name = f"{Path(path).name}:{number}"
                if position >= EXPERT:
                    expert.append(
                        {"pair_id": name, "chosen": chosen, "rejected": rejected}
                    )
                elif position < TRAIN.get(labels_per_pair, EXPERT):
                    train += [
                        {"pair_id": f"{name}:{labeler}"}
                        | label(rng, labeler, chosen, rejected)
                        for labeler in rng.sample(LABELERS, labels_per_pair)
                    ]
    folder.mkdir(parents=True, exist_ok=True)
    for file, rows in (("train.jsonl", train), ("expert.jsonl", expert)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / file).write_text(text)
        print(f"{folder / file}: {len(rows)} rows")


def audit_row(run: str) -> list[str]:
    """Cells of one run: whom its report calls suspicious or harmful, rightly or not."""
    summary = json.loads((Path(run) / "report" / "summary.json").read_text())
    (facts,) = summary["queries"].values()
    rows = facts["groups"]["labeler"]
    suspicious = {row["name"]: row["because"] for row in rows if row["suspicious"]}
    quality = summary["quality"]["labeler"]
    harmful = {name for name, facts in quality.items() if facts["found"]}
    return [
        Path(run).name,
        str(summary["labels"]),
        " / ".join(f"{value:.3f}" for value in summary["accuracy"].values()),
        f"{len(suspicious.keys() & BIASED)} of {len(BIASED)}",
        ", ".join(suspicious[name] for name in sorted(suspicious.keys() & BIASED)),
        str(len(suspicious.keys() - BIASED)),
        f"{len(harmful & BIASED.keys())}, {len(harmful - BIASED.keys())} false",
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("arguments", nargs="+")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--labels-per-pair", type=int, default=3)
    parser.add_argument(
        "--longest", type=int, default=500, help="short ones train sooner on a CPU"
    )
    parser.add_argument("--found", dest="tabulate", action="store_true")
    options = parser.parse_args()
    if options.tabulate:
        header = ["run", "labels", "accuracy, training labels / expert", "found"]
        header += ["because", "false alarms", "found by harm alone"]
        for row in (header, ["---"] * len(header), *map(audit_row, options.arguments)):
            print("| " + " | ".join(row) + " |")
    else:
        pattern, out = options.arguments
        simulate(
            sorted(glob.glob(pattern)),
            Path(out),
            options.seed,
            options.labels_per_pair,
            options.longest,
        )
