"""Tokenizers, chat templates and pad tokens of a base and an adapter: which are used,
and which are refused before anything is computed."""

import json

import pytest
from transformers import AddedToken, GPT2Config

from inflib.data.tokenizer import load_tokenizer, tokenizer_digest
from inflib.model.model_check import check_model
from tests.support.model_checks import model, refusal, with_tokenizer
from tests.support.models import TEMPLATE, build_tokenizer

TEXT = "Weigh the flour. Oil the chain."


# 1 The adapter's own tokenizer


def test_an_adapters_own_tokenizer_and_template_are_used_and_said(base, adapter):
    before = tokenizer_digest(load_tokenizer(model(base, adapter)))
    with_tokenizer(adapter, chat_template="{{ messages }}", bos_token="<unk>")
    used = load_tokenizer(model(base, adapter))
    assert used.chat_template == "{{ messages }}" and used.bos_token == "<unk>"
    assert tokenizer_digest(used) != before
    (line,) = check_model(model(base, adapter))
    assert "adapter's own tokenizer is used" in line
    assert "chat template" in line and "bos_token '<unk>' (base: '<s>')" in line


def test_a_template_alone_is_used_with_the_bases_tokenizer(base, adapter):
    (adapter / "chat_template.jinja").write_text("{{ messages[0].content }}!")
    used = load_tokenizer(model(base, adapter))
    assert used.chat_template == "{{ messages[0].content }}!"
    assert used.get_vocab() == build_tokenizer().get_vocab()


def test_a_tokenizer_equal_to_the_bases_changes_nothing(base, adapter):
    before = tokenizer_digest(load_tokenizer(model(base, adapter)))
    tokenizer = build_tokenizer()
    tokenizer(TEXT, truncation=True, max_length=3, padding="max_length")
    tokenizer.save_pretrained(adapter)  # with truncation and padding, as TRL leaves it
    assert tokenizer_digest(load_tokenizer(model(base, adapter))) == before
    assert check_model(model(base, adapter)) == []


def test_an_adapters_tokenizer_on_s3_is_read(base, adapter, monkeypatch):
    import fsspec

    with_tokenizer(adapter, chat_template="{{ 1 }}")
    memory = fsspec.filesystem("memory")
    memory.put(str(adapter), "/remote/adapter", recursive=True)
    used = load_tokenizer(model(base, "memory://remote/adapter"))
    assert used.chat_template == "{{ 1 }}"
    assert len(check_model(model(base, "memory://remote/adapter"))) == 1


def test_a_tokenizer_of_another_model_is_refused(base, adapter):
    tokenizer = build_tokenizer()
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary = rules["model"]["vocab"]
    last = max(vocabulary.values())
    rules["model"]["vocab"] = {
        t: i if i < 4 else last + 4 - i for t, i in vocabulary.items()
    }
    with_tokenizer(adapter)
    (adapter / "tokenizer.json").write_text(json.dumps(rules))
    assert "its tokenizer is of another model: " in refusal(model(base, adapter))
    (line,) = check_model(model(base, adapter, adapter_base="any"))
    assert "own tokenizer is used" in line


def test_tokens_without_embeddings_are_refused(base, adapter):
    tokenizer = build_tokenizer()
    tokenizer.add_tokens([AddedToken(f"<extra{i}>") for i in range(20)])
    tokenizer.save_pretrained(adapter)
    assert "beyond the 512 that there are embeddings for" in refusal(
        model(base, adapter)
    )


def test_a_tokenizer_without_a_template_of_its_own_has_the_bases(base, adapter):
    with_tokenizer(adapter, chat_template=None)
    assert load_tokenizer(model(base, adapter)).chat_template == TEMPLATE


def test_a_template_that_prints_the_date_is_said(base):
    config = model(base, chat_template="{{ strftime_now('%Y') }}")
    assert "the chat template prints the date" in check_model(config)[0]


# 6 Pad tokens


def gpt2(folder, vocabulary=(), pad=None, **roles):
    """A base whose tokenizer has one special token, as GPT-2's, and more on top."""
    tokenizer = build_tokenizer(pad=None)
    tokenizer.unk_token = tokenizer.bos_token = tokenizer.eos_token
    if pad:
        tokenizer.pad_token = pad
    tokenizer.add_tokens([AddedToken(t, special=True) for t in vocabulary])
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    gone = {"<pad>", "<unk>", "<s>"}
    rules["added_tokens"] = [
        t for t in rules["added_tokens"] if t["content"] not in gone
    ]
    rules["model"]["vocab"] = {
        {t: f"zz{i}" for i, t in enumerate(sorted(gone))}.get(t, t): i
        for t, i in rules["model"]["vocab"].items()
    }
    tokenizer.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(json.dumps(rules))
    GPT2Config(vocab_size=512, n_embd=24, n_head=4, n_layer=2).save_pretrained(folder)
    return model(folder)


def test_a_base_without_a_pad_token_pads_with_a_byte_that_ends_no_text(tmp_path):
    config = gpt2(tmp_path)
    tokenizer = load_tokenizer(config)
    assert tokenizer.decode([tokenizer.pad_token_id]) == "\0"
    assert tokenizer.pad_token_id < 512 and len(tokenizer) <= 512
    (line,) = check_model(config)
    assert "in place of the tokenizer's own: there is none" in line
    ids = tokenizer(TEXT)["input_ids"]
    assert ids == build_tokenizer()(TEXT)["input_ids"]


@pytest.mark.parametrize(
    "token", ["<|padding|>", "[PAD]", "<|finetune_right_pad_id|>", "<unused3>"]
)
def test_a_token_that_the_vocabulary_has_for_it_is_taken(token, tmp_path):
    config = gpt2(tmp_path, ["<|im_end|>", token])  # im_end ends texts
    assert load_tokenizer(config).pad_token == token
    assert repr(token) in check_model(config)[0]


def test_a_pad_token_can_be_named(tmp_path):
    gpt2(tmp_path, ["<|filler|>"])
    config = model(tmp_path, pad_token="<|filler|>")
    assert load_tokenizer(config).pad_token == "<|filler|>"
    assert check_model(config) == []
    missing = refusal(model(tmp_path, pad_token="<nothing>"))
    assert missing.startswith("model.pad_token: '<nothing>' is not in the vocabulary")
    assert "is EOS" in refusal(model(tmp_path, pad_token="</s>"))


def test_a_pad_token_without_an_embedding_is_not_taken(base):
    tokenizer = build_tokenizer()
    tokenizer.add_tokens([AddedToken(f"<t{i}>") for i in range(512 - len(tokenizer))])
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})  # as many scripts do
    assert tokenizer.pad_token_id == 512
    tokenizer.save_pretrained(base)
    config = model(base)
    assert load_tokenizer(config).pad_token == "<unk>"
    (line,) = check_model(config)
    assert "'[PAD]' has no embedding: the base has 512" in line


def test_an_adapter_that_was_trained_with_eos_as_pad_is_told_of_append_eos(
    base, adapter
):
    with_tokenizer(adapter, pad_token="</s>")
    lines = check_model(model(base, adapter))
    assert any("prepare.append_eos false" in line for line in lines)
