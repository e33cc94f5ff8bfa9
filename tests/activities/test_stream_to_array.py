"""The records of a stream become rows: exactly once, through kills, growth and replacement."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from scipy.io import wavfile

from haywain.activities.stream_to_array import StreamToArray
from haywain.activity.kind import Work
from haywain.agent.turbine import recordings
from haywain.document import Document
from haywain.errors import InvalidError
from haywain.portal import Portal, Site
from haywain.portal_types.data_array import DataArray

Run = Callable[..., Any]
Stored = Callable[..., str]
Reading = Callable[[str], Document]
ROWS = np.arange(3000, dtype="<f8").reshape(1000, 3)
CSV = b"x,y,z\n" + b"".join(b"%d,%d,%d\n" % tuple(row) for row in ROWS)
PACKED = b"".join(msgpack.packb(row) for row in ROWS.tolist())


def wav(frames: np.ndarray, rate: int = 8000) -> bytes:
    file = io.BytesIO()
    wavfile.write(file, rate, frames)
    return file.getvalue()


def make(run: Run, path: str, **parameters: Any) -> dict[str, Any]:
    return run(path, "stream_to_array", **parameters)


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StreamToArray, "step_bytes", 5000)


def test_recordings_of_the_turbine_are_those_of_scipy(run: Run, stored: Stored, reading: Reading) -> None:
    name, data = next(recordings())
    array = reading(make(run, stored(data, name))["array"])
    rate, expected = wavfile.read(io.BytesIO(data))
    assert array.dtype == expected.dtype and np.array_equal(array[:], expected)
    assert (array.reference, array.properties.rate_hz) == (name, rate)
    assert [column.name for column in array.columns] == ["channel 1", "channel 2"]


def test_recordings_of_debian_are_those_of_scipy(
    run: Run, stored: Stored, reading: Reading, sounds: list[Path]
) -> None:
    for path in sounds[:2]:
        array = reading(make(run, stored(path.read_bytes(), path.name))["array"])
        assert np.array_equal(array[:][:, 0], wavfile.read(path)[1])


@pytest.mark.parametrize("kill_after", [0, 1, 3])
@pytest.mark.parametrize(
    ("data", "parameters"),
    [
        (CSV, {}),
        (PACKED, {}),
        (ROWS.tobytes(), {"format": "raw", "dtype": "<f8", "row_shape": [3]}),
        (wav(ROWS), {}),
    ],
    ids=["csv", "msgpack", "raw", "wav"],
)
@pytest.mark.usefixtures("small_steps")
def test_rows_are_there_once_however_often_it_was_killed(
    run: Run, stored: Stored, reading: Reading, data: bytes, parameters: dict[str, Any], kill_after: int
) -> None:
    result = make(run, stored(data), kill_after=kill_after, **parameters)
    assert (result["rows"], result["appended"]) == (1000, 1000)
    assert np.array_equal(reading(result["array"])[:], ROWS)


@pytest.mark.parametrize("cut", [3000, 3001, 3005])
@pytest.mark.parametrize(
    ("data", "parameters"),
    [(CSV, {}), (PACKED, {}), (ROWS.tobytes(), {"format": "raw", "dtype": "<f8", "row_shape": "3"})],
    ids=["csv", "msgpack", "raw"],
)
def test_grown_stream_adds_only_what_came(
    run: Run, stored: Stored, site: Site, reading: Reading, data: bytes, parameters: dict[str, Any], cut: int
) -> None:
    if data is CSV:
        cut = data.index(b"\n", cut) + cut % 2  # with the newline, or without
    path = stored(data[:cut])
    first = make(run, path, **parameters)
    assert make(run, path)["appended"] == 0
    site.transact(lambda portal: portal[path].append(data[cut:]))
    second = make(run, path)
    assert second == {"array": first["array"], "rows": 1000, "appended": 1000 - first["rows"]}
    assert np.array_equal(reading(second["array"])[:], ROWS)


def test_cut_wav_is_refused_then_taken_then_completed(
    run: Run, stored: Stored, site: Site, reading: Reading
) -> None:
    data = wav(ROWS)
    path = stored(data[:9000])
    with pytest.raises(InvalidError, match=f"byte 9000: its data should end at byte {len(data)}"):
        make(run, path)
    taken = make(run, path, accept_cut=True)["rows"]
    assert taken == (9000 - (len(data) - ROWS.nbytes)) // 24
    site.transact(lambda portal: portal[path].append(data[9000:]))
    assert make(run, path)["appended"] == 1000 - taken
    assert np.array_equal(reading(make(run, path)["array"])[:], ROWS)


def test_incomplete_tail_is_told(run: Run, stored: Stored) -> None:
    log: list[str] = []
    make(run, stored(bytes(21)), format="raw", dtype="<f8", log=log)
    assert log == ["5 bytes from byte 16 on are no whole row yet"]


@pytest.mark.usefixtures("small_steps")
def test_replaced_stream_is_noticed_and_started_over(
    run: Run, stored: Stored, site: Site, reading: Reading
) -> None:
    path = stored(CSV)
    first = make(run, path)
    for other in (CSV.replace(b"0", b"7"), b"1;2\n"):
        site.transact(lambda portal, other=other: portal[path].replace(other))
        with pytest.raises(
            InvalidError, match=f"replaced after its bytes up to {len(CSV)} were read; set start"
        ):
            make(run, path)
    site.transact(lambda portal: portal[path].replace(PACKED))
    again = make(run, path, start_over=True, kill_after=1)
    assert again == {"array": first["array"], "rows": 1000, "appended": 1000}
    assert np.array_equal(reading(again["array"])[:], ROWS)
    assert make(run, path)["appended"] == 0


@pytest.mark.usefixtures("small_steps")
def test_readers_see_the_old_rows_until_all_new_ones_are_there(
    run: Run, stored: Stored, site: Site, reading: Reading
) -> None:
    path = stored(CSV)
    array = make(run, path)["array"]
    site.transact(lambda portal: portal[path].replace(wav(ROWS * 2)))
    kind = site.registry.activities["stream_to_array"]
    with site.open() as portal:
        work = Work(portal, portal[path], kind.parameters(start_over=True), id="a")
        for _ in kind.run(work):
            portal.commit()
            with site.open() as other:
                assert np.array_equal(other[array][:], ROWS)
        portal.commit()
    assert np.array_equal(reading(array)[:], ROWS * 2)
    assert reading(array).properties.rate_hz == 8000


def test_second_start_over_makes_the_first_give_way(run: Run, stored: Stored, site: Site) -> None:
    path = stored(CSV)
    make(run, path)
    kind = site.registry.activities["stream_to_array"]
    with site.open() as portal:
        work = Work(portal, portal[path], kind.parameters(start_over=True), id="first")
        next(kind.run(work))
        portal.commit()
        make(run, path, start_over=True)
        portal.abort()
        with pytest.raises(InvalidError, match="Another run began"):
            next(kind.run(work))


def test_deleted_array_is_made_anew(run: Run, stored: Stored, site: Site, reading: Reading) -> None:
    path = stored(CSV)
    first = make(run, path)["array"]
    site.transact(lambda portal: portal.delete(portal[first]))
    second = make(run, path)
    assert second["array"] != first and second["appended"] == 1000
    assert np.array_equal(reading(second["array"])[:], ROWS)


def test_other_reference_is_another_array(run: Run, stored: Stored, reading: Reading) -> None:
    path = stored(CSV)
    first, second = make(run, path), make(run, path, reference="other", dtype="<f4")
    assert first["array"] != second["array"]
    assert (reading(second["array"]).reference, reading(second["array"]).dtype) == ("other", np.dtype("<f4"))


@pytest.mark.parametrize(
    ("data", "parameters", "message"),
    [
        (b"", {}, "The stream is empty"),
        (b"\0\1\2", {}, "format: nothing tells"),
        (b"RIFF\1\2", {"format": "wav"}, "cut short at byte 6, within its header"),
        (b"a,b", {"format": "wav"}, "This is no WAV: at byte 0"),
        (b"no wav at all", {"format": "wav"}, "This is no WAV: at byte 0"),
        (CSV + b"1,2\n", {}, f"Row 1000 .* at byte {len(CSV)} in line 1002, has 2 fields, not 3"),
        (
            PACKED + msgpack.packb({"a": 1}),
            {},
            f"Record 1000 .from 0., which begins at byte {len(PACKED)}, is a",
        ),
        (CSV, {"format": "raw"}, "dtype: raw bytes need a type"),
        (CSV, {"format": "raw", "dtype": "O"}, "dtype: 'O' has no fixed size"),
        (CSV, {"format": "raw", "dtype": "f8", "row_shape": "0"}, "row_shape: "),
        (CSV, {"dtype": "foo"}, "dtype: 'foo' is no dtype"),
        (CSV, {"format": "cvs"}, "format: must be one of 'auto'"),
    ],
    ids=[
        "empty",
        "unknown",
        "cut",
        "short",
        "no-wav",
        "ragged",
        "mixed",
        "no-dtype",
        "object",
        "no-row",
        "dtype",
        "format",
    ],
)
def test_bad_input_is_told(
    run: Run, stored: Stored, data: bytes, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidError, match=message):
        make(run, stored(data), **parameters)


def test_bad_row_leaves_those_before_it(run: Run, stored: Stored, site: Site, reading: Reading) -> None:
    path = stored(CSV)
    array = make(run, path)["array"]
    site.transact(lambda portal: portal[path].append(b"1,2,3\n1,2\n"))
    with pytest.raises(InvalidError, match="Row 1001 "):
        make(run, path)
    assert np.array_equal(reading(array)[:], ROWS)


def test_other_parameters_than_before_need_a_start_over(run: Run, stored: Stored) -> None:
    path = stored(CSV)
    make(run, path)
    with pytest.raises(
        InvalidError, match="dtype: the rows so far were read with no dtype, not '<f4'; set start_over"
    ):
        make(run, path, dtype="<f4")
    assert make(run, path, dtype="<f4", start_over=True)["rows"] == 1000


@pytest.mark.parametrize("start_over", [False, True])
@pytest.mark.usefixtures("small_steps")
def test_array_that_is_deleted_meanwhile_gets_no_rows(
    run: Run, stored: Stored, site: Site, start_over: bool
) -> None:
    path = stored(CSV)
    array = make(run, path)["array"]
    site.transact(lambda portal: portal[path].append(CSV[6:] * 2))
    with site.open() as portal:
        work = Work(portal, portal[path], StreamToArray.parameters(start_over=start_over), id="the activity")
        steps = site.registry.activities["stream_to_array"].run(work)
        next(steps)
        portal.commit()
        site.transact(lambda portal: portal.delete(portal[array]))
        portal.abort()
        with pytest.raises(InvalidError, match=f"{array} was deleted"):
            next(steps)
        portal.abort()
        assert array not in [found.path for found in portal.catalog(portal_type="Data Array")]


@pytest.mark.usefixtures("small_steps")
def test_array_that_is_deleted_during_a_step_is_made_anew(
    stored: Stored, site: Site, reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both saw it there, and the deletion was committed first."""
    path, deleted = stored(ROWS.tobytes()), []
    append = DataArray.append

    def racing(array: DataArray, rows: Any) -> int:
        if len(array) and not deleted:
            deleted.append(array.path)
            site.transact(lambda portal: portal.delete(portal[array.path]))
        return append(array, rows)

    monkeypatch.setattr(DataArray, "append", racing)
    with site.open() as portal:
        job = portal[path].activate().stream_to_array(format="raw", dtype="f8", row_shape="3")
        portal.commit()
        found = job.wait().result
        assert found is not None, job.error
    assert deleted and found["rows"] == found["appended"] == 1000 and found["array"] not in deleted
    assert np.array_equal(reading(found["array"])[:], ROWS)


