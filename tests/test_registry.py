"""Registry: adding one file adds one kind, and a file that cannot be used stops the start with its name."""

import importlib
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from haywain import registry
from haywain.app import open_site
from haywain.document import Document
from haywain.errors import RegistryError, UnknownNameError
from haywain.registry import FOLDERS, load_registry
from haywain.settings import load

PROBE = """
from pydantic import Field
from haywain.document import Document, Properties

class ProbeProperties(Properties):
    depth: int = Field(0, description="How deep.")

class Probe(Document):
    portal_type = {name!r}
    module_id = {module!r}
    schema = ProbeProperties
"""
Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    """Write a content file into the instance `tmp_path`; afterwards the process has forgotten it."""
    packages = [importlib.import_module(f"haywain.{folder}") for folder in FOLDERS]
    paths, modules = [list(p.__path__) for p in packages], set(sys.modules)

    def write(name: str, content: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        importlib.invalidate_caches()
        return path

    yield write
    for package, path in zip(packages, paths, strict=True):
        package.__path__[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith(tuple(f"haywain.{folder}." for folder in FOLDERS)):
            parent, _, child = name.rpartition(".")
            vars(sys.modules[parent]).pop(child, None)
            del sys.modules[name]


def probe(name: str = "Probe", module: str = "probe_module") -> str:
    return PROBE.format(name=name, module=module)


def test_kinds_are_found_by_walking() -> None:
    found = load_registry()
    assert {"Data Stream", "Person", "Token", "Quarantine"} <= set(found.portal_types)
    assert found.rule("default").title
    assert found.portal_type("Person").__module__ == "haywain.portal_types.person"


def test_unknown_kinds_are_named_with_the_near_ones() -> None:
    with pytest.raises(UnknownNameError, match="Data Stream"):
        load_registry().portal_type("Data Steam")
    with pytest.raises(UnknownNameError, match="default"):
        load_registry().rule("defualt")


def test_file_of_an_instance_adds_a_kind(tmp_path: Path, write: Write) -> None:
    write("portal_types/probe.py", probe())
    cls = load_registry(tmp_path).portal_type("Probe")
    assert cls.__module__ == "haywain.portal_types.probe"
    assert load_registry(tmp_path).portal_type("Probe") is cls


def test_documents_of_an_instances_kind_are_kept(tmp_path: Path, write: Write) -> None:
    settings = load(data=tmp_path / "var", admin_password="correct horse")
    open_site(settings)[0].close()
    write("var/portal_types/probe.py", probe())
    site, _ = open_site(settings)
    path, _ = site.transact(lambda p: p.new("Probe", reference="p", depth=3).path)
    site.close()
    site, _ = open_site(settings)
    with site.open() as portal:
        assert portal[path].properties.depth == 3
        assert [hit.reference for hit in portal.catalog(portal_type="Probe")] == ["p"]
    site.close()


def test_two_kinds_with_one_name_stop_it_naming_both_files(tmp_path: Path, write: Write) -> None:
    path = write("portal_types/probe.py", probe("Person"))
    with pytest.raises(RegistryError) as caught:
        load_registry(tmp_path)
    assert str(path) in str(caught.value) and "person.py" in str(caught.value)


def test_file_that_hides_ours_stops_it_naming_both(tmp_path: Path, write: Write) -> None:
    path = write("portal_types/person.py", probe())
    with pytest.raises(RegistryError) as caught:
        load_registry(tmp_path)
    assert str(path) in str(caught.value) and str(caught.value).count("person.py") == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x = 1\n", "no class Probe"),
        ("def f(:\n", "cannot be imported"),
        ("raise OSError('x')\n", "cannot be imported"),
        ("class Probe:\n    portal_type = 'Probe'\n", "must be a Document"),
        (probe(name=""), "has no portal_type"),
        (probe(module=""), "module_id"),
        (probe() + "    workflow_name = 'nope'\n", "no workflow 'nope'"),
        (probe() + "    schema = dict\n", "Properties"),
    ],
    ids=[
        "no class",
        "no Python",
        "raises",
        "no Document",
        "no name",
        "no module",
        "no workflow",
        "no schema",
    ],
)
def test_file_that_cannot_be_used_stops_it(tmp_path: Path, write: Write, content: str, message: str) -> None:
    write("portal_types/probe.py", content)
    with pytest.raises(RegistryError, match=message) as caught:
        load_registry(tmp_path)
    assert "probe" in str(caught.value)


