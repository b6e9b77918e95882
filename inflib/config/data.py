"""Configuration of the data: sources, planted biases, preparation."""

from typing import Literal

from pydantic import (
    Field,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from inflib.config.base import Frozen, check_address


class PlantConfig(Frozen):
    """A known bias put into labels, to see whether an audit finds it."""

    kind: Literal["longer_chosen", "higher_rated_chosen"] = "longer_chosen"
    """longer_chosen: the response with more tokens is made the chosen one.
    higher_rated_chosen: the one with the higher rating is (needs ratings)."""

    share: float = Field(default=0.2, gt=0, le=1)
    """Share of the labels made biased, picked by a hash of pair_id and seed. Those
    already agreeing with the bias stay as they are; the others are flipped."""

    max_difference: PositiveFloat | None = None
    """higher_rated_chosen only: labels whose ratings differ by this or more stay as
    they are. The paper: 1.5 on a scale of 1 to 5."""

    seed: int = 0
    """Fixes which labels are picked."""


class SourceConfig(Frozen):
    """One set of preference labels: where it is and which of it to take."""

    path: str | tuple[str, ...]
    """Files (JSONL, Parquet, CSV; globs, .gz and s3:// allowed), a `datasets` folder,
    or a hub name written hub:owner/name, with a folder of it as hub:owner/name/dir;
    or made-up data, generated:answers?pairs=900&seed=0."""

    split: str = "train"
    """Split of a hub name or of a `datasets` dictionary folder."""

    columns: dict[str, str] = Field(default={})
    """Renames: our name (prompt, chosen, rejected, pair_id; response) to the column's
    name."""

    part: tuple[float, float] = (0.0, 1.0)
    """Takes the pairs whose prompt hashes into [from, to) of [0, 1): two sources on
    the same files with disjoint parts never share a prompt."""

    select: Literal[
        "all",
        "chosen_shorter",
        "chosen_longer",
        "chosen_lower_rated",
        "chosen_higher_rated",
    ] = "all"
    """Keeps the labels whose chosen response has fewer (more) tokens, or a lower
    (higher) rating, than the rejected one; ties are in neither."""

    ratings: str | tuple[str, ...] | None = None
    """Files with ratings of the responses, averaged over judges: columns pair_id,
    chosen, rejected, or comparison_id, a, b (`ray_jobs.judge`). Labels without one are
    not used. Adds the column rating_difference (chosen - rejected)."""

    plant: PlantConfig | None = None
    """Known bias put into these labels (adds columns planted, planted_flip)."""

    @field_validator("path", "ratings")
    @classmethod
    def _no_credentials(
        cls, path: str | tuple[str, ...] | None
    ) -> str | tuple[str, ...] | None:
        for address in (path,) if isinstance(path, str) else path or ():
            check_address(address)
        return path

    @model_validator(mode="after")
    def _has_ratings(self) -> "SourceConfig":
        planted = self.plant is not None and self.plant.kind == "higher_rated_chosen"
        if self.ratings is None and (planted or self.select.endswith("_rated")):
            raise ValueError("plant and select by rating need ratings: name a file")
        return self

    @field_validator("columns")
    @classmethod
    def _known_names(cls, columns: dict[str, str]) -> dict[str, str]:
        ours = {"prompt", "chosen", "rejected", "pair_id", "response"}
        if unknown := set(columns) - ours:
            raise ValueError(
                f"cannot map {sorted(unknown)}: our names are prompt, chosen, "
                "rejected, pair_id, and response for rated responses (other columns "
                "are kept under their own names)"
            )
        return columns

    @field_validator("part")
    @classmethod
    def _ordered(cls, part: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= part[0] < part[1] <= 1:
            raise ValueError(f"part must be 0 <= from < to <= 1, not {list(part)}")
        return part


class PrepareConfig(Frozen):
    """Stage 1: preference data to tokenised comparisons and labels, in shards."""

    train: SourceConfig
    """Labels to audit (and to train the reward model on)."""

    queries: dict[str, SourceConfig]
    """Trusted query sets by name; each gets its own influence column."""

    max_length: PositiveInt = 1024
    """Tokens per sequence; longer ones lose tokens at the left of the prompt, never
    of a response."""

    append_eos: bool = True
    """End text pairs (not chat) with the tokenizer's EOS, as TRL does. Set to false
    for an adapter whose training read the reward before EOS (pad == eos)."""

    margin_column: str | None = None
    """Numeric column with the margin that the chosen reward must have over the other
    one: the loss is -log sigmoid(r(chosen) - r(rejected) - margin), as with TRL's
    column of this kind. Every pair set needs it then."""

    shard_rows: PositiveInt = 1024
    """Most comparisons in a shard. Shards have about equal token counts."""

    on_bad_rows: Literal["exclude", "stop"] = "exclude"
    """exclude: list bad rows and go on. stop: list them and stop."""

    @property
    def sources(self) -> dict[str, SourceConfig]:
        """All pair sets by name: train, then the query sets."""
        return {"train": self.train, **self.queries}

    @field_validator("queries")
    @classmethod
    def _names(cls, queries: dict[str, SourceConfig]) -> dict[str, SourceConfig]:
        if not queries:
            raise ValueError("at least one query set is needed")
        for name in queries:
            if name == "train" or not name.isidentifier():
                raise ValueError(
                    f"query set name {name!r}: use letters, digits and _, not 'train'"
                )
        return queries
