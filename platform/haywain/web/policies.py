"""`/api/v1/ingestion-policies`: fast input for programs, and what has come to a policy so far."""

from typing import Any
from urllib.parse import quote

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from haywain.document import Document
from haywain.errors import InvalidError, NotFoundError, UnknownNameError
from haywain.ingestion.fast_input import FastInput, add_policy, arrivals
from haywain.security import may
from haywain.web.configurations import configurations_of
from haywain.web.documents import json_object, json_response

_KNOWN = ("reference", "title", "rule")


def add(request: Request) -> Response:
    """Make a policy from `{"reference", "title", "rule"}`: 201, with the token and configurations to copy."""
    values = json_object(request)
    for name, value in values.items():
        if name not in _KNOWN:
            raise UnknownNameError("property of a fast input", name[:100], _KNOWN)
        if not isinstance(value, str):
            raise InvalidError(f"{name} is a text")
    made = add_policy(request.portal, **{"reference": "", **values})
    response = json_response(_made_json(request, made), status=201)
    response.location = f"/{quote(made.policy.path)}"
    response.cache_control = "no-store"
    return response


def _made_json(request: Request, made: FastInput) -> dict[str, Any]:  # Any: JSON
    found = configurations_of(request, made.policy, made.secret)
    return policy_json(request, made.policy) | {
        "product": made.product.path,
        "supply": made.supply.path,
        "token": made.secret,
        "token_path": made.token.path,
        "configurations": {one.client.name: one.text for one in found},
    }


def policy_json(request: Request, policy: Document) -> dict[str, Any]:  # Any: JSON
    """Return a policy as JSON, with the rule it follows and the address to send to."""
    rule = str(getattr(policy, "rule", policy.id))
    url = f"{request.host_url}/{quote(policy.path)}/ingest"
    problem = request.site.registry.problem_of(rule) if may(request.user, "manage") else ""
    return policy.as_dict() | {"rule": rule, "url": url, "problem": problem}


def list_all(request: Request) -> Response:
    """List the policies, those that are deleted left out."""
    documents = request.portal.root["portal_ingestion_policies"].documents.values()
    items = [policy_json(request, one) for one in documents if one.state != "deleted"]
    return json_response({"items": items, "count": len(items)})


def show(request: Request) -> Response:
    """Return a policy, and what has come to the sinks of its own so far."""
    id = request.matchdict["id"]
    try:
        policy = request.portal.root["portal_ingestion_policies"][id]
    except KeyError:
        raise NotFoundError(f"There is no Ingestion Policy {id[:100]!r}") from None
    found = arrivals(request.portal, policy)
    streams = [{"path": one.path, "reference": one.reference, "size": one.size} for one in found.sinks[:100]]
    come = {"streams": streams, "received_bytes": found.size, "quarantined": found.quarantined}
    return json_response(policy_json(request, policy) | come)


def includeme(config: Configurator) -> None:
    """Register the views."""
    config.add_route("ingestion_policies", "/api/v1/ingestion-policies")
    config.add_route("ingestion_policy", "/api/v1/ingestion-policies/{id}")
    config.add_view(add, route_name="ingestion_policies", request_method="POST", permission="manage")
    config.add_view(list_all, route_name="ingestion_policies", request_method="GET", permission="view")
    config.add_view(show, route_name="ingestion_policy", request_method="GET", permission="view")
