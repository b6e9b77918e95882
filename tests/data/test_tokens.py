"""Tokens: prefix and tails are the sequences; truncation never cuts a response."""

import pytest
from transformers import BertTokenizerFast

from inflib.data.tokens import Tokens, tokenize
from inflib.shapes.pairs import Pair
from inflib.shapes.split import Split
from tests.support.models import build_tokenizer

TOKENIZER = build_tokenizer()
PROMPT = (
    "How do I bake a good loaf of bread at home? Why does my loaf come out dense?\n"
)


def pair(chosen, rejected, prompt=PROMPT, is_chat=False):
    keys = prompt, chosen, rejected
    return Pair("f", 1, None, "", Split(*keys, is_chat, keys, ()), 1.0, 1.0, None, {})


def tokens(*pairs, max_length=500, append_eos=True, tokenizer=TOKENIZER):
    return tokenize(list(pairs), tokenizer, max_length, append_eos)


def plain(text, tokenizer=TOKENIZER):
    return tokenizer(text)["input_ids"]


def test_prefix_and_tail_make_the_full_sequences_with_eos():
    (whole,) = tokens(pair("Weigh the flour.", "Oil the chain."))
    a, b = sorted(["Weigh the flour.", "Oil the chain."])
    assert whole.prefix + whole.tail_a == [*plain(PROMPT + a), TOKENIZER.eos_token_id]
    assert whole.prefix + whole.tail_b == [*plain(PROMPT + b), TOKENIZER.eos_token_id]
    assert whole.tail_a[0] != whole.tail_b[0]
    assert whole.num_cut == 0
    assert whole.length == max(
        len(whole.prefix + whole.tail_a), len(whole.prefix + whole.tail_b)
    )


def test_eos_is_not_doubled_nor_added_to_chats():
    ended, open_, chat = tokens(
        pair("yes</s>", "no</s>"), pair("yes", "no"), pair("yes", "no", is_chat=True)
    )
    assert ended == open_
    assert chat.tail_a == open_.tail_a[:-1]
    (without,) = tokens(pair("yes", "no"), append_eos=False)
    assert without == chat


@pytest.mark.parametrize("spare", [0, 1, 5])
def test_truncation_cuts_the_left_of_the_prompt_alone(spare):
    (whole,) = tokens(pair("Weigh the flour.", "Oil the chain. Oil it well."))
    (cut,) = tokens(
        pair("Weigh the flour.", "Oil the chain. Oil it well."),
        max_length=whole.length - spare,
    )
    assert cut.num_cut == spare
    assert cut.prefix == whole.prefix[spare:]
    assert (cut.tail_a, cut.tail_b) == (whole.tail_a, whole.tail_b)


def test_responses_that_alone_do_not_fit_are_excluded():
    (problem,) = tokens(pair("Weigh the flour. " * 20, "Oil."), max_length=30)
    assert isinstance(problem, str)
    assert "more than max_length 30" in problem


def test_a_start_of_the_responses_is_never_cut():
    start = "Sure. Here is what I would do. "
    (whole,) = tokens(pair(start + "Weigh the flour.", start + "Oil the chain."))
    prompt_tokens = len(plain(PROMPT))
    (cut,) = tokens(
        pair(start + "Weigh the flour.", start + "Oil the chain."),
        max_length=whole.length - prompt_tokens,
    )
    assert cut.prefix == whole.prefix[prompt_tokens:]
    (too_long,) = tokens(
        pair(start + "Weigh the flour.", start + "Oil the chain."),
        max_length=whole.length - prompt_tokens - 1,
    )
    assert isinstance(too_long, str)


def test_bert_keeps_cls_in_front_and_sep_at_the_end(tmp_path):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "q", "w", "e", "a", "b"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    bert = BertTokenizerFast.from_pretrained(tmp_path)
    (cut,) = tokens(pair("a", "b", prompt="q w e q w "), max_length=5, tokenizer=bert)
    assert isinstance(cut, Tokens)
    ids = bert.convert_ids_to_tokens(cut.prefix + cut.tail_b)
    assert ids == ["[CLS]", "q", "w", "b", "[SEP]"]
    assert cut.num_cut == 3


def test_responses_equal_once_tokenised_are_reported(tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nq")
    bert = BertTokenizerFast.from_pretrained(tmp_path)
    (problem,) = tokens(pair("unseen", "words", prompt="q "), tokenizer=bert)
    assert problem == "identical responses once tokenised"
