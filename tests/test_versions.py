"""pyproject.toml's bounds, and what is pinned at both of their ends."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.support.files import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [
    Requirement(text)
    for texts in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for text in texts
]
NOT_AT_ITS_LOWEST = {"torch"}
"""Pinned higher: constraints-lowest.txt says why."""


def pins(name):
    """{package: version} of a file of constraints."""
    lines = (ROOT / name).read_text().splitlines()
    found = (re.fullmatch(r"([\w.-]+)==(\S+)", line) for line in lines)
    return {canonicalize_name(m[1]): Version(m[2]) for m in found if m}


def bounds(requirement):
    """{operator: version} of a requirement."""
    return {part.operator: Version(part.version) for part in requirement.specifier}


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_a_requirement_has_both_bounds_and_they_are_tried_out(requirement):
    name, between = canonicalize_name(requirement.name), bounds(requirement)
    assert between.keys() == {">=", "<"}
    usual, lowest = (pins(f"constraints{end}.txt") for end in ("", "-lowest"))
    assert usual[name] in requirement.specifier
    assert lowest[name] in requirement.specifier
    assert lowest[name] == between[">="] or name in NOT_AT_ITS_LOWEST


def test_one_package_has_one_range():
    ranges: dict[str, set[str]] = {}
    for requirement in REQUIREMENTS:
        ranges.setdefault(requirement.name, set()).add(str(requirement.specifier))
    assert {name for name, found in ranges.items() if len(found) > 1} == set()
