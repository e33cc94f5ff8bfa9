"""Workflows: which ways there are, and what is noted of them."""

import pytest

from haywain.errors import InvalidError, UnknownNameError
from haywain.portal_types.data_product import DataProduct
from haywain.security.user import ROLES
from haywain.workflow import WORKFLOWS

VALIDATION = WORKFLOWS["validation"]


@pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=list(WORKFLOWS))
def test_every_state_can_be_reached_and_every_guard_is_a_permission(workflow) -> None:
    reached = {workflow.initial}
    for _ in workflow.transitions:
        reached |= {t.target for t in workflow.transitions if t.sources & reached}
    assert {s for t in workflow.transitions for s in t.sources} <= reached
    assert {t.permission for t in workflow.transitions} <= ROLES["Manager"]


def test_transition_changes_state_and_is_noted(set_clock) -> None:
    document = DataProduct()
    VALIDATION.apply(document, "validate", "ann", "looks\x00 good\ud800")
    assert document.state == "validated"
    assert document.history == (("validate", "ann", "looks good", set_clock.now_s),)


def test_only_transitions_that_leave_the_state_are_allowed() -> None:
    document = DataProduct()
    assert [t.name for t in VALIDATION.allowed(document)] == ["validate", "delete"]
    with pytest.raises(InvalidError, match="is draft"):
        VALIDATION.apply(document, "invalidate", "ann")
    assert document.history == ()


def test_unknown_transition_names_the_near_ones() -> None:
    with pytest.raises(UnknownNameError, match="validate"):
        VALIDATION.apply(DataProduct(), "valdate", "ann")


def test_long_comment_is_cut() -> None:
    document = DataProduct()
    VALIDATION.apply(document, "validate", "ann", "x" * 5000)
    assert len(document.history[0][2]) == 1000


def test_nobody_says_replayed_by_hand() -> None:
    assert [t.name for t in WORKFLOWS["quarantine"].transitions] == ["discard"]
