"""Arrays are made over HTTP with a dtype and a shape; what makes no sense leaves nothing behind."""

from collections.abc import Callable
from typing import Any

import pytest
from webtest import TestApp

from haywain.portal import Site

Client = Callable[..., TestApp]
MODULE = "/data_array_module"
RECORD = [["time", "<M8[us]"], ["level", "<f8", [3]], ["place", [["x", "<f4"], ["y", "<f4"]]]]


@pytest.mark.parametrize(
    ("given", "shape", "dtype"),
    [
        ({"dtype": "<f4", "shape": [0, 2]}, [0, 2], "<f4"),
        ({"dtype": "i2", "shape": "5 , 3"}, [5, 3], "<i2"),
        ({"dtype": "M8[ms],f8", "shape": "0"}, [0], [["f0", "<M8[ms]"], ["f1", "<f8"]]),
        ({"dtype": RECORD, "shape": [4]}, [4], RECORD),
        ({}, None, None),
        ({"dtype": "", "shape": ""}, None, None),
    ],
    ids=["list", "text", "fields", "structure", "later", "empty"],
)
def test_array_is_made_with_dtype_and_shape(
    program: Client, given: dict[str, Any], shape: list[int] | None, dtype: object
) -> None:
    made = program("editor").post_json(MODULE, {"reference": "new"} | given, status=201)
    found = program("viewer").get(f"/{made.json['path']}", headers={"Accept": "application/json"}).json
    assert (found["shape"], found["dtype"]) == (shape, dtype)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dtype": "O", "shape": [1]}, "dtype: The dtype object holds Python objects"),
        ({"dtype": "nonsense", "shape": [1]}, "dtype: "),
        ({"dtype": {"a": 1}, "shape": [1]}, "dtype: "),
        ({"dtype": {"names": ["a"], "formats": ["f4"]}, "shape": [1]}, "dtype: must be a text such as"),
        ({"dtype": [[["title", "a"], "f4"]], "shape": [1]}, "dtype: must be a text such as"),
        ({"dtype": "f4," * 3000, "shape": [1]}, "dtype: must be a text such as"),
        ({"dtype": [["a", "f4", [-1]]], "shape": [1]}, "dtype: "),
        ({"dtype": "f4", "shape": [-1]}, "shape: must look like 0,2"),
        ({"dtype": "f4", "shape": [10**18]}, "shape: "),
        ({"dtype": "f4", "shapes": [1]}, "There is no property 'shapes'; did you mean shape?"),
        ({"dtype": "f4"}, "shape: an array has a shape and a dtype"),
        ({"shape": [3]}, "shape: an array has a shape and a dtype"),
        ({"dtype": "f4", "shape": {"a": 1}}, "shape: must be a text"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_makes_no_sense_is_refused_and_not_kept(
    site: Site, program: Client, given: dict[str, Any], message: str
) -> None:
    answer = program("editor").post_json(MODULE, {"reference": "refused"} | given, status=400)
    assert message in answer.json["detail"]
    with site.open() as portal:
        assert portal.catalog(reference="refused").count() == 0


def test_other_kinds_have_no_shape(program: Client) -> None:
    answer = program("editor").post_json("/data_stream_module", {"shape": [1], "dtype": "f4"}, status=400)
    assert "shape: is not known here" in answer.json["detail"]
