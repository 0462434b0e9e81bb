"""Settings, all from the environment (`.env.example`); `make up` writes them into var/console.env.

Defaults suit one machine. Secrets have none.
"""

import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from csp.constants import NONCE, SELF
from django.urls import reverse_lazy
from psycopg2.extensions import parse_dsn

from core.lib import env
from core.lib.logs import logging_config

BASE_DIR = env.REPO
CONSOLE_VAR_DIR = env.path("CONSOLE_VAR_DIR", BASE_DIR / "var")
env.load_file(CONSOLE_VAR_DIR / "console.env")

# --- what this installation is
DEBUG = env.flag("CONSOLE_DEBUG")
SECRET_KEY = env.text("CONSOLE_SECRET_KEY")
ALLOWED_HOSTS = env.words("CONSOLE_ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]")
CONSOLE_PORT_BASE = env.number("CONSOLE_PORT_BASE", 8000)
CONSOLE_PUBLIC_URL = env.text("CONSOLE_PUBLIC_URL", f"http://127.0.0.1:{CONSOLE_PORT_BASE}")
CONSOLE_SERVING_URL = env.text("CONSOLE_SERVING_URL", f"http://127.0.0.1:{CONSOLE_PORT_BASE + 1}")
# Locust lives in an environment of its own, which `make load` installs.
CONSOLE_LOAD_PYTHON = env.text(
    "CONSOLE_LOAD_PYTHON", str(Path(sys.prefix).parent / "load" / "bin" / "python")
)
CONSOLE_DATA_DIR = env.path("CONSOLE_DATA_DIR")
CONSOLE_OUTPUT_DIR = env.path("CONSOLE_OUTPUT_DIR", CONSOLE_VAR_DIR / "output")
_public = urlsplit(CONSOLE_PUBLIC_URL)
IS_HTTPS = _public.scheme == "https"

# --- services
CONSOLE_REDIS_URL = env.text("CONSOLE_REDIS_URL")
CONSOLE_KAFKA_BOOTSTRAP = env.text("CONSOLE_KAFKA_BOOTSTRAP", f"127.0.0.1:{CONSOLE_PORT_BASE + 12}")
CONSOLE_KAFKA_CONFIG = env.json_value("CONSOLE_KAFKA_CONFIG", "{}")
CONSOLE_MLFLOW_URL = env.text("CONSOLE_MLFLOW_URL", f"http://127.0.0.1:{CONSOLE_PORT_BASE + 14}")
# As people's browsers find their pages; links lead there.
CONSOLE_MLFLOW_PUBLIC_URL = env.text("CONSOLE_MLFLOW_PUBLIC_URL", "").rstrip("/") or CONSOLE_MLFLOW_URL
CONSOLE_MLFLOW_USERNAME = env.text("CONSOLE_MLFLOW_USERNAME", "")
CONSOLE_MLFLOW_PASSWORD = env.text("CONSOLE_MLFLOW_PASSWORD", "")
CONSOLE_AIRFLOW_URL = env.text("CONSOLE_AIRFLOW_URL", f"http://127.0.0.1:{CONSOLE_PORT_BASE + 15}")
CONSOLE_AIRFLOW_PUBLIC_URL = env.text("CONSOLE_AIRFLOW_PUBLIC_URL", "").rstrip("/") or CONSOLE_AIRFLOW_URL
# "jwt": the console mints a token for each person; "service": one account through /auth/token.
CONSOLE_AIRFLOW_AUTH = env.text("CONSOLE_AIRFLOW_AUTH", "jwt")
CONSOLE_AIRFLOW_JWT_SECRET = env.text("CONSOLE_AIRFLOW_JWT_SECRET", "")
CONSOLE_AIRFLOW_USERNAME = env.text("CONSOLE_AIRFLOW_USERNAME", "")
CONSOLE_AIRFLOW_PASSWORD = env.text("CONSOLE_AIRFLOW_PASSWORD", "")
# Runs that one backfill may make.
CONSOLE_BACKFILL_MOST_RUNS = env.number("CONSOLE_BACKFILL_MOST_RUNS", 1000)
CONSOLE_PIPELINE_TOKENS = env.path(
    "CONSOLE_PIPELINE_TOKENS", CONSOLE_VAR_DIR / "airflow" / "console_tokens.json"
)
CONSOLE_PROMETHEUS_URL = env.text("CONSOLE_PROMETHEUS_URL", "")
CONSOLE_GRAFANA_URL = env.text("CONSOLE_GRAFANA_URL", "")
CONSOLE_ALERTMANAGER_TOKEN = env.path(
    "CONSOLE_ALERTMANAGER_TOKEN", CONSOLE_VAR_DIR / "alertmanager" / "console_token"
)

