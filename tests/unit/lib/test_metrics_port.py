"""Parts without HTTP answer Prometheus at a port of their own, for all processes of their container."""

import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from celery import signals
from prometheus_client.parser import text_string_to_metric_families

from core.lib import metrics, metrics_port

OTHER = "from core.lib import metrics; metrics.OUTBOX_SWEPT.inc(3)"
PART = """
import subprocess, sys, urllib.request
import django
django.setup()
from core.lib import metrics, metrics_port
metrics.OUTBOX_SWEPT.inc(4)
metrics_port.serve()
subprocess.run([sys.executable, "-c", sys.argv[1]], check=True)
print(urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[2]}/metrics", timeout=5).read().decode())
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def swept(text: str) -> float:
    (found,) = (
        one for one in text_string_to_metric_families(text) if one.name == "console_outbox_sweep_rows"
    )
    return found.samples[0].value


def test_one_answers_for_all_that_share_its_folder(tmp_path: Path, monkeypatch):
    port = free_port()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "metrics"))
    monkeypatch.setenv("CONSOLE_METRICS_PORT", str(port))
    argv = [sys.executable, "-c", PART, OTHER, str(port)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert swept(done.stdout) == 7


def test_a_port_that_is_taken_ends_nobody(settings, caplog):
    with socket.create_server(("0.0.0.0", 0)) as taken:
        settings.CONSOLE_METRICS_PORT = taken.getsockname()[1]
        metrics_port.serve()
    assert "metrics.not_served" in caplog.text


def test_without_a_port_nothing_is_served(settings, monkeypatch):
    assert settings.CONSOLE_METRICS_PORT == 0
    monkeypatch.setattr(metrics_port, "start_http_server", lambda *_, **__: pytest.fail("it serves"))
    metrics_port.serve()


def test_numbers_are_those_of_the_moment(settings):
    settings.CONSOLE_METRICS_PORT = free_port()
    metrics_port.serve()
    address = f"http://127.0.0.1:{settings.CONSOLE_METRICS_PORT}/metrics"
    before = swept(urllib.request.urlopen(address, timeout=5).read().decode())
    metrics.OUTBOX_SWEPT.inc(2)
    assert swept(urllib.request.urlopen(address, timeout=5).read().decode()) == before + 2


@pytest.mark.parametrize("signal", [signals.worker_ready, signals.beat_init])
def test_workers_and_beat_serve_once_they_are_there(signal, monkeypatch):
    from console import workers

    served = []
    monkeypatch.setattr(workers.metrics_port, "serve", lambda: served.append(1))
    signal.send(sender=None)
    assert served == [1]
