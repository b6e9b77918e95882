"""model.adapter to the folder that holds it: local, on object storage, or fetched from
the hub."""

import functools
import re
import tempfile
from pathlib import Path

from inflib.config.recipe import ModelConfig
from inflib.storage.folder import Folder

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
    "spm.model",
    "spiece.model",
)
TEMPLATE_FILE = "chat_template.jinja"
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def adapter_source(model: ModelConfig) -> Folder | None:
    """Folder of model.adapter; None without one.

    A name owner/name that is no local folder is fetched from the hub, the adapter's and
    the tokenizer's files only. Raises ValueError where it cannot be.
    """
    if model.adapter is None:
        return None
    is_name = _HUB_NAME.fullmatch(model.adapter) and not Path(model.adapter).exists()
    return Folder(_fetched(model.adapter) if is_name else model.adapter)


@functools.lru_cache(maxsize=4)
def _fetched(name: str) -> str:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    wanted = ["adapter_config.json", "adapter_model.safetensors", *TOKENIZER_FILES]
    try:
        return snapshot_download(name, allow_patterns=wanted)
    except (OSError, HfHubHTTPError) as error:
        said = (str(error).splitlines() or [""])[0]
        raise ValueError(
            f"model.adapter {name}: no such folder here, and the hub did not give it "
            f"({type(error).__name__}: {said}); download it and name its folder"
        ) from None


def adapter_tokenizer(folder: Folder) -> str | None:
    """A local folder with the adapter's own tokenizer; None where it has none."""
    files = tokenizer_files(folder)
    if not {"tokenizer.json", "tokenizer_config.json"} & set(files):
        return None
    if folder.is_local:
        return folder.url.removeprefix("file://")
    return _copied(folder, tuple(files))


def tokenizer_files(folder: Folder) -> list[str]:
    """Names of the tokenizer's files in an adapter's folder."""
    return sorted(folder.names() & set(TOKENIZER_FILES))


@functools.lru_cache(maxsize=4)
def _copied(folder: Folder, names: tuple[str, ...]) -> str:
    """A temporary copy of files that are on object storage."""
    target = Path(tempfile.mkdtemp(prefix="tokenizer-"))
    for name in names:
        (target / name).write_bytes(folder.read_bytes(name))
    return str(target)
