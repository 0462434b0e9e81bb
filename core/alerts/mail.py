"""Notifications as e-mail, through the server that CONSOLE_EMAIL_URL names."""

import smtplib
import time
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends import smtp
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from core.alerts.facts import Fact, rows
from core.alerts.states import Event, Severity
from core.lib.errors import Conflict, Unavailable

SERVICE: Final = "e-mail"
LONGEST_SUBJECT: Final = 200
LONGEST_S: Final = 60.0  # for one mail, with all its steps; each has EMAIL_TIMEOUT


class _Timed(smtplib.SMTP):
    """Ends however slowly the other side answers each step, of which every recipient is one."""

    def __init__(self, *args: Any, **more: Any) -> None:
        self._ends_at = time.monotonic() + LONGEST_S
        super().__init__(*args, **more)

    def send(self, s: Any) -> None:
        self._hurry()
        super().send(s)

    def getreply(self) -> tuple[int, bytes]:
        self._hurry()
        return super().getreply()

    def _hurry(self) -> None:
        left = self._ends_at - time.monotonic()
        if left <= 0:
            self.close()
            raise TimeoutError(f"no answer within {LONGEST_S:.0f} seconds")
        if self.sock is not None:
            self.sock.settimeout(min(left, self.timeout))


class _TimedTls(_Timed, smtplib.SMTP_SSL):
    """From the first byte within TLS."""


class Backend(smtp.EmailBackend):
    """Django's own, with an end to each mail: the console sends one on a connection."""

    @property
    def connection_class(self) -> type[smtplib.SMTP]:  # type: ignore[override]
        """What it connects by."""
        return _TimedTls if self.use_ssl else _Timed


def is_configured() -> bool:
    """Whether there is a server to send by."""
    return bool(settings.CONSOLE_EMAIL_URL)


def send(payload: dict[str, Any], recipients: list[str]) -> None:
    """Send what a webhook would get, in words; mails about one alert make one thread.

    Raises Conflict where no server is set, Unavailable when it does not take the mail.
    """
    if not is_configured():
        raise Conflict(_("E-mail is not configured: an administrator can set CONSOLE_EMAIL_URL."))
    message = EmailMessage(subject_of(payload), body_of(payload), to=recipients, headers=_headers(payload))
    try:
        message.send()
    except (OSError, smtplib.SMTPException) as error:
        words = _("The mail server did not take it: %(error)s") % {"error": str(error)[:300]}
        raise Unavailable(words, service=SERVICE) from error


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
    facts = "\n".join(_line(fact) for fact in rows(alert["facts"]))
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
    value = f"{fact.value} {fact.unit}".strip() if fact.value is not None else "–"
    return f"{fact.name}: {value}" + (f" ({fact.threshold})" if fact.threshold is not None else "")


def _headers(payload: dict[str, Any]) -> dict[str, str]:
    host = urlsplit(settings.CONSOLE_PUBLIC_URL).hostname or "localhost"
    thread = f"<alert-{payload['alert']['id']}@{host}>" if "alert" in payload else ""
    return {
        "Message-ID": f"<{payload['id']}@{host}>",
        "Auto-Submitted": "auto-generated",
        "X-Atalaya-Delivery": payload["id"],
        **({"References": thread} if thread else {}),
    }
