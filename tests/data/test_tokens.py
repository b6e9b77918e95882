"""Tokens: prefix and tails are the sequences; truncation never cuts a response."""

import pytest
from transformers import BertTokenizerFast

from inflib.data.tokens import LITERAL, Tokens, tokenize
from inflib.shapes.pairs import Pair
from inflib.shapes.split import Split
from tests.support.models import build_tokenizer
from tests.support.shaped import assistant, labels, user

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


def test_eos_is_added_to_text_and_not_to_chats():
    open_, chat = tokens(pair("yes", "no"), pair("yes", "no", is_chat=True))
    assert chat.tail_a == open_.tail_a[:-1]
    (without,) = tokens(pair("yes", "no"), append_eos=False)
    assert without == chat


def test_special_tokens_in_a_text_stay_text():
    specials = set(TOKENIZER.all_special_ids)
    literal, usual = tokens(
        pair("yes</s>", "<s> no", prompt="Is <unk> a word?\n"), pair("yes", "no")
    )
    for tail in (literal.tail_a, literal.tail_b):
        assert not specials & set(tail[:-1]) and tail[-1] == TOKENIZER.eos_token_id
    assert not specials & set(literal.prefix)
    whole = TOKENIZER.decode(literal.prefix + literal.tail_b[:-1])
    assert whole == "Is <unk> a word?\nyes</s>"
    assert (literal.marks, usual.marks) == ((LITERAL,), ())


def chat(prompt, chosen, rejected):
    answers = {"chosen": [assistant(chosen)], "rejected": [assistant(rejected)]}
    return {"prompt": [user(prompt)], **answers}


def test_special_tokens_in_a_chat_are_the_templates_alone():
    eos, bos = TOKENIZER.eos_token_id, TOKENIZER.bos_token_id
    both = labels(chat("Say </s>.", "<s>yes</s>", "no"), chat("Say </s>.", "yes", "no"))
    literal, usual = tokens(*both)
    assert both[0].prompt == "<|user|>Say </s>.</s><|assistant|>"  # as it is stored
    assert literal.prefix.count(eos) == literal.tail_a.count(eos) == 1
    assert bos not in literal.prefix + literal.tail_b
    assert literal.marks == usual.marks == (LITERAL,)
    (label,) = labels(chat("Q", "a", "b"))
    (plain_chat,) = tokens(label)
    ids = TOKENIZER(label.prompt + "a</s>", add_special_tokens=False)["input_ids"]
    assert plain_chat.prefix + plain_chat.tail_a == ids


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
