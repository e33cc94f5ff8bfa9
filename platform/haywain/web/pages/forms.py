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
from haywain.validation import example_of, in_labels, label_of, words_of

_LONG = 1000
"""A text that may be longer than this gets a box of several lines."""


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
    example: str = ""
    wrong: str = ""
    max_length: int = 0
    minimum: str = ""
    maximum: str = ""
    step: str = ""
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
        return fields, in_labels(error.detail, {field.name: field.label for field in fields})
    examples = {field.name: field.example for field in fields}
    errors = [
        (one["loc"], words_of(one, examples, examples.get(str(one["loc"][0]) if one["loc"] else "", "")))
        for one in cause.errors()
    ]
    wrong = {str(loc[0]): _sentence(message) for loc, message in reversed(errors) if loc}
    rest = [_sentence(message) for loc, message in errors if not loc]
    names = {field.name for field in fields}
    rest += [f"{name}: {text}" for name, text in wrong.items() if name not in names]
    return [replace(field, wrong=wrong.get(field.name, "")) for field in fields], " ".join(rest)


def changed(fields: list[Field], name: str, **changes: Any) -> list[Field]:
    """Return the fields, one of them changed."""
    return [replace(field, **changes) if field.name == name else field for field in fields]


def _sentence(message: str) -> str:
    text = f"this {message}" if message.startswith("must ") else message
    return f"{text[:1].upper()}{text[1:]}."


def _control(name: str, info: FieldInfo) -> str:
    annotation = _plain(info.annotation)
    if annotation in (str, Any):
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
    return int(_bound(info, "max_length") or 0)


def _bound(info: FieldInfo, name: str) -> Any:  # Any: a number
    return next((getattr(one, name) for one in info.metadata if hasattr(one, name)), None)


def _end(info: FieldInfo, name: str) -> str:
    end = _bound(info, name)
    return "" if end is None else f"{end}"


def _field(name: str, info: FieldInfo, control: str) -> Field:
    hint = info.description or ""
    if control == "datetime-local":
        hint = f"{hint} In UTC."
    if control == "list":
        hint = f"{hint} Separate them by commas."
    return Field(
        name,
        info.title or label_of(name),
        control,
        choices=tuple(map(str, get_args(_plain(info.annotation)))) if control == "select" else (),
        hint=hint.strip(),
        example=example_of(info),
        max_length=_max_length(info) if control in ("text", "textarea") else 0,
        is_required=info.is_required(),
        minimum=_end(info, "ge"),
        maximum=_end(info, "le"),
        step=("1" if _plain(info.annotation) is int else "any") if control == "number" else "",
    )


def _filled(field: Field, value: Any) -> Field:  # Any: a property, or pydantic's mark for "no default"
    if isinstance(value, tuple | list):
        return replace(field, value=", ".join(map(str, value)), chosen=tuple(map(str, value)))
    if isinstance(value, datetime):
        return replace(field, value=value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M"))
    if isinstance(value, bool):
        return replace(field, value="on" if value else "")
    text = str(value) if isinstance(value, str | int | float) else ""
    return replace(field, value=text.removesuffix(".0") if isinstance(value, float) else text)


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
