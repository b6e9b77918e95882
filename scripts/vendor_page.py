"""The report page's libraries from their pinned npm packages to inflib/page/vendor.

    python scripts/vendor_page.py            # downloads, verifies, copies (needs npm)
    python scripts/vendor_page.py --check    # are the copies what is pinned? (offline)

The pins are inflib/page/vendor/versions.json: package, version, licence, the integrity
that npm publishes of the package's tarball, and for every copied file where it lies
in the package and its SHA-256. To move to another version, change version and
integrity there (`npm view PACKAGE@VERSION dist.integrity`) and run this script.
"""

import argparse
import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

VENDOR = Path(__file__).parent.parent / "inflib/page/vendor"
PINS = VENDOR / "versions.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, change nothing")
    pins = json.loads(PINS.read_text())
    if parser.parse_args().check:
        problems = differences(pins)
        print("\n".join(problems) or "vendored files are those that are pinned")
        return 1 if problems else 0
    for pin in pins:
        copy_files(pin)
    PINS.write_text(json.dumps(pins, indent=2) + "\n")
    return 0


def differences(pins: list[dict[str, Any]]) -> list[str]:
    """One line per file that is missing, changed or not pinned."""
    pinned = {
        name: file["sha256"] for pin in pins for name, file in pin["files"].items()
    }
    found = {path.name for path in VENDOR.iterdir()} - {PINS.name}
    problems = [f"{name}: not pinned" for name in sorted(found - set(pinned))]
    problems += [f"{name}: missing" for name in sorted(set(pinned) - found)]
    problems += [
        f"{name}: not the pinned content"
        for name in sorted(found & set(pinned))
        if hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() != pinned[name]
    ]
    return problems


def copy_files(pin: dict[str, Any]) -> None:
    """Download the package, verify it, and write its files and their digests."""
    with tempfile.TemporaryDirectory() as folder:
        package = f"{pin['package']}@{pin['version']}"
        command = ["npm", "pack", "--silent", package]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (tarball,) = Path(folder).glob("*.tgz")
        digest = hashlib.sha512(tarball.read_bytes()).digest()
        found = "sha512-" + base64.b64encode(digest).decode()
        if found != pin["integrity"]:
            raise ValueError(f"{package}: {found} is not the pinned integrity")
        with tarfile.open(tarball) as content:
            for name, file in pin["files"].items():
                member = content.extractfile(f"package/{file['from']}")
                assert member is not None, file["from"]
                data = without_source_map(member.read())
                (VENDOR / name).write_bytes(data)
                file["sha256"] = hashlib.sha256(data).hexdigest()
    print(f"{package}: {', '.join(pin['files'])}")


def without_source_map(data: bytes) -> bytes:
    """The file without its reference to a source map, which is not copied."""
    lines = data.split(b"\n")
    kept = [line for line in lines if not line.startswith(b"//# sourceMappingURL=")]
    return b"\n".join(kept)


if __name__ == "__main__":
    sys.exit(main())
