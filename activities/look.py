"""Look: have an Alert look at what it watches."""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, cast

from haywain.activity.care import wanting
from haywain.activity.kind import Due, Kind, Work
from haywain.document import Document
from haywain.portal_types.alert import Alert

if TYPE_CHECKING:
    from haywain.portal import Portal


class Look(Kind):
    """Look at the rows that are new, 64 MiB a step, or at how long nothing came; queue what is to be sent.

    An append of rows has it look a second later.  The portal asks every five seconds for those that missed
    one, and for those that go by the clock: silence, `for_s`, reminders, the end of a snooze.
    """

    name = "look"
    title = "Look"
    portal_types = ("Alert",)
    every_s = 5.0
    is_kept = False

    def due(self, portal: "Portal", since_s: float, now_s: float) -> Due:
        """Return the Alerts that would find something."""
        due = Due()
        for document in wanting(portal, self.name, due):
            if cast(Alert, document).is_due():
                due.found[document.path] = {}
        return due

    def suits(self, document: Document) -> str:
        """Say that it watches nothing."""
        return "" if document.state == "validated" else "The Alert is not validated"

    def run(self, work: Work) -> Generator[float, None, dict[str, Any]]:  # Any: JSON
        """Look; the result tells the condition, and the first row that it has not looked at."""
        return (yield from cast(Alert, work.document).look(work))
