"""Documents as JSON: read one, list a module, make one, change one."""

import json
from typing import Any, cast
from urllib.parse import quote

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from haywain.document import Document, Module, PortalRoot
from haywain.errors import InvalidError, UnknownNameError
from haywain.security import require
from haywain.web.creation import creation_of, is_array, sizes_of
from haywain.web.search import hits_json
from haywain.workflow import WORKFLOWS


def json_response(content: Any, **options: Any) -> Response:  # Any: JSON, and Response's own options
    """Return JSON as the answer."""
    return Response(json.dumps(content).encode(), content_type="application/json", charset=None, **options)


def json_object(request: Request) -> dict[str, Any]:  # Any: JSON
    """Return the request's body, which must be a JSON object; raises InvalidError."""
    try:
        content = json.loads(request.body)
        json.dumps(content, ensure_ascii=False).encode()  # half characters, as "\\ud800", are no text
    except (ValueError, RecursionError):
        raise InvalidError("The body is no JSON") from None
    if not isinstance(content, dict):
        raise InvalidError("The body is no JSON object")
    return content


def show(context: Document, request: Request) -> Response:
    """Return a document."""
    return json_response(context.as_dict())


def show_module(context: Module, request: Request) -> Response:
    """Return the documents of a module, like a search in it."""
    return json_response(hits_json(request, {"module": context.id}))


def show_root(context: PortalRoot, request: Request) -> Response:
    """Return the modules."""
    return json_response({"modules": [module.id for module in context]})


def create(context: Module, request: Request) -> Response:
    """Make a document from `{"portal_type", "reference", ...}`; 201 with its Location."""
    document = create_document(request, context, json_object(request))
    response = json_response(document.as_dict() | document.shown_once(), status=201)
    response.location = f"/{quote(document.path)}"
    return response


def create_document(request: Request, module: Module, values: dict[str, Any]) -> Document:  # Any: JSON
    """Make a document of a kind that lives in this module; raises InvalidError or UnknownNameError."""
    here = [
        c for c in request.site.registry.portal_types.values() if c.module_id == module.id and c.is_addable
    ]
    name = values.pop("portal_type", here[0].portal_type if len(here) == 1 else None)
    if name not in [cls.portal_type for cls in here]:
        raise UnknownNameError(
            f"Portal Type of {module.id}", str(name)[:100], [cls.portal_type for cls in here]
        )
    cls = request.site.registry.portal_type(name)
    require(request.user, cls.edit_permission)
    creation = creation_of(values, cls.schema.model_fields) if is_array(cls) else None
    id = values.pop("id", None)
    document: Any = request.portal.new(name, id=id, **values)  # Any: it may be an array
    if creation is not None:
        document.create(sizes_of(creation.shape), creation.dtype)
    return cast(Document, document)


def change(context: Document, request: Request) -> Response:
    """Change properties by a JSON object; `"transition"` moves it in its workflow."""
    values = json_object(request)
    transition, comment = values.pop("transition", None), str(values.pop("comment", ""))
    if values:
        context.edit(**values)
    if transition is not None:
        make_transition(request, context, str(transition), comment)
    return json_response(context.as_dict())


def make_transition(request: Request, document: Document, name: str, comment: str = "") -> None:
    """Move a document in its workflow; raises ForbiddenError, InvalidError or UnknownNameError."""
    workflow = WORKFLOWS[document.workflow_name]
    for transition in workflow.transitions:
        if transition.name == name:
            require(request.user, transition.permission, document)
    workflow.apply(document, name, request.user.login, comment)


def includeme(config: Configurator) -> None:
    """Register the views for programs."""
    asks = {"request_method": "GET", "accept": "application/json", "permission": "view"}
    config.add_view(show, context=Document, **asks)
    config.add_view(show_module, context=Module, **asks)
    config.add_view(show_root, context=PortalRoot, **asks)
    config.add_view(create, context=Module, request_method="POST", permission="edit")
    config.add_view(change, context=Document, request_method="PATCH", permission="edit")
