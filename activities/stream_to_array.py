"""Stream to array: the records of a Data Stream become rows of a Data Array."""

import json
from collections.abc import Generator
from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field

from haywain.activity.kind import Kind, NoParameters, Work
from haywain.activity.product import name_of, product_of
from haywain.analysis.delimited import DelimitedReader, open_delimited
from haywain.analysis.packed import open_packed
from haywain.analysis.raw import open_raw
from haywain.analysis.rows import Layout, RowReader
from haywain.analysis.sniff import format_of
from haywain.analysis.wav import open_wav
from haywain.document import NAME_LENGTH
from haywain.errors import InvalidError
from haywain.portal_types.data_array import DataArray
from haywain.portal_types.data_stream import DataStream
from haywain.portal_types.progress_indicator import ProgressIndicator
from haywain.store.array import Array
from haywain.values import MIB, Column

_DELIMITERS = {"tab": "\t", "space": " ", "auto": ""}
_SAID = ("format", "dtype", "row_shape", "delimiter", "header")
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


class _Parameters(NoParameters):
    format: Literal["auto", "wav", "csv", "msgpack", "raw"] = Field(
        "auto", description="What the bytes are; auto looks at them and at the name. Only raw must be said."
    )
    dtype: str = Field(
        "",
        max_length=1000,
        description="Type of the numbers, such as <f4 or M8[ms],f8. Needed for raw; otherwise float64.",
    )
    row_shape: Annotated[str, BeforeValidator(_text_of_shape)] = Field(
        "",
        max_length=100,
        pattern=r"^(\d+( *, *\d+)*)?$",
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
        False, description="For wav: take what is there of a recording that is cut short."
    )
    start_over: bool = Field(
        False, description="Read everything again; the array is replaced at once when all is read."
    )


class StreamToArray(Kind):
    """Read a stream record by record and append the rows to an array, in steps of about 32 MiB.

    The position lies in a Progress Indicator, which moves with the rows: run again on a stream that grew, it
    appends what came; after a kill nothing is lost or doubled.
    """

    name = "stream_to_array"
    title = "Make an array"
    portal_types = ("Data Stream",)
    parameters = _Parameters
    step_bytes = 32 * MIB

    def run(self, work: Work) -> Generator[float, None, dict[str, Any]]:  # Any: JSON
        """Append what is new; the result names the array, and tells its rows and those appended."""
        stream = cast(DataStream, work.document)
        given = cast(_Parameters, work.parameters)
        indicator = self._indicator(work, given)
        said, reader = _read_as(stream, given, self._said_before(indicator, stream, given))
        target = self._target(work, indicator, reader.layout, given)
        first = work.cursor.setdefault("first", 0 if given.start_over else indicator.position.rows)
        while True:
            work.check()
            _check_edition(indicator, stream, given, work.id)
            if _target_of(indicator) is not target:
                raise InvalidError(f"{target.path} was deleted while rows were added to it; run it again")
            work.hold(target)
            at = indicator.draft_position if given.start_over else indicator.position
            rows, offset = reader.step(stream.open(), at.offset, self.step_bytes, at.rows)
            if offset == at.offset:
                break
            (cast(Array, indicator.draft) if given.start_over else target).append(rows)
            move = indicator.move_draft if given.start_over else indicator.move
            move(offset, at.rows + len(rows), stream.edition, said)
            yield min(offset / max(stream.size, 1), 1.0)
        if given.start_over:
            target.adopt(indicator.end_draft())
            _describe(target, reader.layout)
        if offset < stream.size:
            work.log(f"{stream.size - offset} bytes from byte {offset} on are no whole row yet")
        rows_now = indicator.position.rows
        return {"array": target.path, "rows": rows_now, "appended": rows_now - first}

    def _indicator(self, work: Work, given: _Parameters) -> ProgressIndicator:
        """Return the indicator of this stream and this array, made at the first run."""
        reference = given.reference or name_of(work.document)
        key = f"{work.document.uid} {self.name} {reference}"
        found = work.portal.root.find("progress", key)
        if found is None:
            found = work.portal.new(
                "Progress Indicator", reference=reference, source=work.document.path, key=key
            )
        return cast(ProgressIndicator, found)

    def _said_before(
        self, indicator: ProgressIndicator, stream: DataStream, given: _Parameters
    ) -> dict[str, Any]:  # Any: JSON
        """Return how the rows there are were read; raises InvalidError if it is now to be another way."""
        if given.start_over or not indicator.position.reading or not _target_of(indicator):
            return {}
        _check_edition(indicator, stream, given, "")
        before: dict[str, Any] = json.loads(indicator.position.reading)
        for name in _SAID:
            now = getattr(given, name)
            if now != _default(name) and now != before[name]:
                raise InvalidError(
                    f"{name}: the rows so far were read with {before[name]!r}, not {now!r};"
                    " set start_over to read them all in another way"
                )
        return before

    def _target(
        self, work: Work, indicator: ProgressIndicator, layout: Layout, given: _Parameters
    ) -> DataArray:
        """Return the array to append to; begin it, or the draft that will replace its rows."""
        target = _target_of(indicator)
        if target is None:
            made = product_of(
                work.portal,
                work.document,
                f"{self.name} {indicator.reference}",
                "Data Array",
                indicator.reference,
            )
            target = cast(DataArray, made)
            target.create((0, *layout.row_shape), layout.dtype)
            _describe(target, layout)
            indicator.edit(target=target.path, offset=0, rows=0)
            work.cursor["first"] = 0
        if given.start_over:
            if not work.cursor.get("draft"):
                indicator.begin_draft(Array((0, *layout.row_shape), layout.dtype), work.id)
                work.cursor["draft"] = True
        elif (target.dtype, target.shape[1:]) != (layout.dtype, layout.row_shape):
            raise InvalidError(
                f"{target.path} has rows of {target.dtype}, shape {target.shape[1:]}, the stream has rows of"
                f" {layout.dtype}, shape {layout.row_shape}; set start_over to make it anew"
            )
        return target


