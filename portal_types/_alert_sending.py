"""How an Alert sends: hands a message to the mail server, or to a webhook, under the activity's id."""

import json
from datetime import datetime
from email.utils import parseaddr
from typing import TYPE_CHECKING, Any

from haywain.errors import InvalidError, NotSentError
from haywain.notice.mail import Mail, MailServer, send_mail
from haywain.notice.webhook import Hosts, post
from haywain.portal_types._alert_message import body_of, subject_of
from haywain.settings import Settings

if TYPE_CHECKING:
    from haywain.portal import Portal
    from haywain.portal_types.alert import Alert

Message = dict[str, Any]
"""Any: JSON, as `message_of` makes it."""


def mail_server(settings: Settings) -> MailServer:
    """Return where mails are handed over; raises InvalidError where that is not set."""
    if not settings.smtp_url or not settings.mail_from:
        raise InvalidError(
            "mail_to: this portal sends no mail until HAYWAIN_SMTP_URL and HAYWAIN_MAIL_FROM are set"
        )
    if "@" not in parseaddr(settings.mail_from)[1]:
        raise InvalidError("mail_to: HAYWAIN_MAIL_FROM is no address such as haywain@example.org")
    return MailServer.of(settings.smtp_url)


def mail_it(alert: "Alert", message: Message, id: str, portal: "Portal") -> dict[str, str]:
    """Send a mail; return those of its recipients that were refused, and why.  Raises NotSentError."""
    settings, key = portal.site.settings, portal.root.key
    try:
        server = mail_server(settings)
    except InvalidError as error:
        raise NotSentError(error.detail, True) from error
    mail = Mail(
        alert.properties.mail_to,
        subject_of(message),
        body_of(message),
        f"{id}.{key}",
        f"alert-{alert.uid}.{key}",
        datetime.fromisoformat(message["time"]),
    )
    return send_mail(server, settings.mail_from, mail)


def post_it(alert: "Alert", message: Message, id: str, portal: "Portal") -> int:
    """Send a request; return the status of the answer.  Raises NotSentError."""
    given, hosts = alert.properties, Hosts.of(portal.site.settings.webhook_hosts)
    return post(given.webhook, json.dumps({"id": id} | message).encode(), id, given.webhook_secret, hosts)
