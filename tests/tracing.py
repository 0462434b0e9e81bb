"""Traces of a test, kept in memory: `from tests.tracing import *` in a conftest."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from core.lib import traces

__all__ = ["PARENT", "TRACE", "spans"]

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@dataclass(frozen=True)
class Spans:
    """Those that ended, in their order."""

    exporter: InMemorySpanExporter

    @property
    def all(self) -> list[Any]:
        return list(self.exporter.get_finished_spans())

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.all]

    @property
    def trace_ids(self) -> set[str]:
        return {f"{span.context.trace_id:032x}" for span in self.all}

    def parent_of(self, name: str) -> str:
        """Id of the span that it is a child of."""
        (span,) = (span for span in self.all if span.name == name)
        return f"{span.parent.span_id:016x}"

    def id_of(self, name: str) -> str:
        (span,) = (span for span in self.all if span.name == name)
        return f"{span.context.span_id:016x}"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    """Traces are on, and go nowhere else."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(traces, "is_on", True)
    monkeypatch.setattr(traces, "_tracer", provider.get_tracer("test"))
    yield Spans(exporter)
    provider.shutdown()
