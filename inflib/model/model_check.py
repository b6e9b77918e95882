"""Do base, adapter and tokenizer fit? Looked at before anything is computed, from
configurations, the adapter's file and a model without weights."""

import json
import warnings
from collections.abc import Iterator

from peft import PeftConfig, get_peft_model, get_peft_model_state_dict
from torch import nn

from inflib.config.reward_model import ModelConfig
from inflib.data.adapter_files import adapter_at, tokenizer_folder
from inflib.data.base_match import base_mismatch
from inflib.data.chat_rendering import is_dated, renderer
from inflib.data.pad_tokens import choose_pad
from inflib.data.question import Question
from inflib.data.tokenizer import (
    embedding_rows,
    load_config,
    load_tokenizer,
    saved_tokenizer,
)
from inflib.data.tokenizer_match import differences
from inflib.model.adapter import (
    HEAD,
    MADE,
    Adapter,
    read_adapter,
    resize,
    weights_problem,
)
from inflib.model.base_model import without_weights
from inflib.model.custom_reward import load_function
from inflib.model.implicit_reward import check_language_model
from inflib.storage.plain_text import first_line

_ANY = "set model.adapter_base to any if it is the same model all the same"


def check_model(model: ModelConfig) -> list[str]:
    """What is unusual about a recipe's model, a line for each.

    Raises ValueError, in one line, where rewards or gradients would be wrong or could
    not be computed.
    """
    if model.is_custom:
        load_function(model.margin)
    elif model.margin == "generative":
        tokenizer = load_tokenizer(model)
        Question(model, tokenizer, renderer(tokenizer))  # raises
    lines = [*_tokenizer_lines(model)]
    folder = adapter_at(model)
    if folder is None:
        load_without_weights(model)
        return lines
    adapter = read_adapter(folder, model.task)
    if problem := weights_problem(adapter):
        raise ValueError(f"{adapter.url}: {problem}")
    if model.adapter_base == "same" and (other := base_mismatch(model, folder)):
        raise ValueError(f"{adapter.url} was trained on {other}; {_ANY}")
    _check_fit(model, adapter)
    return lines


def _tokenizer_lines(model: ModelConfig) -> Iterator[str]:
    """What is unusual about the tokenizer. Raises ValueError where it is not one of the
    model."""
    folder = tokenizer_folder(model)
    saved, tokenizer = saved_tokenizer(model, folder), load_tokenizer(model)
    if folder is not None:
        try:
            base = saved_tokenizer(model, None)
            found = differences(saved, base)
        except ValueError as error:
            if model.adapter_base == "same" and "another model" in str(error):
                raise ValueError(f"{model.adapter}: {error}; {_ANY}") from None
            found = [str(error)]
        if found:
            yield (
                f"the adapter's own tokenizer is used; it differs from the base's in "
                f"{', '.join(found)}"
            )
    rows = embedding_rows(model)
    beyond = [token for token, i in saved.get_vocab().items() if rows and i >= rows]
    if set(beyond) - {saved.pad_token}:
        raise ValueError(
            f"{model.adapter or model.base}: its tokenizer has {len(beyond)} tokens "
            f"({min(beyond)!r}, ...) beyond the {rows} that there are embeddings for: "
            "it is of another model, or of one whose embeddings were resized"
        )
    _, why = choose_pad(saved, model.pad_token, rows)
    if why:
        yield why
    if folder is not None and saved.pad_token and saved.pad_token == saved.eos_token:
        yield (
            "the adapter's tokenizer pads with EOS, so it was trained to give the "
            "reward before EOS: audit it with prepare.append_eos false"
        )
    if is_dated(tokenizer.chat_template):
        yield "the chat template prints the date; that of the first prepare is kept"


def load_without_weights(model: ModelConfig) -> nn.Module:
    """What base_model.load_base loads, on torch's device "meta". Raises ValueError for
    a model that transformers has no such class of."""
    config = load_config(model)
    try:
        base = without_weights(model, config)
        if model.is_language_model and not model.is_custom:
            check_language_model(base)
        return base
    except (ValueError, ImportError) as error:
        raise ValueError(
            f"model.base {model.base}: no {MADE[model.task]} can be made of it: "
            f"{first_line(error)}"
        ) from None


def _check_fit(model: ModelConfig, adapter: Adapter) -> None:
    """Raise ValueError naming a tensor of the adapter that the base does not take, or
    that it lacks."""
    fields = json.loads(adapter.config)
    fields["init_lora_weights"] = False  # values do not matter here
    base = load_without_weights(model)
    try:
        resize(base, adapter)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = PeftConfig.from_peft_type(**fields)
            peft = get_peft_model(base, config, low_cpu_mem_usage=True)
            expected = {
                name: list(tensor.shape)
                for name, tensor in get_peft_model_state_dict(
                    peft, save_embedding_layers=False
                ).items()
            }
    except (ValueError, RuntimeError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{adapter.url}: cannot be put onto {model.base}: {first_line(error)}"
        ) from None
    found = adapter.shapes
    wrong = [
        f"{name} is {found[name]}, not {shape}"
        if name in found
        else f"{name} is not in it"
        for name, shape in expected.items()
        if found.get(name) != shape
    ]
    trained = {n for n in found if n in adapter.sizes}
    wrong += [f"{n} is not in the model" for n in sorted(trained - expected.keys())]
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        outputs = [s[0] for n, s in found.items() if HEAD.search(n) and len(s) > 1]
        if outputs and outputs[-1] != model.outputs:
            more += f"; its score head has {outputs[-1]} outputs: " + (
                f"give model.objective_weights, {outputs[-1]} numbers"
                if outputs[-1] > 1
                else "leave model.objective_weights out"
            )
        raise ValueError(f"{adapter.url} and {model.base} do not fit: {wrong[0]}{more}")
