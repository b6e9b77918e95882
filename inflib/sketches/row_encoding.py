"""Numbers of comparisons to what is stored of them: also of those not finite."""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from inflib.sketches import store


def finite(
    margins: Float[Tensor, " n"],
    sq_norms: Float[Tensor, "n l"],
    sketches: Float[Tensor, "n k"],
) -> Bool[Tensor, " n"]:
    """Whether all numbers of a comparison are finite; on the CPU."""
    good = margins.isfinite().cpu() & sq_norms.isfinite().all(1).cpu()
    return good & sketches.isfinite().all(1).cpu()


def encoded(
    margins: Float[Tensor, " n"],
    sq_norms: Float[Tensor, "n l"],
    sketches: Float[Tensor, "n k"],
    dtype: str,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(payload, scales, margins, |s|^2 by layer) to store. Of a comparison that is not
    finite, the sketch is stored as zeros, margin and norms as NaN.

    Changes the sketches in place, which may take most of the memory.
    """
    good = finite(margins, sq_norms, sketches)
    sketches.masked_fill_(~good[:, None].to(sketches.device), 0.0)
    payload, scales = store.encode(sketches, dtype)
    own_margins, own_norms = (x.double().cpu().clone() for x in (margins, sq_norms))
    own_margins[~good], own_norms[~good] = torch.nan, torch.nan
    return payload, scales.numpy(), own_margins.numpy(), own_norms.numpy()


def statuses(sq_norms: Float[np.ndarray, "n l"]) -> list[str]:
    """Status of each comparison, by its |s|^2 as `encoded` gives them."""
    return [
        store.OK if square > 0 else store.ZERO if square == 0 else store.NOT_FINITE
        for square in sq_norms.sum(1)
    ]
