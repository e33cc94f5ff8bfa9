"""Workflows: the states of a document and the transitions that a user may make."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from haywain import clock
from haywain.errors import InvalidError, UnknownNameError

if TYPE_CHECKING:
    from haywain.document import Document


@dataclass(frozen=True)
class Transition:
    """From one of some states to another; `permission` is what the user needs."""

    name: str
    title: str
    sources: frozenset[str]
    target: str
    permission: str = "edit"


@dataclass(frozen=True)
class Workflow:
    """States and transitions of a kind of document."""

    name: str
    initial: str
    transitions: tuple[Transition, ...]

    def allowed(self, document: "Document") -> list[Transition]:
        """Return the transitions that leave the document's state."""
        return [t for t in self.transitions if document.state in t.sources]

    def apply(self, document: "Document", name: str, user: str, comment: str = "") -> None:
        """Make a transition and note it in the history; raises UnknownNameError or InvalidError.

        Then nothing is changed.
        """
        found = next((t for t in self.transitions if t.name == name), None)
        if found is None:
            raise UnknownNameError("transition", name, (t.name for t in self.transitions))
        if document.state not in found.sources:
            raise InvalidError(
                f"{document.path} is {document.state}; {name} leaves {', '.join(sorted(found.sources))}"
            )
        document.before_transition(name)
        document.state = found.target
        document.note(name, user, comment)
        document.edited = clock.now_s()
        document.after_transition(name)
        document.reindex()


def _from(*states: str) -> frozenset[str]:
    return frozenset(states)


WORKFLOWS = {
    workflow.name: workflow
    for workflow in (
        Workflow(
            "validation",
            "draft",
            (
                Transition("validate", "Validate", _from("draft", "invalidated"), "validated"),
                Transition("invalidate", "Invalidate", _from("validated"), "invalidated"),
                Transition("delete", "Delete", _from("draft", "invalidated"), "deleted"),
            ),
        ),
        Workflow(
            "supply",
            "draft",
            (
                Transition("validate", "Validate", _from("draft", "default", "invalidated"), "validated"),
                Transition("set_default", "Make default", _from("draft", "validated"), "default"),
                Transition("invalidate", "Invalidate", _from("validated", "default"), "invalidated"),
                Transition("delete", "Delete", _from("draft", "invalidated"), "deleted"),
            ),
        ),
        Workflow(
            "simulation",
            "draft",
            (
                Transition("plan", "Plan", _from("draft"), "planned"),
                Transition("confirm", "Confirm", _from("draft", "planned"), "confirmed"),
                Transition("start", "Start", _from("draft", "confirmed", "stopped", "delivered"), "started"),
                Transition("stop", "Stop", _from("started"), "stopped"),
                Transition("deliver", "Deliver", _from("stopped"), "delivered"),
                Transition(
                    "cancel", "Cancel", _from("planned", "confirmed", "started", "stopped"), "cancelled"
                ),
                Transition("delete", "Delete", _from("draft", "cancelled"), "deleted"),
            ),
        ),
        Workflow("job", "draft", (Transition("delete", "Delete", _from("draft"), "deleted"),)),
        Workflow(
            "quarantine",
            "quarantined",
            (Transition("discard", "Discard", _from("quarantined"), "discarded"),),
        ),
        Workflow(
            "account",
            "validated",
            (
                Transition("invalidate", "Lock", _from("validated"), "invalidated", "manage"),
                Transition("validate", "Unlock", _from("invalidated"), "validated", "manage"),
            ),
        ),
        Workflow(
            "credential",
            "validated",
            (
                Transition("invalidate", "Revoke", _from("validated"), "invalidated", "manage"),
                Transition("validate", "Restore", _from("invalidated"), "validated", "manage"),
            ),
        ),
    )
}
"""All workflows by name."""
