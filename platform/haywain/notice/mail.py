"""Mail: one message by SMTP, with an id by which a repeated one is known."""

import smtplib
import ssl
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, formataddr, parseaddr
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from haywain.errors import InvalidError, NotSentError

TIMEOUT_S = 30.0
"""How long the server may take for each answer."""

PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}


@dataclass(frozen=True)
class Mail:
    """What is sent to whom."""

    to: tuple[str, ...]
    subject: str
    text: str
    id: str
    """What stands before the `@` of the Message-ID."""
    thread: str
    """The same of a message that never was: mails that name it are shown together."""
    written: datetime


@dataclass(frozen=True)
class MailServer:
    """Where mails are handed over, out of `smtp://USER:PASSWORD@HOST:PORT`."""

    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = ""

    @classmethod
    def of(cls, url: str) -> "MailServer":
        """Return it; raises InvalidError, which does not repeat the password."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise InvalidError("HAYWAIN_SMTP_URL has no port that can be read") from None
        if parts.scheme not in PORTS or not parts.hostname:
            raise InvalidError(f"HAYWAIN_SMTP_URL is {', '.join(f'{name}://HOST' for name in PORTS)}")
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(parts.scheme, parts.hostname, port or PORTS[parts.scheme], user, password)

    @property
    def is_here(self) -> bool:
        """Whether it is on this machine, so that nobody can listen on the way."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def send_mail(server: MailServer, sender: str, mail: Mail) -> dict[str, str]:
    """Hand a mail over; return those of its recipients that the server refused, and why.

    Raises NotSentError: final where the server says that it will never take it, or that nobody is who logs
    in so.
    """
    message = _message(sender, mail)
    try:
        with _session(server) as session:
            refused = session.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        raise NotSentError(
            f"{server.host} takes it for nobody: {_told(error.recipients)}", all(c >= 500 for c in codes)
        ) from error
    except smtplib.SMTPResponseException as error:
        text = _plain(error.smtp_error)
        raise NotSentError(
            f"{server.host} answers {error.smtp_code} {text}", error.smtp_code >= 500
        ) from error
    except smtplib.SMTPNotSupportedError as error:
        raise NotSentError(f"{server.host} cannot do it: {error}", True) from error
    except (smtplib.SMTPException, OSError) as error:
        raise NotSentError(f"{server.host}:{server.port} cannot be reached: {error}") from error
    return {address: f"{code} {_plain(text)}" for address, (code, text) in refused.items()}


def _session(server: MailServer) -> smtplib.SMTP:
    """Return a session, encrypted unless the server is on this machine or offers no encryption."""
    context = ssl.create_default_context()
    if server.scheme == "smtps":
        session: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT_S, context=context)
    else:
        session = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_S)
    try:
        session.ehlo()
        is_safe = server.scheme == "smtps" or server.is_here
        if server.scheme == "smtp+starttls" or (not is_safe and session.has_extn("starttls")):
            session.starttls(context=context)
            session.ehlo()
            is_safe = True
        if server.user:
            if not is_safe:
                raise NotSentError(
                    f"{server.host} offers no encryption, so it is not given the password", True
                )
            session.login(server.user, server.password)
    except BaseException:
        session.close()
        raise
    return session


def _message(sender: str, mail: Mail) -> EmailMessage:
    name, address = parseaddr(sender)
    domain = address.rpartition("@")[2]
    message = EmailMessage()
    message["From"] = formataddr((name, address))
    message["To"] = ", ".join(mail.to)
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(mail.written)
    message["Message-ID"] = f"<{mail.id}@{domain}>"
    message["References"] = f"<{mail.thread}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    return message


def _told(recipients: dict[str, tuple[int, bytes]]) -> str:
    return "; ".join(f"{address}: {code} {_plain(text)}" for address, (code, text) in recipients.items())


def _plain(text: bytes | str) -> str:
    """Return the beginning of what a server says, without control characters."""
    read = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return "".join(one if one.isprintable() else " " for one in read)[:200]
