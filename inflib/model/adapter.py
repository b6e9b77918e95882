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
from dataclasses import dataclass
from typing import Any

import safetensors.torch
from peft import PeftConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from torch import nn

from inflib.model.reward import HEADS, set_dtypes
from inflib.storage.folder import Folder

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


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
        """Number of entries of each tensor, by its name in the file."""
        return {
            name: math.prod(tensor["shape"]) for name, tensor in self._header().items()
        }

    def check_trained(self) -> None:
        """Raise ValueError for an adapter that is as it was made: all lora_B, or the
        score head, zero."""
        weights = safetensors.torch.load(self.weights)
        for what, pattern in (
            ("lora_B", r"lora_B"),
            ("score head", rf"\.({'|'.join(HEADS)})\."),
        ):
            found = [w for name, w in weights.items() if re.search(pattern, name)]
            if found and not any(bool(weight.any()) for weight in found):
                raise ValueError(
                    f"{self.url}: every {what} is zero, as before training, so its "
                    "rewards say nothing; give the adapter that was saved after it"
                )

    def _header(self) -> dict[str, Any]:
        """Shape and dtype of each tensor. A safetensors file begins with them: 8 bytes
        of length, then JSON."""
        length = int.from_bytes(self.weights[:8], "little")
        header = json.loads(self.weights[8 : 8 + length])
        return {
            name: tensor for name, tensor in header.items() if name != "__metadata__"
        }


def read_adapter(folder: Folder) -> Adapter:
    """The adapter in a folder.

    Raises ValueError, saying why its rewards would be wrong, unless the folder holds a
    LoRA adapter of a reward model with its score head, in safetensors.
    """
    try:
        config = folder.read_bytes(CONFIG)
    except FileNotFoundError:
        raise ValueError(f"{folder.url}: no {CONFIG}; not a PEFT adapter") from None
    fields = json.loads(config)
    if fields.get("peft_type") != "LORA" or fields.get("task_type") != "SEQ_CLS":
        raise ValueError(
            f"{folder.url}: peft_type {fields.get('peft_type')}, task_type "
            f"{fields.get('task_type')}; a LoRA reward model is LORA and SEQ_CLS"
        )
    try:
        adapter = Adapter(folder.url, config, folder.read_bytes(WEIGHTS))
    except FileNotFoundError:
        raise ValueError(f"{folder.url}: no {WEIGHTS} (pickles are refused)") from None
    names = adapter._header()
    if not any(re.search(rf"\.({'|'.join(HEADS)})\.", name) for name in names):
        raise ValueError(
            f"{folder.url}: it holds no score head, so its rewards would be random; "
            f"save it with modules_to_save naming the head ({' or '.join(HEADS)})"
        )
    return adapter


def attach(base: nn.Module, adapter: Adapter) -> PeftModel:
    """The base model with the adapter and its score head, in eval mode.

    Raises ValueError when the model does not take all of the adapter's weights, or
    needs more of them.
    """
    config = PeftConfig.from_peft_type(**json.loads(adapter.config))
    config.inference_mode = False
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
