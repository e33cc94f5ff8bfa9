"""`GET /api/v1/workers`: which processes run activities, what waits, and since when nobody runs it."""

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from haywain.activity.status import status
from haywain.web.documents import json_response


def show(request: Request) -> Response:
    """Answer how things stand."""
    return json_response(status(request.portal).as_dict())


def includeme(config: Configurator) -> None:
    """Register it for Managers."""
    config.add_route("workers", "/api/v1/workers")
    config.add_view(show, route_name="workers", request_method="GET", permission="manage")
