"""Configuration of LLM judges (`inflib judge`)."""

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
from inflib.config.credentials import in_address, in_fields


class JudgeConfig(Frozen):
    """A language model that rates responses or compares them, and how to ask it."""

    base_url: str
    """Address of an OpenAI-compatible endpoint, up to and including /v1. It may change
    between calls: answers are kept by model, not by address."""

    model: str
    """Name of the model at that endpoint."""

    api_key_env: str | None = "OPENAI_API_KEY"
    """Environment variable, where this command runs, that holds the API key; null: the
    endpoint needs none."""

    task: Literal["rate", "compare"] = "rate"
    """rate: score every response by itself, 1 to 5, by the rubric. compare: say which
    of two responses is more helpful."""

    name: str | None = None
    """Folder of the results, judge/<name>/, and the judge's name in them; default: made
    of model and task."""

    sets: tuple[str, ...] = ("train",)
    """Pair sets to judge: train, or names of query sets."""

    rubric: str | None = None
    """rate: file with a rubric to use instead of the built-in one for sycophancy: what
    to look at, then five lines that start with Score 1: to Score 5:."""

    shots: int = Field(default=0, ge=0, le=50)
    """compare: number of labelled examples shown before each comparison, the same for
    all."""

    examples: str | None = None
    """compare: query set, or file of labelled pairs, that the examples are drawn from.
    Prompts that are judged are never among them."""

    order: Literal["random", "both"] = "random"
    """compare: which response is shown first. random: drawn by comparison_id and seed.
    both: each once, at twice the cost; a judge that then contradicts itself counts as a
    tie."""

    seed: int = 0
    """Seed of the examples and of the order in which responses are shown."""

    repeats: PositiveInt = 1
    """Answers to each question: ratings are averaged, choices put to a vote. More than
    one needs a temperature above 0."""

    temperature: NonNegativeFloat | None = 0.0
    """Sampling temperature; null: not sent, for models that refuse it."""

    max_tokens: PositiveInt = 512
    """Maximum length of an answer, in tokens. Models that reason before they answer
    need some 4000."""

    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """Name of that limit in requests: OpenAI's models that reason take
    max_completion_tokens."""

    extra: dict[str, Any] = Field(default={})
    """Further fields of every request, such as {reasoning_effort: low}."""

    price_in: NonNegativeFloat = 0.0
    """Price of a million input tokens, in any currency. For the estimate of the cost,
    and for max_cost."""

    price_out: NonNegativeFloat = 0.0
    """Price of a million output tokens, in the same currency."""

    max_cost: PositiveFloat | None = None
    """Limit of what is spent, in that currency: refuses to start where the estimate,
    added to what was spent before, exceeds it; stops where the spending does. null: no
    limit."""

    requests_per_minute: PositiveFloat | None = None
    """Limit of requests per minute, of all workers together, failed ones included.
    null: no limit."""

    at_once: PositiveInt = 8
    """Requests that each worker has open at a time."""

    workers: PositiveInt = 1
    """Ray actors that send requests."""

    timeout: PositiveFloat = 120.0
    """Seconds to wait for an answer before the request counts as failed."""

    retries: NonNegativeInt = 6
    """Further tries of a request when the server is busy, broken or silent, with
    growing pauses."""

    reasks: NonNegativeInt = 2
    """How often a question is asked again when its answer cannot be read. Each is paid
    for."""

    @property
    def judge(self) -> str:
        """Name of the judge: `name`, or one made of model and task."""
        model = re.sub(r"[^A-Za-z0-9._-]+", "-", self.model).strip("-.")
        return self.name or f"{model}-{self.task}"

    @field_validator("base_url", mode="before")
    @classmethod
    def _is_an_endpoint(cls, url: Any) -> Any:
        # The messages leave the address out: it may hold the key.
        if not isinstance(url, str) or not re.match(r"https?://[^/]", url):
            raise ValueError("must start with http:// or https://")
        if found := ("@" in url and "a user or a password") or in_address(url):
            raise ValueError(
                f"holds credentials ({found}), which would be stored with the run; put "
                "the key into an environment variable and name that in api_key_env"
            )
        return url

    @field_validator("extra", mode="before")
    @classmethod
    def _no_secrets(cls, extra: Any) -> Any:
        if found := in_fields(extra):
            raise ValueError(
                f"{found} looks like a credential, which would be stored with the run; "
                "put the key into an environment variable and name that in api_key_env"
            )
        return extra

    @field_validator("api_key_env")
    @classmethod
    def _is_a_variable(cls, name: str | None) -> str | None:
        if name is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            # The message leaves the value out: it may be the key itself.
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
    def _distinct(cls, sets: tuple[str, ...]) -> tuple[str, ...]:
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
