"""Who the console is to Airflow: the person it acts for, by a token it signs itself, or one service account.

Signing needs Airflow's `[api_auth] jwt_secret`. Where that secret is not ours
(`CONSOLE_AIRFLOW_AUTH=service`), a service account gets its token from Airflow, and Airflow's log names that
account instead of the person.
"""

import threading
import time

import httpx
import jwt
from django.conf import settings
from django.utils.translation import gettext as _

from core.lib.errors import Unauthorized, Unavailable

SERVICE = "airflow"
# Airflow's own roles: the first reads, the second may also trigger, pause, clear and end runs.
VIEWER, USER = "viewer", "user"
WATCHER = "system:console"
VALID_S = 300
CLOCK_SKEW_S = 30
SERVICE_TOKEN_S = 600

_lock = threading.Lock()
_service_token: tuple[str, float] = ("", 0.0)


def access_token(username: str, role: str) -> str:
    """What Airflow lets the caller in with. Raises Unavailable or Unauthorized for a service account."""
    return _service_access() if settings.CONSOLE_AIRFLOW_AUTH == "service" else signed(username, role)


def signed(username: str, role: str, *, valid_s: int = VALID_S) -> str:
    """A token of our own making that names the person."""
    now = int(time.time())
    claims = {
        "sub": username,
        "role": role,
        "aud": "apache-airflow",
        "iat": now,
        "nbf": now - CLOCK_SKEW_S,
        "exp": now + valid_s,
    }
    return jwt.encode(claims, settings.CONSOLE_AIRFLOW_JWT_SECRET, algorithm="HS512")


def _service_access() -> str:
    global _service_token
    with _lock:
        token, asked_at = _service_token
        if not token or time.monotonic() - asked_at > SERVICE_TOKEN_S:
            token = _ask_for_token()
            _service_token = (token, time.monotonic())
        return token


def _ask_for_token() -> str:
    account = {
        "username": settings.CONSOLE_AIRFLOW_USERNAME,
        "password": settings.CONSOLE_AIRFLOW_PASSWORD,
    }
    try:
        answer = httpx.post(f"{settings.CONSOLE_AIRFLOW_URL}/auth/token", json=account, timeout=5.0)
    except httpx.HTTPError as error:
        raise Unavailable(_("Airflow is not answering."), service=SERVICE) from error
    if answer.status_code in {400, 401, 403}:
        message = _("Airflow does not know the service account %(name)s, or its password is another.")
        raise Unauthorized(message % {"name": account["username"]}, service=SERVICE)
    if answer.status_code >= 300:
        message = _("Airflow gave no token to the service account (status %(status)s).")
        raise Unavailable(message % {"status": answer.status_code}, service=SERVICE)
    return str(answer.json()["access_token"])
