"""Retry or cancel many activities: those that were ticked in the list, or all that match its filter.

It is asked about on a page of its own, which tells how many they are: so it works without JavaScript.
The parts of a Job are left out: they are retried and cancelled as a whole, on its own page.
"""

from dataclasses import replace
from urllib.parse import urlencode

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.request import Request
from pyramid.response import Response

from haywain.activity.bulk import change_all, change_of, ids_to_change
from haywain.activity.outbox import Outbox
from haywain.web.activities import filter_of, wanted_of
from haywain.web.pages.figures import count_text
from haywain.web.pages.page import Values, add_page

JOBS = "job_module"
"""The module of Jobs."""

_DONE = {"retry": "queued once more", "cancel": "cancelled, or ending at their next step"}


def change(request: Request) -> Values | Response:
    """Ask, or do what was said yes to, and go back to the list."""
    name, _, which = request.POST.get("change", "").partition(" ")
    change_of(name)
    kept = {key: value for key, value in filter_of(request.POST).items() if value}
    ids = request.POST.getall("id")
    if which == "all":
        wanted = replace(wanted_of(kept), without=JOBS)
        ids = ids_to_change(Outbox.of(request.portal.root), request.user, name, wanted)
    if ids and not request.POST.get("confirmed"):
        return {
            "name": name,
            "which": which,
            "count": count_text(len(ids), "activity"),
            "ids": ids if which != "all" else [],
            "kept": kept,
            "back": f"/activities?{urlencode(kept)}",
        }
    changed = change_all(request.site, request.user, name, ids)
    told = {name: str(changed), "skipped": str(len(ids) - changed)}
    return HTTPSeeOther(f"/activities?{urlencode(kept | told)}")


def changed_text(request: Request) -> str:
    """Say what was done to how many, as the address tells it; "" if it does not."""
    counts = {name: request.GET.get(name, "") for name in ("retry", "cancel", "skipped")}
    found = {
        name: int(text)
        for name, text in counts.items()
        if text.isascii() and text.isdigit() and len(text) < 9
    }
    for name, what in _DONE.items():
        if name in found:
            skipped = found.get("skipped", 0)
            rest = (
                f" {count_text(skipped, 'activity')} could not be, by the state they are in."
                if skipped
                else ""
            )
            return f"{count_text(found[name], 'activity')} {what}.{rest}"
    return ""


def includeme(config: Configurator) -> None:
    """Register the page."""
    config.add_route("activities_change_page", "/activities/change")
    add_page(
        config,
        change,
        "activities_change",
        route_name="activities_change_page",
        request_method="POST",
        permission="activity",
    )
