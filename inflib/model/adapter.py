"""A PEFT adapter folder to a checked LoRA adapter, and onto its base model.

The two files are read into memory, so that an adapter on S3 needs no local disk. The
known traps are refused here: an adapter without its score head (rewards would be
random), one that is no LoRA reward model, weights in a pickle, weights that the model
does not take.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import safetensors.torch
from peft import PeftConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from torch import nn

from inflib.data.adapter_files import CONFIG, EMBEDDING, REFERENCE, WEIGHTS
from inflib.model.base_model import HEADS
from inflib.model.trained_weights import set_dtypes
from inflib.storage.folder import Folder

_UNSUPPORTED = {
    "alora_invocation_tokens": "activated LoRA acts after some tokens alone",
    "arrow_config": "Arrow mixes several adapters",
    "layer_replication": "its layers are repeated",
    "megatron_config": "it is for Megatron's layers",
    "monteclora_config": "its weights are drawn at random",
    "use_bdlora": "its matrices are in blocks",
    "use_qalora": "it is for quantised bases",
}
"""{setting of PEFT: why gradients of it are not computed}."""

_INITIAL = ("gaussian", "eva", "olora", "orthogonal", "pissa")
"""Values of init_lora_weights, beside true and false, after which the same base weights
come back on loading; others changed them in ways that are not in the file."""

MADE = {"SEQ_CLS": "reward model", "CAUSAL_LM": "language model"}
"""What an adapter is of, by PEFT's task_type."""

_TAKEN: dict[str, list[str | None]] = {
    "SEQ_CLS": ["SEQ_CLS"],
    "CAUSAL_LM": ["CAUSAL_LM", None],
}
"""What adapters for a task may say that they are for."""

_OTHER = {
    "CAUSAL_LM": "; one that was trained by DPO is audited with model.margin dpo",
    "SEQ_CLS": "; a reward model is audited with model.margin reward",
}
"""What to do about an adapter of another task, by its task_type."""

_CHANGES = re.compile(r"lora_(embedding_)?B|^((?!lora_).)*$")
"""Names of weights that change nothing where they are 0; others of LoRA may be any."""

HEAD = re.compile(rf"\.({'|'.join(HEADS)})\.")


@dataclass(frozen=True)
class Adapter:
    """The contents of the two files of a PEFT adapter folder."""

    url: str
    config: bytes
    weights: bytes

    @property
    def sha256(self) -> str:
        """SHA-256 of both files."""
        return hashlib.sha256(self.config + b"\0" + self.weights).hexdigest()

    @property
    def sizes(self) -> dict[str, int]:
        """Number of entries of each trained tensor, by its name in the file."""
        fields = json.loads(self.config)
        saved = fields.get("modules_to_save") or []
        return {
            name: math.prod(tensor["shape"])
            for name, tensor in self._header().items()
            # Embeddings that were resized, or get LoRA, are saved with it, and frozen.
            if not EMBEDDING.search(name)
            or any(f".{module}." in name for module in saved)
        }

    @property
    def shapes(self) -> dict[str, list[int]]:
        """Shape of each tensor, by its name in the file."""
        return {name: tensor["shape"] for name, tensor in self._header().items()}

    @property
    def embedding_rows(self) -> int:
        """Rows of the token embeddings in the file; 0 where they are the base's."""
        for name, tensor in self._header().items():
            if EMBEDDING.search(name):
                return tensor["shape"][0]
        return 0

    def _header(self) -> dict[str, Any]:
        """Shape and dtype of each tensor. A safetensors file begins with them: 8 bytes
        of length, then JSON."""
        length = int.from_bytes(self.weights[:8], "little")
        header = json.loads(self.weights[8 : 8 + length])
        return {
            name: tensor for name, tensor in header.items() if name != "__metadata__"
        }