# --- predictions
CONSOLE_PREDICTIONS_TOPIC = env.text("CONSOLE_PREDICTIONS_TOPIC", "predictions")
# Separated by commas. The first seals the personal part of records on their way through Kafka; each opens it.
CONSOLE_RECORD_SECRETS = env.text("CONSOLE_RECORD_SECRETS")
# How long calls are answered from memory and disk while the database does not say which tokens live.
CONSOLE_SERVING_MAX_STALE_S = env.number("CONSOLE_SERVING_MAX_STALE_S", 3600)
# Rows waiting for Kafka in one process before it answers 429.
CONSOLE_SERVING_MAX_IN_FLIGHT = env.number("CONSOLE_SERVING_MAX_IN_FLIGHT", 10_000)
# Files of rows: what one may hold, and how many of a person may be open.
CONSOLE_BATCHES_MAX_MIB = env.number("CONSOLE_BATCHES_MAX_MIB", 50)
CONSOLE_BATCHES_MAX_ROWS = env.number("CONSOLE_BATCHES_MAX_ROWS", 200_000)
CONSOLE_BATCHES_MOST_OPEN = env.number("CONSOLE_BATCHES_MOST_OPEN", 10)
CONSOLE_ALLOW_WEAK_SANDBOX = env.flag("CONSOLE_ALLOW_WEAK_SANDBOX")

# --- Spark jobs
CONSOLE_SPARK_MASTER = env.text("CONSOLE_SPARK_MASTER", "local[*]")
# Further targets by name: {"cluster": {"master": "spark://host:7077", "at_once": 2, "conf": {}}}
CONSOLE_SPARK_TARGETS = env.json_value("CONSOLE_SPARK_TARGETS", "{}")
# What a standalone master asks drivers for (spark.authenticate.secret); nothing when empty.
CONSOLE_SPARK_AUTH_SECRET = env.text("CONSOLE_SPARK_AUTH_SECRET", "")
# Address of this machine (or pod) at which executors of a cluster reach their driver.
CONSOLE_SPARK_DRIVER_HOST = env.text("CONSOLE_SPARK_DRIVER_HOST", "127.0.0.1")
# For masters k8s://...: image of driver and executors, and the namespace and account of their pods.
CONSOLE_SPARK_IMAGE = env.text("CONSOLE_SPARK_IMAGE", "")
CONSOLE_SPARK_NAMESPACE = env.text("CONSOLE_SPARK_NAMESPACE", "")
CONSOLE_SPARK_SERVICE_ACCOUNT = env.text("CONSOLE_SPARK_SERVICE_ACCOUNT", "")
# A spark-submit of one's own; PySpark's when empty.
CONSOLE_SPARK_SUBMIT = env.text("CONSOLE_SPARK_SUBMIT", "")
# Folder of Spark's jars for Kafka; `make up` fetches them.
CONSOLE_SPARK_JARS = env.path("CONSOLE_SPARK_JARS")
CONSOLE_SPARK_DRIVER_MEMORY = env.text("CONSOLE_SPARK_DRIVER_MEMORY", "1g")
CONSOLE_SPARK_CONF = env.json_value("CONSOLE_SPARK_CONF", "{}")
CONSOLE_JOBS_AT_ONCE = env.number("CONSOLE_JOBS_AT_ONCE", 2)
# Jobs that run until somebody stops them, beside those.
CONSOLE_STREAMS_AT_ONCE = env.number("CONSOLE_STREAMS_AT_ONCE", 2)
CONSOLE_JOBS_LONGEST_HOURS = env.number("CONSOLE_JOBS_LONGEST_HOURS", 24)
CONSOLE_JOBS_KEEP_DAYS = env.number("CONSOLE_JOBS_KEEP_DAYS", 14)

