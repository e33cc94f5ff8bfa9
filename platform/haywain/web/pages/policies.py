"""The page of an Ingestion Policy: what its rule does, where to send, and configurations to copy."""

import inspect
import shlex
from urllib.parse import quote

from pyramid.config import Configurator
from pyramid.request import Request

from haywain.document import Document
from haywain.errors import UnknownNameError
from haywain.security import may
from haywain.web.pages.document import facts_of
from haywain.web.pages.figures import count_text
from haywain.web.pages.page import Values, add_page, command_of, head_of, href_of, url_of

MOST_COUNTED = 500
"""So many of the latest in quarantine are looked at: the policy is no column of the catalog."""

FLUENTD = """\
<match your.tags.**>
  @type http
  endpoint {url}?reference=${{tag}}
  content_type application/octet-stream
  headers_from_placeholders {{"Idempotency-Key":"${{chunk_id}}"}}
  retryable_response_codes 408,425,429,500,502,503,504
  error_response_as_unrecoverable false
  open_timeout 10
  read_timeout 60
  <auth>
    method basic
    username token
    password THE_TOKEN
  </auth>
  <format>
    @type msgpack
  </format>
  <buffer tag>
    @type file
    path /var/lib/fluent/haywain
    chunk_limit_size 8m
    flush_interval 1s
    retry_forever true
    retry_max_interval 30s
    overflow_action block
  </buffer>
</match>
"""


def show(context: Document, request: Request) -> Values:
    """Show a policy."""
    url = url_of(request, f"{context.path}/ingest")
    return {
        "head": head_of(context, request),
        "url": f"{url}?reference=TAG",
        "title": _rule(context, request)[0],
        "rule": _rule(context, request)[1],
        "facts": facts_of(context, request),
        "waiting": _waiting(context, request),
        "curl": _curl(url, request),
        "fluentd": FLUENTD.format(url=url),
        "token_href": _token_href(context) if may(request.user, "manage") else "",
    }


def _rule(policy: Document, request: Request) -> tuple[str, tuple[str, ...]]:
    """Return the title of the policy's rule and what its docstring says, paragraph by paragraph."""
    name = str(getattr(policy, "rule", policy.id))
    try:
        rule = request.site.registry.rule(name)
    except UnknownNameError as error:
        return "", (error.detail,)
    text = (inspect.getdoc(type(rule)) or "").replace("`", "")
    return rule.title, tuple(" ".join(part.split()) for part in text.split("\n\n"))


def _waiting(policy: Document, request: Request) -> str:
    """Return how many requests to this policy are in quarantine; "" for none, counted up to a limit."""
    hits = request.portal.catalog(
        portal_type="Quarantine", state="quarantined", sort_on="-created", limit=MOST_COUNTED
    )
    count = sum(1 for kept in hits if kept.properties.policy == policy.id)
    text = count_text(count, "request")
    return (f"At least {text}" if hits.next else text) if count else ""


def _curl(url: str, request: Request) -> str:
    kind = "--header 'Content-Type: application/octet-stream'"
    key = '--header "Idempotency-Key: $(sha256sum < FILE | cut -c-64)"'
    target = shlex.quote(f"{url}?reference=my-sensor.my-product")
    return command_of(
        f"curl --user {shlex.quote(request.user.login)}", kind, key, "--data-binary @FILE", target
    )


def _token_href(policy: Document) -> str:
    return f"{href_of('token_module')}/new?scopes={quote(f'ingest:{policy.id}', safe='')}"


def includeme(config: Configurator) -> None:
    """Register the page."""
    add_page(config, show, "ingestion_policy", context=Document, portal_type="Ingestion Policy")
