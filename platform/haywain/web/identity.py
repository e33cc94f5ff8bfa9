"""Who makes a request: a browser session, Basic or Bearer credentials; and what they may do.

CSRF tokens are asked of browser sessions only: other credentials are never sent by a browser on its own.
"""

import base64
import hmac
import secrets
from typing import Any

from pyramid.config import Configurator
from pyramid.csrf import ICSRFStoragePolicy
from pyramid.exceptions import BadCSRFOrigin
from pyramid.interfaces import ISecurityPolicy
from pyramid.request import Request
from pyramid.response import Response
from pyramid.security import Allowed, Denied
from zope.interface import implementer

from haywain.document import Document, Module, PortalRoot
from haywain.errors import UnauthorizedError
from haywain.security import ANONYMOUS, User, may
from haywain.security.accounts import Login, Logins, by_password, by_remembered_password, by_token
from haywain.security.passwords import TOKEN_PREFIX
from haywain.security.throttle import Throttle

COOKIE = "haywain_login"
_CSRF_COOKIE = "haywain_csrf"
_throttle = Throttle()


def identify(request: Request, root: PortalRoot) -> User:
    """Return who makes the request; raises UnauthorizedError for wrong credentials, ThrottledError."""
    header = request.headers.get("Authorization", "")
    if header:
        return user_of_header(root, header, request.remote_addr or "")
    session = login_of(request, root)
    if session is None:
        return ANONYMOUS
    person: Any = root.find("login", session.login)  # Any: an Account that is also a Document
    return person.user() if person is not None and person.state == "validated" else ANONYMOUS


def login_of(request: Request, root: PortalRoot) -> Login | None:
    """Return the browser session that the request's cookie names."""
    secret = request.cookies.get(COOKIE, "")
    return Logins(root).find(secret) if secret else None


def user_of_header(root: PortalRoot, header: str, address: str) -> User:
    """Return the user of a header: `Basic user:password`, `Basic any:token` or `Bearer token`."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return by_token(root, value.strip())
    if scheme.lower() != "basic":
        raise UnauthorizedError(f"The authorization scheme {scheme[:20]!r} is not known; use Basic or Bearer")
    try:
        name, _, secret = base64.b64decode(value.strip(), validate=True).decode("utf-8").partition(":")
    except ValueError:  # no base64, no ASCII, no UTF-8
        raise UnauthorizedError("The Authorization header is damaged") from None
    if secret.startswith(TOKEN_PREFIX):
        return by_token(root, secret)
    return checked_password(root, name, secret, address)


def checked_password(root: PortalRoot, login: str, password: str, address: str) -> User:
    """Return the user of a login, slowing down who guesses; raises UnauthorizedError or ThrottledError.

    Who was let in of late is let in again at once, whatever others try under the same name.
    """
    known = by_remembered_password(root, login, password)
    if known is not None:
        return known
    keys = (f"login:{login[:100]}:{address}",)
    _throttle.check(*keys)
    try:
        user = by_password(root, login, password)
    except UnauthorizedError:
        _throttle.failed(*keys)
        raise
    _throttle.succeeded(*keys)
    return user


@implementer(ISecurityPolicy)
class SecurityPolicy:
    """Pyramid's questions, answered by `haywain.security`."""

    def identity(self, request: Request) -> User | None:
        """Return who makes the request, None for nobody."""
        user: User = request.portal.user
        return user if user.login else None

    def authenticated_userid(self, request: Request) -> str | None:
        """Return the login, None for nobody."""
        user = self.identity(request)
        return user.login if user else None

    def permits(
        self, request: Request, context: Any, permission: str
    ) -> Allowed | Denied:  # Any: what was traversed
        """Return whether the user may do this to the context."""
        user: User = request.portal.user
        document = context if isinstance(context, Document) else None
        if isinstance(context, Module) and permission in ("view", "edit"):
            permission = module_permission(request, context, permission)
        return Allowed("") if may(user, permission, document) else Denied("")

    def remember(
        self, request: Request, userid: str, **kw: Any
    ) -> list[tuple[str, str]]:  # Any: Pyramid's signature
        """Return no headers: the login page sets the cookie itself."""
        return []

    def forget(self, request: Request, **kw: Any) -> list[tuple[str, str]]:  # Any: Pyramid's signature
        """Return no headers: the logout removes the cookie itself."""
        return []


def module_permission(request: Request, module: Module, permission: str) -> str:
    """Return what a user needs to view a module or add to it: what its kinds of documents ask for."""
    for cls in request.site.registry.portal_types.values():
        if cls.module_id == module.id:
            needed: str = cls.view_permission if permission == "view" else cls.edit_permission
            return needed
    return permission


@implementer(ICSRFStoragePolicy)
class CsrfPolicy:
    """The CSRF token: kept in the browser session on the server, before the login in a cookie."""

    def new_csrf_token(self, request: Request) -> str:
        """Return the token; it is new with each session."""
        return self.get_csrf_token(request)

    def get_csrf_token(self, request: Request) -> str:
        """Return the token that forms carry."""
        session = login_of(request, request.portal.root)
        if session is not None:
            return str(session.csrf)
        token = request.cookies.get(_CSRF_COOKIE, "") or getattr(request, "_csrf_token", "")
        if not token:
            token = request._csrf_token = secrets.token_urlsafe(32)
            request.add_response_callback(
                lambda _, response: set_cookie(request, response, _CSRF_COOKIE, token)
            )
        return str(token)

    def check_csrf_token(self, request: Request, supplied: str) -> bool:
        """Return whether this is the token, sent by one of our own pages."""
        check_origin(request)
        given = str(supplied).encode("utf-8", "replace")  # a form may hold a file in its place
        return hmac.compare_digest(self.get_csrf_token(request).encode(), given)


def check_origin(request: Request) -> None:
    """Raise BadCSRFOrigin if the browser says that another site sent this."""
    origin = request.headers.get("Origin")
    if origin and origin.partition("://")[2] != request.host:
        raise BadCSRFOrigin("The request comes from another site")
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise BadCSRFOrigin("The request comes from another site")


def set_cookie(
    request: Request, response: Response, name: str, value: str, max_age_s: int | None = None
) -> None:
    """Set a cookie that scripts cannot read and other sites cannot send along."""
    response.set_cookie(
        name,
        value,
        max_age=max_age_s,
        path="/",
        httponly=True,
        samesite="Lax",
        secure=request.scheme == "https",
    )


def _needs_csrf(request: Request) -> bool:
    """Ask for a token where the browser sends its credentials by itself, and at the login.

    A browser that keeps Basic credentials sends them by itself too; then it tells for which site.
    """
    if request.headers.get("Authorization"):
        check_origin(request)
        return False
    return True


def includeme(config: Configurator) -> None:
    """Install the policies; a view without a permission is refused at start-up by the default one."""
    config.set_security_policy(SecurityPolicy())
    config.set_csrf_storage_policy(CsrfPolicy())
    config.set_default_csrf_options(require_csrf=True, check_origin=False, callback=_needs_csrf)
    config.set_default_permission("manage")
