"""Traces: nothing while no collector is named, one trace across processes when one is."""

import gzip
import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from console import workers
from core.lib import context, traces
from stack import config
from stack.config import REPO
from tests.tracing import *  # noqa: F403
from tests.tracing import PARENT, TRACE

# Redis' client looks for it too, and does without: so it is not there for anybody.
PROCESSES = """
import json, sys
sys.modules["opentelemetry"] = None
import predictions.serving.standalone, predictions.recorder, console.middleware, console.workers
from core.lib import traces
with traces.span("x", parent="y", kind="SERVER") as span:
    parent = traces.traceparent()
loaded = [name for name in sys.modules if name.startswith("opentelemetry.")]
print(json.dumps([traces.is_on, span, parent, loaded]))
"""


def run_python(code: str, **settings: str) -> str:
    environ = {**os.environ, "DJANGO_SETTINGS_MODULE": "console.settings", **settings}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPO, env=environ, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nothing_is_imported_while_no_collector_is_named():
    assert json.loads(run_python(PROCESSES)) == [False, None, "", []]


def test_a_collector_without_what_sends_to_it_is_told_once_and_stops_nothing(monkeypatch, capsys):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(traces, "_EXPORTER", "opentelemetry.exporter.otlp.proto.none")
    monkeypatch.setattr(traces, "is_on", True)
    traces.prepare()
    assert traces.is_on is False


@pytest.mark.parametrize(
    "said", [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"}]
)
def test_traces_are_off_unless_a_collector_is_named(monkeypatch, said: dict[str, str]):
    for name in traces.ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(traces, "is_on", True)
    traces.prepare()
    assert traces.is_on is False


def test_a_span_goes_on_with_the_trace_that_came_with_the_work(spans):
    with traces.span("outer", parent=PARENT, kind="SERVER"):
        inner = traces.traceparent()
        with traces.span("inner"):
            pass
    assert spans.trace_ids == {TRACE}
    assert spans.parent_of("outer") == PARENT.split("-")[2]
    assert spans.parent_of("inner") == inner.split("-")[2] == spans.id_of("outer")
    assert traces.trace_id(inner) == TRACE


@pytest.mark.parametrize("parent", ["", "nonsense", "00-0-0-00", PARENT.replace("-b", "-g")])
def test_what_is_no_trace_begins_a_new_one(spans, parent: str):
    with traces.span("x", parent=parent):
        pass
    (span,) = spans.all
    assert span.parent is None
    assert spans.trace_ids != {TRACE}


def test_an_error_that_leaves_a_span_is_noted_and_goes_on(spans):
    with pytest.raises(ValueError, match="odd"), traces.span("x"):
        raise ValueError("odd")
    (span,) = spans.all
    assert not span.status.is_ok


def test_a_task_goes_on_with_the_trace_of_whoever_sent_it(spans, monkeypatch):
    sent = {}
    monkeypatch.setattr(
        workers.DjangoTask, "apply_async", lambda _self, *_args, **kwargs: sent.update(kwargs["headers"])
    )
    with traces.span("click"):
        workers.ConsoleTask().apply_async()
    task = SimpleNamespace(name="a.task", request=SimpleNamespace(id="1", **sent))
    workers._remember_caller(task=task)
    workers._count(task=task, state="FAILURE")
    context.request_id.set("")
    click, of_task = spans.all
    assert (click.name, of_task.name) == ("click", "a.task")
    assert of_task.parent.span_id == click.context.span_id
    assert not of_task.status.is_ok


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("core.lib.outbox.sweep", []),
        ("predictions.tasks.look_for_drift", []),
        ("jobs.schedules.run_due", []),
        ("models_registry.tasks.forget_silent_processes", []),
        ("models_registry.tasks.expire_requests", ["models_registry.tasks.expire_requests"]),
    ],
)
def test_what_is_due_every_minute_makes_no_spans(spans, name, made):
    task = SimpleNamespace(name=name, request=SimpleNamespace(id="1"))
    workers._remember_caller(task=task)
    workers._count(task=task, state="SUCCESS")
    assert spans.names == made


def test_the_stack_installs_and_names_what_the_console_asks_for(tmp_path):
    assert config.COLLECTORS == traces.ENDPOINTS
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_SAMPLER": "always_on"}
    found = config.from_environment(environ, dotenv=tmp_path / "none")
    assert found.is_traced
    assert found.settings == environ
    assert not config.from_environment({}, dotenv=tmp_path / "none").is_traced


@pytest.fixture
def collector():
    """A server that takes spans as a collector does: `received` holds the requests."""
    received: list[ExportTraceServiceRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            received.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()
    server.server_close()
    thread.join()


SENDS = """
from core.lib import traces
traces.prepare()
with traces.span("one", parent={parent!r}, kind="SERVER"):
    pass
"""


def test_spans_reach_a_collector(collector):
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    address, received = collector
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_SERVICE_NAME": "atalaya-web"}
    run_python(SENDS.format(parent=PARENT), **settings)
    deadline = time.monotonic() + 5
    while not received and time.monotonic() < deadline:
        time.sleep(0.02)
    (resource,) = received[0].resource_spans
    ((span,),) = (scope.spans for scope in resource.scope_spans)
    assert (span.name, span.trace_id.hex()) == ("one", TRACE)
    assert "atalaya-web" in {one.value.string_value for one in resource.resource.attributes}
