"""System checks: settings that cannot work. `manage.py check` says which, and what to write instead."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.http.request import validate_host

from core.alerts import mail
from core.lib import addresses, retention, topics

# HS512 wants a key as long as its output (RFC 7518, section 3.2).
SHORTEST_JWT_SECRET = 64
SHORTEST_RECORD_SECRET = 32
LONGEST_TARGET = 40
MOST_JOBS_AT_ONCE = 20
KUBERNETES = "k8s://"
IMAGES = {"spark.kubernetes.container.image", "spark.kubernetes.executor.container.image"}
MAIL_SCHEMES = {"smtp", "smtp+tls", "smtps"}
URLS = (
    "CONSOLE_PUBLIC_URL",
    "CONSOLE_SERVING_URL",
    "CONSOLE_MLFLOW_URL",
    "CONSOLE_MLFLOW_PUBLIC_URL",
    "CONSOLE_AIRFLOW_URL",
    "CONSOLE_AIRFLOW_PUBLIC_URL",
)


@register()
def check_settings(app_configs: Sequence[AppConfig] | None, **_kwargs: Any) -> list[CheckMessage]:
    """All of them; they ask nothing outside of this machine."""
    return [
        *_urls(),
        *_public_host(),
        *_proxies(),
        *_airflow(),
        *_mlflow(),
        *_redis(),
        *_kafka(),
        *_folders(),
        *_spark(),
        *_secret_key(),
        *_record_secrets(),
        *_kept_days(),
        *_notifications(),
    ]


def _urls() -> Iterator[CheckMessage]:
    for name in URLS:
        value = getattr(settings, name)
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            yield Error(
                f"{name} is {value!r}, which is no address.",
                hint="Write it as http://host:port, or https://host.",
                id="console.E001",
            )
        elif value.endswith("/"):
            yield Error(
                f"{name} ends in a slash, and paths are added to it.",
                hint="Leave the slash out.",
                id="console.E002",
            )


def _public_host() -> Iterator[CheckMessage]:
    host = urlsplit(settings.CONSOLE_PUBLIC_URL).hostname
    if host and not validate_host(host, settings.ALLOWED_HOSTS):
        yield Error(
            f"CONSOLE_PUBLIC_URL names the host {host!r}, which CONSOLE_ALLOWED_HOSTS does not allow.",
            hint=f"Add {host} to CONSOLE_ALLOWED_HOSTS.",
            id="console.E003",
        )


def _proxies() -> Iterator[CheckMessage]:
    for text in settings.CONSOLE_PROXY_NETWORKS:
        try:
            addresses.networks((text,))
        except ValueError:
            yield Error(
                f"CONSOLE_PROXY_NETWORKS holds {text!r}, which is no address or network.",
                hint="Write addresses or networks of the proxies, such as 10.0.0.2,10.1.0.0/28.",
                id="console.E022",
            )
    if settings.CONSOLE_PROXY_NETWORKS and not settings.CONSOLE_PROXY_COUNT:
        yield Error(
            "CONSOLE_PROXY_NETWORKS names proxies, and CONSOLE_PROXY_COUNT says that there is none.",
            hint="Set CONSOLE_PROXY_COUNT to how many stand one behind the other, mostly 1.",
            id="console.E023",
        )
    # Only a proxy can end TLS and say so: else every page is sent to https once more, without an end.
    if settings.SECURE_SSL_REDIRECT and not settings.CONSOLE_PROXY_COUNT:
        yield Error(
            "CONSOLE_PUBLIC_URL has https, and CONSOLE_PROXY_COUNT says that no proxy ends it.",
            hint="Set CONSOLE_PROXY_COUNT to how many stand one behind the other, mostly 1.",
            id="console.E035",
        )


def _airflow() -> Iterator[CheckMessage]:
    match settings.CONSOLE_AIRFLOW_AUTH:
        case "jwt":
            if len(settings.CONSOLE_AIRFLOW_JWT_SECRET) < SHORTEST_JWT_SECRET:
                yield Error(
                    f"CONSOLE_AIRFLOW_JWT_SECRET is shorter than HS512's {SHORTEST_JWT_SECRET} characters.",
                    hint="Give this variable and Airflow's [api_auth] jwt_secret the same long value, "
                    'such as `python -c "import secrets; print(secrets.token_hex(48))"` prints.',
                    id="console.E004",
                )
        case "service":
            if not (settings.CONSOLE_AIRFLOW_USERNAME and settings.CONSOLE_AIRFLOW_PASSWORD):
                yield Error(
                    "CONSOLE_AIRFLOW_AUTH is 'service', without a name and password to sign in with.",
                    hint="Set CONSOLE_AIRFLOW_USERNAME and CONSOLE_AIRFLOW_PASSWORD.",
                    id="console.E005",
                )
        case other:
            yield Error(
                f"CONSOLE_AIRFLOW_AUTH is {other!r}.", hint="Write 'jwt' or 'service'.", id="console.E006"
            )


def _mlflow() -> Iterator[CheckMessage]:
    if bool(settings.CONSOLE_MLFLOW_USERNAME) != bool(settings.CONSOLE_MLFLOW_PASSWORD):
        yield Error(
            "Of CONSOLE_MLFLOW_USERNAME and CONSOLE_MLFLOW_PASSWORD only one is set.",
            hint="Set both for an MLflow that asks for a password, none for one that does not.",
            id="console.E015",
        )


def _redis() -> Iterator[CheckMessage]:
    parts = urlsplit(settings.CONSOLE_REDIS_URL)
    if parts.scheme not in {"redis", "rediss"}:
        yield Error(
            "CONSOLE_REDIS_URL is no address of a Redis server.",
            hint="Write it as redis://:password@host:port/0, or rediss:// for TLS.",
            id="console.E007",
        )
    elif parts.scheme == "rediss" and parse_qs(parts.query).get("ssl_cert_reqs") != ["required"]:
        # Without it the queue's client takes any certificate, while the others ask for a good one.
        yield Error(
            "CONSOLE_REDIS_URL speaks TLS to whoever answers.",
            hint="End it in ?ssl_cert_reqs=required (and &ssl_ca_certs=/path/ca.pem for a CA of your own).",
            id="console.E032",
        )


def _kafka() -> Iterator[CheckMessage]:
    config = settings.CONSOLE_KAFKA_CONFIG
    if not isinstance(config, dict) or any(isinstance(value, dict | list) for value in config.values()):
        yield Error(
            "CONSOLE_KAFKA_CONFIG is no flat JSON object.",
            hint='Write librdkafka settings, such as {"security.protocol": "SASL_SSL"}, or {}.',
            id="console.E008",
        )


def _folders() -> Iterator[CheckMessage]:
    for name in ("CONSOLE_VAR_DIR", "CONSOLE_OUTPUT_DIR"):
        folder: Path = getattr(settings, name)
        if not os.access(_nearest(folder), os.W_OK | os.X_OK):
            yield Error(
                f"{name} ({folder}) cannot be written to.",
                hint="Choose a folder that belongs to the account which runs the console.",
                id="console.E009",
            )
    data = settings.CONSOLE_DATA_DIR
    if data is not None and not data.is_dir():
        yield Warning(
            f"CONSOLE_DATA_DIR ({data}) is no folder.",
            hint="Leave it unset to use public or generated data.",
            id="console.W001",
        )


def _nearest(folder: Path) -> Path:
    """The folder, or the first above it that exists."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def _spark() -> Iterator[CheckMessage]:
    conf = settings.CONSOLE_SPARK_CONF
    if not isinstance(conf, dict) or not all(isinstance(value, str) for value in conf.values()):
        yield Error(
            "CONSOLE_SPARK_CONF is no JSON object of texts.",
            hint='Write Spark settings, such as {"spark.sql.shuffle.partitions": "8"}, or {}.',
            id="console.E011",
        )
    if not 1 <= settings.CONSOLE_JOBS_AT_ONCE <= MOST_JOBS_AT_ONCE:
        yield Error(
            f"CONSOLE_JOBS_AT_ONCE is {settings.CONSOLE_JOBS_AT_ONCE}.",
            hint=f"Write a number from 1 to {MOST_JOBS_AT_ONCE}: each job has a port of its own.",
            id="console.E012",
        )
    if not 1 <= settings.CONSOLE_STREAMS_AT_ONCE <= MOST_JOBS_AT_ONCE:
        yield Error(
            f"CONSOLE_STREAMS_AT_ONCE is {settings.CONSOLE_STREAMS_AT_ONCE}.",
            hint=f"Write a number from 1 to {MOST_JOBS_AT_ONCE}: each job has a port of its own.",
            id="console.E018",
        )
    if settings.CONSOLE_JOBS_LONGEST_HOURS < 1:
        yield Error(
            f"CONSOLE_JOBS_LONGEST_HOURS is {settings.CONSOLE_JOBS_LONGEST_HOURS}.",
            hint="Write the hours after which a job is ended, 1 or more.",
            id="console.E014",
        )
    if fault := _fault_of_targets(settings.CONSOLE_SPARK_TARGETS):
        yield Error(
            f"CONSOLE_SPARK_TARGETS: {fault}.",
            hint='Write {"name": {"master": "spark://host:7077", "at_once": 2, "conf": {}}}, or {}.',
            id="console.E019",
        )
    elif lacking := _without_image():
        yield Error(
            f"Spark jobs on {', '.join(lacking)} have no image for their executors.",
            hint="Set CONSOLE_SPARK_IMAGE, or spark.kubernetes.container.image in the target's conf.",
            id="console.E020",
        )
    program = settings.CONSOLE_SPARK_SUBMIT
    if program and not os.access(program, os.X_OK):
        yield Error(
            f"CONSOLE_SPARK_SUBMIT ({program}) is no program.",
            hint="Write the whole path of bin/spark-submit, or leave it unset to use PySpark's.",
            id="console.E013",
        )


