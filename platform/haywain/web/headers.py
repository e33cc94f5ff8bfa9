"""Headers that every answer carries: what a browser may do with it, and for how long it may keep it.

A view that sets one of them itself keeps its own: the bytes of a stream have a stricter policy.
"""

from pyramid.config import Configurator
from pyramid.events import NewResponse

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "media-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)

SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, no-cache",
    "Vary": "Accept, Cookie, Authorization",
}

_ONE_YEAR = "max-age=31536000"


def add_headers(event: NewResponse) -> None:
    """Add what the view has not set itself."""
    headers = event.response.headers
    for name, value in SECURITY_HEADERS.items():
        if name not in headers:
            headers[name] = value
    if event.request.scheme == "https":
        headers["Strict-Transport-Security"] = _ONE_YEAR


def includeme(config: Configurator) -> None:
    """Add the headers to every answer, errors and static files too."""
    config.add_subscriber(add_headers, NewResponse)
