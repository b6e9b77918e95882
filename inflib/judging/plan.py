"""Comparisons of a prepared run to the questions that a judge is asked about them, in
chunks for its workers, and to what these will cost.

Questions are about comparisons, so answers do not depend on labels. Equal questions (a
response that recurs, a comparison in two sets) have equal digests and are asked once.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from inflib.config.data import SourceConfig
from inflib.config.judge import JudgeConfig
from inflib.config.recipe import Recipe
from inflib.data.chat_rendering import renderer
from inflib.data.input_files import shape_of
from inflib.data.pairs_folder import PairsFolder
from inflib.data.rows import read_labels
from inflib.files.paths import find_files
from inflib.files.raw_rows import BadRow
from inflib.judging.questions import SYCOPHANCY, Example, Questionnaire, check_rubric
from inflib.numerics.hash_sampling import uniform_hash
from inflib.shapes.pairs import prompt_of
from inflib.shapes.split import Render
from inflib.storage.folder import Folder, open_filesystem

TEXTS = ["comparison_id", "prompt", "response_a", "response_b"]
"""Columns of a comparison that questions are made of."""

CHARACTERS_PER_TOKEN = 4
"""A rough estimate for English; other scripts have fewer."""

Texts = dict[str, str]
"""{column of TEXTS: text}."""


@dataclass(frozen=True)
class Question:
    """One question about one comparison, and where its texts are."""

    pairs: str
    """Pair set of the comparison."""

    shard: str
    row: int
    """Row of the comparison in its shard."""

    comparison_id: str
    side: str
    """a or b: the response that is rated, or that is shown first."""

    digest: str
    """Digest of the question's words, by which its answers are stored."""

    num_characters: int


def judge_config(recipe: Recipe) -> JudgeConfig:
    """The recipe's judge. Raises ValueError where the recipe has none, or names a pair
    set to judge that it does not have."""
    if recipe.judge is None:
        raise ValueError(
            "the recipe has no judge: give --judge.base_url and --judge.model"
        )
    sets = [*recipe.prepare.sources]
    for pairs in recipe.judge.sets:
        if pairs not in sets:
            raise ValueError(f"judge.sets {pairs!r}: no such set; there is {sets}")
    return recipe.judge


def read_questionnaire(recipe: Recipe) -> Questionnaire:
    """What the judge of a prepared run is asked: reads its rubric and its examples.

    Raises ValueError for a rubric without a line for each score, or too few examples.
    """
    config = judge_config(recipe)
    rubric = "" if config.task == "compare" else SYCOPHANCY
    if config.rubric is not None:
        fs, path = open_filesystem(config.rubric)
        origin = f"judge.rubric {config.rubric}"
        rubric = check_rubric(fs.cat_file(path).decode(), origin)
    examples = draw_examples(recipe) if config.shots else ()
    return Questionnaire(config, rubric, examples)


def list_questions(run: Folder, questionnaire: Questionnaire) -> Iterator[Question]:
    """All questions about a run's comparisons, in the order of sets, shards and rows;
    equal ones as often as they occur."""
    for pairs in questionnaire.config.sets:
        folder = PairsFolder(run / "pairs" / pairs)
        for shard in folder.plan():
            rows = folder.comparisons(shard, TEXTS).to_pylist()
            for row, texts in enumerate(rows):
                for side in questionnaire.sides(texts["comparison_id"]):
                    text = questionnaire.text(texts, side)
                    yield Question(
                        pairs,
                        shard.name,
                        row,
                        texts["comparison_id"],
                        side,
                        questionnaire.digest(text),
                        len(text),
                    )


