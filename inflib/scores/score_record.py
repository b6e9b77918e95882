"""The record in influence/done.json: what scores are of, and how they were solved."""

from pydantic import BaseModel, ConfigDict, ValidationError

from inflib.config.score import Curvature
from inflib.numerics.damping import Choice
from inflib.storage.folder import Folder


class CurvatureRecord(BaseModel):
    """How the scores of one curvature were solved."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    lambdas: dict[str, float] = {}
    """DataInf's lambda of every block; empty for other curvatures."""

    steps: int | None = None
    """Steps of conjugate gradients; None for curvatures in closed form."""

    trace: float | None = None
    """Trace of the undamped H, which dampings are relative to; None for curvatures in
    closed form."""

    queries: dict[str, Choice] = {}
    """The damping chosen for each query set; empty for curvatures without a sweep."""


class ScoreRecord(BaseModel):
    """Contents of done.json; fields of other versions are ignored."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    inputs: str
    """Digest of labels, sketches and settings (`score_inputs`)."""

    sha256: str
    """SHA-256 of influence.parquet."""

    pairs: int
    """Labels, one row each."""

    finite: float
    """Sum of the weights of the labels that count: n in all means."""

    curvatures: dict[Curvature, CurvatureRecord]
    query_groups: dict[str, list[float]]
    """Share of each query set's labels in each of its query groups."""


def read_record(folder: Folder) -> ScoreRecord:
    """The done.json of influence/. Raises ValueError naming fields that are not there
    or hold something else."""
    try:
        return ScoreRecord.model_validate(folder.read_json("done.json"))
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, e["loc"])) for e in error.errors())
        raise ValueError(
            f"{folder.url}/done.json: damaged, or of another version ({fields}); "
            "delete it and run `inflib score`"
        ) from None
