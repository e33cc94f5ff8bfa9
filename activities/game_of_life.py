"""Game of Life: some generations of Conway's game on a board larger than memory."""

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from haywain.activity.kind import NoParameters
from haywain.activity.map_reduce import Part
from haywain.activity.row_map import RowMap
from haywain.analysis.rows import Layout, Rows
from haywain.document import Document
from haywain.errors import InvalidError
from haywain.portal_types.data_array import DataArray
from haywain.values import MIB

Board = NDArray[np.uint8]


class _Parameters(NoParameters):
    generations: int = Field(1, ge=1, le=256, description="How many generations to go on.")


class GameOfLife(RowMap):
    """Make the board some generations on: a cell lives with three neighbours, or with two if it lived before.

    The board is a two-dimensional array of whole numbers, in which all but 0 is alive; its edges touch those
    on the other side (M. Gardner, Scientific American 223 (1970) 120-123).  A part rests on as many rows
    around it as there are generations, so the parts need not wait for each other.
    """

    name = "game_of_life"
    title = "Play the Game of Life"
    portal_types = ("Data Array",)
    parameters = _Parameters
    step_bytes = 4 * MIB

    def suits(self, document: Document) -> str:
        """Say that this is no board."""
        array = cast(DataArray, document)
        if not array.is_created or len(array.shape) != 2 or not array.shape[1] or not len(array):
            return "A board has rows and columns"
        return "" if array.dtype.kind in "biu" else "A board holds whole numbers"

    def check_given(self, source: Document, given: BaseModel) -> None:
        """Refuse what is no board."""
        if why := self.suits(source):
            raise InvalidError(why)

    def layout(self, source: Document, given: BaseModel) -> Layout:
        """Return rows of as many cells, 0 or 1."""
        return Layout(np.dtype("u1"), cast(DataArray, source).shape[1:])

    def rows(self, part: Part) -> Iterator[Rows]:
        """Yield the rows of a part, some generations on."""
        array, count = cast(DataArray, part.source), cast(_Parameters, part.parameters).generations
        board = np.concatenate(list(_around(array, part.start - count, part.stop + count, part.length)))
        for _ in range(count):
            part.check()
            board = generation(board)
        yield board


def _around(array: DataArray, start: int, stop: int, length: int) -> Iterator[Board]:
    """Yield the rows [start, stop) as cells of 0 and 1, going on at the other edge, as often as it takes."""
    while start < stop:
        low = start % length
        high = min(low + stop - start, length)
        yield (array.read(low, high) != 0).astype(np.uint8)
        start += high - low


def generation(board: NDArray[Any]) -> Board:
    """Return the next generation of all rows but the first and the last, which it rests on.

    >>> generation(np.array([[0, 0, 0, 0], [0, 1, 1, 1], [0, 0, 0, 0]], np.uint8))
    array([[0, 0, 1, 0]], dtype=uint8)
    """
    columns = board[:-2] + board[1:-1] + board[2:]
    neighbours = columns + np.roll(columns, 1, axis=1) + np.roll(columns, -1, axis=1) - board[1:-1]
    alive: Board = ((neighbours == 3) | ((neighbours == 2) & (board[1:-1] == 1))).astype(np.uint8)
    return alive
