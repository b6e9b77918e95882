"""Configuration of the data: where labels are, biases planted into them, stage 1."""

from typing import Literal

from pydantic import (
    Field,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from inflib.config.base import Frozen
from inflib.config.shapes import ShapeConfig


class PlantConfig(Frozen):
    """A known bias planted into labels, to test whether an audit finds it."""

    kind: Literal["longer_chosen", "higher_rated_chosen"] = "longer_chosen"
    """Response that the planted bias favours. longer_chosen: the one with more tokens.
    higher_rated_chosen: the one with the higher rating (needs ratings)."""

    share: float = Field(default=0.2, gt=0, le=1)
    """Share of the labels that get the bias, picked by a hash of pair_id and seed.
    Those that already agree with it stay as they are; the others are flipped."""

    max_difference: PositiveFloat | None = None
    """higher_rated_chosen only: labels whose ratings differ by this or more stay as
    they are. Min et al. (README, Citation): 1.5 on a scale of 1 to 5."""

    seed: int = 0
    """Seed of the hash that picks the labels."""


class SourceConfig(ShapeConfig):
    """One set of preference labels: where it is, and which of its labels to take."""

    path: str | tuple[str, ...]
    """Files (JSON, CSV, Parquet, Arrow; compressed too), folders of files, globs, local
    or s3://; a `datasets` folder; a data set of the Hugging Face hub written
    hub:owner/name or hub:owner/name/folder; or generated data such as
    generated:answers?pairs=900&seed=0. See docs/formats.md."""

    split: str = "train"
    """Split to read of a hub data set or a saved DatasetDict."""

    encoding: str = "utf-8"
    """Encoding of text files, such as cp1252. Byte-order marks come first."""

    delimiter: str = "auto"
    """What stands between the fields of a CSV file: a character, or auto."""

    part: tuple[float, float] = (0.0, 1.0)
    """Take the pairs whose prompt hashes into [from, to) of [0, 1). Two sources on the
    same files with disjoint parts, such as 0,0.8 and 0.8,1, share no prompt."""

    select: Literal[
        "all",
        "chosen_shorter",
        "chosen_longer",
        "chosen_lower_rated",
        "chosen_higher_rated",
    ] = "all"
    """Labels to keep: those whose chosen response has fewer (chosen_shorter) or more
    tokens than the rejected one, or a lower or higher rating. Ties are kept by `all`
    only."""

    ratings: str | tuple[str, ...] | None = None
    """Files with ratings of the responses: columns pair_id, chosen, rejected, or
    comparison_id, a, b (as `inflib judge` writes them). Judges are averaged; labels
    without a rating are left out. Adds the column rating_difference (chosen -
    rejected)."""

    plant: PlantConfig | None = None
    """Bias planted into these labels, to test whether the audit finds it. Adds the
    columns planted (picked) and planted_flip (made wrong)."""

    @field_validator("delimiter")
    @classmethod
    def _is_a_character(cls, delimiter: str) -> str:
        if delimiter != "auto" and (len(delimiter) != 1 or delimiter in '"\r\n'):
            raise ValueError("must be one character, no quote or line break, or auto")
        return delimiter

    @model_validator(mode="after")
    def _has_ratings(self) -> "SourceConfig":
        planted = self.plant is not None and self.plant.kind == "higher_rated_chosen"
        if self.ratings is None and (planted or self.select.endswith("_rated")):
            raise ValueError("plant and select by rating need ratings: name a file")
        return self

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
    """Trusted query sets by name: labels whose loss the scores explain. Each gets its
    own influence column."""

    max_length: PositiveInt = 1024
    """Maximum length of prompt and response, in tokens. Longer prompts lose tokens at
    their start; pairs whose responses alone are longer are left out."""

    append_eos: bool = True
    """End text (not chat) with the tokenizer's EOS, as TRL does. Set to false for an
    adapter that was trained with pad token = EOS: it gives the reward before EOS."""

    margin_column: str | None = None
    """Numeric column with the margin c that the loss requires of a pair, as TRL's
    column margin does: -log sigmoid(r(chosen) - r(rejected) - c). Every pair set needs
    it then. null: c = 0."""

    shared_with_train: Literal["drop", "keep"] = "drop"
    """Labels of a query set on comparisons that are training ones, too: the model has
    learned them by heart, and a label would be scored by itself. drop: left out and
    listed. keep: counted in the data report and in the verdict."""

    shard_rows: PositiveInt = 1024
    """Maximum number of comparisons in a shard, which is what is computed, stored and
    resumed as one. Shards have about equal token counts."""

    on_bad_rows: Literal["exclude", "stop"] = "exclude"
    """What happens to rows that cannot be used. exclude: they are listed in
    excluded.parquet and left out. stop: they are listed, and preparing stops."""

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
