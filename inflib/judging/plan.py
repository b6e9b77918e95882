"""Which questions a judge is asked about a run's comparisons, and what they will cost.

The unit is the comparison, so answers do not depend on labels. Equal questions (a
response that recurs, a comparison in two sets) are asked once.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from inflib.config.judge import JudgeConfig
from inflib.config.recipe import Recipe
from inflib.data.hash_sampling import unit_hash
from inflib.data.pairs import Message, prompt_of, to_pair
from inflib.data.pairs_folder import PairsFolder
from inflib.data.readers import BadRow, find_files, read_rows
from inflib.judging.questions import SYCOPHANCY, Example, Questions, check_rubric
from inflib.storage.folder import Folder, open_filesystem

TEXTS = ["comparison_id", "prompt", "response_a", "response_b"]
CHARACTERS_PER_TOKEN = 4
"""A rough estimate for English; other scripts have fewer."""

Texts = dict[str, str]


@dataclass(frozen=True)
class Question:
    """One question about one comparison, and where its texts are."""

    pairs: str
    shard: str
    row: int
    comparison_id: str
    part: str
    digest: str
    num_characters: int


def judge_config(recipe: Recipe) -> JudgeConfig:
    """The recipe's judge; ValueError where there is none, or for an unknown set."""
    if recipe.judge is None:
        raise ValueError(
            "the recipe has no judge: give --judge.base_url and --judge.model"
        )
    known = [*recipe.prepare.sources]
    for pairs in recipe.judge.sets:
        if pairs not in known:
            raise ValueError(f"judge.sets {pairs!r}: no such set; there is {known}")
    return recipe.judge


def questions(recipe: Recipe) -> Questions:
    """What the judge of a prepared run is asked: its rubric and examples are read."""
    config = judge_config(recipe)
    rubric = "" if config.task == "compare" else SYCOPHANCY
    if config.rubric is not None:
        fs, path = open_filesystem(config.rubric)
        origin = f"judge.rubric {config.rubric}"
        rubric = check_rubric(fs.cat_file(path).decode(), origin)
    return Questions(config, rubric, draw_examples(recipe) if config.shots else ())


def asked(run: Folder, asks: Questions) -> Iterator[Question]:
    """All questions, in the order of the sets and their shards."""
    for pairs in asks.config.sets:
        folder = PairsFolder(run / "pairs" / pairs)
        for shard in folder.plan():
            rows = folder.comparisons(shard, TEXTS).to_pylist()
            for row, texts in enumerate(rows):
                for part in asks.parts(texts["comparison_id"]):
                    text = asks.text(texts, part)
                    yield Question(
                        pairs,
                        shard.name,
                        row,
                        texts["comparison_id"],
                        part,
                        asks.digest(text),
                        len(text),
                    )


def draw_examples(recipe: Recipe) -> tuple[Example, ...]:
    """The few-shot examples: fixed by the seed, of prompts that are not judged.

    Raises ValueError where there are too few of them.
    """
    config, run = judge_config(recipe), Folder(recipe.run)
    assert config.examples is not None
    if config.examples in recipe.prepare.queries:
        votes = _query_votes(PairsFolder(run / "pairs" / config.examples))
    else:
        votes = _file_votes(recipe, config.examples)
    judged = {
        prompt_of(name)
        for pairs in config.sets
        for folder in [PairsFolder(run / "pairs" / pairs)]
        for shard in folder.plan()
        for name in folder.comparisons(shard, TEXTS[:1])[TEXTS[0]].to_pylist()
    }
    # Labels that disagree by halves say nothing.
    found = [
        name
        for name, (_, vote) in votes.items()
        if vote and prompt_of(name) not in judged
    ]
    if len(found) < config.shots:
        raise ValueError(
            f"judge.examples {config.examples!r} has {len(found)} examples whose "
            f"prompt is not judged; judge.shots asks for {config.shots}"
        )
    found.sort(key=lambda name: unit_hash(config.seed, f"example {name}"))
    return tuple(_example(config.seed, n, *votes[n]) for n in found[: config.shots])


