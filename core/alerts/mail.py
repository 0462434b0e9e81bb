"""Notifications as e-mail, through the server that CONSOLE_EMAIL_URL names."""

import io
import smtplib
import socket
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends import smtp
from django.core.mail.message import sanitize_address
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from core.access import queries as access
from core.alerts.facts import Fact, rows
from core.alerts.states import Event, Severity
from core.lib.errors import Conflict, Unavailable

SERVICE: Final = "e-mail"
LONGEST_SUBJECT: Final = 200
LONGEST_S: Final = 60.0  # for one mail, with all its steps; each has EMAIL_TIMEOUT


class _Timely(io.RawIOBase):
    """What the other side says, until the end: a byte now and then would renew a time limit of each read."""

    def __init__(self, sock: socket.socket, left_s: Callable[[], float]) -> None:
        super().__init__()
        self._sock = sock
        self._left_s = left_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._left_s())
        return self._sock.recv_into(buffer)


class _SomeRefused(smtplib.SMTPRecipientsRefused):
    """The others have the mail; smtplib raises its own kind for a mail that nobody has."""


class _Timed(smtplib.SMTP):
    """Ends however slowly the other side answers each step, of which every recipient is one.

    A mail that went out, but not to some recipients, raises _SomeRefused.
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        self._ends_at = time.monotonic() + LONGEST_S
        super().__init__(*args, **more)

    def send(self, s: Any) -> None:
        self._hurry()
        super().send(s)

    def getreply(self) -> tuple[int, bytes]:
        self._hurry()
        if self.file is None and self.sock is not None:
            self.file = io.BufferedReader(_Timely(self.sock, self._left_s))
        return super().getreply()

    def sendmail(self, *args: Any, **more: Any) -> dict[str, tuple[int, bytes]]:
        """Nothing: Django asks nobody who was refused."""
        refused = super().sendmail(*args, **more)
        if refused:
            raise _SomeRefused(refused)
        return refused

    def _hurry(self) -> None:
        try:
            left_s = self._left_s()
        except TimeoutError:
            self.close()
            raise
        if self.sock is not None:
            self.sock.settimeout(left_s)

    def _left_s(self) -> float:
        """For the next step. Raises TimeoutError."""
        left_s = self._ends_at - time.monotonic()
        if left_s <= 0:
            raise TimeoutError(f"no answer within {LONGEST_S:.0f} seconds")
        return min(left_s, self.timeout)


class _TimedTls(_Timed, smtplib.SMTP_SSL):
    """From the first byte within TLS."""


class Backend(smtp.EmailBackend):
    """Django's own, with an end to each mail: the console sends one on a connection."""

    @property
    def connection_class(self) -> type[smtplib.SMTP]:  # type: ignore[override]
        """What it connects by."""
        return _TimedTls if self.use_ssl else _Timed


class PartlyRefused(Unavailable):
    """The server took the mail for some and not for others; addresses: those others."""

    def __init__(self, message: str, *, addresses: list[str]) -> None:
        super().__init__(message, service=SERVICE)
        self.addresses = addresses


def is_configured() -> bool:
    """Whether there is a server to send by."""
    return bool(settings.CONSOLE_EMAIL_URL)


def is_address(text: str) -> bool:
    """Whether a mail can have it as sender or recipient, alone or with a name before it."""
    try:
        return "@" in sanitize_address(text, settings.DEFAULT_CHARSET)
    except ValueError:
        return False