def _without_image() -> list[str]:
    """The masters of Kubernetes for which nobody says what runs there."""
    everywhere = settings.CONSOLE_SPARK_CONF
    if settings.CONSOLE_SPARK_IMAGE or not isinstance(everywhere, dict) or IMAGES & everywhere.keys():
        return []
    targets = ({"master": settings.CONSOLE_SPARK_MASTER}, *settings.CONSOLE_SPARK_TARGETS.values())
    masters = [one["master"] for one in targets if not IMAGES & one.get("conf", {}).keys()]
    return [master for master in masters if master.startswith(KUBERNETES)]


def _fault_of_targets(targets: object) -> str:
    """Why these are no targets; empty when they are."""
    if not isinstance(targets, dict) or not all(isinstance(one, dict) for one in targets.values()):
        return "it is no JSON object of objects"
    for name, one in targets.items():
        at_once, conf = one.get("at_once", 1), one.get("conf", {})
        if (
            name == "default"
            or not 1 <= len(name) <= LONGEST_TARGET
            or not isinstance(one.get("master"), str)
        ):
            return f"“{name}” has no master, or another's name"
        if not isinstance(at_once, int) or not 1 <= at_once <= MOST_JOBS_AT_ONCE:
            return f"at_once of “{name}” is no number from 1 to {MOST_JOBS_AT_ONCE}"
        if not isinstance(conf, dict) or not all(isinstance(value, str) for value in conf.values()):
            return f"conf of “{name}” is no JSON object of texts"
    return ""


