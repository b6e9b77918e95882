"""A small Llama and its tokenizer, trained from scratch on the texts of one file.

    python scripts/small_language_model.py --out runs/small_lm \
      --texts 'generated:answers?pairs=4000&seed=77'

A base for recipes with model.margin dpo where no language model is at hand: minutes on
two CPU cores. It knows nothing but the texts. They are prompt + chosen of each row, in
the columns of those names (without a prompt: chosen alone); any file that inflib reads.
"""

import argparse
import os
from pathlib import Path

import torch
from datasets import Dataset
from tokenizers import ByteLevelBPETokenizer
from transformers import (
    DataCollatorForLanguageModeling,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)

from inflib.files.raw_rows import RawRow
from inflib.files.readers import read_rows

SPECIAL = ["<pad>", "<s>", "</s>"]
TEMPLATE = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, help="folder of model and tokenizer")
    parser.add_argument("--texts", required=True, help="file, or generated:...")
    parser.add_argument("--steps", type=int, default=600, help="optimizer steps")
    parser.add_argument("--width", type=int, default=192, help="hidden size")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--vocabulary", type=int, default=4000)
    parser.add_argument("--block", type=int, default=256, help="tokens of a sequence")
    options = parser.parse_args()
    rows = [row.fields for row in read_rows(options.texts) if isinstance(row, RawRow)]
    texts = [str(row.get("prompt") or "") + str(row["chosen"]) for row in rows]
    tokenizer = train_tokenizer(texts, options.vocabulary)
    ids = [i for text in texts for i in tokenizer(text + "</s>")["input_ids"]]
    size = options.block
    blocks = [ids[i : i + size] for i in range(0, len(ids) - size + 1, size)]
    if not blocks:
        raise SystemExit(f"{options.texts}: {len(ids)} tokens, fewer than --block")
    model = train(blocks, tokenizer, options)
    model.save_pretrained(options.out)
    tokenizer.save_pretrained(options.out)
    size_text = f"{model.num_parameters() / 1e6:.1f}M parameters"
    print(f"{options.out}: {size_text}, {len(texts)} texts, {len(ids):,} tokens")


def train_tokenizer(texts: list[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE of the texts."""
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(
        texts, vocab_size=vocabulary, special_tokens=SPECIAL, show_progress=False
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer._tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        chat_template=TEMPLATE,
    )


def train(
    blocks: list[list[int]],
    tokenizer: PreTrainedTokenizerFast,
    options: argparse.Namespace,
) -> LlamaForCausalLM:
    """Next-token training; prints its loss."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=options.width,
        intermediate_size=3 * options.width,
        num_hidden_layers=options.layers,
        num_attention_heads=options.width // 32,
        max_position_embeddings=2048,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config)
    arguments = TrainingArguments(
        output_dir=str(Path(options.out) / "checkpoints"),
        max_steps=options.steps,
        per_device_train_batch_size=8,
        learning_rate=2e-3,
        lr_scheduler_type="cosine",
        warmup_steps=0.05,
        weight_decay=0.01,
        logging_steps=50,
        save_strategy="no",
        report_to="none",
        use_cpu=not torch.cuda.is_available(),
        disable_tqdm=True,
    )
    Trainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_dict({"input_ids": blocks}),
        data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
    ).train()
    return model


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
