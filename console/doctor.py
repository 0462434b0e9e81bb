"""What is wrong with an installation, and what to do about it: one line a check.

Each check has seconds, and stands for itself: one that fails, or does not answer in time, is a line that
says so, and the others go on. `health` says which parts live; here is what wears out, drifts apart or was set
wrong.
"""

import shutil
import stat
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import structlog
from cryptography import x509
from django.conf import settings
from django.core import checks
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import get_language, gettext_lazy, ngettext, override
from django.utils.translation import gettext as _

from console import health, upgrade
from core.alerts import queries as alerts
from core.lib import aside, lag, loops, outbox, topic_days
from core.lib import redis as console_redis
from core.lib.templatetags import numbers

log = structlog.get_logger(__name__)

TIMEOUT_S = 8.0
LEAST_FREE_BYTES = 2 * 1024**3
LEAST_FREE_SHARE = 0.05
LARGEST_SKEW_S = 5.0
LONGEST_QUEUE = 500
LONGEST_WAIT = timedelta(minutes=10)
LONGEST_UNTOLD = timedelta(hours=1)
GIVEN_UP_LATELY = timedelta(days=1)
MOST_BEHIND = 10_000
OLDEST_BEHIND_S = 120.0
MOST_CONNECTIONS_SHARE = 0.8
EXPIRES_SOON = timedelta(days=21)
OLDEST_REDIS = (6, 2)
OLDEST_POSTGRES = 140_000  # as PostgreSQL writes 14.0
TLS_FILES = ("ssl.ca.location", "ssl.certificate.location")
TLS_PARAMETERS = ("sslrootcert", "sslcert", "ssl_ca_certs", "ssl_certfile")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Finding:
    """What a check found. advice: what to do; empty where all is well."""

    name: str
    label: str
    is_well: bool
    words: str
    advice: str = ""


class Wrong(Exception):
    """What is wrong, and what to do about it."""

    def __init__(self, words: str, advice: str) -> None:
        super().__init__(words)
        self.words, self.advice = words, advice


def findings() -> list[Finding]:
    """All checks at once; takes TIMEOUT_S at most."""
    language = get_language() or settings.LANGUAGE_CODE
    futures = {name: _begun(check, language) for name, (_label, check) in CHECKS.items()}
    wait(futures.values(), timeout=TIMEOUT_S)
    return [_finding(name, futures[name]) for name in CHECKS]


def _begun(check: Callable[[], str], language: str) -> "Future[str]":
    """In a thread that keeps no process from ending: a disk that hangs may never answer."""
    outcome: Future[str] = Future()

    def run() -> None:
        try:
            with override(language):
                outcome.set_result(check())
        except Exception as error:  # noqa: BLE001  one check's failure is its own line
            outcome.set_exception(error)
        finally:
            connections.close_all()  # this thread's own

    threading.Thread(target=run, name="doctor", daemon=True).start()
    return outcome


def _finding(name: str, future: Future[str]) -> Finding:
    label = str(CHECKS[name][0])
    if not future.done():
        return Finding(name, label, False, _("No answer in time."), _("See whether what it asks is up."))
    error = future.exception()
    if error is None:
        return Finding(name, label, True, future.result())
    if isinstance(error, Wrong):
        return Finding(name, label, False, error.words, error.advice)
    log.warning("doctor.check_failed", check=name, error=aside.in_words(error))
    words = _("It could not be looked at: %(error)s") % {"error": aside.in_words(error)[:200]}
    return Finding(name, label, False, words, _("See whether what it asks is up."))


# --- the checks: each returns how it is, or raises Wrong


def _parts() -> str:
    ill = [f"{part.label}: {part.detail}" for part in health.report() if not part.is_healthy]
    if ill:
        raise Wrong(
            " · ".join(ill), _("`make status` and the log of that part say more; `make up` starts it.")
        )
    return _("all healthy")