# --- days for which rows are kept; 0: for ever
CONSOLE_STREAMS_KEEP_DAYS = env.number("CONSOLE_STREAMS_KEEP_DAYS", 30)
CONSOLE_DRIFT_KEEP_DAYS = env.number("CONSOLE_DRIFT_KEEP_DAYS", 90)
CONSOLE_PREDICTIONS_KEEP_DAYS = env.number("CONSOLE_PREDICTIONS_KEEP_DAYS", 0)
CONSOLE_BATCHES_KEEP_DAYS = env.number("CONSOLE_BATCHES_KEEP_DAYS", 14)
CONSOLE_ASSET_EVENTS_KEEP_DAYS = env.number("CONSOLE_ASSET_EVENTS_KEEP_DAYS", 90)
CONSOLE_ALERTS_KEEP_DAYS = env.number("CONSOLE_ALERTS_KEEP_DAYS", 365)
CONSOLE_NOTIFICATIONS_KEEP_DAYS = env.number("CONSOLE_NOTIFICATIONS_KEEP_DAYS", 30)
CONSOLE_RUNS_KEEP_DAYS = env.number("CONSOLE_RUNS_KEEP_DAYS", 0)
# Versions of a pipeline's code, the newest; 0: all.
CONSOLE_SOURCES_KEEP = env.number("CONSOLE_SOURCES_KEEP", 50)

# --- days for which Kafka keeps messages of the console's topics; 0: for ever
CONSOLE_PREDICTIONS_TOPIC_KEEP_DAYS = env.number("CONSOLE_PREDICTIONS_TOPIC_KEEP_DAYS", 7)
CONSOLE_EVENT_TOPICS_KEEP_DAYS = env.number("CONSOLE_EVENT_TOPICS_KEEP_DAYS", 7)
CONSOLE_SIDE_TOPICS_KEEP_DAYS = env.number("CONSOLE_SIDE_TOPICS_KEEP_DAYS", 30)

# --- notifications
# smtp://, smtp+tls:// (STARTTLS) or smtps://name:password@host:port; empty: no e-mail is sent.
CONSOLE_EMAIL_URL = env.text("CONSOLE_EMAIL_URL", "")
CONSOLE_EMAIL_FROM = env.text("CONSOLE_EMAIL_FROM", "") or f"Atalaya <atalaya@{_public.hostname}>"
# Networks that are not public and whose webhooks are called all the same.
CONSOLE_WEBHOOK_NETWORKS = env.words("CONSOLE_WEBHOOK_NETWORKS")
DEFAULT_FROM_EMAIL = SERVER_EMAIL = CONSOLE_EMAIL_FROM
EMAIL_BACKEND = "core.alerts.mail.Backend"
EMAIL_TIMEOUT = 10  # seconds, of each step


