"""The columns of influence.parquet, whose rows are labels, and those that stand beside
it: the one list of them.

Scoring takes the names of its columns from here, and the README's table shows them.
`prepare` reserves them: a column of the user's data with such a name is kept as
input_<name>.

<score> stands for a curvature and a query set, such as gauss_newton_expert; with
score.keep_sweep also for a curvature, a damping and a query set.
"""

from dataclasses import dataclass

from inflib.data.pairs_folder import LABELS

KEPT_AS = "input_"
"""Prefix of a column of the user's data whose name is an output column's."""


@dataclass(frozen=True)
class OutputColumn:
    """One column, or one for each <score> or <curvature>."""

    name: str
    """Name of the column; ends in <score> or <curvature> where there are several."""

    unit: str
    """Unit of measurement; 1 for plain numbers, text for text."""

    meaning: str
    """What the column holds, and what its sign means."""

    @property
    def stem(self) -> str:
        """The name up to <score> or <curvature>; without one, the whole name."""
        return self.name.partition("<")[0]

    def of(self, *score: str) -> str:
        """Name of the column for a score: of("datainf", "expert") and
        of("datainf_expert") are the same."""
        assert "<" in self.name, self.name
        return self.stem + "_".join(score)

    def matches(self, name: str) -> bool:
        """Whether this is the column's name, for any <score> or <curvature>."""
        return name.startswith(self.stem) if "<" in self.name else name == self.name


PAIR_ID = OutputColumn("pair_id", "text", "the label")
COMPARISON_ID = OutputColumn(
    "comparison_id", "text", "prompt and both responses, whichever was chosen"
)
SIGN = OutputColumn("sign", "1", "+1: response a of the comparison was chosen; -1: b")
FILE = OutputColumn("file", "text", "input file")
FILE_ROW = OutputColumn("file_row", "1", "row in it, from 1")
LENGTH_DIFFERENCE = OutputColumn(
    "length_difference", "tokens", "tokens of the chosen minus the rejected response"
)
TARGET = OutputColumn(
    "target", "1", "probability that the chosen response is the better one; 0.5: a tie"
)
REQUIRED_MARGIN = OutputColumn(
    "required_margin", "reward", "margin that the loss requires of the label, c"
)
WEIGHT = OutputColumn("weight", "1", "factor of the label's loss; with edits")
STATUS = OutputColumn(
    "status",
    "text",
    "ok; not_finite (no scores); zero_gradient (scores 0); only ok counts in means",
)
MARGIN = OutputColumn(
    "margin",
    "reward",
    "r(chosen) - r(rejected), by the model that labels are scored by (train.keep)",
)
LOSS = OutputColumn(
    "loss",
    "nats",
    "-weight [target log sigmoid(e) + (1 - target) log sigmoid(-e)], e = margin - "
    "required margin",
)
GRADIENT_NORM = OutputColumn(
    "gradient_norm",
    "nats per parameter",
    "norm of the label's loss gradient; in Adam's metric with train.keep below 1",
)
INFLUENCE = OutputColumn(
    "influence_<score>",
    "query loss per unit of training weight",
    "> 0: the label raises the loss on that query set, it is harmful; of the whole "
    "label, with its weight",
)
ERROR = OutputColumn(
    "error_<score>",
    "as influence",
    "standard error of influence: the sketch's and the query set's",
)
FLIP_EFFECT = OutputColumn(
    "flip_effect_<score>",
    "as influence",
    "influence if flipped minus influence as labelled; < 0: flipping helps",
)
RANK = OutputColumn("rank_<score>", "1", "by influence; 1: most harmful")
SELF_INFLUENCE = OutputColumn(
    "self_influence_<curvature>",
    "training loss per unit of training weight",
    "g' H^-1 g: influence of the label on its own loss (score.self_probes)",
)
PARTS = OutputColumn(
    "parts_<score>",
    "as influence",
    "influence by query group, whose sum it is (first curvature)",
)
FLIP_PARTS = OutputColumn(
    "flip_parts_<score>",
    "as influence",
    "flip effect by query group, whose sum it is (first curvature)",
)

CROSSFIT_MARGIN = OutputColumn(
    "crossfit_margin",
    "reward",
    "r(chosen) - r(rejected) by a model that saw no label on the prompt; in "
    "crossfit/margins.parquet (`inflib crossfit`)",
)

COLUMNS = (
    PAIR_ID,
    COMPARISON_ID,
    SIGN,
    FILE,
    FILE_ROW,
    LENGTH_DIFFERENCE,
    REQUIRED_MARGIN,
    TARGET,
    WEIGHT,
    STATUS,
    MARGIN,
    LOSS,
    GRADIENT_NORM,
    INFLUENCE,
    ERROR,
    FLIP_EFFECT,
    RANK,
    SELF_INFLUENCE,
    PARTS,
    FLIP_PARTS,
)
"""All columns of the file. The user's own stand before `status`."""

BESIDE = (CROSSFIT_MARGIN,)
"""Columns that other commands write into files of their own, by pair_id."""


def is_reserved(name: str) -> bool:
    """Whether a column of the user's data with this name must be renamed."""
    if name.startswith(KEPT_AS):  # it would clash with a column that was renamed
        return is_reserved(name.removeprefix(KEPT_AS))
    return name in LABELS.names or any(
        column.matches(name) for column in COLUMNS + BESIDE
    )
