"""Which methods a document may be activated for: the kinds for it, and its own ones marked by `@activity`."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import BaseModel, ValidationError, create_model

from haywain.activity.kind import Kind, NoParameters, Work, is_activity
from haywain.activity.shard import DEFAULT_QUEUE
from haywain.document import Document
from haywain.errors import InvalidError, UnknownNameError
from haywain.validation import explain

if TYPE_CHECKING:
    from haywain.registry import Registry


@dataclass(frozen=True)
class Method:
    """One method that may be run as an activity."""

    name: str
    title: str
    parameters: type[BaseModel]
    permission: str
    start: Callable[[Work], Any]
    """Begins the work: a generator of progress, or at once the result."""
    suits: Callable[[Document], str] = lambda _document: ""
    """Says why it cannot be done on a document as it is."""
    time_limit_s: float | None = None
    memory_limit_bytes: int | None = None
    queue: str = DEFAULT_QUEUE
    is_stepwise: bool = False
    """Whether it is known to go by steps, each a transaction, so that it cannot share one."""

    def checked(self, parameters: dict[str, Any]) -> BaseModel:  # Any: the model knows the types
        """Return parameters as their model; raises InvalidError, which names each that is wrong."""
        try:
            return self.parameters.model_validate(parameters)
        except ValidationError as error:
            raise InvalidError(f"The parameters of {self.name}: {explain(error, self.parameters)}") from error


def methods_of(registry: "Registry", cls: type[Document]) -> dict[str, Method]:
    """Return what a kind of document may be activated for, by name.

    Raises InvalidError for what is no Document: the database has one whose Portal Type is not installed.
    """
    _check_installed(cls)
    own = {
        name: _of_document(cls, name)
        for name, member in inspect.getmembers(cls, inspect.isfunction)
        if is_activity(member)
    }
    return own | {k.name: _of_kind(k) for k in registry.activities_on(cls.portal_type).values()}


def offered(registry: "Registry", cls: type[Document]) -> dict[str, Method]:
    """Return those that people may choose; others, named with a `_`, a document asks for itself."""
    return {name: method for name, method in methods_of(registry, cls).items() if not name.startswith("_")}


def method_of(registry: "Registry", cls: type[Document], name: str) -> Method:
    """Return one method; raises UnknownNameError, or InvalidError if it is for other kinds of documents."""
    _check_installed(cls)
    kind = registry.activities.get(name)
    if kind is not None and cls.portal_type in kind.portal_types:
        return _of_kind(kind)
    if inspect.isfunction(member := getattr(cls, name, None)) and is_activity(member):
        return _of_document(cls, name)
    if kind is not None:
        raise InvalidError(f"{name} works on {' and '.join(kind.portal_types)}, not on {cls.portal_type}")
    raise UnknownNameError(f"activity on {cls.portal_type}", name, methods_of(registry, cls))


def _check_installed(cls: type) -> None:
    if not issubclass(cls, Document):
        raise InvalidError(f"{cls.__name__} is no Portal Type that is installed here")


def _of_kind(kind: Kind) -> Method:
    return Method(
        kind.name,
        kind.title,
        kind.parameters,
        kind.permission,
        kind.run,
        kind.suits,
        kind.time_limit_s,
        kind.memory_limit_bytes,
        kind.queue,
        inspect.isgeneratorfunction(kind.run),
    )


def _of_document(cls: type[Document], name: str) -> Method:
    function = getattr(cls, name)
    model = _model_of(function)
    asks = _asks_work(function)

    def start(work: Work) -> Any:  # Any: whatever the method returns, JSON or a generator
        values = {field: getattr(work.parameters, field) for field in model.model_fields}
        return getattr(work.document, name)(**values | dict.fromkeys(asks, work))

    title = (inspect.getdoc(function) or name).splitlines()[0].rstrip(".")
    return Method(
        name,
        title,
        model,
        "edit",
        start,
        queue=function.__dict__["activity_queue"],
        is_stepwise=inspect.isgeneratorfunction(function),
    )


@lru_cache(maxsize=1000)
def _model_of(function: Callable[..., Any]) -> type[BaseModel]:  # Any: a method of whatever signature
    """Return the parameters of a method as a model: what its annotations say, but for its Work."""
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = dict(_fields(function, hints))  # Any: as create_model has it
    return create_model(f"{function.__name__}_parameters", __base__=NoParameters, **fields)


@lru_cache(maxsize=1000)
def _asks_work(function: Callable[..., Any]) -> tuple[str, ...]:  # Any: as above
    """Return the parameters of a method that are given its Work."""
    hints = get_type_hints(function)
    return tuple(name for name in inspect.signature(function).parameters if hints.get(name) is Work)


def _fields(function: Callable[..., Any], hints: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    parameters = list(inspect.signature(function).parameters.values())[1:]
    for parameter in parameters:
        if hints.get(parameter.name) is Work:
            continue
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise InvalidError(f"{function.__qualname__} takes {parameter}, which no activity can be given")
        default = ... if parameter.default is parameter.empty else parameter.default
        yield parameter.name, (hints.get(parameter.name, Any), default)
