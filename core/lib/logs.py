"""Structured logs: one event a line with the request id, as key=value text or as JSON."""

import logging
from typing import Any

import structlog

from core.lib import context, traces


def _add_request_id(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    request_id = context.request_id.get()
    if request_id:
        event.setdefault("request_id", request_id)
    if traces.is_on and (trace_id := traces.trace_id(traces.traceparent())):
        event.setdefault("trace_id", trace_id)
    return event


_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    _add_request_id,
]


def logging_config(log_format: str, level: str) -> dict[str, Any]:
    """Django's LOGGING, and structlog set up to go through it. log_format: "text" or "json"."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderer: Any = structlog.processors.JSONRenderer() if log_format == "json" else _text_renderer()
    processors = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
    if log_format == "json":
        processors.insert(1, structlog.processors.format_exc_info)
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": _SHARED,
                "processors": processors,
            },
        },
        "filters": {"without_traceback": {"()": "core.lib.logs.WithoutTraceback"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django.server": {"level": "WARNING"},
            "django.request": {"level": "ERROR"},  # 4xx are in our own line for each request
            "uvicorn": {"handlers": [], "propagate": True},
            "uvicorn.access": {"handlers": [], "propagate": True, "level": "WARNING"},
            "celery.beat": {"level": "WARNING"},  # what is due every five seconds, each time
            "celery.worker.strategy": {"level": "WARNING"},  # received; what became of it is in our own line
            "celery.app.trace": {"level": "WARNING"},
            "opentelemetry": {"filters": ["without_traceback"]},  # each batch while its collector is away
            "channels_redis.pubsub": {"filters": ["without_traceback"]},  # once a second while Redis is away
            "httpx": {"level": "WARNING"},
        },
    }


class WithoutTraceback(logging.Filter):
    """Keeps the error of a library that logs a traceback for what is no bug: a server that is away."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True; the exception becomes part of the message."""
        if record.exc_info:
            record.msg, record.args = f"{record.getMessage()}: {record.exc_info[1]!r}", ()
            record.exc_info = None
        return True


def _text_renderer() -> structlog.dev.ConsoleRenderer:
    # The default traceback shows local variables, secrets among them.
    return structlog.dev.ConsoleRenderer(
        colors=False, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
    )
