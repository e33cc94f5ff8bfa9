"""Jobs: have a kind of work done in parts, cancel that and run again what failed.

    POST /{path}/jobs   {"kind", "parameters": {}, "step": "64 MiB", "target": path}: 202, {"path", "url"}
    GET  /{path}/jobs   the kinds that can be done in parts on the document
    POST /{path of a Job}/cancel, .../retry     the Job

How a Job stands is told by `GET` of it, as JSON or as a page.
"""

from typing import Any
from urllib.parse import quote

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from haywain.activity.map_reduce import MapReduce
from haywain.activity.map_reduce_job import MapReduceJob, cancel_job, retry_job
from haywain.activity.method import offered
from haywain.document import Document
from haywain.errors import InvalidError
from haywain.security import may
from haywain.web.documents import json_object, json_response
from haywain.web.pages.page import see
from haywain.web.problems import wants_page

_FORM = 'Say {"kind": name, "parameters": {...}, "step": "64 MiB", "target": path}'


def kinds_in_parts(document: Document, request: Request) -> list[MapReduce]:
    """Return the kinds that this user may have done in parts on a document."""
    known = request.site.registry.activities
    found = (known.get(name) for name in offered(request.site.registry, type(document)))
    return [k for k in found if isinstance(k, MapReduce) and may(request.user, k.permission, document)]


def known(context: Document, request: Request) -> Response:
    """Answer the kinds that can be done in parts here, with the schema of each one's parameters."""
    return json_response({"items": [_told(kind) for kind in kinds_in_parts(context, request)]})


def _told(kind: MapReduce) -> dict[str, Any]:  # Any: JSON
    return {
        "kind": kind.name,
        "title": kind.title,
        "step_bytes": kind.step_bytes,
        "makes": kind.makes or None,
        "parameters": kind.parameters.model_json_schema(),
    }


def start(context: Document, request: Request) -> Response:
    """Make a Job on a document; it begins once this request's transaction has committed."""
    content = json_object(request)
    kind, parameters = content.pop("kind", None), content.pop("parameters", {})
    step, target = content.pop("step", 0), content.pop("target", None)
    is_form = isinstance(kind, str) and isinstance(parameters, dict) and isinstance(step, int | str)
    if content or not is_form or not isinstance(target, str | None):
        raise InvalidError(_FORM)
    to = request.portal[target] if target else None
    job: MapReduceJob = request.portal.map_reduce(kind, context, to, step=step, parameters=parameters)
    url = f"/{quote(job.path)}"
    response = json_response({"path": job.path, "url": url}, status=202)
    response.location = url
    return response


def cancel_it(context: Any, request: Request) -> Response:  # Any: a Job, whose kind is content
    """Cancel what is not done, and answer the Job."""
    cancel_job(request.portal, context)
    return _answered(context, request, "cancelled")


def retry_it(context: Any, request: Request) -> Response:  # Any: as above
    """Queue what failed once more, and answer the Job; 409 where nothing has."""
    retry_job(request.portal, context)
    return _answered(context, request, "retried")


def _answered(job: Any, request: Request, done: str) -> Response:  # Any: as above
    return see(request, job.path, done) if wants_page(request) else json_response(job.as_dict())


def includeme(config: Configurator) -> None:
    """Register the views."""
    at = {"context": Document, "name": "jobs"}
    config.add_view(start, request_method="POST", permission="activity", **at)
    config.add_view(known, request_method="GET", permission="view", **at)
    for name, view in (("cancel", cancel_it), ("retry", retry_it)):
        config.add_view(
            view, context=Document, portal_type="Job", name=name, request_method="POST", permission="activity"
        )
