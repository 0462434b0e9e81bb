"""How each part of the installation is, asked all at once, each within two seconds, and remembered for one.

Parts with HTTP are asked by it; the others leave a sign of life in Redis; the sandbox is asked what it shuts,
once. A check returns the figure that says most about the part, with others for Prometheus where it has them,
and raises `Unwell` (or what its client raises) when the part is not well.
"""

import functools
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg2
import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from django.conf import settings
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.functional import Promise
from django.utils.translation import get_language, gettext_lazy, ngettext, override
from django.utils.translation import gettext as _

from core.lib import heartbeat, kafka, lag
from core.lib import redis as console_redis
from core.lib.redis import RedisError
from core.lib.templatetags import numbers
from scoring import sandbox

log = structlog.get_logger(__name__)

REMEMBERED_S = 1.0
TIMEOUT_S = 1.8
SILENT_AFTER_S = 3 * heartbeat.EVERY_S
# An answer older than this is no news: a page that is being drawn says that it asks.
KNOWN_FOR_S = 60.0
# What Airflow does not notice of us: however many pages are open, it is asked so often when it is well.
AIRFLOW_ASKED_EVERY_S = 15.0
QUEUES = ("control", "heavy", "spark")
AIRFLOW_COMPONENTS = ("scheduler", "triggerer", "dag_processor")


class Unwell(Exception):
    """The part answered, and is not well; or its sign of life is missing."""


# Values by the name of a metric and its label values; `console.gauges` says what they mean.
Figures = Mapping[tuple[str, ...], float]


@dataclass(frozen=True)
class Said:
    """What a part says of itself: in words for people, in figures for Prometheus."""

    words: str
    figures: Figures


@dataclass(frozen=True)
class Part:
    """One part as it was at `as_of`. The web process is not ready without the required ones.

    is_healthy: None before anybody asked. figures: see `Said`; none of a part that is not well.
    """

    name: str
    label: str | Promise
    is_healthy: bool | None
    detail: str
    is_required: bool
    as_of: datetime | None
    figures: Figures = field(default_factory=dict)