def _example(seed: int, comparison_id: str, texts: Texts, vote: int) -> Example:
    a, b = texts["response_a"], texts["response_b"]
    better_first = unit_hash(seed, f"first {comparison_id}") < 0.5
    better, worse = (a, b) if vote > 0 else (b, a)
    if better_first:
        return Example(texts["prompt"], better, worse, "A")
    return Example(texts["prompt"], worse, better, "B")


Votes = dict[str, tuple[Texts, int]]
"""{comparison_id: (texts, labels for a minus labels for b)}."""


def _query_votes(folder: PairsFolder) -> Votes:
    votes: Votes = {}
    for shard in folder.plan():
        labels = folder.labels(shard, ["comparison_id", "sign"]).to_pydict()
        signs = Counter[str]()
        for name, sign in zip(labels["comparison_id"], labels["sign"], strict=True):
            signs[name] += sign
        for texts in folder.comparisons(shard, TEXTS).to_pylist():
            votes[texts["comparison_id"]] = (texts, signs[texts["comparison_id"]])
    return votes


def _file_votes(recipe: Recipe, path: str) -> Votes:
    votes: Votes = {}
    for file in find_files(path):
        for raw in read_rows(file, "train"):
            pair = raw if isinstance(raw, BadRow) else to_pair(raw, {}, _render(recipe))
            if isinstance(pair, BadRow):
                raise ValueError(f"{pair.file}, row {pair.row}: {pair.problem}")
            a, b = pair.responses
            texts = {"prompt": pair.prompt, "response_a": a, "response_b": b}
            vote = votes.get(pair.comparison_id, (texts, 0))[1] + pair.sign
            votes[pair.comparison_id] = (texts, vote)
    return votes


def _render(recipe: Recipe) -> Any:
    """The chat template that the run's own texts went through."""

    def render(turns: list[Message], add_generation_prompt: bool) -> str:
        from inflib.data.tokenizer import load_tokenizer

        tokenizer: Any = load_tokenizer(recipe.model)
        return tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=add_generation_prompt
        )

    return render


@dataclass(frozen=True)
class Estimate:
    """What the questions still to ask will take."""

    requests: int
    tokens_in: int
    tokens_out: int
    cost: float

    def __str__(self) -> str:
        return (
            f"{self.requests} requests to make, about {self.tokens_in} tokens in "
            f"(characters / {CHARACTERS_PER_TOKEN}), at most {self.tokens_out} out, "
            f"cost at most about {self.cost:.4f}"
        )


def estimate(config: JudgeConfig, todo: list[tuple[Question, int]]) -> Estimate:
    """An upper estimate of the output, a rough one of the input; questions that are
    asked again, because their answers cannot be read, come on top."""
    characters = sum(question.num_characters for question, _ in todo)
    tokens_in = -(-characters // CHARACTERS_PER_TOKEN)
    tokens_out = len(todo) * config.max_tokens
    return Estimate(
        len(todo), tokens_in, tokens_out, cost(config, tokens_in, tokens_out)
    )


def cost(config: JudgeConfig, tokens_in: int, tokens_out: int) -> float:
    """Price of some tokens."""
    return (config.price_in * tokens_in + config.price_out * tokens_out) / 1e6


def chunks(
    todo: list[tuple[Question, int]], config: JudgeConfig
) -> list[list[tuple[Question, int]]]:
    """The questions, with the numbers of their repeats, as units of work of one shard.

    A unit keeps a worker's requests under way for some rounds.
    """
    most = min(16 * config.at_once, -(-len(todo) // config.workers))
    found: list[list[tuple[Question, int]]] = []
    for item in todo:
        last = found[-1][-1][0] if found else None
        same = last and (last.pairs, last.shard) == (item[0].pairs, item[0].shard)
        if not same or len(found[-1]) >= most:
            found.append([])
        found[-1].append(item)
    return found
