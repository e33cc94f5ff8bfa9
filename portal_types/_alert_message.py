"""What an Alert says: one line of what it watches, the text of its mails, the JSON of its webhooks."""

import math
from typing import TYPE_CHECKING, Any

from haywain import clock
from haywain.portal_types._alert_course import Change

if TYPE_CHECKING:
    from haywain.document import Document
    from haywain.portal_types.alert import Alert, AlertProperties

_SUBJECTS = {"firing": "Firing", "ok": "OK", "reminder": "Still firing", "test": "Test"}


def number_text(value: float) -> str:
    """Return a number as people write it.

    >>> number_text(80.0), number_text(0.1)
    ('80', '0.1')
    """
    return f"{value:.6g}"


def rule_text(given: "AlertProperties") -> str:
    """Return what makes it fire, as people say it."""
    if given.watches == "silence":
        return f"nothing received for {number_text(given.silent_s)} s"
    clear = "" if given.clear is None else f", until {_behind(given)} {number_text(given.clear)}"
    rows = "" if given.for_rows == 1 else f", {given.for_rows:,} rows in a row"
    seconds = "" if not given.for_s else f", for {number_text(given.for_s)} s"
    column = f"{given.column} " if given.column else ""
    return f"{column}{given.direction} {number_text(given.threshold)}{rows}{seconds}{clear}"


def _behind(given: "AlertProperties") -> str:
    return "at most" if given.direction == "above" else "at least"


def change_text(given: "AlertProperties", name: str, change: Change, received: float) -> str:
    """Return what has happened to the document of a name, as one line."""
    if change.event == "test":
        return f"This is a test; it fires on {name}: {rule_text(given)}"
    if given.watches == "silence":
        last = f", the last came {clock.iso(received)}" if received else ", and never has"
        return (
            f"{name} {'receives again' if change.event == 'ok' else f'is silent: {rule_text(given)}{last}'}"
        )
    column = f"{given.column} of {name}" if given.column else name
    side = "not" if change.event == "ok" else "still" if change.event == "reminder" else "now"
    value = "" if change.value is None else f": {number_text(change.value)}"
    row = "" if change.row is None else f" in row {change.row:,}"
    moment = f" ({change.row_time})" if change.row_time else ""
    level = given.threshold if change.event != "ok" or given.clear is None else given.clear
    return f"{column} is {side} {given.direction} {number_text(level)}{value}{row}{moment}"


def message_of(alert: "Alert", document: "Document | None", change: Change, base: str) -> dict[str, Any]:
    """Return a message, JSON, that stays as it is however often it is sent; links need the portal's base."""
    given, course = alert.properties, alert.course
    path = given.document
    name = (document.reference or document.title or path) if document is not None else path
    text = change_text(given, name, change, getattr(document, "received", 0.0))
    about = {"path": alert.path, "reference": str(alert.reference), "title": alert.title}
    return {
        "event": change.event,
        "text": text,
        "time": clock.iso(clock.now_s()),
        "since": clock.iso(course.since) if course.since else None,
        "value": change.value if change.value is None or math.isfinite(change.value) else None,
        "row": change.row,
        "row_time": change.row_time or None,
        "threshold": given.threshold if given.watches == "threshold" else None,
        "left_out": change.left_out,
        "alert": about | _link(base, alert.path),
        "document": {"path": path, "reference": name} | _link(base, path),
    }


def _link(base: str, path: str) -> dict[str, str]:
    return {"url": f"{base.rstrip('/')}/{path}"} if base else {}


def subject_of(message: dict[str, Any]) -> str:  # Any: JSON
    """Return the subject of a mail."""
    alert = message["alert"]
    name = alert["title"] or alert["reference"] or message["document"]["reference"]
    return f"{_SUBJECTS[message['event']]}: {name}"[:200]


def body_of(message: dict[str, Any]) -> str:  # Any: JSON
    """Return the text of a mail."""
    rows = [("Document", _place(message["document"])), ("Alert", _place(message["alert"]))]
    rows += [("Noticed", message["time"])]
    if message["event"] == "reminder":
        rows += [("Firing since", message["since"])]
    lines = [message["text"], "", *(f"{title}: {text}" for title, text in rows)]
    if message["left_out"]:
        lines += ["", f"{message['left_out']:,} changes just before this one were not sent."]
    return "\n".join(lines) + "\n"


def _place(one: dict[str, str]) -> str:
    return one.get("url") or one["path"]
