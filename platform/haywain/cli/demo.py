"""`haywain demo`: a portal with data that came in through its ingestion URL.

Six recordings of a turbine whose bearing wears out, and the resource consumption of this machine, live.
"""

import secrets
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from haywain.agent.sender import ResourceSender, Sender
from haywain.agent.turbine import recordings
from haywain.app import Serving
from haywain.cli.logs import set_up_logs
from haywain.cli.options import address_options, data_options
from haywain.cli.scratch import scratch
from haywain.cli.serve import announce
from haywain.cli.wear import show_wear
from haywain.errors import HaywainError, TemporaryError
from haywain.portal import Portal, Site
from haywain.settings import load
from haywain.store.fsync import write_durably

STOP_S = 5
"""So long the last samples may take to be stored."""

_AGENT = "demo-agent"
T = TypeVar("T")


@click.command("demo")
@data_options
@address_options
def command(config: Path | None, **flags: Any) -> None:  # Any: as click parsed them
    """Start the portal with sample data on a new directory, which goes when it stops; --data keeps one."""
    set_up_logs()
    if flags["data"] is not None:
        serve(config, flags)
        return
    with scratch() as folder:
        serve(config, flags | {"data": folder / "var"})


def serve(config: Path | None, flags: dict[str, Any]) -> None:  # Any: as above
    """Serve, and send the sample data, until it is stopped."""
    with Serving(load(config, **flags)) as serving:
        agent = Agent(serving)
        announce(serving, agent.stop)
        if not serving.password:
            _say(f"log in as admin with the password {_password(serving.site)}")
        _say(f"the data lie in {serving.site.path}")
        agent.start()
        serving.run()


class Agent(threading.Thread):
    """Sends the recordings once, then what this machine consumes, as any agent would: over HTTP.

    It is stopped before the server, which takes its last bytes; then it stops the server.
    """

    def __init__(self, serving: Serving) -> None:
        """Prepare to send to a portal that listens."""
        super().__init__(name="demo-agent", daemon=True)
        self._serving = serving
        self._stop_wanted = threading.Event()
        self._sender = Sender(serving.url, _token(serving.site), sleep=self._pause)
        self._resources = ResourceSender(self._sender)

    def stop(self) -> None:
        """Ask it to send what it has sampled, then to stop the server; a signal's handler may call it."""
        self._stop_wanted.set()

    def run(self) -> None:
        """Send until `stop`."""
        sent = self._tried(self._send_recordings, list[str]())
        self._resources.start()
        _say("the resource consumption of this machine comes in live")
        if sent:
            self._tried(lambda: self._show_wear(sent), None)
        self._stop_wanted.wait()
        _say("stopping")
        self._resources.stop()
        self._resources.join(STOP_S)
        self._serving.server.stop()

    def _tried(self, work: Callable[[], T], otherwise: T) -> T:
        try:
            return work()
        except HaywainError as error:
            if not self._stop_wanted.is_set():
                _say(f"the demo is not complete: {error.detail}")
            return otherwise

    def _show_wear(self, paths: list[str]) -> None:
        _say("the spectra of the recordings are computed in the background; see /activities")
        path = show_wear(self._serving.site, paths, lambda: self._pause(0.2))
        _say(f"how the bearing's fault grows from recording to recording: /{path}")

    def _send_recordings(self) -> list[str]:
        """Send them; return the paths of their streams."""
        paths: list[str] = []
        for name, recording in recordings():
            if self._stop_wanted.is_set():
                raise TemporaryError("The demo is stopped")
            receipt = self._sender.send(name, recording, key=f"demo-{name}")
            _say(f"{name}: {len(recording)} bytes {receipt.status} as /{receipt.path}")
            paths.append(receipt.path)
        return paths

    def _pause(self, seconds: float) -> None:
        if self._stop_wanted.wait(seconds):
            raise TemporaryError("The demo is stopped")


def _token(site: Site) -> str:
    """Return the secret of the demo's own token; it stays the same, since keys are bound to it."""
    kept = site.path / "demo-token"
    if kept.exists():
        return kept.read_text().strip()

    def make(portal: Portal) -> str:
        if portal.root.find("login", _AGENT) is None:
            portal.new(
                "Person",
                reference=_AGENT,
                title="Agent of the demo",
                roles=("Agent",),
                password=secrets.token_urlsafe(16),
            )
        token = portal.new(
            "Token", reference=_AGENT, title="Token of the demo", login=_AGENT, scopes=("ingest:default",)
        )
        return token.shown_once()["secret"]

    secret, _ = site.transact(make)
    write_durably(kept, secret.encode() + b"\n", mode=0o600)
    return secret


def _password(site: Site) -> str:
    kept = site.path / "admin-password"
    return kept.read_text().strip() if kept.exists() else "that you have given"


def _say(message: str) -> None:
    print(f"haywain: {message}", file=sys.stderr, flush=True)
