"""Mail over a real server: what is taken, refused for good or for now, encrypted, logged in."""

import ssl
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.notice.servers import knows, mail_server

from haywain.errors import InvalidError, NotSentError
from haywain.notice.mail import Mail, MailServer, send_mail

SENDER = "Haywain <haywain@example.org>"


def mail(*to: str) -> Mail:
    return Mail(to or ("ann@example.org",), "Ä hot bearing", "81.5 °C\n", "1a.k", "a.k", datetime.now(UTC))


def test_repeated_mail_has_the_same_id(free_port: int) -> None:
    with mail_server(free_port) as inbox:
        one = mail()
        for _ in "ab":
            assert send_mail(MailServer.of(inbox.url), SENDER, one) == {}
    first, second = inbox.mails
    assert first.as_bytes() == second.as_bytes()
    assert (first["Message-ID"], first["References"]) == ("<1a.k@example.org>", "<a.k@example.org>")


@pytest.mark.parametrize(
    ("to", "is_final", "text"),
    [
        ("no-550@example.org", True, "takes it for nobody: no-550@example.org: 550 not here"),
        ("no-450@example.org", False, "450"),
    ],
    ids=["for good", "for now"],
)
def test_refused_recipient(free_port: int, to: str, is_final: bool, text: str) -> None:
    with mail_server(free_port) as inbox:
        with pytest.raises(NotSentError, match=text) as caught:
            send_mail(MailServer.of(inbox.url), SENDER, mail(to))
        assert caught.value.is_final is is_final
        assert send_mail(MailServer.of(inbox.url), SENDER, mail("ann@example.org", to)).keys() == {to}


def test_full_server_is_asked_again_and_no_server_too(free_port: int) -> None:
    with mail_server(free_port) as inbox:
        inbox.answers = ["452 full", "554 no\x1b[31m"]
        for is_final in (False, True):
            with pytest.raises(NotSentError) as caught:
                send_mail(MailServer.of(inbox.url), SENDER, mail())
            assert caught.value.is_final is is_final and "\x1b" not in str(caught.value)
    with pytest.raises(NotSentError, match="cannot be reached") as caught:
        send_mail(MailServer.of(inbox.url), SENDER, mail())
    assert not caught.value.is_final


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One that nobody has signed, for localhost, and its key."""
    found = tmp_path_factory.mktemp("tls")
    key, made = found / "key.pem", found / "certificate.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command, *names, "-keyout", key, "-out", made], check=True, capture_output=True)
    return made, key


def test_login_goes_over_starttls_only_to_who_is_known(
    free_port: int, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    options = {"tls_context": context, "authenticator": knows(b"me@x", b"p w"), "auth_required": True}
    with mail_server(free_port, **options) as inbox:
        url = f"smtp+starttls://me%40x:p%20w@localhost:{free_port}"
        with pytest.raises(NotSentError, match="certificate verify failed"):
            send_mail(MailServer.of(url), SENDER, mail())
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        assert send_mail(MailServer.of(url), SENDER, mail()) == {} and len(inbox.mails) == 1
        with pytest.raises(NotSentError, match="535") as caught:
            send_mail(MailServer.of(url.replace("p%20w", "wrong")), SENDER, mail())
        assert caught.value.is_final


@pytest.mark.parametrize("url", ["mail.example.org", "http://x", "smtp://", "smtp://x:port"])
def test_what_is_no_server_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(InvalidError, match="HAYWAIN_SMTP_URL"):
        MailServer.of(url)
