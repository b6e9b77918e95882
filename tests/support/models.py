"""Tiny real models and tokenizers, built in code."""

from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from inflib.synthetic.topics import QUESTIONS, SENTENCES

FAMILIES = ("llama", "qwen", "bert")
DECODERS = ("llama", "qwen", "qwen3", "mistral", "gemma", "gemma2", "gemma3")
TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def build_tokenizer(pad: str | None = "<pad>") -> PreTrainedTokenizerFast:
    """Byte-level BPE over the demo's sentences; `pad` may be the EOS token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    texts = [
        text
        for texts_by_topic in (QUESTIONS, SENTENCES)
        for texts_of_topic in texts_by_topic.values()
        for text in texts_of_topic
    ]
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<pad>", "<unk>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token=pad,
        chat_template=TEMPLATE,
    )


def build_model(
    family: str,
    seed: int = 0,
    pad_id: int = 0,
    outputs: int = 1,
    kind: Any = AutoModelForSequenceClassification,
) -> Any:
    """A small sequence classifier, or what another auto class makes; random weights,
    float32."""
    torch.manual_seed(seed)
    fields: dict[str, Any] = {
        "vocab_size": 512,
        "hidden_size": 24,
        "intermediate_size": 40,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 256,
        "pad_token_id": pad_id,
        "num_labels": outputs,
    }
    if family == "bert":
        config: Any = BertConfig(**fields)
        return kind.from_config(config)
    fields["num_key_value_heads"] = 2
    if family in ("qwen3", "gemma", "gemma2", "gemma3"):  # not hidden_size / heads
        fields["head_dim"] = 8
    if family in ("mistral", "gemma2", "gemma3"):
        fields["sliding_window"] = 64
    config_class: Any = {
        "llama": LlamaConfig,
        "qwen": Qwen2Config,
        "qwen3": Qwen3Config,
        "mistral": MistralConfig,
        "gemma": GemmaConfig,
        "gemma2": Gemma2Config,
        "gemma3": Gemma3TextConfig,
    }[family]
    return kind.from_config(config_class(**fields))


def with_lora(base: Any, seed: int = 1, task: str = "SEQ_CLS") -> Any:
    """The model with LoRA on all linear layers (and a score head, by PEFT's task), all
    entries random."""
    config = LoraConfig(task_type=task, r=3, lora_alpha=6, target_modules="all-linear")
    model = get_peft_model(base, config)
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad:  # lora_B starts at 0 and would hide errors
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data = 0.2 * noise.to(parameter.dtype)
    return model.eval()
