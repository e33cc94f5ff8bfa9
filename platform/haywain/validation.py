"""What pydantic finds wrong with what was given, in plain words; and what people call a field."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from haywain.errors import near

_UNITS = {"hz": "Hz", "s": "s", "bytes": "bytes", "percent": "%"}
_MOST = 10
"""Errors that are told of in one line."""

_WORDS = {
    "missing": "must be given",
    "string_type": "must be a text",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "too_long": "must be {max_length} at most",
    "datetime_type": "must be a date and a time",
    "datetime_parsing": "must be a date and a time",
    "datetime_from_date_parsing": "must be a date and a time",
}


def label_of(name: str) -> str:
    """Return what people call a field; its unit stands in brackets.

    >>> label_of("content_type"), label_of("peak_hz"), label_of("nan_count")
    ('Content type', 'Peak (Hz)', 'NaN count')
    """
    words = name.split("_")
    unit = _UNITS.get(words[-1]) if len(words) > 1 else None
    text = " ".join(words[:-1] if unit else words)
    text = text[:1].upper() + text[1:]
    return (f"{text} ({unit})" if unit else text).replace("Nan ", "NaN ")


def labels_of(model: type[BaseModel]) -> dict[str, str]:
    """Return what people call the fields of a model: their titles, or what their names say."""
    return {name: info.title or label_of(name) for name, info in model.model_fields.items()}


def example_of(info: FieldInfo) -> str:
    """Return the first example of a field, "" if it has none."""
    return str(info.examples[0]) if info.examples else ""


def words_of(error: Mapping[str, Any], known: Iterable[str], example: str = "") -> str:  # Any: pydantic's
    """Return one of pydantic's errors in plain words, which go on behind the name of its field.

    `known` are the names that there are; what must match a pattern is told by an example of its field.
    """
    kind = error["type"]
    if kind == "extra_forbidden":
        return f"is not known here; {near(str(error['loc'][-1]), known)}"
    if kind == "string_pattern_mismatch":
        return f"must look like {example}" if example else "must have another form"
    if kind in _WORDS:
        context = error.get("ctx", {}).items()
        return _WORDS[kind].format(**{k: f"{v:g}" if isinstance(v, float) else v for k, v in context})
    return str(error["msg"]).removeprefix("Value error, ")


def in_labels(text: str, labels: Mapping[str, str]) -> str:
    """Return a message with labels in place of the names of fields: one at its start, and those of two words.

    >>> in_labels("accept_cut: set accept_cut or rate", {"accept_cut": "Accept a cut", "rate": "Rate"})
    'Accept a cut: set “Accept a cut” or rate'
    """
    for name, label in labels.items():
        text = re.sub(rf"^{re.escape(name)}(?=: )", label, text)
        if "_" in name:
            text = re.sub(rf"\b{re.escape(name)}\b", f"“{label}”", text)
    return text


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Return a validation error as one line that names each field.

    >>> class Given(BaseModel, extra="forbid"): count: int = 0
    >>> try: Given(count="many", cont=1)
    ... except ValidationError as error: print(explain(error, Given))
    count: must be a whole number; cont: is not known here; did you mean count?
    """
    found, fields = [], model.model_fields
    for one in error.errors():
        loc = one["loc"]
        example = example_of(fields[str(loc[0])]) if loc and loc[0] in fields else ""
        where = ".".join(map(str, loc))[:100] or "value"
        found.append(f"{where}: {words_of(one, fields, example)}")
    return "; ".join(found[:_MOST] + (["and more"] if len(found) > _MOST else []))


def json_object_text(value: str) -> str:
    """Return a text that is a JSON object, `{}` for an empty one; raises ValueError for any other."""
    try:
        found = json.loads(value or "{}")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError('must be a JSON object, such as {"channel": 0}')
    return value or "{}"
