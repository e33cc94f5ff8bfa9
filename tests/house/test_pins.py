"""Pins: constraints.txt and buildout.cfg hold one and the same version of everything installed."""

import configparser
import re
from importlib.metadata import distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def running(name: str) -> str | None:
    """Return the version installed, past the copies that setuptools brings for itself."""
    found = (d.version for d in distributions(name=name) if "_vendor" not in str(d.locate_file("")))
    return next(found, None)


@pytest.fixture(scope="module")
def constraints(root: Path) -> dict[str, str]:
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.partition("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, _, version in rows}


@pytest.fixture(scope="module")
def buildout(root: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(delimiters=("=",))
    parser.read(root / "buildout.cfg", encoding="utf-8")
    return parser


def test_buildout_has_the_versions_of_the_constraints(
    constraints: dict[str, str], buildout: configparser.RawConfigParser
) -> None:
    """`make pins` makes them equal."""
    assert constraints == {canonicalize_name(name): version for name, version in buildout["versions"].items()}


def test_buildout_picks_no_version_itself(buildout: configparser.RawConfigParser) -> None:
    assert buildout["buildout"]["versions"] == "versions"
    assert buildout["buildout"]["allow-picked-versions"] == "false"


def test_every_pin_is_exact(constraints: dict[str, str]) -> None:
    assert not [name for name, version in constraints.items() if not re.fullmatch(r"\d[\w.]*", version)]


def needed(requirement: Requirement, seen: set[str]) -> set[str]:
    """Add to `seen` what an installed requirement needs on this Python, itself included."""
    for extra in requirement.extras or {""}:
        for line in requires(requirement.name) or []:
            other = Requirement(line)
            wanted = other.marker is None or other.marker.evaluate({"extra": extra})
            if wanted and canonicalize_name(other.name) not in seen:
                seen.add(canonicalize_name(other.name))
                needed(other, seen)
    return seen


def test_everything_needed_is_pinned(constraints: dict[str, str]) -> None:
    """Else buildout stops, and two installations of one commit differ."""
    found = needed(Requirement("haywain[server,science,test,check]"), set())
    assert {"zodb", "numpy", "pytest", "persistent"} <= found
    unpinned = found - set(constraints)
    assert not unpinned


def test_what_runs_is_what_is_pinned(constraints: dict[str, str]) -> None:
    assert running("ZODB") == constraints["zodb"]
    differing = [name for name, version in constraints.items() if running(name) not in (None, version)]
    assert not differing
