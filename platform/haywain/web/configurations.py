"""Configurations to copy: how each client sends to an Ingestion Policy, ready but for what is yours.

The texts stand in `templates/configurations/`, one a client.
"""

import shlex
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from pyramid.renderers import render
from pyramid.request import Request

from haywain.document import Document

NO_TOKEN = "THE_TOKEN"  # noqa: S105  # what stands where a token belongs
ANY_BYTES = "application/octet-stream"
_EXAMPLE = "my-sensor.my-product"


@dataclass(frozen=True)
class Client:
    """A program that sends: its name, which is that of its file, and what is to be known about it."""

    name: str
    title: str
    hint: str


@dataclass(frozen=True)
class Configuration:
    """What a client needs to send to one policy."""

    client: Client
    text: str


CLIENTS = (
    Client("curl", "curl", "Send a file; sending it again stores nothing twice."),
    Client(
        "fluentd",
        "fluentd",
        "With a buffer in files that outlives a restart, and the buffer's chunk id as the key. The defaults"
        " of out_http drop data on most errors, and the time of each record; these do not.",
    ),
    Client(
        "wendelin",
        "fluent-plugin-wendelin",
        "As the Wendelin clients send; it has no key, so a retry may double.",
    ),
    Client("fluent_bit", "Fluent Bit", "With a buffer in files; it has no key, so a retry may double."),
    Client("vector", "Vector", "With a buffer on disk; it has no key, so a retry may double."),
    Client(
        "syslog_ng",
        "syslog-ng",
        "With a reliable buffer on disk. It has no key, so a retry may double; the id of each record tells.",
    ),
    Client(
        "prometheus",
        "Prometheus",
        "Vector reads what Prometheus would scrape. Its own remote write is not understood here yet.",
    ),
    Client("agent", "Haywain's agent", "Nothing lost and nothing twice: it numbers what it sends."),
)


def configurations_of(request: Request, policy: Document, secret: str = "") -> list[Configuration]:
    """Return the configuration of each client, with a secret where one was just made."""
    base = f"{request.host_url}/{quote(policy.path)}"
    address = urlsplit(base)
    has_own_tags = bool(policy.linked("specialise"))
    values = {
        "base": base,
        "url": f"{base}/ingest",
        "portal": request.host_url,
        "policy": policy.id,
        "template": (policy.id if has_own_tags else _EXAMPLE).replace("{", "{{").replace("}", "}}"),
        "path": f"{address.path}/ingest",
        "host": address.hostname or "",
        "port": address.port or (443 if address.scheme == "https" else 80),
        "is_tls": address.scheme == "https",
        "tag": quote(policy.id, safe="") if has_own_tags else _EXAMPLE,
        "token": secret or NO_TOKEN,
        "content_type": _content_type(request, policy),
        "credentials": f"token:{secret}" if secret else shlex.quote(request.user.login),
    }
    return [
        Configuration(client, render(f"haywain:templates/configurations/{client.name}.jinja2", values))
        for client in CLIENTS
    ]


def _content_type(request: Request, policy: Document) -> str:
    """Return the type of bytes that the policy's rule is for; that of any bytes where it says none."""
    rule = request.site.registry.ingestion_policies.get(str(getattr(policy, "rule", policy.id)))
    try:
        route = rule.route(policy.id) if rule is not None else None
    except Exception:  # a rule may raise whatever it likes
        return ANY_BYTES
    return (route.content_type if route is not None else "") or ANY_BYTES
