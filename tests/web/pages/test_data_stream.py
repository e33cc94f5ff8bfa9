"""The page of a stream: its bytes, its recording, a file from a form."""

import json

import pytest
from tests.web.pages.conftest import Browser, wav_bytes

from haywain.portal import Portal, Site
from haywain.store import stream as stream_module
from haywain.store.stream import Stream
from haywain.web.pages.preview import STEP

MANY = b"".join(b"%05d rain\n" % i for i in range(2000))


@pytest.fixture
def log(paths: dict[str, str]) -> str:
    return f"/{paths['weather.log']}"


@pytest.fixture
def wav(paths: dict[str, str]) -> str:
    return f"/{paths['turbine-1.wav']}"


def shown(browser: Browser, where: str) -> str:
    return str(browser.get(where).html.select_one("pre.bytes").text).lstrip("\n")


def test_facts_are_told(viewer: Browser, log: str) -> None:
    page = viewer.get(log)
    names, values = page.html.select("dl.facts dt"), page.html.select("dl.facts dd")
    facts = dict(zip((one.text for one in names), (one.text for one in values), strict=True))
    assert page.html.find(id="facts").text == "21.5 KiB" and facts["Exactly"] == "22,000 bytes"
    assert facts["Data Product"] == "log" and facts["Data Supply"] == "weather"
    assert page.html.find("a", string="weather")["href"].startswith("/data_supply_module/")
    assert page.html.find("a", download=True)["href"] == f"{log}/data?download=1"


def test_text_is_shown_as_text_and_pages_follow(viewer: Browser, log: str) -> None:
    assert shown(viewer, log) == MANY[:STEP].decode()
    second = viewer.get(log).click("Next", index=0)
    assert second.html.select_one("pre.bytes").text.lstrip("\n") == MANY[STEP : 2 * STEP].decode().lstrip(
        "\n"
    )
    assert second.click("Previous").click("Last").html.select_one(".pager p").text == "Bytes 20,480 to 22,000"


def test_hex_begins_in_the_row_of_the_offset(viewer: Browser, log: str) -> None:
    rows = shown(viewer, f"{log}?as=hex&offset=0x1003").splitlines()
    assert len(rows) == STEP // 16 and rows[0].startswith("00001000  ")
    assert bytes.fromhex(rows[0][10:58].replace(" ", "")) == MANY[4096:4112]


def test_offset_behind_the_end_shows_the_last_byte_and_nonsense_is_told(viewer: Browser, log: str) -> None:
    assert shown(viewer, f"{log}?as=text&offset=99999999999999999999") == ""
    assert (
        viewer.get(f"{log}?as=text&offset=99999999").html.select_one(".pager p").text
        == "Bytes 21,999 to 22,000"
    )
    assert "number of bytes" in viewer.get(f"{log}?offset=far", status=400)


