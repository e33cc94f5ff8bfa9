"""The Workers: the processes that run activities, what each runs now, and how much waits for them."""

from dataclasses import dataclass

from pyramid.config import Configurator
from pyramid.request import Request

from haywain import clock
from haywain.activity.presence import Process
from haywain.activity.process import machine_of, shown
from haywain.activity.status import status
from haywain.web.pages.activities import title_of
from haywain.web.pages.figures import Moment, count_text, duration_text
from haywain.web.pages.page import Values, add_page


@dataclass(frozen=True)
class Row:
    """A process in the list; `runs` are (id, title, path) of activities."""

    name: str
    machine: str
    state: str
    threads: str
    queues: str
    since: Moment | None
    beaten: Moment
    runs: tuple[tuple[str, str, str], ...]


def show(request: Request) -> Values:
    """Show the processes, and what waits."""
    found = status(request.portal)
    oldest_s = clock.now_s() - found.oldest_s if found.oldest_s is not None else 0.0
    return {
        "rows": tuple(_row(process, request) for process in found.processes),
        "is_sole": request.site.is_sole,
        "ready": count_text(found.ready, "activity"),
        "oldest": duration_text(max(oldest_s, 0.0)) if found.ready else "",
        "canary": Moment.at(found.canary_s) if found.canary_s else None,
        "silent": Moment.at(found.silent_since_s) if found.silent_since_s is not None else None,
        "here": request.path_qs,
    }


def _row(process: Process, request: Request) -> Row:
    presence = process.presence
    return Row(
        name=shown(process.name),
        machine=machine_of(process.name)[:6],
        state="silent" if not process.is_alive else "running" if process.runs else "idle",
        threads=str(presence.threads) if presence else "",
        queues=(presence.queues.replace(",", ", ") or "all") if presence else "",
        since=Moment.at(presence.since_s) if presence else None,
        beaten=Moment.at(process.beaten_s),
        runs=tuple((run.id, title_of(run, request), run.path) for run in process.runs),
    )


def includeme(config: Configurator) -> None:
    """Register the page for Managers."""
    config.add_route("workers_page", "/workers")
    add_page(config, show, "workers", route_name="workers_page", permission="manage")