def _target_of(indicator: ProgressIndicator) -> DataArray | None:
    """Return the array that an indicator belongs to; None before its first row, and if it was deleted."""
    root = indicator.__parent__.__parent__ if indicator.__parent__ else None
    module, _, id = indicator.properties.target.partition("/")
    try:
        found = root[module][id] if root is not None else None
    except KeyError:
        return None
    return found if isinstance(found, DataArray) and found.is_created else None


def _check_edition(indicator: ProgressIndicator, stream: DataStream, given: _Parameters, maker: str) -> None:
    """Raise InvalidError if the stream's bytes are others than those that were read so far."""
    at = indicator.draft_position if given.start_over else indicator.position
    if given.start_over and indicator.maker != maker:
        raise InvalidError(
            f"Another run began to make {indicator.properties.target} anew; this one gives way"
        )
    if at.offset > stream.size or (at.offset and at.edition != stream.edition):
        raise InvalidError(
            f"The stream was replaced after its bytes up to {at.offset} were read;"
            " set start_over to make the array anew"
        )


def _describe(target: DataArray, layout: Layout) -> None:
    """Name the columns, and tell the rate."""
    names = layout.names if len(layout.names) <= 10_000 else ()
    columns = tuple(Column(name)._asdict() for name in names)
    target.edit(columns=columns, rate_hz=layout.rate_hz)


def _read_as(stream: DataStream, given: _Parameters, before: dict[str, Any]) -> tuple[str, RowReader]:
    """Return how the bytes are read, as JSON, and a reader of them; raises InvalidError."""
    said = before or {name: getattr(given, name) for name in _SAID}
    if said["format"] == "auto":
        said["format"] = format_of(stream.read(0, 4096), stream.content_type, stream.reference)
    for name, formats in _ONLY.items():
        if getattr(given, name) != _default(name) and said["format"] not in formats:
            raise InvalidError(
                f"{name}: the stream is {said['format']}, and this is for {' and '.join(formats)};"
                " leave it out"
            )
    reader = _reader(stream, said, given)
    if isinstance(reader, DelimitedReader):
        said["delimiter"] = _word_of_delimiter(reader.delimiter)
    return json.dumps(said), reader


def _default(name: str) -> Any:  # Any: of whatever type
    return _Parameters.model_fields[name].default


def _reader(stream: DataStream, said: dict[str, Any], given: _Parameters) -> RowReader:  # Any: JSON
    file = stream.open()
    if said["format"] == "wav":
        return open_wav(file, given.accept_cut)
    if said["format"] == "msgpack":
        return open_packed(file, said["dtype"])
    if said["format"] == "raw":
        return open_raw(said["dtype"], tuple(int(n) for n in said["row_shape"].split(",") if n.strip()))
    delimiter = _DELIMITERS.get(said["delimiter"], said["delimiter"])
    return open_delimited(file, delimiter, {"yes": True, "no": False}.get(said["header"]), said["dtype"])