def read_adapter(folder: Folder, task: str = "SEQ_CLS") -> Adapter:
    """The adapter in a folder.

    task: PEFT's task_type, see ModelConfig.task. Raises ValueError, saying why its
    rewards would be wrong, unless the folder holds a LoRA adapter in safetensors, of a
    reward model with its score head, or of a language model.
    """
    try:
        config = folder.read_bytes(CONFIG)
    except FileNotFoundError:
        raise ValueError(f"{folder.url}: no {CONFIG}; not a PEFT adapter") from None
    try:
        fields = dict(json.loads(config))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{folder.url}/{CONFIG}: not a JSON object: {error}") from None
    found = fields.get("task_type")
    if fields.get("peft_type") != "LORA" or found not in _TAKEN[task]:
        hint = _OTHER.get(str(found), "")
        raise ValueError(
            f"{folder.url}: peft_type {fields.get('peft_type')}, task_type {found}; "
            f"a LoRA {MADE[task]} is LORA and {task}{hint}"
        )
    check_settings(folder.url, fields)
    try:
        adapter = Adapter(folder.url, config, folder.read_bytes(WEIGHTS))
    except FileNotFoundError:
        raise ValueError(f"{folder.url}: no {WEIGHTS} (pickles are refused)") from None
    try:
        safetensors.deserialize(adapter.weights)
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"{folder.url}/{WEIGHTS}: not a whole safetensors file ({error}): copy it "
            "again"
        ) from None
    names = adapter._header()
    if task == "CAUSAL_LM":
        _check_language_model(folder, names)
    elif not any(map(HEAD.search, names)):
        raise ValueError(
            f"{folder.url}: it holds no score head, so its rewards would be random; "
            f"save it with modules_to_save naming the head ({' or '.join(HEADS)})"
        )
    return adapter


def _check_language_model(folder: Folder, names: Iterable[str]) -> None:
    """Raise ValueError where implicit rewards of an adapter would be wrong."""
    for name in names:
        if ".lm_head." in name:
            raise ValueError(
                f"{folder.url}: it brings the language model's head ({name}), whose "
                "gradients are not computed: train without lm_head in target_modules "
                "and modules_to_save; where its vocabulary was resized, save the "
                "resized base, train on that, and give it as model.base"
            )
    reference = folder / REFERENCE
    if reference.exists(CONFIG):
        weights = safetensors.torch.load(read_adapter(reference, "CAUSAL_LM").weights)
        changed = (w.any() for name, w in weights.items() if _CHANGES.search(name))
        if any(changed):
            raise ValueError(
                f"{reference.url}: DPO's reference was an adapter, not the base alone: "
                "merge that adapter into the base, and give the merged model as "
                "model.base (PEFT: merge_and_unload)"
            )


def check_settings(url: str, fields: dict[str, Any]) -> None:
    """Raise ValueError naming a setting of PEFT whose gradients are not computed."""
    for name, why in _UNSUPPORTED.items():
        if fields.get(name):
            raise ValueError(f"{url}: {name} is not supported: {why}")
    initial = fields.get("init_lora_weights", True)
    if isinstance(initial, str) and initial.lower() not in _INITIAL:
        raise ValueError(
            f"{url}: init_lora_weights {initial!r} changed the base's weights, and the "
            "adapter does not say how: save it as plain LoRA (PEFT: "
            "path_initial_model_for_weight_conversion)"
        )


def weights_problem(adapter: Adapter) -> str | None:
    """What is wrong with the values of an adapter: all rewards would be equal, or not
    finite. None where nothing is."""
    weights = safetensors.torch.load(adapter.weights)
    for name, weight in weights.items():
        if not weight.isfinite().all():
            return f"{name} is not finite: the training diverged"
    heads = [w for name, w in weights.items() if HEAD.search(name) and w.ndim > 1]
    updates = [w for name, w in weights.items() if "lora_B" in name]
    for what, found in (("score head", heads), ("lora_B", updates)):
        if found and not any(weight.any() for weight in found):
            return (
                f"every {what} is zero, as before training, so its rewards say "
                "nothing; give the adapter that was saved after it"
            )
    return None


def attach(base: nn.Module, adapter: Adapter) -> PeftModel:
    """The base model with the adapter and its score head, in eval mode.

    Raises ValueError when the model does not take all of the adapter's weights, or
    needs more of them.
    """
    config = PeftConfig.from_peft_type(**json.loads(adapter.config))
    config.inference_mode = False
    resize(base, adapter)
    model = get_peft_model(base, config)
    set_dtypes(model)  # before the weights come: the head's are not to be rounded
    weights = safetensors.torch.load(adapter.weights)
    mismatch = set_peft_model_state_dict(model, weights)
    missing = [
        name
        for name in mismatch.missing_keys
        if "lora_" in name or "modules_to_save" in name
    ]
    if missing or mismatch.unexpected_keys:
        raise ValueError(
            f"{adapter.url}: {model.get_base_model().config.model_type} model and "
            f"adapter do not fit: {[*missing, *mismatch.unexpected_keys][:3]}"
        )
    return model.eval()


def resize(base: Any, adapter: Adapter) -> None:
    """Give the base as many token embeddings as the adapter's file brings."""
    rows = adapter.embedding_rows
    if rows and rows != base.get_input_embeddings().num_embeddings:
        base.resize_token_embeddings(rows, mean_resizing=False)
