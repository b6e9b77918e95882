"""sketches/manifest.json: what a store of sketches was made with. Read without a model.

Written once, by sketches.binding; later stages need its layers and units.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from inflib.numerics.layer_bins import Layer, from_json
from inflib.sketches.store import FORMAT
from inflib.storage.folder import Folder

_FILE = "manifest.json"


class Manifest:
    """The manifest of a run's sketches; read when first asked for."""

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
        """Raises ValueError for sketches that another version has written."""
        return from_json(self._fields["layers"])

    def unit(self, pairs: str) -> Any:
        """What a gradient was computed for in a pair set (sketches.units.UnitKind)."""
        return self._fields["units"][pairs]

    @property
    def adapter_sha256(self) -> str:
        return self._fields["adapter_sha256"]

    def bind(
        self, fields: dict[str, Any], choose_units: Callable[[], dict[str, str]]
    ) -> None:
        """Write the manifest, or raise ValueError naming the field in which it differs.

        choose_units: called when it is written.
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
    """Layers of the sketches' bins."""
    return Manifest(run).layers
