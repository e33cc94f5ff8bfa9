"""The page of the Workers: who is there, what they run, and that nobody is."""

from collections.abc import Callable
from typing import Any

from tests.activity.conftest import claim
from tests.conftest import Clock
from tests.web.pages.conftest import Browser

from haywain.activity.canary import MISSED, PERIOD_S, tend
from haywain.activity.outbox import Outbox
from haywain.activity.presence import Presence, beat
from haywain.portal import Portal, Site

FAR = "barn-7:0123456789ab:99:aaaaaaaa"


def shared(monkeypatch: Any) -> None:
    """Have the site take its database for one that others use too."""
    monkeypatch.setattr(Site, "is_sole", property(lambda site: False))


def change(site: Site, work: Callable[[Outbox], object]) -> None:
    site.transact(lambda portal: work(Outbox.of(portal.root)))


def test_a_portal_alone_shows_its_own_threads(manager: Browser, site: Site) -> None:
    page = manager.get("/workers")
    assert site.workers.process.partition(":")[0] in page.text and "idle" in page.text
    assert "/workers" in manager.get("/activities").text
    (found,) = manager.get("/api/v1/workers").json["processes"]
    assert (found["is_alive"], found["queues"], found["runs"]) == (True, [], [])


def test_on_a_shared_database_processes_are_shown_with_what_they_run(
    manager: Browser, site: Site, paths: dict[str, str], monkeypatch: Any
) -> None:
    shared(monkeypatch)
    change(site, lambda outbox: beat(outbox, FAR, Presence(5.0, 2, "gpu")))

    def queue(portal: Portal) -> str:
        return portal[paths["weather.log"]].activate().queue("seal", {}).id

    runs, waits = site.transact(queue)[0], site.transact(queue)[0]
    claim(site, FAR, runs)
    page = manager.get("/workers")
    assert "barn-7" in page.text and "1 activity could run now" in page.text and "silent" not in page.text
    assert page.html.find("a", href=f"/activities/{runs}").string.startswith("Seal")
    told = manager.get("/api/v1/workers").json
    (found,) = told["processes"]
    assert (found["name"], found["machine"], found["queues"]) == ("barn-7", "0123456789ab", ["gpu"])
    assert [run["id"] for run in found["runs"]] == [runs] and told["ready"] == 1 and told["oldest_ready"]
    for id in (runs, waits):
        manager.send(f"/activities/{id}/cancel")


def test_it_says_since_when_workers_are_silent(
    manager: Browser, site: Site, monkeypatch: Any, set_clock: Clock
) -> None:
    shared(monkeypatch)
    site.transact(tend)
    assert manager.get("/readyz").json["workers_silent_since"] is None
    set_clock.forward(MISSED * PERIOD_S + 1)
    assert "Workers are silent" in manager.get("/workers").text
    assert manager.get("/api/v1/workers").json["canary"]["silent_since"]
    ready = manager.get("/readyz")
    assert ready.status_int == 200 and ready.json["ready"] and ready.json["workers_silent_since"]
    lines = manager.get("/metrics").text.splitlines()
    (silent,) = [line for line in lines if line.startswith("haywain_workers_silent_seconds")]
    assert float(silent.split()[1]) > MISSED * PERIOD_S
    while site.workers.run_next() == 0:
        pass
    assert "Workers are silent" not in manager.get("/workers").text


def test_who_is_no_manager_sees_nothing_of_it(viewer: Browser) -> None:
    assert "/workers" not in viewer.get("/activities").text
    for path in ("/workers", "/api/v1/workers"):
        viewer.get(path, status=403)
