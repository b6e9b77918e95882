"""Configuration of the bias-detection study (`inflib bias-study`)."""

from typing import Any

from pydantic import Field, NonNegativeInt, PositiveInt

from inflib.config.base import Frozen


class BiasConfig(Frozen):
    """Which labels were planted wrong: influence against other detectors."""

    truth: str = "planted_flip"
    """Boolean column of the data, true where the label is known to be wrong. The
    default is the column that prepare.train.plant adds."""

    activations: bool = True
    """Also try the detectors that need hidden states, Mahalanobis distance and nearest
    neighbours, for one more forward pass over all responses."""

    neighbours: tuple[PositiveInt, ...] = (1, 3, 5, 10, 20, 50, 100)
    """Values of k that the nearest-neighbour detector chooses from."""

    resamples: PositiveInt = 1000
    """Bootstrap resamples of the labels, for 95% intervals and paired tests."""

    sizes: tuple[PositiveInt, ...] = (10, 20, 50, 100, 200, 500)
    """Ablation of the query set's size: numbers of query labels to draw at random.
    Those that a query set does not reach are left out."""

    repeats: PositiveInt = 5
    """Random draws of each of these sizes."""

    ablate: dict[str, tuple[Any, ...]] = Field(default={})
    """Ablation of recipe fields: {field: values to try}, each value in a run of its own
    inside the run folder, such as {sketch.sketch_size: [1024, 4096],
    train.lora_r: [2, 64]}. Fields outside sketch and score train a new reward model."""

    choices: tuple[str, ...] = ()
    """Files choices.jsonl of LLM judges (`inflib judge`, task compare). Each judge is a
    point in the ROC plots, named after the file's folder; judges whose folders are
    called the same, after the folders above, too."""

    examples: NonNegativeInt = 10
    """Labels shown with their texts: so many of the most harmful, and as many of the
    most helpful."""

    folds: int = Field(default=5, ge=2)
    """Folds of the cross-validation that fits the detector influence_and_length."""

    seed: NonNegativeInt = 0
    """Seed of the resamples, the draws and the folds."""
