"""Configuration of the bias-detection study (`ray_jobs.detect_bias`)."""

from typing import Any

from pydantic import Field, NonNegativeInt, PositiveInt

from inflib.config.base import Frozen


class BiasConfig(Frozen):
    """Which labels were planted wrong: influence against other detectors."""

    truth: str = "planted_flip"
    """Kept boolean column: true where the label is known to be wrong."""

    activations: bool = True
    """Computes hidden states of every response, one more pass over the model, for
    Mahalanobis distance and nearest neighbours."""

    neighbours: tuple[PositiveInt, ...] = (1, 3, 5, 10, 20, 50, 100)
    """k of the nearest neighbours that are tried."""

    resamples: PositiveInt = 1000
    """Bootstrap resamples of the labels, for 95% intervals and paired tests."""

    sizes: tuple[PositiveInt, ...] = (10, 20, 50, 100, 200, 500)
    """Query labels drawn at random for the ablation of the query set's size."""

    repeats: PositiveInt = 5
    """Draws of each size."""

    ablate: dict[str, tuple[Any, ...]] = Field(default={})
    """Recipe fields and the values to try instead, each in a run of its own inside
    this one: {sketch.sketch_size: [1024, 4096], train.lora_r: [2, 64]}."""

    choices: tuple[str, ...] = ()
    """Files in which LLM judges say which response is better (`ray_jobs.judge`); each
    becomes a point of the ROC figures, named like the folder that it is in."""

    examples: NonNegativeInt = 10
    """Most harmful and most helpful labels shown with their texts."""

    folds: int = Field(default=5, ge=2)
    """Folds of the cross-validated combination of influence and length difference."""

    seed: NonNegativeInt = 0
    """Of resamples, draws and folds."""
