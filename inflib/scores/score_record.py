"""How scores came about: the record in influence/done.json."""

from pydantic import BaseModel, ConfigDict

from inflib.config.score import Curvature
from inflib.numerics.damping import Choice


class CurvatureRecord(BaseModel):
    """How the scores of one curvature came about."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    lambdas: dict[str, float] = {}
    """DataInf's lambda of every block; empty for the others."""

    steps: int | None = None
    """Steps of conjugate gradients, where there are any."""

    trace: float | None = None
    """Trace of the undamped H, that dampings are relative to."""

    queries: dict[str, Choice] = {}
    """The damping chosen for each query set, where one is."""


class ScoreRecord(BaseModel):
    """done.json; fields of other versions are ignored."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    inputs: str
    """Digest of labels, sketches and settings (`score_inputs`)."""

    sha256: str
    """Of influence.parquet."""

    pairs: int
    """Labels, one row each."""

    finite: float
    """Labels that count, with the weights of edits: n in all means."""

    curvatures: dict[Curvature, CurvatureRecord]
    query_groups: dict[str, list[float]]
    """Share of each query set's labels in each of its query groups."""