@pytest.mark.parametrize(
    ("data", "parameters"),
    [
        (CSV, {"row_shape": "3"}),
        (CSV, {"accept_cut": True}),
        (PACKED, {"delimiter": ","}),
        (PACKED, {"header": "no"}),
        (wav(ROWS), {"dtype": "<f4"}),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_parameter_for_another_format_is_refused(
    run: Run, stored: Stored, data: bytes, parameters: dict[str, Any]
) -> None:
    with pytest.raises(InvalidError, match=f"{next(iter(parameters))}: the stream is "):
        make(run, stored(data), **parameters)


def test_stream_made_again_at_the_same_path_has_an_array_of_its_own(
    run: Run, site: Site, reading: Reading
) -> None:
    def store(portal: Portal, data: bytes) -> str:
        stream: Any = portal.new("Data Stream", id="again", reference="again")
        stream.append(data)
        return str(stream.path)

    path = site.transact(lambda portal: store(portal, CSV))[0]
    first = make(run, path)
    site.transact(lambda portal: portal.delete(portal[path]))
    site.transact(lambda portal: store(portal, wav(ROWS[:10])))
    second = make(run, path)
    assert second["array"] != first["array"] and second["appended"] == 10
    assert np.array_equal(reading(first["array"])[:], ROWS)
