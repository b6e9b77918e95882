"""sketches/manifest.json, read without a model."""

from inflib.numerics.layer_bins import Layer, from_json
from inflib.sketches import store
from inflib.storage.folder import Folder


def read_layers(run: Folder) -> list[Layer]:
    """Raises ValueError for sketches that another version has written."""
    manifest = (run / "sketches").read_json("manifest.json")
    if manifest.get("format") != store.FORMAT:
        raise ValueError(
            f"{run.url}/sketches/manifest.json: format {manifest.get('format')}, this "
            f"version reads {store.FORMAT}: delete sketches/ and influence/, and rerun"
        )
    return from_json(manifest["layers"])
