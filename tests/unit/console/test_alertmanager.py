"""A real Alertmanager tells the console: its own message, its own token, and the end of the alert."""

import socket
from datetime import UTC, datetime

import httpx
import pytest

from core.alerts.models import Alert
from stack import config, observability
from tests.api import wait_for
from tests.observing import needs_programs, programs, running  # noqa: F401 - a fixture
from tests.people import make_token, make_user

_PROMETHEUS, ALERTMANAGER = observability.PARTS


@pytest.fixture
def alertmanager(tmp_path, live_server, monkeypatch):
    """Its address. It waits for a second only before it tells."""
    monkeypatch.setattr("core.lib.live._send", lambda topic, body: None)
    _token, key = make_token(make_user("eva", "engineer"), "alerts.report")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        base_port = probe.getsockname()[1] - config.OFFSETS["alertmanager"]
    environ = {
        "CONSOLE_VAR_DIR": str(tmp_path),
        "CONSOLE_PORT_BASE": str(base_port),
        "CONSOLE_PUBLIC_URL": live_server.url,
        "OBSERVE": "1",
    }
    site = config.from_environment(environ, dotenv=tmp_path / ".env")
    observability.prepare(site)
    observability.token_file(site).write_text(key)
    path = tmp_path / "alertmanager" / "alertmanager.yml"
    text = path.read_text().replace("group_wait: 10s", "group_wait: 1s")
    path.write_text(text.replace("group_interval: 1m", "group_interval: 1s"))
    with running(ALERTMANAGER, site):
        yield f"http://127.0.0.1:{site.port('alertmanager')}"


def tell(address: str, **alert: object) -> None:
    """As Prometheus does."""
    answer = httpx.post(f"{address}/api/v2/alerts", json=[alert], timeout=10, trust_env=False)
    assert answer.status_code == 200, answer.text


@needs_programs
@pytest.mark.django_db(transaction=True)
def test_an_alert_of_alertmanager_opens_and_ends_in_the_console(alertmanager):
    alert = {
        "labels": {"alertname": "PartDown", "severity": "critical", "part": "kafka"},
        "annotations": {"summary": "kafka is not well"},
    }
    tell(alertmanager, **alert)
    found = wait_for("the alert", lambda: Alert.objects.filter(state="open").first(), timeout_s=20)
    assert (found.rule, found.title, found.severity) == ("prometheus", "kafka is not well", "critical")
    assert found.fact_rows[0].value == "kafka"
    tell(alertmanager, **alert, endsAt=datetime.now(UTC).isoformat())
    over = wait_for("its end", lambda: Alert.objects.filter(state="resolved").first(), timeout_s=20)
    assert over.pk == found.pk
