"""How the bytes of a Data Stream are read as rows: what a user may say of it, and what is found out."""

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from haywain.activity.kind import NoParameters
from haywain.analysis.delimited import DelimitedReader, open_delimited
from haywain.analysis.packed import open_packed
from haywain.analysis.raw import open_raw
from haywain.analysis.rows import RowReader, check_row_shape, parse_dtype
from haywain.analysis.sniff import format_of
from haywain.analysis.wav import open_wav
from haywain.document import NAME_LENGTH
from haywain.errors import InvalidError
from haywain.portal_types.data_stream import DataStream

_DELIMITERS = {"tab": "\t", "space": " ", "auto": ""}
SAID = ("format", "dtype", "row_shape", "delimiter", "header")
_ONLY = {
    "dtype": ("csv", "msgpack", "raw"),
    "row_shape": ("raw",),
    "delimiter": ("csv",),
    "header": ("csv",),
    "accept_cut": ("wav",),
}
"""Which formats a parameter is for."""


def _word_of_delimiter(value: Any) -> Any:  # Any: what was given; pydantic checks the type
    return {"\t": "tab", " ": "space", "": "auto"}.get(value, value) if isinstance(value, str) else value


def _word_of_header(value: Any) -> Any:  # Any: as above
    return {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value


def _text_of_shape(value: Any) -> Any:  # Any: as above
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else value


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(n) for n in text.split(",") if n.strip())


def _checked(check: Callable[[], object], value: str) -> str:
    """Return a value that passes a check; raises ValueError as pydantic wants it."""
    try:
        check()
    except InvalidError as error:
        raise ValueError(error.detail.partition(": ")[2] or error.detail) from error
    return value


class ReadingParameters(NoParameters):
    format: Literal["auto", "wav", "csv", "msgpack", "raw"] = Field(
        "auto", description="What the bytes are; auto looks at them and at the name. Only raw must be said."
    )
    dtype: str = Field(
        "",
        title="Type",
        validate_default=True,
        max_length=1000,
        description="Type of the numbers, such as <f4 or M8[ms],f8. Needed for raw; otherwise float64.",
    )
    row_shape: Annotated[str, BeforeValidator(_text_of_shape)] = Field(
        "",
        title="Shape of a row",
        max_length=100,
        pattern=r"^(\d+( *, *\d+)*)?$",
        examples=["2 or 3,4"],
        description="For raw: how many numbers a row has, such as 2 or 3,4. Empty: one.",
    )
    delimiter: Annotated[
        Literal["auto", ",", ";", "tab", "|", "space"], BeforeValidator(_word_of_delimiter)
    ] = Field("auto", description="For csv: what stands between two fields.")
    header: Annotated[Literal["auto", "yes", "no"], BeforeValidator(_word_of_header)] = Field(
        "auto", description="For csv: whether the first line names the columns."
    )
    reference: str = Field(
        "", max_length=NAME_LENGTH, description="Name of the array. Empty: that of the stream."
    )
    accept_cut: bool = Field(
        False,
        title="Accept a cut recording",
        description="For wav: take what is there of a recording that is cut short.",
    )
    start_over: bool = Field(
        False, description="Read everything again; the array is replaced at once when all is read."
    )

    @field_validator("dtype")
    @classmethod
    def _is_a_type(cls, value: str, info: ValidationInfo) -> str:
        if not value and info.data.get("format") == "raw":
            raise ValueError("raw bytes need a type, such as <f4")
        return _checked(lambda: parse_dtype(value), value) if value else value

    @field_validator("row_shape")
    @classmethod
    def _is_a_shape(cls, value: str) -> str:
        return _checked(lambda: check_row_shape(_sizes(value)), value)


def read_as(stream: DataStream, given: ReadingParameters, before: dict[str, Any]) -> tuple[str, RowReader]:
    """Return how the bytes are read, as JSON, and a reader of them; raises InvalidError."""
    said = before or {name: getattr(given, name) for name in SAID}
    if said["format"] == "auto":
        said["format"] = format_of(stream.read(0, 4096), stream.content_type, stream.reference)
    for name, formats in _ONLY.items():
        if getattr(given, name) != default_of(name) and said["format"] not in formats:
            raise InvalidError(
                f"{name}: the stream is {said['format']}, and this is for {' and '.join(formats)};"
                " leave it out"
            )
    reader = _reader(stream, said, given)
    if isinstance(reader, DelimitedReader):
        said["delimiter"] = _word_of_delimiter(reader.delimiter)
    return json.dumps(said), reader


def default_of(name: str) -> Any:  # Any: of whatever type
    return ReadingParameters.model_fields[name].default


def _reader(stream: DataStream, said: dict[str, Any], given: ReadingParameters) -> RowReader:  # Any: JSON
    file = stream.open()
    if said["format"] == "wav":
        return open_wav(file, given.accept_cut)
    if said["format"] == "msgpack":
        return open_packed(file, said["dtype"])
    if said["format"] == "raw":
        return open_raw(said["dtype"], _sizes(said["row_shape"]))
    delimiter = _DELIMITERS.get(said["delimiter"], said["delimiter"])
    return open_delimited(file, delimiter, {"yes": True, "no": False}.get(said["header"]), said["dtype"])