def query(sql: str, *values: object) -> tuple:
    """The first row, by an own connection: Django would keep that of a thread that outlives requests."""
    database = settings.DATABASES["default"]
    own = {"connect_timeout": 2, "options": "-c statement_timeout=1500", "application_name": "atalaya health"}
    connection = psycopg2.connect(
        dbname=database["NAME"],
        user=database["USER"],
        password=database["PASSWORD"],
        host=database["HOST"],
        port=database["PORT"] or None,
        **{**database["OPTIONS"], **own},
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchone()
    finally:
        connection.close()


def _postgres() -> Said:
    size_bytes, n, most = query(
        "SELECT pg_database_size(current_database()), count(*), current_setting('max_connections')::int"
        " FROM pg_stat_activity WHERE backend_type = 'client backend'"
    )
    connections = ngettext("%(n)d connection", "%(n)d connections", n) % {"n": n}
    figures: Figures = {
        ("console_postgres_size_bytes",): size_bytes,
        ("console_postgres_open_connections",): n,
        ("console_postgres_allow_connections",): most,
    }
    return Said(f"{numbers.binary_size(size_bytes)}, {connections}", figures)


def _redis() -> Said:
    client = console_redis.client()
    memory_bytes = client.info("memory")["used_memory"]
    figures: Figures = {
        ("console_redis_memory_bytes",): memory_bytes,
        ("console_redis_open_connections",): client.info("clients")["connected_clients"],
    }
    return Said(numbers.binary_size(memory_bytes), figures)


_told: dict[str, tuple[float, dict[str, Any]]] = {}  # when and what Airflow answered, by its address


@functools.cache
def _kafka_admin() -> AdminClient:
    # Kept, because each one starts threads. Level 2: "connection refused" is on the page, not in the log.
    return kafka.admin(log_level=2, **{"reconnect.backoff.max.ms": 2000})


def _kafka() -> Said:
    found = _kafka_admin().list_topics(timeout=TIMEOUT_S)
    if not found.brokers:
        raise Unwell(_("It knows of no broker."))
    brokers = ngettext("%(n)d broker", "%(n)d brokers", len(found.brokers)) % {"n": len(found.brokers)}
    topics = ngettext("%(n)d topic", "%(n)d topics", len(found.topics)) % {"n": len(found.topics)}
    partitions = [one for topic in found.topics.values() for one in topic.partitions.values()]
    figures: Figures = {
        ("console_kafka_answer_brokers",): len(found.brokers),
        ("console_kafka_lag_partitions",): sum(len(one.isrs) < len(one.replicas) for one in partitions),
        ("console_kafka_leaderless_partitions",): sum(one.leader < 0 for one in partitions),
    }
    return Said(f"{brokers}, {topics}", figures)


@functools.cache
def _http() -> httpx.Client:
    # No connection is kept: one from before a restart would report a healthy part as ill. The client itself
    # is kept, since making one reads all certificates.
    limits = httpx.Limits(max_connections=16, max_keepalive_connections=0)
    return httpx.Client(timeout=TIMEOUT_S, limits=limits, follow_redirects=False)


def answer(url: str, account: tuple[str, str] | None = None) -> httpx.Response:
    """What a GET answers. Raises Unwell for anything but success, httpx.HTTPError for no answer.

    account: name and password, where the service asks for them.
    """
    found = _http().get(url, auth=account or httpx.USE_CLIENT_DEFAULT)
    if found.status_code != httpx.codes.OK:
        raise Unwell(_("It answered with status %(status)d.") % {"status": found.status_code})
    return found


def _airflow() -> Said:
    url = settings.CONSOLE_AIRFLOW_URL
    asked_at, components = _told.get(url, (float("-inf"), {}))
    if time.monotonic() - asked_at > AIRFLOW_ASKED_EVERY_S or _mirror_fails("airflow"):
        _told.pop(url, None)  # what it said before holds no longer, should it not answer well
        components = answer(f"{url}/api/v2/monitor/health").json()
        unwell = [name for name, state in components.items() if state and state.get("status") == "unhealthy"]
        if unwell:
            raise Unwell(_("Not healthy: %(names)s") % {"names": ", ".join(sorted(unwell))})
        _told[url] = (time.monotonic(), components)
    return Said(_mirrored("airflow"), _heartbeats(components))


def _mirror_fails(service: str) -> bool:
    """Whether the watcher, which asks every few seconds, has trouble with it, or is away: ask again."""
    try:
        _sign_of_life("watch")
        sql = "SELECT bool_or(last_error <> '') FROM lib_syncstate WHERE service = %s"
        (fails,) = query(sql, service)
    except (Unwell, psycopg2.Error):
        return True
    return bool(fails)


def _heartbeats(components: Mapping[str, Any]) -> dict[tuple[str, ...], float]:
    """How long ago each component of Airflow gave a sign of life, as far as it says."""
    found: dict[tuple[str, ...], float] = {}
    for name in AIRFLOW_COMPONENTS:
        at = parse_datetime(str((components.get(name) or {}).get(f"latest_{name}_heartbeat")))
        if at is not None and at.tzinfo is not None:
            found["console_airflow_heartbeat_seconds", name] = (timezone.now() - at).total_seconds()
    return found


def _mlflow() -> str:
    answer(f"{settings.CONSOLE_MLFLOW_URL}/health")
    return _mirrored("mlflow")


def _mirrored(service: str) -> str:
    """How old what the pages show of the service is; the mirror itself is the part `watch`."""
    try:
        (at,) = query("SELECT max(last_success_at) FROM lib_syncstate WHERE service = %s", service)
    except psycopg2.Error as error:  # PostgreSQL has a card of its own
        log.debug("health.mirror_unknown", service=service, error=str(error))
        return ""
    return _("mirrored %(span)s ago") % {"span": numbers.span(timezone.now() - at)} if at else ""


def _serving() -> str:
    answer(f"{settings.CONSOLE_SERVING_URL}/livez")
    n = len(_http().get(f"{settings.CONSOLE_SERVING_URL}/readyz").json()["models"])
    return ngettext("%(n)d champion", "%(n)d champions", n) % {"n": n}


def _worker() -> str:
    _sign_of_life("worker")
    client = console_redis.client()
    n = sum(int(client.llen(queue)) for queue in QUEUES)
    return ngettext("%(n)d task waits", "%(n)d tasks wait", n) % {"n": n} if n else _("nothing waits")


def _sign_of_life(name: str) -> str:
    try:
        at = heartbeat.last(name)
    except RedisError as error:
        raise Unwell(_("Nobody can tell: its sign of life is in Redis, which does not answer.")) from error
    if at is None or time.time() - at > SILENT_AFTER_S:
        raise Unwell(_("No sign of life."))
    return _("seen %(span)s ago") % {"span": numbers.span(timedelta(seconds=time.time() - at))}


def _follower(name: str) -> str:
    """A part that follows Kafka: its sign of life, and how far behind it is."""
    seen, behind = _sign_of_life(name), lag.of(name)
    if behind is None:
        return seen
    if n := behind.n_stuck:
        words = ngettext("%(n)s stream does not count now", "%(n)s streams do not count now", n) % {"n": n}
        return f"{seen}, {words}"
    n = behind.n_messages
    if not n:
        return f"{seen}, {_('nothing waits')}"
    words = ngettext("%(n)s message behind", "%(n)s messages behind", n) % {"n": numbers.short_count(n)}
    if behind.oldest_at is not None:
        age = timedelta(seconds=max(0.0, time.time() - behind.oldest_at))
        words = _("%(behind)s, the oldest %(span)s old") % {"behind": words, "span": numbers.span(age)}
    return f"{seen}, {words}"


def _sandbox() -> str:
    """How far models that nobody vouches for are cut off on this machine."""
    layers = sandbox.isolation()
    if sandbox.is_strong(layers):
        return layers
    words = {"layers": layers or _("nothing")}
    if not settings.CONSOLE_ALLOW_WEAK_SANDBOX:
        raise Unwell(
            _("Models are refused: the kernel lacks Landlock or seccomp. In force: %(layers)s.") % words
        )
    return _("Weak, as CONSOLE_ALLOW_WEAK_SANDBOX allows: %(layers)s") % words


CHECKS: dict[str, tuple[str | Promise, Callable[[], str | Said]]] = {
    "postgres": ("PostgreSQL", _postgres),
    "redis": ("Redis", _redis),
    "kafka": ("Kafka", _kafka),
    "airflow": ("Airflow", _airflow),
    "mlflow": ("MLflow", _mlflow),
    "serving": (gettext_lazy("Serving"), _serving),
    "worker": (gettext_lazy("Worker"), _worker),
    "beat": (gettext_lazy("Schedule"), functools.partial(_sign_of_life, "beat")),
    "watch": (gettext_lazy("Watch"), functools.partial(_sign_of_life, "watch")),
    "recorder": (gettext_lazy("Recorder"), functools.partial(_follower, lag.RECORDER)),
    "aggregator": (gettext_lazy("Aggregator"), functools.partial(_follower, lag.AGGREGATOR)),
    "sandbox": (gettext_lazy("Sandbox"), _sandbox),
}
REQUIRED = frozenset({"postgres", "redis"})

_pool = ThreadPoolExecutor(max_workers=2 * len(CHECKS), thread_name_prefix="health")
_lock = threading.Lock()
_NEVER: tuple[float, list[Part]] = (float("-inf"), [])
_remembered: dict[str, tuple[float, list[Part]]] = {}  # by language: parts say how they are in words


def report() -> list[Part]:
    """Every part, at most a second old; takes two seconds at most."""
    language = get_language() or settings.LANGUAGE_CODE
    with _lock:  # who comes while the checks run gets their outcome
        asked_at, parts = _remembered.get(language, _NEVER)
        if time.monotonic() - asked_at > REMEMBERED_S:
            parts = _ask_all(language)
            _remembered[language] = (time.monotonic(), parts)
        return parts


def known() -> list[Part]:
    """What was found lately, without asking anybody: for a page that fetches the report afterwards."""
    asked_at, parts = _remembered.get(get_language() or settings.LANGUAGE_CODE, _NEVER)
    if time.monotonic() - asked_at <= KNOWN_FOR_S:
        return parts
    return [Part(name, label, None, "", name in REQUIRED, None) for name, (label, _check) in CHECKS.items()]


def _ask_all(language: str) -> list[Part]:
    futures = {name: _pool.submit(_in_language, language, check) for name, (_label, check) in CHECKS.items()}
    wait(futures.values(), timeout=TIMEOUT_S + 0.2)
    now = datetime.now(tz=UTC)
    return [_part(name, futures[name], now) for name in CHECKS]


def _in_language(language: str, check: Callable[[], str | Said]) -> str | Said:
    """A thread has a language of its own."""
    with override(language):
        return check()


def _part(name: str, future: Future[str | Said], as_of: datetime) -> Part:
    is_healthy, found = _outcome(name, future)
    said = found if isinstance(found, Said) else Said(found, {})
    return Part(name, CHECKS[name][0], is_healthy, said.words, name in REQUIRED, as_of, said.figures)


def _outcome(name: str, future: Future[str | Said]) -> tuple[bool, str | Said]:
    """Whatever one part answers, the others are told."""
    if not future.done():
        future.cancel()
        return False, _("No answer within two seconds.")
    match error := future.exception():
        case None:
            return True, future.result()
        case Unwell():
            return False, str(error)
        case psycopg2.Error() | RedisError() | KafkaException() | httpx.HTTPError() | ValueError():
            return False, _("It does not answer.")
    log.error("health.not_understood", part=name, exc_info=error)
    return False, _("What it answered cannot be understood; the log of this process says more.")
