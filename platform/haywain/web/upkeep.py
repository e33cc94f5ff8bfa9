"""`POST /api/v1/pack`: remove history, while everything goes on."""

import json

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from haywain.errors import InvalidError

_MOST_DAYS = 36_500


def pack(request: Request) -> Response:
    """Pack the database, keeping the history of `days` days; answer what came of it."""
    packed = request.site.pack(_days(request.GET.get("days", "")))
    body = json.dumps(packed.as_dict()).encode()
    return Response(body, content_type="application/json", charset=None)


def _days(value: str) -> int | None:
    if not value:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 5 or int(value) > _MOST_DAYS:
        raise InvalidError(f"days is a whole number between 0 and {_MOST_DAYS}")
    return int(value)


def includeme(config: Configurator) -> None:
    """Register the pack."""
    config.add_route("pack", "/api/v1/pack")
    config.add_view(pack, route_name="pack", request_method="POST", permission="manage")
