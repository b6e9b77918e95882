"""The columns of influence.parquet: the one list of them.

Scoring names its columns by it, `prepare` reserves their names (a column of the user's
data with such a name is kept as input_<name>), and the README's table holds it.

<score> is a curvature and a query set, gauss_newton_expert; with score.keep_sweep also
a curvature, a damping and a query set.
"""

from dataclasses import dataclass

from inflib.data.pairs_folder import LABELS

KEPT_AS = "input_"
"""How the name of a user's column starts whose own name is an output column's."""


@dataclass(frozen=True)
class OutputColumn:
    """One column, or the columns that differ in what stands for <score>."""

    name: str
    """Its name; <score>, or <curvature>, at its end stands for many."""

    unit: str
    meaning: str
    """What it holds, with its sign where it has one."""

    @property
    def stem(self) -> str:
        """What all names of a many-named column start with."""
        return self.name.partition("<")[0]

    def of(self, *score: str) -> str:
        """One of its columns: of("datainf", "expert") or of("datainf_expert")."""
        assert "<" in self.name, self.name
        return self.stem + "_".join(score)

    def matches(self, name: str) -> bool:
        """Whether a name is this column's, or one of its columns'."""
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
STATUS = OutputColumn(
    "status",
    "text",
    "ok; not_finite (no scores); zero_gradient (scores 0); only ok counts in means",
)
MARGIN = OutputColumn("margin", "reward", "r(chosen) - r(rejected)")
LOSS = OutputColumn("loss", "nats", "-log sigmoid(margin - required margin)")
GRADIENT_NORM = OutputColumn(
    "gradient_norm", "nats per parameter", "norm of the label's loss gradient"
)
INFLUENCE = OutputColumn(
    "influence_<score>",
    "query loss per unit of training weight",
    "> 0: the label raises the loss on that query set, it is harmful",
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

COLUMNS = (
    PAIR_ID,
    COMPARISON_ID,
    SIGN,
    FILE,
    FILE_ROW,
    LENGTH_DIFFERENCE,
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
)
"""All of them; the user's own columns follow the label's."""


def is_reserved(name: str) -> bool:
    """Whether a column of the user's data must not keep this name."""
    if name.startswith(KEPT_AS):  # or it would meet one that was renamed
        return is_reserved(name.removeprefix(KEPT_AS))
    return name in LABELS.names or any(column.matches(name) for column in COLUMNS)