def send(payload: dict[str, Any], recipients: list[str]) -> None:
    """Send what a webhook would get, in words; mails about one alert make one thread.

    The words are in the language that all recipients chose. What the alert itself says is as it was stored.
    Raises Conflict where no server is set, PartlyRefused when it takes the mail for some of them only,
    Unavailable when it does not take it, or an address cannot be.
    """
    if not is_configured():
        raise Conflict(_("E-mail is not configured: an administrator can set CONSOLE_EMAIL_URL."))
    with translation.override(access.common_language(recipients)):
        subject, body = subject_of(payload), body_of(payload)
    message = EmailMessage(subject, body, to=recipients, headers=_headers(payload))
    try:
        message.send()
    except _SomeRefused as error:
        raise _refused(error, recipients) from error
    except smtplib.SMTPRecipientsRefused as error:
        words = _("The mail server did not take it: %(error)s") % {"error": _told(error)}
        raise Unavailable(words, service=SERVICE) from error
    except (OSError, smtplib.SMTPException) as error:  # a certificate's is a ValueError, too
        words = _("The mail server did not take it: %(error)s") % {"error": str(error)[:300]}
        raise Unavailable(words, service=SERVICE) from error
    except ValueError as error:
        words = _("One of the addresses cannot be written into a mail: %(error)s") % {
            "error": str(error)[:300]
        }
        raise Unavailable(words, service=SERVICE) from error


def _refused(error: _SomeRefused, recipients: list[str]) -> PartlyRefused:
    refused = [
        one for one in recipients if sanitize_address(one, settings.DEFAULT_CHARSET) in error.recipients
    ]
    words = _("The mail server took it, but not for %(names)s: %(error)s")
    values = {"names": ", ".join(refused)[:1000], "error": _told(error)}
    return PartlyRefused(words % values, addresses=refused)


def _told(error: smtplib.SMTPRecipientsRefused) -> str:
    answers = error.recipients.values()
    return "; ".join(f"{code} {text.decode(errors='replace')}" for code, text in answers)[:300]


def subject_of(payload: dict[str, Any]) -> str:
    """One line, whatever the title of the alert holds."""
    if payload["event"] == Event.GATHERED:
        n = payload["n"]
        words = ngettext("%(n)d notification", "%(n)d notifications", n) % {"n": n}
    elif payload["event"] == Event.TEST:
        words = _("This is a test")
    else:
        alert = payload["alert"]
        words = f"{_word(payload['event'])}, {Severity(alert['severity']).label}: {alert['title']}"
    return f"[Atalaya] {' '.join(words.split())}"[:LONGEST_SUBJECT]


def body_of(payload: dict[str, Any]) -> str:
    """Plain text."""
    if payload["event"] == Event.TEST:
        return _("A channel of notifications sends to you. Nothing is wrong.") + f"\n\n{payload['url']}\n"
    if payload["event"] == Event.GATHERED:
        return "\n".join(_gathered(payload))
    alert = payload["alert"]
    facts = "\n".join(_line(fact) for fact in rows(alert["facts"], rule=alert["rule"]))
    about = f"{alert['rule']}: {alert['subject']}"
    return "\n\n".join(filter(None, [alert["title"], about, alert["detail"], facts, alert["url"]])) + "\n"


def _gathered(payload: dict[str, Any]) -> list[str]:
    lines = [_("Too many came at once to tell each in a mail of its own."), ""]
    for one in payload["notifications"]:
        alert = one["alert"]
        lines += [
            f"{_word(one['event'])}, {Severity(alert['severity']).label}: {alert['title']}",
            alert["url"],
        ]
    n_more = payload["n"] - len(payload["notifications"])
    if n_more > 0:
        lines += ["", ngettext("And %(n)d more.", "And %(n)d more.", n_more) % {"n": n_more}]
    return [*lines, ""]


def _word(event: str) -> str:
    return str(Event(event).label).capitalize()


def _line(fact: Fact) -> str:
    if fact.threshold is None:
        return f"{fact.label}: {fact.value_in_words}"
    words = {"name": fact.label, "value": fact.value_in_words, "limit": fact.threshold_in_words}
    return _("%(name)s: %(value)s, limit %(limit)s") % words


def _headers(payload: dict[str, Any]) -> dict[str, str]:
    host = urlsplit(settings.CONSOLE_PUBLIC_URL).hostname or "localhost"
    thread = f"<alert-{payload['alert']['id']}@{host}>" if "alert" in payload else ""
    return {
        "Message-ID": f"<{payload['id']}@{host}>",
        "Auto-Submitted": "auto-generated",
        "X-Atalaya-Delivery": payload["id"],
        **({"References": thread} if thread else {}),
    }
