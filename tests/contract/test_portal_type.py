"""What holds for every Portal Type: one suite runs over all that are registered."""

import json
from typing import Any

import pytest

from haywain.catalog.schema import row_of
from haywain.document import Document, Properties
from haywain.errors import InvalidError
from haywain.portal import Portal, Site
from haywain.registry import load_registry
from haywain.security.user import ROLES
from haywain.workflow import WORKFLOWS

KINDS = load_registry().portal_types
NEEDED: dict[str, dict[str, Any]] = {
    "Person": {"reference": "contract", "password": "long enough"},
    "Token": {"login": "admin", "scopes": ("read",)},
    "Quarantine": {"policy": "default", "reason": "bad"},
}
pytestmark = pytest.mark.parametrize("name", KINDS)


def make(portal: Portal, name: str, **properties: Any) -> Document:
    needed = dict(NEEDED.get(name, {}))
    if name == "Schedule":
        needed |= {"document": portal.new("Data Stream").path, "method": "seal", "rule": "@daily"}
    made = portal.new(name, **(needed | properties))
    if name == "Data Transformation":
        product, operation = portal.new("Data Product"), portal.new("Data Operation", kind="statistics")
        portal.new("Data Transformation Line", transformation=made.path, resource=product.path)
        made.edit(operation=operation.path)
    return made


def test_kind_is_described(name: str) -> None:
    cls = KINDS[name]
    assert cls.portal_type == name and cls.module_id.isidentifier() and cls.icon and cls.__doc__
    assert issubclass(cls.schema, Properties) and cls.workflow_name in WORKFLOWS
    assert {cls.view_permission, cls.edit_permission} <= ROLES["Manager"]
    assert all(info.description for info in cls.schema.model_fields.values())
    assert cls.schema.model_json_schema()["properties"]


def test_kind_lies_where_its_class_path_says(name: str) -> None:
    module = KINDS[name].__module__
    assert module.startswith("haywain.portal_types.")


def test_first_state_is_one_of_its_workflow(name: str) -> None:
    workflow = WORKFLOWS[KINDS[name].workflow_name]
    assert KINDS[name].state in {workflow.initial} | {s for t in workflow.transitions for s in t.sources}


def test_document_is_made_kept_and_found(site: Site, name: str) -> None:
    path, _ = site.transact(lambda p: make(p, name, title="contract").path)
    site.database.cacheMinimize()
    with site.open() as portal:
        document = portal[path]
        assert type(document) is KINDS[name] and document.__parent__.id == KINDS[name].module_id
        assert [hit.path for hit in portal.catalog(portal_type=name, title="contract")] == [path]
        row = row_of(document)
        assert row["portal_type"] == name and all(value is not None for value in row.values())
    site.transact(lambda p: p.delete(p[path]))


def test_json_round_trip(portal: Portal, name: str) -> None:
    cls = KINDS[name]
    document = make(portal, name, title="t", description="d")
    found = json.loads(json.dumps(document.as_dict()))
    assert {"path", "id", "portal_type", "state", "size", "owner", "created", "modified"} <= set(found)
    secret = {field for field, info in cls.schema.model_fields.items() if info.exclude}
    assert set(found) & set(cls.schema.model_fields) == set(cls.schema.model_fields) - secret
    public = {field: found[field] for field in set(cls.schema.model_fields) - secret}
    again = cls.schema.model_validate(
        public | {field: getattr(document.properties, field) for field in secret}
    )
    assert again == document.properties


def test_edit_is_kept_and_found(site: Site, name: str) -> None:
    path, _ = site.transact(lambda p: make(p, name).path)
    site.transact(lambda p: p[path].edit(title="edited \u00e9"))
    with site.open() as portal:
        assert portal[path].title == "edited \u00e9"
        assert [hit.path for hit in portal.catalog(path=path, title="EDITED \u00c9")] == [path]
    site.transact(lambda p: p.delete(p[path]))


@pytest.mark.parametrize(
    "bad", ["self", "no_such", "__class__", "owner", "state", "path", "_values", "claims"]
)
def test_words_that_are_no_properties_are_refused(portal: Portal, name: str, bad: str) -> None:
    with pytest.raises(InvalidError):
        make(portal, name, **{bad: "x"})
    document = make(portal, name)
    with pytest.raises(InvalidError):
        document.edit(**{bad: "x"})


def test_record_without_its_newer_attributes_loads(name: str) -> None:
    cls = KINDS[name]
    old = cls.__new__(cls)
    values = {"policy": "default", "reason": "r"} if name == "Quarantine" else {}
    old.__setstate__({"id": "x", "_values": {"reference": "old"} | values})
    assert (old.reference, old.history, old.claims) == ("old", (), ())


def test_transitions_lead_back_to_the_catalog(portal: Portal, name: str) -> None:
    document = make(portal, name)
    workflow = WORKFLOWS[document.workflow_name]
    for transition in workflow.allowed(document)[:1]:
        workflow.apply(document, transition.name, "admin", "contract")
        assert document.state == transition.target
        assert [hit.state for hit in portal.catalog(path=document.path)] == [transition.target]


def test_deleted_document_is_found_nowhere(portal: Portal, name: str) -> None:
    document = make(portal, name)
    path, claims = document.path, document.claims
    portal.delete(document)
    assert portal.catalog(path=path).count() == 0
    assert not any(key in portal.root.unique for key in claims)
