"""Lanes: the columns of numbers of rows, as people and programs choose them, by name or by number."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from haywain.errors import InvalidError, UnknownNameError
from haywain.store.summary import Numbers, Table, tables_of


class Lane(NamedTuple):
    """A column of a table."""

    table: Table
    column: int

    def of(self, rows: Numbers) -> Numbers:
        """Return it out of rows, or of stored buckets."""
        found: Numbers = self.table.of(rows)[:, self.column]
        return found


def lanes_of(
    dtype: np.dtype[Any],
    row: tuple[int, ...],
    names: Sequence[str] = (),
    columns: Sequence[int | str] | None = None,
) -> dict[str, Lane]:
    """Return the columns of numbers that rows have, by name: all of them, or those asked for.

    They have the `names` that are given for all, else their numbers; fields of a structure their own.  A
    number counts fields of whatever type.  Raises UnknownNameError or InvalidError for what is none of them.

    >>> list(lanes_of(np.dtype("f4"), (2,), ["left", "right"])), list(lanes_of(np.dtype("f4"), (2,)))
    (['left', 'right'], ['0', '1'])
    >>> list(lanes_of(np.dtype([("name", "S3"), ("at", "M8[s]"), ("level", "f4")]), (), columns=["level", 1]))
    ['level', 'at']
    """
    found = _all(dtype, row, names)
    if not found:
        raise InvalidError(f"There is no column of real numbers or times in rows of {dtype}, shape {row}")
    if columns is None:
        return found
    order = list(found if dtype.names is None else dtype.names)
    wanted = [_name(order, column) for column in columns]
    for name in wanted:
        if name not in found:
            raise UnknownNameError("column of numbers", name, found)
    return {name: found[name] for name in wanted}


def _all(dtype: np.dtype[Any], row: tuple[int, ...], names: Sequence[str]) -> dict[str, Lane]:
    tables = tables_of(dtype, row)
    if dtype.names is not None:
        return {str(table.field): Lane(table, 0) for table in tables}
    found = [Lane(table, column) for table in tables for column in range(table.columns)]
    known = names if len(names) == len(found) else [str(number) for number in range(len(found))]
    return dict(zip(known, found, strict=True))


def _name(names: list[str], column: int | str) -> str:
    if isinstance(column, str):
        return column
    if not 0 <= column < len(names):
        raise InvalidError(f"columns are numbers from 0 to {len(names) - 1}, not {column}")
    return names[column]
