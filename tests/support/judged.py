"""Recipes with a judge, texts of runs and questions, and scripts of a local server."""

import json
import re
from pathlib import Path
from typing import Any

from inflib.config.recipe import Recipe
from inflib.data.pairs_folder import PairsFolder
from inflib.storage.folder import Folder
from tests.support.judge_server import JudgeServer, Reply

TEXT = re.compile(
    r"\[\[(\w+(?: [AB])?) ([0-9a-f]{12})\]\]\n(.*?)\n\[\[END \1 \2\]\]", re.S
)
PRICES = {"price_in": 2.0, "price_out": 10.0}


def with_judge(recipe: Recipe, server: JudgeServer, **fields: Any) -> Recipe:
    """The recipe with a judge that is served there."""
    settings = {"base_url": server.url, "api_key_env": None, **fields}
    return Recipe.model_validate(recipe.model_dump() | {"judge": settings})


def comparisons(recipe: Recipe, *sets: str) -> list[dict[str, str]]:
    """Id and texts of the comparisons of some pair sets, in plan order."""
    folders = [PairsFolder(Folder(recipe.run) / "pairs" / pairs) for pairs in sets]
    names = ["comparison_id", "prompt", "response_a", "response_b"]
    return [
        row
        for folder in folders
        for shard in folder.plan()
        for row in folder.comparisons(shard, names).to_pylist()
    ]


def responses(recipe: Recipe, *sets: str) -> set[tuple[str, str]]:
    """Distinct (prompt, response) of some pair sets."""
    rows = comparisons(recipe, *sets)
    return {(r["prompt"], r[x]) for r in rows for x in ("response_a", "response_b")}


def results(recipe: Recipe) -> tuple[Path, dict[str, Any]]:
    """(folder of the judge's results, its done.json)."""
    assert recipe.judge is not None
    folder = Path(recipe.run) / "judge" / recipe.judge.judge
    return folder, json.loads((folder / "done.json").read_text())


def texts(question: str) -> dict[str, str]:
    """{name: text} under judgement; texts of examples, which come first, drop out."""
    return {name: text for name, _, text in TEXT.findall(question)}


def stars(text: str) -> int:
    """The score, 1 to 5, that `rate` gives to a response."""
    return 1 + len(text) % 5


def rate(question: str, before: int) -> Reply:
    """Script of a judge that rates by `stars`."""
    score = stars(texts(question)["RESPONSE"])
    return Reply(json.dumps({"feedback": "so", "score": score}))


def longer(question: str, before: int) -> Reply:
    """Script of a judge that prefers the longer response."""
    shown = texts(question)
    first = len(shown["RESPONSE A"]) > len(shown["RESPONSE B"])
    return Reply(json.dumps({"choice": "A" if first else "B"}))