def _secret_key() -> Iterator[CheckMessage]:
    if len(settings.SECRET_KEY) < 50:
        yield Error(
            "CONSOLE_SECRET_KEY has fewer than 50 characters.",
            hint='`python -c "import secrets; print(secrets.token_urlsafe(48))"` prints a good one.',
            id="console.E010",
        )


def _record_secrets() -> Iterator[CheckMessage]:
    if any(len(secret) < SHORTEST_RECORD_SECRET for secret in settings.CONSOLE_RECORD_SECRETS.split(",")):
        yield Error(
            f"CONSOLE_RECORD_SECRETS holds one of fewer than {SHORTEST_RECORD_SECRET} characters.",
            hint="Who reads Kafka could guess it. Generate a long one: `python -c 'import secrets; "
            "print(secrets.token_urlsafe(48))'`. Several are separated by commas, without spaces.",
            id="console.E016",
        )


def _kept_days() -> Iterator[CheckMessage]:
    for kept in retention.registered():
        if kept.days < 0:
            yield Error(
                f"{kept.setting} is {kept.days}.",
                hint="Write the days for which rows are kept, or 0 for ever.",
                id="console.E030",
            )
    for setting in topics.KEPT:
        if (days := getattr(settings, setting)) < 0:
            yield Error(
                f"{setting} is {days}.",
                hint="Write the days for which Kafka keeps the messages, or 0 for ever.",
                id="console.E030",
            )
    rows, records = settings.CONSOLE_PREDICTIONS_KEEP_DAYS, settings.CONSOLE_PREDICTIONS_TOPIC_KEEP_DAYS
    if rows > 0 and not 0 < records < rows:
        yield Error(
            f"CONSOLE_PREDICTIONS_KEEP_DAYS is {rows}: Kafka keeps records for "
            f"{f'{records} days' if records else 'ever'} and could bring back what was removed.",
            hint="Write more days than CONSOLE_PREDICTIONS_TOPIC_KEEP_DAYS has, or 0 for ever.",
            id="console.E031",
        )


def _notifications() -> Iterator[CheckMessage]:
    for text in settings.CONSOLE_WEBHOOK_NETWORKS:
        try:
            addresses.networks((text,))
        except ValueError:
            yield Error(
                f"CONSOLE_WEBHOOK_NETWORKS holds {text!r}, which is no address or network.",
                hint="Write addresses or networks whose webhooks may be called, such as 10.1.0.0/16.",
                id="console.E033",
            )
    parts = urlsplit(settings.CONSOLE_EMAIL_URL)
    if settings.CONSOLE_EMAIL_URL and (parts.scheme not in MAIL_SCHEMES or not _has_place(parts)):
        yield Error(  # without the value: it may hold a password
            "CONSOLE_EMAIL_URL is no address of a mail server.",
            hint="Write it as smtp://host:25, smtp+tls://name:password@host:587 or smtps://…:465, or leave "
            "it unset to send no e-mail.",
            id="console.E034",
        )
    if settings.CONSOLE_EMAIL_URL and not mail.is_address(settings.CONSOLE_EMAIL_FROM):
        yield Error(
            f"CONSOLE_EMAIL_FROM is {settings.CONSOLE_EMAIL_FROM!r}, from which no mail can be.",
            hint='Write it as Atalaya <atalaya@example.org>, a name with a comma in quotes: "Data, Ops" <…>.',
            id="console.E036",
        )


def _has_place(parts: SplitResult) -> bool:
    try:
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