def _disk() -> str:
    found = []
    for folder in {settings.CONSOLE_VAR_DIR, settings.CONSOLE_OUTPUT_DIR}:
        usage = shutil.disk_usage(_nearest(folder))
        if usage.free < LEAST_FREE_BYTES or usage.free < LEAST_FREE_SHARE * usage.total:
            raise Wrong(
                _("%(free)s are left for %(folder)s.")
                % {"free": numbers.binary_size(usage.free), "folder": folder},
                _("Make room: PostgreSQL and Kafka stop when there is none."),
            )
        found.append(usage.free)
    return _("%(free)s free") % {"free": numbers.binary_size(min(found))}


def _nearest(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def _clocks() -> str:
    """Those that tell the time: PostgreSQL, Redis, and Airflow and MLflow in the header of an answer."""
    apart = {
        "PostgreSQL": _apart(_postgres_time),
        "Redis": _apart(_redis_time),
        "Airflow": _apart(lambda: _http_time(f"{settings.CONSOLE_AIRFLOW_URL}/api/v2/version")),
        "MLflow": _apart(lambda: _http_time(f"{settings.CONSOLE_MLFLOW_URL}/health")),
    }
    wrong = {name: s for name, s in apart.items() if s is not None and abs(s) > LARGEST_SKEW_S}
    if wrong:
        raise Wrong(
            ", ".join(f"{name}: {s:+.0f} s" for name, s in wrong.items()),
            _("Have all machines keep time by NTP: tokens, streams and what is due go by the clock."),
        )
    silent = [name for name, s in apart.items() if s is None]
    if silent:
        raise Wrong(_("No answer: %(names)s") % {"names": ", ".join(silent)}, _("See whether it is up."))
    furthest_s = max(abs(s) for s in apart.values() if s is not None)
    return _("within %(n)s s") % {"n": numbers.localised(f"{furthest_s:.1f}")}


def _apart(tell: Callable[[], float]) -> float | None:
    """Seconds by which another clock is ahead of ours; None when it does not tell."""
    asked_at = time.time()
    try:
        theirs = tell()
    except Exception as error:  # noqa: BLE001  whatever its client raises: the others are told all the same
        log.info("doctor.no_time", error=aside.in_words(error))
        return None
    return theirs - (asked_at + time.time()) / 2


def _postgres_time() -> float:
    return float(health.query("SELECT extract(epoch FROM clock_timestamp())")[0])


def _redis_time() -> float:
    seconds, microseconds = console_redis.client().time()
    return float(seconds) + microseconds / 1e6


def _http_time(url: str) -> float:
    """To the second, so half of one is added."""
    return parsedate_to_datetime(health.answer(url).headers["date"]).timestamp() + 0.5


def _versions() -> str:
    number, name = health.query(
        "SELECT current_setting('server_version_num')::int, current_setting('server_version')"
    )
    redis_version = str(console_redis.client().info("server")["redis_version"])
    words = f"PostgreSQL {name.split()[0]}, Redis {redis_version}"
    if number < OLDEST_POSTGRES or tuple(map(int, redis_version.split(".")[:2])) < OLDEST_REDIS:
        raise Wrong(words, _("PostgreSQL 14 and Redis 6.2 are the oldest that will do: upgrade."))
    airflow = str(health.answer(f"{settings.CONSOLE_AIRFLOW_URL}/api/v2/version").json()["version"])
    account = (settings.CONSOLE_MLFLOW_USERNAME, settings.CONSOLE_MLFLOW_PASSWORD)
    mlflow = health.answer(f"{settings.CONSOLE_MLFLOW_URL}/version", account if any(account) else None)
    mlflow_version = mlflow.text.strip()
    words = f"{words}, Airflow {airflow}, MLflow {mlflow_version}"
    if not (airflow.startswith("3.") and mlflow_version.startswith("3.")):
        raise Wrong(words, _("Airflow 3 and MLflow 3 are what the console talks to: upgrade."))
    return words


def _migrations() -> str:
    for alias in upgrade.ALIASES:
        if newer := upgrade.newer(alias):
            raise Wrong(
                _("The database is newer than the code: %(names)s") % {"names": ", ".join(newer[:3])},
                _("Run the newer release, or restore a backup of this one."),
            )
        executor = MigrationExecutor(connections[alias])
        wanted = [leaf for leaf in executor.loader.graph.leaf_nodes() if _is_for(alias, leaf[0])]
        left = [migration for migration, _is_backward in executor.migration_plan(wanted)]
        if left:
            raise Wrong(
                _("Not applied: %(names)s") % {"names": ", ".join(map(str, left[:3]))},
                _("`make up` applies them, or `manage.py upgrade_databases`."),
            )
    return _("all applied")


def _is_for(alias: str, app: str) -> bool:
    return (alias == "usecases") == (app == "usecases")


def _connections() -> str:
    n, most = health.query(
        "SELECT count(*), current_setting('max_connections')::int FROM pg_stat_activity"
        " WHERE backend_type = 'client backend'"
    )
    words = _("%(n)s of %(most)s connections to PostgreSQL") % {"n": n, "most": most}
    if n > MOST_CONNECTIONS_SHARE * most:
        raise Wrong(words, _("Run fewer processes, raise max_connections, or put a pooler between."))
    return words


def _lag() -> str:
    late = []
    for part in lag.PARTS:
        behind = lag.of(part)
        if behind is None:
            late.append(_("%(part)s tells nothing") % {"part": part})
            continue
        age_s = time.time() - behind.oldest_at if behind.oldest_at is not None else 0.0
        if behind.n_stuck or behind.n_messages > MOST_BEHIND or age_s > OLDEST_BEHIND_S:
            words = _("%(part)s: %(n)s messages behind, %(stuck)s streams stuck")
            late.append(words % {"part": part, "n": behind.n_messages, "stuck": behind.n_stuck})
    if late:
        raise Wrong(
            "; ".join(late), _("Its log says what it waits for; topics of more partitions share the work.")
        )
    return _("nothing waits for long")


def _topics() -> str:
    odd = [
        _("%(topic)s: %(actual)s, %(setting)s says %(days)s")
        % {
            "topic": topic.name,
            "actual": topic_days.in_days(actual_ms),
            "setting": topic.kept,
            "days": topic_days.in_days(topic.retention_ms),
        }
        for topic, actual_ms in topic_days.odd()
    ]
    if odd:
        raise Wrong(
            "; ".join(odd),
            _(
                "Somebody else gave them these, or Kafka refused: have setting and topic say the same. "
                "`make up` (`manage.py ensure_topics`) applies a setting that changed."
            ),
        )
    return _("kept as the settings say")


def _queues() -> str:
    client = console_redis.client()
    lengths = {queue: int(client.llen(queue)) for queue in health.QUEUES}
    words = ", ".join(f"{queue} {n}" for queue, n in lengths.items())
    if max(lengths.values()) > LONGEST_QUEUE:
        raise Wrong(words, _("The worker does not keep up: see its log, or run another one."))
    return words


def _tasks() -> str:
    before = timezone.now() - LONGEST_WAIT
    late = [(model, model.due().filter(next_attempt_at__lt=before).count()) for model in outbox.kinds()]
    waiting = ", ".join(f"{model._meta.verbose_name}: {n}" for model, n in late if n)
    if waiting:
        raise Wrong(
            _("Wishes that wait for more than ten minutes: %(what)s") % {"what": waiting},
            _("The worker sends them: see its log, and what `control` waits for."),
        )
    n = loops.WISHES.rows().count()
    if n:
        words = ngettext("%(n)d task failed", "%(n)d tasks failed", n) % {"n": n}
        raise Wrong(words, _("System, Set aside, says why; they are tried again."))
    return _("none failed")


def _aside() -> str:
    found = {name: n for name, n in aside.numbers().items() if n}
    if found:
        words = ", ".join(f"{aside.label_of(name)}: {n}" for name, n in sorted(found.items()))
        raise Wrong(words, _("System, Set aside, says what does not fit and why."))
    return _("nothing")


def _notifications() -> str:
    now = timezone.now()
    names = alerts.troubled_channels(waits_since=now - LONGEST_UNTOLD, lost_since=now - GIVEN_UP_LATELY)
    if names:
        raise Wrong(
            _("Not delivered: %(names)s") % {"names": ", ".join(names)},
            _("Monitoring, Notifications: the log of the channel says what the other side answers."),
        )
    return _("all delivered")


def _settings() -> str:
    faults = [*_unsafe(), *(f"{fault.msg} {fault.hint or ''}".strip() for fault in checks.run_checks())]
    if faults:
        raise Wrong(
            " · ".join(faults),
            _(".env.example says how each is written; `make down` and `make up` apply a change."),
        )
    return _("nothing unsafe")


def _unsafe() -> list[str]:
    host = urlsplit(settings.CONSOLE_PUBLIC_URL).hostname or ""
    found = {
        _("CONSOLE_DEBUG shows tracebacks to everybody."): settings.DEBUG,
        _("CONSOLE_ALLOWED_HOSTS answers to any name (*)."): "*" in settings.ALLOWED_HOSTS,
        _("People reach it by http: cookies and passwords cross the network unprotected."): (
            host not in LOOPBACK and not settings.SESSION_COOKIE_SECURE
        ),
        _("CONSOLE_ALLOW_WEAK_SANDBOX loads models without confining them."): (
            settings.CONSOLE_ALLOW_WEAK_SANDBOX
        ),
    }
    return [words for words, is_so in found.items() if is_so]


def _secret_files() -> str:
    names = ("console.env", "secrets.json")
    files = [*(settings.CONSOLE_VAR_DIR / name for name in names), settings.CONSOLE_PIPELINE_TOKENS]
    there = [path for path in files if path.exists()]
    loose = [str(path) for path in there if stat.S_IMODE(path.stat().st_mode) & 0o077]
    if loose:
        raise Wrong(
            _("Others may read %(files)s") % {"files": ", ".join(loose)},
            _("`chmod 600` them, and change what is in them if somebody may have looked."),
        )
    return _("read by their owner alone")


def _certificates() -> str:
    """Of the files that settings name for TLS."""
    ends = {path: _ends(path) for path in tls_files()}
    if not ends:
        return _("no TLS files are set")
    soonest = min(ends, key=lambda path: ends[path])
    left = ends[soonest] - datetime.now(UTC)
    words = _("%(file)s ends on %(day)s") % {"file": soonest, "day": f"{ends[soonest]:%Y-%m-%d}"}
    if left < EXPIRES_SOON:
        raise Wrong(words, _("Replace it, then restart the parts."))
    return words


def tls_files() -> list[Path]:
    """Certificates that settings of Kafka, PostgreSQL and Redis name."""
    kafka = settings.CONSOLE_KAFKA_CONFIG
    found = [kafka.get(name) for name in TLS_FILES] if isinstance(kafka, dict) else []
    for database in settings.DATABASES.values():
        found += [database["OPTIONS"].get(name) for name in TLS_PARAMETERS]
    query = parse_qs(urlsplit(settings.CONSOLE_REDIS_URL).query)
    found += [value for name in TLS_PARAMETERS for value in query.get(name, [])]
    return sorted({Path(str(name)) for name in found if name and str(name) != "system"})


def _ends(path: Path) -> datetime:
    try:
        certificates = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Wrong(
            _("%(file)s cannot be read as certificates: %(error)s") % {"file": path, "error": error},
            _("Name a PEM file that the account of the console may read."),
        ) from error
    return min(certificate.not_valid_after_utc for certificate in certificates)


CHECKS: dict[str, tuple[str | Promise, Callable[[], str]]] = {
    "parts": (gettext_lazy("Parts"), _parts),
    "disk": (gettext_lazy("Disk"), _disk),
    "clocks": (gettext_lazy("Clocks"), _clocks),
    "versions": (gettext_lazy("Versions"), _versions),
    "migrations": (gettext_lazy("Migrations"), _migrations),
    "connections": (gettext_lazy("Connections"), _connections),
    "lag": (gettext_lazy("Behind Kafka"), _lag),
    "topics": (gettext_lazy("Topics"), _topics),
    "queues": (gettext_lazy("Queues"), _queues),
    "tasks": (gettext_lazy("Tasks"), _tasks),
    "aside": (gettext_lazy("Set aside"), _aside),
    "notifications": (gettext_lazy("Notifications"), _notifications),
    "settings": (gettext_lazy("Settings"), _settings),
    "secrets": (gettext_lazy("Files with secrets"), _secret_files),
    "certificates": (gettext_lazy("Certificates"), _certificates),
}
