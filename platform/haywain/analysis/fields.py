"""Fields of delimited text: how a line is split, and what a field means.

A line is split as RFC 4180 says, but that a field ends in the line it begins in: else a quote that is left
open would glue lines together.
"""

import csv
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haywain.errors import InvalidError

DELIMITERS = (",", ";", "\t", "|", " ")
DATE, _YEAR = re.compile(r"\d{4}-\d\d", re.ASCII), re.compile(r"\d{4}(-|$)", re.ASCII)


def sniff_delimiter(lines: Iterable[str]) -> str:
    """Return the delimiter that splits most lines alike, the comma where none does.

    >>> sniff_delimiter(["a;b;c", "1,5;2;3"])
    ';'
    """
    sample = list(lines)[:20]
    best, best_score = ",", (0, 0)
    for delimiter in DELIMITERS if sample else ():
        counts = [_count(line, delimiter) for line in sample]
        common = max(set(counts), key=counts.count)
        score = (counts.count(common), -DELIMITERS.index(delimiter))
        if common > 1 and score > best_score:
            best, best_score = delimiter, score
    return best


def _count(line: str, delimiter: str) -> int:
    try:
        return len(split(line, delimiter))
    except csv.Error:
        return 0


def split(line: str, delimiter: str) -> list[str]:
    """Return the fields of a line; blanks count as one delimiter.  Raises csv.Error.

    >>> split('"a,b",2', ","), split(" 1  2", " ")
    (['a,b', '2'], ['1', '2'])
    """
    return next(iter(split_all([line], delimiter)))


def split_all(lines: list[str], delimiter: str) -> list[list[str]]:
    """Return the fields of each line; raises csv.Error for quotes that do not match within a line."""
    plain = [line.rstrip("\r") for line in lines]
    if delimiter == " ":
        if any("\r" in line for line in plain):
            raise csv.Error("a carriage return stands within it")
        return [line.split() for line in plain]
    found = list(csv.reader(plain, delimiter=delimiter, strict=True))
    if len(found) != len(lines):
        raise csv.Error("a quote is open at the end of a line")
    return found


def fields_of(line: str, delimiter: str, where: str) -> list[str]:
    """Return the fields of a line; raises InvalidError, which says where it is."""
    try:
        return split(line, delimiter)
    except csv.Error as error:
        raise InvalidError(
            f"{where}, has no fields: {error}; a field ends in the line it begins in"
        ) from None


def parse(fields: Sequence[str], dtype: np.dtype[Any]) -> NDArray[Any]:  # Any: of the file
    """Return the values of a column's fields; raises ValueError or OverflowError for one that is none.

    A number is what numpy.loadtxt takes for one; a time has a year and a month at least, unless the column
    is one of years.  Text is taken as it is, if it fits.

    >>> parse(["1", " "], np.dtype("f8")), parse(["a ", ""], np.dtype("U2"))
    (array([ 1., nan]), array(['a ', ''], dtype='<U2'))
    """
    if dtype.kind in "US":
        found = np.array([field.encode("latin-1") for field in fields] if dtype.kind == "S" else fields)
        if found.dtype.itemsize > dtype.itemsize:
            raise ValueError("a text is too long")
        return found.astype(dtype)
    empty = "nan" if dtype.kind in "fc" else "NaT" if dtype.kind in "mM" else ""
    texts = [field.strip() or empty for field in fields]
    if dtype.kind == "M":
        pattern = _YEAR if np.datetime_data(dtype)[0] == "Y" else DATE
        if not all(pattern.match(text) or text.lower() == "nat" for text in texts):
            raise ValueError("a time has a year and a month")
    if not all(texts):
        raise ValueError("a field is empty")
    found = np.loadtxt(texts, dtype, comments=None, delimiter="\0", quotechar=None, ndmin=1)
    if found.shape != (len(texts),):
        raise ValueError("a field is no single number")
    return found


def check_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:  # Any: of the file
    """Return a dtype if text can be made of its kind; raises InvalidError."""
    for part in [dtype] if dtype.names is None else [dtype[name] for name in dtype.names]:
        is_timeless = part.kind in "mM" and np.datetime_data(part)[0] == "generic"
        if part.kind not in "biufcmMUS" or part.shape or is_timeless:
            raise InvalidError(
                f"dtype: no field is {part}; use numbers, texts such as U10, and times, M8[us]"
            )
    return dtype


def is_value(field: str) -> bool:
    """Return whether a field is a number or a time."""
    try:
        parse([field], np.dtype("f8"))
    except ValueError:
        return is_time(field)
    return True


def is_time(field: str) -> bool:
    """Return whether a field is an ISO time, with a year and a month at least."""
    if not DATE.match(field.strip()):
        return False
    try:
        datetime.fromisoformat(field.strip())
    except ValueError:
        return False
    return True
