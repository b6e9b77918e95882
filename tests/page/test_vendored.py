"""The page's libraries are those that are pinned."""

import shutil
import subprocess
import sys

from tests.support.files import ROOT


def test_vendored_files_are_the_pinned_ones_and_a_change_is_seen(tmp_path):
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    shutil.copytree(ROOT / "inflib/page/vendor", tmp_path / "inflib/page/vendor")
    command = [sys.executable, tmp_path / "scripts/vendor_page.py", "--check"]
    assert subprocess.run(command, capture_output=True).returncode == 0
    changed = tmp_path / "inflib/page/vendor/diff.min.js"
    changed.write_bytes(changed.read_bytes() + b"\n")
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stdout == "diff.min.js: not the pinned content\n"
