"""Forms out of schemas: the fields of a kind of document, and what was typed as values for its schema."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from webob.multidict import MultiDict

from haywain.errors import HaywainError, InvalidError

_LONG = 1000
"""A text that may be longer than this gets a box of several lines."""

_PLAIN_WORDS = {
    "string_pattern_mismatch": "This does not have the form that is expected here",
    "string_too_short": "This must not be empty",
    "missing": "This must not be empty",
    "datetime_from_date_parsing": "This is not a date and a time",
}


@dataclass(frozen=True)
class Field:
    """One field of a form: its name, its control, what stands in it, what is wrong with it."""

    name: str
    label: str
    control: str  # text, textarea, number, checkbox, datetime-local, password, choices, select
    value: str = ""
    chosen: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    hint: str = ""
    wrong: str = ""
    max_length: int = 0
    is_required: bool = False
    is_fixed: bool = False


def fields_of(schema: type[BaseModel], values: Mapping[str, Any] | None = None) -> list[Field]:
    """Return the fields of a schema, filled with values; what stays secret or has no control is left out."""
    found = []
    for name, info in schema.model_fields.items():
        control = _control(name, info)
        if control and not info.exclude:
            given = values[name] if values and name in values else info.get_default(call_default_factory=True)
            found.append(_filled(_field(name, info, control), given))
    return found


def text_in(post: MultiDict, name: str) -> str:
    """Return what a form says, "" if it says nothing; raises InvalidError for a file."""
    value = post.get(name, "")
    if not isinstance(value, str):
        raise InvalidError(f"{name[:40]!r} is a text, not a file")
    return value


def typed(fields: list[Field], post: MultiDict) -> list[Field]:
    """Return the fields with what was typed, to be shown again; raises InvalidError for a file."""
    return [
        replace(field, value=text_in(post, field.name), chosen=tuple(map(str, post.getall(field.name))))
        if not field.is_fixed
        else field
        for field in fields
    ]


def values_of(fields: list[Field]) -> dict[str, Any]:
    """Return what was typed, in the form that the schema checks; fixed fields are left out."""
    return {field.name: _value(field) for field in fields if not field.is_fixed}


def with_errors(fields: list[Field], error: HaywainError) -> tuple[list[Field], str]:
    """Return the fields with the errors beside them, and what belongs to no field."""
    cause = error.__cause__
    if not isinstance(cause, ValidationError):
        return fields, error.detail
    errors = [(one["loc"], _PLAIN_WORDS.get(one["type"], one["msg"])) for one in cause.errors()]
    wrong = {str(loc[0]): _sentence(message) for loc, message in reversed(errors) if loc}
    rest = [_sentence(message) for loc, message in errors if not loc]
    names = {field.name for field in fields}
    rest += [f"{name}: {text}" for name, text in wrong.items() if name not in names]
    return [replace(field, wrong=wrong.get(field.name, "")) for field in fields], " ".join(rest)


def changed(fields: list[Field], name: str, **changes: Any) -> list[Field]:
    """Return the fields, one of them changed."""
    return [replace(field, **changes) if field.name == name else field for field in fields]


def _sentence(message: str) -> str:
    text = message.removeprefix("Value error, ")
    return f"{text[:1].upper()}{text[1:]}."


def _control(name: str, info: FieldInfo) -> str:
    annotation = _plain(info.annotation)
    if annotation is str:
        return "textarea" if (_max_length(info) or 0) > _LONG or name == "description" else "text"
    if get_origin(annotation) is Literal:
        return "select"
    if annotation == tuple[str, ...]:
        return "list"
    return {bool: "checkbox", int: "number", float: "number", datetime: "datetime-local"}.get(annotation, "")


def _plain(annotation: Any) -> Any:  # Any: a type, as pydantic keeps it
    if get_origin(annotation) in (Union, UnionType):
        kinds = [one for one in get_args(annotation) if one is not NoneType]
        annotation = kinds[0] if len(kinds) == 1 else None
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _max_length(info: FieldInfo) -> int:
    return next((one.max_length for one in info.metadata if hasattr(one, "max_length")), 0)


def _field(name: str, info: FieldInfo, control: str) -> Field:
    hint = info.description or ""
    if control == "datetime-local":
        hint = f"{hint} In UTC."
    if control == "list":
        hint = f"{hint} Separate them by commas."
    return Field(
        name,
        info.title or name.replace("_", " ").capitalize(),
        control,
        choices=tuple(map(str, get_args(_plain(info.annotation)))) if control == "select" else (),
        hint=hint.strip(),
        max_length=_max_length(info) if control in ("text", "textarea") else 0,
        is_required=info.is_required(),
    )


def _filled(field: Field, value: Any) -> Field:  # Any: a property, or pydantic's mark for "no default"
    if isinstance(value, tuple | list):
        return replace(field, value=", ".join(map(str, value)), chosen=tuple(map(str, value)))
    if isinstance(value, datetime):
        return replace(field, value=value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M"))
    if isinstance(value, bool):
        return replace(field, value="on" if value else "")
    return replace(field, value=str(value) if isinstance(value, str | int | float) else "")


def _value(field: Field) -> Any:  # Any: what pydantic then checks
    if field.control == "choices":
        return field.chosen
    if field.control == "list":
        return tuple(part.strip() for part in field.value.split(",") if part.strip())
    if field.control == "checkbox":
        return bool(field.value)
    if field.control == "number":
        return field.value or None
    if field.control == "datetime-local":
        return f"{field.value}+00:00" if field.value else None
    return field.value.replace("\r\n", "\n")
