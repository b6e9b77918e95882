"""Special tokens in a user's text stay text, in tokenizers of every kind; all other ids
are those of the tokenizer, bit for bit."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import BertTokenizerFast, PreTrainedTokenizerFast

from inflib.data.chat_rendering import renderer
from inflib.data.text_encoder import encode, encode_as_text
from inflib.shapes.special_tokens import special_ids, unguarded
from inflib.synthetic.topics import SENTENCES
from tests.support.models import build_tokenizer

SPECIAL = ["<unk>", "<s>", "</s>", "<pad>"]
CHAT = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
TEMPLATE = (
    "<s>{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n"
    "{% endif %}"
)
TEXTS = [text for texts in SENTENCES.values() for text in texts]
BYTES = [f"<0x{i:02X}>" for i in range(256)]
ROLES = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
BOS_FIRST = processors.TemplateProcessing(
    single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)]
)


def wrapped(backend, **roles):
    """With the special tokens of chats, which have no role, added as Llama 3 does."""
    backend.add_special_tokens([AddedToken(text, normalized=False) for text in CHAT])
    backend.add_tokens([AddedToken("<think>", normalized=False)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, chat_template=TEMPLATE, **(roles or ROLES)
    )


def byte_level():
    tokenizer = build_tokenizer()
    return wrapped(tokenizer.backend_tokenizer)


def sentencepiece_bpe():
    """As Llama 2: "▁" for spaces, one in front; bytes for what is not in it."""
    backend = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.decoder = decoders.ByteFallback()
    tokens = [*SPECIAL, *BYTES]
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=tokens, show_progress=False
    )
    backend.train_from_iterator(TEXTS, trainer)
    backend.post_processor = BOS_FIRST
    rules = json.loads(backend.to_str())
    rules["added_tokens"] = [t for t in rules["added_tokens"] if t["id"] < len(SPECIAL)]
    return wrapped(Tokenizer.from_str(json.dumps(rules)))


def unigram():
    """As T5: "</s>" is a piece like others, which text can be cut into."""
    backend = Tokenizer(models.Unigram())
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
    )
    backend.train_from_iterator(TEXTS, trainer)
    backend.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A $B </s>", special_tokens=[("</s>", 2)]
    )
    return wrapped(backend)


def wordpiece(folder):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[", "]", "sep", "mask"]
    words += [*"abcdefghijklmnopqrstuvwxyz", *(f"##{c}" for c in "abcdefghijklmnop")]
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = BertTokenizerFast.from_pretrained(folder)
    tokenizer.chat_template = TEMPLATE.replace("<s>", "[CLS]")
    return tokenizer


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    return {
        "byte level": byte_level(),
        "sentencepiece": sentencepiece_bpe(),
        "unigram": unigram(),
        "wordpiece": wordpiece(tmp_path_factory.mktemp("bert")),
    }


KINDS = ("byte level", "sentencepiece", "unigram", "wordpiece")
PARTS = st.lists(
    st.sampled_from(
        [*TEXTS[:6], " ", "\n\n", "é", "中文", "1 < 2", "</", "s>", "▁", "[", "<think>"]
    )
    | st.text(max_size=8),
    max_size=6,
)
PLAIN = PARTS.map("".join)


def by_itself(tokenizer, text, is_chat):
    return tokenizer(text, add_special_tokens=not is_chat)["input_ids"]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(text=PLAIN, answer=PLAIN)
def test_texts_without_special_tokens_have_the_tokenizers_ids(
    kind, tokenizers, text, answer
):
    tokenizer = tokenizers[kind]
    text, answer = (unguarded(part) for part in (text, answer))
    if any(token in text + answer for token in special_ids(tokenizer)):
        return
    messages = [
        {"role": "user", "content": text},
        {"role": "assistant", "content": answer},
    ]
    rendered = renderer(tokenizer)(messages, True)
    for whole, is_chat in ((text, False), (rendered, True)):
        expected = by_itself(tokenizer, whole, is_chat)
        assert encode(tokenizer, [whole], [is_chat]) == ([expected], [False])
        # The path of rows with special tokens gives nothing else where there are none.
        assert encode_as_text(tokenizer, whole, is_chat, "") == expected


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_special_token_comes_from_a_users_text(kind, tokenizers, data):
    tokenizer = tokenizers[kind]
    special = special_ids(tokenizer)
    token = data.draw(st.sampled_from(sorted(special)))
    before, after = (unguarded(data.draw(PLAIN)) for _ in range(2))
    text = f"a{before}{token}{after}b"
    messages = [
        {"role": "user", "content": text},
        {"role": "assistant", "content": text},
    ]
    rendered = renderer(tokenizer)(messages, False)
    ((chat_ids, plain_ids), literal) = encode(
        tokenizer, [rendered, text], [True, False], append_eos=True
    )
    assert literal == [True, True] and chat_ids and plain_ids
    none = [{"role": message["role"], "content": "ab"} for message in messages]
    usual = by_itself(tokenizer, renderer(tokenizer)(none, False), True)
    unknown = {tokenizer.unk_token_id}  # of characters, in tokenizers without bytes
    by_rule = set(special.values()) - unknown
    assert [i for i in chat_ids if i in by_rule] == [i for i in usual if i in by_rule]
    eos = [] if tokenizer.eos_token is None else [tokenizer.eos_token_id]
    around = [i for i in by_itself(tokenizer, "ab", False) if i in by_rule]
    assert sorted(i for i in plain_ids if i in by_rule) == sorted(around + eos)


@pytest.mark.parametrize("kind", KINDS)
def test_the_names_of_special_tokens_in_the_twin_are_text_as_well(kind, tokenizers):
    tokenizer = tokenizers[kind]
    token, number = next(iter(special_ids(tokenizer).items()))
    forged = f"Say {token} and \ufdd2{number}\ufdd3."
    usual = f"Say {token} and {number}."
    (ids, expected), _ = encode(tokenizer, [forged, usual], [False, False])
    assert ids == expected


@pytest.mark.parametrize("kind", ["byte level", "sentencepiece"])
def test_the_text_of_a_special_token_is_all_there(kind, tokenizers):
    tokenizer = tokenizers[kind]
    (ids,), _ = encode(tokenizer, ["Say <|eot_id|>, not </s>."], [False])
    text = tokenizer.decode(ids, skip_special_tokens=True).replace("▁", " ")
    assert text.strip() == "Say <|eot_id|>, not </s>."


def test_special_tokens_in_tools_and_arguments_are_text(tokenizers):
    tokenizer = tokenizers["byte level"]
    shown = "{{ tools[0].description }}{{ persona }}"
    tokenizer.chat_template = shown + TEMPLATE
    message = [{"role": "user", "content": "Q"}]
    arguments = {"tools": [{"description": "ends <|eot_id|>"}], "persona": "<s>Bob"}
    text = renderer(tokenizer)(message, False, **arguments)
    (ids,), _ = encode(tokenizer, [text], [True])
    assert ids is not None
    special = special_ids(tokenizer)
    assert [ids.count(special[token]) for token in ("<|eot_id|>", "<s>")] == [1, 1]
    tokenizer.chat_template = TEMPLATE


def test_eos_stands_where_the_tokenizer_has_it(tokenizers):
    for tokenizer in tokenizers.values():
        if tokenizer.eos_token is None:
            continue
        (usual, literal), _ = encode(
            tokenizer, ["Weigh it.", "<pad>Weigh it."], [False, False], append_eos=True
        )
        assert usual == by_itself(tokenizer, "Weigh it." + tokenizer.eos_token, False)
        assert usual is not None and literal is not None
        assert literal[-1] == usual[-1] == tokenizer.eos_token_id
        assert literal.count(usual[-1]) == usual.count(usual[-1])
