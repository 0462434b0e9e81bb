"""Traces, by OpenTelemetry, where the environment names a collector; else nothing of it is imported or paid.

with traces.span("deliver", parent=row.traceparent):    # the current span meanwhile
    headers["traceparent"] = traces.traceparent()       # carries it on, as W3C Trace Context has it

What else OpenTelemetry's SDK reads from the environment (OTEL_...) holds here too.
"""

import os
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from threading import Lock
from typing import Any, Final

import structlog

log = structlog.get_logger(__name__)

HEADER: Final = "traceparent"
LONGEST: Final = 55  # of version 00: 00-<trace id>-<span id>-<flags>
ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_EXPORTER: Final = "opentelemetry.exporter.otlp.proto.http"
_NOTHING: Final = nullcontext()

# Whether there are traces: for whoever would leave out more than a call.
is_on = False
_tracer: Any = None
_making = Lock()  # threads may begin the first spans of a process together


def prepare() -> None:
    """Turn traces on if the environment names a collector; once a process, and before its first span."""
    global is_on
    is_told = any(os.environ.get(name) for name in ENDPOINTS)
    is_off = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if not is_told or is_off:
        is_on = False
        return
    try:
        is_on = find_spec(_EXPORTER) is not None
    except ModuleNotFoundError:
        is_on = False
    if not is_on:
        log.warning("traces.not_sent", reason="requirements/traces.txt is not installed; `make up` does that")


def span(
    name: str, *, parent: str | None = None, kind: str = "INTERNAL", **attributes: Any
) -> AbstractContextManager[Any]:
    """A span that is the current one meanwhile; None where traces are off. An error that leaves it is noted.

    parent: a `traceparent` that came with the work; else the current span's. kind: a name of SpanKind.
    """
    if not is_on:
        return _NOTHING
    from opentelemetry.trace import SpanKind

    found: AbstractContextManager[Any] = _get_tracer().start_as_current_span(
        name, context=_context(parent), kind=SpanKind[kind], attributes=attributes
    )
    return found


def note(name: str, *, parent: str, began_at_ns: int, kind: str, **attributes: Any) -> None:
    """A span that ends now, of work that was done for several traces at once. began_at_ns: Unix time."""
    from opentelemetry.trace import SpanKind

    _get_tracer().start_span(
        name,
        context=_context(parent),
        kind=SpanKind[kind],
        attributes=attributes,
        start_time=began_at_ns,
    ).end()


def has_failed(current: Any, reason: str = "") -> None:
    """Mark a span whose work told of its failure without raising it."""
    from opentelemetry.trace import Status, StatusCode

    current.set_status(Status(StatusCode.ERROR, reason))


def traceparent() -> str:
    """Of the current span; empty where there is none."""
    if not is_on:
        return ""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get(HEADER, "")


def trace_id(parent: str) -> str:
    """By which a collector finds the trace; empty for none."""
    return parent.split("-")[1] if parent.count("-") == 3 else ""


def _context(parent: str | None) -> Any:
    """None for the current one; of a `traceparent` that is none, a new trace."""
    if not parent:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({HEADER: parent})


def _get_tracer() -> Any:
    """This process's own, made with its first span: a worker's children begin after their parent."""
    global _tracer
    with _making:
        if _tracer is None:
            _tracer = _made()
    return _tracer


def _made() -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    name = os.environ.get("OTEL_SERVICE_NAME", "atalaya")
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))  # sends what is left at exit
    return provider.get_tracer("atalaya")
