"""Metrics of the parts without HTTP, at CONSOLE_METRICS_PORT: containers share no folder of them."""

from collections.abc import Iterable

import structlog
from django.conf import settings
from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.registry import Collector

from core.lib import metrics

log = structlog.get_logger(__name__)


class _Counted(Collector):
    """What the processes of this container have counted when somebody asks."""

    def collect(self) -> Iterable[Metric]:
        return metrics.counted().collect()


def serve() -> None:
    """Answer `GET /metrics` from threads until the process ends; does nothing where no port is set.

    A port that cannot be had is logged: the part's work does not depend on it, and Prometheus tells who is
    silent.
    """
    port = settings.CONSOLE_METRICS_PORT
    if not port:
        return
    registry = CollectorRegistry()
    registry.register(_Counted())
    try:
        start_http_server(port, registry=registry)
    except OSError as error:
        log.error("metrics.not_served", port=port, error=str(error))
