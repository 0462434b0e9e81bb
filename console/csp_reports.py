"""Browsers' reports about our Content-Security-Policy: counted, and the first few of a minute logged.

Anybody can send one, so nothing in it is believed: the size is limited, and so is what reaches the log.
"""

import time
from threading import Lock
from typing import Any

import orjson
import structlog
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest

from core.lib import edge, metrics
from core.lib.errors import InvalidRequest

log = structlog.get_logger(__name__)

LONGEST_BODY = 16 * 1024
LOGGED_PER_MINUTE = 20
SHOWN = (
    "violated-directive",
    "effective-directive",
    "blocked-uri",
    "document-uri",
    "source-file",
    "line-number",
)


class _Allowance:
    """So many in each minute."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._minute = -1
        self._used = 0
        self._lock = Lock()

    def take(self) -> bool:
        """Whether there is one left."""
        minute = int(time.monotonic() // 60)
        with self._lock:
            if minute != self._minute:
                self._minute, self._used = minute, 0
            self._used += 1
            return self._used <= self._most


_allowance = _Allowance(LOGGED_PER_MINUTE)


def take(request: HttpRequest) -> None:
    """Count and log one report. Raises RequestDataTooBig, and InvalidRequest for anything else."""
    if edge.whole_or(LONGEST_BODY + 1, request.headers.get("Content-Length") or "0") > LONGEST_BODY:
        raise RequestDataTooBig
    report = _read(request.body)
    metrics.CSP_REPORTS.inc()
    if _allowance.take():
        log.warning(
            "csp.violation", **{name.replace("-", "_"): str(report.get(name, ""))[:200] for name in SHOWN}
        )


def _read(body: bytes) -> dict[str, Any]:
    try:
        report = orjson.loads(body)["csp-report"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise InvalidRequest("This is no report of a violation.") from error
    if not isinstance(report, dict):
        raise InvalidRequest("This is no report of a violation.")
    return report
