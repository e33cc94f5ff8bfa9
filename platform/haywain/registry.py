"""Find the kinds: walk the content folders, entry points and an instance's own folders at start-up.

A kind is one file with one public class.  Nothing lists them: adding the file adds the kind.
"""

import importlib
import pkgutil
import sys
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from haywain.document import Document, Properties
from haywain.errors import RegistryError, UnknownNameError
from haywain.interfaces import IngestionRule
from haywain.workflow import WORKFLOWS

if TYPE_CHECKING:
    from haywain.activity.kind import Kind

T = TypeVar("T")

FOLDERS = ("portal_types", "ingestion_policies", "activities")


@dataclass(frozen=True)
class Registry:
    """The kinds there are, by name."""

    portal_types: dict[str, type[Document]] = field(default_factory=dict)
    ingestion_policies: dict[str, IngestionRule] = field(default_factory=dict)
    activities: "dict[str, Kind]" = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    """Why a file that has changed since the start cannot be used, by its path."""

    def problem_of(self, rule: str) -> str:
        """Return why the file of a rule cannot be used as it is now; "" if it can."""
        known = self.ingestion_policies.get(rule)
        return self.problems.get(_file(type(known)), "") if known is not None and self.problems else ""

    def take_rule(self, path: Path) -> IngestionRule:
        """Take up a rule from a new or changed file of an instance's own folder, in place of what it said.

        Raises RegistryError, and then what was there still holds.
        """
        rule = _fresh_rule(path, self.ingestion_policies)
        before = [name for name, one in self.ingestion_policies.items() if _file(type(one)) == str(path)]
        self.ingestion_policies[rule.name] = rule
        for name in before:
            if name != rule.name:
                del self.ingestion_policies[name]
        return rule

    @property
    def modules(self) -> frozenset[str]:
        """The Python modules of the Portal Types: the database loads their classes, also other packages'."""
        return frozenset(cls.__module__ for cls in self.portal_types.values())

    def portal_type(self, name: str) -> type[Document]:
        """Return the class of a Portal Type; raises UnknownNameError."""
        return _named("Portal Type", name, self.portal_types)

    def rule(self, name: str) -> IngestionRule:
        """Return the rule of a policy; raises UnknownNameError."""
        return _named("rule", name, self.ingestion_policies)

    def activities_on(self, portal_type: str) -> "dict[str, Kind]":
        """Return the kinds of activities that work on a kind of document, by name."""
        return {name: kind for name, kind in self.activities.items() if portal_type in kind.portal_types}


def load_registry(instance: Path | None = None) -> Registry:
    """Return all kinds; `instance` may hold folders of its own beside ours.

    Raises RegistryError, which names the file, or both where two kinds have one name.
    """
    portal_types = _by_name("portal_types", "portal_type", instance)
    rules = _by_name("ingestion_policies", "name", instance)
    activities = _by_name("activities", "name", instance)
    return Registry(
        portal_types={name: _checked(cls) for name, cls in portal_types.items()},
        ingestion_policies={name: _rule(cls) for name, cls in rules.items()},
        activities={name: _kind(cls, portal_types) for name, cls in activities.items()},
    )


def _by_name(folder: str, attribute: str, instance: Path | None) -> dict[str, type]:
    found: dict[str, type] = {}
    for cls in _classes(folder, instance):
        name = getattr(cls, attribute, "")
        if not name:
            raise RegistryError(f"{_file(cls)}: {cls.__name__} has no {attribute}")
        if name in found:
            raise RegistryError(f"Two kinds are named {name!r}: {_file(found[name])} and {_file(cls)}")
        found[name] = cls
    return found


def _classes(folder: str, instance: Path | None) -> list[type]:
    package = importlib.import_module(f"haywain.{folder}")
    own = instance / folder if instance is not None else None
    if own is not None and own.is_dir() and str(own) not in package.__path__:
        _refuse_shadows(package, own)
        package.__path__.append(str(own))
    modules = [
        _imported(f"{package.__name__}.{info.name}")
        for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name)
        if not info.name.startswith("_")
    ]
    return [_public_class(module) for module in modules] + [
        _loaded(point) for point in entry_points(group=f"haywain.{folder}")
    ]


