"""Arrays are made with a shape and a dtype, beside their properties: in a form, or as JSON."""

from collections.abc import Iterable
from typing import Annotated, Any

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from haywain.document import Document
from haywain.errors import InvalidError, UnknownNameError
from haywain.interfaces import IArray
from haywain.store.rows import check_dtype, check_shape
from haywain.validation import explain

NAMES = ("dtype", "shape")
TEXT_LENGTH = 1000


def _as_text(value: Any) -> Any:  # Any: what was given; pydantic checks the type
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else value


def _as_dtype(value: Any, depth: int = 8) -> Any:  # Any: as above
    """Return a dtype as NumPy wants it, a structure from `[["time", "<M8[us]"], ...]`; raises ValueError."""
    if isinstance(value, str) and len(value) <= TEXT_LENGTH:
        return value
    if isinstance(value, list) and depth and all(_is_field(one) for one in value):
        return [
            (
                one[0],
                _as_dtype(one[1], depth - 1),
                *(tuple(part) if isinstance(part, list) else part for part in one[2:]),
            )
            for one in value
        ]
    raise ValueError("must be a text such as <f4, or a list of [name, type] for each field")


def _is_field(one: Any) -> bool:  # Any: as above
    return isinstance(one, list) and 2 <= len(one) <= 3 and isinstance(one[0], str)


class Creation(BaseModel):
    """What an array is made of; without both it is made later, by a program."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dtype: Any = Field(  # Any: a text, or as JSON has a structure
        "", title="Type", description="Type of each value, such as <f4, i2 or M8[ms],f8."
    )
    shape: Annotated[str, BeforeValidator(_as_text)] = Field(
        "",
        max_length=400,
        pattern=r"^(\d{1,19}( *, *\d{1,19})*)?$",
        examples=["0,2"],
        validate_default=True,
        description="Length of each dimension: 0,2 has no rows yet and two columns; the first grows.",
    )

    @field_validator("dtype")
    @classmethod
    def _is_a_dtype(cls, value: Any) -> Any:  # Any: as above
        try:
            return check_dtype(_as_dtype(value)) if value else ""
        except InvalidError as error:
            raise ValueError(error.detail) from error

    @field_validator("shape")
    @classmethod
    def _is_a_shape(cls, value: str, info: ValidationInfo) -> str:
        dtype = info.data.get("dtype")
        if dtype is None:  # it is wrong, and says so
            return value
        if bool(value) != (dtype != ""):
            raise ValueError("an array has a shape and a dtype, or neither until a program creates it")
        try:
            if value:
                check_shape(sizes_of(value), np.dtype(dtype).itemsize)
        except InvalidError as error:
            raise ValueError(error.detail) from error
        return value


def sizes_of(shape: str) -> tuple[int, ...]:
    """Return the lengths of a shape that is written as a text.

    >>> sizes_of("0, 2")
    (0, 2)
    """
    return tuple(int(length) for length in shape.split(","))


def is_array(cls: type[Document]) -> bool:
    """Return whether documents of a kind are arrays that can be created."""
    return bool(IArray.implementedBy(cls)) and hasattr(cls, "create")


def creation_of(values: dict[str, Any], properties: Iterable[str]) -> Creation | None:  # Any: JSON
    """Take dtype and shape out of the values of a new array, None if neither is said.

    Raises InvalidError, and UnknownNameError for what is neither one of them nor a property.
    """
    known = ("id", *NAMES, *properties)
    for name in values:
        if name not in known:
            raise UnknownNameError("property", name[:100], known)
    given = {name: values.pop(name) for name in NAMES if name in values}
    try:
        found = Creation.model_validate(given)
    except ValidationError as error:
        raise InvalidError(explain(error, Creation)) from error
    return found if found.shape else None