def test_policy_that_cannot_be_made_stops_it_naming_the_file(tmp_path: Path, write: Write) -> None:
    content = (
        "class Odd:\n    name = title = 'odd'\n"
        "    def __init__(self): raise KeyError('x')\n    route = deliver = None.__eq__\n"
    )
    path = write("ingestion_policies/odd.py", content)
    with pytest.raises(RegistryError, match="KeyError") as caught:
        load_registry(tmp_path)
    assert str(path) in str(caught.value)


def test_policy_without_its_methods_stops_it(tmp_path: Path, write: Write) -> None:
    write("ingestion_policies/odd.py", "class Odd:\n    name = title = 'odd'\n")
    with pytest.raises(RegistryError, match="route and deliver"):
        load_registry(tmp_path)


KIND = """
from haywain.activity.kind import Kind

class Odd(Kind):
    name, title, portal_types = {name!r}, "Odd", {works_on!r}

    def run(self, work):
        yield 1.0
"""


def test_file_of_an_instance_adds_an_activity(tmp_path: Path, write: Write) -> None:
    write("activities/odd.py", KIND.format(name="odd", works_on=("Data Stream",)))
    found = load_registry(tmp_path)
    assert found.activities_on("Data Stream")["odd"].title == "Odd"
    assert "odd" not in found.activities_on("Person")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("class Odd:\n    name = 'odd'\n", "method run"),
        (
            KIND.format(name="odd", works_on=("Person",)).replace("def run", "def walk"),
            "abstract method '?run",
        ),
        (KIND.format(name="odd", works_on=()), "portal_types"),
        (KIND.format(name="not a method", works_on=("Person",)), "name of a method"),
        (KIND.format(name="odd", works_on=("Persn",)), "'Persn'"),
    ],
    ids=["no run", "run of Kind alone", "works on nothing", "no method's name", "unknown kind of document"],
)
def test_activity_that_cannot_be_used_stops_it(
    tmp_path: Path, write: Write, content: str, message: str
) -> None:
    write("activities/odd.py", content)
    with pytest.raises(RegistryError, match=message) as caught:
        load_registry(tmp_path)
    assert "odd.py" in str(caught.value)


def test_files_with_an_underscore_are_left_alone(tmp_path: Path, write: Write) -> None:
    write("portal_types/_helper.py", "raise OSError\n")
    load_registry(tmp_path)


def test_other_packages_bring_kinds_by_entry_points(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("somebody_elses.py", probe())
    monkeypatch.syspath_prepend(str(tmp_path))
    point = EntryPoint("probe", "somebody_elses:Probe", "haywain.portal_types")
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == point.group else [])
    site, _ = open_site(load(data=tmp_path / "var", admin_password="correct horse"))
    path, _ = site.transact(lambda p: p.new("Probe", depth=3).path)
    site.database.cacheMinimize()
    with site.open() as portal:
        assert portal[path].properties.depth == 3
    site.close()
    del sys.modules["somebody_elses"]


@pytest.mark.parametrize("value", ["no_such_module:X", "os:no_such_thing", "os:getcwd"])
def test_entry_point_that_cannot_be_used_stops_it(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("odd", value, "haywain.portal_types")
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == point.group else [])
    with pytest.raises(RegistryError, match="odd"):
        load_registry()


def test_a_kind_is_a_document() -> None:
    assert all(issubclass(cls, Document) for cls in load_registry().portal_types.values())