def _fresh_rule(path: Path, known: dict[str, IngestionRule]) -> IngestionRule:
    """Return the rule of a file as it is now; another import of it would find the old one."""
    package = importlib.import_module("haywain.ingestion_policies")
    ours = [Path(folder) / path.name for folder in package.__path__ if Path(folder) != path.parent]
    for other in ours:
        if other.exists():
            raise RegistryError(f"Two files are one module: {other} and {path}; rename the second")
    name = f"{package.__name__}.{path.stem}"
    before = sys.modules.get(name)
    module = sys.modules[name] = ModuleType(name)
    module.__file__ = str(path)
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), vars(module))  # noqa: S102  # as an import does
        rule = _rule(_named_class(_public_class(module)))
        other_rule = known.get(rule.name)
        if other_rule is not None and _file(type(other_rule)) != str(path):
            raise RegistryError(
                f"Two kinds are named {rule.name!r}: {_file(type(other_rule))} and {path}; rename one"
            )
    except BaseException as error:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
        if isinstance(error, RegistryError) or not isinstance(error, Exception | SystemExit):
            raise
        raise RegistryError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return rule


def _named_class(cls: type) -> type:
    if not getattr(cls, "name", ""):
        raise RegistryError(f"{_file(cls)}: {cls.__name__} has no name")
    return cls


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:  # what a content file may raise is not ours to know
        raise RegistryError(f"{name} cannot be imported: {type(error).__name__}: {error}") from error


def _loaded(point: EntryPoint) -> type:
    try:
        found = point.load()
    except Exception as error:  # as above
        raise RegistryError(
            f"The entry point {point.name} = {point.value} cannot be loaded: {error}"
        ) from error
    if not isinstance(found, type):
        raise RegistryError(f"The entry point {point.name} = {point.value} is no class")
    return found


def _refuse_shadows(package: ModuleType, own: Path) -> None:
    ours = {p.name: p for folder in package.__path__ for p in Path(folder).glob("[!_]*.py")}
    for theirs in own.glob("[!_]*.py"):
        if theirs.name in ours:
            raise RegistryError(
                f"Two files are one module: {ours[theirs.name]} and {theirs}; rename the second"
            )


def _public_class(module: ModuleType) -> type:
    found = [
        value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and value.__module__ == module.__name__
        and not name.startswith("_")
        and name.lower() == module.__name__.rpartition(".")[2].replace("_", "")
    ]
    if not found:
        stem = module.__name__.rpartition(".")[2]
        expected = "".join(part.capitalize() for part in stem.split("_"))
        raise RegistryError(f"{module.__file__} has no class {expected}, named like the file")
    return found[0]


def _checked(cls: type) -> type[Document]:
    if not issubclass(cls, Document) or not cls.module_id:
        raise RegistryError(f"{_file(cls)}: {cls.__name__} must be a Document with a module_id")
    if cls.workflow_name not in WORKFLOWS:
        raise RegistryError(f"{_file(cls)}: there is no workflow {cls.workflow_name!r}")
    schema: object = cls.schema
    if not (isinstance(schema, type) and issubclass(schema, Properties)):
        raise RegistryError(f"{_file(cls)}: the schema of {cls.__name__} must derive from Properties")
    return cls


def _rule(cls: type) -> IngestionRule:
    if not all(callable(getattr(cls, name, None)) for name in ("route", "deliver")):
        raise RegistryError(f"{_file(cls)}: {cls.__name__} must have the methods route and deliver")
    rule: IngestionRule = _made(cls)
    return rule


def _kind(cls: type, portal_types: dict[str, type]) -> "Kind":
    works_on, name = getattr(cls, "portal_types", ()), str(getattr(cls, "name", ""))
    if not callable(getattr(cls, "run", None)) or not works_on:
        raise RegistryError(f"{_file(cls)}: {cls.__name__} must have a method run and portal_types")
    if not name.isidentifier():
        raise RegistryError(f"{_file(cls)}: {name!r} cannot be the name of a method")
    unknown = sorted(set(works_on) - set(portal_types))
    if unknown:
        raise RegistryError(f"{_file(cls)}: {cls.__name__} works on {unknown[0]!r}, which is no Portal Type")
    kind: Kind = _made(cls)
    return kind


def _made(cls: type) -> Any:  # Any: a rule or a kind, as its caller knows
    try:
        return cls()
    except Exception as error:  # what a content file may raise is not ours to know
        raise RegistryError(
            f"{_file(cls)}: {cls.__name__}() raised {type(error).__name__}: {error}"
        ) from error


def _file(cls: type) -> str:
    module = importlib.import_module(cls.__module__)
    return str(module.__file__)


def _named(kind: str, name: str, known: dict[str, T]) -> T:
    try:
        return known[name]
    except KeyError:
        raise UnknownNameError(kind, name, known) from None
