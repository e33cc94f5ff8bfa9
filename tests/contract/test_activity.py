"""What holds for every kind of work: one suite runs over all that are registered."""

import inspect

import pytest

from haywain.activity.kind import Kind, NoParameters, Work
from haywain.errors import HaywainError
from haywain.portal import Portal
from haywain.registry import load_registry
from haywain.security.user import ROLES

REGISTRY = load_registry()
KINDS = REGISTRY.activities
pytestmark = pytest.mark.parametrize("name", KINDS)


def test_kind_is_described(name: str) -> None:
    kind = KINDS[name]
    assert isinstance(kind, Kind) and kind.name == name and kind.title and type(kind).__doc__
    assert set(kind.portal_types) <= set(REGISTRY.portal_types)
    assert kind.permission in ROLES["Manager"]


def test_parameters_are_told_strict_and_have_defaults(name: str) -> None:
    model = KINDS[name].parameters
    assert issubclass(model, NoParameters) and model().model_dump(mode="json") is not None
    assert all(info.description for info in model.model_fields.values())
    with pytest.raises(ValueError, match="no_such"):
        model.model_validate({"no_such": 1})


def test_empty_document_has_a_result_or_an_error_that_tells(portal: Portal, name: str) -> None:
    kind = KINDS[name]
    assert inspect.isgeneratorfunction(kind.run)
    for portal_type in kind.portal_types:
        steps = kind.run(Work(portal, portal.new(portal_type, reference="empty"), kind.parameters()))
        try:
            assert all(0 <= progress <= 1 for progress in steps)
        except HaywainError as error:
            assert error.status < 500 and str(error)


def test_what_does_not_suit_a_document_is_a_sentence_without_its_end(portal: Portal, name: str) -> None:
    for portal_type in KINDS[name].portal_types:
        reason = KINDS[name].suits(portal.new(portal_type, reference="empty"))
        assert reason and not reason.endswith(".")