def draw_examples(recipe: Recipe) -> tuple[Example, ...]:
    """judge.shots few-shot examples, drawn by the seed from labelled comparisons whose
    prompts are not judged; as many labels for a as for b make no example.

    Raises ValueError where there are too few such comparisons.
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
    names = [
        name
        for name, (_, vote) in votes.items()
        if vote and prompt_of(name) not in judged
    ]
    if len(names) < config.shots:
        raise ValueError(
            f"judge.examples {config.examples!r} has {len(names)} examples whose "
            f"prompt is not judged; judge.shots asks for {config.shots}"
        )
    names.sort(key=lambda name: uniform_hash(config.seed, f"example {name}"))
    return tuple(_example(config.seed, n, *votes[n]) for n in names[: config.shots])


def _example(seed: int, comparison_id: str, texts: Texts, vote: int) -> Example:
    a, b = texts["response_a"], texts["response_b"]
    better_first = uniform_hash(seed, f"first {comparison_id}") < 0.5
    better, worse = (a, b) if vote > 0 else (b, a)
    if better_first:
        return Example(texts["prompt"], better, worse, "A")
    return Example(texts["prompt"], worse, better, "B")


Votes = dict[str, tuple[Texts, int]]
"""{comparison_id: (texts, labels that chose a minus labels that chose b)}."""


def _query_votes(folder: PairsFolder) -> Votes:
    """Votes by the labels of a query set."""
    votes: Votes = {}
    for shard in folder.plan():
        labels = folder.labels(shard, ["comparison_id", "sign"]).to_pydict()
        signs = Counter[str]()
        for name, sign in zip(labels["comparison_id"], labels["sign"], strict=True):
            signs[name] += sign
        for texts in folder.comparisons(shard, TEXTS).to_pylist():
            votes[texts["comparison_id"]] = (texts, signs[texts["comparison_id"]])
    return votes


def _renderer(recipe: Recipe) -> Render:
    """The chat template of the run's texts; it is read with the first chat."""

    def render(*arguments: Any, **options: Any) -> str:
        from inflib.data.tokenizer import load_tokenizer

        return renderer(load_tokenizer(recipe.model))(*arguments, **options)

    return render


def _file_votes(recipe: Recipe, path: str) -> Votes:
    """Votes by files of labelled pairs. Raises ValueError naming a row that is none."""
    votes: Votes = {}
    source, render = SourceConfig(path=path), _renderer(recipe)
    for file in find_files(path):
        shape = shape_of(source, "judge.examples", file)
        for pair, _ in read_labels(file, shape, source, render):
            if isinstance(pair, BadRow):
                raise ValueError(f"{pair.file}, row {pair.row}: {pair.problem}")
            a, b = pair.responses
            texts = {"prompt": pair.prompt, "response_a": a, "response_b": b}
            vote = votes.get(pair.comparison_id, (texts, 0))[1] + pair.sign
            votes[pair.comparison_id] = (texts, vote)
    return votes


@dataclass(frozen=True)
class Estimate:
    """Requests, tokens and cost of the questions still to ask."""

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
    """What questions, each with the number of its repeat, will take: about how many
    tokens in, at most how many out. Questions that are asked again because an answer
    cannot be read come on top."""
    characters = sum(question.num_characters for question, _ in todo)
    tokens_in = -(-characters // CHARACTERS_PER_TOKEN)
    tokens_out = len(todo) * config.max_tokens
    return Estimate(
        len(todo), tokens_in, tokens_out, cost(config, tokens_in, tokens_out)
    )


def cost(config: JudgeConfig, tokens_in: int, tokens_out: int) -> float:
    """Price of tokens read and written, in the currency of the config's prices."""
    return (config.price_in * tokens_in + config.price_out * tokens_out) / 1e6


def chunks(
    todo: list[tuple[Question, int]], config: JudgeConfig
) -> list[list[tuple[Question, int]]]:
    """Questions, each with the number of its repeat, in order, cut into chunks of one
    shard each.

    A chunk has at most 16 questions for each request that a worker has under way, and
    no more than its share of all questions.
    """
    most = min(16 * config.at_once, -(-len(todo) // config.workers))
    chunked: list[list[tuple[Question, int]]] = []
    for item in todo:
        last = chunked[-1][-1][0] if chunked else None
        same = last and (last.pairs, last.shard) == (item[0].pairs, item[0].shard)
        if not same or len(chunked[-1]) >= most:
            chunked.append([])
        chunked[-1].append(item)
    return chunked