def test_only_the_bytes_shown_are_read(viewer: Browser, log: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    chunks = Stream.chunks

    def counted(self: Stream, start: int = 0, stop: int | None = None) -> object:
        for piece in chunks(self, start, stop):
            read.append(len(piece))
            yield piece

    monkeypatch.setattr(Stream, "chunks", counted)
    viewer.get(f"{log}?as=hex&offset=8192")
    assert sum(read) <= STEP + 64


def test_recording_has_a_player_and_its_format(viewer: Browser, wav: str) -> None:
    page = viewer.get(wav)
    assert page.html.find("audio")["src"] == f"{wav}/data"
    assert page.html.select_one(".bar .hint").text == "0.500 s · 8 kHz · stereo · 16 bit integer"
    assert page.html.find("canvas")["data-peaks"] == f"{wav}/peaks"


def test_stream_without_a_recording_loads_no_player(viewer: Browser, log: str) -> None:
    page = viewer.get(log)
    assert page.html.find("audio") is None and "player.js" not in page


def test_peaks_are_those_of_the_samples_and_cached_by_the_bytes(viewer: Browser, wav: str) -> None:
    answer = viewer.get(f"{wav}/peaks")
    found = json.loads(answer.body)
    left, right = found["lanes"]
    assert found["duration"] == 0.5 and not found["is_sampled"] and len(left["low"]) == 1000
    assert max(left["high"]) == pytest.approx(1, abs=0.001) and min(left["low"]) == pytest.approx(
        -1, abs=0.001
    )
    assert max(right["high"]) == pytest.approx(0.5, abs=0.001)
    assert viewer.get(f"{wav}/peaks", headers={"If-None-Match": f'"{answer.etag}"'}).status_int == 304


def test_no_peaks_without_a_recording(viewer: Browser, log: str) -> None:
    assert "no recording" in viewer.get(f"{log}/peaks", status=404)


def made(manager: Browser, reference: str) -> str:
    form = manager.form("/data_stream_module/new")
    form["reference"] = reference
    return str(form.submit().follow().request.path)


def test_form_appends_and_replaces_a_file(manager: Browser) -> None:
    where = made(manager, "uploaded")
    for mode, sent, expected in (
        ("append", b"one", b"one"),
        ("append", b"two", b"onetwo"),
        ("replace", b"3", b"3"),
    ):
        form = manager.get(where).forms["upload"]
        form["mode"] = mode
        form["file"] = ("a.bin", sent)
        page = form.submit(status=303).follow()
        assert f"The {'file was appended' if mode == 'append' else 'bytes were replaced'}." in page
        assert manager.get(f"{where}/data").body == expected


def test_form_without_a_file_is_refused(manager: Browser) -> None:
    where = made(manager, "nothing uploaded")
    form = manager.get(where).forms["upload"]
    assert "Choose a file" in form.submit(status=400)


def test_recording_that_replaces_a_text_gets_a_player(site: Site, manager: Browser) -> None:
    where = made(manager, "becomes a recording")
    form = manager.get(where).forms["upload"]
    form["file"] = ("a.wav", wav_bytes(channels=1))
    assert "mono" in form.submit().follow()


@pytest.fixture
def expired(site: Site, monkeypatch: pytest.MonkeyPatch) -> str:
    """A stream of 5,000 bytes, compressed where it could be, of which the first 2,000 have expired."""
    monkeypatch.setattr(stream_module, "GENERATION_SIZE", 1000)

    def make(portal: Portal) -> str:
        stream = portal.new("Data Stream", reference="expired.wav")
        stream.append(wav_bytes()[:2000] + b"rain\n" * 600)
        for start in stream.unsealed():
            stream.seal(start)
        while (start := stream.cold(1e12)) is not None:
            stream.compress(start)
        stream.expire(2000)
        return stream.path

    return f"/{site.transact(make)[0]}"


def test_page_of_an_expired_stream_shows_what_there_is(viewer: Browser, expired: str) -> None:
    page = viewer.get(expired)
    assert page.html.select_one("pre.bytes").text.lstrip("\n") == "rain\n" * 600
    assert page.html.select_one(".pager p").text == "Bytes 2,000 to 5,000"
    assert not page.html.find("audio")
    assert shown(viewer, f"{expired}?offset=0&as=hex").startswith("000007d0  72 61")
    download = page.html.find("a", download=True)["href"]
    assert viewer.get(download).body == b"rain\n" * 600
    assert "/data?start=2000&#39;" in page.text
    names, values = page.html.select("dl.facts dt"), page.html.select("dl.facts dd")
    facts = dict(zip((one.text for one in names), (one.text for one in values), strict=True))
    assert facts["Begins at byte"].startswith("2,000;") and facts["Stored in"].endswith(" %")


def test_stream_leads_to_its_predecessor_and_its_successor(manager: Browser) -> None:
    first, second = made(manager, "part 1"), made(manager, "part 2")
    form = manager.form(f"{second}/edit")
    form["predecessor"] = first
    page = form.submit(status=303).follow()
    assert [one.text for one in page.html.select("dt") if one.text == "Predecessor"]
    assert manager.get(first).html.find("a", string="part 2")["href"] == second
    form = manager.form(f"{first}/edit")
    form["predecessor"] = second
    refused = form.submit(status=400)
    assert "comes behind" in refused.text or "behind itself" in refused.text
