"""A portal with something of each kind in it, and browsers of people with different roles; no sockets."""

import io
import wave
from collections.abc import Iterator
from typing import Any

import numpy
import pytest
from argon2 import PasswordHasher
from webtest import TestApp

from haywain.app import open_site
from haywain.ingestion import Request, deliver
from haywain.portal import Portal, Site
from haywain.security import passwords
from haywain.settings import Settings
from haywain.web.application import make_application

PASSWORD = "correct horse battery"
PEOPLE = {"vera": "Viewer", "emil": "Editor", "agnes": "Agent"}


def wav_bytes(seconds: float = 0.5, rate: int = 8000, channels: int = 2) -> bytes:
    """Return a recording: full scale on the left, half of it on the right."""
    time = numpy.arange(int(seconds * rate)) / rate
    left = (32_767 * numpy.sin(2 * numpy.pi * 50 * time)).astype("<i2")
    frames = numpy.stack([left, left // 2][:channels], axis=1)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(frames.tobytes())
    return buffer.getvalue()


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> Iterator[None]:
    """Hash passwords with the least of memory and time: how hard they are is tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        yield


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A portal with people, two streams, a product and one request in quarantine."""
    folder = tmp_path_factory.mktemp("portal")
    opened, _ = open_site(Settings(data=folder / "var", admin_password=PASSWORD))

    def fill(portal: Portal) -> None:
        for login, role in PEOPLE.items():
            portal.new("Person", reference=login, roles=(role,), password=PASSWORD)

    opened.transact(fill)
    deliver(opened, Request("default", b"turbine-1.wav", wav_bytes()))
    deliver(opened, Request("default", b"weather.log", b"".join(b"%05d rain\n" % i for i in range(2000))))
    deliver(opened, Request("default", b"../etc/passwd", b"never delivered"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def paths(site: Site) -> dict[str, str]:
    """The path of the document of each reference."""
    with site.open() as portal:
        return {str(document.reference): document.path for document in portal.catalog()}


class Browser(TestApp):  # type: ignore[misc]  # WebTest has no types
    """A browser: asks for pages, keeps cookies, does not follow by itself."""

    def __init__(self, site: Site) -> None:
        super().__init__(make_application(site), extra_environ={"HTTP_ACCEPT": "text/html,*/*;q=0.8"})

    def log_in(self, login: str, password: str = PASSWORD) -> Any:
        form = self.get("/login").form
        form["login"], form["password"] = login, password
        return form.submit(status="*")

    def send(self, path: str, status: int = 303, **fields: Any) -> Any:
        """Post fields with the CSRF token of this session."""
        token = self.get("/search").html.find("meta", {"name": "csrf-token"})["content"]
        return self.post(path, {"csrf_token": token, **fields}, status=status)

    def form(self, path: str) -> Any:
        """Return the form of a page that people fill in."""
        return next(form for form in self.get(path).forms.values() if 'class="card fields"' in form.text)


def browser(site: Site, login: str = "") -> Browser:
    made = Browser(site)
    if login:
        assert made.log_in(login).status_int == 303
    return made


@pytest.fixture(scope="module")
def manager(site: Site) -> Browser:
    return browser(site, "admin")


@pytest.fixture(scope="module")
def viewer(site: Site) -> Browser:
    return browser(site, "vera")


@pytest.fixture
def stranger(site: Site) -> Browser:
    return browser(site)
