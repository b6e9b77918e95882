"""sketches/manifest.json: what the sketches of a run were made with.

Written once, by sketches.binding, which needs the model; read here without one. Later
stages need its layers and units.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from inflib.numerics.layer_bins import Layer, from_json
from inflib.sketches.store import FORMAT
from inflib.storage.folder import Folder

_FILE = "manifest.json"


class Manifest:
    """The manifest of a run's sketches; the file is read at the first use."""

    def __init__(self, run: Folder) -> None:
        self.folder = run / "sketches"

    @cached_property
    def _fields(self) -> dict[str, Any]:
        fields = self.folder.read_json(_FILE)
        if fields.get("format") != FORMAT:
            raise ValueError(
                f"{self.folder.url}/{_FILE}: format {fields.get('format')}, this "
                f"version reads {FORMAT}: delete sketches/ and influence/, and rerun"
            )
        return fields

    @property
    def layers(self) -> list[Layer]:
        """Layers of a sketch, each with its range of bins.

        Raises ValueError for sketches that another version has written.
        """
        return from_json(self._fields["layers"])

    def unit(self, pairs: str) -> Any:
        """What got one gradient in a pair set: "comparison" or "response"."""
        return self._fields["units"][pairs]

    @property
    def adapter_sha256(self) -> str:
        """Digest of the adapter whose gradients were sketched."""
        return self._fields["adapter_sha256"]

    @property
    def in_training(self) -> bool:
        """Whether comparisons were sketched in the course of training, each by the
        model as it was."""
        return self._fields.get("in_training", False)

    @property
    def learning_rate_sum(self) -> float | None:
        """Sum of training's learning rates, where sketches are in Adam's metric."""
        kept = self._fields.get("kept")
        return kept and kept["learning_rate_sum"]

    def bind(
        self, fields: dict[str, Any], choose_units: Callable[[], dict[str, str]]
    ) -> None:
        """Write the manifest; if there is one, compare it instead.

        Raises ValueError naming the field in which it differs. choose_units: the unit
        of each pair set; called only when the manifest is written.
        """
        if not self.folder.exists(_FILE):
            self.folder.write_json(_FILE, fields | {"units": choose_units()})
            return
        stored = self.folder.read_json(_FILE)
        for name, value in fields.items():
            if stored.get(name) != value:
                raise ValueError(
                    f"{self.folder.url} was made with {name} = {stored.get(name)!r}, "
                    f"now {value!r}: choose another --run, or delete that folder"
                )


def read_layers(run: Folder) -> list[Layer]:
    """Layers of a run's sketches, each with its range of bins."""
    return Manifest(run).layers
