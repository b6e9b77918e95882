"""Generative reward models: margins and sketches by transformers' own logits, both
orders of the responses; what is asked."""

import pytest
import torch

from inflib.config.recipe import Recipe
from inflib.config.reward_model import ModelConfig
from inflib.data.pairs_folder import PairsFolder
from inflib.model.model_check import check_model
from inflib.model.reward_folder import load_reward_model
from inflib.storage.folder import Folder
from tests.support.models import build_tokenizer
from tests.support.prepared_run import ROWS, build_run, names, shards, sketched

SIDES = ("chosen", "rejected")
HEAD = {"head": "score"}
QUESTION = "{{ prompt }} A: {{ first }} B: {{ second }} Better:"


def built(folder, chat=False, family="llama", **model):
    """Recipe of a small run; chat: whether the tokenizer has a chat template."""
    model = {"question": QUESTION, "answers": ("A", "B"), **model}
    if family == "gemma2":
        model["attention"] = "eager"
    settings = {"chat": chat, "model": model, "family": family}
    return build_run(folder, ROWS, margin="generative", **settings)


def log_odds(model, tokenizer, row, order):
    """log p("A") - log p("B") of the question with these responses first, second."""
    first, second = (row[name] for name in order)
    text = f"{row['prompt']} A: {first} B: {second} Better:"
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    logits = model(input_ids=ids).logits[0, -1]
    answers = tokenizer.convert_tokens_to_ids(["A", "B"])
    return logits[answers[0]] - logits[answers[1]]


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_margins_and_gradients_are_the_mean_of_both_orders(tmp_path, family):
    recipe = built(tmp_path, family=family)
    found = sketched(recipe)
    model, tokenizer = load_reward_model(recipe, torch.device("cpu"))
    parameters = [p for n, p in model.named_parameters() if "lora_" in n]
    for parameter in parameters:
        parameter.requires_grad_(True)
    for row in ROWS[:4]:
        a, b = sorted((row["chosen"], row["rejected"]))
        named = {"prompt": row["prompt"], "a": a, "b": b}
        odds = log_odds(model, tokenizer, named, "ab")
        margin = (odds - log_odds(model, tokenizer, named, "ba")) / 2
        grads = torch.autograd.grad(margin, parameters)
        square = float(sum(grad.double().square().sum() for grad in grads))
        own, own_square, _, _ = found[row["pair_id"]]
        assert own == pytest.approx(margin.item(), rel=1e-3, abs=1e-5)
        assert own_square == pytest.approx(square, rel=1e-3)
        assert abs(own) > 1e-4


def test_lengths_are_those_of_the_responses(tmp_path):
    recipe = built(tmp_path)
    tokenizer = build_tokenizer()
    folder = PairsFolder(Folder(recipe.run) / "pairs" / "train")
    rows = {row["pair_id"]: row for row in ROWS}
    for shard in shards(recipe):
        for label in folder.labels(shard).to_pylist():
            row = rows[label["pair_id"]]
            ids = [tokenizer(row[side])["input_ids"] for side in SIDES]
            assert label["length_difference"] == len(ids[0]) - len(ids[1])
    assert names(recipe)


def test_a_chat_model_is_asked_by_its_template(tmp_path):
    recipe = built(tmp_path, chat=True)
    folder = PairsFolder(Folder(recipe.run) / "pairs" / "train")
    row = folder.comparisons(shards(recipe)[0], ["prefix", "a"]).to_pylist()[0]
    text = build_tokenizer().decode(row["prefix"] + row["a"])
    assert text.startswith("<|user|>Question")
    assert text.endswith("Better:</s><|assistant|>")


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ({"question": "{{ prompt }"}, "model.question: "),
        ({"question": "{{ response }}"}, "'response' is undefined"),
        ({"answers": ("A", "the second one")}, "'the second one' is .* tokens"),
        ({"answers": ("A", "A")}, "both are the same token"),
        (
            {"question": QUESTION + " t", "answers": ("he", "B")},
            "after the question, 'he' is not the token",
        ),
    ],
)
def test_a_wrong_question_is_refused(tmp_path, model, problem):
    with pytest.raises(ValueError, match=problem):
        built(tmp_path, **model)


def test_a_model_that_cannot_answer_is_refused(tmp_path):
    recipe = built(tmp_path)
    fields = recipe.model_dump()["model"] | {"answers": ("nothing like it", "B")}
    with pytest.raises(ValueError, match="tokens of this tokenizer"):
        check_model(ModelConfig.model_validate(fields))
    with pytest.raises(ValueError, match=r"margin generative is not of head score"):
        Recipe.model_validate(recipe.model_dump() | {"model": fields | HEAD})
