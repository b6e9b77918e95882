"""Configuration of LLM judges (`ray_jobs.judge`)."""

import re
from typing import Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from inflib.config.base import Frozen


class JudgeConfig(Frozen):
    """A language model that rates responses or compares them."""

    base_url: str
    """Any OpenAI-compatible endpoint, its /v1 included. Where the model is served may
    change between calls; what is served is `model`, and its answers are kept by it."""

    model: str
    """The model, as the endpoint calls it."""

    api_key_env: str | None = "OPENAI_API_KEY"
    """Environment variable of the driver that holds the key; null: none is needed."""

    task: Literal["rate", "compare"] = "rate"
    """rate: every response by itself, 1 to 5, by the rubric. compare: which of two
    responses is more helpful."""

    name: str | None = None
    """Folder of the results, judge/<name>/, and the judge's name in them; default:
    made of model and task."""

    sets: tuple[str, ...] = ("train",)
    """Pair sets that are judged."""

    rubric: str | None = None
    """rate: file with another rubric than the one for sycophancy: what to look at,
    then five lines that start with Score 1: to Score 5:."""

    shots: int = Field(default=0, ge=0, le=50)
    """compare: labelled examples shown before each comparison, the same for all."""

    examples: str | None = None
    """compare: query set, or file of labelled pairs, that the examples are drawn from;
    prompts that are judged are left out."""

    order: Literal["random", "both"] = "random"
    """compare: which response is shown first: drawn by comparison_id and seed, or each
    once, at twice the cost; a judge who then contradicts itself says tie."""

    seed: int = 0
    """Fixes the examples and who is shown first."""

    repeats: PositiveInt = 1
    """Answers asked for each question; ratings are averaged, choices counted. More
    than one needs a temperature above 0."""

    temperature: NonNegativeFloat | None = 0.0
    """Of sampling; null: not sent, for models that refuse it."""

    max_tokens: PositiveInt = 512
    """Tokens of an answer at most. Judges that think before they answer need more."""

    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """How the endpoint calls that limit."""

    extra: dict[str, Any] = Field(default={})
    """More fields of every request, such as reasoning_effort."""

    price_in: NonNegativeFloat = 0.0
    """Price of a million tokens read, in any currency."""

    price_out: NonNegativeFloat = 0.0
    """Price of a million tokens written."""

    max_cost: PositiveFloat | None = None
    """Refuse to start where the estimate with what was spent exceeds it, and stop where
    the spend does. null: no limit."""

    requests_per_minute: PositiveFloat | None = None
    """Limit over all workers, tries that fail included. null: no limit."""

    at_once: PositiveInt = 8
    """Requests under way in each worker."""

    workers: PositiveInt = 1
    """Actors that ask."""

    timeout: PositiveFloat = 120.0
    """Seconds until an answer counts as lost."""

    retries: NonNegativeInt = 6
    """Tries more when the server is busy, broken or silent, with growing pauses."""

    reasks: NonNegativeInt = 2
    """Questions more when an answer cannot be read; each is paid for."""

    @property
    def judge(self) -> str:
        """The name, or the default one."""
        made = re.sub(r"[^A-Za-z0-9._-]+", "-", self.model).strip("-.")
        return self.name or f"{made}-{self.task}"

    @field_validator("base_url")
    @classmethod
    def _is_an_endpoint(cls, url: str) -> str:
        if not re.match(r"https?://[^/]", url):
            raise ValueError(f"must start with http:// or https://, not {url!r}")
        if "@" in url:
            raise ValueError("holds credentials; name their variable in api_key_env")
        return url

    @field_validator("api_key_env")
    @classmethod
    def _is_a_variable(cls, name: str | None) -> str | None:
        if name is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            # Without its value: it may be the key itself.
            raise ValueError("not the name of an environment variable")
        return name

    @field_validator("name")
    @classmethod
    def _is_a_folder(cls, name: str | None) -> str | None:
        if name is not None and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name):
            raise ValueError(f"{name!r}: use letters, digits, _, - and .")
        return name

    @field_validator("sets")
    @classmethod
    def _some(cls, sets: tuple[str, ...]) -> tuple[str, ...]:
        if not sets or len(set(sets)) != len(sets):
            raise ValueError("must be a non-empty list without repeats")
        return sets

    @model_validator(mode="after")
    def _goes_together(self) -> "JudgeConfig":
        if self.task == "rate" and (self.shots or self.examples is not None):
            raise ValueError("shots and examples are for task compare")
        if self.task == "compare" and self.rubric is not None:
            raise ValueError("rubric is for task rate")
        if (self.shots > 0) != (self.examples is not None):
            raise ValueError("shots and examples need each other")
        if self.repeats > 1 and self.temperature == 0:
            raise ValueError("repeats at temperature 0 pay for the same answer again")
        if self.max_cost is not None and not (self.price_in or self.price_out):
            raise ValueError("max_cost needs price_in and price_out")
        return self
