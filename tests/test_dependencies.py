"""What is installed along with ctseg: pinned to the last package, named with its licence in docs/security.md."""

import importlib.metadata
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def needed(name, extras=frozenset(), seen=None):
    """The requirements of an installed package, and of those in turn; extras as asked for on the way."""
    seen = {} if seen is None else seen
    try:
        told = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return seen
    for requirement in map(Requirement, told):
        if requirement.marker and not any(requirement.marker.evaluate({"extra": e}) for e in (*extras, "")):
            continue
        found, wanted = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (found, wanted) not in seen:
            seen[found, wanted] = requirement
            needed(requirement.name, wanted, seen)
    return seen


def needed_to(*extras):
    return [(name, one) for (name, _), one in needed("ctseg", extras).items() if name != "ctseg"]


@pytest.fixture(scope="module")
def pins():
    lines = (ROOT / ".ci" / "constraints.txt").read_text().splitlines()
    assert lines[0].startswith("# Python 3.")
    plain = [re.fullmatch(r"([\w.-]+)==([\w.]+)", line) for line in lines[1:]]
    assert all(plain)  # no label of a local build, no path, no address
    return {canonicalize_name(found[1]): found[2] for found in plain}


def test_whatever_development_needs_is_pinned_to_a_version_that_will_do(pins):
    found = needed_to("dev")
    assert {"numpy", "torch", "onnx", "pytest"} <= {name for name, _ in found}
    assert not [name for name, _ in found if name not in pins]
    assert not [name for name, one in found if not one.specifier.contains(pins[name])]


def test_whatever_a_run_needs_stands_in_the_table_of_licences():
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| ")]
    named = {canonicalize_name(name) for row in rows for name in re.findall(r"[\w.-]+", row)}
    assert not {name for name, _ in needed_to()} - named


def test_no_licence_binds_those_who_use_it():
    for name, _ in needed_to():
        told = importlib.metadata.metadata(name)
        words = [told.get("License-Expression"), *(told.get_all("Classifier") or [])]
        assert not [word for word in words if word and "GPL" in word and "Library" not in word], name