def _mail_server(url: str) -> tuple[str, int, str, str, bool, bool]:
    """Host, port, name, password, STARTTLS, TLS. Of an address that is none a system check says so."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    usual = {"smtp+tls": 587, "smtps": 465}.get(parts.scheme, 25)
    name, password = unquote(parts.username or ""), unquote(parts.password or "")
    kinds = parts.scheme == "smtp+tls", parts.scheme == "smtps"
    return (parts.hostname or "", port or usual, name, password, *kinds)


(
    EMAIL_HOST,
    EMAIL_PORT,
    EMAIL_HOST_USER,
    EMAIL_HOST_PASSWORD,
    EMAIL_USE_TLS,
    EMAIL_USE_SSL,
) = _mail_server(CONSOLE_EMAIL_URL)


def _database(url: str, *, test_name: str) -> dict[str, Any]:
    parts = parse_dsn(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.pop("dbname"),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": parts.pop("port", ""),
        # Kept by threads that stay: those of requests (`console.handler`) and of polls (`manage.py watch`).
        "CONN_MAX_AGE": 0,
        # What else the address says is libpq's: sslmode, sslrootcert, target_session_attrs, ...
        "OPTIONS": {"connect_timeout": 3, "application_name": "atalaya", **parts},
        "TEST": {"NAME": test_name},
    }


DATABASES = {
    "default": _database(
        env.text("CONSOLE_DATABASE_URL"),
        test_name=os.environ.get("CONSOLE_TEST_DATABASE", "test_console"),
    ),
    "usecases": _database(env.text("CONSOLE_USECASES_DATABASE_URL"), test_name="test_usecases"),
}
DATABASE_ROUTERS = ["usecases.routing.Router"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Django
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.staticfiles",
    "channels",
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
    "console.apps.ConsoleConfig",
    "core.lib",
    "core.audit",
    "core.access",
    "core.alerts",
    "pipelines",
    "models_registry",
    "streaming",
    "jobs",
    "predictions",
    "usecases",
    "console.demo",
]
MIDDLEWARE = [
    "console.middleware.RequestContextMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.gzip.GZipMiddleware",  # static files are compressed already; lengths are padded
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "console.middleware.FragmentMiddleware",
    "console.middleware.ErrorPagesMiddleware",
    "core.access.middleware.AccessMiddleware",
    "console.middleware.IdempotencyMiddleware",
]
ROOT_URLCONF = "console.urls"
ASGI_APPLICATION = "console.asgi.application"
APPEND_SLASH = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "core.access.context_processors.may",
            ],
        },
    },
]
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("es", "Español")]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"
# An image brings them collected; `make up` collects them.
CONSOLE_STATIC_DIR = env.path("CONSOLE_STATIC_DIR")
STATIC_ROOT = CONSOLE_STATIC_DIR or CONSOLE_VAR_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 500
FILE_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

# --- sign-in
AUTH_USER_MODEL = "access.User"
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = reverse_lazy("access:sign-in")
LOGIN_REDIRECT_URL = reverse_lazy("console:overview")
LOGOUT_REDIRECT_URL = reverse_lazy("access:sign-in")
# Reverse proxies in front: so many addresses at the end of X-Forwarded-For are theirs to vouch for.
CONSOLE_PROXY_COUNT = env.number("CONSOLE_PROXY_COUNT", 0)
# Addresses or networks that they connect from; what others forward is dropped. Empty: all are believed.
CONSOLE_PROXY_NETWORKS = env.words("CONSOLE_PROXY_NETWORKS")

# --- cookies and headers
SESSION_COOKIE_NAME = "atalaya_session"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_HTTPS
CSRF_COOKIE_NAME = "atalaya_csrf"
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_TRUSTED_ORIGINS = [f"{_public.scheme}://{_public.netloc}"]
CSRF_FAILURE_VIEW = "console.views.csrf_failure"
SECURE_SSL_REDIRECT = IS_HTTPS
SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$", r"^metrics$", r"^v2/health/(live|ready)$"]
# Browsers keep to it at every port of the host; what lies below the host is perhaps not ours to speak for.
CONSOLE_HSTS_SECONDS = env.number("CONSOLE_HSTS_SECONDS", 365 * 24 * 3600)
SECURE_HSTS_SECONDS = CONSOLE_HSTS_SECONDS if IS_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.flag("CONSOLE_HSTS_SUBDOMAINS")
SECURE_HSTS_PRELOAD = env.flag("CONSOLE_HSTS_PRELOAD")
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if CONSOLE_PROXY_COUNT else None
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": [SELF],
        "frame-ancestors": ["'none'"],
        "report-uri": ["/csp-report"],
    },
}

# --- REST
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["core.access.authentication.ConsoleAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["core.lib.json_out.Renderer"],
    "DEFAULT_PARSER_CLASSES": ["core.lib.json_bodies.JSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "core.lib.rest.OurFormat",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "core.lib.pages.CursorPages",
    "EXCEPTION_HANDLER": "core.lib.problems.handle",
    "URL_FORMAT_OVERRIDE": None,  # there is one format
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Atalaya",
    "VERSION": "1",
    "DESCRIPTION": "Pipelines, models, promotions and predictions of one Atalaya console.",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "RunState": "pipelines.models.RunState",
        "JobState": "jobs.models.JobState",
        "BatchState": "predictions.batch_models.BatchState",
        "VersionState": "models_registry.states.VersionState",
        "RequestState": "models_registry.states.RequestState",
        "GateState": "models_registry.states.GateState",
        "AlertState": "core.alerts.states.State",
        "AlertEvent": "core.alerts.states.Event",
        "ChannelKind": "core.alerts.states.ChannelKind",
        "DeliveryState": "core.alerts.states.DeliveryState",
        "AlertRuleKind": "pipelines.alert_rule_models.RuleKind",
        "Severity": "core.alerts.states.Severity",
        "MessageEncoding": "streaming.outgoing.ENCODINGS",
        "TokenState": ["active", "revoked", "expired"],
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "console.openapi.add_common",
    ],
}

# --- workers and live pages
CELERY_BROKER_URL = CONSOLE_REDIS_URL
CELERY_IMPORTS = [
    "core.lib.outbox",
    "core.lib.daily",
    "core.alerts.deliveries",
    "jobs.schedules",
    "pipelines.alerting",
    "predictions.batches.tasks",
]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "control"
# Minutes of work; everything else is a short call and goes to the default queue.
CELERY_TASK_ROUTES = {
    "models_registry.tasks.run_gate": {"queue": "heavy"},
    "pipelines.tasks.copy_log": {"queue": "heavy"},
    "predictions.tasks.judge_windows": {"queue": "heavy"},
    "predictions.batches.tasks.run_batch": {"queue": "heavy"},
    "streaming.tasks.send_replay": {"queue": "heavy"},
    "usecases.tasks.run_load_test": {"queue": "heavy"},
    "usecases.tasks.forget_erased": {"queue": "heavy"},
    "jobs.tasks.attend": {"queue": "spark"},
}
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_CONSUMER = "console.workers:PatientConsumer"
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 3600,
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_TIME_LIMIT = 1800
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 3.0  # seconds that running tasks get when the worker is told to stop
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = (
    True  # Redis gave their messages to another by then
)
CELERY_TASK_PUBLISH_RETRY = False  # a page waits; what is not sent now the sweep sends
CELERY_BEAT_SCHEDULER = "console.workers:LivingScheduler"
CELERY_BEAT_SCHEDULE = {
    "sweep-outbox": {"task": "core.lib.outbox.sweep", "schedule": 5.0, "options": {"expires": 5}},
    "seal-audit": {"task": "core.audit.tasks.seal_audit", "schedule": 5.0, "options": {"expires": 5}},
    "look-for-set-aside": {
        "task": "core.alerts.tasks.look_for_set_aside",
        "schedule": 15.0,
        "options": {"expires": 15},
    },
    "judge-pipelines": {"task": "pipelines.alerting.look", "schedule": 15.0, "options": {"expires": 15}},
    "start-daily-tasks": {"task": "core.lib.daily.start_due", "schedule": 60.0, "options": {"expires": 60}},
    "run-due-jobs": {"task": "jobs.schedules.run_due", "schedule": 10.0, "options": {"expires": 10}},
    "look-for-drift": {
        "task": "predictions.tasks.look_for_drift",
        "schedule": 15.0,
        "options": {"expires": 15},
    },
    "forget-erased-inputs": {
        "task": "usecases.tasks.forget_erased",
        "schedule": 300.0,
        "options": {"expires": 300},
    },
    "expire-promotions": {"task": "models_registry.tasks.expire_requests", "schedule": 600.0},
    "forget-silent-serving": {"task": "models_registry.tasks.forget_silent_processes", "schedule": 60.0},
}
# Beat forgets its times when it stops: when these ran last is in the database.
CONSOLE_DAILY_TASKS = (
    "core.access.tasks.renew_pipeline_tokens",
    "streaming.tasks.clear_old",
    "jobs.tasks.clear_old",
    "core.access.tasks.clear_sessions",
    "predictions.tasks.clear_old_drift",
    "predictions.tasks.clear_old_predictions",
    "predictions.batches.tasks.clear_old",
    "pipelines.tasks.clear_old",
    "core.alerts.tasks.clear_old",
)
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {
            "hosts": [{"address": CONSOLE_REDIS_URL, "socket_connect_timeout": 2, "retry": None}],
            "prefix": "atalaya",
        },
    },
}

# --- logs
LOG_FORMAT = env.text("CONSOLE_LOG_FORMAT", "text")
LOGGING = logging_config(LOG_FORMAT, env.text("CONSOLE_LOG_LEVEL", "INFO"))
# Folder in which each part leaves a file as a sign of life, for the health check of its container.
CONSOLE_HEARTBEAT_DIR = env.path("CONSOLE_HEARTBEAT_DIR")
CONSOLE_METRICS_PORT = env.number("CONSOLE_METRICS_PORT", 0)
# Whether a whole domain is https alone is for those to say whose it is: CONSOLE_HSTS_SUBDOMAINS, …_PRELOAD.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
